package ppp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// The codes of CHAP, RFC 1994 section 4.
const (
	chapChallenge = 1
	chapResponse  = 2
	chapSuccess   = 3
	chapFailure   = 4
)

// Lengths of Value fields, in octets.
const (
	chapChallengeLen   = 16
	chapMD5Len         = 16
	mschapResponseLen  = 49 // RFC 2759 section 4
	mschapProofLen     = 20 // RFC 2759 section 5
	mschapProofTextLen = len("S=") + 2*mschapProofLen
)

// sendChallenge sends a new challenge.
//
// RFC 1994 section 4.1: "Additional Challenge packets MUST be sent until a valid
// Response packet is received, or an optional retry counter expires." "The
// Identifier field MUST be changed each time a Challenge is sent." "The Challenge
// Value MUST be changed each time a Challenge is sent."
func (a *authenticator) sendChallenge() {
	a.id++
	a.x.challenge = a.host.random(chapChallengeLen)
	a.host.send(ProtocolCHAP, chapValuePacket(chapChallenge, a.id, a.x.challenge, a.cfg.Name))
}

// chapValuePacket makes a Challenge or Response; value has at most 255 octets.
func chapValuePacket(code, id uint8, value []byte, name string) []byte {
	return authPacket(code, id, []byte{byte(len(value))}, value, []byte(cut(name, maxAuthName)))
}

// receiveCHAP takes a Response.
//
// RFC 1994 section 4.1: "Because the Success might be lost, the authenticator
// MUST allow repeated Response packets during the Network-Layer Protocol phase
// after completing the Authentication phase. To prevent discovery of alternative
// Names and Secrets, any Response packets received having the current Challenge
// Identifier MUST return the same reply Code previously returned for that
// specific Challenge (the message portion MAY be different)."
func (a *authenticator) receiveCHAP(now time.Time, p Packet) {
	value, name, ok := counted(p.Data)
	if !ok || len(name) > maxAuthName {
		a.host.malformed()
		return
	}
	switch a.state {
	case authOpen:
		switch {
		case p.Identifier == a.id:
			a.host.send(ProtocolCHAP, authPacket(chapSuccess, a.id, []byte(a.proofText())))
		case a.resumed:
			// It answers another challenge of the LAC's than the one that we were
			// told of, and waits for a word about that: it is asked, once more.
			a.resumed = false
			a.begin(now)
		}
	case authWaiting:
		if r := a.x.refusal; r != nil && r[1] == p.Identifier {
			a.host.send(ProtocolCHAP, r)
			return
		}
		if p.Identifier != a.id {
			return
		}
		a.x.name = string(name)
		if len(value) != a.responseLen() {
			a.judgedCHAP(now, Verdict{}) // no password makes it right
			return
		}
		a.judge(AuthRequest{Name: a.x.name, ID: a.id, Challenge: a.x.challenge, Response: bytes.Clone(value)})
	case authIdle, authJudging, authEnded:
	}
}

// responseLen returns the length that the method gives to a Response's Value.
func (a *authenticator) responseLen() int {
	if a.method == MethodMSCHAPv2 {
		return mschapResponseLen
	}
	return chapMD5Len
}

// judgedCHAP sends Success or Failure.
func (a *authenticator) judgedCHAP(now time.Time, v Verdict) {
	if v.Accept {
		a.keepProof(v.Message)
		a.host.send(ProtocolCHAP, authPacket(chapSuccess, a.id, []byte(cut(v.Message, maxAuthMessage))))
		a.accept(now, v)
		return
	}
	retry := a.another(v.Retry)
	challenge, message := []byte(nil), cut(v.Message, maxAuthMessage)
	if a.method == MethodMSCHAPv2 {
		f := a.mschapFailure(v.Message, retry)
		challenge, message = f.Challenge, f.String()
	}
	failure := authPacket(chapFailure, a.id, []byte(message))
	a.host.send(ProtocolCHAP, failure)
	if !retry {
		a.refuse(now, message)
		return
	}
	a.state, a.x.refusal = authWaiting, failure
	if challenge == nil {
		a.ask(now)
		return
	}
	// RFC 2759 section 6: "When the authenticator sets this flag to '1' it
	// disables short timeouts, expecting the peer to prompt the user for new
	// credentials and resubmit the response." Section 9.1.4: "Response (++ID) to
	// challenge in failure message".
	a.x.challenge, a.due = challenge, time.Time{}
	a.id++
}

// mschapFailure makes the Message of a Failure of what the verdict has of it.
// Whether the peer may retry, and the challenge for it, are for us to say.
func (a *authenticator) mschapFailure(message string, retry bool) MSCHAPFailure {
	f, ok := ParseMSCHAPFailure(message)
	if !ok {
		f = MSCHAPFailure{Error: MSCHAPAuthenticationFailure, Message: message}
	}
	f.Retry, f.Version, f.Message = retry, mschapVersion, cut(f.Message, maxAuthMessage)
	if len(f.Challenge) != chapChallengeLen {
		f.Challenge = a.host.random(chapChallengeLen)
	}
	return f
}

// keepProof keeps the authenticator response of a Success that may have to be
// repeated: the peer would take one without for a forgery.
func (a *authenticator) keepProof(message string) {
	a.hasProof = false
	if a.method != MethodMSCHAPv2 || len(message) < mschapProofTextLen || message[:2] != "S=" {
		return
	}
	n, err := hex.Decode(a.proof[:], []byte(message[2:mschapProofTextLen]))
	a.hasProof = err == nil && n == mschapProofLen
}

// proofText is the Message of a repeated Success.
func (a *authenticator) proofText() string {
	if !a.hasProof {
		return ""
	}
	// RFC 2759 section 5: "The hexadecimal digits A-F (if present) MUST be
	// uppercase."
	return "S=" + strings.ToUpper(fmt.Sprintf("%x", a.proof))
}
