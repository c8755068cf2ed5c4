package tunnel

import (
	"time"

	"adit/proto/l2tp"
)

// reaction is what a row of the tables of RFC 2661 sections 7.4 and 7.5 does
// about a message.
type reaction uint8

const (
	sendCDN reaction = iota // "Send CDN, Clean up"
	cleanUp                 // "Clean up"
	proceed                 // the message that the state waits for
)

// callReaction is the tables of RFC 2661 sections 7.4.1, 7.4.2, 7.5.1 and 7.5.2
// for the messages that a session can meet, save CDN, which means "Clean up"
// everywhere. Only the rows that do something else than "Send CDN, Clean up" are
// here:
//
//	7.4.1 wait-reply      Receive ICRP   Send ICCN         established
//	7.4.1 wait-reply      Receive ICCN   Clean up          idle
//	7.4.2 wait-connect    Receive ICCN   Prepare for data  established
//	7.5.2 wait-reply      Receive OCRP   none              wait-connect
//	7.5.2 wait-connect    Receive OCCN   none              established
//
// A message of a call in the other direction is in no table; such a peer has
// taken the session for another one, and "Send CDN" tells it so.
func callReaction(direction Direction, state SessionState, m l2tp.MessageType) reaction {
	switch {
	case direction == Incoming && state == CallWaitReply && m == l2tp.TypeICRP,
		direction == Incoming && state == CallWaitConnect && m == l2tp.TypeICCN,
		direction == Outgoing && state == CallWaitReply && m == l2tp.TypeOCRP,
		direction == Outgoing && state == CallWaitConnect && m == l2tp.TypeOCCN:
		// An incoming call in wait-connect and an outgoing one in wait-reply
		// are those of an LNS, so the role needs no column.
		return proceed
	case direction == Incoming && state == CallWaitReply && m == l2tp.TypeICCN:
		return cleanUp
	}
	return sendCDN
}

// sessionMessage handles a message about one call. sessionID is that of the
// header: ours, or 0.
func (t *Tunnel) sessionMessage(now time.Time, sessionID uint32, m l2tp.Message) {
	// Section 5.2: "After successful control connection establishment,
	// individual sessions may be created."
	if t.state != Established {
		t.unexpected(now, m.Type())
		return
	}
	switch m := m.(type) {
	case *l2tp.CDN:
		t.recvCDN(now, sessionID, m)
	case *l2tp.ICRQ:
		t.recvRequest(now, sessionID, m.AssignedSessionID, callOfICRQ(m), m.SessionTie, m.Type())
	case *l2tp.OCRQ:
		t.recvRequest(now, sessionID, m.AssignedSessionID, callOfOCRQ(m), m.SessionTie, m.Type())
	case *l2tp.SLI:
		t.recvSLI(sessionID, m)
	case *l2tp.WEN:
		t.recvWEN(sessionID, m)
	default:
		if s := t.lookup(sessionID); s != nil {
			t.react(now, s, m)
			return
		}
		t.unknownSession(now, sessionID, m)
	}
}

// react handles ICRP, ICCN, OCRP and OCCN of a session that is there.
func (t *Tunnel) react(now time.Time, s *session, m l2tp.Message) {
	switch callReaction(s.call.Direction, s.state, m.Type()) {
	case cleanUp:
		t.drop(ErrUnexpected)
		t.endCall(now, s, t.wrongState(s, m.Type()))
		return
	case sendCDN:
		t.drop(ErrUnexpected)
		t.closeSession(now, s, t.wrongState(s, m.Type()))
		return
	case proceed:
	}
	switch m := m.(type) {
	case *l2tp.ICRP:
		t.recvICRP(now, s, m)
	case *l2tp.ICCN:
		t.recvICCN(now, s, m)
	case *l2tp.OCRP:
		t.recvOCRP(now, s, m)
	case *l2tp.OCCN:
		t.recvOCCN(now, s, m)
	}
}

