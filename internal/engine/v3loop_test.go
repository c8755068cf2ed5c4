package engine

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
	"adit/pseudowire"
)

// version3 makes a tunnel one of version 3 that has a secret.
func version3(s *TunnelSpec) {
	s.Tunnel.Version, s.Tunnel.RouterID = l2tp.Version3, 1
	s.Tunnel.Secret = []byte("secret")
	s.Tunnel.Pseudowires = []l2tp.PseudowireType{l2tp.PseudowireEthernet, l2tp.PseudowirePPP}
}

// pair3 is a pair whose tunnels are of version 3.
func pair3(t testing.TB) (n *network, lac, lns *node) {
	n, lac, lns = pair(t)
	version3(lns.role.tunnelSpec)
	lns.role.callSpec = func() *CallSpec { return ethernetSpec() }
	return n, lac, lns
}

// ethernetSpec is a call of an Ethernet pseudowire with all that a data message can have.
func ethernetSpec() *CallSpec {
	return &CallSpec{
		Pseudowire: &pseudowire.Spec{Kind: circuit.EthernetTAP, Type: l2tp.PseudowireEthernet, Interface: "l2tp%d"},
		Wire:       tunnel.Wire{CookieLength: 8, Sequencing: l2tp.SequencingAll},
	}
}

func ethernetCall() tunnel.Call {
	return tunnel.Call{Direction: tunnel.Incoming, RemoteEndID: []byte("line 1")}
}

// overIP moves both nodes of a network directly onto IP.
func (n *network) overIP(nodes ...*node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range nodes {
		delete(n.ports, d.addr)
		d.addr = portless(d.addr)
		d.wire.local, d.port.local = d.addr, d.addr
		d.via = &ipWire{wire: d.wire}
		d.port.via = d.via
		n.ports[d.addr] = d.port
	}
}

// ipWire is a wire directly over IP.
type ipWire struct {
	*wire
	sessions int // under mu
}

func (w *ipWire) admitData() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions++
}

func (w *ipWire) refuseData() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions--
}

// lastData is the data message that a node has sent last.
func (d *node) lastData() []byte {
	d.wire.mu.Lock()
	defer d.wire.mu.Unlock()
	return bytes.Clone(d.wire.data[len(d.wire.data)-1])
}

// deliver has a node's bridge send a frame, and gives the message to the other node.
func (d *node) deliver(b *fakeBridge, text string, to *node) {
	copy(b.frames.Room(d.port.holding.burst, len(text)), text)
	d.port.holding.burst.Flush()
	if d.addr.Port() == 0 {
		to.port.dispatchIP(time.Now(), d.lastData(), d.addr.Addr(), to.addr.Addr())
	} else {
		to.port.dispatch(time.Now(), d.lastData(), d.addr, to.addr.Addr())
	}
	to.port.holding.burst.Flush()
}

