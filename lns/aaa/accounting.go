package aaa

import (
	"time"

	"adit/internal/config"
	"adit/lns/subscriber"
)

// account hands over a record of the session, if its group wants any.
func (s *Session) account(kind subscriber.RecordKind, now time.Time, c subscriber.Counters, cause subscriber.TerminateCause) {
	g := s.grant
	if g.accounting == nil {
		return
	}
	service := g.service
	service.MPPE = nil // keys are nobody's business
	s.layer.parts.RADIUS.Account(g.accounting, subscriber.Record{Kind: kind, Time: now, Session: &subscriber.RecordSession{
		Line: *s.line, User: g.service.User, Service: service, Addresses: g.addresses, Method: g.method,
		Duration: now.Sub(s.network.started), Counters: c, Cause: cause,
	}})
}

// leastInterim is the least time between interim records. RFC 2869 section 5.16:
// "The Value field contains the number of seconds between each interim update to be
// sent from the NAS for this session. The value MUST NOT be smaller than 60."
const leastInterim = time.Minute

// interimAfter sets the time of the next interim record. What the server says
// counts before what the group says.
func (s *Session) interimAfter(now time.Time) {
	g := s.grant
	s.due.interim = time.Time{}
	if g.accounting == nil {
		return
	}
	every := g.service.InterimInterval
	if every == 0 {
		every = g.accounting.InterimInterval
	}
	if every > 0 {
		s.due.interim = now.Add(max(every, leastInterim))
	}
}

// interim sends an interim record.
func (s *Session) interim(now time.Time) {
	if s.network.started.IsZero() || s.grant == nil {
		return
	}
	s.account(subscriber.RecordInterim, now, counted(s.call.Stats()), 0)
	s.interimAfter(now)
}

// tunnelAccount is a tunnel whose begin was recorded, RFC 2867.
type tunnelAccount struct {
	group *config.RADIUSGroup
	line  subscriber.Line
	since time.Time
}

// TunnelUp records the begin of a tunnel, and TunnelDown its end, where
// tunnel_accounting is on. The group is that of the peer's profile. RFC 2867
// section 3: "Tunnel-Start ... marks the establishment of a tunnel with another
// node."
func (l *Layer) TunnelUp(line subscriber.Line, profile *config.Profile) {
	group := profile.AAA.Accounting
	if group == nil || !l.cfg.RADIUS.TunnelAccounting {
		return
	}
	line.ID = l.newID()
	l.post(func() {
		t := &tunnelAccount{group: group, line: line, since: time.Now()}
		l.tunnels[line.Tunnel] = t
		t.account(l, subscriber.RecordTunnelStart, t.since, 0)
	})
}

// TunnelDown is for any tunnel; one that never came up is passed over.
func (l *Layer) TunnelDown(id uint16) {
	l.post(func() {
		if t := l.tunnels[id]; t != nil {
			delete(l.tunnels, id)
			t.account(l, subscriber.RecordTunnelStop, time.Now(), subscriber.UserRequest)
		}
	})
}

func (t *tunnelAccount) account(l *Layer, kind subscriber.RecordKind, now time.Time, cause subscriber.TerminateCause) {
	l.parts.RADIUS.Account(t.group, subscriber.Record{Kind: kind, Time: now, Session: &subscriber.RecordSession{
		Line: t.line, Duration: now.Sub(t.since), Cause: cause,
	}})
}

// linkUp and linkDown record the links of a tunnel. RFC 2867 section 3:
// "Tunnel-Link-Start ... marks the creation of a tunnel link."
func (l *Layer) linkUp(s *Session) { l.link(s, subscriber.RecordTunnelLinkUp, time.Now(), 0) }

func (l *Layer) linkDown(s *Session, now time.Time) {
	l.link(s, subscriber.RecordTunnelLinkEnd, now, subscriber.UserRequest)
}

func (l *Layer) link(s *Session, kind subscriber.RecordKind, now time.Time, cause subscriber.TerminateCause) {
	group := s.profile.AAA.Accounting
	if group == nil || !l.cfg.RADIUS.TunnelAccounting || s.line == nil {
		return
	}
	l.parts.RADIUS.Account(group, subscriber.Record{Kind: kind, Time: now, Session: &subscriber.RecordSession{Line: *s.line, Cause: cause}})
}
