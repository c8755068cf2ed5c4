package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"adit/internal/control"
)

// The limits of steps, on a machine that other work keeps busy.
const (
	readyLimit = 10 * time.Second // for a daemon to answer
	upLimit    = 15 * time.Second // for tunnel and PPP
	pingLimit  = 2 * time.Second  // for one answer
	goneLimit  = 8 * time.Second  // for a daemon to end
)

// pings is how many echo requests are sent.
const pings = 20

// scene is the demonstration while it runs.
type scene struct {
	o        Options
	dir      string
	report   *report
	lnsRoom  *room
	lacRoom  *room
	lns, lac *daemon

	lnsAddr, lacAddr netip.Addr // of the PPP link
}

// Inside is the demonstration in the namespaces that Run made; dir is for its
// files. What failed is shown; the error is then ErrFailed.
func Inside(ctx context.Context, o Options, dir string) error {
	defer os.RemoveAll(dir)
	if o.Transfer == 0 {
		o.Transfer = transferDefault
	}
	s := &scene{o: o, dir: dir, report: newReport(o.Stdout, o.JSON)}
	err := s.play(ctx)
	if err != nil && ctx.Err() == nil {
		s.showLogs()
	}
	err = errors.Join(err, s.clear(ctx, err == nil))
	if e := s.report.end(err == nil); e != nil {
		return errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	s.report.say("\nEverything worked, in %s. Nothing is left of it.", short(time.Since(s.report.begin)))
	return nil
}

// play does the steps.
func (s *scene) play(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"two networks, one wire", s.networks},
		{"LNS", s.startLNS},
		{"LAC client", s.startLAC},
		{"tunnel", s.tunnel},
		{"PPP session", s.session},
		{"ping through the session", s.ping},
		{"TCP from LAC to LNS", s.up},
		{"TCP from LNS to LAC", s.down},
	} {
		if err := s.report.step(step.name, func() (string, error) { return step.do(ctx) }); err != nil {
			return err
		}
	}
	if err := s.showSessions(ctx); err != nil {
		return err
	}
	if s.o.Keep {
		s.keep(ctx)
	}
	return nil
}

func (s *scene) networks(context.Context) (_ string, err error) {
	if s.lnsRoom, err = newRoom(false); err == nil {
		s.lacRoom, err = newRoom(true)
	}
	if err == nil {
		err = join(s.lnsRoom, s.lacRoom)
	}
	if err != nil {
		return "", namespaceError(err, "/")
	}
	return fmt.Sprintf("LNS at %s, LAC at %s", lnsOuter.Addr(), lacOuter.Addr()), nil
}

func (s *scene) startLNS(ctx context.Context) (_ string, err error) {
	s.lns, err = startDaemon(s.o.Self, s.lnsRoom, s.dir, "LNS", lnsDocument())
	return s.ready(ctx, s.lns, err)
}

func (s *scene) startLAC(ctx context.Context) (_ string, err error) {
	s.lac, err = startDaemon(s.o.Self, s.lacRoom, s.dir, "LAC", lacDocument())
	return s.ready(ctx, s.lac, err)
}

// ready waits until a daemon answers on its control socket.
func (s *scene) ready(ctx context.Context, d *daemon, err error) (string, error) {
	if err != nil {
		return "", err
	}
	var status control.Status
	err = d.await(ctx, readyLimit, "answer on its control socket", func(ctx context.Context) (_ bool, err error) {
		status, err = d.client.Status(ctx)
		return err == nil, err
	})
	text := fmt.Sprintf("process %d", d.cmd.Process.Pid)
	for _, p := range status.Planes {
		text += fmt.Sprintf(", PPP by %s, data by %s", p.PPP, p.DataPlane)
	}
	return text, err
}

func (s *scene) tunnel(ctx context.Context) (string, error) {
	var text string
	err := s.lac.await(ctx, upLimit, "tunnel", func(ctx context.Context) (bool, error) {
		all, err := s.lac.client.Tunnels(ctx)
		if err != nil || len(all) != 1 || all[0].State != "established" {
			return false, err
		}
		t := all[0]
		text = fmt.Sprintf("to %s, IDs %d and %d, authenticated", t.PeerHostName, t.ID, t.PeerID)
		return true, nil
	})
	return text, err
}

// session waits for the PPP addresses at both ends.
func (s *scene) session(ctx context.Context) (string, error) {
	for _, d := range []*daemon{s.lac, s.lns} {
		err := d.await(ctx, upLimit, "PPP session", func(ctx context.Context) (bool, error) {
			all, err := d.client.Sessions(ctx)
			if err != nil || len(all) != 1 || !all[0].LocalAddress.IsValid() || !all[0].RemoteAddress.IsValid() {
				return false, err
			}
			s.lacAddr, s.lnsAddr = all[0].LocalAddress, all[0].RemoteAddress
			if d == s.lns {
				s.lacAddr, s.lnsAddr = s.lnsAddr, s.lacAddr
			}
			return true, nil
		})
		if err != nil {
			return "", err
		}
	}
	if !poolRange.Contains(s.lacAddr) || s.lnsAddr != lnsInner {
		return "", fmt.Errorf("the addresses are %s and %s, which nobody gave", s.lnsAddr, s.lacAddr)
	}
	if err := s.lac.await(ctx, upLimit, "route to the LNS", s.routed); err != nil {
		return "", err
	}
	return fmt.Sprintf("user %s by MS-CHAPv2; LNS %s, LAC %s", user, s.lnsAddr, s.lacAddr), nil
}

