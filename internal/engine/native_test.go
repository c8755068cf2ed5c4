package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// realNode is an engine with real sockets, and a role whose events a test can
// wait for.
type realNode struct {
	*Engine
	role   *role
	events chan string
	frames *fakePseudowires // see withCircuits
}

func newRealNode(t testing.TB, host string) *realNode {
	t.Helper()
	d := &realNode{role: newRole(t), events: make(chan string, 1<<16)}
	d.role.quiet = true
	d.role.tunnelSpec = testTunnelSpec(host, d.role)
	d.role.callSpec = func() *CallSpec { return &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Discard}} }
	d.role.onUp = func(*Tunnel) { d.events <- "up" }
	d.role.onTunnel = func(*Tunnel, tunnel.Cause) { d.events <- "down" }
	d.role.onCallUp = func(*Call) { d.events <- "call up" }
	d.role.onCallDown = func(*Call, tunnel.Cause) { d.events <- "call down" }
	quiet := logrus.New()
	quiet.SetLevel(logrus.PanicLevel)
	e, err := New(Options{Shards: 2, Limits: lavish, Acceptor: d.role, Log: logrus.NewEntry(quiet)})
	must(t, err)
	d.Engine = e
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		d.Close(ctx)
	})
	return d
}

// await waits for an event.
func (d *realNode) await(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-d.events:
		if got != want {
			t.Fatalf("%s, want %s; the last tunnel ended with %+v", got, want, d.role.last())
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("waited for %s", want)
	}
}

// listen opens a port of the kernel's choice.
func (d *realNode) listen(t testing.TB, addr string) netip.AddrPort {
	t.Helper()
	bound, err := d.Listen(netip.AddrPortFrom(netip.MustParseAddr(addr), 0))
	if errors.Is(err, kernel.ErrNoAddress) || errors.Is(err, kernel.ErrNotSupported) {
		need.Lack(t, "needs %s: %v", addr, err)
	}
	must(t, err)
	if bound.Port() == 0 {
		t.Fatalf("bound to %v", bound)
	}
	return bound
}

// TestNative sets up tunnels and calls over loopback, with data both ways.
func TestNative(t *testing.T) {
	for _, test := range []struct{ name, listen, dial, from string }{
		{"IPv4", "127.0.0.1", "127.0.0.1", "0.0.0.0"},
		{"IPv6", "::1", "::1", "::"},
		{"local address", "127.0.0.1", "127.0.0.1", "127.0.0.3"},
		// An answer from 127.0.0.1 would be dropped: AcceptOtherAddress is off.
		{"answer from the address asked", "0.0.0.0", "127.0.0.2", "0.0.0.0"},
		{"answer from the address asked, IPv6", "::", "::1", "::"},
	} {
		t.Run(test.name, func(t *testing.T) {
			lns, lac := newRealNode(t, "lns"), newRealNode(t, "lac")
			to := netip.AddrPortFrom(netip.MustParseAddr(test.dial), lns.listen(t, test.listen).Port())
			from := netip.AddrPortFrom(netip.MustParseAddr(test.from), 0)
			must(t, lac.Dial(from, to, testTunnelSpec("lac", lac.role)))
			lac.await(t, "up")
			lns.await(t, "up")
			lac.role.tunnel(0).PlaceCall(incoming(), lac.role.callSpec())
			lac.await(t, "call up")
			lns.await(t, "call up")
			snap, err := lns.Snapshot(t.Context())
			must(t, err)
			if path := snap.Tunnels[0].Path; path.Local != to || (test.from == "127.0.0.3" && path.Peer.Addr() != netip.MustParseAddr(test.from)) {
				t.Errorf("the LNS's path is %+v", path)
			}
			lac.exchange(t, lns)
			lac.role.tunnel(0).Stop(tunnel.Cause{})
			for _, d := range []*realNode{lac, lns} {
				d.events <- "end"
				seen := map[string]int{}
				for len(seen) < 3 {
					select {
					case e := <-d.events:
						seen[e]++
					case <-time.After(20 * time.Second):
						t.Fatalf("waited for the end, saw %v", seen)
					}
				}
				if seen["down"] != 1 || seen["call down"] != 1 {
					t.Errorf("%v", seen)
				}
			}
		})
	}
}

