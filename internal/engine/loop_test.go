package engine

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// RFC 2661 section 5.8: "Each subsequent retransmission of a message MUST employ
// an exponential backoff interval. Thus, if the first retransmission occurred
// after 1 second, the next retransmission should occur after 2 seconds has
// elapsed, then 4 seconds, etc."
func TestSilentPeerIsAskedAtExactTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		lac := newNode(t, n, lacAddr, nil)
		start := time.Now()
		lac.dial(t, lnsAddr, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []float64{0, 1, 3, 7, 15, 23}
		if got := times(start, n.sentBy(lacAddr, l2tp.TypeSCCRQ)); !slices.Equal(got, want) {
			t.Errorf("SCCRQ at %v, want %v", got, want)
		}
		if after := lac.role.at("tunnel down").Sub(start); lac.role.got().down != 1 || after != 31*time.Second {
			t.Errorf("TunnelDown %d times, first after %v, want once after 31s", lac.role.got().down, after)
		}
		if err := lac.role.last().Err; err != tunnel.ErrUnreachable {
			t.Errorf("it ended with %v", err)
		}
		if got := lac.counter(TunnelsFailed); got != 1 {
			t.Errorf("tunnels_failed is %d", got)
		}
		lac.empty(t)
		lac.close(time.Second)
	})
}

// RFC 2661 section 6.5: "sending a HELLO if a period of time [...] has passed
// without receiving any message (data or control) from the peer."
func TestHelloComesAfterItsIntervalOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		lns.role.tunnelSpec.Tunnel.HelloInterval = -1
		start := time.Now()
		lac.dial(t, lnsAddr, func(s *TunnelSpec) { s.Tunnel.HelloInterval = 10 * time.Second })
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if got := times(start, n.sentBy(lacAddr, l2tp.TypeHELLO)); !slices.Equal(got, []float64{10, 20, 30}) {
			t.Errorf("HELLO at %v, want after each 10 s", got)
		}
		if got := n.sentBy(lnsAddr, l2tp.TypeHELLO); len(got) != 0 {
			t.Errorf("the end with HELLO off sent %d", len(got))
		}
		closePair(lac, lns)
	})
}

func TestDataPutsOffHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		lns.role.tunnelSpec.Tunnel.HelloInterval = -1
		start := time.Now()
		lac.dial(t, lnsAddr, func(s *TunnelSpec) { s.Tunnel.HelloInterval = 10 * time.Second })
		c := lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		synctest.Wait()
		for range 4 { // data at 5, 10, 15 and 20 s
			time.Sleep(5 * time.Second)
			lac.port.dispatch(time.Now(), dataTo(c, 0, false, "frame"), lnsAddr, lacAddr.Addr())
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := times(start, n.sentBy(lacAddr, l2tp.TypeHELLO)); !slices.Equal(got, []float64{30}) {
			t.Errorf("HELLO at %v; the last data came at 20 s, so 30 s is right", got)
		}
		closePair(lac, lns)
	})
}

func TestPeerThatFallsSilentIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		start := time.Now()
		lac.dial(t, lnsAddr, func(s *TunnelSpec) { s.Tunnel.HelloInterval = 10 * time.Second })
		lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		synctest.Wait()
		n.cut(lnsAddr)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if after := lac.role.at("tunnel down").Sub(start); after != 41*time.Second {
			t.Errorf("the tunnel was given up after %v; HELLO after 10 s and 31 s more make 41", after)
		}
		for _, cause := range lac.role.causes() {
			if cause.Result.Result != l2tp.CDNLossOfCarrier {
				t.Errorf("the call ended with %v", cause.Result)
			}
		}
		if lac.role.got().callsDown != 1 || lac.role.got().released != 1 {
			t.Errorf("CallDown %d, Release %d", lac.role.got().callsDown, lac.role.got().released)
		}
		lac.empty(t)
		closePair(lac, lns)
	})
}

