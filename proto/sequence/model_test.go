package sequence

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"adit/internal/simnet"
)

// model is the reorder queue again, in the plainest way: numbers without end
// and a map. It has no resynchronisation: its input gives no cause.
type model struct {
	next    int
	timeout time.Duration
	max     int
	waiting map[int]time.Time
	out     []int
}

func (m *model) upTo(n int) {
	for _, k := range slices.Sorted(maps.Keys(m.waiting)) {
		if k > n && k != m.next {
			break
		}
		m.out = append(m.out, k)
		delete(m.waiting, k)
		m.next = k + 1
	}
}

func (m *model) receive(now time.Time, n int) {
	_, dup := m.waiting[n]
	switch {
	case n < m.next || dup:
	case n == m.next || m.timeout == 0:
		m.out = append(m.out, n)
		m.next = n + 1
		m.upTo(m.next)
	default:
		m.waiting[n] = now.Add(m.timeout)
		if len(m.waiting) > m.max {
			m.upTo(slices.Min(slices.Collect(maps.Keys(m.waiting))))
		}
	}
	m.expire(now)
}

func (m *model) expire(now time.Time) {
	last := m.next - 1
	for k, t := range m.waiting {
		if !t.After(now) {
			last = max(last, k)
		}
	}
	if last >= m.next {
		m.upTo(last)
	}
}

// arrival is a frame on its way.
type arrival struct {
	n  int
	at time.Duration
}

// path sends frames from first on, one each millisecond, and loses, doubles and
// delays some. The longest delay keeps late frames within history.
func path(rng *rand.Rand, first, n int) []arrival {
	loss, dup := rng.Float64()*0.2, rng.Float64()*0.1
	delay := 1 + rng.IntN(20)
	var a []arrival
	for i := range n {
		for range 1 + b2i(rng.Float64() < dup) {
			if rng.Float64() >= loss {
				d := time.Duration(rng.IntN(delay*1000)) * time.Microsecond
				a = append(a, arrival{first + i, time.Duration(i)*time.Millisecond + d})
			}
		}
	}
	sort.SliceStable(a, func(i, j int) bool { return a[i].at < a[j].at })
	return a
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestAgainstModel(t *testing.T) {
	timeouts := []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond}
	pool := NewBuffers(0)
	for seed := range uint64(simnet.Rounds(2500)) {
		rng := rand.New(rand.NewPCG(seed, 661))
		timeout := timeouts[rng.IntN(len(timeouts))]
		maxHeld := 1 + rng.IntN(30)
		bits := []int{Bits16, Bits24}[rng.IntN(2)]
		first := rng.IntN(2) * (1<<bits - 30) // half of them wrap
		b := newBench(t, Config{Bits: bits, ReorderTimeout: timeout, MaxHeld: maxHeld, Buffers: pool})
		b.expect(first)
		m := &model{next: first, timeout: timeout, max: maxHeld, waiting: map[int]time.Time{}}
		arrivals := path(rng, first, 100)
		for _, a := range arrivals {
			at := epoch.Add(a.at)
			// The owner's timer is exact, or does not come before the next frame.
			for d := b.r.Deadline(); !d.IsZero() && d.Before(at) && rng.IntN(4) > 0; d = b.r.Deadline() {
				b.advance(d.Sub(b.now))
				m.expire(d)
			}
			b.advance(0)
			b.now = at
			b.send(a.n, true)
			m.receive(at, a.n)
			if b.r.Held() != len(m.waiting) {
				t.Fatalf("seed %d: after %d at %v: %d held, model %d", seed, a.n, a.at, b.r.Held(), len(m.waiting))
			}
			if b.r.Held() > maxHeld {
				t.Fatalf("seed %d: %d held of %d", seed, b.r.Held(), maxHeld)
			}
			if d := b.r.Deadline(); !d.IsZero() && (!d.After(at) || d.After(at.Add(timeout))) {
				t.Fatalf("seed %d: at %v the deadline is %v", seed, a.at, d.Sub(epoch))
			}
		}
		b.advance(timeout)
		m.expire(b.now)
		if !slices.Equal(b.out, m.out) {
			t.Fatalf("seed %d (%d bits, timeout %v, max %d):\nin    %v\nout   %v\nmodel %v", seed, bits, timeout, maxHeld, arrivals, b.out, m.out)
		}
		checkRun(t, seed, b, arrivals)
	}
	if n := pool.InUse(); n != 0 {
		t.Errorf("%d buffers leaked", n)
	}
}