// exchange sends frames to the other end's discarding bridge.
func (d *realNode) exchange(t testing.TB, to *realNode) {
	t.Helper()
	var session *dataSession
	must(t, d.ask(t.Context(), func(s *shard) {
		for _, tu := range s.tunnels {
			for _, c := range tu.calls {
				session = c.data
			}
		}
	}))
	const frames = 200
	burst := d.opt.PPPD.Burst
	sentAll := make(chan bool)
	d.bridging.Post(func(time.Time) {
		for range frames {
			clear(session.Room(burst, 100))
		}
		burst.Flush()
		close(sentAll)
	})
	<-sentAll
	for deadline := time.Now().Add(10 * time.Second); ; {
		snap, err := to.Snapshot(t.Context())
		must(t, err)
		must(t, snap.ReadStats(t.Context()))
		if c := snap.Calls[0]; c.Rx.Packets == frames && c.Rx.Bytes == frames*100 && c.Stats.FramesIn == frames {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %d frames came %+v; counters %v", frames, snap.Calls[0].Rx, snap.Counters)
		}
	}
}

func TestSeveralListeners(t *testing.T) {
	lns, lac := newRealNode(t, "lns"), newRealNode(t, "lac")
	a, b := lns.listen(t, "127.0.0.1"), lns.listen(t, "127.0.0.2")
	if got := lns.Listeners(); len(got) != 2 || a == b {
		t.Fatalf("listeners: %v", got)
	}
	for _, to := range []netip.AddrPort{a, b} {
		must(t, lac.Dial(netip.MustParseAddrPort("0.0.0.0:0"), to, testTunnelSpec("lac", lac.role)))
		lac.await(t, "up")
		lns.await(t, "up")
	}
	// The LAC's own socket is no listener.
	if got := lac.Listeners(); len(got) != 0 {
		t.Errorf("the LAC listens on %v", got)
	}
}

// TestPortInUse: one sentence that says what to do.
func TestPortInUse(t *testing.T) {
	lns, other := newRealNode(t, "lns"), newRealNode(t, "other")
	bound := lns.listen(t, "127.0.0.1")
	_, err := other.Listen(bound)
	if !errors.Is(err, kernel.ErrPortInUse) || !strings.Contains(err.Error(), "another program holds UDP port") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if got, err := lns.Listen(bound); err != nil || got != bound {
		t.Errorf("the port that we hold ourselves: %v, %v", got, err)
	}
	// A LAC tunnel from the port that the daemon listens on, at one of the
	// wildcard's addresses, shares its socket.
	wild := lns.listen(t, "0.0.0.0")
	must(t, lns.Dial(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), wild.Port()), bound, testTunnelSpec("x", lns.role)))
	lns.await(t, "up")
	lns.await(t, "up") // the engine has dialled itself
	if len(lns.open) != 2 {
		t.Errorf("%d sockets", len(lns.open))
	}
}

