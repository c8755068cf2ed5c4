package tunnel

import (
	"encoding/binary"
	"io"
	"time"

	"adit/proto/l2tp"
)

// wideIDs gives out local Session IDs of 32 bits. They are drawn at random from all of
// them. RFC 3931 section 4.1 of the Cookie, which not every session has: it
// "provides an additional level of guarantee that a data message has been directed to the
// proper session by the Session ID", and a Session ID that can be guessed gives less.
type wideIDs struct {
	// recent are those in quarantine, in the order of freed.
	recent map[uint32]struct{}
	freed  []freedID
}

// maxQuarantine is how many IDs are in quarantine at most, the latest: as many as version
// 2 has at all. A peer that begins and ends sessions as fast as it can costs no more.
const maxQuarantine = 65536

// wideTries is how often an ID is drawn. With all the sessions that there can be, one
// draw in 30,000 hits one that is taken.
const wideTries = 8

// take draws an ID that is neither 0 nor taken. Errors: ErrTooManySessions, or that of
// r.
func (s *wideIDs) take(now time.Time, r io.Reader, used func(uint32) bool) (uint32, error) {
	s.expire(now)
	for range wideTries {
		var b [4]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, err
		}
		id := binary.BigEndian.Uint32(b[:])
		// "The Local Session ID is a 4-octet non-zero unsigned integer."
		if id != 0 && !used(id) && !s.taken(id) {
			return id, nil
		}
	}
	return 0, ErrTooManySessions
}

// free puts an ID in quarantine.
func (s *wideIDs) free(now time.Time, id uint32) {
	s.expire(now)
	if s.recent == nil {
		s.recent = make(map[uint32]struct{})
	}
	if s.taken(id) {
		return
	}
	if len(s.freed) == maxQuarantine {
		s.release()
	}
	s.recent[id] = struct{}{}
	s.freed = append(s.freed, freedID{id, now})
}

// forget takes an ID out of quarantine.
func (s *wideIDs) forget(id uint32) { delete(s.recent, id) }

// release ends the quarantine of the ID that was freed first.
func (s *wideIDs) release() {
	s.forget(s.freed[0].id)
	s.freed = s.freed[1:]
}

// taken says whether the ID is in quarantine.
func (s *wideIDs) taken(id uint32) bool {
	_, ok := s.recent[id]
	return ok
}

func (s *wideIDs) expire(now time.Time) {
	for len(s.freed) > 0 && now.Sub(s.freed[0].at) >= idQuarantine {
		s.release()
	}
	if len(s.freed) == 0 {
		s.freed, s.recent = nil, nil
	}
}

// lateID says whether an ID is that of a call which has ended a short while ago.
func (t *Tunnel) lateID(id uint32) bool {
	if t.version == l2tp.Version3 {
		return t.wideIDs.taken(id)
	}
	return t.ids.taken(id)
}
