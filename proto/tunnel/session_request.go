package tunnel

import (
	"time"

	"adit/proto/l2tp"
)

// recvRequest handles ICRQ and OCRQ: "idle | Receive ICRQ, acceptable | Send
// ICRP | wait-connect" and "not acceptable | Send CDN, Clean up | idle" of RFC
// 2661 section 7.4.2, and the same of section 7.5.1. Between the request and the
// reply stands the owner.
func (t *Tunnel) recvRequest(now time.Time, sessionID, peerID uint32, call Call, tie *uint64, m l2tp.MessageType) {
	// "wait-connect | Receive ICRQ, ICRP | Send CDN, Clean up" and its like: a
	// request for a session that is there. It may say so by the header, or by
	// an Assigned Session ID that the peer has given to another call already;
	// a CDN could not tell the two calls apart, so both end.
	s := t.lookup(sessionID)
	if s == nil && peerID != 0 {
		s = t.byPeer[peerID]
	}
	if s != nil {
		t.drop(ErrSessionID)
		t.closeSession(now, s, t.wrongState(s, m))
		return
	}
	if !t.sessionTie(now, peerID, &call, tie) {
		return
	}
	if result, err := t.refusal(sessionID, peerID, &call); err != nil {
		t.refuse(now, peerID, result, err)
		return
	}
	s, err := t.addSession(now, CallWaitOwner, session{peerID: peerID, call: call})
	if err != nil {
		t.refuse(now, peerID, l2tp.ResultCode{
			Result: l2tp.CDNNoFacilitiesTemporary, Message: err.Error(),
		}, err)
		return
	}
	t.emit(CallRequested{Session: s.id, Call: s.call})
}

// refusal says why a request cannot be granted, before the owner is asked.
func (t *Tunnel) refusal(sessionID, peerID uint32, call *Call) (l2tp.ResultCode, error) {
	switch {
	case sessionID != 0:
		// Section 4.4.4: "Before the Assigned Session ID AVP is received from a
		// peer, messages MUST be sent to that peer with a Session ID of 0 in
		// the header of all control messages."
		return generalResult(l2tp.ErrorInvalidSession, "request with a Session ID in its header"), ErrSessionID
	case peerID == 0:
		// "The Assigned Session ID is a 2 octet non-zero unsigned integer."
		return generalResult(l2tp.ErrorValue, "Assigned Session ID is 0"), ErrSessionID
	case call.Direction == Incoming && !t.cfg.AllowIncoming,
		call.Direction == Outgoing && !t.cfg.AllowOutgoing:
		return l2tp.ResultCode{
			Result:  l2tp.CDNAdministrative,
			Message: call.Direction.String() + " calls are not accepted from this peer",
		}, ErrNotAllowed
	case t.version == l2tp.Version3:
		return t.refusal3(call)
	case call.Direction == Outgoing:
		return t.lineRefusal(call)
	}
	return l2tp.ResultCode{}, nil
}

// lineRefusal checks an OCRQ against our capabilities. RFC 2661 section 4.4.3:
// "A peer MUST NOT request an incoming or outgoing call with a Framing Type AVP
// specifying a value not advertised in the Framing Capabilities AVP it received
// during control connection establishment. Attempts to do so will result in the
// call being rejected." And: "An LNS should not request an outgoing call
// specifying a value in the Bearer Type AVP for a device type not advertised in
// the Bearer Capabilities AVP [...]. Attempts to do so will result in the call
// being rejected."
func (t *Tunnel) lineRefusal(call *Call) (l2tp.ResultCode, error) {
	switch {
	case t.cfg.Bearer == 0:
		return noFacilities("outgoing calls cannot be placed from here"), ErrFacilities
	case call.BearerType&^t.cfg.Bearer != 0:
		return noFacilities("bearer type " + call.BearerType.String() + ", there is " + t.cfg.Bearer.String()), ErrFacilities
	case call.FramingType&^t.cfg.Framing != 0:
		return noFraming(call.FramingType, t.cfg.Framing), ErrFacilities
	}
	return l2tp.ResultCode{}, nil
}

// noFacilities is Result Code 5 of CDN: "Call failed due to lack of appropriate
// facilities being available (permanent condition)".
func noFacilities(text string) l2tp.ResultCode {
	return l2tp.ResultCode{Result: l2tp.CDNNoFacilitiesPermanent, Message: text}
}