// wrongState is the cause of a CDN for a message that the state has no place
// for. In version 2 CDN has no code for it but Error Code 5: "The Session ID is
// invalid in this context"; in version 3 it has Result Code 16, "Finite state
// machine error or timeout".
func (t *Tunnel) wrongState(s *session, m l2tp.MessageType) Cause {
	text := m.String() + " in state " + s.state.String()
	result := generalResult(l2tp.ErrorInvalidSession, text)
	if t.version == l2tp.Version3 {
		result = l2tp.ResultCode{Result: l2tp.CDNFSMError, Message: text}
	}
	return Cause{Result: result, Err: ErrUnexpected}
}

// unknownSession handles a reply or connect message for a session that is not
// there: the "idle" rows. ICCN and OCCN are "Clean up" in all four tables. ICRP
// is "Clean up" for a LAC and "Send CDN" for an LNS, OCRP the other way round:
// an end that has placed the call and closed it knows that its CDN is on the way
// already, one that never did must get rid of the peer's session. Whether it did
// is told by the ID, which is kept out of use for a while.
func (t *Tunnel) unknownSession(now time.Time, sessionID uint32, m l2tp.Message) {
	t.drop(ErrUnknownSession)
	var peerID uint32
	switch m := m.(type) {
	case *l2tp.ICRP:
		peerID = m.AssignedSessionID
	case *l2tp.OCRP:
		peerID = m.AssignedSessionID
	}
	if peerID == 0 || t.byPeer[peerID] != nil || sessionID != 0 && t.lateID(sessionID) {
		return
	}
	if sessionID == 0 {
		sessionID = t.refusalID()
	}
	t.sendCDN(now, peerID, sessionID, Cause{
		Result: generalResult(l2tp.ErrorInvalidSession, m.Type().String()+" for a session that does not exist"),
	})
}

// recvCDN: "Receive CDN | Clean up | idle" in every state. RFC 2661 section
// 4.4.4: the Assigned Session ID AVP permits "the peer to identify the
// appropriate tunnel even if CDN is sent before an Assigned Session ID is
// received", that is with Session ID 0.
func (t *Tunnel) recvCDN(now time.Time, sessionID uint32, m *l2tp.CDN) {
	s := t.find(sessionID, m.AssignedSessionID)
	if s == nil {
		t.drop(ErrUnknownSession)
		return
	}
	t.endCall(now, s, Cause{
		Result: m.ResultCode,
		Q931:   m.Q931Cause,
		PPP:    m.PPPDisconnect,
		Remote: true,
	})
}

// find finds the session of a CDN, WEN or SLI: by our ID, or by the peer's where the
// message does not tell ours. In version 2 only a CDN has the peer's.
//
// RFC 3931 section 5.4.4: "The peer must then use the Local Session ID AVP to perform a
// reverse lookup to find its session context. Session-level control messages defined in
// this document that might be subject to a reverse lookup by a receiving peer include the
// CDN, WEN, and SLI."
func (t *Tunnel) find(sessionID, peerID uint32) *session {
	if sessionID != 0 {
		return t.lookup(sessionID)
	}
	return t.byPeer[peerID] // no session is there by 0
}

// badSessionMessage handles a message about a call that could not be read and
// whose fault reaches as far as the session.
func (t *Tunnel) badSessionMessage(now time.Time, sessionID uint32, bad *l2tp.Error) {
	s := t.lookup(sessionID)
	switch bad.Message {
	case l2tp.TypeCDN:
		t.drop(bad)
		if s = t.find(sessionID, bad.AssignedSessionID); s != nil {
			t.endCall(now, s, Cause{Result: bad.Result, Remote: true, Err: bad})
		}
		return
	case l2tp.TypeICRQ, l2tp.TypeOCRQ:
		if s == nil {
			s = t.byPeer[bad.AssignedSessionID]
		}
		if s == nil {
			t.refuse(now, bad.AssignedSessionID, bad.Result, bad)
			return
		}
	case l2tp.TypeWEN, l2tp.TypeSLI:
		s = t.find(sessionID, bad.AssignedSessionID)
	default:
		// Only of a session that is there can another message be.
	}
	t.drop(bad)
	if s == nil {
		return
	}
	if s.peerID == 0 {
		t.learnPeerID(s, bad.AssignedSessionID)
	}
	t.closeSession(now, s, Cause{Result: bad.Result, Err: bad})
}