func TestSetupTimeoutEndsAHalfOpenTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		// The LNS hears acknowledgements, but never the SCCCN.
		n.lose(func(_, _ netip.AddrPort, p []byte) bool { return kindOf(p) == l2tp.TypeSCCCN })
		lns.role.tunnelSpec.Tunnel.SetupTimeout = 20 * time.Second
		lns.role.tunnelSpec.Tunnel.Reliable.MaxRetransmits = 20
		start := time.Now()
		lac.dial(t, lnsAddr, func(s *TunnelSpec) { s.Tunnel.Reliable.MaxRetransmits = 20 })
		if lns.halfOpen.Load() != 1 {
			t.Fatalf("%d tunnels are half open", lns.halfOpen.Load())
		}
		time.Sleep(21 * time.Second)
		synctest.Wait()
		if after := lns.role.at("tunnel down").Sub(start); after != 20*time.Second || lns.halfOpen.Load() != 0 {
			t.Errorf("TunnelDown after %v, half open %d", after, lns.halfOpen.Load())
		}
		if lns.role.last().Err != tunnel.ErrSetupTimeout {
			t.Errorf("it ended with %v", lns.role.last())
		}
		closePair(lac, lns)
	})
}

// RFC 2661 section 4.4.2: Result Code 6 of StopCCN, "Requester is being shut
// down".
func TestCloseStopsTunnelsAndWaitsForTheAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		lns.bridges.delay = 2 * time.Second
		lac.dial(t, lnsAddr, nil)
		lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		synctest.Wait()
		start := time.Now()
		lns.close(time.Minute)
		if took := time.Since(start); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("Close took %v; its bridge needs 2 s", took)
		}
		stops := n.sentBy(lnsAddr, l2tp.TypeStopCCN)
		if len(stops) != 1 || stops[0].message(t).(*l2tp.StopCCN).ResultCode.Result != l2tp.StopCCNShuttingDown {
			t.Fatalf("%d StopCCNs", len(stops))
		}
		if lns.role.got().callsDown != 1 || lns.role.got().released != 1 || lns.role.got().down != 1 {
			t.Errorf("CallDown %d, Release %d, TunnelDown %d", lns.role.got().callsDown, lns.role.got().released, lns.role.got().down)
		}
		if !lns.bridges.closed {
			t.Error("the bridges were not closed")
		}
		if err := lns.dialPath(Path{via: lns.wire, Peer: lacAddr}, testTunnelSpec("x", lns.role)); err != ErrClosed {
			t.Errorf("Dial after Close: %v", err)
		}
		lns.close(time.Second) // twice does nothing
		lac.close(time.Minute)
	})
}

func TestCloseIsBoundedWhenThePeerIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		lac.bridges.stuck = true
		lac.dial(t, lnsAddr, nil)
		lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		synctest.Wait()
		n.cut(lnsAddr)
		start := time.Now()
		lac.close(5 * time.Second)
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("Close took %v, its bound is 5 s", took)
		}
		lns.close(time.Second)
	})
}

// TestRetransmittedSCCRQ: "a retransmission meets its first copy", so there is
// one tunnel.
func TestRetransmittedSCCRQ(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		lns := newNode(t, n, lnsAddr, func(o *Options) { o.Shards = 8 })
		lac := newNode(t, n, lacAddr, nil)
		replies := 0
		n.lose(func(from, _ netip.AddrPort, p []byte) bool {
			if from == lnsAddr && replies < 3 {
				replies++
				return true
			}
			return false
		})
		lac.dial(t, lnsAddr, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := lns.counter(TunnelsAccepted); got != 1 {
			t.Errorf("%d tunnels were accepted", got)
		}
		if len(n.sentBy(lacAddr, l2tp.TypeSCCRQ)) < 2 || lns.role.got().up != 1 || lac.role.got().up != 1 {
			t.Errorf("%d SCCRQs, up %d and %d", len(n.sentBy(lacAddr, l2tp.TypeSCCRQ)), lns.role.got().up, lac.role.got().up)
		}
		closePair(lac, lns)
	})
}

// TestRetransmittedSCCRQWithHiddenID: the same of a peer that hides its Assigned
// Tunnel ID; two such SCCRQs that are not copies make two tunnels.
func TestRetransmittedSCCRQWithHiddenID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		lns := newNode(t, n, lnsAddr, func(o *Options) { o.Shards = 8 })
		secret := []byte("secret")
		lns.role.tunnelSpec.Tunnel.Secret = secret
		chance := newChance(3)
		for want, id := range []uint32{500, 501} {
			payload, err := l2tp.AppendMessage(nil, &l2tp.SCCRQ{
				HostName: "lac", FramingCapabilities: l2tp.FramingSync, AssignedTunnelID: id, ReceiveWindowSize: 4,
			}, l2tp.AppendOptions{Secret: secret, Hide: true, Rand: chance})
			must(t, err)
			if got := assignedTunnelID(l2tp.Version, payload); got != 0 {
				t.Fatalf("the ID can be read: %d", got)
			}
			packet := l2tp.AppendControl(nil, 0, 0, 0, 0, payload)
			for range 3 {
				lns.port.dispatch(time.Now(), packet, lacAddr, lnsAddr.Addr())
				synctest.Wait()
			}
			if got := lns.counter(TunnelsAccepted); got != uint64(want+1) {
				t.Errorf("%d tunnels were accepted, want %d", got, want+1)
			}
		}
		if got := len(n.sentBy(lnsAddr, l2tp.TypeSCCRP)); got < 2 {
			t.Errorf("%d SCCRPs", got)
		}
		lns.close(time.Second)
	})
}

