package pppbridge

import (
	"sync/atomic"
	"time"
)

// starter bounds how many pppds are starting at one time, and their rate.
// Everything but waiting belongs to the poller's goroutine.
type starter struct {
	limit      int
	perSecond  int
	maxWaiting int64

	waiting atomic.Int64
	queue   []*pppd
	active  int       // started, not settled
	next    time.Time // when the rate allows the next start
}

func newStarter(limit, perSecond, maxWaiting int) *starter {
	return &starter{limit: limit, perSecond: perSecond, maxWaiting: int64(maxWaiting)}
}

// reserve takes a place in the queue, from any goroutine.
func (s *starter) reserve() bool {
	if s.waiting.Add(1) > s.maxWaiting {
		s.waiting.Add(-1)
		return false
	}
	return true
}

func (s *starter) add(now time.Time, p *pppd) {
	s.queue = append(s.queue, p)
	s.pump(now)
}

// pump starts what may be started now.
func (s *starter) pump(now time.Time) {
	for len(s.queue) > 0 {
		if s.queue[0].state == stateWaiting {
			if s.active >= s.limit || now.Before(s.next) {
				return
			}
			s.active++
			if s.perSecond > 0 {
				s.next = now.Add(time.Second / time.Duration(s.perSecond))
			}
			s.queue[0].start()
		}
		// Else it was closed while it waited.
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.waiting.Add(-1)
	}
	s.queue = nil
}

// done gives a starting place back.
func (s *starter) done(now time.Time) {
	s.active--
	s.pump(now)
}

// deadline is when the rate allows the next start, if only the rate holds it up.
func (s *starter) deadline() time.Time {
	if len(s.queue) == 0 || s.active >= s.limit {
		return time.Time{}
	}
	return s.next
}
