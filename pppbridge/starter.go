package pppbridge

import "sync/atomic"

// starter bounds how many pppds are starting at one time. Everything but waiting
// belongs to the poller's goroutine.
type starter struct {
	limit      int
	maxWaiting int64

	waiting atomic.Int64
	queue   []*pppd
	active  int // started, not settled
}

func newStarter(limit, maxWaiting int) *starter {
	return &starter{limit: limit, maxWaiting: int64(maxWaiting)}
}

// reserve takes a place in the queue, from any goroutine.
func (s *starter) reserve() bool {
	if s.waiting.Add(1) > s.maxWaiting {
		s.waiting.Add(-1)
		return false
	}
	return true
}

func (s *starter) add(p *pppd) {
	s.queue = append(s.queue, p)
	s.pump()
}

// pump starts what may be started now.
func (s *starter) pump() {
	for len(s.queue) > 0 {
		if s.queue[0].state == stateWaiting {
			if s.active >= s.limit {
				return
			}
			s.active++
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
func (s *starter) done() {
	s.active--
	s.pump()
}
