package pool

import (
	"fmt"
	"net/netip"
	"time"
)

// state says where a lease is.
type state uint8

// The states. Each but inUse and parked is a list of the pool.
const (
	inUse       state = iota
	resting           // given back: in pool.rest
	quarantined       // in use when the daemon was killed: in pool.quarantined, or in Set.waiting
	parked            // it rests, but a claim has addresses of it: in claim.leases
)

var stateNames = [...]string{"in use", "resting", "quarantined", "parked"}

func (s state) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// lease is a prefix that somebody has or had.
type lease struct {
	pool   *pool  // nil: a claim of something that no pool gives out
	index  uint64 // number in the pool
	holder string // who has it or had it last
	since  int64  // it was taken or given back, Unix ns
	claim  *claim // if pool is nil

	prev, next   *lease // in a list of the pool
	newer, older *lease // in the chain of what the holder had
	slot         int32  // in Set.all; unkept: it does not go to disk
	state        state
}

const unkept = -1

func (l *lease) prefix() netip.Prefix {
	if l.pool == nil {
		return l.claim.prefix
	}
	return l.pool.at(l.index)
}

// list is a doubly linked list of leases, what was given back first at its head.
type list struct {
	head, tail *lease
	n          int
}

func (q *list) push(l *lease) { q.insert(l, nil) }

// insert puts l before another one; nil: at the end.
func (q *list) insert(l, before *lease) {
	l.next, l.prev = before, q.tail
	if before != nil {
		l.prev = before.prev
		before.prev = l
	} else {
		q.tail = l
	}
	if l.prev != nil {
		l.prev.next = l
	} else {
		q.head = l
	}
	q.n++
}

func (q *list) remove(l *lease) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		q.head = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		q.tail = l.prev
	}
	l.prev, l.next = nil, nil
	q.n--
}

// listOf is the list of the pool in which l is; nil: in none.
func listOf(l *lease) *list {
	switch l.state {
	case resting:
		return &l.pool.rest
	case quarantined:
		return &l.pool.quarantined
	case inUse, parked:
		return nil
	}
	return nil
}

// newLease makes a lease that is in no list.
func (s *Set) newLease(p *pool, i uint64) *lease {
	l := &lease{pool: p, index: i}
	p.leases[i] = l
	p.free.touch(i)
	s.keep(l)
	return l
}

// keep has the lease written to disk.
func (s *Set) keep(l *lease) {
	l.slot = int32(len(s.all))
	s.all = append(s.all, l)
}

// unkeep undoes keep. The compaction goes through s.all from its end, so it does
// not miss the one that changes its place here.
func (s *Set) unkeep(l *lease) {
	if l.slot == unkept {
		return
	}
	last := len(s.all) - 1
	s.all[l.slot] = s.all[last]
	s.all[l.slot].slot = l.slot
	s.all[last] = nil
	s.all = s.all[:last]
	l.slot = unkept
}

// list puts a lease of a pool into the list of its state and into its holder's
// chain, as what was given back last.
func (s *Set) list(l *lease) {
	listOf(l).push(l)
	s.chain(l)
	s.remembered++
}

func (s *Set) chain(l *lease) {
	if l.holder == "" {
		return
	}
	l.older = l.pool.had[l.holder]
	if l.older != nil {
		l.older.newer = l
	}
	l.pool.had[l.holder] = l
}

func (s *Set) unlist(l *lease) {
	if q := listOf(l); q != nil {
		q.remove(l)
		s.remembered--
	}
	s.unchain(l)
}

func (s *Set) unchain(l *lease) {
	switch {
	case l.newer != nil:
		l.newer.older = l.older
	case l.older != nil:
		l.pool.had[l.holder] = l.older
	case l.holder != "" && l.pool.had[l.holder] == l:
		delete(l.pool.had, l.holder)
	}
	if l.older != nil {
		l.older.newer = l.newer
	}
	l.newer, l.older = nil, nil
}

// chainDepth bounds the search for one that no claim has addresses of among what
// a holder had. More than one step is rare: somebody else has to have chosen an
// address that the holder had.
const chainDepth = 16

// hadBy is what the holder gave back last and can have again; nil: nothing.
func (s *Set) hadBy(p *pool, holder string, now time.Time) *lease {
	if holder == "" {
		return nil
	}
	l := p.had[holder]
	for range chainDepth {
		if l == nil || s.blocker(l.prefix(), now) == nil {
			return l
		}
		l = l.older
	}
	return nil
}

// rested is the lease that has rested longest and that anybody can have.
func (s *Set) rested(p *pool, now time.Time) *lease {
	for {
		l := p.rest.head
		if q := p.quarantined.head; q != nil && !now.Before(s.until) && (l == nil || q.since < l.since) {
			l = q
		}
		if l == nil {
			return nil
		}
		by := s.blocker(l.prefix(), now)
		if by == nil {
			return l
		}
		s.park(l, by)
	}
}

// fresh is the number of one that nobody has had.
func (s *Set) fresh(p *pool, now time.Time) (uint64, bool) {
	for {
		next, ok := p.free.peek()
		if !ok {
			return 0, false
		}
		i := next.first
		if p.leases[i] != nil {
			p.free.pass(i)
			continue
		}
		by := s.blocker(p.at(i), now)
		if by == nil {
			p.free.pass(i)
			return i, true
		}
		last := min(next.last, p.lastIn(by.prefix(), i))
		by.claim.fresh = append(by.claim.fresh, poolSpan{p, span{i, last}})
		p.free.pass(last)
	}
}

// forget keeps the bound on what is remembered.
func (s *Set) forget() {
	for s.remembered > s.remain {
		var oldest *lease
		for _, p := range s.pools {
			if l := p.rest.head; l != nil && (oldest == nil || l.since < oldest.since) {
				oldest = l
			}
		}
		if oldest == nil {
			return
		}
		s.unlist(oldest)
		s.unkeep(oldest)
		delete(oldest.pool.leases, oldest.index)
		oldest.pool.free.putBack(span{oldest.index, oldest.index})
		s.counts.forgotten++
	}
}