func noFraming(want, have l2tp.FramingType) l2tp.ResultCode {
	return noFacilities("framing type " + want.String() + ", there is " + have.String())
}

// acceptCall is the owner's yes to a call that the peer requested.
func (t *Tunnel) acceptCall(now time.Time, ev AcceptCall) {
	s := t.waitingFor(ev.Session, CallWaitOwner)
	if s == nil {
		return
	}
	s.ref = ev.Ref
	if t.version == l2tp.Version3 && !t.acceptEnd(now, s, ev.Call) {
		return
	}
	if s.call.Direction == Incoming {
		reply := &l2tp.ICRP{AssignedSessionID: s.id, PhysicalChannelID: s.call.PhysicalChannelID}
		if t.version == l2tp.Version3 {
			reply.Session3 = s.call.end3()
		}
		// 7.4.2: "idle | Receive ICRQ, acceptable | Send ICRP | wait-connect".
		if t.sendCall(now, s, reply) {
			t.setState(now, s, CallWaitConnect)
		}
		return
	}
	// 7.5.1: "idle | Receive OCRQ, acceptable | Send OCRP, Open bearer |
	// wait-cs-answer".
	s.call.addLine(cloneCall(ev.Call))
	reply := &l2tp.OCRP{AssignedSessionID: s.id, PhysicalChannelID: s.call.PhysicalChannelID}
	if t.version == l2tp.Version3 {
		reply.Session3 = s.call.end3()
	}
	if !t.sendCall(now, s, reply) {
		return
	}
	t.setState(now, s, CallWaitCSAnswer)
	if ev.Connected {
		t.connect(now, s, Call{})
	}
}

// rejectCall is the owner's no.
func (t *Tunnel) rejectCall(now time.Time, ev RejectCall) {
	if s := t.waitingFor(ev.Session, CallWaitOwner); s != nil {
		t.closeSession(now, s, localCallCause(ev.Cause))
	}
}

// connectCall: "wait-cs-answer | Bearer answer, framing detected | Send OCCN |
// established" of RFC 2661 section 7.5.1.
func (t *Tunnel) connectCall(now time.Time, ev ConnectCall) {
	if s := t.waitingFor(ev.Session, CallWaitCSAnswer); s != nil {
		t.connect(now, s, cloneCall(ev.Call))
	}
}

func (t *Tunnel) connect(now time.Time, s *session, line Call) {
	s.call.addLine(line)
	if s.call.TxConnectSpeed == 0 {
		s.call.TxConnectSpeed = s.call.MaximumBPS
	}
	// "For an OCRQ, both may be set, indicating that either type of framing may
	// be used"; the OCCN tells "the type of PPP framing negotiated".
	s.call.FramingType = oneFraming(s.call.FramingType)
	connect := occnOf(&s.call)
	if t.version == l2tp.Version3 {
		status := s.call.LocalStatus
		connect.CircuitStatus, s.toldStatus = &status, status
	}
	if t.sendCall(now, s, connect) {
		t.callUp(now, s)
	}
}

// waitingFor finds the session of an owner's event, which must be in the state
// given; nil, with a Drop, otherwise. An event for a session that has ended
// meanwhile is nothing unusual.
func (t *Tunnel) waitingFor(id uint32, state SessionState) *session {
	s := t.sessions[id]
	switch {
	case s == nil:
		t.drop(ErrUnknownSession)
		return nil
	case s.state != state:
		t.drop(ErrWrongState)
		return nil
	}
	return s
}

// closeCall: "Local close request | Send CDN, Clean up | idle" in every state,
// without the CDN in wait-tunnel.
func (t *Tunnel) closeCall(now time.Time, ev CloseCall) {
	s := t.sessions[ev.Session]
	if s == nil {
		t.drop(ErrUnknownSession)
		return
	}
	t.closeSession(now, s, localCallCause(ev.Cause))
}

// localCallCause completes a cause from the owner. RFC 2661 section 6.12 wants a
// Result Code in every CDN; one that says nothing is "Call disconnected for
// administrative reasons" of section 4.4.2.
func localCallCause(c Cause) Cause {
	if c.Result.Result == 0 {
		c.Result.Result = l2tp.CDNAdministrative
	}
	c.Remote = false
	return c
}
