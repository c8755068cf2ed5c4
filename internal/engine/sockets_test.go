package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
	"adit/pseudowire"
)

// addr is an address and port that a test writes in full.
func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// sockets are what an engine has open, and what its readers watch.
func (d *realNode) sockets() (open, watched int) {
	d.mu.Lock()
	open = len(d.open)
	named := len(d.Engine.sockets) + len(d.ipSockets)
	d.mu.Unlock()
	for _, r := range d.readers {
		watched += r.poller.Watched()
	}
	if named > open {
		open = named // one that is found and not open, which has to be seen
	}
	return open, watched
}

// wantSockets waits until the engine has so many open: a static session ends a moment
// after Close.
func (d *realNode) wantSockets(t testing.TB, want int, when string) {
	t.Helper()
	var open, watched int
	if !eventually(func() bool { open, watched = d.sockets(); return open == want && watched == want }) {
		t.Errorf("%s: %d sockets are open and %d watched, want %d", when, open, watched, want)
	}
}

// eventually says whether f becomes true within some seconds.
func eventually(f func() bool) bool {
	for deadline := time.Now().Add(10 * time.Second); !f(); runtime.Gosched() {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// line is a static session from one end to another.
func line(id uint32, local, peer netip.AddrPort) StaticSpec {
	s := StaticSpec{
		Name: fmt.Sprint("line ", id), Local: local, Peer: peer, ID: id, PeerID: id,
		Sublayer: l2tp.SublayerNone, Bridge: pseudowire.Spec{Kind: circuit.EthernetTAP, Type: l2tp.PseudowireEthernet},
	}
	if local.Port() == 0 && peer.Port() == 0 {
		s.Encapsulation = config.EncapsulationIP
	}
	return s
}

// TestSocketsHaveTheLifeOfTheirUsers has listeners and static sessions share sockets in
// every way, and looks when each is closed.
func TestSocketsHaveTheLifeOfTheirUsers(t *testing.T) {
	inNamespace(t, "10.0.0.1/32", "10.0.0.2/32", "fd00::1/128", "fd00::2/128")
	d := withCircuits(t, "near")
	peer := addr("10.0.0.2:5000")
	open := func(s StaticSpec) *Static {
		t.Helper()
		static, err := d.OpenStatic(s)
		must(t, err)
		return static
	}

	alone := line(1, addr("10.0.0.1:5000"), peer)
	ended := make(chan bool, 1)
	alone.Ended = func(circuit.Exit) { ended <- true }
	s := open(alone)
	d.wantSockets(t, 1, "with one session")
	s.Close("test")
	<-ended
	if c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(alone.Local)); err != nil {
		t.Errorf("when the end of the only session is told, its port is not free: %v", err)
	} else {
		c.Close()
	}
	d.wantSockets(t, 0, "without a session")

	one, two := open(line(1, addr("10.0.0.1:5000"), peer)), open(line(2, addr("10.0.0.1:5000"), addr("10.0.0.2:5001")))
	d.wantSockets(t, 1, "with two sessions of one port")
	one.Close("test")
	one.Close("twice")
	eventually(func() bool { return one.Info().State == StaticEnded })
	d.wantSockets(t, 1, "with the second session")
	two.Close("test")
	d.wantSockets(t, 0, "without both")

	_, err := d.Listen(addr("0.0.0.0:1701"))
	must(t, err)
	_, err = d.Listen(addr("0.0.0.0:1701"))
	must(t, err)
	shared := open(line(3, addr("10.0.0.1:1701"), peer))
	d.wantSockets(t, 1, "with a session on the port of a listener")
	shared.Close("test")
	eventually(func() bool { return shared.Info().State == StaticEnded })
	d.wantSockets(t, 1, "with the listener")
	if got := d.Listeners(); len(got) != 1 {
		t.Errorf("listeners: %v", got)
	}

	taken := open(line(4, addr("10.0.0.1:1701"), peer))
	if _, err := d.OpenStatic(line(4, addr("10.0.0.1:6000"), peer)); !errors.Is(err, ErrSessionID) {
		t.Errorf("a Session ID that is in use: %v", err)
	}
	d.frames.fail = errTest
	if _, err := d.OpenStatic(line(5, addr("10.0.0.1:6001"), peer)); !errors.Is(err, errTest) {
		t.Errorf("a bridge that cannot be: %v", err)
	}
	d.frames.fail = nil
	d.wantSockets(t, 1, "after two sessions that could not be opened")
	taken.Close("test")
	d.opt.Limits.Tunnels = 0
	if err := d.Dial(addr("10.0.0.1:6002"), peer, testTunnelSpec("x", d.role)); !errors.Is(err, ErrLimit) {
		t.Errorf("a tunnel beyond the limit: %v", err)
	}
	d.wantSockets(t, 1, "after a tunnel that could not be dialled")
}

// TestZeroChecksumsAreTakenAsLongAsWanted: on the port of a listener, messages without a
// checksum are dropped again after the last session that has to take them.
func TestZeroChecksumsAreTakenAsLongAsWanted(t *testing.T) {
	inNamespace(t, "fd00::1/128", "fd00::2/128")
	d := withCircuits(t, "near")
	_, err := d.Listen(addr("[::]:1701"))
	must(t, err)
	taken := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, s := range d.Engine.sockets {
			on := -1
			must(t, s.fd.With(func(fd int) (err error) {
				on, err = unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_NO_CHECK6_RX)
				return err
			}))
			return on
		}
		return -1
	}
	want := func(want int, when string) {
		t.Helper()
		if got := taken(); got != want {
			t.Errorf("%s: UDP_NO_CHECK6_RX is %d, want %d", when, got, want)
		}
	}
	var all []*Static
	for id := range uint32(2) {
		spec := line(id+1, addr("[fd00::1]:1701"), netip.AddrPortFrom(netip.MustParseAddr("fd00::2"), uint16(5000+id)))
		spec.ZeroChecksum = true
		s, err := d.OpenStatic(spec)
		must(t, err)
		all = append(all, s)
	}
	want(1, "with two sessions")
	for i, s := range all {
		s.Close("test")
		eventually(func() bool { return s.Info().State == StaticEnded })
		want(1-i, fmt.Sprintf("after %d of two have ended", i+1))
	}
}

