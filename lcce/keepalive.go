package lcce

import (
	"net/netip"
	"time"
)

// keepalive is how a static tunnel, which has no HELLO, learns whether its peer lives:
// by echo requests to the peer's address, and by the data that comes.
type keepalive struct {
	token   uint32    // that echo requests have
	probeAt time.Time // of the next one; zero: there is no keepalive
	sent    bool      // a request was sent since the keepalive began
	heard   time.Time // the last answer, or when data was noticed; zero: never
	ticked  time.Time // the last time
	rx      uint64    // data messages until then, kernel plane
	silent  int       // intervals in a row without a sign of the peer
	dead    bool

	probes, answers uint64
	unsendable      bool // the log says that requests cannot be sent
}

// beginKeepalive sets the first echo request, as the configuration says now.
func (t *static) beginKeepalive(now time.Time) {
	t.probeAt, t.silent, t.sent = time.Time{}, 0, false
	if t.cfg.Keepalive > 0 {
		t.probeAt = now
	} else {
		t.revive(now)
	}
}

// tick ends one interval and begins the next.
func (t *static) tick(now time.Time) {
	signs := t.data(now)
	if !t.ticked.IsZero() && t.heard.After(t.ticked) {
		signs = true
	}
	switch {
	case signs:
		t.silent = 0
		t.revive(now)
	case t.sent:
		t.silent++
		if t.silent >= max(t.cfg.DeadAfter, 1) {
			t.die(now)
		}
	}
	t.ticked, t.probeAt = now, now.Add(t.cfg.Keepalive)
	t.probe()
}

// probe sends an echo request.
func (t *static) probe() {
	err := t.role.world.probes.send(t.cfg.Local.Addr(), t.cfg.Peer.Addr(), t.token)
	t.sent = true
	t.probes++
	t.role.counts.probes.Add(1)
	if err != nil && !t.unsendable {
		t.log.WithError(err).Warn("an echo request to the peer could not be sent; only data will show that it lives")
	}
	t.unsendable = err != nil
}

// data says whether data messages have come since the last tick.
func (t *static) data(now time.Time) bool {
	if !t.kernelPlane() {
		heard := t.heard
		for _, s := range t.sessions {
			if s.user == nil {
				continue
			}
			if last := s.user.Info().LastHeard; last.After(t.heard) {
				t.heard = last
			}
		}
		return t.heard.After(heard)
	}
	before := t.rx
	t.rx = 0
	have := t.role.kernelNow()
	for _, s := range t.sessions {
		t.rx += have.sessions[sessionKey{t.cfg.ID, s.cfg.ID}].Stats.RxPackets
	}
	// Less than before: it was made anew.
	if t.rx > before && !t.ticked.IsZero() {
		t.heard = now
		return true
	}
	return false
}

// die notes that nothing is heard of the peer.
func (t *static) die(now time.Time) {
	if t.dead {
		return
	}
	t.dead = true
	t.role.counts.deaths.Add(1)
	log := t.log.WithField("silence", (t.cfg.Keepalive * time.Duration(t.silent)).String())
	log.Warn("nothing is heard of the static tunnel's peer: neither answers to echo requests nor data; look at the way to it, and at the peer")
	t.afterLife(now)
}

// revive notes that the peer lives.
func (t *static) revive(now time.Time) {
	if !t.dead {
		return
	}
	t.dead, t.silent = false, 0
	t.log.Info("the static tunnel's peer is heard again")
	t.afterLife(now)
}

// linkIsDown says whether the devices are to be without a link: on the userspace plane
// they have no carrier then, those of the kernel, which always have one, are set down.
func (t *static) linkIsDown() bool { return t.dead && t.cfg.LinkDown }

// afterLife passes on that the peer died or lives again.
func (t *static) afterLife(now time.Time) {
	if t.cfg.LinkDown {
		t.setLinks(now)
	}
	t.setState(now)
	t.arm()
}

// setLinks makes the links what linkIsDown says.
func (t *static) setLinks(now time.Time) {
	for _, s := range t.sessions {
		s.right = false // it is we who change the device
		if s.user != nil {
			s.user.SetPeerActive(!t.linkIsDown())
		}
	}
	t.check(now)
}

// answered is told of an echo reply. Any goroutine.
func (r *Role) answered(from netip.Addr, token uint32) {
	r.mail.Put(func() {
		t := r.byToken[token]
		if t == nil || t.cfg.Peer.Addr().WithZone("") != from.Unmap().WithZone("") || t.probeAt.IsZero() {
			return
		}
		now := time.Now()
		t.heard, t.silent = now, 0
		t.answers++
		r.counts.answers.Add(1)
		t.revive(now)
	})
}
