package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// limited is a LAC and an LNS of which the LNS has the limits given.
func limited(t testing.TB, change func(*Limits)) (n *network, lac, lns *node) {
	n = newNetwork()
	limits := lavish
	change(&limits)
	lac = newNode(t, n, lacAddr, nil)
	lns = newNode(t, n, lnsAddr, func(o *Options) { o.Limits = limits })
	return n, lac, lns
}

func TestTunnelLimits(t *testing.T) {
	for name, change := range map[string]func(*Limits){
		"tunnels":          func(l *Limits) { l.Tunnels = 3 },
		"tunnels_per_peer": func(l *Limits) { l.TunnelsPerPeer = 3 },
		"half_open":        func(l *Limits) { l.HalfOpen = 3 },
	} {
		synctest.Test(t, func(t *testing.T) {
			n, lac, lns := limited(t, change)
			if name == "half_open" {
				n.lose(func(_, _ netip.AddrPort, p []byte) bool { return kindOf(p) == l2tp.TypeSCCCN })
			}
			for range 5 {
				lac.dial(t, lnsAddr, nil)
			}
			if got := lns.counter(RefusedLimit); got != 2 || lns.counter(TunnelsAccepted) != 3 {
				t.Errorf("%s: %d refused, %d accepted", name, got, lns.counter(TunnelsAccepted))
			}
			for _, c := range lac.role.ended() {
				r := c.Result
				if !c.Remote || r.Result != l2tp.StopCCNGeneralError || r.Error != l2tp.ErrorInsufficientResources ||
					r.Message != "no more tunnels are accepted at present" {
					t.Errorf("%s: the LAC was told %+v", name, c)
				}
			}
			if lac.role.got().down != 2 {
				t.Errorf("%s: %d tunnels of the LAC ended", name, lac.role.got().down)
			}
			n.lose(nil)
			lac.do(func(s *shard) { s.stopAll(tunnel.Cause{}) })
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			lac.empty(t)
			lns.empty(t)
			closePair(lac, lns)
		})
	}
}

func TestSessionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := limited(t, func(l *Limits) { l.Sessions = 3 })
		lac.dial(t, lnsAddr, nil)
		for range 5 {
			lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		}
		synctest.Wait()
		if lac.role.got().callsUp != 3 || lac.role.got().callsDown != 2 || lns.sessions.Load() != 3 {
			t.Errorf("%+v, %d sessions", lac.role.got(), lns.sessions.Load())
		}
		// The role that was never asked about a call is not told of its end.
		if got := lns.role.got(); got.callsDown != 0 || got.given != 3 {
			t.Errorf("the LNS's role: %+v", got)
		}
		for _, c := range lac.role.causes() {
			if c.Result.Result != l2tp.CDNNoFacilitiesTemporary || !strings.Contains(c.Result.Message, "no more sessions") {
				t.Errorf("the LAC was told %+v", c)
			}
		}
		// The limit counts for calls of ours as well.
		lns.role.tunnel(0).PlaceCall(tunnel.Call{Direction: tunnel.Outgoing, CalledNumber: "1", MaximumBPS: 1}, lns.role.newCallSpec())
		synctest.Wait()
		if got := lns.role.got(); got.callsDown != 1 || got.released != 1 {
			t.Errorf("the LNS's own call: %+v", got)
		}
		closePair(lac, lns)
		if lns.sessions.Load() != 0 || lns.role.got().released != 4 {
			t.Errorf("%d sessions, %+v", lns.sessions.Load(), lns.role.got())
		}
	})
}

func TestDialIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		lac := newNode(t, n, lacAddr, func(o *Options) { o.Limits.Tunnels = 1 })
		lac.dial(t, lnsAddr, nil)
		if err := lac.dialPath(Path{via: lac.wire, Peer: lnsAddr}, testTunnelSpec("x", lac.role)); err != ErrLimit {
			t.Errorf("Dial: %v, want ErrLimit", err)
		}
		lac.close(time.Second)
	})
}

func TestNobodyIsAcceptedWithoutAnAcceptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		lac := newNode(t, n, lacAddr, nil)
		lns := newNode(t, n, lnsAddr, func(o *Options) { o.Acceptor = nil })
		lac.dial(t, lnsAddr, nil)
		if c := lac.role.last(); c.Result.Result != l2tp.StopCCNNotAuthorized || lns.counter(RefusedPeer) != 1 {
			t.Errorf("%+v, refused_peer %d", c, lns.counter(RefusedPeer))
		}
		time.Sleep(time.Minute)
		lns.empty(t)
		lac.empty(t)
		closePair(lac, lns)
	})
}

