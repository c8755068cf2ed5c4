package tunnel

import (
	"slices"
	"time"

	"adit/proto/l2tp"
)

// wanErrorInterval is the least time between two WENs of a call. RFC 2661
// section 6.13: "This message should only be sent when an error occurs, and not
// more than once every 60 seconds."
const wanErrorInterval = 60 * time.Second

// session is one call.
type session struct {
	id     uint32 // ours
	peerID uint32 // the peer's; 0 until it told us
	state  SessionState
	placed bool // by us; otherwise the peer asked for it
	call   Call // what is known about it
	ref    any
	since  time.Time // of the state

	deadline   time.Time // in the pending list
	reportedAt time.Time // of the last WEN

	tie        []byte             // Session Tie Breaker of our request; nil: none
	toldStatus l2tp.CircuitStatus // what the peer knows of our circuit

	list       *sessionList
	prev, next *session
}

// SessionInfo tells about a call.
type SessionInfo struct {
	ID        uint32 // ours
	PeerID    uint32 // the peer's; 0 until it told us
	State     SessionState
	Direction Direction
	LNS       bool // our role in this call
	Ref       any
	Call      Call
	Since     time.Time // when it came into State
}

// lns says whether we are the LNS of the call: the LAC sends ICRQ, the LNS OCRQ.
func (s *session) lns() bool { return s.placed == (s.call.Direction == Outgoing) }

func (s *session) info() SessionInfo {
	return SessionInfo{
		ID: s.id, PeerID: s.peerID, State: s.state,
		Direction: s.call.Direction, LNS: s.lns(),
		Ref: s.ref, Call: s.call, Since: s.since,
	}
}

// sessionList is a queue of sessions; a session is in one at most.
type sessionList struct{ head, tail *session }

func (l *sessionList) push(s *session) {
	s.list, s.prev, s.next = l, l.tail, nil
	if l.tail != nil {
		l.tail.next = s
	} else {
		l.head = s
	}
	l.tail = s
}

// unlink takes the session out of the list it is in, if any.
func (s *session) unlink() {
	l := s.list
	if l == nil {
		return
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		l.head = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		l.tail = s.prev
	}
	s.list, s.prev, s.next = nil, nil, nil
}

// addSession makes a session in the state given. Errors: those of newSessionID.
func (t *Tunnel) addSession(now time.Time, state SessionState, s session) (*session, error) {
	id, err := t.newSessionID(now)
	if err != nil {
		return nil, err
	}
	s.id = id
	t.sessions[id] = &s
	if s.peerID != 0 {
		t.byPeer[s.peerID] = &s
	}
	t.setState(now, &s, state)
	return &s, nil
}

// setState moves a session on and sets its deadline.
func (t *Tunnel) setState(now time.Time, s *session, state SessionState) {
	s.unlink()
	t.unwatchTie(s)
	s.state, s.since = state, now
	switch state {
	case CallWaitTunnel:
		t.unsent.push(s)
	case CallWaitReply, CallWaitOwner, CallWaitConnect, CallWaitCSAnswer:
		if state == CallWaitReply {
			t.watchTie(s)
		}
		if t.cfg.CallTimeout > 0 {
			s.deadline = now.Add(t.cfg.CallTimeout)
			t.pending.push(s)
		}
	case CallEstablished:
		t.stats.SessionsOpened++
	}
}

// lookup finds a session that the peer can know of.
func (t *Tunnel) lookup(id uint32) *session {
	s := t.sessions[id]
	if s == nil || s.state == CallWaitTunnel {
		return nil
	}
	return s
}

// learnPeerID takes the peer's Assigned Session ID; false if it is 0 or another
// call has it.
func (t *Tunnel) learnPeerID(s *session, id uint32) bool {
	if other := t.byPeer[id]; id == 0 || other != nil && other != s {
		return false
	}
	s.peerID = id
	t.byPeer[id] = s
	return true
}

// endCall forgets a call and tells the owner, once.
func (t *Tunnel) endCall(now time.Time, s *session, cause Cause) {
	s.unlink()
	t.unwatchTie(s)
	delete(t.sessions, s.id)
	if t.byPeer[s.peerID] == s {
		delete(t.byPeer, s.peerID)
	}
	if t.version == l2tp.Version3 {
		t.wideIDs.free(now, s.id)
	}
	t.ids.free(now, s.id) // in version 3 too: it may be from before the version was chosen
	t.emit(CallDown{Ref: s.ref, Session: s.id, Cause: cause})
}

// closeSession ends a call from our side: "Send CDN, Clean up". A call of which
// the peer has not heard ends without a CDN.
func (t *Tunnel) closeSession(now time.Time, s *session, cause Cause) {
	told := s.state != CallWaitTunnel
	t.endCall(now, s, cause)
	if told {
		t.sendCDN(now, s.peerID, s.id, cause)
	}
}

// sendCDN sends a CDN to the peer's session, or to 0 if it has not told its ID.
// RFC 2661 section 4.4.4: "In the CDN control message, the same Assigned Session
// ID AVP first sent to the receiving peer is used, permitting the peer to
// identify the appropriate tunnel even if CDN is sent before an Assigned Session
// ID is received."
func (t *Tunnel) sendCDN(now time.Time, peerID, localID uint32, cause Cause) {
	m := &l2tp.CDN{
		ResultCode:        cause.Result,
		AssignedSessionID: localID,
		Q931Cause:         cause.Q931,
		PPPDisconnect:     cause.PPP,
	}
	t.address(m, localID, peerID)
	t.mustSend(now, peerID, m)
}

// refuse answers a request for a call for which there is no session with a CDN,
// and keeps nothing. peerID is the peer's Assigned Session ID.
func (t *Tunnel) refuse(now time.Time, peerID uint32, result l2tp.ResultCode, why error) {
	t.stats.Refused++
	t.drop(why)
	t.sendCDN(now, peerID, t.refusalID(), Cause{Result: result})
}

// endAllCalls ends every call in the order of the IDs, as the tunnel is over.
func (t *Tunnel) endAllCalls(now time.Time, cause Cause) {
	ids := make([]uint32, 0, len(t.sessions))
	for id := range t.sessions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		s := t.sessions[id]
		t.endCall(now, s, t.callCause(s, cause))
	}
}

// callCause is the end of a tunnel as the end of one of its calls.
func (t *Tunnel) callCause(s *session, tunnel Cause) Cause {
	c := Cause{Remote: tunnel.Remote, Err: tunnel.Err}
	if c.Err == nil {
		c.Err = ErrTunnelDown
	}
	text := "tunnel closed: "
	if tunnel.Err == ErrUnreachable {
		text += ErrUnreachable.Error() // there was no StopCCN
	} else {
		text += tunnel.Result.DescribeVersion(t.version, l2tp.TypeStopCCN)
	}
	switch {
	case s.state == CallWaitTunnel:
		c.Result = l2tp.ResultCode{
			Result: l2tp.CDNGeneralError, Error: l2tp.ErrorNoControlConnection, Message: text,
		}
	case tunnel.Err == ErrUnreachable:
		c.Result = l2tp.ResultCode{Result: l2tp.CDNLossOfCarrier, Message: text}
	default:
		c.Result = l2tp.ResultCode{Result: l2tp.CDNAdministrative, Message: text}
	}
	return c
}
