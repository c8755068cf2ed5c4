package engine

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/proto/l2tp"
	"adit/pseudowire"
)

// staticSpec is a session with every part of a header.
func staticSpec(id, peerID uint32) StaticSpec {
	return StaticSpec{
		Name: "line", Local: lacAddr, Peer: lnsAddr, ID: id, PeerID: peerID,
		Cookie: cookie8, PeerCookie: []byte{9, 8, 7, 6}, Sublayer: l2tp.SublayerDefault, SendSequence: true, RequireSequence: true,
		Bridge: pseudowire.Spec{Kind: circuit.EthernetTAP, Type: l2tp.PseudowireEthernet},
	}
}

// reversed is the other end's.
func (s StaticSpec) reversed() StaticSpec {
	s.Local, s.Peer, s.ID, s.PeerID, s.Cookie, s.PeerCookie = s.Peer, s.Local, s.PeerID, s.ID, s.PeerCookie, s.Cookie
	return s
}

// openOn opens a static session on a node's port.
func (d *node) openOn(s StaticSpec) (*Static, error) {
	return d.openStatic(s, Path{via: d.via, Local: s.Local, Peer: s.Peer})
}

func TestStatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d, other := pair(t)
		var exits []circuit.Exit
		spec := staticSpec(7, 8)
		spec.Ended = func(e circuit.Exit) { exits = append(exits, e) }
		s, err := d.openOn(spec)
		must(t, err)
		if _, err := d.openOn(staticSpec(7, 9)); !errors.Is(err, ErrSessionID) {
			t.Errorf("a Session ID that is in use: %v", err)
		}
		if err := d.ReserveSessionID(7); !errors.Is(err, ErrSessionID) {
			t.Errorf("the same for the kernel's: %v", err)
		}
		b, asked := d.frames.circuit(0)
		if asked.Kind != circuit.EthernetTAP || asked.Log == nil {
			t.Errorf("the bridge was asked for with %+v", asked)
		}
		if !s.LastHeard().IsZero() {
			t.Error("heard before anything was sent")
		}
		time.Sleep(time.Second)
		now := time.Now()
		d.port.dispatch(now, []byte("\x00\x03\x00\x00\x00\x00\x00\x07\x01\x02\x03\x04\x05\x06\x07\x08\x40\x00\x00\x00frame"), lnsAddr, lacAddr.Addr())
		d.port.holding.burst.Flush()
		if got := string(slices.Concat(b.delivered...)); got != "frame" || !s.LastHeard().Equal(now) {
			t.Errorf("delivered %q, heard at %v", got, s.LastHeard())
		}
		copy(b.frames.Room(d.port.holding.burst, 2), "ab")
		d.port.holding.burst.Flush()
		if got, want := string(d.wire.data[0]), "\x00\x03\x00\x00\x00\x00\x00\x08\x09\x08\x07\x06\x40\x00\x00\x00ab"; got != want {
			t.Errorf("sent %x, want %x", got, want)
		}
		s.SetPeerActive(false)
		i := s.Info()
		if i.State != StaticOpen || i.Rx != (Traffic{1, 5}) || i.Tx != (Traffic{1, 2}) || i.Sequence.InOrder != 1 || !slices.Equal(b.told(), []bool{false}) {
			t.Errorf("%+v, the bridge was told %v", i, b.told())
		}
		if got := d.Statics(); len(got) != 1 || got[0] != s {
			t.Errorf("%v", got)
		}
		d.frames.delay = time.Second
		s.Close("enough")
		s.Close("twice")
		if s.Info().State != StaticClosing || b.closed != 1 {
			t.Errorf("%v, closed %d times", s.Info().State, b.closed)
		}
		d.port.dispatch(now, []byte("\x00\x03\x00\x00\x00\x00\x00\x07\x01\x02\x03\x04\x05\x06\x07\x08\x40\x00\x00\x01late"), lnsAddr, lacAddr.Addr())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(exits) != 1 || exits[0].Text != "enough" || s.Info().State != StaticEnded || len(d.Statics()) != 0 || b.received() != 1 {
			t.Errorf("exits %v, %v, %d frames", exits, s.Info().State, b.received())
		}
		d.empty(t)
		again, err := d.openOn(staticSpec(7, 8))
		must(t, err)
		start := time.Now()
		closePair(d, other) // with the bridge, which takes a second
		if again.Info().State != StaticEnded || time.Since(start) < time.Second {
			t.Errorf("%v after %v", again.Info().State, time.Since(start))
		}
		if _, err := d.openOn(staticSpec(9, 9)); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		d.empty(t)
	})
}

func TestStaticBridgeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d, other := pair(t)
		d.frames.fail = errTest
		if _, err := d.openOn(staticSpec(7, 8)); !errors.Is(err, errTest) {
			t.Errorf("%v", err)
		}
		d.empty(t)
		closePair(d, other)
	})
}

