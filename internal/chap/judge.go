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

// Judge says whether a peer knows this password, by the method of its request.
// With EAP it is a server of MD5-Challenge: a verdict may be a further request,
// and the next AuthRequest has to bring its State back.
//
// Only with MS-CHAPv2 may the peer try again on the link: RFC 1334 and RFC 1994
// would rather see it ended, and RFC 2759 has a way of asking the user.
func Judge(password []byte, req ppp.AuthRequest) ppp.Verdict {
	no := ppp.Verdict{Message: refused}
	switch req.Method {
	case ppp.MethodPAP:
		if CheckPAP(password, req) {
			return ppp.Verdict{Accept: true}
		}
	case ppp.MethodCHAP:
		if CheckCHAP(password, req) {
			return ppp.Verdict{Accept: true}
		}
	case ppp.MethodMSCHAPv2:
		if message, ok := CheckMSCHAPv2(HashNT(password), req.Name, req); ok {
			return ppp.Verdict{Accept: true, Message: message}
		}
		no.Message = FailMSCHAPv2(true, random(challengeLen))
		no.Retry = true
	case ppp.MethodEAP:
		return judgeEAP(password, req)
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

// judgeEAP asks by MD5-Challenge once the peer has told its identity, and judges
// the answer. A peer that would have another method (Nak) is refused.
func judgeEAP(password []byte, req ppp.AuthRequest) ppp.Verdict {
	e := req.EAP
	if len(e) <= eapHeaderLen || e[0] != eapResponse || int(binary.BigEndian.Uint16(e[2:])) != len(e) {
		return ppp.Verdict{Message: refused}
	}
	id, data := e[1], e[eapHeaderLen+1:]
	failed := ppp.Verdict{Message: refused, EAP: eapPacket(eapFailure, id)}
	asked, _ := req.State.(*eapChallenge)
	if asked == nil {
		if e[eapHeaderLen] != eapIdentity {
			return failed
		}
		c := &eapChallenge{id: id + 1, value: random(challengeLen)}
		return ppp.Verdict{State: c, EAP: eapPacket(eapRequest, c.id, append([]byte{eapMD5Challenge, challengeLen}, c.value...)...)}
	}
	value, ok := md5Value(data)
	ok = ok && e[eapHeaderLen] == eapMD5Challenge && id == asked.id &&
		subtle.ConstantTimeCompare(md5Response(id, password, asked.value), value) == 1
	if !ok {
		return failed
	}
	return ppp.Verdict{Accept: true, EAP: eapPacket(eapSuccess, id)}
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
