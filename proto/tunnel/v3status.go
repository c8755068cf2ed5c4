package tunnel

import (
	"time"

	"adit/proto/l2tp"
)

// setCircuitStatus tells the peer the state of our circuit. RFC 3931 section 5.4.5: "The
// ICCN, OCCN, and SLI control messages all MAY contain this AVP to update the status of
// the circuit after establishment of the L2TP session is requested."
func (t *Tunnel) setCircuitStatus(now time.Time, ev SetCircuitStatus) {
	s := t.sessions[ev.Session]
	switch {
	case t.cfg.Version != l2tp.Version3, t.version != l2tp.Version3 && !t.undecided:
		t.drop(ErrWrongVersion)
		return
	case s == nil:
		t.drop(ErrUnknownSession)
		return
	}
	s.call.LocalStatus = ev.Status
	if s.state == CallEstablished {
		t.tellStatus(now, s)
	}
}

// tellStatus sends an SLI with our circuit's status; it reports whether the session
// lives on.
func (t *Tunnel) tellStatus(now time.Time, s *session) bool {
	status := s.call.LocalStatus
	s.toldStatus = status
	return t.sendCall(now, s, &l2tp.SLI{CircuitStatus: &status})
}

// updateStatus sends what has changed since the peer was last told, once a session is
// up.
func (t *Tunnel) updateStatus(now time.Time, s *session) {
	if t.version == l2tp.Version3 && (s.call.LocalStatus^s.toldStatus)&^l2tp.CircuitNew != 0 {
		t.tellStatus(now, s)
	}
}

// recvStatus: RFC 3931 section 6.14: "The Set-Link-Info control message is sent by an
// LCCE to convey link or circuit status change information regarding the circuit
// associated with this L2TP session." Before the session is up it is kept for CallUp.
func (t *Tunnel) recvStatus(sessionID uint32, m *l2tp.SLI) {
	s := t.find(sessionID, m.AssignedSessionID)
	switch {
	case s == nil:
		t.drop(ErrUnknownSession)
		return
	case m.CircuitStatus == nil:
		return
	}
	s.call.PeerStatus = *m.CircuitStatus
	if s.state == CallEstablished {
		t.emit(CircuitStatus{Ref: s.ref, Session: s.id, Status: s.call.PeerStatus})
	}
}
