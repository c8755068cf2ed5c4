// Package simnet is a simulated packet network with a virtual clock, for
// driving pure protocol code: two state machines and the wire between them run
// through hours of loss, duplication and reordering in milliseconds.
//
// Nothing happens by itself: there is no goroutine and no real clock. Step and
// Run take the next event off a queue, set the clock to its time and call the
// handler. The same seed and the same calls give the same run, to the byte.
package simnet

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// Addr names a node. It is a real address so that code under test can be given
// what a socket would give it.
type Addr = netip.AddrPort

// Handler gets the packets that arrive at a node, with the sender's address as
// seen there. It owns packet: each delivery has its own copy.
type Handler func(now time.Time, from Addr, packet []byte)

// Start is the time at which every network begins.
var Start = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// sameInstantLimit bounds the events at one instant of virtual time. A loop in
// which time does not advance would otherwise never end.
const sameInstantLimit = 100_000

// Net is a network. It is not safe for use from several goroutines.
type Net struct {
	now         time.Time
	rand        *rand.Rand
	link        Link
	links       map[route]*Link
	lastArrival map[route]time.Time
	nodes       map[Addr]Handler
	outside     map[Addr]Addr // inside address -> what the others see
	inside      map[Addr]Addr
	taps        []Tap
	events      eventQueue
	order       uint64
	instant     int
	stats       Stats
}

type route struct{ from, to Addr }

// New makes a network in which every pair of nodes is joined by link. All
// chance comes from seed.
func New(seed uint64, link Link) *Net {
	return &Net{
		now:         Start,
		rand:        rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)),
		link:        link,
		links:       map[route]*Link{},
		lastArrival: map[route]time.Time{},
		nodes:       map[Addr]Handler{},
		outside:     map[Addr]Addr{},
		inside:      map[Addr]Addr{},
	}
}

// Now is the virtual time.
func (n *Net) Now() time.Time { return n.now }

// Rand is the network's source of chance, for tests that want their own
// decisions to come from the same seed.
func (n *Net) Rand() *rand.Rand { return n.rand }

// Attach makes a node: packets sent to addr reach h. A second call for the same
// address replaces the first; packets under way reach the newer handler.
func (n *Net) Attach(addr Addr, h Handler) { n.nodes[addr] = h }

// Detach removes a node. Packets for it, also those under way, are dropped.
func (n *Net) Detach(addr Addr) { delete(n.nodes, addr) }

// Timer is an event at a time, made by At.
type Timer struct {
	net *Net
	f   func(now time.Time)
	gen int // a queued event of an older generation is void
	set bool
}

// At calls f when the clock reaches t: at once, but not from within At, if t
// has passed. The Timer may be stopped or set anew; a zero t makes one that is
// not running yet.
func (n *Net) At(t time.Time, f func(now time.Time)) *Timer {
	timer := &Timer{net: n, f: f}
	timer.Reset(t)
	return timer
}

// After is At, d from now.
func (n *Net) After(d time.Duration, f func(now time.Time)) *Timer {
	return n.At(n.now.Add(d), f)
}

// Reset sets the timer to t in place of what it was set to. A zero t stops it,
// so the Deadline of a state machine can be passed as it is.
func (t *Timer) Reset(at time.Time) {
	t.gen++
	t.set = !at.IsZero()
	if !t.set {
		return
	}
	t.net.schedule(event{at: at, timer: t, gen: t.gen, run: func(now time.Time) {
		t.set = false
		t.f(now)
	}})
}

// Stop cancels the timer. It can be set again with Reset.
func (t *Timer) Stop() { t.Reset(time.Time{}) }

// Running says whether the timer is set and has not gone off.
func (t *Timer) Running() bool { return t.set }

// Step runs the next event and says whether there was one. Timers that were
// stopped do not count and do not move the clock.
func (n *Net) Step() bool { return n.step(time.Time{}) }

// Run runs every event up to and including until, then sets the clock to it.
// It returns how many events it ran.
func (n *Net) Run(until time.Time) int {
	count := 0
	for n.step(until) {
		count++
	}
	if until.After(n.now) {
		n.now, n.instant = until, 0
	}
	return count
}

// RunFor is Run, for d of virtual time.
func (n *Net) RunFor(d time.Duration) int { return n.Run(n.now.Add(d)) }

// Quiet says whether nothing is under way and no timer is set: nothing will
// ever happen again unless a caller starts it.
func (n *Net) Quiet() bool {
	for i := range n.events {
		if !n.events[i].void() {
			return false
		}
	}
	return true
}
