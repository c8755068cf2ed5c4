// Package sparing bounds the log lines that others can cause without our doing:
// peers that are refused, and programs that we have started. What is left out is
// counted, so that the log says that something is missing from it.
package sparing

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// Bucket is a token bucket that begins full. It belongs to one goroutine. The
// zero value is ready for use.
type Bucket struct {
	tokens float64
	last   time.Time // of the last Take; zero: none as yet
}

// Take takes a token at the time now, if there is one: so many at once, and so
// many a second in the long run. Both are those of the Bucket's every Take; the
// burst is 1 at least.
func (b *Bucket) Take(now time.Time, burst, perSecond float64) bool {
	if b.last.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+now.Sub(b.last).Seconds()*perSecond)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// How many lines a Lines lets through: so many at once, and so many a second in
// the long run.
const (
	Burst = 20
	Rate  = 1
)

// Lines are the lines of one kind that peers can cause: a request that is refused
// costs them one packet. What is left out is counted, and the next line says how
// much it was, in the field left_out. The zero value is ready for use; any
// goroutine may use it.
type Lines struct {
	mu     sync.Mutex
	bucket Bucket
	left   int // lines left out since the last one
}

// Log writes the line if it may be written now.
func (l *Lines) Log(entry *logrus.Entry, level logrus.Level, line string) {
	left, ok := l.take(time.Now())
	if !ok {
		return
	}
	if left > 0 {
		entry = entry.WithField("left_out", left)
	}
	entry.Log(level, line)
}

// take says whether a line may be written, and how many were not since the last.
func (l *Lines) take(now time.Time) (left int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.bucket.Take(now, Burst, Rate) {
		l.left++
		return 0, false
	}
	left, l.left = l.left, 0
	return left, true
}
