package aaa

import (
	"time"

	"adit/lns/coa"
	"adit/lns/subscriber"
)

var _ coa.Handler = (*Layer)(nil)

// Disconnect is coa.Handler's.
func (l *Layer) Disconnect(sel coa.Selector, class [][]byte, done func(coa.Result)) {
	posted := l.post(func() {
		all := l.selected(&sel)
		for _, s := range all {
			if class != nil {
				s.grant.service.Class = class
			}
			l.count.disconnects.Add(1)
			s.end(subscriber.AdminReset, "a RADIUS server has asked for it")
		}
		done(coa.Result{Sessions: len(all)})
	})
	if !posted {
		done(coa.Result{})
	}
}

// Change is coa.Handler's. An idle timeout is the matter of PPP, which has begun
// with the old one.
func (l *Layer) Change(sel coa.Selector, change coa.Change, done func(coa.Result)) {
	posted := l.post(func() {
		all := l.selected(&sel)
		if len(all) > 0 && change.IdleTimeout != nil {
			done(coa.Result{Cause: coa.UnsupportedAttribute})
			return
		}
		now := time.Now()
		for _, s := range all {
			l.count.changes.Add(1)
			s.change(&change, now)
			s.rearm()
		}
		done(coa.Result{Sessions: len(all)})
	})
	if !posted {
		done(coa.Result{})
	}
}

// selected are the sessions that are meant, of those that somebody was let in to.
func (l *Layer) selected(sel *coa.Selector) (all []*Session) {
	meant := func(s *Session) bool {
		return s != nil && s.grant != nil && s.reason == nil && sel.Matches(s.line, s.grant.service.User, &s.grant.addresses)
	}
	switch {
	case sel.SessionID != "":
		if s := l.sessions[sel.SessionID]; meant(s) {
			all = append(all, s)
		}
	case sel.User != "":
		for _, s := range l.byUser[sel.User] {
			if s.line != nil && meant(s) {
				all = append(all, s)
			}
		}
	default:
		for _, s := range l.sessions {
			if meant(s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// change gives a session new terms.
func (s *Session) change(c *coa.Change, now time.Time) {
	g := s.grant
	if t := c.SessionTimeout; t != nil {
		g.service.SessionTimeout, s.due.session = *t, time.Time{}
		// A session that is not up as yet has its time from its begin.
		if began := s.network.started; *t > 0 && !began.IsZero() {
			s.due.session = began.Add(*t)
		}
	}
	if t := c.InterimInterval; t != nil {
		g.service.InterimInterval = *t
		if *t == 0 {
			g.service.InterimInterval = never
		}
		if !s.network.started.IsZero() {
			s.interimAfter(now)
		}
	}
	if c.Class != nil {
		g.service.Class = c.Class
	}
	s.log.Info("a RADIUS server has changed the session's terms")
	s.show()
}

// never is an InterimInterval that says no, where 0 would leave it to the group.
const never = -time.Second
