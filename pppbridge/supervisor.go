package pppbridge

import (
	"time"

	"adit/internal/kernel"
)

// supervisor keeps the deadlines of all pppds. It belongs to the poller's
// goroutine. Each list has one timeout, so its order is that of
// its deadlines and no heap is needed.
type supervisor struct {
	poller      *kernel.Poller
	stopTimeout time.Duration

	starting []timedSession // until settled
	stopping []timedSession // until SIGKILL
	starter  *starter
	pacer    *pacer         // spaces the writes to synchronous terminals
	retry    *pacer         // tries full terminals again; both are made with the first PTY
	scratch  [16 << 10]byte // for reads in the poller's goroutine
}

type timedSession struct {
	at time.Time
	p  *pppd
}

func newSupervisor(p *kernel.Poller, stopTimeout time.Duration, s *starter) *supervisor {
	return &supervisor{poller: p, stopTimeout: stopTimeout, starter: s}
}

// Deadline is kernel.Timed's.
func (s *supervisor) Deadline() time.Time {
	var next time.Time
	for _, list := range [...][]timedSession{s.starting, s.stopping} {
		if len(list) > 0 && (next.IsZero() || list[0].at.Before(next)) {
			next = list[0].at
		}
	}
	return next
}

// Tick is kernel.Timed's.
func (s *supervisor) Tick(now time.Time) {
	for len(s.starting) > 0 && !s.starting[0].at.After(now) {
		p := s.starting[0].p
		s.starting = pop(s.starting)
		p.settle(now)
	}
	for len(s.stopping) > 0 && !s.stopping[0].at.After(now) {
		p := s.stopping[0].p
		s.stopping = pop(s.stopping)
		p.kill()
	}
}

// pop drops the first entry and lets go of the session in it.
func pop(list []timedSession) []timedSession {
	list[0].p = nil
	if len(list) == 1 {
		return list[:0:0]
	}
	return list[1:]
}
