package engine

import (
	"sync"
	"sync/atomic"
)

// idBits is how many bits of a hash choose a bucket of an idTable: with 100,000 IDs a
// bucket has six.
const (
	idBits    = 14
	idBuckets = 1 << idBits
)

// idTable finds a tunnel or a session by an ID of 32 bits, without a lock for readers.
// RFC 3931 section 4.1: "L2TP sessions are named by identifiers that have local
// significance only." And no Control Connection ID is in a data message, so that a Session
// ID is of one session among all of this end.
//
// A bucket is a small slice that never changes; a writer puts another in its place.
type idTable struct {
	buckets [idBuckets]atomic.Pointer[[]idEntry]
	mu      sync.Mutex // of writers
}

// idEntry is an ID that is taken. Of a session, slot is its tunnel, and session is nil
// before it has a bridge.
type idEntry struct {
	id      uint32
	slot    *tunnelSlot
	session *dataSession
}

// idBucket spreads IDs that follow each other, as people configure them, and those that
// have the shard in their low bits.
func idBucket(id uint32) uint32 { return id * 0x9e3779b1 >> (32 - idBits) }

// find returns nils for an ID that nobody has.
func (t *idTable) find(id uint32) (*tunnelSlot, *dataSession) {
	b := t.buckets[idBucket(id)].Load()
	if b == nil {
		return nil, nil
	}
	for i := range *b {
		if e := &(*b)[i]; e.id == id {
			return e.slot, e.session
		}
	}
	return nil, nil
}

// claim enters slot under id unless the ID is taken, or zero.
func (t *idTable) claim(id uint32, slot *tunnelSlot) bool {
	if id == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if taken, _ := t.find(id); taken != nil {
		return false
	}
	t.replace(id, idEntry{id, slot, nil}, true)
	return true
}

// set enters the session, or nil, under an ID that slot has claimed.
func (t *idTable) set(id uint32, slot *tunnelSlot, d *dataSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if owner, _ := t.find(id); owner == slot {
		t.replace(id, idEntry{id, slot, d}, true)
	}
}

// release frees an ID that slot has claimed.
func (t *idTable) release(id uint32, slot *tunnelSlot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if owner, _ := t.find(id); owner == slot {
		t.replace(id, idEntry{}, false)
	}
}

// replace puts e in the place of the entry of id, or takes that away.
func (t *idTable) replace(id uint32, e idEntry, keep bool) {
	bucket := &t.buckets[idBucket(id)]
	var next []idEntry
	if old := bucket.Load(); old != nil {
		next = make([]idEntry, 0, len(*old)+1)
		for _, other := range *old {
			if other.id != id {
				next = append(next, other)
			}
		}
	}
	if keep {
		next = append(next, e)
	}
	if len(next) == 0 {
		bucket.Store(nil)
		return
	}
	bucket.Store(&next)
}

// count is how many IDs are taken.
func (t *idTable) count() (n int) {
	for i := range t.buckets {
		if b := t.buckets[i].Load(); b != nil {
			n += len(*b)
		}
	}
	return n
}
