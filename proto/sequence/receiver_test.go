package sequence

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"
)

var epoch = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// bench is a Receiver with a clock, and what came out of it.
type bench struct {
	t   *testing.T
	s   *Session
	r   *Receiver
	now time.Time
	out []int
}

func newBench(t *testing.T, cfg Config) *bench {
	s := New(cfg)
	b := &bench{t: t, s: s, r: &s.Receiver, now: epoch}
	t.Cleanup(func() { b.conserved() })
	return b
}

// wire is one array for all frames in, as a socket's buffer is.
var wire [8]byte

// send lets frame n come in, numbered or not; the frame says n.
func (b *bench) send(n int, hasNs bool) Verdict {
	b.t.Helper()
	binary.BigEndian.PutUint64(wire[:], uint64(n))
	v := b.r.Receive(b.now, hasNs, uint16(n), wire[:])
	if v == Deliver {
		b.out = append(b.out, n)
	}
	clear(wire[:])
	b.drain()
	return v
}

func (b *bench) drain() {
	b.t.Helper()
	for f, ok := b.r.Pop(); ok; f, ok = b.r.Pop() {
		if len(f) != len(wire) {
			b.t.Fatalf("frame of %d octets", len(f))
		}
		b.out = append(b.out, int(binary.BigEndian.Uint64(f)))
	}
}

func (b *bench) advance(d time.Duration) {
	b.t.Helper()
	b.now = b.now.Add(d)
	b.r.Expire(b.now)
	b.drain()
}

// want checks and forgets what came out.
func (b *bench) want(ns ...int) {
	b.t.Helper()
	if !slices.Equal(b.out, ns) {
		b.t.Fatalf("out: %v, want %v", b.out, ns)
	}
	b.out = nil
}

// conserved checks that no frame was forgotten by the counters.
func (b *bench) conserved() {
	b.t.Helper()
	c := b.r.Counters()
	if sum := c.Reordered + c.Released + c.Discarded + uint64(b.r.Held()); sum != c.Held {
		b.t.Errorf("held %d frames, of which %d are accounted for: %+v", c.Held, sum, c)
	}
	if b.r.buffers != nil && b.r.popped == nil && b.r.ready.n == 0 && b.r.buffers.limit == 0 {
		if n := b.r.buffers.InUse(); n != b.r.Held() {
			b.t.Errorf("%d buffers in use for %d frames held", n, b.r.Held())
		}
	}
	if b.r.Held() == 0 != b.r.Deadline().IsZero() {
		b.t.Errorf("%d held, deadline %v", b.r.Held(), b.r.Deadline())
	}
}

// permutations calls f with every order of 0..n-1.
func permutations(n int, f func([]int)) {
	var rec func(p []int, k int)
	rec = func(p []int, k int) {
		if k == len(p) {
			f(p)
			return
		}
		for i := k; i < len(p); i++ {
			p[k], p[i] = p[i], p[k]
			rec(p, k+1)
			p[k], p[i] = p[i], p[k]
		}
	}
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	rec(p, 0)
}

// "data messages may use sequence numbers to [...] restore the original sequence
// of packets that may have been reordered during transport."
func TestEveryPermutationIsRestored(t *testing.T) {
	for _, start := range []int{0, 1<<15 - 2, 1<<16 - 3} {
		permutations(6, func(p []int) {
			b := newBench(t, Config{ReorderTimeout: time.Second})
			b.r.nr = uint16(start)
			for _, i := range p {
				b.send(start+i, true)
			}
			b.want(start, start+1, start+2, start+3, start+4, start+5)
			if c := b.r.Counters(); c.Lost+c.Late+c.Duplicate+c.Released != 0 || c.Received != 6 {
				t.Fatalf("%v: %+v", p, c)
			}
			b.conserved()
		})
	}
}

