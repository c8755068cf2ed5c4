package pool

import (
	"net/netip"
	"time"
)

// claim is a prefix that somebody else chose and that no pool gives out as it
// is: it lies in none, or it is larger or smaller than what a pool gives. While
// it is there, what overlaps with it waits here, so that a Take comes across it
// once and not each time.
type claim struct {
	prefix netip.Prefix
	leases []*lease
	fresh  []poolSpan
}

type poolSpan struct {
	pool *pool
	span
}

// expireAtOnce bounds the claims that leave the quarantine in one call.
const expireAtOnce = 64

// expire ends the quarantine of at most n claims.
func (s *Set) expire(now time.Time, n int) {
	if len(s.waiting) == 0 || now.Before(s.until) {
		return
	}
	for ; n > 0 && len(s.waiting) > 0; n-- {
		l := s.waiting[0]
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		if l.state == quarantined { // else a Claim came before
			s.drop(l, now)
		}
	}
}

// blocker is a claim that has addresses of prefix; nil: none has.
func (s *Set) blocker(prefix netip.Prefix, now time.Time) *lease {
	for s.claims.OverlapsPrefix(prefix) {
		l := s.overlapping(prefix)
		if l.state == inUse || now.Before(s.until) {
			return l
		}
		s.drop(l, now)
	}
	return nil
}

// drop ends a claim, and says so in the file.
func (s *Set) drop(l *lease, now time.Time) {
	l.since, l.state = now.UnixNano(), resting
	s.write(l, now)
	s.release(l)
}

func (s *Set) overlapping(prefix netip.Prefix) *lease {
	for _, l := range s.claims.Supernets(prefix) {
		return l
	}
	for _, l := range s.claims.Subnets(prefix) {
		return l
	}
	return nil
}

// claimed says whether a claim in use has addresses of prefix. One in quarantine
// gives way.
func (s *Set) claimed(prefix netip.Prefix, now time.Time) bool {
	if !s.claims.OverlapsPrefix(prefix) {
		return false
	}
	var old []*lease
	for _, l := range s.claims.Supernets(prefix) {
		if l.state == inUse {
			return true
		}
		old = append(old, l)
	}
	for _, l := range s.claims.Subnets(prefix) {
		if l.state == inUse {
			return true
		}
		old = append(old, l)
	}
	for _, l := range old {
		if l.state == quarantined { // it may have come twice
			s.drop(l, now)
		}
	}
	return false
}

// park sets a lease aside until the claim ends. It stays in its holder's chain.
func (s *Set) park(l, by *lease) {
	listOf(l).remove(l)
	s.remembered--
	l.state = parked
	by.claim.leases = append(by.claim.leases, l)
}

// release ends a claim and frees what waits for that.
func (s *Set) release(l *lease) {
	s.claims.Delete(l.prefix())
	s.unkeep(l)
	l.state = resting
	for _, waiting := range l.claim.fresh {
		waiting.pool.free.putBack(waiting.span)
	}
	// They had rested longest, so their places are near the heads of the lists,
	// each after that of the one before.
	for _, waiting := range l.claim.leases {
		if waiting.state != parked {
			continue
		}
		rest := &waiting.pool.rest
		before := rest.head
		for before != nil && before.since < waiting.since {
			before = before.next
		}
		waiting.state = resting
		rest.insert(waiting, before)
		s.remembered++
	}
	l.claim.leases, l.claim.fresh = nil, nil
}