func TestStaticSpecsThatCannotBe(t *testing.T) {
	e, err := newEngine(Options{})
	must(t, err)
	good := staticSpec(7, 8)
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*StaticSpec){
		"Session ID 0":   func(s *StaticSpec) { s.ID = 0 },
		"a cookie has":   func(s *StaticSpec) { s.PeerCookie = []byte{1, 2, 3} },
		"sequence":       func(s *StaticSpec) { s.Sublayer = l2tp.SublayerNone },
		"the kernel":     func(s *StaticSpec) { s.Bridge.Kind = circuit.EthernetKernel },
		"peer's address": func(s *StaticSpec) { s.Peer = netip.AddrPort{} },
		"one family":     func(s *StaticSpec) { s.Peer = netip.MustParseAddrPort("[2001:db8::1]:1701") },
		"UDP port":       func(s *StaticSpec) { s.Peer = netip.AddrPortFrom(s.Peer.Addr(), 0) },
	} {
		s := good
		spoil(&s)
		if _, err := e.OpenStatic(s); !errors.Is(err, ErrStatic) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// inNamespace gives the test's thread a network namespace with the addresses on its
// loopback.
func inNamespace(t testing.TB, addrs ...string) {
	t.Helper()
	runtime.LockOSThread() // the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		need.Lack(t, "needs a network namespace: %v", err)
	}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		must(t, err)
		addr.Flags = unix.IFA_F_NODAD
		must(t, netlink.AddrAdd(lo, addr))
	}
	for _, a := range addrs {
		awaitAddress(t, netip.MustParsePrefix(a).Addr())
	}
}

// awaitAddress waits until packets reach an address that was added. Of IPv6 the kernel
// does the last of it later, and what is sent before is lost.
func awaitAddress(t testing.TB, addr netip.Addr) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	must(t, err)
	defer c.Close()
	buf := make([]byte, 8)
	for range 200 {
		_, _ = c.WriteToUDPAddrPort([]byte("probe"), c.LocalAddr().(*net.UDPAddr).AddrPort())
		must(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		if _, _, err := c.ReadFromUDPAddrPort(buf); err == nil {
			return
		}
	}
	t.Fatalf("%v cannot be reached", addr)
}

// withCircuits has the pseudowires of a real node be fakes.
func withCircuits(t testing.TB, host string) *realNode {
	d := newRealNode(t, host)
	d.frames = &fakePseudowires{}
	d.pseudowires = d.frames
	return d
}

// sends has the bridge of a real node send frames in the goroutine of the bridges.
func (d *realNode) sends(b *fakeCircuit, frames ...string) {
	burst := d.opt.PPPD.Burst
	done := make(chan bool)
	d.bridging.Post(func(time.Time) {
		for _, f := range frames {
			copy(b.frames.Room(burst, len(f)), f)
		}
		burst.Flush()
		close(done)
	})
	<-done
}

// awaitFrames waits until a bridge has got frames.
func awaitFrames(t testing.TB, d *realNode, b *fakeCircuit, want ...string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		b.mu.Lock()
		got := slices.Clone(b.delivered)
		b.mu.Unlock()
		if len(got) == len(want) {
			for i := range want {
				if string(got[i]) != want[i] {
					t.Fatalf("frame %d is %q, want %q", i, got[i], want[i])
				}
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d frames of %d came; counters %v", len(got), len(want), d.counts())
		}
	}
}

// encapsulations are both, of both families, in a namespace that has the addresses.
var encapsulations = []struct {
	name string
	config.Encapsulation
	a, b string
}{
	{"UDP, IPv4", config.EncapsulationUDP, "10.0.0.1", "10.0.0.2"},
	{"UDP, IPv6", config.EncapsulationUDP, "fd00::1", "fd00::2"},
	{"IP, IPv4", config.EncapsulationIP, "10.0.0.1", "10.0.0.2"},
	{"IP, IPv6", config.EncapsulationIP, "fd00::1", "fd00::2"},
}

// TestStaticNative has two engines exchange frames over real sockets.
func TestStaticNative(t *testing.T) {
	for _, test := range encapsulations {
		t.Run(test.name, func(t *testing.T) {
			inNamespace(t, "10.0.0.1/32", "10.0.0.2/32", "fd00::1/128", "fd00::2/128")
			near, far := withCircuits(t, "near"), withCircuits(t, "far")
			spec := staticSpec(0x80000001, 0x80000002)
			spec.Encapsulation = test.Encapsulation
			port := uint16(0)
			if test.Encapsulation == config.EncapsulationUDP {
				port = 5000
			}
			spec.Local = netip.AddrPortFrom(netip.MustParseAddr(test.a), port)
			spec.Peer = netip.AddrPortFrom(netip.MustParseAddr(test.b), port)
			one, err := near.OpenStatic(spec)
			if errors.Is(err, kernel.ErrPermission) {
				need.Lack(t, "needs raw sockets: %v", err)
			}
			must(t, err)
			_, err = far.OpenStatic(spec.reversed())
			must(t, err)
			a, _ := near.frames.circuit(0)
			b, _ := far.frames.circuit(0)
			var long []string
			for i := range 300 {
				long = append(long, strings.Repeat(string(rune('a'+i%26)), 1000+i))
			}
			for range 12 {
				long = append(long, strings.Repeat("j", circuit.MaxFrame))
			}
			near.sends(a, long...)
			awaitFrames(t, far, b, long...)
			far.sends(b, "back")
			awaitFrames(t, near, a, "back")
			if one.LastHeard().IsZero() {
				t.Error("not heard")
			}
			spec.ID, spec.PeerID = 3, 4
			beside, err := near.OpenStatic(spec)
			must(t, err)
			if beside.slot.path.Load().destination != one.slot.path.Load().destination {
				t.Error("the messages of two sessions on one way do not go together")
			}
			spec.ID, spec.Peer = 5, netip.AddrPortFrom(spec.Local.Addr(), port)
			elsewhere, err := near.OpenStatic(spec)
			must(t, err)
			if elsewhere.slot.path.Load().destination == one.slot.path.Load().destination {
				t.Error("the messages of a session to another peer go with them")
			}
			if n := far.counts()["drop_wrong_peer"]; n != 0 {
				t.Errorf("%d messages of a wrong peer", n)
			}
			one.Close("test")
		})
	}
}
