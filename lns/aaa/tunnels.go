package aaa

import (
	"time"

	"adit/internal/config"
	"adit/lns/subscriber"
	"adit/proto/tunnel"
)

// tunnelAccount is a tunnel whose begin was recorded, RFC 2867.
type tunnelAccount struct {
	group    *config.RADIUSGroup
	line     subscriber.Line
	since    time.Time
	counters subscriber.Counters // of its links that have ended
}

// TunnelUp records the begin of a tunnel, and TunnelDown its end, where
// tunnel_accounting is on. The group is that of the peer's profile.
//
// RFC 2867 section 3.1: "This value MAY be used to mark the establishment of a
// tunnel with another node."
func (l *Layer) TunnelUp(line subscriber.Line, profile *config.Profile) {
	group := profile.AAA.Accounting
	if group == nil || !l.cfg.RADIUS.TunnelAccounting {
		return
	}
	line.ID = l.newID()
	l.post(func() {
		t := &tunnelAccount{group: group, line: line, since: time.Now()}
		l.tunnels[line.Tunnel] = t
		l.record(group, subscriber.Record{Kind: subscriber.RecordTunnelStart, Time: t.since, Session: &subscriber.RecordSession{Line: line}})
	})
}

// TunnelDown is for any tunnel whose calls have ended; one that never came up is
// passed over.
//
// RFC 2867 section 3.2: "This value MAY be used to mark the destruction of a tunnel
// to or from another node."
func (l *Layer) TunnelDown(id uint32, cause tunnel.Cause) {
	l.post(func() {
		t := l.tunnels[id]
		if t == nil {
			return
		}
		delete(l.tunnels, id)
		now := time.Now()
		l.record(t.group, subscriber.Record{Kind: subscriber.RecordTunnelStop, Time: now, Session: &subscriber.RecordSession{
			Line: t.line, Duration: now.Sub(t.since), Counters: t.counters, Cause: l.causeOfTunnel(cause),
		}})
	})
}

func (l *Layer) causeOfTunnel(cause tunnel.Cause) subscriber.TerminateCause {
	switch {
	case l.leaving.Load():
		return subscriber.AdminReboot
	case cause.Err != nil:
		return subscriber.LostCarrier
	case cause.Remote:
		return subscriber.UserRequest
	}
	return subscriber.AdminReset
}

// linkUp and linkDown record the links of a tunnel, which are its calls, whoever
// they are for: nobody has shown that as yet.
//
// RFC 2867 section 3.4: "This value MAY be used to mark the creation of a tunnel
// link." Section 3.5: "This value MAY be used to mark the destruction of a tunnel
// link."
func (s *Session) linkUp(now time.Time) {
	l := s.layer
	if group := s.profile.AAA.Accounting; group != nil && l.cfg.RADIUS.TunnelAccounting {
		s.link = linkAccount{group: group, since: now}
		l.record(group, subscriber.Record{Kind: subscriber.RecordTunnelLinkUp, Time: now, Session: &subscriber.RecordSession{Line: *s.line}})
	}
}

func (s *Session) linkDown(now time.Time, cause subscriber.TerminateCause, c subscriber.Counters) {
	if s.link.group == nil {
		return
	}
	r := subscriber.RecordSession{Line: *s.line, Duration: now.Sub(s.link.since), Counters: c, Cause: cause}
	if g := s.grant; g != nil {
		r.User = g.service.User
	}
	s.layer.record(s.link.group, subscriber.Record{Kind: subscriber.RecordTunnelLinkEnd, Time: now, Session: &r})
	if t := s.layer.tunnels[s.line.Tunnel]; t != nil {
		t.counters.OctetsIn += c.OctetsIn
		t.counters.OctetsOut += c.OctetsOut
		t.counters.PacketsIn += c.PacketsIn
		t.counters.PacketsOut += c.PacketsOut
	}
}