// TestAllIsGivenBack sets up and breaks 10,000 tunnels and calls by chance, over
// a network that loses packets, and sees that nothing is left.
func TestAllIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		n.keep = false
		rng := rand.New(rand.NewPCG(1, 2))
		drop := rand.New(rand.NewPCG(3, 4)) // used under the network's lock
		n.lose(func(netip.AddrPort, netip.AddrPort, []byte) bool { return drop.IntN(20) == 0 })
		lns.role.quiet, lac.role.quiet = true, true
		choice := rand.New(rand.NewPCG(5, 6)) // used under the role's lock
		lns.role.onCall = func(c *Call) {
			lns.role.mu.Lock()
			r := choice.IntN(5)
			lns.role.mu.Unlock()
			switch r {
			case 0:
				c.Reject("", tunnel.Cause{})
			case 1: // never answered
			default:
				c.Accept(lns.role.newCallSpec())
			}
		}
		up := func() (open []*Tunnel) {
			lac.role.mu.Lock()
			defer lac.role.mu.Unlock()
			return append(open, lac.role.tunnels[max(0, len(lac.role.tunnels)-50):]...)
		}
		const rounds = 10000
		for i := range rounds {
			switch open := up(); {
			case i%10 == 0:
				_ = lac.dialPath(Path{via: lac.wire, Local: lacAddr, Peer: lnsAddr}, testTunnelSpec("lac", lac.role))
			case len(open) == 0:
			case i%23 == 0:
				open[rng.IntN(len(open))].Stop(tunnel.Cause{})
			case i%7 == 0:
				if all := lns.bridges.list(); len(all) > 0 {
					all[len(all)-1].exit(circuit.Exit{})
				}
			default:
				open[rng.IntN(len(open))].PlaceCall(incoming(), lac.role.newCallSpec())
			}
			if i%50 == 0 {
				time.Sleep(time.Second)
			}
		}
		lac.do(func(s *shard) { s.stopAll(tunnel.Cause{}) })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		lac.empty(t)
		lns.empty(t)
		for _, d := range []*node{lac, lns} {
			got := d.role.got()
			t.Logf("%v: %+v", d.addr, got)
			if got.given != got.released || got.up < rounds/20 || d.bridges.Running() != 0 {
				t.Errorf("%v: %+v, %d bridges run", d.addr, got, d.bridges.Running())
			}
		}
		closePair(lac, lns)
	})
}

// state is what a packet of a stranger must not change.
func (d *node) state() string {
	var s string
	d.do(func(sh *shard) { s += fmt.Sprintf("tunnels %d, origins %d; ", len(sh.tunnels), len(sh.origins)) })
	d.mu.Lock()
	defer d.mu.Unlock()
	return s + fmt.Sprintf("per peer %v, tunnels %d, half open %d, sessions %d",
		d.perPeer, d.tunnels.Load(), d.halfOpen.Load(), d.sessions.Load())
}

// dropped is the sum of all counters of packets that came to nothing.
func (d *node) dropped() (sum uint64) {
	for c := DropShort; c <= RefusedParse; c++ {
		sum += d.counter(c)
	}
	return sum
}

// TestGarbageLeavesNoState throws noise, and real messages with damage, at a
// live LNS, from a stranger.
func TestGarbageLeavesNoState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		lns.role.refusal = nil
		oneCall(t, lac, lns)
		var seen [][]byte
		for _, s := range n.wire {
			seen = append(seen, s.packet)
		}
		lns.role.refusal = &Refusal{Result: l2tp.ResultCode{Result: l2tp.StopCCNNotAuthorized}}
		n.keep = false
		before := lns.state()
		rng := rand.New(rand.NewPCG(7, 8))
		stranger := netip.MustParseAddrPort("203.0.113.9:1701")
		const packets = 20000
		start := lns.dropped()
		for i := range packets {
			lns.port.dispatch(time.Now(), noise(rng, seen), stranger, lnsAddr.Addr())
			if i%100 == 0 {
				synctest.Wait() // so that no inbox runs over
			}
		}
		synctest.Wait()
		if after := lns.state(); after != before {
			t.Errorf("before: %s\nafter:  %s", before, after)
		}
		if got := lns.dropped() - start; got != packets {
			t.Errorf("%d of %d packets were counted as dropped", got, packets)
		}
		if lac.role.got().callsDown+lns.role.got().callsDown != 0 {
			t.Error("the call did not survive")
		}
		closePair(lac, lns)
	})
}