// TestRestartedPeer has a peer vanish and come back with the same Assigned
// Tunnel ID: first while its old tunnel lies dead, which a new one replaces at
// once, then while it is alive, which is probed and found dead before.
func TestRestartedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, first, lns := pair(t)
		first.dial(t, lnsAddr, nil)
		first.Close(expired(t))
		synctest.Wait()
		if lns.role.got().down != 1 {
			t.Fatalf("TunnelDown %d after the StopCCN", lns.role.got().down)
		}
		second := newNode(t, n, lacAddr, nil) // the same seed: the same IDs
		second.dial(t, lnsAddr, func(s *TunnelSpec) { s.Tunnel.HostName = "second" })
		if second.role.got().up != 1 || lns.role.got().up != 2 || lns.role.got().down != 1 {
			t.Fatalf("up %d and %d, down %d", second.role.got().up, lns.role.got().up, lns.role.got().down)
		}
		n.cut(lacAddr)
		second.Close(expired(t))
		n.lose(nil)
		third := newNode(t, n, lacAddr, nil)
		third.dial(t, lnsAddr, func(s *TunnelSpec) {
			s.Tunnel.HostName = "third"
			s.Tunnel.SetupTimeout = 5 * time.Minute
			s.Tunnel.Reliable.MaxRetransmits = 10
		})
		if ids := []uint32{first.role.tunnel(0).id, second.role.tunnel(0).id}; ids[0] != ids[1] {
			t.Fatalf("the IDs were to be the same: %v", ids)
		}
		if third.role.got().up != 0 || lns.role.got().down != 1 {
			t.Fatalf("a live tunnel was replaced: up %d, down %d", third.role.got().up, lns.role.got().down)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if third.role.got().up != 1 || lns.role.got().up != 3 || lns.role.got().down != 2 {
			t.Errorf("after the probe failed: up %d and %d, down %d", third.role.got().up, lns.role.got().up, lns.role.got().down)
		}
		closePair(third, lns)
	})
}

// TestTieBreaker has two engines dial each other at once. RFC 2661 section
// 4.4.3: "The lower value "wins", and the "loser" MUST silently discard its
// tunnel."
func TestTieBreaker(t *testing.T) {
	winners := map[string]int{}
	for seed := range byte(8) {
		winners[tieBetween(t, seed, true, true, 1)]++
		// RFC 3931 section 5.4.3 has the same rule, and the winner tell the loser.
		winners[tieBetween3(t, seed)]++
	}
	if winners["LAC"] == 0 || winners["LNS"] == 0 || len(winners) != 2 {
		t.Errorf("the winners were %v, chance should let each win sometimes", winners)
	}
	// "the initiator which included the Tie Breaker AVP "wins""
	if got := tieBetween(t, 0, true, false, 1); got != "LAC" {
		t.Errorf("the LAC had the only tie breaker, but %q won", got)
	}
	if got := tieBetween(t, 0, false, true, 1); got != "LNS" {
		t.Errorf("the LNS had the only tie breaker, but %q won", got)
	}
	// "If neither side issues a tie breaker, then two separate tunnels are
	// opened."
	tieBetween(t, 0, false, false, 2)
}

// tieBetween3 is tieBetween of version 3, where both have a tie breaker.
func tieBetween3(t *testing.T, seed byte) (winner string) {
	return tieOf(t, seed, true, true, 1, version3)
}

// tieBetween returns who won.
func tieBetween(t *testing.T, seed byte, lacTies, lnsTies bool, up int) (winner string) {
	return tieOf(t, seed, lacTies, lnsTies, up, func(*TunnelSpec) {})
}

