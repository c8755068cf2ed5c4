package pppbridge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// inLab says that the tests run as root under a kernel with PPP and L2TP and
// with pppd installed, so that nothing may be skipped.
func inLab() bool { return os.Getenv("ADIT_LAB") == "1" }

func needLab(t *testing.T) {
	t.Helper()
	if !inLab() {
		t.Skip("needs root, pppd and a kernel with PPP and L2TP: set ADIT_LAB=1 where they are")
	}
}

// crossover joins two bridges: what one's pppd sends is delivered to the other.
// So two real pppds talk, each through its PTY.
type crossover struct {
	mu   sync.Mutex
	to   circuit.Bridge
	drop func(n int) bool // drops the n-th frame
	n    int

	rooms [][]byte // since the last flush
	burst *circuit.Burst
}

// Room is Frames'.
func (c *crossover) Room(b *circuit.Burst, n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.burst != b {
		c.burst = b
		b.OnFlush(c.deliver)
	}
	room := make([]byte, n)
	c.n++
	if c.drop == nil || !c.drop(c.n) {
		c.rooms = append(c.rooms, room)
	}
	return room
}

func (c *crossover) deliver() {
	c.mu.Lock()
	to, rooms := c.to, c.rooms
	c.rooms = nil
	c.mu.Unlock()
	for _, frame := range rooms {
		if to != nil {
			to.Deliver(nil, time.Now(), frame)
		}
	}
}

func (c *crossover) connect(b circuit.Bridge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = b
}

// labPair opens an LNS and a LAC end with pppd's on both, and waits until IP is
// up.
type labPair struct {
	lns, lac           circuit.Bridge
	lnsExit, lacExit   <-chan circuit.Exit
	lnsLog, lacLog     *testLog
	lnsFrame, lacFrame *crossover
}

var labCommon = []string{"noauth", "nodefaultroute", "noipv6", "noccp", "nobsdcomp", "nodeflate", "lcp-restart", "2", "lcp-echo-interval", "0"}

func openLabPair(t *testing.T, f *Factory, kind circuit.Kind) *labPair {
	t.Helper()
	p := beginLabPair(t, f, kind, nil, nil)
	p.waitForIP(t)
	return p
}

// beginLabPair starts both ends with further options for their pppds.
func beginLabPair(t *testing.T, f *Factory, kind circuit.Kind, lnsOptions, lacOptions []string) *labPair {
	t.Helper()
	p := &labPair{lnsFrame: &crossover{}, lacFrame: &crossover{}, lnsLog: newTestLog(), lacLog: newTestLog()}
	open := func(lns bool, frames circuit.Frames, log *testLog, local, remote string) (circuit.Bridge, <-chan circuit.Exit) {
		exits := make(chan circuit.Exit, 2)
		s := Spec{Kind: kind, LNS: lns, Log: log.entry, Peer: netip.MustParseAddrPort("127.0.0.1:1701")}
		s.Options = slices.Concat(labCommon, lacOptions)
		if lns {
			s.Options = slices.Concat(labCommon, lnsOptions)
			s.LocalIP, s.RemoteIP = netip.MustParseAddr(local), netip.MustParseAddr(remote)
		} else {
			s.Options = append(s.Options[:len(s.Options):len(s.Options)], "ipcp-accept-local", "ipcp-accept-remote")
		}
		b, err := f.Open(s, frames, func(e circuit.Exit) { exits <- e })
		if err != nil {
			t.Fatal(err)
		}
		return b, exits
	}
	// The LNS's frames go to the LAC, and the other way round.
	p.lns, p.lnsExit = open(true, p.lnsFrame, p.lnsLog, "10.77.0.1", "10.77.0.2")
	p.lnsFrame.connect(nil)
	p.lac, p.lacExit = open(false, p.lacFrame, p.lacLog, "", "")
	p.lnsFrame.connect(p.lac)
	p.lacFrame.connect(p.lns)
	return p
}

