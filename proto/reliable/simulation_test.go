package reliable

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"adit/internal/simnet"
	"adit/proto/l2tp"
)

var seeds = flag.Int("seeds", simnet.Rounds(3000), "how many simulated lifetimes to run")

// end is a Channel on a simulated network, with what it did.
type end struct {
	t        testing.TB
	name     string
	net      *simnet.Net
	c        *Channel
	self     simnet.Addr
	peer     *end
	timer    *simnet.Timer
	first    uint16 // first Ns
	sent     int    // given to Send
	received int    // handed out, in order
	highest  int    // different messages seen on the wire
	drops    map[error]int
}

func newEnd(t testing.TB, net *simnet.Net, name string, addr simnet.Addr, cfg Config, ns, nr uint16) *end {
	e := &end{t: t, name: name, net: net, self: addr, first: ns, drops: map[error]int{}}
	e.c = newAt(cfg, ns, nr)
	e.timer = net.At(time.Time{}, func(time.Time) { e.flush() })
	net.Attach(addr, func(now time.Time, _ simnet.Addr, b []byte) { e.arrive(now, b) })
	return e
}

func (e *end) arrive(now time.Time, b []byte) {
	p := e.dissect(b)
	h := l2tp.Header{Control: true, HasLength: true, HasSequence: true, Version: e.c.cfg.Version, Ns: p.ns, Nr: p.nr}
	if err := e.c.Receive(now, h, b[12:]); err != nil {
		e.drops[err]++
	}
	for {
		_, payload, ok := e.c.NextMessage()
		if !ok {
			break
		}
		// Exactly once and in order: the n-th message is the n-th.
		if got := int(binary.BigEndian.Uint32(payload)); got != e.received {
			e.t.Fatalf("%s: message %d handed out, want %d", e.name, got, e.received)
		}
		e.received++
	}
	e.flush()
}

// dissect is that of the end's version; in version 3 an Explicit Acknowledgement is as
// good as a ZLB.
func (e *end) dissect(b []byte) packet {
	if e.c.cfg.Version != l2tp.Version3 {
		return dissect(e.t, b)
	}
	p := dissect3(e.t, b)
	if p.body == explicitAck {
		p.body = ""
	}
	return p
}

func (e *end) send(n int) {
	for range n {
		body := make([]byte, 4+e.sent%50)
		binary.BigEndian.PutUint32(body, uint32(e.sent))
		if err := e.c.Send(e.net.Now(), 0, body); err != nil {
			e.t.Fatalf("%s: Send: %v", e.name, err)
		}
		e.sent++
	}
	e.flush()
}

// flush transmits, checks the window at every packet, and sets the timer.
func (e *end) flush() {
	e.c.Transmit(e.net.Now(), func(b []byte) {
		p := e.dissect(b)
		if p.body != "" {
			n := int(p.ns-e.first) + 1
			e.highest = max(e.highest, n)
			if out := n - int(e.c.una-e.first); out > int(e.peer.c.ReceiveWindow()) || out < 1 {
				e.t.Fatalf("%s: %v is number %d of a window of %d", e.name, p, out, e.peer.c.ReceiveWindow())
			}
		}
		// Never acknowledged before it could be had.
		if n := int(p.nr - e.peer.first); n != e.received {
			e.t.Fatalf("%s: %v acknowledges %d messages of %d", e.name, p, n, e.received)
		}
		e.net.Send(e.self, e.peer.self, b)
	})
	if w := e.c.Stats(); w.Window < 1 || w.Window > w.PeerWindow {
		e.t.Fatalf("%s: congestion window %d of %d", e.name, w.Window, w.PeerWindow)
	}
	d := e.c.Deadline()
	if !d.IsZero() && !d.After(e.net.Now()) {
		e.t.Fatalf("%s: deadline %v still stands after Transmit", e.name, d)
	}
	e.timer.Reset(d)
}

