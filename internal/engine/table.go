package engine

import (
	"sync/atomic"
	"time"

	"adit/proto/l2tp"
)

// maxID is the greatest ID that L2TPv2 has on the wire.
const maxID = 0xffff

// table finds the session of a data frame by its IDs without a lock: readers load,
// the owning shard stores. Of version 2 there are two levels of pages below the
// tunnel, because both IDs are chosen by us, and none above maxID. Version 3 has a
// table of control connections and one of all sessions.
type table struct {
	tunnels     [maxID + 1]atomic.Pointer[tunnelSlot]
	connections idTable
	sessions    idTable
}

// tunnelSlot is what a reader may know of a tunnel: who owns it, from whom its
// frames may come, and its sessions.
type tunnelSlot struct {
	owner *shard // nil: of a static session
	path  atomic.Pointer[Path]
	pages [256]atomic.Pointer[sessionPage]
	// lastData is when the last data message came, after Engine.epoch; 0: never.
	lastData atomic.Int64
	// id3 is the Control Connection ID, for early3; 0 in version 2.
	id3 atomic.Uint32
	// earlyInInbox is how many frames of early are on their way to the owner.
	earlyInInbox atomic.Int32
}

type sessionPage [256]atomic.Pointer[dataSession]

// tunnel returns nil for an ID that nobody has, as is every one above maxID.
func (t *table) tunnel(id uint32) *tunnelSlot {
	if id > maxID {
		return nil
	}
	return t.tunnels[id].Load()
}

// connection finds a tunnel by the ID in a control message.
func (t *table) connection(version uint8, id uint32) *tunnelSlot {
	if version == l2tp.Version3 {
		slot, _ := t.connections.find(id)
		return slot
	}
	return t.tunnel(id)
}

// claim enters slot under id unless the ID is taken, zero or above maxID.
func (t *table) claim(id uint32, slot *tunnelSlot) bool {
	return id != 0 && id <= maxID && t.tunnels[id].CompareAndSwap(nil, slot)
}

func (t *table) release(id uint32) {
	if id <= maxID {
		t.tunnels[id].Store(nil)
	}
}

func (s *tunnelSlot) session(id uint32) *dataSession {
	if id > maxID {
		return nil
	}
	page := s.pages[id>>8].Load()
	if page == nil {
		return nil
	}
	return page[id&0xff].Load()
}

// heard notes that a data message came. All messages of a batch have one time,
// so that the store is once in a batch.
func (s *tunnelSlot) heard(at time.Duration) {
	if n := int64(at); s.lastData.Load() != n {
		s.lastData.Store(n)
	}
}

// set enters d under id, or clears the place when d is nil; there is no place
// above maxID. Only the owning shard calls it.
func (s *tunnelSlot) set(id uint32, d *dataSession) {
	if id > maxID {
		return
	}
	page := s.pages[id>>8].Load()
	if page == nil {
		if d == nil {
			return
		}
		page = new(sessionPage)
		s.pages[id>>8].Store(page)
	}
	page[id&0xff].Store(d)
}
