package lns

import (
	"sync"
	"sync/atomic"
	"time"

	"adit/internal/config"
	"adit/pppbridge"
	"adit/proto/ppp"
)

// How many lines about refused peers the log takes at once, and then a second: a
// peer that tries passwords must not fill it.
const (
	refusalBurst = 20
	refusalRate  = 1
)

// access decides which peers of the built-in endpoint may come in: the users of
// the configuration. It answers at once, and is safe for use by every shard.
type access struct {
	users             *users
	accepted, refused atomic.Uint64

	mu     sync.Mutex // of the log's measure
	now    func() time.Time
	last   time.Time
	tokens float64
	left   uint64 // lines left out since the last
}

var _ pppbridge.Access = (*access)(nil)

// newAccess makes the access of a validated configuration.
func newAccess(cfg *config.Config) *access {
	return &access{users: newUsers(cfg.Users), now: time.Now, tokens: refusalBurst}
}

// Authenticate judges what a peer said to show who it is. The user's own address
// and routes come with the verdict; where there are none, those of the session
// hold.
func (a *access) Authenticate(spec *pppbridge.Spec, req ppp.AuthRequest, answer func(ppp.Verdict)) {
	user, v := a.users.judge(req)
	switch {
	case v.Accept:
		a.accepted.Add(1)
	case v.State != nil: // EAP goes on
	default:
		a.refused.Add(1)
		a.logRefusal(spec, req, user != nil)
	}
	answer(v)
}

// logRefusal tells the operator what the peer is not told.
func (a *access) logRefusal(spec *pppbridge.Spec, req ppp.AuthRequest, known bool) {
	if spec == nil || spec.Log == nil {
		return
	}
	left, ok := a.line()
	if !ok {
		return
	}
	entry := spec.Log
	if left > 0 {
		entry = entry.WithField("left_out", left)
	}
	if known {
		entry.Infof("user %q is refused: what it showed does not fit the password", req.Name)
		return
	}
	entry.Infof("user %q is refused: no [[users]] block has this name", req.Name)
}

// line says whether the log may take one more line, and how many it did not since
// the last.
func (a *access) line() (left uint64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if !a.last.IsZero() {
		a.tokens = min(refusalBurst, a.tokens+now.Sub(a.last).Seconds()*refusalRate)
	}
	a.last = now
	if a.tokens < 1 {
		a.left++
		return 0, false
	}
	a.tokens--
	left, a.left = a.left, 0
	return left, true
}