// noise is octets by chance, or a message with some changed or cut off.
func noise(rng *rand.Rand, seen [][]byte) []byte {
	if rng.IntN(3) == 0 {
		b := make([]byte, rng.IntN(80))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	b := bytes.Clone(seen[rng.IntN(len(seen))])
	for range rng.IntN(4) {
		b[rng.IntN(len(b))] = byte(rng.Uint32())
	}
	if rng.IntN(4) == 0 {
		b = b[:rng.IntN(len(b)+1)]
	}
	return b
}

// TestMalformedSCCRQ: of a peer that is let in, an SCCRQ that section
// 4.1 wants refused makes a tunnel for as long as it takes to refuse it.
func TestMalformedSCCRQ(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		n.lose(func(_, to netip.AddrPort, _ []byte) bool { return to == lnsAddr })
		lac.dial(t, lnsAddr, nil)
		good := n.sentBy(lacAddr, l2tp.TypeSCCRQ)[0].packet
		before := lns.state()
		for i := 12; i < len(good); i++ {
			bad := bytes.Clone(good)
			bad[i] ^= 0xff
			lns.port.dispatch(time.Now(), bad, netip.MustParseAddrPort("203.0.113.9:1701"), lnsAddr.Addr())
			synctest.Wait()
		}
		// Some damage leaves an SCCRQ that is as good; nobody answers for these.
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if after := lns.state(); after != before {
			t.Errorf("before: %s\nafter:  %s", before, after)
		}
		if got := lns.role.got(); got.up != 0 || lns.counter(RefusedParse) == 0 || lns.counter(DropNotSCCRQ) == 0 {
			t.Errorf("%+v, refused_parse %d, drop_not_sccrq %d", got, lns.counter(RefusedParse), lns.counter(DropNotSCCRQ))
		}
		lac.close(time.Second)
		lns.close(time.Second)
	})
}

func TestFullInboxIsCounted(t *testing.T) {
	n := newNetwork()
	e, err := newEngine(Options{Limits: lavish, Rand: newChance(1)}) // not started: nobody empties
	must(t, err)
	p := &port{engine: e, via: &wire{net: n}, local: lnsAddr, holding: &holding{burst: circuit.NewBurst(&e.sent)}}
	p.accepting.Store(true)
	packet := l2tp.AppendControl(nil, 0, 0, 0, 0, []byte{0x80, 8, 0, 0, 0, 0, 0, 1})
	for range newcomerSize + 5 {
		p.dispatch(time.Now(), packet, lacAddr, lnsAddr.Addr())
	}
	if got := e.counters[DropInboxFull].Load(); got != 5 {
		t.Errorf("drop_inbox_full is %d, want 5", got)
	}
	p.accepting.Store(false)
	p.dispatch(time.Now(), packet, lacAddr, lnsAddr.Addr())
	if got := e.counters[DropNotSCCRQ].Load(); got != 1 {
		t.Errorf("a socket that does not accept: drop_not_sccrq is %d", got)
	}
}

func TestCounterNames(t *testing.T) {
	seen := map[string]bool{}
	for c := range numCounters {
		if name := c.String(); name == "" || seen[name] {
			t.Errorf("counter %d is called %q", c, name)
		} else {
			seen[name] = true
		}
	}
	if got := Counter(200).String(); got != "counter(200)" {
		t.Errorf("%q", got)
	}
}

// FuzzDispatch gives any packets to an engine with a live tunnel and call, from
// the peer, from the peer's other port and from a stranger. What must hold is
// that it does not panic and that its ends balance.
func FuzzDispatch(f *testing.F) {
	f.Add([]byte{0xc8, 2, 0, 12, 0, 1, 0, 0, 0, 0, 0, 0}, uint8(0))
	f.Add([]byte{0, 2, 0, 1, 0, 1, 0xff, 3}, uint8(1))
	f.Add([]byte{0xc8, 2, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 8, 0, 0, 0, 0, 0, 1}, uint8(2))
	f.Fuzz(func(t *testing.T, packet []byte, who uint8) {
		synctest.Test(t, func(t *testing.T) {
			_, lac, lns := pair(t)
			oneCall(t, lac, lns)
			from := []netip.AddrPort{lacAddr, netip.AddrPortFrom(lacAddr.Addr(), 9), netip.MustParseAddrPort("203.0.113.9:1")}[int(who)%3]
			if len(packet) >= 8 && who&64 != 0 { // to the tunnel that is there
				id := lns.role.tunnel(0).id
				packet = bytes.Clone(packet)
				packet[4], packet[5] = byte(id>>8), byte(id)
			}
			lns.port.dispatch(time.Now(), packet, from, lnsAddr.Addr())
			synctest.Wait()
			closePair(lac, lns)
			if lns.sessions.Load() != 0 || lac.sessions.Load() != 0 {
				t.Errorf("sessions are left: %d and %d", lns.sessions.Load(), lac.sessions.Load())
			}
		})
	})
}