// With no timeout each frame goes at once or never: those that come after one
// sent later are dropped.
func TestEveryPermutationWithoutHolding(t *testing.T) {
	permutations(6, func(p []int) {
		b := newBench(t, Config{})
		var want []int
		for _, i := range p {
			v := b.send(i, true)
			switch ahead := len(want) == 0 || i > want[len(want)-1]; {
			case ahead && v == Deliver:
				want = append(want, i)
			case ahead || v != DropLate:
				t.Fatalf("%v: frame %d: %v", p, i, v)
			}
			if !b.r.Deadline().IsZero() || b.r.Held() != 0 {
				t.Fatalf("%v: holds a frame", p)
			}
		}
		b.want(want...)
	})
}

func TestWrap(t *testing.T) {
	b := newBench(t, Config{ReorderTimeout: time.Second})
	const n = 3 << 16
	for i := 0; i < n; i += 2 { // each pair swapped
		b.send(i+1, true)
		b.send(i, true)
	}
	for i, got := range b.out {
		if got != i {
			t.Fatalf("place %d: frame %d", i, got)
		}
	}
	c := b.r.Counters()
	if len(b.out) != n || c.Reordered != n/2 || c.InOrder != n/2 || c.Lost != 0 || c.Resynced != 0 {
		t.Errorf("%d out, %+v", len(b.out), c)
	}
}

func TestGapIsHeldForTheTimeoutAtMost(t *testing.T) {
	const T = 100 * time.Millisecond
	b := newBench(t, Config{ReorderTimeout: T})
	b.send(0, true)
	b.want(0)
	if !b.r.Deadline().IsZero() {
		t.Fatal("a deadline without a gap")
	}
	b.send(2, true)
	b.advance(T - time.Nanosecond)
	b.want()
	if got := b.r.Deadline(); !got.Equal(epoch.Add(T)) {
		t.Fatalf("deadline %v", got.Sub(epoch))
	}
	b.send(3, true)
	b.advance(time.Nanosecond)
	b.want(2, 3)
	if v := b.send(1, true); v != DropLate {
		t.Errorf("frame 1 after its gap was given up: %v", v)
	}
	b.send(4, true)
	b.want(4)
	c := b.r.Counters()
	want := Counters{Received: 5, InOrder: 2, Held: 2, Released: 2, Late: 1, Lost: 1, TimedOut: 1}
	if c != want {
		t.Errorf("%+v\nwant %+v", c, want)
	}
}

// The frame with the lowest number may have come last; the others do not wait
// for its time.
func TestEachFrameHasItsOwnTime(t *testing.T) {
	const T = 100 * time.Millisecond
	b := newBench(t, Config{ReorderTimeout: T})
	b.send(3, true)
	b.advance(30 * time.Millisecond)
	b.send(6, true)
	b.advance(30 * time.Millisecond)
	b.send(2, true)
	b.advance(40 * time.Millisecond)
	b.want(2, 3) // 3's time is over, and 2 comes before it
	if got := b.r.Deadline(); !got.Equal(epoch.Add(30*time.Millisecond + T)) {
		t.Fatalf("deadline %v", got.Sub(epoch))
	}
	b.advance(29 * time.Millisecond)
	b.want()
	b.advance(time.Millisecond)
	b.want(6)
	if c := b.r.Counters(); c.TimedOut != 2 || c.Lost != 4 {
		t.Errorf("%+v", c)
	}
}

// A frame that comes in time to fill a gap fills it, even if Expire was late.
func TestReceiveFillsBeforeItExpires(t *testing.T) {
	b := newBench(t, Config{ReorderTimeout: time.Second})
	b.send(1, true)
	b.send(3, true)
	b.now = epoch.Add(time.Minute)
	if v := b.send(0, true); v != Deliver {
		t.Fatal(v)
	}
	b.want(0, 1, 3) // and 3 has waited for long enough
	b.send(5, true)
	b.now = b.now.Add(time.Minute)
	if v := b.send(6, true); v != Held {
		t.Fatal(v)
	}
	b.want(5, 6)
	if c := b.r.Counters(); c.TimedOut != 2 || c.Lost != 2 || c.Reordered != 1 || c.Released != 3 {
		t.Errorf("%+v", c)
	}
}

