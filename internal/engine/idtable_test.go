package engine

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestIDTable(t *testing.T) {
	tb := new(idTable)
	a, b := &tunnelSlot{}, &tunnelSlot{}
	if tb.claim(0, a) {
		t.Error("ID 0 was given out")
	}
	if !tb.claim(7, a) || tb.claim(7, b) {
		t.Error("claim")
	}
	d := &dataSession{}
	tb.set(7, b, d) // not b's
	if slot, got := tb.find(7); slot != a || got != nil {
		t.Error("set by another than the owner")
	}
	tb.set(7, a, d)
	tb.set(8, a, d) // not claimed
	tb.release(7, b)
	if slot, got := tb.find(7); slot != a || got != d {
		t.Error("the entry is lost")
	}
	if slot, got := tb.find(8); slot != nil || got != nil || tb.count() != 1 {
		t.Error("an entry that nobody claimed")
	}
	tb.release(7, a)
	if slot, _ := tb.find(7); slot != nil || tb.count() != 0 {
		t.Error("release")
	}
}

// TestIDTableOfMany: IDs by chance, and IDs that follow each other, share buckets and
// are told apart; no bucket has many.
func TestIDTableOfMany(t *testing.T) {
	const many = 40000
	tb, r := new(idTable), rand.New(rand.NewPCG(1, 2))
	slots := map[uint32]*tunnelSlot{}
	for i := range uint32(many) {
		for _, id := range []uint32{i + 1, r.Uint32() | 1<<31, i << 6} {
			s := &tunnelSlot{}
			if _, taken := slots[id]; tb.claim(id, s) == (taken || id == 0) {
				t.Fatalf("claim of %d, taken %v", id, taken)
			} else if !taken && id != 0 {
				slots[id] = s
			}
		}
	}
	longest := 0
	for i := range tb.buckets {
		if b := tb.buckets[i].Load(); b != nil {
			longest = max(longest, len(*b))
		}
	}
	if longest > 40 { // eight in the mean
		t.Errorf("a bucket has %d IDs", longest)
	}
	for id, s := range slots {
		if got, _ := tb.find(id); got != s {
			t.Fatalf("%d is not found", id)
		}
		if id%2 == 0 {
			tb.release(id, s)
		}
	}
	for id, s := range slots {
		if got, _ := tb.find(id); (got == s) != (id%2 == 1) {
			t.Fatalf("%d after half of them were released", id)
		}
	}
}

// TestIDTableReadersNeedNoLock: what a writer does to an ID is not seen in part, and
// others' IDs are always there.
func TestIDTableReadersNeedNoLock(t *testing.T) {
	tb := new(idTable)
	var neighbours [2]uint32 // of one bucket
	for id := uint32(2); neighbours[1] == 0; id++ {
		if idBucket(id) == idBucket(1) {
			neighbours[1] = id
		}
	}
	neighbours[0] = 1
	steady, flaky := &tunnelSlot{}, &tunnelSlot{}
	tb.claim(neighbours[0], steady)
	d := &dataSession{}
	tb.set(neighbours[0], steady, d)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if s, got := tb.find(neighbours[0]); s != steady || got != d {
					t.Error("a session vanished for a while")
					return
				}
				if s, _ := tb.find(neighbours[1]); s != nil && s != flaky {
					t.Error("an ID has the wrong owner")
					return
				}
			}
		})
	}
	for range 5000 {
		tb.claim(neighbours[1], flaky)
		tb.set(neighbours[1], flaky, d)
		tb.release(neighbours[1], flaky)
	}
	close(done)
	wg.Wait()
}

// One Tunnel ID in the kernel is of one tunnel, whatever its version: one that a
// configured tunnel has there is given to no other.
func TestForeignTunnelIDs(t *testing.T) {
	e, err := newEngine(Options{Rand: bytes.NewReader([]byte{0, 5, 0, 9, 0, 5, 0, 9, 0, 6, 0, 9, 0, 7, 0, 9})})
	must(t, err)
	e.ReserveTunnelID(5)
	e.ReserveTunnelID(0x60009)
	if id := e.shards[0].freeID(false); id != 6 && id != 7 {
		t.Errorf("tunnel %d", id)
	}
	e.FreeTunnelID(5)
	e.opt.Rand = bytes.NewReader([]byte{0, 6, 0, 9, 0, 5, 0, 9, 0, 5, 0, 9})
	if id := e.shards[0].freeID(true); id != 0x50009 {
		t.Errorf("tunnel %#x", id)
	}
	if id := e.shards[0].freeID(false); id != 5 {
		t.Errorf("tunnel %d, which is free again", id)
	}
}
