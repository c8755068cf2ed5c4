package sequence

import (
	"testing"
	"time"
)

// A peer that starts again at zero, far from where it was, and one that was away
// for more than half of the number space.
func TestNewNumberingIsTakenOver(t *testing.T) {
	bothSizes(t, testNewNumbering)
}

func testNewNumbering(t *testing.T, bits int) {
	outage := 1<<(bits-1) + 7232
	for name, jump := range map[string]int{"reset": -5000, "outage": outage, "just out of history": -100} {
		for _, timeout := range []time.Duration{0, time.Second} {
			b := newBench(t, Config{Bits: bits, ReorderTimeout: timeout})
			b.expect(5000)
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
func TestStrayFramesDoNotMoveUs(t *testing.T) { bothSizes(t, testStrayFrames) }

func testStrayFrames(t *testing.T, bits int) {
	b := newBench(t, Config{Bits: bits})
	next := 10000
	b.expect(next)
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
		if v := b.send(next-i, true); v < DropLate {
			t.Fatalf("%d back: %v", i, v)
		}
	}
	if c := b.r.Counters(); c.Resynced != 0 || c.Lost != 0 {
		t.Errorf("%+v", c)
	}
}

// A run counts as long as it is out of history, and no longer.
func TestRunAtTheEdgeOfHistory(t *testing.T) { bothSizes(t, testRunAtTheEdge) }

func testRunAtTheEdge(t *testing.T, bits int) {
	for end, want := range map[int]uint64{history: 0, history + 1: 1} {
		b := newBench(t, Config{Bits: bits})
		b.expect(1000)
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
func TestStrayFarAhead(t *testing.T) { bothSizes(t, testStrayFarAhead) }

func testStrayFarAhead(t *testing.T, bits int) {
	for _, timeout := range []time.Duration{0, time.Second} {
		b := newBench(t, Config{Bits: bits, ReorderTimeout: timeout})
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
