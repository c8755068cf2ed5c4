package engine

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// How many lines strangers, and callers in one tunnel, may cause in the log: so
// many at once, and so many a second in the long run.
const (
	sparingBurst = 20
	sparingRate  = 1
)

// sparing bounds the log lines that a peer can cause without our doing: an SCCRQ
// or an ICRQ that is refused costs it one packet. What is left out is counted,
// and the next line says how much it was. The zero value is ready for use; any
// goroutine may use it.
type sparing struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
	left   int // lines left out since the last one
}

// log writes the line if it may be written now.
func (s *sparing) log(entry *logrus.Entry, level logrus.Level, line string) {
	left, ok := s.take(time.Now())
	if !ok {
		return
	}
	if left > 0 {
		entry = entry.WithField("left_out", left)
	}
	entry.Log(level, line)
}

func (s *sparing) take(now time.Time) (left int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.IsZero() {
		s.tokens = sparingBurst
	} else {
		s.tokens = min(sparingBurst, s.tokens+now.Sub(s.last).Seconds()*sparingRate)
	}
	s.last = now
	if s.tokens < 1 {
		s.left++
		return 0, false
	}
	s.tokens--
	left, s.left = s.left, 0
	return left, true
}