// TestPseudowire sets up a tunnel of version 3 and an Ethernet session, and sends frames
// both ways in messages such as each end has asked for.
func TestPseudowire(t *testing.T) {
	for _, encap := range []config.Encapsulation{config.EncapsulationUDP, config.EncapsulationIP} {
		synctest.Test(t, func(t *testing.T) {
			n, lac, lns := pair3(t)
			if encap == config.EncapsulationIP {
				n.overIP(lac, lns)
			}
			lac.dial(t, lns.addr, version3)
			if lac.role.got().up != 1 || lns.role.got().up != 1 {
				t.Fatalf("%v: up %d and %d; %+v; counters %v", encap, lac.role.got().up, lns.role.got().up, lac.role.last(), lns.counts())
			}
			spec := ethernetSpec()
			spec.Wire = tunnel.Wire{CookieLength: 4}
			c := lac.role.tunnel(0).PlaceCall(ethernetCall(), spec)
			synctest.Wait()
			if lac.role.got().callsUp != 1 || lns.role.got().callsUp != 1 {
				t.Fatalf("%v: calls up %d and %d; %+v", encap, lac.role.got().callsUp, lns.role.got().callsUp, lac.role.causes())
			}
			asked := lns.role.calls[0]
			if string(asked.Params.RemoteEndID) != "line 1" || asked.Params.Pseudowire != l2tp.PseudowireEthernet {
				t.Errorf("the LNS was asked for %+v", asked.Params)
			}
			a, aSpec := lac.frames.circuit(0)
			b, _ := lns.frames.circuit(0)
			if aSpec.Interface != "l2tp%d" || aSpec.CircuitChanged == nil || !slices.Equal(a.told(), []bool{true}) {
				t.Errorf("%v: the LAC's bridge was asked for with %+v, and told %v", encap, aSpec, a.told())
			}
			lac.deliver(a.fakeBridge, "to the LNS", lns)
			lns.deliver(b.fakeBridge, "to the LAC", lac)
			if got := string(slices.Concat(b.delivered...)); got != "to the LNS" {
				t.Errorf("%v: the LNS got %q; %v", encap, got, lns.counts())
			}
			if got := string(slices.Concat(a.delivered...)); got != "to the LAC" {
				t.Errorf("%v: the LAC got %q; %v", encap, got, lac.counts())
			}
			header := map[config.Encapsulation]int{config.EncapsulationUDP: 8, config.EncapsulationIP: 4}[encap]
			if toLAC, want := len(lns.lastData()), header+4+len("to the LAC"); toLAC != want {
				t.Errorf("%v: a message to the LAC has %d octets, want %d", encap, toLAC, want)
			}
			snap, err := lns.Snapshot(t.Context())
			must(t, err)
			tn, i := snap.Tunnels[0], snap.Calls[0]
			if tn.Version != 3 || tn.Encapsulation != encap || i.Version != 3 || i.Pseudowire != l2tp.PseudowireEthernet ||
				i.CookieLength != 8 || i.PeerCookieLength != 4 || i.Sublayer != l2tp.SublayerDefault || i.PeerSublayer != l2tp.SublayerNone ||
				i.LocalStatus&i.PeerStatus&l2tp.CircuitActive == 0 || i.Kind != circuit.EthernetTAP || !i.SequenceRequired || i.SendSequence ||
				i.Sequence.InOrder != 1 || i.Rx.Packets != 1 {
				t.Errorf("%v: %+v\n%+v", encap, tn, i)
			}
			if w, ok := lac.via.(*ipWire); ok && w.sessions != 1 {
				t.Errorf("the socket lets in the data of %d sessions", w.sessions)
			}
			if tn.ID <= maxID || i.ID != c.PeerID {
				t.Errorf("%v: tunnel %d, session %d, which the LAC calls %d", encap, tn.ID, i.ID, c.PeerID)
			}
			c.Close(tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative}})
			time.Sleep(time.Second)
			synctest.Wait()
			if w, ok := lac.via.(*ipWire); ok && w.sessions != 0 {
				t.Errorf("the socket lets in the data of %d sessions", w.sessions)
			}
			if lac.table.sessions.count()+lns.table.sessions.count() != 0 {
				t.Error("a Session ID is still taken")
			}
			lac.do(func(s *shard) { s.stopAll(tunnel.Cause{}) })
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			lac.empty(t)
			lns.empty(t)
			closePair(lac, lns)
		})
	}
}

// RFC 3931 section 5.4.5: the Circuit Status AVP in an SLI tells a change.
func TestCircuitStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair3(t)
		lac.dial(t, lnsAddr, version3)
		spec := ethernetSpec()
		spec.CircuitDown = true
		c := lac.role.tunnel(0).PlaceCall(ethernetCall(), spec)
		synctest.Wait()
		a, aSpec := lac.frames.circuit(0)
		b, _ := lns.frames.circuit(0)
		burst := lns.port.holding.burst
		if !slices.Equal(b.told(), []bool{false}) || b.frames.Room(burst, 10) != nil || lns.counter(DropCircuitDown) != 1 {
			t.Errorf("the LNS's bridge was told %v; %v is %d", b.told(), DropCircuitDown, lns.counter(DropCircuitDown))
		}
		for i, active := range []bool{true, true, false, true} {
			aSpec.CircuitChanged(active)
			synctest.Wait()
			if room := b.frames.Room(burst, 10); (room != nil) != active {
				t.Errorf("change %d: active %v, %d octets of room", i, active, len(room))
			}
		}
		if got := b.told(); !slices.Equal(got, []bool{false, true, false, true}) || !slices.Equal(a.told(), []bool{true}) {
			t.Errorf("the LNS's bridge was told %v, the LAC's %v", got, a.told())
		}
		c.Close(tunnel.Cause{})
		synctest.Wait()
		aSpec.CircuitChanged(false) // the call is over
		synctest.Wait()
		closePair(lac, lns)
	})
}