func tieOf(t *testing.T, seed byte, lacTies, lnsTies bool, up int, version func(*TunnelSpec)) (winner string) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		lac := newNode(t, n, lacAddr, func(o *Options) { o.Rand = newChance(2 * seed) })
		lns := newNode(t, n, lnsAddr, func(o *Options) { o.Rand = newChance(2*seed + 1) })
		n.cut(lacAddr) // until both have dialled
		version(lac.role.tunnelSpec)
		version(lns.role.tunnelSpec)
		lac.dial(t, lnsAddr, func(s *TunnelSpec) { version(s); s.Tunnel.TieBreaker = lacTies })
		lns.dial(t, lacAddr, func(s *TunnelSpec) { version(s); s.Tunnel.TieBreaker = lnsTies })
		n.lose(nil)
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if lac.role.got().up != up || lns.role.got().up != up {
			t.Errorf("%d tunnels are up at the LAC, %d at the LNS, want %d", lac.role.got().up, lns.role.got().up, up)
		}
		// An SCCRQ of the loser that was on its way when the winner came up may
		// make a half-open tunnel there, which nobody answers; it is not counted.
		lostBy := func(d *node) (lost int) {
			for _, c := range d.role.ended() {
				if c.Err == tunnel.ErrTieLost {
					lost++
				}
			}
			return lost
		}
		if lost := lostBy(lac) + lostBy(lns); lost != 2-up {
			t.Errorf("%d tunnels were discarded, want %d", lost, 2-up)
		}
		winner = "LNS"
		if lostBy(lns) > 0 {
			winner = "LAC"
		}
		for _, s := range append(n.sentBy(lacAddr, l2tp.TypeStopCCN), n.sentBy(lnsAddr, l2tp.TypeStopCCN)...) {
			// RFC 3931 section 5.4.3: "A StopCCN SHOULD be sent by the winner as an
			// explicit rejection for the losing SCCRQ."
			if stop := s.message(t).(*l2tp.StopCCN); s.packet[1] != l2tp.Version3 || stop.ResultCode.Result != l2tp.StopCCNAlreadyExists {
				t.Errorf("%+v was sent; of version 2 it has to be silent", stop)
			}
		}
		closePair(lac, lns)
	})
	return winner
}

// TestTieIsNotLostToARefusedPeer: a peer that we would not let in cannot make us
// give up our own attempt.
func TestTieIsNotLostToARefusedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		lac.role.refusal = &Refusal{Result: l2tp.ResultCode{Result: l2tp.StopCCNNotAuthorized}}
		n.lose(func(_, to netip.AddrPort, _ []byte) bool { return to == lnsAddr })
		lac.dial(t, lnsAddr, nil)
		lns.dial(t, lacAddr, func(s *TunnelSpec) { s.Tunnel.TieBreaker = true })
		if lac.role.got().down != 0 || lac.counter(TieLost) != 0 || lac.counter(RefusedPeer) == 0 {
			t.Errorf("TunnelDown %d, tie_lost %d, refused_peer %d", lac.role.got().down, lac.counter(TieLost), lac.counter(RefusedPeer))
		}
		lac.close(time.Second)
		lns.close(time.Second)
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestWrongHostName: RemoteHostName says no to who answered.
func TestWrongHostName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		lac.dial(t, lnsAddr, func(s *TunnelSpec) {
			s.RemoteHostName = func(name string) bool { return name == "somebody else" }
		})
		stops := n.sentBy(lacAddr, l2tp.TypeStopCCN)
		if len(stops) != 1 || stops[0].message(t).(*l2tp.StopCCN).ResultCode.Result != l2tp.StopCCNNotAuthorized {
			t.Fatalf("%d StopCCNs", len(stops))
		}
		if lac.role.got().up != 0 || lac.role.got().down != 1 || lns.role.got().down != 1 {
			t.Errorf("up %d, down %d and %d", lac.role.got().up, lac.role.got().down, lns.role.got().down)
		}
		closePair(lac, lns)
	})
}

// dataTo is a data message for a call of ours, as its peer would send it.
func dataTo(c *Call, ns uint16, sequenced bool, frame string) []byte {
	h := l2tp.Header{TunnelID: c.tunnel.id, SessionID: c.ID, HasSequence: sequenced, Ns: ns}
	buf := make([]byte, l2tp.DataHeaderLen(&h), 64)
	buf = append(buf, frame...)
	l2tp.PutDataHeader(buf, &h)
	return buf
}

var _ circuit.Bridge = (*fakeBridge)(nil)
