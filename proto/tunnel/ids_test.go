package tunnel

import (
	"math/rand/v2"
	"testing"
	"time"
)

// RFC 2661 section 4.4.4: "The Assigned Session ID is a 2 octet non-zero unsigned
// integer." All 65,535 of them can be had, each once, and then no more.
func TestEverySessionIDOnce(t *testing.T) {
	var s idSpace
	r := randReader{rand.New(rand.NewPCG(1, 1))}
	seen := map[uint32]bool{}
	for i := range MaxSessions {
		id, err := s.take(epoch, r)
		if err != nil || id == 0 || seen[id] {
			t.Fatalf("ID %d: %d, %v, seen %v", i, id, err, seen[id])
		}
		seen[id] = true
		// Few pages: the next is begun when those there are full.
		if pages := len(s.pages); pages > i/(pageSize-1)+1 {
			t.Fatalf("%d pages for %d IDs", pages, i+1)
		}
	}
	if id, err := s.take(epoch, r); err != ErrTooManySessions {
		t.Fatalf("one more: %d, %v", id, err)
	}
	// With nothing else to be had, the ID freed first is used again.
	s.free(epoch, 4711)
	s.free(epoch, 4712)
	if id, err := s.take(epoch, r); err != nil || id != 4711 {
		t.Errorf("%d, %v", id, err)
	}
}

// An ID that was freed is not used again for idQuarantine.
func TestSessionIDQuarantine(t *testing.T) {
	var s idSpace
	r := randReader{rand.New(rand.NewPCG(2, 2))}
	now := epoch
	freedAt := map[uint32]time.Time{}
	reused := 0
	for range 20000 {
		now = now.Add(100 * time.Millisecond)
		id, err := s.take(now, r)
		if err != nil {
			t.Fatal(err)
		}
		if at, ok := freedAt[id]; ok {
			reused++
			if now.Sub(at) < idQuarantine {
				t.Fatalf("ID %d again after %v", id, now.Sub(at))
			}
		}
		if !s.taken(id) {
			t.Fatalf("ID %d is not taken", id)
		}
		s.free(now, id)
		freedAt[id] = now
	}
	// 600 IDs are in quarantine at a time: what is kept does not grow.
	if reused == 0 || len(s.pages) > 4 || len(s.freed) > 601 {
		t.Errorf("%d reused, %d pages, %d freed", reused, len(s.pages), len(s.freed))
	}
	s.free(now, 0) // not taken: nothing happens
	if s.freed[len(s.freed)-1].id == 0 {
		t.Error("ID 0 was freed")
	}
}

// IDs of different tunnels differ, and neighbours within one do not follow on
// each other.
func TestSessionIDsAreUnpredictable(t *testing.T) {
	firsts := map[uint32]bool{}
	steps := map[uint32]int{}
	for seed := range uint64(1000) {
		var s idSpace
		r := randReader{rand.New(rand.NewPCG(seed, 3))}
		a, _ := s.take(epoch, r)
		b, _ := s.take(epoch, r)
		firsts[a] = true
		steps[b-a]++
		if a>>8 != b>>8 {
			t.Fatalf("%#x and %#x are not of one page", a, b)
		}
	}
	if len(firsts) < 950 {
		t.Errorf("only %d first IDs in 1000 tunnels", len(firsts))
	}
	for step, n := range steps {
		if n > 30 {
			t.Errorf("the second ID is %d times the first + %d", n, step)
		}
	}
}

func TestBitmapNextClear(t *testing.T) {
	var b bitmap
	for i := range 256 {
		if got, ok := b.nextClear(uint8(i)); !ok || got != uint8(i) {
			t.Fatalf("empty: %d, %v for %d", got, ok, i)
		}
	}
	for i := range 256 {
		b.set(uint8(i))
	}
	if got, ok := b.nextClear(77); ok {
		t.Fatalf("full: %d", got)
	}
	for i := range 256 {
		b.clear(uint8(i))
		for _, from := range []int{0, i, i + 1, 255} {
			if got, ok := b.nextClear(uint8(from)); !ok || got != uint8(i) || b.get(got) {
				t.Fatalf("only %d: %d, %v from %d", i, got, ok, from)
			}
		}
		b.set(uint8(i))
	}
}

// Config.NewSessionID takes the place of the built-in choice.
func TestNewSessionID(t *testing.T) {
	next := uint32(0)
	cfg := testConfig()
	cfg.NewSessionID = func() uint32 { return next }
	p := dialled(t, cfg)
	p.step(PlaceCall{})
	if find[CallDown](p).Cause.Err != ErrTooManySessions {
		t.Errorf("ID 0: %v", p.actions)
	}
	next = 5
	p.step(PlaceCall{})
	if got := find[CallPlaced](p).Session; got != 5 {
		t.Errorf("ID %d", got)
	}
	p.step(PlaceCall{})
	if find[CallDown](p).Cause.Err != ErrTooManySessions {
		t.Errorf("ID in use: %v", p.actions)
	}
}
