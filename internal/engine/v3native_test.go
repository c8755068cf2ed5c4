package engine

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
	"adit/pseudowire"
)

// dial3 has two real nodes set up a tunnel of version 3 between two addresses.
func dial3(t testing.TB, lac, lns *realNode, encap config.Encapsulation, from, to string, change func(*TunnelSpec)) {
	t.Helper()
	version3(lns.role.tunnelSpec)
	spec := testTunnelSpec("lac", lac.role)
	version3(spec)
	if change != nil {
		change(spec)
	}
	local, peer := netip.MustParseAddr(from), netip.MustParseAddr(to)
	if encap == config.EncapsulationIP {
		err := lns.ListenIP(peer)
		if errors.Is(err, kernel.ErrPermission) {
			need.Lack(t, "needs raw sockets: %v", err)
		}
		must(t, err)
		if got := lns.ListenersIP(); len(got) != 1 || got[0] != peer {
			t.Errorf("the LNS listens on %v", got)
		}
		must(t, lac.DialIP(local, peer, spec))
	} else {
		bound := lns.listen(t, to)
		must(t, lac.Dial(netip.AddrPortFrom(local, 0), bound, spec))
	}
	lac.await(t, "up")
	lns.await(t, "up")
}

// TestNative3 sets up a tunnel of version 3 over real sockets, an Ethernet pseudowire
// and a PPP session, and sends frames both ways.
func TestNative3(t *testing.T) {
	for _, test := range encapsulations {
		t.Run(test.name, func(t *testing.T) {
			inNamespace(t, "10.0.0.1/32", "10.0.0.2/32", "fd00::1/128", "fd00::2/128")
			lac, lns := withCircuits(t, "lac"), withCircuits(t, "lns")
			lns.role.serve(ethernetSpec)
			dial3(t, lac, lns, test.Encapsulation, test.a, test.b, nil)
			c := lac.role.tunnel(0).PlaceCall(ethernetCall(), ethernetSpec())
			lac.await(t, "call up")
			lns.await(t, "call up")
			a, _ := lac.frames.circuit(0)
			b, _ := lns.frames.circuit(0)
			lac.sends(a, "one", "two", "three")
			awaitFrames(t, lns, b, "one", "two", "three")
			lns.sends(b, "back")
			awaitFrames(t, lac, a, "back")
			if n := lac.counts()["drop_wrong_peer"] + lns.counts()["drop_wrong_peer"]; n != 0 {
				t.Errorf("%d messages of a wrong peer", n)
			}
			c.Close(tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative}})
			lac.await(t, "call down")
			lns.await(t, "call down")

			discard := func() *CallSpec { return &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Discard}} }
			lns.role.serve(discard)
			lac.role.tunnel(0).PlaceCall(incoming(), discard())
			lac.await(t, "call up")
			lns.await(t, "call up")
			lac.exchange(t, lns)
			lac.role.tunnel(0).Stop(tunnel.Cause{})
			seen := map[string]bool{<-lac.events: true, <-lac.events: true}
			if !seen["call down"] || !seen["down"] {
				t.Errorf("%v", seen)
			}
		})
	}
}

func TestDialIPIsForVersion3Only(t *testing.T) {
	e, err := newEngine(Options{})
	must(t, err)
	spec := testTunnelSpec("x", newRole(t))
	for range 2 {
		if err := e.DialIP(netip.Addr{}, lnsAddr.Addr(), spec); !errors.Is(err, ErrEncapsulation) {
			t.Errorf("version %d: %v", spec.Tunnel.Version, err)
		}
		version3(spec)
		spec.Tunnel.Fallback = true
	}
}

// fakeL2TP is the kernel's L2TP, as far as it is asked.
type fakeL2TP struct {
	mu       sync.Mutex
	fail     error
	tunnels  map[uint32]kernel.L2TPTunnel
	sessions map[uint32]kernel.L2TPSession
}

func (f *fakeL2TP) CreateTunnel(t kernel.L2TPTunnel) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		f.tunnels[t.ID] = t
	}
	return f.fail
}

func (f *fakeL2TP) DeleteTunnel(id uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tunnels, id)
	return nil
}

func (f *fakeL2TP) CreateSession(s kernel.L2TPSession) (kernel.L2TPSession, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions[s.ID] = s
	return s, nil
}

func (f *fakeL2TP) DeleteSession(_, id uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sessions, id)
	return nil
}

func (f *fakeL2TP) Session(_, id uint32) (kernel.L2TPSession, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[id], nil
}

func (f *fakeL2TP) has() (tunnels []kernel.L2TPTunnel, sessions []kernel.L2TPSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tunnels {
		tunnels = append(tunnels, t)
	}
	for _, s := range f.sessions {
		sessions = append(sessions, s)
	}
	return tunnels, sessions
}

// kernelSpec is a call on the kernel plane, or in userspace where that cannot be.
func kernelSpec(userspace bool) *CallSpec {
	s := &CallSpec{
		Pseudowire: &pseudowire.Spec{Kind: circuit.EthernetKernel, Type: l2tp.PseudowireEthernet, Interface: "l2tp7"},
		Wire:       tunnel.Wire{CookieLength: 8, Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll}, ReorderTimeout: time.Second,
	}
	if tap := circuit.EthernetTAP; userspace {
		s.Userspace = &tap
	}
	return s
}

