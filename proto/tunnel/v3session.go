package tunnel

import (
	"slices"
	"time"

	"adit/proto/l2tp"
)

// sessionIDs are where a session-level message of version 3 has the IDs of both ends: its
// sender's, and its receiver's; nil: it is no such message. RFC 3931 section 5.4.4: "The
// Remote Session ID AVP MUST be present in all session-level control messages."
func sessionIDs(m l2tp.Message) (local, remote *uint32) {
	switch m := m.(type) {
	case *l2tp.ICRQ:
		return &m.AssignedSessionID, &m.RemoteSessionID
	case *l2tp.ICRP:
		return &m.AssignedSessionID, &m.RemoteSessionID
	case *l2tp.ICCN:
		return &m.AssignedSessionID, &m.RemoteSessionID
	case *l2tp.OCRQ:
		return &m.AssignedSessionID, &m.RemoteSessionID
	case *l2tp.OCRP:
		return &m.AssignedSessionID, &m.RemoteSessionID
	case *l2tp.OCCN:
		return &m.AssignedSessionID, &m.RemoteSessionID
	case *l2tp.CDN:
		return &m.AssignedSessionID, &m.RemoteSessionID
	case *l2tp.WEN:
		return &m.AssignedSessionID, &m.RemoteSessionID
	case *l2tp.SLI:
		return &m.AssignedSessionID, &m.RemoteSessionID
	}
	return nil, nil
}

// remoteSessionID is our ID of the session that a message of version 3 is about; 0 if
// its sender does not know it.
func remoteSessionID(m l2tp.Message) uint32 {
	if _, remote := sessionIDs(m); remote != nil {
		return *remote
	}
	return 0
}

// address puts the IDs of both ends into a message of ours, in version 3. RFC 3931
// section 5.4.4: "When a session-level control message must be sent to the peer before
// the Local Session ID AVP has been received, the value of the Remote Session ID AVP
// MUST be set to zero. Additionally, the Local Session ID AVP (sent in a previous
// control message for this session) MUST be included in the control message."
func (t *Tunnel) address(m l2tp.Message, local, remote uint32) {
	if t.version != l2tp.Version3 {
		return
	}
	if ours, theirs := sessionIDs(m); ours != nil {
		*ours, *theirs = local, remote
	}
}

// prepare3 completes a call of ours, and says why it cannot be. The type of its
// pseudowire is checked when the peer's are known.
func (t *Tunnel) prepare3(call *Call) (l2tp.ResultCode, error) {
	if call.Pseudowire == 0 {
		call.Pseudowire = l2tp.PseudowirePPP
	}
	return t.prepareEnd(call)
}

// prepareEnd completes what our end wants of a session.
func (t *Tunnel) prepareEnd(call *Call) (l2tp.ResultCode, error) {
	if call.Pseudowire == l2tp.PseudowirePPP && call.LocalStatus == 0 {
		call.LocalStatus = l2tp.CircuitActive | l2tp.CircuitNew
	}
	if result, err := wireRefusal(&call.Local); err != nil {
		return result, err
	}
	w := &call.Local
	if len(w.Cookie) == 0 && w.CookieLength != 0 {
		if !l2tp.CookieLengthOK(w.CookieLength) {
			return generalResult(l2tp.ErrorValue, "a cookie has 0, 4 or 8 octets"), ErrCookie
		}
		// RFC 3931 section 8.2: "Each Assigned Cookie MUST be selected in a
		// cryptographically random manner".
		cookie, err := t.random(w.CookieLength)
		if err != nil {
			return generalResult(l2tp.ErrorInsufficientResources, err.Error()), err
		}
		w.Cookie = cookie
	}
	w.CookieLength = len(w.Cookie)
	return l2tp.ResultCode{}, nil
}

