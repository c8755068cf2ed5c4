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

// bothSizes runs f for each size of numbers.
func bothSizes(t *testing.T, f func(t *testing.T, bits int)) {
	t.Helper()
	for _, bits := range []int{Bits16, Bits24} {
		t.Run(fmt.Sprintf("%d bits", bits), func(t *testing.T) { f(t, bits) })
	}
}

// expect makes n the number expected next.
func (b *bench) expect(n int) { b.r.nr = uint32(n) << b.r.shift }

// expected is the number expected next.
func (b *bench) expected() int { return int(b.r.nr >> b.r.shift) }

// send lets frame n come in, numbered or not; the frame says n.
func (b *bench) send(n int, hasNs bool) Verdict {
	b.t.Helper()
	binary.BigEndian.PutUint64(wire[:], uint64(n))
	v := b.r.Receive(b.now, hasNs, uint32(n), wire[:])
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