func (p *labPair) waitForIP(t *testing.T) {
	t.Helper()
	waitFor(t, 60*time.Second, "IP on both ends", func() bool {
		if len(p.lnsExit)+len(p.lacExit) > 0 {
			t.Fatalf("a pppd ended; log of the LNS:\n%s\nof the LAC:\n%s", p.lnsLog, p.lacLog)
		}
		a, b := p.lns.Info(), p.lac.Info()
		return a.PeerIP.IsValid() && b.PeerIP.IsValid() && a.Interface != "" && b.Interface != ""
	}, p.lnsLog, p.lacLog)
}

func (p *labPair) close(t *testing.T) {
	t.Helper()
	defer func() { t.Logf("log of the LAC:\n%s", p.lacLog) }()
	p.lns.Close("the test is over")
	for name, c := range map[string]<-chan circuit.Exit{"LNS": p.lnsExit, "LAC": p.lacExit} {
		select {
		case e := <-c:
			t.Logf("%s: code %d, %s, %v, %v", name, e.Code, e.Text, e.Result, e.PPP)
			if code := map[string]uint16{"LNS": l2tp.DisconnectAdministrative, "LAC": l2tp.DisconnectNormal}[name]; e.PPP.Code != code {
				t.Errorf("the %s tells PPP cause %v", name, e.PPP)
			}
		case <-time.After(40 * time.Second):
			t.Errorf("the pppd of the %s does not end", name)
		}
	}
}

func TestLabAsync(t *testing.T) {
	needLab(t)
	f := newTestFactory(t, Config{Path: FindPPPD()})
	if err := CheckPPPD("", circuit.PPPDAsync); err != nil {
		t.Fatal(err)
	}
	p := openLabPair(t, f, circuit.PPPDAsync)
	t.Logf("LNS %+v, LAC %+v", p.lns.Info(), p.lac.Info())
	checkOwnDescriptors(t, p.lns.Info().PID, "/dev/pts/", "pipe:", "/dev/ppp", "socket:", "/dev/null", "/run/", "/var/")
	transfer(t, p, 2<<20)
	t.Logf("LNS %+v", p.lns.Stats())
	t.Logf("LAC %+v", p.lac.Stats())
	if s := p.lns.Stats(); s.DropBadFCS != 0 || s.FramesIn == 0 || s.FramesOut == 0 {
		t.Errorf("LNS: %+v", s)
	}
	p.close(t)
}

func TestLabSync(t *testing.T) {
	needLab(t)
	f := newTestFactory(t, Config{Path: FindPPPD()})
	if err := CheckPPPD("", circuit.PPPDSync); err != nil {
		t.Fatal(err)
	}
	p := openLabPair(t, f, circuit.PPPDSync)
	transfer(t, p, 2<<20)
	t.Logf("LNS %+v; its interface\n%s", p.lns.Stats(), interfaceCounters(p.lns.Info().Interface))
	t.Logf("LAC %+v", p.lac.Stats())
	p.close(t)
}

// However fast frames come, the terminal takes them up to the last: no wake-up
// of the kernel's is relied on alone.
func TestLabTerminalNeverStalls(t *testing.T) {
	needLab(t)
	for _, kind := range []circuit.Kind{circuit.PPPDAsync, circuit.PPPDSync} {
		t.Run(kind.String(), func(t *testing.T) {
			f := newTestFactory(t, Config{Path: FindPPPD()})
			log := newTestLog()
			b, c := runSpec(t, f, Spec{Kind: kind, Log: log.entry, Options: []string{"noauth", "lcp-max-configure", "1000"}}, &sink{})
			waitFor(t, 30*time.Second, "pppd", func() bool { return strings.Contains(log.String(), "Connect:") }, log)
			pb, frame := b.(*ptyBridge), ipFrame(1400)
			if kind == circuit.PPPDSync {
				// Without the gap between writes the terminal gets full.
				pb.mu.Lock()
				pb.codec = &hastySync{}
				pb.mu.Unlock()
			}
			full := 0
			for range 300 {
				for range 40 {
					b.Deliver(nil, time.Now(), frame)
				}
				waitFor(t, 10*time.Second, "an empty queue", func() bool {
					pb.mu.Lock()
					defer pb.mu.Unlock()
					if pb.armed {
						full++
					}
					return len(pb.queue) == 0
				}, log)
			}
			t.Logf("%d times full; %+v", full, b.Stats())
			b.Close("")
			waitExit(t, c, log)
		})
	}
}

