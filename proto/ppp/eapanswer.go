package ppp

import (
	"bytes"
	"encoding/binary"
	"time"
)

// receiveEAPRequest answers a Request, at any time of the link.
//
// RFC 3748 section 4.1: "The peer MUST send a Response packet in reply to a valid
// Request packet. Responses MUST only be sent in reply to a valid Request and
// never be retransmitted on a timer. If a peer receives a valid duplicate Request
// for which it has already sent a Response, it MUST resend its original Response
// without reprocessing the Request."
func (w *answerer) receiveEAPRequest(now time.Time, packet []byte, p Packet) {
	if len(p.Data) == 0 || p.Data[0] == eapNak { // RFC 3748 section 5: Nak is "Response only"
		w.host.malformed()
		return
	}
	sum := fingerprint(p.Identifier, packet)
	if sum == w.last {
		if w.x != nil && w.x.packet != nil {
			w.host.send(ProtocolEAP, w.x.packet)
		}
		return
	}
	if w.host.outstanding(packet) {
		w.fail(now, CauseOurAuthRefused, "the peer's challenge is our own: it is not answered")
		return
	}
	if w.x == nil {
		w.begin(now)
	}
	response, method := w.eapResponse(packet, p)
	if response == nil {
		return
	}
	w.last, w.id = sum, p.Identifier
	w.x.packet, w.x.method = response, w.x.method || method
	w.host.send(ProtocolEAP, response)
}

// eapResponse makes the response to a request, and says whether it is one of a
// method; nil: none.
//
// RFC 3748 section 4.1: "A peer MUST NOT send a Nak (legacy or expanded) in
// response to a Request, after an initial non-Nak Response has been sent."
func (w *answerer) eapResponse(packet []byte, p Packet) (response []byte, method bool) {
	switch p.Data[0] {
	case eapIdentity:
		name, _ := w.cfg.Secrets.Password()
		return authPacket(eapResponse, p.Identifier, []byte{eapIdentity}, []byte(cut(name, maxAuthName))), false
	case eapNotification:
		// RFC 3748 section 5.2: "The Type-Data field of the Response is zero
		// octets in length."
		return authPacket(eapResponse, p.Identifier, []byte{eapNotification}), false
	}
	r := w.cfg.Secrets.EAP(bytes.Clone(packet))
	ok := len(r) > packetHeaderLen && r[0] == eapResponse && r[1] == p.Identifier &&
		int(binary.BigEndian.Uint16(r[2:])) == len(r)
	if !ok {
		// RFC 3748 section 5.3.1: "The Type-Data field of the Nak Response (Type
		// 3) MUST contain one or more octets indicating the desired
		// authentication Type(s), one octet per Type, or the value zero (0) to
		// indicate no proposed alternative."
		r = authPacket(eapResponse, p.Identifier, []byte{eapNak, 0})
	}
	if isEAPNak(r) {
		if w.x.method {
			return nil, false
		}
		return r, false
	}
	return r, true
}

// isEAPNak says whether a response is a Nak or an Expanded Nak, RFC 3748 section
// 5.3.
func isEAPNak(r []byte) bool {
	if r[packetHeaderLen] == eapNak {
		return true
	}
	expandedNak := []byte{eapExpanded, 0, 0, 0, 0, 0, 0, eapNak}
	return bytes.HasPrefix(r[packetHeaderLen:], expandedNak)
}

// receiveEAPOutcome takes Success or Failure.
//
// RFC 3748 section 4.2: "By default, an EAP peer MUST silently discard a "canned"
// Success packet (a Success packet sent immediately upon connection)." So a
// Success counts after a response to a method only. Its Identifier is that of
// our last response; some servers send the next one.
func (w *answerer) receiveEAPOutcome(now time.Time, p Packet) {
	if len(p.Data) != 0 {
		w.host.malformed()
		return
	}
	if w.x == nil || w.x.packet == nil || p.Identifier-w.id > 1 {
		return
	}
	if uint8(p.Code) == eapFailure {
		w.refused(now, "")
		return
	}
	if w.x.method {
		w.accepted(now)
	}
}
