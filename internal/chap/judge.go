package chap

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"

	"adit/proto/ppp"
)

// What a peer is told. It is the same for a name that does not exist and for a
// wrong password.
const refused = "name or password is wrong"

// Judge is Secret.Judge for a password.
func Judge(password []byte, req ppp.AuthRequest) ppp.Verdict {
	v, _ := OfPassword(password).Judge(req)
	return v
}

// Refuse is the verdict about a peer that is not let in, for whatever reason: it is
// the one that a wrong password has, so that a guess that was right is not told
// from one that was not.
func Refuse(req ppp.AuthRequest) ppp.Verdict {
	no := ppp.Verdict{Message: refused}
	switch req.Method {
	case ppp.MethodPAP, ppp.MethodCHAP: // the message is all
	case ppp.MethodMSCHAPv2:
		no.Message, no.Retry = FailMSCHAPv2(true, random(challengeLen)), true
	case ppp.MethodEAP:
		if id, _, _, ok := parseEAPResponse(req.EAP); ok {
			no.EAP = eapPacket(eapFailure, id)
		}
	}
	return no
}

// The codes and types of EAP that a server of MD5-Challenge has to do with, RFC
// 3748 sections 4 and 5.
const (
	eapRequest  = 1
	eapResponse = 2
	eapSuccess  = 3
	eapFailure  = 4

	eapIdentity     = 1
	eapNak          = 3
	eapMD5Challenge = 4

	eapHeaderLen = 4 // Code, Identifier and Length
)

// eapChallenge is the State of a Verdict that is an MD5-Challenge.
type eapChallenge struct {
	id    uint8
	value []byte
}

// parseEAPResponse takes a Response apart; false: it is none.
func parseEAPResponse(e []byte) (id, kind uint8, data []byte, ok bool) {
	if len(e) <= eapHeaderLen || e[0] != eapResponse || int(binary.BigEndian.Uint16(e[2:])) != len(e) {
		return 0, 0, nil, false
	}
	return e[1], e[eapHeaderLen], e[eapHeaderLen+1:], true
}

// challengeEAP asks by MD5-Challenge once the peer has told its identity; false:
// the request is not the one that begins the exchange.
func challengeEAP(req ppp.AuthRequest) (ppp.Verdict, bool) {
	id, kind, _, ok := parseEAPResponse(req.EAP)
	if !ok || kind != eapIdentity || req.State != nil {
		return ppp.Verdict{}, false
	}
	c := &eapChallenge{id: id + 1, value: random(challengeLen)}
	data := append([]byte{eapMD5Challenge, challengeLen}, c.value...)
	return ppp.Verdict{State: c, EAP: eapPacket(eapRequest, c.id, data...)}, true
}

// checkEAP judges the answer to the challenge. A peer that would have another
// method (Nak) has not answered it.
func checkEAP(password []byte, req ppp.AuthRequest) (ppp.Verdict, bool) {
	asked, _ := req.State.(*eapChallenge)
	id, kind, data, ok := parseEAPResponse(req.EAP)
	if asked == nil || !ok || kind != eapMD5Challenge || id != asked.id {
		return ppp.Verdict{}, false
	}
	value, ok := md5Value(data)
	if !ok || subtle.ConstantTimeCompare(md5Response(id, password, asked.value), value) != 1 {
		return ppp.Verdict{}, false
	}
	return ppp.Verdict{Accept: true, EAP: eapPacket(eapSuccess, id)}, true
}

// md5Value takes the Value field off the Type-Data of an MD5-Challenge, RFC 3748
// section 5.4.
func md5Value(data []byte) (value []byte, ok bool) {
	if len(data) == 0 || len(data) < 1+int(data[0]) {
		return nil, false
	}
	return data[1 : 1+int(data[0])], true
}

// eapPacket makes an EAP packet.
func eapPacket(code, id uint8, data ...byte) []byte {
	b := append(make([]byte, 0, eapHeaderLen+len(data)), code, id)
	b = binary.BigEndian.AppendUint16(b, uint16(eapHeaderLen+len(data)))
	return append(b, data...)
}

// random returns n octets that nobody can foretell.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, says its documentation
	return b
}