func (e *end) check() {
	if e.received != e.peer.sent {
		e.t.Fatalf("%s: %d of %d messages received", e.name, e.received, e.peer.sent)
	}
	if !e.c.Idle() || !e.c.Deadline().IsZero() || e.c.Err() != nil {
		e.t.Fatalf("%s: idle %v, deadline %v, err %v", e.name, e.c.Idle(), e.c.Deadline(), e.c.Err())
	}
	s := e.c.Stats()
	for err := range e.drops {
		if err != DropDuplicate {
			e.t.Fatalf("%s: dropped for: %v", e.name, err)
		}
	}
	if s.SentZLB > s.Received {
		e.t.Fatalf("%s: %d ZLBs for %d messages", e.name, s.SentZLB, s.Received)
	}
	if s.Sent != uint64(e.sent)+s.Retransmitted || e.highest != e.sent {
		e.t.Fatalf("%s: %d transmissions, %d again, of %d messages, %d seen", e.name, s.Sent, s.Retransmitted, e.sent, e.highest)
	}
	if e.c.early != nil || e.c.ready != nil || e.c.queue != nil || e.c.earlySize != 0 {
		e.t.Fatalf("%s: something is kept at the end", e.name)
	}
}

var (
	addrA = netip.MustParseAddrPort("192.0.2.1:1701")
	addrB = netip.MustParseAddrPort("[2001:db8::2]:1701")
)

func randomLink(r *rand.Rand) simnet.Link {
	ms := func(n int) time.Duration { return time.Duration(r.IntN(n)) * time.Millisecond }
	link := simnet.Link{Delay: ms(200), Jitter: ms(100)}
	if r.IntN(4) > 0 {
		link.Loss = r.Float64() * 0.4
		link.Duplicate = r.Float64() * 0.3
		link.Reorder = r.Float64() * 0.3
	}
	return link
}

func randomConfig(r *rand.Rand) Config {
	cfg := Config{
		ReceiveWindow: uint16(1 + r.IntN(20)),
		// So many that a link with 40 % loss each way is never given up.
		MaxRetransmits: 100,
	}
	if r.IntN(2) == 0 {
		cfg.AckDelay = time.Duration(r.IntN(200)) * time.Millisecond
	}
	if r.IntN(4) == 0 {
		cfg.RetransmitInitial = 100*time.Millisecond + time.Duration(r.IntN(2000))*time.Millisecond
	}
	return cfg
}

// lifetime runs one seed and returns what the two ends and the net counted.
func lifetime(t testing.TB, seed uint64) string {
	net := simnet.New(seed, simnet.Link{})
	r := net.Rand()
	net.SetLink(addrA, addrB, randomLink(r))
	net.SetLink(addrB, addrA, randomLink(r))
	var nsA, nsB uint16
	if r.IntN(2) == 0 {
		nsA, nsB = uint16(65500+r.IntN(36)), uint16(65500+r.IntN(36))
	}
	cfgA, cfgB := randomConfig(r), randomConfig(r)
	if seed%2 == 1 {
		cfgA.Version, cfgB.Version = l2tp.Version3, l2tp.Version3
		cfgA.Ack = []byte(explicitAck) // the other end sends ZLBs
	}
	a := newEnd(t, net, fmt.Sprintf("seed %d end A", seed), addrA, cfgA, nsA, nsB)
	b := newEnd(t, net, fmt.Sprintf("seed %d end B", seed), addrB, cfgB, nsB, nsA)
	a.peer, b.peer = b, a
	a.c.SetPeer(2, b.c.ReceiveWindow())
	b.c.SetPeer(1, a.c.ReceiveWindow())
	for range 1 + r.IntN(20) {
		e, n := a, 1+r.IntN(6)
		if r.IntN(2) == 0 {
			e = b
		}
		net.After(time.Duration(r.Int64N(int64(20*time.Second))), func(time.Time) { e.send(n) })
	}
	// It ends by itself, within a day of virtual time.
	net.RunFor(24 * time.Hour)
	if !net.Quiet() {
		t.Fatalf("seed %d: not silent after a day: %+v", seed, net.Stats())
	}
	a.check()
	b.check()
	return fmt.Sprintf("%+v %+v %+v", a.c.Stats(), b.c.Stats(), net.Stats())
}