func TestLateAndDuplicate(t *testing.T) {
	b := newBench(t, Config{ReorderTimeout: time.Second})
	for _, n := range []int{0, 1, 2, 4, 6} {
		b.send(n, true)
	}
	for n, want := range map[int]Verdict{0: DropDuplicate, 2: DropDuplicate, 4: DropDuplicate,
		6: DropDuplicate, -1: DropLate, -200: DropLate} {
		if v := b.send(n, true); v != want {
			t.Errorf("frame %d: %v, want %v", n, v, want)
		}
	}
	b.advance(time.Second)
	for n, want := range map[int]Verdict{3: DropLate, 5: DropLate, 4: DropDuplicate, 6: DropDuplicate} {
		if v := b.send(n, true); v != want {
			t.Errorf("frame %d: %v, want %v", n, v, want)
		}
	}
	b.want(0, 1, 2, 4, 6)
	if c := b.r.Counters(); c.Late != 4 || c.Duplicate != 6 || c.TimedOut != 2 {
		t.Errorf("%+v", c)
	}
}

// "If this AVP is present during session setup, sequence numbers MUST be present
// at all times."
func TestMissingNumberIsDroppedWhereRequired(t *testing.T) {
	for _, lns := range []bool{false, true} {
		b := newBench(t, Config{LNS: lns, Required: true, ReorderTimeout: time.Second})
		b.send(0, true)
		b.send(2, true)
		if v := b.send(77, false); v != DropMissingNs || !v.Dropped() {
			t.Errorf("LNS %v: %v", lns, v)
		}
		b.want(0)
		if b.r.Held() != 1 {
			t.Error("and it moved the queue")
		}
		b.send(1, true)
		b.want(1, 2)
		if c := b.r.Counters(); c.MissingNs != 1 || c.Unsequenced != 0 || c.Received != 4 {
			t.Errorf("LNS %v: %+v", lns, c)
		}
	}
}

// "The LNS controls enabling and disabling of sequence numbers by sending a data
// message with or without sequence numbers present at any time during the life
// of a session."
func TestSequencingOffFlushesTheQueue(t *testing.T) {
	b := newBench(t, Config{ReorderTimeout: time.Second})
	for _, n := range []int{0, 2, 3, 6} {
		b.send(n, true)
	}
	b.want(0)
	if v := b.send(100, false); v != Held {
		t.Fatalf("%v: goes before the frames that were sent before it", v)
	}
	b.want(2, 3, 6, 100)
	if v := b.send(101, false); v != Deliver {
		t.Fatal(v)
	}
	b.want(101)
	// "If the LNS enables sequencing after disabling it earlier in the session,
	// the sequence number state picks up where it left off before."
	b.send(8, true)
	b.want()
	b.send(7, true)
	b.want(7, 8)
	c := b.r.Counters()
	want := Counters{Received: 8, InOrder: 2, Unsequenced: 2, Held: 4, Reordered: 1, Released: 3, Lost: 3}
	if c != want {
		t.Errorf("%+v\nwant %+v", c, want)
	}
}

func TestFullQueueGivesUpTheOldestGap(t *testing.T) {
	b := newBench(t, Config{ReorderTimeout: time.Hour, MaxHeld: 4})
	for _, n := range []int{2, 3, 9, 6} { // gaps before 2, 6 and 9
		b.send(n, true)
	}
	b.want()
	if v := b.send(10, true); v != Held {
		t.Fatal(v)
	}
	b.want(2, 3)
	b.send(20, true)
	b.want()
	if v := b.send(4, true); v != Deliver {
		t.Error("the gap that was given up was not the oldest only")
	}
	b.want(4)
	b.send(5, true)
	b.want(5, 6)
	if c := b.r.Counters(); c.Overflow != 1 || c.Lost != 2 || b.r.Held() != 3 {
		t.Errorf("%+v, %d held", c, b.r.Held())
	}
	// One that fills the queue and is itself the first.
	b.send(30, true)
	b.want()
	b.send(8, true)
	b.want(8, 9, 10)
}