// wireRefusal says why data messages cannot be what one end wants.
//
// RFC 3931 section 5.4.4: "Data sequencing may only be requested when there is an
// L2-Specific Sublayer present that can provide sequence numbers. If sequencing is
// requested without requesting a L2-Specific Sublayer AVP, the session MUST be
// disconnected with a Result Code of 15".
func wireRefusal(w *Wire) (l2tp.ResultCode, error) {
	switch {
	case !l2tp.CookieLengthOK(len(w.Cookie)):
		return generalResult(l2tp.ErrorValue, "a cookie has 0, 4 or 8 octets"), ErrCookie
	case w.Sublayer > l2tp.SublayerATM:
		// "the receiving LCCE MUST include the identified L2-Specific Sublayer in
		// its outgoing data messages".
		return generalResult(l2tp.ErrorValue, "L2-Specific Sublayer: "+w.Sublayer.String()+" is not known here"), ErrSublayer
	case w.Sequencing > l2tp.SequencingAll:
		return generalResult(l2tp.ErrorValue, "Data Sequencing: "+w.Sequencing.String()+" is not known here"), ErrSublayer
	case w.Sequencing != l2tp.SequencingNone && w.Sublayer == l2tp.SublayerNone:
		return l2tp.ResultCode{
			Result:  l2tp.CDNSequencingNoSublayer,
			Message: "sequence numbers need an L2-Specific Sublayer",
		}, ErrSublayer
	}
	return l2tp.ResultCode{}, nil
}

// pseudowireRefusal checks the type of a session against those that an end has.
//
// RFC 3931 section 5.4.4: "A peer MUST NOT request an incoming or outgoing call with a
// PW Type AVP specifying a value not advertised in the PW Capabilities List AVP it
// received during control connection establishment. Attempts to do so MUST result in
// the call being rejected via a CDN with the Result Code set to 14".
func pseudowireRefusal(kind l2tp.PseudowireType, have []l2tp.PseudowireType, end string) (l2tp.ResultCode, error) {
	if slices.Contains(have, kind) {
		return l2tp.ResultCode{}, nil
	}
	return l2tp.ResultCode{
		Result:  l2tp.CDNUnsupportedPW,
		Message: "pseudowire type " + kind.String() + " is not among those of " + end,
	}, ErrPseudowire
}

// refusal3 is refusal for what only version 3 has.
func (t *Tunnel) refusal3(call *Call) (l2tp.ResultCode, error) {
	if result, err := pseudowireRefusal(call.Pseudowire, t.cfg.Pseudowires, "this end"); err != nil {
		return result, err
	}
	return wireRefusal(&call.Peer)
}

// placeRefusal3 is placeRefusal in version 3, which knows neither framing nor bearer.
func (t *Tunnel) placeRefusal3(s *session) (l2tp.ResultCode, error) {
	if result, err := pseudowireRefusal(s.call.Pseudowire, t.peer.Pseudowires, "the peer"); err != nil {
		return result, err
	}
	tie, err := t.newTie(&s.call)
	if err != nil {
		return generalResult(l2tp.ErrorInsufficientResources, err.Error()), err
	}
	s.tie = tie
	return l2tp.ResultCode{}, nil
}

// connected3 takes what an ICCN or OCCN says of the session; it returns false if the
// session had to end.
func (t *Tunnel) connected3(now time.Time, s *session, m *l2tp.Update3) bool {
	if m.Sublayer != nil {
		s.call.Peer.Sublayer = *m.Sublayer
	}
	if m.Sequencing != nil {
		s.call.Peer.Sequencing = *m.Sequencing
	}
	if m.CircuitStatus != nil {
		s.call.PeerStatus = *m.CircuitStatus
	}
	return t.wireAcceptable(now, s)
}

// wireAcceptable ends a session of which the peer wants what cannot be.
func (t *Tunnel) wireAcceptable(now time.Time, s *session) bool {
	result, err := wireRefusal(&s.call.Peer)
	if err != nil {
		t.closeSession(now, s, Cause{Result: result, Err: err})
	}
	return err == nil
}

// acceptEnd takes what our owner wants of a session that the peer asked for; false if it
// cannot be, and the session has ended.
func (t *Tunnel) acceptEnd(now time.Time, s *session, end Call) bool {
	s.call.addEnd3(cloneCall(end))
	result, err := t.prepareEnd(&s.call)
	if err != nil {
		t.closeSession(now, s, Cause{Result: result, Err: err})
		return false
	}
	s.toldStatus = s.call.LocalStatus
	return true
}
