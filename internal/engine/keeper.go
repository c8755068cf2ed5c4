package engine

import (
	"math/rand/v2"
	"time"

	"github.com/sirupsen/logrus"

	"adit/proto/tunnel"
)

// Wanted is a call to be kept up on a tunnel. Spec is asked each time that it is
// placed, because an address may be given to each attempt.
type Wanted struct {
	Call tunnel.Call
	Spec func() (*CallSpec, error)
}

// Keeper keeps a set of calls up on one tunnel: each is placed at once, and
// again after a pause when it ends. Its methods are for a Handler's methods.
type Keeper struct {
	tunnel             *Tunnel
	retryMin, retryMax time.Duration
	calls              map[*Call]*kept
	pausing            map[*kept]*time.Timer
	stopped            bool
}

// kept is one of the calls; it is either placed or pausing.
type kept struct {
	wanted   Wanted
	failures int
	upSince  time.Time
}

// KeepCalls places the calls on t.
func KeepCalls(t *Tunnel, wanted []Wanted, retryMin, retryMax time.Duration) *Keeper {
	k := &Keeper{
		tunnel: t, retryMin: retryMin, retryMax: retryMax,
		calls: make(map[*Call]*kept, len(wanted)), pausing: make(map[*kept]*time.Timer),
	}
	for _, w := range wanted {
		k.place(&kept{wanted: w})
	}
	return k
}

func (k *Keeper) place(w *kept) {
	spec, err := w.wanted.Spec()
	if err != nil {
		k.tunnel.log.WithError(err).Warn("cannot place a call")
		k.again(w, k.tunnel.log, false)
		return
	}
	k.calls[k.tunnel.PlaceCall(w.wanted.Call, spec)] = w
}

// Up notes that a call is established.
func (k *Keeper) Up(c *Call) {
	if w := k.calls[c]; w != nil {
		w.upSince = time.Now()
	}
}

// Down has a call that ended placed again. One that lasted clears the count of
// failures.
func (k *Keeper) Down(c *Call) {
	w := k.calls[c]
	if w == nil {
		return
	}
	delete(k.calls, c)
	if k.stopped {
		return
	}
	if !w.upSince.IsZero() && time.Since(w.upSince) >= k.retryMax {
		w.failures = 0
	}
	w.upSince = time.Time{}
	k.again(w, c.log, c.cause.Err == tunnel.ErrSessionTie)
}

// again places the call after a pause that doubles with each failure; log has the fields
// of the one before, if there was one. After a tie there is a little chance in it: the
// peer may pause as long, and "both sides MUST tear down the session" (RFC 3931 section
// 5.4.4) would hold each time that the two meet again.
func (k *Keeper) again(w *kept, log *logrus.Entry, tied bool) {
	w.failures++
	pause := Backoff(w.failures, k.retryMin, k.retryMax)
	if tied {
		pause += rand.N(pause/4 + 1)
	}
	log.WithField("pause", pause.String()).Info("will place the call again")
	k.pausing[w] = time.AfterFunc(pause, func() {
		k.tunnel.shard.post(func() {
			if !k.stopped {
				delete(k.pausing, w)
				k.place(w)
			}
		})
	})
}

// Stop places no more calls: the tunnel is down.
func (k *Keeper) Stop() {
	k.stopped = true
	for _, timer := range k.pausing {
		timer.Stop()
	}
	clear(k.pausing)
}

// Backoff is the pause before attempt n+1 after n failures in a row, n >= 1:
// least, doubled for each failure after the first, and at most the most.
func Backoff(failures int, least, most time.Duration) time.Duration {
	pause := least
	for range failures - 1 {
		if pause >= most/2 {
			return most
		}
		pause *= 2
	}
	return min(pause, most)
}