func TestSharedBuffersRunOut(t *testing.T) {
	for _, first := range []int{0, 1<<16 - 10, 1<<16 - 4} {
		testSharedBuffersRunOut(t, first)
	}
}

// testSharedBuffersRunOut has the first session begin at number first.
func testSharedBuffersRunOut(t *testing.T, first int) {
	t.Helper()
	pool := NewBuffers(2)
	cfg := Config{ReorderTimeout: time.Hour, Buffers: pool}
	a, b := newBench(t, cfg), newBench(t, cfg)
	a.r.nr = uint16(first)
	a.send(first+5, true)
	a.send(first+9, true)
	if n := pool.InUse(); n != 2 {
		t.Fatal(n)
	}
	// Nothing held: the gap is given up and the frame goes.
	if v := b.send(3, true); v != Deliver {
		t.Fatal(v)
	}
	b.want(3)
	// Before all that is held: the same.
	if v := a.send(first+4, true); v != Deliver {
		t.Fatal(v)
	}
	a.want(first+4, first+5)
	if pool.InUse() != 1 {
		t.Fatal(pool.InUse())
	}
	b.send(6, true)
	// After what is held: what is held goes, and the frame is dropped.
	if v := a.send(first+12, true); v != DropNoBuffer {
		t.Fatal(v)
	}
	a.want(first + 9)
	c := a.r.Counters()
	if c.NoBuffer != 1 || c.Overflow != 2 || c.Lost != 4+3 {
		t.Errorf("%+v", c)
	}
	b.r.Close()
	if pool.InUse() != 0 || b.r.Counters().Discarded != 1 {
		t.Errorf("%d buffers kept by a closed session", pool.InUse())
	}
	if _, ok := b.r.Pop(); ok {
		t.Error("a closed session has frames")
	}
}