// hastySync writes without a gap.
type hastySync struct{ syncCodec }

func (c *hastySync) whole() bool { return false }

// writingState tells what a PTY bridge waits for.
func writingState(b circuit.Bridge) string {
	p, ok := b.(*ptyBridge)
	if !ok {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("(queued %d, written %d, holding %v, armed %v, retry %v, paced %v)",
		len(p.queue), p.sent, p.holding, p.armed, p.retry, p.paced)
}

// interfaceCounters are what the kernel counted for an interface, as text.
func interfaceCounters(name string) string {
	out, err := exec.Command("ip", "-s", "link", "show", "dev", name).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// transfer sends n octets of TCP through the two ppp interfaces and compares
// their checksums. Both interfaces are of one machine, so the kernel is told by
// policy routing that 10.77.0.2 is behind the LNS's interface, and that what is
// sent between the two addresses is not a martian.
func transfer(t *testing.T, p *labPair, n int64) {
	t.Helper()
	lns, lac := p.lns.Info(), p.lac.Info()
	sh := func(format string, args ...any) {
		t.Helper()
		if out, err := exec.Command("sh", "-c", fmt.Sprintf(format, args...)).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	ns := fmt.Sprintf("adit%d", os.Getpid())
	sh("ip netns add %s && ip link set %s netns %s && ip -n %s link set lo up && ip -n %s addr add %s peer %s dev %s && ip -n %s link set %s up",
		ns, lac.Interface, ns, ns, ns, lac.LocalIP, lac.PeerIP, lac.Interface, ns, lac.Interface)
	defer sh("ip -n %s link set %s netns 1; ip netns del %s", ns, lac.Interface, ns)

	l, err := net.Listen("tcp", net.JoinHostPort(lns.LocalIP.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", ns, exe)
	cmd.Env = append(os.Environ(), "ADIT_FAKE=send", "ADIT_FAKE_TO="+l.Addr().String(), fmt.Sprintf("ADIT_FAKE_BYTES=%d", n))
	out := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(60 * time.Second))
	c, err := l.Accept()
	if err != nil {
		t.Fatalf("%v; the sender says %s", err, out)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(90 * time.Second))
	h := sha256.New()
	got, err := io.Copy(h, c)
	if err != nil || got != n {
		t.Fatalf("received %d of %d octets: %v; %s\nLNS %+v %s\nLAC %+v %s", got, n, err, out,
			p.lns.Stats(), writingState(p.lns), p.lac.Stats(), writingState(p.lac))
	}
	if want := patternSum(n); fmt.Sprintf("%x", h.Sum(nil)) != want {
		t.Errorf("the checksum differs")
	}
	t.Logf("%d octets of TCP with the same SHA-256 in %v (%.2f Mbit/s)", n, time.Since(start).Round(time.Millisecond),
		float64(n)*8/1e6/time.Since(start).Seconds())
}

// The kernel plane: the two ends of one tunnel on the loopback, each session
// with a pppd.
func TestLabKernel(t *testing.T) {
	needLab(t)
	f := newTestFactory(t, Config{Path: FindPPPD()})
	if err := CheckPPPD("", circuit.PPPDKernel); err != nil {
		t.Fatal(err)
	}
	p := openKernelPair(t, f)
	checkOwnDescriptors(t, p.lns.Info().PID, "pipe:", "/dev/ppp", "socket:", "/dev/null", "/run/", "/var/")
	transfer(t, p, 2<<20)
	s := p.lns.Stats()
	if s.Kernel == nil || s.FramesIn < 1000 || s.Kernel.RxPackets != s.FramesIn || s.Kernel.RxErrors != 0 {
		t.Errorf("LNS: %+v, kernel %+v", s, s.Kernel)
	}
	t.Logf("LNS %+v, kernel %+v", s, *s.Kernel)
	p.close(t)
	if s := p.lns.Stats(); s.Kernel != nil || s.FramesIn < 1000 {
		t.Errorf("after the end: %+v", s)
	}
}

func openKernelPair(t *testing.T, f *Factory) *labPair {
	t.Helper()
	a, b := netip.MustParseAddrPort("127.0.0.1:1801"), netip.MustParseAddrPort("127.0.0.1:1802")
	p := &labPair{lnsLog: newTestLog(), lacLog: newTestLog()}
	open := func(lns bool, local, peer netip.AddrPort, id, peerID uint32, log *testLog) (circuit.Bridge, <-chan circuit.Exit) {
		udp, err := kernel.ConnectedUDP(local, peer)
		if err != nil {
			t.Fatal(err)
		}
		m, err := kernel.OpenManagement(l2tp.Version, udp, peer, id, peerID)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close(); _ = unix.Close(udp) })
		exits := make(chan circuit.Exit, 2)
		s := Spec{
			Kind: circuit.PPPDKernel, Options: labCommon, LNS: lns, Log: log.entry, Peer: peer, UDP: udp,
			LocalTunnel: id, PeerTunnel: peerID, LocalSession: id, PeerSession: peerID,
			SendSequence: true, ReorderTimeout: 100 * time.Millisecond, KernelDebug: 1,
			LocalIP: netip.MustParseAddr("10.77.0.1"), RemoteIP: netip.MustParseAddr("10.77.0.2"),
		}
		if !lns {
			s.LocalIP, s.RemoteIP = netip.Addr{}, netip.Addr{}
			s.Options = append(s.Options[:len(s.Options):len(s.Options)], "ipcp-accept-local", "ipcp-accept-remote")
		}
		br, err := f.Open(s, nil, func(e circuit.Exit) { exits <- e })
		if err != nil {
			t.Fatal(err)
		}
		return br, exits
	}
	p.lns, p.lnsExit = open(true, a, b, 31, 32, p.lnsLog)
	p.lac, p.lacExit = open(false, b, a, 32, 31, p.lacLog)
	p.waitForIP(t)
	return p
}

// Exit codes of the real pppd: each of these is a way that calls end in.
func TestLabExitCodes(t *testing.T) {
	needLab(t)
	f := newTestFactory(t, Config{Path: FindPPPD()})
	dir := t.TempDir()
	bad := filepath.Join(dir, "options")
	if err := os.WriteFile(bad, []byte("no-such-option\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		options []string
		file    string
		result  uint16
		ppp     uint16
	}{
		{"options", nil, bad, l2tp.CDNNoFacilitiesPermanent, l2tp.DisconnectNoInformation},
		{"no answer", []string{"noauth", "lcp-restart", "1", "lcp-max-configure", "2"}, "", l2tp.CDNGeneralError, l2tp.DisconnectLCPTimeout},
		{"no plugin", []string{"noauth", "plugin", "no-such-plugin.so"}, "", l2tp.CDNNoFacilitiesPermanent, l2tp.DisconnectNoInformation},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := newTestLog()
			exits := make(chan circuit.Exit, 2)
			_, err := f.Open(Spec{Kind: circuit.PPPDAsync, Options: c.options, OptionsFile: c.file, Log: log.entry},
				&crossover{}, func(e circuit.Exit) { exits <- e })
			if err != nil {
				t.Fatal(err)
			}
			select {
			case e := <-exits:
				if e.Result.Result != c.result || e.PPP.Code != c.ppp || e.Text == "" {
					t.Errorf("exit %+v; log:\n%s", e, log)
				}
				t.Logf("%s (%v, %v)", e.Text, e.Result, e.PPP)
			case <-time.After(60 * time.Second):
				t.Fatalf("it does not end; log:\n%s", log)
			}
		})
	}
}

// What ends an authentication, as the real pppd tells it.
func TestLabAuthentication(t *testing.T) {
	needLab(t)
	secrets := map[string]string{
		"/etc/ppp/chap-secrets": "joe * right *\nann * right *\n",
		"/etc/ppp/pap-secrets":  "joe * right *\n",
	}
	for path, text := range secrets { // the guest's own copy of the file system
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		lns, lac []string
		lnsCause l2tp.PPPDisconnect
		lacCause l2tp.PPPDisconnect
	}{
		{"refused", []string{"auth", "require-chap", "name", "lns"}, []string{"refuse-chap", "refuse-mschap", "refuse-mschap-v2", "refuse-eap", "refuse-pap"},
			*cause(l2tp.DisconnectAuthProtocol, 0, 1), *cause(l2tp.DisconnectNormal, 0, 1)},
		{"wrong CHAP secret", []string{"auth", "require-chap", "name", "lns"}, []string{"name", "joe", "password", "wrong"},
			*cause(l2tp.DisconnectAuthFailed, 0xc223, 1), *cause(l2tp.DisconnectAuthFailed, 0xc223, 2)},
		{"wrong PAP password", []string{"auth", "require-pap", "name", "lns"}, []string{"name", "joe", "password", "wrong"},
			*cause(l2tp.DisconnectAuthFailed, 0xc023, 1), *cause(l2tp.DisconnectAuthFailed, 0xc023, 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newTestFactory(t, Config{Path: FindPPPD()})
			p := beginLabPair(t, f, circuit.PPPDAsync, c.lns, c.lac)
			lns, lac := waitExit(t, p.lnsExit, p.lnsLog), waitExit(t, p.lacExit, p.lacLog)
			t.Logf("LNS %d %s; LAC %d %s", lns.Code, lns.Text, lac.Code, lac.Text)
			if lns.PPP == nil || *lns.PPP != c.lnsCause {
				t.Errorf("LNS: %v, log:\n%s", lns.PPP, p.lnsLog)
			}
			if lac.PPP == nil || *lac.PPP != c.lacCause {
				t.Errorf("LAC: %v, log:\n%s", lac.PPP, p.lacLog)
			}
		})
	}
}

// A pppd whose adit was killed must end by itself.
func TestLabOrphans(t *testing.T) {
	needLab(t)
	for _, kind := range []string{"async", "kernel"} {
		t.Run(kind, func(t *testing.T) {
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), "ADIT_FAKE=daemon", "ADIT_FAKE_KIND="+kind)
			out := &syncBuffer{}
			cmd.Stdout, cmd.Stderr = out, os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var pid int
			waitFor(t, 60*time.Second, "the orphan to be", func() bool {
				_, err := fmt.Sscanf(out.String(), "pppd %d", &pid)
				return err == nil
			})
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			start := time.Now()
			waitFor(t, 60*time.Second, "the orphan's end", func() bool {
				return errors.Is(unix.Kill(pid, 0), unix.ESRCH) || isZombie(pid)
			})
			t.Logf("pppd %d ended %v after its adit was killed", pid, time.Since(start).Round(10*time.Millisecond))
		})
	}
}

// N_HDLC never wakes who writes into the other side once the terminal was full;
// the bridge has to. A program that writes far more than the terminal holds is
// such a writer, as pppd's line discipline is on a busy machine.
func TestLabSyncWakesTheOtherSide(t *testing.T) {
	needLab(t)
	b, slave := ptyAlone(t, circuit.PPPDSync)
	done := make(chan error, 1)
	go func() {
		frame := ipFrame(1400)
		big := make([]byte, 0, 100*len(frame))
		for range 100 {
			big = append(big, frame...)
		}
		for range 3 {
			for rest := big; len(rest) > 0; {
				n, err := unix.Write(slave, rest)
				if err != nil {
					done <- err
					return
				}
				rest = rest[n:]
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
		t.Logf("%+v", b.Stats())
	case <-time.After(30 * time.Second):
		t.Errorf("the writer is stuck; %+v", b.Stats())
		// The hang-up at the end of the test frees it.
	}
}
