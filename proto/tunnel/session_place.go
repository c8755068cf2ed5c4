package tunnel

import (
	"errors"
	"time"

	"adit/proto/l2tp"
)

// maxUnsentRequests is how many messages may wait for the peer's window before
// placed calls are held back. They wait in wait-tunnel instead, where a call can
// still be closed without a word to the peer.
const maxUnsentRequests = 32

// placeCall: "idle | Bearer Ring or Ready to indicate incoming conn. | Initiate
// local tunnel open | wait-tunnel" of RFC 2661 section 7.4.1, and the same for an
// outgoing call in section 7.5.2.
func (t *Tunnel) placeCall(now time.Time, ev PlaceCall) {
	if !t.alive() {
		t.emit(CallDown{Ref: ev.Ref, Cause: Cause{
			Result: generalResult(l2tp.ErrorNoControlConnection, "the tunnel is closed"),
			Err:    ErrTunnelDown,
		}})
		return
	}
	call := cloneCall(ev.Call)
	if call.CallSerial == 0 {
		// "Call Serial Numbers should be set to progressively increasing
		// values, which are likely to be unique for a significant period of
		// time": an owner with many tunnels knows better ones.
		t.serial++
		call.CallSerial = t.cfg.LocalID<<16 | t.serial&0xffff
	}
	var result l2tp.ResultCode
	var err error
	if t.cfg.Version == l2tp.Version3 {
		if result, err = t.prepare3(&call); err != nil {
			t.emit(CallDown{Ref: ev.Ref, Cause: Cause{Result: result, Err: err}})
			return
		}
	}
	s, err := t.addSession(now, CallWaitTunnel, session{placed: true, ref: ev.Ref, call: call})
	if err != nil {
		t.emit(CallDown{Ref: ev.Ref, Cause: Cause{
			Result: l2tp.ResultCode{Result: l2tp.CDNNoFacilitiesTemporary, Message: err.Error()},
			Err:    err,
		}})
		return
	}
	t.emit(CallPlaced{Ref: s.ref, Session: s.id})
}

// sendUnsent: "wait-tunnel | tunnel-open | Send ICRQ | wait-reply" of RFC 2661
// section 7.4.1, and OCRQ in section 7.5.2.
func (t *Tunnel) sendUnsent(now time.Time) {
	for t.state == Established && t.unsent.head != nil && t.ch.Stats().SendQueue < maxUnsentRequests {
		s := t.unsent.head
		if result, err := t.placeRefusal(s); err != nil {
			t.closeSession(now, s, Cause{Result: result, Err: err})
			continue
		}
		if t.sendCall(now, s, t.requestOf(s)) {
			t.setState(now, s, CallWaitReply)
		}
	}
}

// requestOf is the ICRQ or OCRQ of a call of ours.
func (t *Tunnel) requestOf(s *session) l2tp.Message {
	s.toldStatus = s.call.LocalStatus
	var request l2tp.Request3
	var end l2tp.Session3
	if t.version == l2tp.Version3 {
		request, end = s.request3()
	}
	if s.call.Direction == Incoming {
		m := icrqOf(s.id, &s.call)
		m.Request3, m.Session3 = request, end
		return m
	}
	m := ocrqOf(s.id, &s.call)
	m.Request3, m.Session3 = request, end
	return m
}

// placeRefusal checks a call of ours against the peer's capabilities and picks
// the framing where the owner left it open. RFC 2661 section 4.4.3: "A peer MUST
// NOT request an incoming or outgoing call with a Framing Type AVP specifying a
// value not advertised in the Framing Capabilities AVP it received during
// control connection establishment."
func (t *Tunnel) placeRefusal(s *session) (l2tp.ResultCode, error) {
	call := &s.call
	if t.version == l2tp.Version3 {
		return t.placeRefusal3(s)
	}
	if call.Pseudowire != 0 && call.Pseudowire != l2tp.PseudowirePPP {
		return noFacilities("pseudowire type " + call.Pseudowire.String() + ", and L2TPv2 has none but PPP"), ErrPseudowire
	}
	if call.Direction == Outgoing {
		return t.placeLineRefusal(call)
	}
	framing := t.peerFraming()
	if call.FramingType == 0 {
		call.FramingType = oneFraming(framing)
	}
	if call.FramingType&^framing != 0 {
		return noFraming(call.FramingType, framing), ErrFacilities
	}
	return l2tp.ResultCode{}, nil
}

// peerFraming is the framing that the peer accepts. One that says it accepts none
// could have no call at all; it has left the AVP blank, and is taken to accept
// both.
func (t *Tunnel) peerFraming() l2tp.FramingType {
	if t.peer.Framing == 0 {
		return l2tp.FramingSync | l2tp.FramingAsync
	}
	return t.peer.Framing
}