// TestSocketOfATunnelThatIsOver: the socket of a tunnel that we dialled is closed when its
// peer's retransmissions need no answer any more, and so is that of one that never was.
func TestSocketOfATunnelThatIsOver(t *testing.T) {
	lns, lac := newRealNode(t, "lns"), newRealNode(t, "lac")
	to := lns.listen(t, "127.0.0.1")
	spec := testTunnelSpec("lac", lac.role)
	r := &spec.Tunnel.Reliable
	r.RetransmitInitial, r.RetransmitCap, r.MaxRetransmits = 10*time.Millisecond, 10*time.Millisecond, 3
	must(t, lac.Dial(addr("127.0.0.2:0"), to, spec))
	lac.await(t, "up")
	lns.await(t, "up")
	lac.wantSockets(t, 1, "with a tunnel")
	lac.role.tunnel(0).Stop(tunnel.Cause{})
	lac.await(t, "down")
	lac.wantSockets(t, 0, "after the tunnel")
	lns.await(t, "down")
	lns.wantSockets(t, 1, "with the listener")
	nobody := netip.AddrPortFrom(to.Addr(), 9)
	must(t, lac.Dial(addr("127.0.0.2:0"), nobody, spec))
	lac.await(t, "down")
	lac.wantSockets(t, 0, "after a peer that is not there")
}

// mixedPseudowires opens relays, and fakes for all other kinds.
type mixedPseudowires struct {
	pseudowires
	fakes *fakePseudowires
}

func (m *mixedPseudowires) Open(spec pseudowire.Spec, f circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	if spec.Kind == circuit.Relay {
		return m.pseudowires.Open(spec, f, onExit)
	}
	return m.fakes.Open(spec, f, onExit)
}

// cycles adds and removes static sessions on ever new ports.
type cycles struct {
	t      *testing.T
	near   *realNode
	open   []*Static
	nextID uint32
	random *rand.Rand
}