// TestPPP3: PPP over version 3 is the same, and LCP frames that come before the ICCN are
// kept, with the cookie that they came with.
func TestPPP3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair3(t)
		lost := false // the first ICCN
		n.lose(func(_, _ netip.AddrPort, p []byte) bool {
			first := kindOf(p) == l2tp.TypeICCN && !lost
			lost = lost || first
			return first
		})
		lns.role.callSpec = func() *CallSpec {
			return &CallSpec{
				Bridge: pppbridge.Spec{Kind: circuit.Builtin}, SequencingRequired: true, Wire: tunnel.Wire{CookieLength: 4},
			}
		}
		var early [][]byte
		lns.role.onCall = func(c *Call) {
			for _, cookie := range []string{"\x00\x00\x00\x00", ""} {
				early = append(early, []byte("\x00\x03\x00\x00"+string(id32(c.ID))+cookie+"\x40\x00\x00\x00"+lcp+"forged"))
			}
			for _, p := range append(early, append(early[0], make([]byte, 300)...)) {
				lns.port.dispatch(time.Now(), p, lacAddr, lnsAddr.Addr())
			}
			c.tunnel.shard.drainFrames(time.Now())
			if c.isPPP() != true || len(c.early) != 2 {
				t.Errorf("PPP %v, %d messages are kept", c.isPPP(), len(c.early))
			}
			c.Accept(lns.role.callSpec())
		}
		lac.dial(t, lnsAddr, version3)
		lac.role.tunnel(0).PlaceCall(incoming(), &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Discard}})
		synctest.Wait()
		lac.deliver(lac.bridges.list()[0], lcp+"early", lns)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if lns.role.got().callsUp != 1 || len(lns.bridges.list()) != 1 || len(lns.frames.list()) != 0 {
			t.Fatalf("%+v, %d bridges; %+v", lns.role.got(), len(lns.bridges.list()), lac.role.causes())
		}
		b := lns.bridges.list()[0]
		if s := b.spec; s.Version != 3 || !s.RequireSequence || s.SendSequence {
			t.Errorf("the bridge was asked for with %+v", s)
		}
		if n := lns.counter(DropUnknownSession); n != 3 {
			t.Errorf("%v is %d; two messages had another cookie, one was too long", DropUnknownSession, n)
		}
		lac.deliver(lac.bridges.list()[0], lcp+"real", lns)
		synctest.Wait()
		if got := b.stepper.lines(); !slices.Equal(got, []string{"0s begin", "0s " + lcp + "early", "1s " + lcp + "real"}) {
			t.Errorf("%q; %v", got, lns.counts())
		}
		closePair(lac, lns)
	})
}

func id32(id uint32) []byte { return []byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)} }

// RFC 3931 section 4.7.3: an SCCRQ that offers both versions is answered in either, and
// what follows is of that version.
func TestFallback(t *testing.T) {
	for _, answer := range []uint8{l2tp.Version, l2tp.Version3} {
		synctest.Test(t, func(t *testing.T) {
			_, lac, lns := pair(t)
			var asked TunnelRequest
			lns.role.onAccept = func(r *TunnelRequest) { asked = *r }
			if answer == l2tp.Version3 {
				version3(lns.role.tunnelSpec)
			} else {
				lns.role.tunnelSpec.Tunnel.Secret = []byte("secret")
			}
			lac.dial(t, lnsAddr, func(s *TunnelSpec) { version3(s); s.Tunnel.Fallback = true })
			if !asked.V2 || !asked.V3 || asked.RouterID != 1 || asked.HostName != lacAddr.Addr().String() || asked.From != lacAddr {
				t.Errorf("the LNS was asked %+v", asked)
			}
			if lac.role.got().up != 1 || lns.role.got().up != 1 {
				t.Fatalf("version %d: up %d and %d; %+v", answer, lac.role.got().up, lns.role.got().up, lac.role.last())
			}
			mine, theirs := lac.role.tunnel(0), lns.role.tunnel(0)
			if mine.Version() != answer || theirs.Version() != answer || mine.ID() > maxID || (theirs.ID() > maxID) != (answer == l2tp.Version3) {
				t.Errorf("version %d: %d and %d, tunnels %d and %d", answer, mine.Version(), theirs.Version(), mine.ID(), theirs.ID())
			}
			for range 20 {
				mine.PlaceCall(incoming(), lac.role.newCallSpec())
			}
			synctest.Wait()
			if got := lac.role.got().callsUp; got != 20 {
				t.Errorf("version %d: %d calls are up; %+v", answer, got, lac.role.causes())
			}
			// A message of the other version is not the tunnel's.
			other := l2tp.AppendControl3(nil, mine.ID(), 0, 0, nil)
			if answer == l2tp.Version3 {
				other = l2tp.AppendControl(nil, mine.ID(), 0, 0, 0, nil)
			}
			lac.port.dispatch(time.Now(), other, lnsAddr, lacAddr.Addr())
			synctest.Wait()
			if n := lac.counter(DropVersion); n != 1 {
				t.Errorf("version %d: %v is %d", answer, DropVersion, n)
			}
			lac.do(func(s *shard) { s.stopAll(tunnel.Cause{}) })
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			lac.empty(t)
			lns.empty(t)
			closePair(lac, lns)
		})
	}
}