// TestAnswerFromAnotherPort has a small LNS that answers from a port of its own
// choice, as RFC 2661 section 8.1 lets it.
func TestAnswerFromAnotherPort(t *testing.T) {
	lac := newRealNode(t, "lac")
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer front.Close()
	back, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer back.Close()
	must(t, lac.Dial(netip.MustParseAddrPort("0.0.0.0:0"), front.LocalAddr().(*net.UDPAddr).AddrPort(), testTunnelSpec("lac", lac.role)))

	buf := make([]byte, 1500)
	n, from, err := front.ReadFromUDPAddrPort(buf)
	must(t, err)
	h, payload, err := l2tp.ParseHeader(buf[:n])
	must(t, err)
	core, actions, err := tunnel.Accept(time.Now(), tunnel.Config{LocalID: 77, HostName: "cluster", Rand: newChance(9)}, h, payload)
	must(t, err)
	answer := func(actions []tunnel.Action) {
		for _, a := range actions {
			if s, ok := a.(tunnel.Send); ok {
				_, err := back.WriteToUDPAddrPort(s.Packet, from)
				must(t, err)
			}
		}
	}
	answer(actions)
	must(t, back.SetReadDeadline(time.Now().Add(10*time.Second)))
	for !core.Established() {
		n, _, err := back.ReadFromUDPAddrPort(buf) // SCCCN comes to the new port
		must(t, err)
		h, payload, err := l2tp.ParseHeader(buf[:n])
		must(t, err)
		answer(core.Step(time.Now(), tunnel.Receive{Header: h, Payload: payload}))
	}
	lac.await(t, "up")
	snap, err := lac.Snapshot(t.Context())
	must(t, err)
	if got := snap.Tunnels[0].Path.Peer; got != back.LocalAddr().(*net.UDPAddr).AddrPort() {
		t.Errorf("the LAC sends to %v", got)
	}
	answer(core.Step(time.Now(), tunnel.Stop{}))
	lac.await(t, "down")
}

// TestThousandTunnels: from one LAC process to one LNS, over one socket each.
func TestThousandTunnels(t *testing.T) {
	const tunnels = 1000
	lns, lac := newRealNode(t, "lns"), newRealNode(t, "lac")
	to := lns.listen(t, "127.0.0.1")
	for range tunnels {
		must(t, lac.Dial(netip.MustParseAddrPort("0.0.0.0:0"), to, testTunnelSpec("lac", lac.role)))
	}
	for range tunnels {
		lac.await(t, "up")
		lns.await(t, "up")
	}
	lac.mu.Lock()
	defer lac.mu.Unlock()
	if len(lac.open) != 1 {
		t.Errorf("%d sockets", len(lac.open))
	}
}

func TestNewRefusesOddShards(t *testing.T) {
	if _, err := New(Options{Shards: 3}); err == nil {
		t.Error("3 shards were accepted")
	}
}

// TestCloseFreesDescriptors: an engine leaves no descriptor behind, its peer
// silent or not.
func TestCloseFreesDescriptors(t *testing.T) {
	count := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(open)
	}
	newRealNode(t, "first").Close(t.Context()) // what the runtime opens once
	before := count()
	for range 3 {
		d := newRealNode(t, "x")
		to := d.listen(t, "127.0.0.1")
		must(t, d.Dial(netip.MustParseAddrPort("127.0.0.2:0"), to, testTunnelSpec("x", d.role)))
		d.await(t, "up")
		silent := netip.AddrPortFrom(to.Addr(), 9)
		must(t, d.Dial(netip.MustParseAddrPort("0.0.0.0:0"), silent, testTunnelSpec("x", d.role)))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		d.Close(ctx)
		cancel()
		if _, err := d.Listen(to); !errors.Is(err, ErrClosed) {
			t.Errorf("Listen after Close: %v", err)
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestLinkLocalByName dials an address whose zone is an interface's name, as
// people write it; packets come with its number.
func TestLinkLocalByName(t *testing.T) {
	addr := linkLocal(t)
	lns, lac := newRealNode(t, "lns"), newRealNode(t, "lac")
	to := netip.AddrPortFrom(addr, lns.listen(t, "::").Port())
	must(t, lac.Dial(netip.AddrPort{}, to, testTunnelSpec("lac", lac.role)))
	lac.await(t, "up")
	lns.await(t, "up")
}

// linkLocal is an address of this machine, with its interface's name.
func linkLocal(t testing.TB) netip.Addr {
	t.Helper()
	all, err := net.Interfaces()
	must(t, err)
	for _, i := range all {
		addrs, err := i.Addrs()
		must(t, err)
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() && i.Flags&net.FlagUp != 0 {
				return p.Addr().WithZone(i.Name)
			}
		}
	}
	need.Lack(t, "needs a link-local IPv6 address")
	return netip.Addr{}
}