// TestStaticSocketsComeBack adds and removes 500 pairs of switched static sessions, on
// ports, addresses and encapsulations in random order, while frames flow on another line,
// not one of which may be lost, and into those that come and go. In the end there is
// nothing left.
func TestStaticSocketsComeBack(t *testing.T) {
	inNamespace(t, "10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "fd00::1/128", "fd00::2/128")
	near, far := withCircuits(t, "near"), withCircuits(t, "far")
	near.pseudowires = &mixedPseudowires{pseudowire.NewFactory(pseudowire.Config{Poller: near.bridging}), near.frames}
	_, err := near.Listen(addr("10.0.0.1:1701"))
	must(t, err)
	c := &cycles{t: t, near: near, nextID: 10, random: rand.New(rand.NewPCG(1, 2))}
	steady := line(1, addr("10.0.0.1:5000"), addr("10.0.0.2:5000"))
	if _, err := near.OpenStatic(line(2, addr("10.0.0.1:0"), addr("10.0.0.2:0"))); errors.Is(err, kernel.ErrPermission) {
		need.Lack(t, "needs raw sockets: %v", err)
	}
	_, err = near.OpenStatic(steady)
	must(t, err)
	_, err = far.OpenStatic(steady.reversed())
	must(t, err)
	a, _ := near.frames.circuit(1)
	b, _ := far.frames.circuit(0)
	b.mu.Lock()
	b.keep = false
	b.mu.Unlock()
	open, _ := near.sockets()
	before, goroutines := descriptors(t), runtime.NumGoroutine()

	sent := 0
	for n := range 500 {
		c.step(n)
		frames := slices.Repeat([]string{"frame"}, 8)
		near.sends(a, frames...)
		sent += len(frames)
		if n%16 == 0 && !eventually(func() bool { return b.received() == sent }) {
			t.Fatalf("%d frames of %d came on the line that stays; counters %v", b.received(), sent, near.counts())
		}
	}
	for len(c.open) > 0 {
		c.close(0)
	}
	if !eventually(func() bool { return b.received() == sent }) {
		t.Errorf("%d frames of %d came on the line that stays", b.received(), sent)
	}
	near.wantSockets(t, open, "after all")
	near.mu.Lock()
	statics := len(near.statics)
	near.mu.Unlock()
	if ids := near.table.sessions.count(); statics != 2 || ids != 2 || near.pseudowires.Running() != 0 {
		t.Errorf("%d static sessions, %d Session IDs, %d relays are left", statics, ids, near.pseudowires.Running())
	}
	if !eventually(func() bool { return descriptors(t) <= before && runtime.NumGoroutine() <= goroutines }) {
		t.Errorf("descriptors: %d before, %d after; goroutines: %d and %d", before, descriptors(t), goroutines, runtime.NumGoroutine())
	}
	if n := near.counts()["data_received"]; n < 100 {
		t.Errorf("only %d data messages reached the sessions that came and went", n)
	}
}

// descriptors is how many this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(all)
}

// step opens a pair of sessions, sends into them, and closes some.
func (c *cycles) step(n int) {
	c.t.Helper()
	a, b := circuit.NewRelayPair()
	first := c.opened(n, a, netip.AddrPort{})
	from := first.Info().Spec
	// Its other side, on a port of its own or on the same.
	other := netip.AddrPort{}
	if n%5 == 0 {
		other = from.Local
	}
	c.opened(n+1000, b, other)
	c.send(from)
	for len(c.open) > 24 || len(c.open) > 0 && c.random.IntN(2) == 0 {
		c.close(c.random.IntN(len(c.open)))
	}
}

// opened opens one end of a relay: on a port that has not been used before, on one that
// has just become free, on the listener's, or over IP.
func (c *cycles) opened(n int, end *circuit.RelayEnd, local netip.AddrPort) *Static {
	c.t.Helper()
	peer := addr("10.0.0.2:7000")
	if !local.IsValid() {
		local = netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(10000+n))
		switch n % 8 {
		case 1:
			local = addr("10.0.0.1:1701")
		case 2:
			local, peer = netip.AddrPortFrom(netip.MustParseAddr("fd00::1"), uint16(10000+n)), addr("[fd00::2]:7000")
		case 3:
			local, peer = addr("10.0.0.3:0"), addr("10.0.0.2:0")
		case 4:
			local = addr("10.0.0.1:9999") // again and again
		case 5:
			local = addr("10.0.0.1:0") // the kernel's choice
		}
	} else if local.Addr().Is6() {
		peer = addr("[fd00::2]:7000")
	} else if local.Port() == 0 {
		peer = addr("10.0.0.2:0")
	}
	c.nextID++
	spec := line(c.nextID, local, peer)
	if n%8 == 5 {
		spec.Peer, spec.Encapsulation = addr("10.0.0.2:7000"), config.EncapsulationUDP
	}
	spec.Bridge = pseudowire.Spec{Kind: circuit.Relay, Type: l2tp.PseudowireEthernet, Relay: end}
	s, err := c.near.OpenStatic(spec)
	must(c.t, err)
	c.open = append(c.open, s)
	return s
}

// send has messages come for a session, from its peer.
func (c *cycles) send(to StaticSpec) {
	if to.Encapsulation == config.EncapsulationIP || to.Local.Port() == 0 {
		return
	}
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(to.Peer), net.UDPAddrFromAddrPort(to.Local))
	must(c.t, err)
	defer conn.Close()
	message := []byte{0, 3, 0, 0, 0, 0, 0, byte(to.ID), 'f', 'r', 'a', 'm', 'e'}
	message[6] = byte(to.ID >> 8)
	for range 8 {
		_, _ = conn.Write(message)
	}
}

// close closes a session, and with it the one on its other side; the next one of the same
// port may come before that has ended.
func (c *cycles) close(i int) {
	c.open[i].Close("test")
	c.open = slices.DeleteFunc(c.open, func(s *Static) bool { return s.Info().State != StaticOpen })
}