// TestVersionThatIsNotOffered: the role may not choose another version than those that
// the peer can have, and the peer is told.
func TestVersionThatIsNotOffered(t *testing.T) {
	for _, dialled := range []uint8{l2tp.Version, l2tp.Version3} {
		synctest.Test(t, func(t *testing.T) {
			_, lac, lns := pair(t)
			if dialled == l2tp.Version {
				version3(lns.role.tunnelSpec)
			}
			lac.dial(t, lnsAddr, func(s *TunnelSpec) {
				if dialled == l2tp.Version3 {
					version3(s)
					s.Tunnel.Secret = nil // a StopCCN to a stranger has no digest
				}
			})
			if c := lac.role.last(); !c.Remote || c.Result.Result != l2tp.StopCCNUnsupportedVersion ||
				c.Result.Error != l2tp.ErrorCode(l2tp.Version+l2tp.Version3-dialled) || lns.counter(RefusedVersion) != 1 {
				t.Errorf("version %d: %+v, %v is %d", dialled, c, RefusedVersion, lns.counter(RefusedVersion))
			}
			if lns.role.got().down != 1 || lns.halfOpen.Load() != 0 || lns.tunnels.Load() != 0 {
				t.Errorf("version %d: TunnelDown %d, half open %d, tunnels %d", dialled, lns.role.got().down, lns.halfOpen.Load(), lns.tunnels.Load())
			}
			closePair(lac, lns)
		})
	}
}

// RFC 3931 section 4.3: "If an invalid Message Digest is received, it should be assumed
// that the message has been corrupted in transit and the message dropped accordingly."
// Nothing is kept of an SCCRQ with one, and nothing of a tunnel is changed.
func TestWrongDigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair3(t)
		lac.dial(t, lnsAddr, version3)
		tun := lns.role.tunnel(0)
		sccrq := n.sentBy(lacAddr, l2tp.TypeSCCRQ)[0].packet
		for i := range 1000 {
			forged := bytes.Clone(sccrq)
			forged[len(forged)-1-i%5] ^= byte(1 + i%255) // in the last AVP
			from := netip.AddrPortFrom(lacAddr.Addr(), uint16(2000+i))
			lns.port.dispatch(time.Now(), forged, from, lnsAddr.Addr())
			synctest.Wait()
		}
		if got := lns.counter(DropDigest); got != 1000 || lns.tunnels.Load() != 1 || lns.halfOpen.Load() != 0 {
			t.Errorf("%v is %d, %d tunnels, %d half open", DropDigest, lns.counter(DropDigest), lns.tunnels.Load(), lns.halfOpen.Load())
		}
		if len(n.sentBy(lnsAddr, l2tp.TypeStopCCN)) != 0 {
			t.Error("a forged SCCRQ was answered")
		}
		lns.do(func(s *shard) {
			if len(s.origins) > 1 || len(s.tunnels) > 1 {
				t.Errorf("shard %d keeps %d origins and %d tunnels", s.index, len(s.origins), len(s.tunnels))
			}
		})
		before, down := lns.counter(DropDigest), lns.role.got().down
		hello, err := l2tp.AppendMessage(nil, &l2tp.HELLO{}, l2tp.AppendOptions{Version: l2tp.Version3, Digests: []l2tp.DigestType{l2tp.DigestMD5}})
		must(t, err)
		stop, err := l2tp.AppendMessage(nil, &l2tp.StopCCN{AssignedTunnelID: tun.PeerID(), ResultCode: l2tp.ResultCode{Result: 1}}, l2tp.AppendOptions{Version: l2tp.Version3})
		must(t, err)
		for _, payload := range [][]byte{hello, stop, nil} {
			lns.port.dispatch(time.Now(), l2tp.AppendControl3(nil, tun.ID(), 2, 1, payload), lacAddr, lnsAddr.Addr())
			synctest.Wait()
		}
		if got := lns.counter(DropDigest) - before; got != 3 || lns.role.got().down != down {
			t.Errorf("%v rose by %d, TunnelDown %d", DropDigest, got, lns.role.got().down)
		}
		lac.role.tunnel(0).PlaceCall(ethernetCall(), ethernetSpec())
		synctest.Wait()
		if lns.role.got().callsUp != 1 {
			t.Error("the tunnel is of no use any more")
		}
		closePair(lac, lns)
	})
}

