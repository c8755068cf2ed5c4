package lcce

import (
	"errors"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/internal/loop"
)

// eventPause is how long an event of the kernel's is waited for to be the last of its
// kind, and rudePause how long if what was repaired a moment ago is undone again:
// whoever does that would keep us busy otherwise.
const (
	eventPause = 50 * time.Millisecond
	rudePause  = 2 * time.Second
)

// static is a static tunnel. It belongs to the Role's loop.
type static struct {
	role     *Role
	cfg      *config.StaticTunnel
	plane    config.DataPlane // kernel or userspace
	log      *logrus.Entry
	deadline loop.Deadline[*static]
	checkAt  time.Time
	sessions []*session

	state    State
	since    time.Time // in state
	problem  string    // that the log has
	failures int       // checks in a row that found something wrong and could not repair it
	repairs  uint64
	repaired time.Time // the last time

	link int // index of that of link-local addresses; 0: none, or not known yet

	// Of the kernel plane. Ours says that the tunnel of our ID in the kernel is ours,
	// and had that there was one before.
	ours, had, adopted bool
	// Again says that one check more is due a moment later: the kernel tells of a
	// removal before it is done.
	again bool

	keepalive
}

// newStatic makes the tunnel's state; nothing of it is in the world yet.
func (r *Role) newStatic(cfg *config.StaticTunnel) (*static, error) {
	plane, err := r.choose(cfg)
	if err != nil {
		return nil, err
	}
	r.lastToken++
	t := &static{
		role: r, cfg: cfg, plane: plane, keepalive: keepalive{token: r.lastToken},
		log: r.log.WithFields(logrus.Fields{"tunnel_name": cfg.Name, "peer": cfg.Peer.String()}),
	}
	t.deadline.Owner = t
	for _, s := range cfg.Sessions {
		t.sessions = append(t.sessions, t.newSession(s))
	}
	return t, nil
}

func (t *static) kernelPlane() bool { return t.plane == config.DataPlaneKernel }

// begin is the tunnel's first moment.
func (t *static) begin(now time.Time) {
	t.since = now
	t.role.byToken[t.token] = t
	if t.kernelPlane() {
		t.role.world.user.ReserveTunnelID(t.cfg.ID)
	}
	t.beginKeepalive(now)
	t.check(now)
	t.arm()
}

// arm tells the loop when the tunnel wants to be looked at.
func (t *static) arm() {
	at := t.checkAt
	if !t.probeAt.IsZero() && t.probeAt.Before(at) {
		at = t.probeAt
	}
	t.role.deadlines.Set(&t.deadline, at)
}

// due does what there is to do now.
func (t *static) due(now time.Time) {
	if !t.checkAt.After(now) {
		t.check(now)
	}
	if !t.probeAt.IsZero() && !t.probeAt.After(now) {
		t.tick(now)
	}
	t.arm()
}

// checkSoon has the tunnel checked because something has happened to it.
func (t *static) checkSoon(now time.Time) {
	pause := eventPause
	if !t.repaired.IsZero() && now.Sub(t.repaired) < rudePause {
		pause = rudePause
	}
	if at := now.Add(pause); at.Before(t.checkAt) {
		t.checkAt = at
		t.arm()
	}
}

// check makes the tunnel what the configuration says, as far as it is not.
func (t *static) check(now time.Time) {
	err := t.keepLink()
	switch {
	case err != nil:
	case t.kernelPlane():
		err = t.makeKernel(now)
	default:
		for _, s := range t.sessions {
			err = errors.Join(err, s.makeUser(now))
		}
	}
	t.settle(now, err)
}

// settle notes what a check came to.
func (t *static) settle(now time.Time, err error) {
	t.checkAt = now.Add(checkInterval)
	if t.again {
		t.again, t.checkAt = false, now.Add(retryMin)
	}
	for _, s := range t.sessions {
		if s.notBefore.After(now) && s.notBefore.Before(t.checkAt) {
			t.checkAt = s.notBefore
		}
	}
	if err == nil {
		t.failures, t.problem = 0, ""
	} else {
		t.failures++
		if at := now.Add(engine.Backoff(t.failures, retryMin, retryMax)); at.Before(t.checkAt) {
			t.checkAt = at
		}
		t.complain(err)
	}
	t.setState(now)
}

// complain logs what is wrong, if the log does not have it already. What waits for the
// end of a session that a reload has replaced is no complaint.
func (t *static) complain(err error) {
	var busy *BusyError
	if t.role.closing > 0 && (errors.As(err, &busy) || errors.Is(err, engine.ErrSessionID)) {
		return
	}
	t.role.counts.failures.Add(1)
	var conflict *ConflictError
	if errors.As(err, &conflict) {
		t.role.counts.conflicts.Add(1)
	}
	if text := err.Error(); text != t.problem {
		t.problem = text
		t.log.WithError(err).Error("a static tunnel is not as the configuration says; it will be tried again")
	}
}

// setState makes the state from what is known.
func (t *static) setState(now time.Time) {
	state := Down
	switch {
	case !slices.ContainsFunc(t.sessions, func(s *session) bool { return s.up }) && (len(t.sessions) > 0 || !t.ours):
	case t.dead:
		state = Dead
	default:
		state = Up
	}
	if state == t.state {
		return
	}
	before := t.state
	t.state, t.since = state, now
	switch {
	case state == Up && before == Down:
		t.log.WithFields(logrus.Fields{"dataplane": t.plane.String(), "sessions": len(t.sessions)}).Info("static tunnel is up")
	case state == Down:
		t.log.Warn("static tunnel is down")
	}
}

// fixed counts something that somebody had undone and that is there again.
func (t *static) fixed(now time.Time, log *logrus.Entry, what string) {
	t.repairs++
	t.repaired = now
	t.role.counts.repairs.Add(1)
	t.role.repaired.Log(log, logrus.WarnLevel, what+": somebody else had changed it")
}

// leave is the tunnel's end with the daemon's.
func (t *static) leave() {
	if t.kernelPlane() && t.cfg.Keep {
		for _, s := range t.sessions {
			s.release()
		}
		return
	}
	t.remove()
}

// remove takes the tunnel out of the world.
func (t *static) remove() {
	delete(t.role.byToken, t.token)
	t.role.deadlines.Set(&t.deadline, time.Time{})
	if t.kernelPlane() {
		t.role.world.user.FreeTunnelID(t.cfg.ID)
	}
	for _, s := range t.sessions {
		s.remove()
	}
	if t.ours {
		t.removeKernel()
	}
	t.ours = false
}

// info is the tunnel now.
func (t *static) info(now *kernelState) StaticInfo {
	i := StaticInfo{
		Name: t.cfg.Name, Plane: t.plane, Encapsulation: t.cfg.Encapsulation, Local: t.cfg.Local, Peer: t.cfg.Peer,
		ID: t.cfg.ID, PeerID: t.cfg.PeerID, State: t.state, Since: t.since, Problem: t.problem, Adopted: t.adopted,
		Repairs: t.repairs, Probes: t.probes, Answers: t.answers, LastHeard: t.heard,
	}
	for _, s := range t.sessions {
		i.Sessions = append(i.Sessions, s.info(now))
	}
	return i
}
