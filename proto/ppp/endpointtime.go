package ppp

import "time"

// tick does all that is due.
func (e *Endpoint) tick(now time.Time) {
	e.timeout(&e.lcp)
	e.timeout(&e.ipcp)
	e.timeout(&e.ipv6cp)
	// Each may end the link, and what follows with it.
	if a := e.auth; a != nil {
		a.tick(now)
	}
	if w := e.answer; w != nil {
		w.tick(now)
	}
	e.limits(now)
	e.echo()
}

// limits ends a link whose time is over.
func (e *Endpoint) limits(now time.Time) {
	if e.has(flagClosing | flagFinished) {
		return
	}
	due := func(at time.Duration) bool { return at != 0 && e.now >= at }
	switch {
	case due(e.authAt):
		e.fail(now, CauseAuthTimeout, "authentication took too long")
	case due(e.setupAt):
		c := e.causeOfDelay()
		e.fail(now, c, c.String()+" in "+e.cfg.setupTimeout().String())
	case due(e.sessionAt):
		e.fail(now, CauseSessionTimeout, CauseSessionTimeout.String())
	case due(e.idleAt()):
		e.fail(now, CauseIdleTimeout, CauseIdleTimeout.String())
	}
}

// idleAt returns when the link has been idle for too long; 0: never.
func (e *Endpoint) idleAt() time.Duration {
	if e.granted.idle == 0 || !e.anyUp() || e.has(flagClosing) {
		return 0
	}
	return e.trafficAt + e.granted.idle
}

// Deadline returns when the endpoint wants a Tick; zero: it does not. Only Step
// and Traffic change it.
func (e *Endpoint) Deadline() time.Time {
	if !e.has(flagStarted) || e.has(flagFinished) {
		return time.Time{}
	}
	at := time.Duration(0)
	for _, d := range [...]time.Duration{
		e.lcp.due, e.ipcp.due, e.ipv6cp.due, e.authAt, e.setupAt, e.echoAt,
		e.sessionAt, e.idleAt(),
	} {
		if d != 0 && (at == 0 || d < at) {
			at = d
		}
	}
	var t time.Time
	if at != 0 {
		t = e.base.Add(at)
	}
	if e.auth != nil {
		t = earlier(t, e.auth.deadline())
	}
	if e.answer != nil {
		t = earlier(t, e.answer.deadline())
	}
	return t
}

// earlier returns the earlier of two times, of which zero ones are none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
