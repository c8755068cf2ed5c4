package sequence

import (
	"testing"
	"time"
	"unsafe"
)

// paths are the ways of a frame, each doing one round of frames from number n
// on and returning the next number.
var paths = []struct {
	name string
	cfg  Config
	skip uint32 // numbers used by a round
	step func(r *Receiver, now time.Time, n uint32, frame []byte)
}{
	{"in order", Config{ReorderTimeout: time.Second}, 1,
		func(r *Receiver, now time.Time, n uint32, frame []byte) { take(r, now, n, frame) }},
	{"24 bits", Config{Bits: Bits24, ReorderTimeout: time.Second}, 1,
		func(r *Receiver, now time.Time, n uint32, frame []byte) { take(r, now, n, frame) }},
	{"24 bits, some without numbers", Config{Bits: Bits24, ReorderTimeout: time.Second}, 2,
		func(r *Receiver, now time.Time, n uint32, frame []byte) {
			take(r, now, n+1, frame)
			r.Receive(now, false, 0, frame)
			take(r, now, n, frame)
		}},
	{"without numbers", Config{}, 0,
		func(r *Receiver, now time.Time, _ uint32, frame []byte) { r.Receive(now, false, 0, frame); popAll(r) }},
	{"pair swapped", Config{ReorderTimeout: time.Second}, 2,
		func(r *Receiver, now time.Time, n uint32, frame []byte) {
			take(r, now, n+1, frame)
			take(r, now, n, frame)
		}},
	{"gap timed out", Config{ReorderTimeout: time.Second}, 2,
		func(r *Receiver, now time.Time, n uint32, frame []byte) {
			take(r, now, n+1, frame)
			r.Expire(now.Add(time.Second))
			popAll(r)
		}},
	{"late and duplicate", Config{}, 2,
		func(r *Receiver, now time.Time, n uint32, frame []byte) {
			take(r, now, n+1, frame)
			take(r, now, n, frame)
			take(r, now, n+1, frame)
		}},
	{"queue full", Config{ReorderTimeout: time.Hour, MaxHeld: 16}, 2,
		func(r *Receiver, now time.Time, n uint32, frame []byte) { take(r, now, n+1, frame) }},
}

func take(r *Receiver, now time.Time, n uint32, frame []byte) {
	r.Receive(now, true, n, frame)
	popAll(r)
}

func popAll(r *Receiver) {
	for _, ok := r.Pop(); ok; _, ok = r.Pop() {
	}
}

func TestNoAllocationPerFrame(t *testing.T) {
	frame := make([]byte, 1500)
	for _, p := range paths {
		s, n := New(p.cfg), uint32(0)
		round := func() {
			p.step(&s.Receiver, epoch, n, frame)
			n += p.skip
		}
		for range 100 {
			round() // buffers are made at the first gaps
		}
		if a := testing.AllocsPerRun(1000, round); a != 0 {
			t.Errorf("%s: %v allocations", p.name, a)
		}
	}
	s := New(Config{Send: true})
	if a := testing.AllocsPerRun(1000, func() { s.Sender.Next() }); a != 0 {
		t.Errorf("sender: %v allocations", a)
	}
}

// 100,000 sessions without a gap are to cost no more than this each.
func TestSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 320 {
		t.Errorf("a session takes %d octets", n)
	}
	s := New(Config{ReorderTimeout: time.Second})
	take(&s.Receiver, epoch, 0, make([]byte, 1500))
	if s.Receiver.buffers != nil {
		t.Error("buffers before the first gap")
	}
}

func BenchmarkReceive(b *testing.B) {
	frame := make([]byte, 1400)
	for _, p := range paths {
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			s, n := New(p.cfg), uint32(0)
			for b.Loop() {
				p.step(&s.Receiver, epoch, n, frame)
				n += p.skip
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	b.ReportAllocs()
	s := New(Config{Send: true})
	for b.Loop() {
		s.Sender.Next()
	}
}