// Two ends over a network that loses, doubles and reorders: every message
// arrives exactly once and in order, the window is kept at every packet, nothing
// is acknowledged that was not delivered, and both ends fall silent.
func TestSimulation(t *testing.T) {
	for seed := range uint64(*seeds) {
		lifetime(t, seed)
	}
	t.Logf("%d seeds ran", *seeds)
}

func TestSimulationIsDeterministic(t *testing.T) {
	for seed := range uint64(20) {
		if first, second := lifetime(t, seed), lifetime(t, seed); first != second {
			t.Fatalf("seed %d:\n%s\n%s", seed, first, second)
		}
	}
}

// A link that dies: both ends give up within a retransmission cycle of their
// oldest message and fall silent.
func TestSimulationOfADeadLink(t *testing.T) {
	n := min(*seeds, 200)
	for seed := range uint64(n) {
		net := simnet.New(seed, simnet.Link{Delay: 30 * time.Millisecond})
		a := newEnd(t, net, "A", addrA, Config{AckDelay: 100 * time.Millisecond}, 0, 0)
		b := newEnd(t, net, "B", addrB, Config{}, 0, 0)
		a.peer, b.peer = b, a
		a.c.SetPeer(2, 64)
		b.c.SetPeer(1, 64)
		for i := range 100 {
			net.After(time.Duration(i)*100*time.Millisecond, func(time.Time) {
				if a.c.Err() == nil && b.c.Err() == nil {
					a.send(1)
					b.send(1)
				}
			})
		}
		died := simnet.Start.Add(time.Duration(net.Rand().Int64N(int64(9 * time.Second))))
		net.At(died, func(time.Time) { net.SetDefaultLink(simnet.Link{Loss: 1}) })
		// The next message of each end leaves within a round trip.
		net.Run(died.Add(31*time.Second + 300*time.Millisecond))
		if a.c.Err() != ErrUnreachable || b.c.Err() != ErrUnreachable {
			t.Fatalf("seed %d: errors %v and %v", seed, a.c.Err(), b.c.Err())
		}
		sent := net.Stats().Sent
		net.RunFor(time.Hour)
		if net.Stats().Sent != sent || !net.Quiet() {
			t.Fatalf("seed %d: not silent", seed)
		}
	}
	t.Logf("%d seeds ran", n)
}

// A peer as simple as the RFC allows: "or they may be discarded requiring a
// retransmission by the peer", window 4, one ZLB for each message.
func TestSimulationWithASimplePeer(t *testing.T) {
	n := min(*seeds, 500)
	for seed := range uint64(n) {
		net := simnet.New(seed, simnet.Link{})
		net.SetLink(addrA, addrB, randomLink(net.Rand()))
		net.SetLink(addrB, addrA, randomLink(net.Rand()))
		c := New(Config{MaxRetransmits: 100})
		var timer *simnet.Timer
		flush := func(now time.Time) {
			c.Transmit(now, func(p []byte) { net.Send(addrA, addrB, p) })
			timer.Reset(c.Deadline())
		}
		timer = net.At(time.Time{}, flush)
		net.Attach(addrA, func(now time.Time, _ simnet.Addr, b []byte) {
			p := dissect(t, b)
			if err := c.Receive(now, control(p.ns, p.nr), b[12:]); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			flush(now)
		})
		var next uint16
		net.Attach(addrB, func(_ time.Time, from simnet.Addr, b []byte) {
			p := dissect(t, b)
			if ahead := p.ns - next; ahead < 0x8000 && ahead >= 4 {
				t.Fatalf("seed %d: %v with %d expected and a window of 4", seed, p, next)
			}
			if p.ns == next {
				next++
			}
			zlb := []byte{0xc8, 2, 0, 12, 0, 9, 0, 0, 0, 0, byte(next >> 8), byte(next)}
			net.Send(addrB, from, zlb)
		})
		c.SetPeer(7, 4)
		for range 30 {
			mustSend(t, c, net.Now(), "m")
		}
		flush(net.Now())
		net.RunFor(24 * time.Hour)
		if next != 30 || !c.Idle() || !net.Quiet() {
			t.Fatalf("seed %d: %d of 30 arrived, idle %v", seed, next, c.Idle())
		}
	}
	t.Logf("%d seeds ran", n)
}