// routed says whether the LAC's machine has a route to the LNS from the address of
// the session: PPP is up a moment before its address is on the interface.
func (s *scene) routed(context.Context) (bool, error) {
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.lnsAddr, 9))
	var from net.Addr
	err := s.lacRoom.do(func() error {
		conn, problem := net.DialUDP("udp", nil, to)
		if problem == nil {
			from = conn.LocalAddr()
			problem = conn.Close()
		}
		return problem
	})
	return err == nil && from.(*net.UDPAddr).AddrPort().Addr() == s.lacAddr, err
}

func (s *scene) ping(ctx context.Context) (string, error) {
	p, err := ping(ctx, s.lacRoom, s.lnsAddr, pings, pingLimit)
	s.report.result.Ping = &p
	return p.String(), err
}

func (s *scene) up(ctx context.Context) (string, error) {
	t, err := transfer(ctx, s.lnsRoom, s.lacRoom, s.lnsAddr, false, s.o.Transfer)
	s.report.result.Up = &t
	return t.String(), err
}

func (s *scene) down(ctx context.Context) (string, error) {
	t, err := transfer(ctx, s.lnsRoom, s.lacRoom, s.lnsAddr, true, s.o.Transfer)
	s.report.result.Down = &t
	return t.String(), err
}

// showSessions shows what "adit sessions" says at both ends.
func (s *scene) showSessions(ctx context.Context) (err error) {
	if s.o.JSON {
		s.report.result.LNS, err = s.lns.client.Sessions(ctx)
		if err == nil {
			s.report.result.LAC, err = s.lac.client.Sessions(ctx)
		}
		return err
	}
	for _, d := range []*daemon{s.lns, s.lac} {
		out, err := d.command(ctx, "sessions")
		if err != nil {
			return fmt.Errorf("adit sessions at the %s: %w", d.name, err)
		}
		s.report.say("\n%s$ adit sessions\n%s", d.name, out)
	}
	return nil
}

// keep says how to look around and waits for the end.
func (s *scene) keep(ctx context.Context) {
	enter := "nsenter -n -t %d"
	if mapped() {
		enter = "nsenter -U --preserve-credentials -n -t %d"
	}
	s.report.say("\nIt stays up until Ctrl-C. To look around, as the same user:")
	for _, d := range []*daemon{s.lns, s.lac} {
		s.report.say("\n# the %s: its network, its daemon, its log", d.name)
		s.report.say(enter+" sh -c 'ip addr; ip route'", d.cmd.Process.Pid)
		s.report.say("%s status --socket %s", s.o.Self, d.socket)
		s.report.say("tail -f %s", d.log)
	}
	s.report.say("\n# ping the LNS from the LAC's network")
	s.report.say(enter+" ping -c 3 %s", s.lac.cmd.Process.Pid, s.lnsAddr)
	<-ctx.Done()
}

// mapped says whether this process is in a user namespace of its own: the map of
// the first one is the identity for all IDs.
func mapped() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
}

// showLogs shows what the daemons said at last.
func (s *scene) showLogs() {
	for _, d := range []*daemon{s.lns, s.lac} {
		if d != nil {
			fmt.Fprintf(s.o.Stderr, "\nThe end of the %s's log:\n%s\n", d.name, d.tail())
		}
	}
}

// clear ends what is there: the LAC says goodbye first, and the LNS has to be
// without sessions then.
func (s *scene) clear(ctx context.Context, worked bool) error {
	if !worked {
		return errors.Join(s.stop(s.lac), s.stop(s.lns))
	}
	// Ctrl-C may have ended the context, as it should with --keep.
	ctx = context.WithoutCancel(ctx)
	err := s.report.step("goodbye", func() (string, error) {
		if err := s.stop(s.lac); err != nil {
			return "", err
		}
		err := s.lns.await(ctx, goneLimit, "end of its session", func(ctx context.Context) (bool, error) {
			status, err := s.lns.client.Status(ctx)
			n, t := status.Sessions, status.Tunnels
			return err == nil && n.Up+n.SettingUp+n.Closing+t.Up+t.SettingUp == 0, err
		})
		return "the LAC hung up, the LNS has no session any more", err
	})
	return errors.Join(err, s.stop(s.lns))
}

func (s *scene) stop(d *daemon) error {
	if d == nil {
		return nil
	}
	return d.stop(goneLimit)
}
