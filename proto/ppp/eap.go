package ppp

import (
	"bytes"
	"encoding/binary"
	"time"
)

// The codes of EAP, RFC 3748 section 4.
const (
	eapRequest  = 1
	eapResponse = 2
	eapSuccess  = 3
	eapFailure  = 4
)

// The types of EAP that concern more than a method, RFC 3748 section 5.
const (
	eapIdentity     = 1
	eapNotification = 2
	eapNak          = 3
	eapMD5Challenge = 4 // RFC 3748 section 5.4
	eapExpanded     = 254
)

// sendEAPRequest sends the outstanding request, or the first: that for the
// peer's identity.
//
// RFC 3748 section 4.1: "Additional Request packets MUST be sent until a valid
// Response packet is received, an optional retry counter expires, or a lower
// layer failure indication is received. Retransmitted Requests MUST be sent with
// the same Identifier value in order to distinguish them from new Requests."
func (a *authenticator) sendEAPRequest() {
	if a.x.request == nil {
		a.id++
		a.x.request = authPacket(eapRequest, a.id, []byte{eapIdentity})
	}
	a.host.send(ProtocolEAP, a.x.request)
}

// receiveEAP takes a Response, and passes it on: we are what RFC 3748 section
// 2.3 calls a pass-through authenticator, which looks at Code, Identifier and
// Length. Only the Identity is ours.
//
// RFC 3748 section 4.1: "An authenticator receiving a Response whose Identifier
// value does not match that of the currently outstanding Request MUST silently
// discard the Response." "Since the authenticator can retransmit before receiving
// a Response from the peer, the authenticator can receive multiple Responses,
// each with a matching Identifier. Until a new Request is received by the
// authenticator, the Identifier value is not updated, so that the authenticator
// forwards Responses to the backend authentication server, one at a time."
func (a *authenticator) receiveEAP(packet []byte, p Packet) {
	if len(p.Data) == 0 { // no Type
		a.host.malformed()
		return
	}
	if p.Identifier != a.id {
		return
	}
	switch a.state {
	case authOpen:
		// It answers a copy of the last request: the Success may be lost, and is
		// all that is left to say.
		a.host.send(ProtocolEAP, authPacket(eapSuccess, a.id))
	case authWaiting:
		if a.x.request[packetHeaderLen] == eapIdentity {
			if p.Data[0] != eapIdentity || len(p.Data)-1 > maxAuthName {
				a.host.malformed()
				return
			}
			a.x.name = string(p.Data[1:])
		}
		a.judge(AuthRequest{Name: a.x.name, ID: a.id, EAP: bytes.Clone(packet), State: a.x.state})
	case authIdle, authJudging, authEnded:
	}
}

// judgedEAP sends what the verdict says: a further request, or the end.
func (a *authenticator) judgedEAP(now time.Time, v Verdict) {
	if v.Accept {
		a.host.send(ProtocolEAP, eapOutcome(v.EAP, eapSuccess, a.id))
		a.accept(now, v)
		return
	}
	if e := v.EAP; len(e) > packetHeaderLen && e[0] == eapRequest && int(binary.BigEndian.Uint16(e[2:])) == len(e) {
		a.state, a.id = authWaiting, e[1]
		a.x.request, a.x.state = bytes.Clone(e), v.State
		a.ask(now)
		return
	}
	a.another(false)
	a.host.send(ProtocolEAP, eapOutcome(v.EAP, eapFailure, a.id))
	a.refuse(now, v.Message)
}

// eapOutcome returns the verdict's Success or Failure, or makes one where it has
// none of this code.
//
// RFC 3748 section 4.2: "The Identifier field MUST match the Identifier field of
// the Response packet that it is sent in response to." "Success and Failure
// packets MUST NOT contain additional data."
func eapOutcome(e []byte, code, id uint8) []byte {
	if len(e) == packetHeaderLen && e[0] == code && int(binary.BigEndian.Uint16(e[2:])) == len(e) {
		return bytes.Clone(e)
	}
	return authPacket(code, id)
}
