package radius

import "time"

// flow is how many requests may be under way to a port of a server: as many as it
// serves at one time, and a few that wait there so that it is never idle.
//
// RADIUS has no flow control. What comes faster than the server takes it waits in the
// buffer of its socket, which has room for some 160 requests as Linux sets it up, and
// what does not fit is lost and sent again after seconds. So a burst of logins must
// wait here, not there. How many wait there shows in how long answers take: with n
// under way, answers that take twice the least time mean that n/2 of them wait.
type flow struct {
	size   int           // 0: leastWindow
	base   time.Duration // the least time that an answer took lately; 0: not known
	baseAt time.Time     // when that was measured
}

const (
	// startWindow is how many may be under way to a server that is not known as yet.
	startWindow = 64
	// lostWindow is the least, after requests were lost.
	lostWindow = 16
	// fewQueued at the server let the window grow, manyQueued make it smaller, down to
	// startWindow.
	fewQueued, manyQueued = 32, 96
	// baseAge is for how long base is believed: the way to the server may change. What
	// an answer takes while so many are under way is not base, if more are.
	baseAge  = 30 * time.Second
	baseMost = 8
)

// limit is how many requests may be under way, at most those of the configuration.
func (f *flow) limit(most int) int {
	if f.size == 0 {
		f.size = startWindow
	}
	return max(1, min(f.size, most))
}

// answered learns from an answer to a request that was sent once. The request was one
// of underWay.
func (f *flow) answered(now time.Time, took time.Duration, underWay, most int) {
	took = max(took, time.Microsecond)
	if f.base == 0 || took <= f.base || underWay <= baseMost && now.Sub(f.baseAt) > baseAge {
		f.base, f.baseAt = took, now
	}
	queued := int(float64(underWay) * float64(took-f.base) / float64(took))
	switch {
	case queued < fewQueued && underWay >= f.limit(most) && f.size < most:
		f.size++
	case queued > manyQueued && f.size > startWindow:
		f.size--
	}
}

// lost learns from a request that was left without an answer.
func (f *flow) lost() { f.size = max(lostWindow, f.size/2) }