// TestKernelPlane3 asks a kernel that takes everything down for the tunnel and the
// sessions of both encapsulations. The socket over UDP is a real one; that over IP needs
// the kernel's L2TP.
func TestKernelPlane3(t *testing.T) {
	lac, lns := withCircuits(t, "lac"), withCircuits(t, "lns")
	k := &fakeL2TP{tunnels: map[uint32]kernel.L2TPTunnel{}, sessions: map[uint32]kernel.L2TPSession{}}
	lac.opt.L2TP = k
	lns.role.serve(func() *CallSpec {
		s := ethernetSpec()
		s.Wire.CookieLength = 4
		return s
	})
	dial3(t, lac, lns, config.EncapsulationUDP, "127.0.0.1", "127.0.0.2", func(s *TunnelSpec) { s.KernelPlane = true })
	c := lac.role.tunnel(0).PlaceCall(ethernetCall(), kernelSpec(false))
	lac.await(t, "call up")
	lns.await(t, "call up")
	tunnels, _ := k.has()
	snap, err := lns.Snapshot(t.Context())
	must(t, err)
	theirs, session := snap.Tunnels[0], snap.Calls[0]
	if len(tunnels) != 1 || tunnels[0].ID != theirs.Peer.TunnelID || tunnels[0].PeerID != theirs.ID || tunnels[0].Version != 3 ||
		tunnels[0].Encap != kernel.L2TPEncapUDP || kernel.LocalAddr(tunnels[0].FD) != theirs.Path.Peer {
		t.Errorf("the kernel was asked for %+v; the LNS has %+v", tunnels, theirs)
	}
	_, spec := lac.frames.circuit(0)
	s := spec.Session
	if s == nil || spec.Kind != circuit.EthernetKernel {
		t.Fatalf("the bridge was asked for with %+v", spec)
	}
	if s.Tunnel != tunnels[0].ID || s.ID != session.PeerID || s.PeerID != session.ID || s.Type != l2tp.PseudowireEthernet ||
		len(s.Cookie) != 8 || len(s.PeerCookie) != 4 || s.Sublayer != l2tp.SublayerDefault || !s.SendSequence || !s.RequireSequence ||
		s.ReorderTimeout != time.Second || s.Interface != "l2tp7" {
		t.Errorf("the kernel is to be asked for %+v", s)
	}
	c.Close(tunnel.Cause{})
	lac.await(t, "call down")
	lns.await(t, "call down")

	// The two ends differ about the sublayer, which the kernel cannot do.
	lns.role.serve(func() *CallSpec {
		s := ethernetSpec()
		s.Wire = tunnel.Wire{}
		return s
	})
	lac.role.tunnel(0).PlaceCall(ethernetCall(), kernelSpec(true))
	lac.await(t, "call up")
	if _, spec := lac.frames.circuit(1); spec.Kind != circuit.EthernetTAP || spec.Session != nil {
		t.Errorf("the bridge was asked for with %+v", spec)
	}
	lac.role.tunnel(0).PlaceCall(ethernetCall(), kernelSpec(false))
	lac.await(t, "call down")

	// PPP: a PPPoX socket cannot say what the messages look like, so the session is there
	// before.
	lns.role.serve(func() *CallSpec {
		return &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Discard}, Wire: tunnel.Wire{CookieLength: 4}}
	})
	fakes := &fakeBridges{}
	must(t, lac.ask(t.Context(), func(s *shard) { s.engine.bridges = fakes }))
	lac.role.tunnel(0).PlaceCall(incoming(), &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.PPPDKernel}})
	lac.await(t, "call up")
	_, sessions := k.has()
	b := fakes.list()[0]
	if len(sessions) != 1 || sessions[0].Type != l2tp.PseudowirePPP || len(sessions[0].PeerCookie) != 4 || b.spec.Version != 3 ||
		b.spec.UDP != tunnels[0].FD || b.spec.LocalSession != sessions[0].ID {
		t.Errorf("the kernel was asked for %+v, the bridge for %+v", sessions, b.spec)
	}
	b.exit(circuit.Exit{Text: "pppd never came to its socket"})
	lac.await(t, "call down")
	if !eventually(func() bool { _, left := k.has(); return len(left) == 0 }) {
		t.Error("a session is left in the kernel whose bridge has ended")
	}
	fakes.mu.Lock()
	fakes.fail = errTest
	fakes.mu.Unlock()
	lac.role.tunnel(0).PlaceCall(incoming(), &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.PPPDKernel}})
	lac.await(t, "call down")
	if !eventually(func() bool { _, left := k.has(); return len(left) == 0 }) {
		t.Error("a session is left in the kernel whose bridge could not be")
	}
	lac.role.tunnel(0).Stop(tunnel.Cause{})
	for range 2 { // a call and the tunnel
		<-lac.events
	}
	if !eventually(func() bool { left, _ := k.has(); return len(left) == 0 }) {
		t.Error("the tunnel is left in the kernel")
	}
}

// TestKernelPlane3IsMissing: without the kernel's L2TP, sessions go by userspace where
// the configuration leaves the choice.
func TestKernelPlane3IsMissing(t *testing.T) {
	for _, l2tpThere := range []bool{false, true} {
		lac, lns := withCircuits(t, "lac"), withCircuits(t, "lns")
		if l2tpThere {
			lac.opt.L2TP = &fakeL2TP{fail: errTest}
		}
		lns.role.serve(ethernetSpec)
		dial3(t, lac, lns, config.EncapsulationUDP, "127.0.0.1", "127.0.0.2", nil)
		lac.role.tunnel(0).PlaceCall(ethernetCall(), kernelSpec(true))
		lac.await(t, "call up")
		if _, spec := lac.frames.circuit(0); spec.Kind != circuit.EthernetTAP {
			t.Errorf("the bridge was asked for with %+v", spec)
		}
		lac.role.tunnel(0).PlaceCall(ethernetCall(), kernelSpec(false))
		lac.await(t, "call down")
	}
}
