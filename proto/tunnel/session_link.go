package tunnel

import (
	"time"

	"adit/proto/l2tp"
)

// recvSLI: RFC 2661 section 6.14: "The Set-Link-Info message is an L2TP control
// message sent by the LNS to the LAC to set PPP-negotiated options."
func (t *Tunnel) recvSLI(sessionID uint32, m *l2tp.SLI) {
	if t.version == l2tp.Version3 {
		t.recvStatus(sessionID, m)
		return
	}
	if s := t.linkSession(t.lookup(sessionID), false); s != nil {
		t.emit(LinkInfo{Ref: s.ref, Session: s.id, SendACCM: m.SendACCM, RecvACCM: m.RecvACCM})
	}
}

// recvWEN: RFC 2661 section 6.13: "The WAN-Error-Notify message is an L2TP
// control message sent by the LAC to the LNS to indicate WAN error conditions".
func (t *Tunnel) recvWEN(sessionID uint32, m *l2tp.WEN) {
	if s := t.linkSession(t.find(sessionID, m.AssignedSessionID), true); s != nil {
		t.emit(WANErrors{Ref: s.ref, Session: s.id, Errors: m.CallErrors})
	}
}

// setLinkInfo sends an SLI.
func (t *Tunnel) setLinkInfo(now time.Time, ev SetLinkInfo) {
	if t.version == l2tp.Version3 {
		// RFC 3931 section 6.14 has no ACCM in it.
		t.drop(ErrWrongVersion)
		return
	}
	if s := t.linkSession(t.sessions[ev.Session], true); s != nil {
		t.sendCall(now, s, &l2tp.SLI{SendACCM: ev.SendACCM, RecvACCM: ev.RecvACCM})
	}
}

// reportWANErrors sends a WEN, not more often than the RFC allows. The counters
// are those of the whole call, so nothing is lost with one that is dropped.
func (t *Tunnel) reportWANErrors(now time.Time, ev ReportWANErrors) {
	s := t.linkSession(t.sessions[ev.Session], false)
	if s == nil {
		return
	}
	if !s.reportedAt.IsZero() && now.Sub(s.reportedAt) < wanErrorInterval {
		t.drop(ErrTooOften)
		return
	}
	if t.sendCall(now, s, &l2tp.WEN{CallErrors: ev.Errors}) {
		s.reportedAt = now
	}
}

// linkSession checks that the session is established and that we are its LNS, or
// its LAC; nil, with a Drop, otherwise.
func (t *Tunnel) linkSession(s *session, lns bool) *session {
	switch {
	case s == nil:
		t.drop(ErrUnknownSession)
	case s.lns() != lns && t.version != l2tp.Version3:
		// Of a pseudowire of version 3 both ends may be LACs.
		t.drop(ErrWrongDirection)
	case s.state != CallEstablished:
		t.drop(ErrWrongState)
	default:
		return s
	}
	return nil
}
