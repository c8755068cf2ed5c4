package sequence

import (
	"testing"
	"time"
)

// wire is one array for all frames in, as a socket's buffer is.
var wire [8]byte

// "data messages may use sequence numbers to [...] restore the original sequence
// of packets that may have been reordered during transport."
func TestEveryPermutationIsRestored(t *testing.T) {
	bothSizes(t, func(t *testing.T, bits int) {
		for _, start := range []int{0, 1<<(bits-1) - 2, 1<<bits - 3} {
			permutations(6, func(p []int) {
				b := newBench(t, Config{Bits: bits, ReorderTimeout: time.Second})
				b.expect(start)
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
	})
}

// With no timeout each frame goes at once or never: those that come after one
// sent later are dropped.
func TestEveryPermutationWithoutHolding(t *testing.T) {
	bothSizes(t, func(t *testing.T, bits int) {
		start := 1<<bits - 3
		permutations(6, func(p []int) {
			b := newBench(t, Config{Bits: bits})
			b.expect(start)
			var want []int
			for _, i := range p {
				i += start
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
	})
}

func TestWrap(t *testing.T) {
	bothSizes(t, func(t *testing.T, bits int) {
		b := newBench(t, Config{Bits: bits, ReorderTimeout: time.Second})
		const n = 3 << 16
		start := 1<<bits - 1<<16 // 16 bits wrap three times, 24 bits once
		b.expect(start)
		for i := start; i < start+n; i += 2 { // each pair swapped
			b.send(i+1, true)
			b.send(i, true)
		}
		for i, got := range b.out {
			if got != start+i {
				t.Fatalf("place %d: frame %d", i, got)
			}
		}
		c := b.r.Counters()
		if len(b.out) != n || c.Reordered != n/2 || c.InOrder != n/2 || c.Lost != 0 || c.Resynced != 0 {
			t.Errorf("%d out, %+v", len(b.out), c)
		}
	})
}

// "The sequence number in the header of a received message is considered less than or
// equal to the last received number if its value lies in the range of the last received
// number and the preceding (2^23-1) values, inclusive."
func TestHalfOfTheNumbersIsOld(t *testing.T) {
	bothSizes(t, func(t *testing.T, bits int) {
		half := 1 << (bits - 1)
		for _, last := range []int{0, 5, half, 2*half - 1} {
			for back, want := range map[int]Verdict{
				0: DropDuplicate, 1: DropLate, history + 1: DropLate, half - 2: DropLate, half - 1: DropLate,
				half: Deliver, half + 1: Deliver, 2*half - 1: Deliver,
			} {
				b := newBench(t, Config{Bits: bits})
				b.expect(last)
				b.send(last, true)
				if v := b.send(last-back, true); v != want {
					t.Errorf("%d before %d: %v, want %v", back, last, v, want)
				}
			}
		}
	})
}

// A caller may give the whole word that the number is in: what is above it does not
// count.
func TestBitsAboveTheNumberAreIgnored(t *testing.T) {
	bothSizes(t, func(t *testing.T, bits int) {
		b := newBench(t, Config{Bits: bits})
		for i := range 3 {
			if v := b.send(i|0x40<<24|0xa5<<bits, true); v != Deliver {
				t.Errorf("frame %d: %v", i, v)
			}
		}
	})
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
// at all times." And of L2TPv3: "If a Data Sequencing Level of 2 is specified, all
// traffic MUST be sequenced."
func TestMissingNumberIsDroppedWhereRequired(t *testing.T) {
	for i, lns := range []bool{false, true, false, true} {
		b := newBench(t, Config{Bits: []int{Bits16, Bits24}[i/2], LNS: lns, Required: true, ReorderTimeout: time.Second})
		b.send(0, true)
		b.send(2, true)
		if v := b.send(77, false); v != DropMissingNs {
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

// testSharedBuffersRunOut has the first session begin at number first.
func testSharedBuffersRunOut(t *testing.T, bits, first int) {
	t.Helper()
	pool := NewBuffers(2)
	cfg := Config{Bits: bits, ReorderTimeout: time.Hour, Buffers: pool}
	a, b := newBench(t, cfg), newBench(t, cfg)
	a.expect(first)
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

func TestVerdictString(t *testing.T) {
	seen := map[string]bool{}
	for v := Deliver; v <= DropNoBuffer; v++ {
		if s := v.String(); s == "unknown" || seen[s] {
			t.Errorf("verdict %d is called %q", v, s)
		} else {
			seen[s] = true
		}
	}
	if Verdict(99).String() != "unknown" {
		t.Error("a verdict that is none has a name")
	}
}