// checkRun holds what came out of one run against what has to be true of any.
func checkRun(t *testing.T, seed uint64, b *bench, arrivals []arrival) {
	t.Helper()
	for i := 1; i < len(b.out); i++ {
		if b.out[i] <= b.out[i-1] {
			t.Fatalf("seed %d: %d after %d", seed, b.out[i], b.out[i-1])
		}
	}
	c := b.r.Counters()
	if c.Received != uint64(len(arrivals)) {
		t.Fatalf("seed %d: %d received, counted %+v", seed, len(arrivals), c)
	}
	if got := c.InOrder + c.Reordered + c.Released; got != uint64(len(b.out)) {
		t.Fatalf("seed %d: %d out, counted %+v", seed, len(b.out), c)
	}
	if c.Resynced != 0 || c.NoBuffer != 0 || b.r.Held() != 0 {
		t.Fatalf("seed %d: %d held, %+v", seed, b.r.Held(), c)
	}
	if next := uint32(b.out[len(b.out)-1]+1) << b.r.shift; b.r.nr != next {
		t.Fatalf("seed %d: %d is expected after %d", seed, b.expected(), b.out[len(b.out)-1])
	}
	b.conserved()
}

// When the path only delays, and by less than the timeout, nothing is lost.
func TestNothingIsLostToReordering(t *testing.T) {
	for seed := range uint64(simnet.Rounds(1000)) {
		rng := rand.New(rand.NewPCG(seed, 1662))
		bits := []int{Bits16, Bits24}[seed%2]
		b := newBench(t, Config{Bits: bits, ReorderTimeout: 30 * time.Millisecond})
		first := 1<<bits - 50
		b.expect(first)
		var a []arrival
		for i := range 100 {
			a = append(a, arrival{first + i, time.Duration(i*1000+rng.IntN(30000)) * time.Microsecond})
		}
		sort.SliceStable(a, func(i, j int) bool { return a[i].at < a[j].at })
		for _, a := range a {
			b.advance(epoch.Add(a.at).Sub(b.now))
			b.send(a.n, true)
		}
		if len(b.out) != 100 || !slices.IsSorted(b.out) {
			t.Fatalf("seed %d: %v", seed, b.out)
		}
	}
}

// FuzzReceiver plays any sequence of calls: no panic, no buffer lost, no frame
// held beyond its time or the bound, and numbered frames out in order except
// where the peer's numbering was taken over.
func FuzzReceiver(f *testing.F) {
	for _, v3 := range []bool{false, true} {
		f.Add(v3, []byte{0, 0, 1, 0, 2, 1, 5, 0, 4, 0})
		f.Add(v3, []byte{0, 0, 3, 3, 9, 2, 40, 4, 200, 0, 7, 5, 1, 0})
	}
	f.Fuzz(func(t *testing.T, v3 bool, ops []byte) {
		const T = 10 * time.Millisecond
		const unnumbered = 1 << 40
		pool := NewBuffers(6)
		bits := Bits16
		if v3 {
			bits = Bits24
		}
		b := newBench(t, Config{Bits: bits, ReorderTimeout: T, MaxHeld: 4, Buffers: pool})
		next, resynced := uint32(0), uint64(0) // next as Receiver.nr
		for len(ops) >= 2 {
			arg, op := int(ops[0]), ops[1]%6
			ops = ops[2:]
			switch op {
			case 0, 1:
				b.send(1<<bits+b.expected()+arg-64, true)
			case 2:
				b.send(arg<<(bits-8), true)
			case 3:
				b.send(unnumbered, false)
			case 4:
				b.advance(time.Duration(arg) * time.Millisecond / 8)
			case 5:
				b.r.Flush()
				b.drain()
			}
			// A resynchronisation may go back, once, between what it flushed
			// and the frame that brought it about.
			n := b.r.Counters().Resynced
			anew := n != resynced
			resynced = n
			for _, n := range b.out {
				if n == unnumbered {
					continue
				}
				// Up to half of the numbers may be given up between two frames.
				ns := uint32(n) << b.r.shift
				if gap := int32(ns - next); gap < 0 && !anew {
					t.Fatalf("%#x where %#x is the least", ns, next)
				}
				next = ns + b.r.step()
			}
			b.out = nil
			if b.r.Held() > 4 || pool.InUse() != b.r.Held() {
				t.Fatalf("%d held, %d buffers", b.r.Held(), pool.InUse())
			}
			if d := b.r.Deadline(); !d.IsZero() && d.After(b.now.Add(T)) {
				t.Fatalf("deadline %v from now", d.Sub(b.now))
			}
			b.conserved()
		}
		b.r.Close()
		if pool.InUse() != 0 {
			t.Fatal("buffers kept")
		}
	})
}