// TestNewcomerFlood3: SCCRQs of version 3 by the thousand, of as many peers, keep no more
// than the limits say, and tunnels that are up are served.
func TestNewcomerFlood3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := lavish
		limits.HalfOpen = 50
		n := newNetwork()
		lac := newNode(t, n, lacAddr, nil)
		lns := newNode(t, n, lnsAddr, func(o *Options) { o.Limits = limits })
		version3(lns.role.tunnelSpec)
		lns.role.tunnelSpec.Tunnel.Secret = nil
		lns.role.callSpec = ethernetSpec
		lac.dial(t, lnsAddr, func(s *TunnelSpec) { version3(s); s.Tunnel.Secret = nil })
		for i := range 2000 {
			payload, err := l2tp.AppendMessage(nil, &l2tp.SCCRQ{
				HostName: fmt.Sprint("flood", i), RouterID: uint32(i), AssignedTunnelID: uint32(i + 1),
				Pseudowires: []l2tp.PseudowireType{l2tp.PseudowireEthernet},
			}, l2tp.AppendOptions{Version: l2tp.Version3})
			must(t, err)
			packet := l2tp.AppendControl3(nil, 0, 0, 0, payload)
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 1701)
			lns.port.dispatch(time.Now(), packet, from, lnsAddr.Addr())
			synctest.Wait()
		}
		if lns.halfOpen.Load() != 50 || lns.counter(RefusedLimit) != 1950 {
			t.Errorf("half open %d, %v is %d", lns.halfOpen.Load(), RefusedLimit, lns.counter(RefusedLimit))
		}
		lac.role.tunnel(0).PlaceCall(ethernetCall(), ethernetSpec())
		synctest.Wait()
		if lns.role.got().callsUp != 1 {
			t.Errorf("%+v", lac.role.causes())
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if lns.halfOpen.Load() != 0 || lns.tunnels.Load() != 1 {
			t.Errorf("half open %d, tunnels %d", lns.halfOpen.Load(), lns.tunnels.Load())
		}
		closePair(lac, lns)
	})
}

// TestTenThousandSessions3: they are told apart by Session ID alone, over many tunnels,
// and leave nothing behind.
func TestTenThousandSessions3(t *testing.T) {
	const tunnels, each = 10, 1000
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.keep = false
		lac := newNode(t, n, lacAddr, nil)
		lns := newNode(t, n, lnsAddr, nil)
		lac.role.quiet, lns.role.quiet = true, true
		version3(lns.role.tunnelSpec)
		lns.role.callSpec = ethernetSpec
		for i := range tunnels {
			lac.dial(t, lnsAddr, version3)
			for range each {
				lac.role.tunnel(i).PlaceCall(tunnel.Call{Direction: tunnel.Incoming}, ethernetSpec())
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if lac.role.got().callsUp != tunnels*each || lns.table.sessions.count() != tunnels*each {
			t.Fatalf("%+v, %d Session IDs", lac.role.got(), lns.table.sessions.count())
		}
		all := lac.frames.list()
		for i := 0; i < len(all); i += 997 {
			lac.deliver(all[i], fmt.Sprint("frame ", i), lns)
		}
		got := 0
		for _, b := range lns.frames.list() {
			got += b.received()
		}
		if want := (len(all) + 996) / 997; got != want {
			t.Errorf("%d frames came, want %d", got, want)
		}
		closePair(lac, lns)
		lac.do(func(*shard) {})
		if a, b := lac.table.sessions.count(), lns.table.sessions.count(); a != 0 || b != 0 {
			t.Errorf("%d and %d Session IDs are still taken", a, b)
		}
	})
}

// TestRefusedSessionsKeepNoID: an ID that is drawn for a request which the state machine
// turns down by itself is free again.
func TestRefusedSessionsKeepNoID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair3(t)
		lns.role.tunnelSpec.Tunnel.Pseudowires = []l2tp.PseudowireType{l2tp.PseudowireEthernet}
		lns.role.tunnelSpec.Tunnel.AllowIncoming = false
		lac.dial(t, lnsAddr, version3)
		for range 50 {
			lac.role.tunnel(0).PlaceCall(ethernetCall(), ethernetSpec())
		}
		synctest.Wait()
		if lac.role.got().callsDown != 50 || lns.role.got().callsDown != 0 {
			t.Errorf("%+v", lac.role.got())
		}
		if a, b := lac.table.sessions.count(), lns.table.sessions.count(); a != 0 || b != 0 {
			t.Errorf("%d and %d Session IDs are taken", a, b)
		}
		closePair(lac, lns)
	})
}
