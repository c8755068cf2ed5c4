package sequence

import (
	"testing"
	"time"
)

// RFC 3931 appendix C: "Utilization of a Data Sequencing Level [...] of 1 (only non-IP data
// packets require sequencing) allows IP data packets being tunneled by L2TP to not utilize sequence
// numbers, while utilizing sequence numbers and enforcing packet order for any remaining
// non-IP data packets."
func TestSomeFramesWithoutNumbers(t *testing.T) {
	const T = 100 * time.Millisecond
	b := newBench(t, Config{Bits: Bits24, ReorderTimeout: T})
	b.send(0, true)
	b.send(2, true)
	b.want(0)
	// One without a number overtakes what is held, and does not end the wait.
	if v := b.send(1000, false); v != Deliver {
		t.Fatal(v)
	}
	b.want(1000)
	if b.r.Held() != 1 {
		t.Fatalf("%d held", b.r.Held())
	}
	b.send(1, true)
	b.want(1, 2)
	// It is a moment to look at the clock, as any frame is.
	b.send(4, true)
	b.now = b.now.Add(T)
	b.send(1001, false)
	b.want(1001, 4)
	want := Counters{Received: 6, InOrder: 2, Unsequenced: 2, Held: 2, Reordered: 1, Released: 1, Lost: 1, TimedOut: 1}
	if c := b.r.Counters(); c != want {
		t.Errorf("%+v\nwant %+v", c, want)
	}
}

// Frames that the caller has not taken yet do not make one without a number wait, and
// are not lost by it.
func TestUnnumberedFrameDoesNotQueue(t *testing.T) {
	b := newBench(t, Config{Bits: Bits24, ReorderTimeout: time.Second})
	for _, n := range []uint32{1, 2, 0} {
		b.r.Receive(b.now, true, n, []byte{byte(n)})
	}
	if v := b.r.Receive(b.now, false, 0, []byte{99}); v != Deliver {
		t.Fatal(v)
	}
	for _, want := range []byte{1, 2} {
		if f, ok := b.r.Pop(); !ok || f[0] != want {
			t.Fatalf("%v (%v), want %d", f, ok, want)
		}
	}
	if _, ok := b.r.Pop(); ok {
		t.Error("one more")
	}
}