// placeLineRefusal is that for an outgoing call. RFC 2661 section 6.9: "An LNS
// MUST have received a Bearer Capabilities AVP during tunnel establishment from
// an LAC in order to request an outgoing call to that LAC." Section 4.4.4: "Bits
// in the Value field of this AVP MUST only be set by the LNS for an OCRQ if it
// was set in the Bearer Capabilities AVP received from the LAC", and the same of
// the Framing Type.
func (t *Tunnel) placeLineRefusal(call *Call) (l2tp.ResultCode, error) {
	if t.peer.Bearer == 0 {
		return noFacilities("the peer cannot place outgoing calls: it sent no Bearer Capabilities"), ErrFacilities
	}
	if call.BearerType == 0 {
		call.BearerType = t.peer.Bearer
	}
	framing := t.peerFraming()
	if call.FramingType == 0 {
		call.FramingType = framing
	}
	switch {
	case call.BearerType&^t.peer.Bearer != 0:
		return noFacilities("bearer type " + call.BearerType.String() + ", the peer has " + t.peer.Bearer.String()), ErrFacilities
	case call.FramingType&^framing != 0:
		return noFraming(call.FramingType, framing), ErrFacilities
	}
	return l2tp.ResultCode{}, nil
}

// sendCall sends a message of a call. If a value does not fit, the call ends; if
// the queue is full, the tunnel does. It reports whether the call lives on.
func (t *Tunnel) sendCall(now time.Time, s *session, m l2tp.Message) bool {
	if !t.queueFull() {
		t.address(m, s.id, s.peerID)
		err := t.send(now, s.peerID, m)
		if err == nil {
			return true
		}
		if errors.Is(err, ErrEncode) {
			t.closeSession(now, s, Cause{
				Result: generalResult(l2tp.ErrorValue, m.Type().String()+" cannot be sent: "+err.Error()),
				Err:    err,
			})
			return false
		}
	}
	t.overload(now)
	return false
}

// callUp is the entry into the established state.
func (t *Tunnel) callUp(now time.Time, s *session) {
	t.setState(now, s, CallEstablished)
	t.emit(CallUp{Ref: s.ref, Session: s.id, PeerSession: s.peerID, LNS: s.lns(), Call: s.call})
	t.updateStatus(now, s)
}

// recvICRP: "wait-reply | Receive ICRP, acceptable | Send ICCN | established"
// and "Not acceptable | Send CDN, Clean up | idle" of RFC 2661 section 7.4.1.
func (t *Tunnel) recvICRP(now time.Time, s *session, m *l2tp.ICRP) {
	if !t.takePeerID(now, s, m.AssignedSessionID) {
		return
	}
	connect := iccnOf(&s.call)
	if t.version == l2tp.Version3 {
		s.call.addPeer3(&m.Session3)
		if !t.wireAcceptable(now, s) {
			return
		}
		status := s.call.LocalStatus
		connect.CircuitStatus, s.toldStatus = &status, status
	}
	if t.sendCall(now, s, connect) {
		t.callUp(now, s)
	}
}

// recvOCRP: "wait-reply | Receive OCRP, acceptable | none | wait-connect" and
// "not acceptable | Send CDN, Clean up | idle" of RFC 2661 section 7.5.2.
func (t *Tunnel) recvOCRP(now time.Time, s *session, m *l2tp.OCRP) {
	if !t.takePeerID(now, s, m.AssignedSessionID) {
		return
	}
	s.call.PhysicalChannelID = m.PhysicalChannelID
	if t.version == l2tp.Version3 {
		s.call.addPeer3(&m.Session3)
		s.call.addSpeeds(m.TxConnectSpeed, m.RxConnectSpeed)
		if !t.wireAcceptable(now, s) {
			return
		}
	}
	t.setState(now, s, CallWaitConnect)
}

// takePeerID takes the Assigned Session ID of a reply; a reply without a usable
// one is not acceptable. The CDN then goes to Session ID 0, so that it does not
// hit another call.
func (t *Tunnel) takePeerID(now time.Time, s *session, id uint32) bool {
	if t.learnPeerID(s, id) {
		return true
	}
	t.closeSession(now, s, Cause{
		Result: generalResult(l2tp.ErrorInvalidSession, "Assigned Session ID is 0 or in use"),
		Err:    ErrSessionID,
	})
	return false
}

// recvICCN: "wait-connect | Receive ICCN acceptable | Prepare for data |
// established" and "not acceptable | Send CDN, Clean up | idle" of RFC 2661
// section 7.4.2.
func (t *Tunnel) recvICCN(now time.Time, s *session, m *l2tp.ICCN) {
	// One bit is meant to be set. Of several, any that we have will do, as in
	// an OCRQ: Android's client sets both whatever we advertised.
	if m.FramingType != 0 && m.FramingType&t.cfg.Framing == 0 {
		t.closeSession(now, s, Cause{Result: noFraming(m.FramingType, t.cfg.Framing), Err: ErrFacilities})
		return
	}
	s.call.addICCN(m)
	if !t.connected3(now, s, &m.Update3) {
		return
	}
	t.callUp(now, s)
}

// recvOCCN: "wait-connect | Receive OCCN | none | established" of RFC 2661
// section 7.5.2.
func (t *Tunnel) recvOCCN(now time.Time, s *session, m *l2tp.OCCN) {
	s.call.addOCCN(m)
	if !t.connected3(now, s, &m.Update3) {
		return
	}
	t.callUp(now, s)
}
