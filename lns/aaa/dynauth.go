package aaa

import (
	"net/netip"
	"time"

	"adit/lns/coa"
	"adit/lns/subscriber"
)

var _ coa.Handler = (*Layer)(nil)

// Disconnect is coa.Handler's. It is done when the last of the sessions has ended.
//
// RFC 5176 section 2.1: "The NAS responds to a Disconnect-Request packet sent by a
// Dynamic Authorization Client with a Disconnect-ACK if all associated session
// context is discarded and the user session(s) are no longer connected".
func (l *Layer) Disconnect(sel coa.Selector, class [][]byte, done func(coa.Result)) {
	posted := l.post(func() {
		all := l.selected(&sel, true)
		if len(all) == 0 {
			done(coa.Result{})
			return
		}
		left := len(all)
		for _, s := range all {
			if class != nil {
				s.grant.service.Class = class
			}
			s.gone = append(s.gone, func() {
				if left--; left == 0 {
					done(coa.Result{Sessions: len(all)})
				}
			})
			if s.reason == nil {
				l.count.disconnects.Add(1)
				s.end(subscriber.AdminReset, "a RADIUS server has asked for it")
			}
		}
	})
	if !posted {
		done(coa.Result{})
	}
}

// Change is coa.Handler's. An idle timeout is the matter of PPP, which has begun
// with the old one.
func (l *Layer) Change(sel coa.Selector, change coa.Change, done func(coa.Result)) {
	posted := l.post(func() {
		all := l.selected(&sel, false)
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

// selected are the sessions that are meant, of those that somebody was let in to;
// and with ending those too that we have told to end.
func (l *Layer) selected(sel *coa.Selector, ending bool) (all []*Session) {
	look := func(s *Session) {
		if s != nil && s.grant != nil && s.grant.accepted && (ending || s.reason == nil) && sel.Matches(s.line, s.grant.service.User, &s.grant.addresses) {
			all = append(all, s)
		}
	}
	a := sel.Address
	users := l.byUser[sel.User]
	switch {
	case sel.SessionID != "":
		look(l.sessions[sel.SessionID])
	case a.IsValid() && l.holders[netip.PrefixFrom(a, a.BitLen())] != nil:
		look(l.holders[netip.PrefixFrom(a, a.BitLen())])
	case users != nil:
		for e := users.Front(); e != nil; e = e.Next() {
			look(e.Value.(*Session))
		}
	default:
		for _, s := range l.sessions {
			look(s)
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
