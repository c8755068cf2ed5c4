package aaa

import (
	"fmt"
	"slices"
	"time"

	"adit/internal/config"
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// roomTimeout is how long a login waits for the end of the session that it
// replaces: PPP's Terminate-Request with its repetition takes six seconds where
// nobody is there to answer it, and a pppd may take its stop_timeout.
const roomTimeout = 15 * time.Second

// admit lets in a peer that has shown who it is, if there is room for it, and has
// its addresses found.
func (a *attempt) admit() {
	s := a.session
	l := s.layer
	if old := s.grant; old != nil {
		a.again(old)
		return
	}
	g := &grant{profile: a.profile, accounting: a.accounting, service: a.service, method: a.method}
	if name := a.service.Profile; name != "" {
		p := l.cfg.Profiles[name]
		if p == nil {
			l.count.unfit.Add(1)
			a.refuse(refusalOf(a.req, "your service is not one of ours"), fmt.Sprintf("its profile %q is not in the configuration", name))
			return
		}
		g.profile = p
	}
	complete(&g.service, g.profile)
	others := l.byUser[g.service.User]
	if most := g.service.MaxSessions; most > 0 && len(others) >= most {
		a.overLimit(g, others)
		return
	}
	s.enter(g)
	a.address()
}

// again lets a peer go on that was let in before: it was challenged anew, or LCP
// was negotiated anew. It keeps what it has.
func (a *attempt) again(g *grant) {
	if a.service.User != "" && g.service.User != a.service.User {
		a.session.layer.count.otherUser.Add(1)
		a.refuse(refusalOf(a.req, "this session is another's"), fmt.Sprintf("the session belongs to user %q", g.service.User))
		return
	}
	g.service.MPPE = a.service.MPPE
	a.accept(g)
}

// overLimit deals with a user that has as many sessions as he may have.
func (a *attempt) overLimit(g *grant, others []*Session) {
	s := a.session
	if g.profile.AAA.SecondLogin == config.SecondLoginReplace {
		a.replace(others[0])
		return
	}
	s.layer.count.overLimit.Add(1)
	a.refuse(refusalOf(a.req, "you have too many sessions already"),
		fmt.Sprintf("it has %d of %d sessions already; see max_sessions and second_login", len(others), g.service.MaxSessions))
}

// replace ends another session of the user, and has this one wait for it.
func (a *attempt) replace(other *Session) {
	s := a.session
	s.layer.count.replaced.Add(1)
	other.waiting = append(other.waiting, s)
	s.due.room = time.Now().Add(roomTimeout)
	other.end(subscriber.PortPreempted, "the user has logged in anew")
}

// room is told a session that waits for the end of another.
func (s *Session) room() {
	if s.ended || s.attempt == nil || s.due.room.IsZero() {
		return
	}
	s.due.room = time.Time{}
	s.attempt.admit()
	s.rearm()
}

// noRoom is the end of that wait.
func (s *Session) noRoom() {
	if a := s.attempt; a != nil {
		s.layer.count.overLimit.Add(1)
		a.refuse(refusalOf(a.req, "your older session has not ended yet"), "the session that it was to replace has not ended in time")
	}
}

// enter notes that a session is a user's, with what it is given.
func (s *Session) enter(g *grant) {
	s.grant = g
	if u := g.service.User; u != "" {
		s.layer.byUser[u] = append(s.layer.byUser[u], s)
	}
}

// leave undoes enter, with all that the session was given.
func (s *Session) leave(now time.Time) {
	g := s.grant
	if g == nil {
		return
	}
	s.grant = nil
	s.routes.Store(nil)
	g.giveBack(s.layer.parts.Pools, now)
	u := g.service.User
	if all := slices.DeleteFunc(s.layer.byUser[u], func(o *Session) bool { return o == s }); len(all) > 0 {
		s.layer.byUser[u] = all
	} else {
		delete(s.layer.byUser, u)
	}
}

// accept tells the peer that it is let in, and with what.
func (a *attempt) accept(g *grant) {
	s := a.session
	v := a.verdict
	v.User, v.Grant = g.service.User, g.ppp()
	routes := v.Grant.Routes
	s.routes.Store(&routes)
	s.log = s.log.WithField("user", g.service.User)
	s.layer.count.authAccepted.Add(1)
	g.accepted = true
	s.show()
	a.say(v, &g.service)
}

// families says which network protocols a session may have: those of the profile
// that its call came with, because PPP is under way.
func (s *Session) families() (ipv4, ipv6 bool) {
	return s.profile.Builtin.IPv4, s.profile.Builtin.IPv6
}

// Anonymous makes it a session that nobody is asked about: it gets its addresses before
// its call is accepted, for a pppd has them on its command line. The error says
// what is missing. It is called once, before anybody else knows the session.
func (s *Session) Anonymous() (ppp.Grant, error) {
	p := s.profile
	g := &grant{profile: p, accounting: p.AAA.Accounting, method: subscriber.MethodRemote}
	complete(&g.service, p)
	if err := s.pools(g, time.Now()); err != nil {
		g.giveBack(s.layer.parts.Pools, time.Now())
		return ppp.Grant{}, err
	}
	s.grant, g.accepted = g, true
	grant := g.ppp()
	s.routes.Store(&grant.Routes)
	return grant, nil
}
