package sequence

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"
)

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
	bothSizes(t, func(t *testing.T, bits int) {
		for _, first := range []int{0, 1<<bits - 10, 1<<bits - 4} {
			testSharedBuffersRunOut(t, bits, first)
		}
	})
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
		b.r.Receive(b.now, true, uint32(i), f(i))
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
		b.r.Receive(b.now, true, uint32(n), fmt.Appendf(nil, "frame %d", n))
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
