package tunnel

import (
	"io"
	"math/bits"
	"time"

	"adit/proto/l2tp"
)

// idQuarantine is how long a Session ID stays unused after its call: longer
// than a full retransmission cycle, so that no late message of the old call, and
// no data message that is still under way, meets a new one.
const idQuarantine = 60 * time.Second

const pageSize = 256

// idSpace gives out local Session IDs: never 0, unpredictable, and not soon
// again after they were freed. They come from few pages of 256 neighbours, as a
// data plane keeps its sessions in a table of 256 pages: an ID is drawn at
// random from a page, and a page at random once those in use are full.
type idSpace struct {
	pages []idPage
	has   bitmap // of page numbers
	freed []freedID
}

// bitmap is a set of octets.
type bitmap [4]uint64

func (b *bitmap) get(i uint8) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b *bitmap) set(i uint8)      { b[i>>6] |= 1 << (i & 63) }
func (b *bitmap) clear(i uint8)    { b[i>>6] &^= 1 << (i & 63) }

// nextClear finds the first octet at or after i, going round, that is not in the
// set; false if all are.
func (b *bitmap) nextClear(i uint8) (uint8, bool) {
	w := int(i >> 6)
	word := b[w] | (1<<(i&63) - 1)
	for n := 0; n <= len(b); n++ {
		if word != ^uint64(0) {
			return uint8(w<<6 + bits.TrailingZeros64(^word)), true
		}
		w = (w + 1) % len(b)
		word = b[w]
	}
	return 0, false
}

type idPage struct {
	number uint8
	used   bitmap // in use or in quarantine
	count  int
}

type freedID struct {
	id uint32
	at time.Time
}

// take finds an ID that is not in use and marks it used. Errors:
// ErrTooManySessions, or that of r.
func (s *idSpace) take(now time.Time, r io.Reader) (uint32, error) {
	for len(s.freed) > 0 && now.Sub(s.freed[0].at) >= idQuarantine {
		s.release()
	}
	var random [2]byte
	if _, err := io.ReadFull(r, random[:]); err != nil {
		return 0, err
	}
	p := s.pageWithRoom(random[0])
	if p == nil {
		// Every ID is in use or in quarantine: the one that was freed first is
		// the least bad choice.
		if len(s.freed) == 0 {
			return 0, ErrTooManySessions
		}
		s.release()
		p = s.pageWithRoom(random[0])
	}
	slot, _ := p.used.nextClear(random[1])
	p.used.set(slot)
	p.count++
	return uint32(p.number)<<8 | uint32(slot), nil
}

// free puts an ID in quarantine.
func (s *idSpace) free(now time.Time, id uint32) {
	if s.taken(id) {
		s.freed = append(s.freed, freedID{id, now})
	}
}

// taken says whether the ID is in use or in quarantine.
func (s *idSpace) taken(id uint32) bool {
	if id > 0xffff {
		return false
	}
	p := s.page(uint8(id >> 8))
	return p != nil && p.used.get(uint8(id))
}

// release ends the quarantine of the ID that was freed first.
func (s *idSpace) release() {
	id := s.freed[0].id
	s.freed = s.freed[1:]
	if len(s.freed) == 0 {
		s.freed = nil
	}
	p := s.page(uint8(id >> 8))
	p.used.clear(uint8(id))
	p.count--
}

func (s *idSpace) page(number uint8) *idPage {
	for i := range s.pages {
		if s.pages[i].number == number {
			return &s.pages[i]
		}
	}
	return nil
}

// pageWithRoom finds the oldest page that has room, or makes one at or after a
// random number; nil if all are full.
func (s *idSpace) pageWithRoom(random uint8) *idPage {
	for i := range s.pages {
		if s.pages[i].count < pageSize {
			return &s.pages[i]
		}
	}
	number, ok := s.has.nextClear(random)
	if !ok {
		return nil
	}
	s.has.set(number)
	p := idPage{number: number}
	if number == 0 {
		// "The Assigned Session ID is a 2 octet non-zero unsigned integer."
		p.used.set(0)
		p.count = 1
	}
	s.pages = append(s.pages, p)
	return &s.pages[len(s.pages)-1]
}

// newSessionID takes an ID for a new session. Errors: ErrTooManySessions,
// ErrRandom.
func (t *Tunnel) newSessionID(now time.Time) (uint32, error) {
	if len(t.sessions) >= t.cfg.MaxSessions {
		return 0, ErrTooManySessions
	}
	if t.cfg.NewSessionID != nil {
		id := t.cfg.NewSessionID()
		if _, used := t.sessions[id]; used || id == 0 || id > 0xffff && t.version != l2tp.Version3 {
			return 0, ErrTooManySessions
		}
		return id, nil
	}
	if t.cfg.Rand == nil {
		return 0, ErrRandom
	}
	var id uint32
	var err error
	if t.version == l2tp.Version3 {
		id, err = t.wideIDs.take(now, t.cfg.Rand, func(id uint32) bool { return t.sessions[id] != nil || t.ids.taken(id) })
	} else {
		id, err = t.ids.take(now, t.cfg.Rand)
	}
	if err != nil && err != ErrTooManySessions {
		return 0, ErrRandom
	}
	return id, err
}

// refusalID is an ID for the Assigned Session ID AVP of a CDN that refuses a
// call for which we keep no state. It must not be 0, and it must not be that of
// a call that is there; no message can come for it.
func (t *Tunnel) refusalID() uint32 {
	var random [2]byte
	if t.cfg.Rand != nil {
		// A failure leaves 0, which is as good a place to start.
		_, _ = io.ReadFull(t.cfg.Rand, random[:])
	}
	// In version 3 too: nobody asks for more of an ID that nothing has.
	id := uint32(random[0])<<8 | uint32(random[1])
	for range 1 << 16 {
		if _, used := t.sessions[id]; id != 0 && !used {
			return id
		}
		id = (id + 1) & 0xffff
	}
	return 1
}