// A peer that starts again at zero, far from where it was, and one that was away
// for more than half of the number space.
func TestNewNumberingIsTakenOver(t *testing.T) {
	for name, jump := range map[string]int{"reset": -5000, "outage": 40000, "just out of history": -100} {
		for _, timeout := range []time.Duration{0, time.Second} {
			b := newBench(t, Config{ReorderTimeout: timeout})
			b.r.nr = 5000
			b.send(5000, true)
			if timeout > 0 {
				b.send(5003, true) // held when the jump comes
			}
			b.out = nil
			at := 5001 + jump
			for i := range resyncRun - 1 {
				if v := b.send(at+i, true); v != DropLate {
					t.Fatalf("%s: frame %d of the run: %v", name, i, v)
				}
				if v := b.send(at+i, true); v != DropLate { // the path doubles them
					t.Fatalf("%s: frame %d again: %v", name, i, v)
				}
			}
			b.want()
			next := at + resyncRun - 1
			b.send(next, true)
			if timeout > 0 {
				b.want(5003, next)
			} else {
				b.want(next)
			}
			b.send(next+1, true)
			b.want(next + 1)
			// What was passed on under the old numbering says nothing now.
			if v := b.send(next-1, true); v != DropLate {
				t.Errorf("%s: the frame before: %v", name, v)
			}
			if c := b.r.Counters(); c.Resynced != 1 || c.Late != 2*(resyncRun-1)+1 {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

// What is no run does not move us: a frame as expected in between, or numbers
// that do not follow each other, or a burst on a slower path.
func TestStrayFramesDoNotMoveUs(t *testing.T) {
	b := newBench(t, Config{})
	next := 10000
	b.r.nr = uint16(next)
	for i := range 100 {
		if i%(resyncRun-1) == 0 {
			b.send(next, true)
			next++
		}
		if v := b.send(2000+i, true); v != DropLate {
			t.Fatalf("stray %d: %v", i, v)
		}
	}
	for i := range 100 {
		if v := b.send(2000+3*i, true); v != DropLate {
			t.Fatalf("stray %d: %v", i, v)
		}
	}
	for i := history; i > 0; i-- {
		if v := b.send(next-i, true); !v.Dropped() {
			t.Fatalf("%d back: %v", i, v)
		}
	}
	if c := b.r.Counters(); c.Resynced != 0 || c.Lost != 0 {
		t.Errorf("%+v", c)
	}
}

// A run counts as long as it is out of history, and no longer.
func TestRunAtTheEdgeOfHistory(t *testing.T) {
	for end, want := range map[int]uint64{history: 0, history + 1: 1} {
		b := newBench(t, Config{})
		b.r.nr = 1000
		for back := end + resyncRun - 1; back >= end; back-- {
			b.send(1000-back, true)
		}
		if c := b.r.Counters(); c.Resynced != want || c.Late != resyncRun-want {
			t.Errorf("a run that ends %d back: %+v", end, c)
		}
	}
}

// One frame with a number far ahead, which came from nowhere, costs no more than
// a run.
func TestStrayFarAhead(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Second} {
		b := newBench(t, Config{ReorderTimeout: timeout})
		for i := range 100 {
			b.send(i, true)
		}
		b.send(20000, true)
		b.advance(timeout)
		b.out = nil
		for i := range 20 {
			b.send(100+i, true)
		}
		if len(b.out) != 20-(resyncRun-1) || b.out[0] != 100+resyncRun-1 {
			t.Errorf("timeout %v: after a stray, out %v", timeout, b.out)
		}
	}
}

// A caller that does not drain loses neither order nor the bound.
func TestCallerThatDoesNotPop(t *testing.T) {
	b := newBench(t, Config{ReorderTimeout: time.Hour, MaxHeld: 4})
	f := func(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	b.r.Receive(b.now, true, 1, f(1))
	b.r.Receive(b.now, true, 2, f(2))
	if v := b.r.Receive(b.now, true, 0, f(0)); v != Deliver {
		t.Fatal(v)
	}
	if v := b.r.Receive(b.now, true, 3, f(3)); v != Held {
		t.Fatalf("%v: goes before 1 and 2", v)
	}
	b.drain()
	b.want(1, 2, 3)
	for i := 5; i < 500; i += 2 {
		b.r.Receive(b.now, true, uint16(i), f(i))
	}
	if n := b.r.buffers.InUse(); n > 3*4 {
		t.Errorf("%d buffers in use", n)
	}
	b.drain()
	if !slices.IsSorted(b.out) {
		t.Errorf("out of order: %v", b.out)
	}
}

func TestPoppedFrameIsValidUntilTheNextCall(t *testing.T) {
	b := newBench(t, Config{ReorderTimeout: time.Hour})
	for _, n := range []int{1, 2} {
		b.r.Receive(b.now, true, uint16(n), fmt.Appendf(nil, "frame %d", n))
	}
	b.r.Receive(b.now, true, 0, nil)
	one, _ := b.r.Pop()
	b.r.Counters()
	if string(one) != "frame 1" {
		t.Errorf("%q", one)
	}
	if two, _ := b.r.Pop(); string(two) != "frame 2" {
		t.Errorf("%q", two)
	}
	if _, ok := b.r.Pop(); ok {
		t.Error("a third frame")
	}
}

func TestLongFramesDoNotStayInMemory(t *testing.T) {
	p := NewBuffers(0)
	p.put(p.get(make([]byte, keepBuffer+1)))
	if p.free.data != nil {
		t.Errorf("kept %d octets", cap(p.free.data))
	}
	p.put(p.get(make([]byte, newBuffer+1)))
	if cap(p.free.data) <= newBuffer {
		t.Errorf("did not keep %d octets", newBuffer+1)
	}
}

func TestVerdictString(t *testing.T) {
	seen := map[string]bool{}
	for v := Deliver; v <= DropNoBuffer; v++ {
		if s := v.String(); s == "unknown" || seen[s] {
			t.Errorf("verdict %d is called %q", v, s)
		} else {
			seen[s] = true
		}
		if v.Dropped() != (v > Held) {
			t.Errorf("%v: dropped %v", v, v.Dropped())
		}
	}
	if Verdict(99).String() != "unknown" {
		t.Error("a verdict that is none has a name")
	}
}
