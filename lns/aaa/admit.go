package aaa

import (
	"container/list"
	"fmt"
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
	if old := s.grant; old != nil && a.again(old) {
		return
	}
	g := &grant{profile: a.profile, accounting: a.accounting, service: a.service, method: a.method, asked: a.name}
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
	most, others := g.service.MaxSessions, l.byUser[g.service.User]
	if most > 0 && others != nil && others.Len() >= most {
		a.overLimit(g, others)
		return
	}
	s.enter(g)
	a.address()
}

// again deals with a peer that was let in before: it was challenged anew, or LCP was
// negotiated anew. It keeps what it has, and its times go on, because a server that
// says the same Session-Timeout each time would give it another hour with every
// challenge. It reports false where another user comes in the place of one that
// never had a network, because the peer changed its mind in the middle of it.
//
// RFC 2865 section 5.25 wants the Class of an Access-Accept to be "sent unmodified
// by the client to the accounting server", so that of the last one counts.
func (a *attempt) again(g *grant) bool {
	s := a.session
	if g.service.User != a.service.User {
		if s.network.started.IsZero() {
			s.leave(time.Now())
			return false
		}
		s.layer.count.otherUser.Add(1)
		a.refuse(refusalOf(a.req, "this session is another's"), fmt.Sprintf("the session belongs to user %q", g.service.User))
		return true
	}
	g.service.MPPE = a.service.MPPE
	if a.service.Class != nil {
		g.service.Class = a.service.Class
	}
	a.accept(g)
	return true
}

// overLimit deals with a user that has as many sessions as he may have.
func (a *attempt) overLimit(g *grant, others *list.List) {
	s := a.session
	if g.profile.AAA.SecondLogin == config.SecondLoginReplace {
		a.replace(others.Front().Value.(*Session))
		return
	}
	s.layer.count.overLimit.Add(1)
	a.refuse(refusalOf(a.req, "you have too many sessions already"),
		fmt.Sprintf("it has %d of %d sessions already; see max_sessions and second_login", others.Len(), g.service.MaxSessions))
}

// replace ends another session of the user, and has this one wait for it.
func (a *attempt) replace(other *Session) {
	s := a.session
	s.behind, s.queued = other, other.waiting.PushBack(s)
	s.due.room = time.Now().Add(roomTimeout)
	if other.reason == nil {
		s.layer.count.replaced.Add(1)
	}
	other.end(subscriber.PortPreempted, "the user has logged in anew")
}

// stopWaiting ends the wait for another session, if there is one.
func (s *Session) stopWaiting() {
	if s.queued != nil {
		s.behind.waiting.Remove(s.queued)
		s.behind, s.queued, s.due.room = nil, nil, time.Time{}
	}
}

// makeRoom is the end of the wait for this session, for all who wait: it is no more.
func (s *Session) makeRoom() {
	for e := s.waiting.Front(); e != nil; e = s.waiting.Front() {
		w := e.Value.(*Session)
		w.stopWaiting()
		w.attempt.admit()
		w.rearm()
	}
}

// noRoom is the end of that wait by time.
func (s *Session) noRoom() {
	a := s.attempt
	s.stopWaiting()
	s.layer.count.overLimit.Add(1)
	a.refuse(refusalOf(a.req, "your older session has not ended yet"), "the session that it was to replace has not ended in time")
}

// enter notes that a session is a user's, with what it is given.
func (s *Session) enter(g *grant) {
	s.grant = g
	u := g.service.User
	if u == "" {
		return
	}
	all := s.layer.byUser[u]
	if all == nil {
		all = list.New()
		s.layer.byUser[u] = all
	}
	s.member = all.PushBack(s)
}

// hold notes who has the session's addresses.
func (s *Session) hold() {
	if g := s.grant; g != nil {
		for _, p := range g.held {
			s.layer.holders[p] = s
		}
	}
}

// leave undoes enter and hold, with all that the session was given.
func (s *Session) leave(now time.Time) {
	g, l := s.grant, s.layer
	if g == nil {
		return
	}
	s.grant = nil
	s.routes.Store(nil)
	for _, p := range g.held {
		if l.holders[p] == s {
			delete(l.holders, p)
		}
	}
	g.giveBack(l.parts.Pools, now)
	if s.member == nil {
		return
	}
	u := g.service.User
	all := l.byUser[u]
	all.Remove(s.member)
	s.member = nil
	if all.Len() == 0 {
		delete(l.byUser, u)
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
	err := s.pools(g, time.Now())
	// A peer without an address of ours would choose one for itself, and get the
	// packets of whoever has it.
	if err == nil && p.Builtin.IPv4 && p.AAA.DHCP != nil && !g.addresses.IPv4.IsValid() {
		err = errNobody
	}
	if err != nil {
		g.giveBack(s.layer.parts.Pools, time.Now())
		return ppp.Grant{}, err
	}
	s.grant, g.accepted = g, true
	grant := g.ppp()
	s.routes.Store(&grant.Routes)
	return grant, nil
}
