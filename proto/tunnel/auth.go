package tunnel

import (
	"time"

	"adit/proto/l2tp"
)

// challengeLen is how long our challenges are: as long as the digest. RFC 2661
// section 4.4.3: "The Challenge is one or more octets of random data."
const challengeLen = 16

// prepareChallenge makes the challenge that our SCCRQ or SCCRP carries, if we
// want the peer to authenticate. RFC 2661 section 5.1.1: "If an LAC or LNS
// wishes to authenticate the identity of the peer it is contacting or being
// contacted by, a Challenge AVP is included in the SCCRQ or SCCRP message."
//
// An SCCRQ that offers version 3 with a secret has a Challenge too, whatever Config says:
// else anybody could answer it in version 2 and be spared the proof that version 3 wants.
func (t *Tunnel) prepareChallenge() (l2tp.ResultCode, error) {
	if !t.cfg.Challenge && !t.auth.required {
		return l2tp.ResultCode{}, nil
	}
	// "To participate in tunnel authentication, a single shared secret MUST
	// exist between the LAC and LNS."
	if len(t.cfg.Secret) == 0 {
		return notAuthorized("the peer has to authenticate itself, but no secret is configured for it here: " +
			"set the same secret at both ends"), ErrAuthentication
	}
	challenge, err := t.random(challengeLen)
	if err != nil {
		return generalResult(l2tp.ErrorInsufficientResources, err.Error()), err
	}
	t.challenge = challenge
	return l2tp.ResultCode{}, nil
}

// respond answers the peer's challenge, nil if there was none, in a message of
// type m. RFC 2661 section 4.4.3: the Challenge Response AVP "MUST be present in
// an SCCRP or SCCCN if a challenge was received in the preceding SCCRQ or
// SCCRP."
func (t *Tunnel) respond(m l2tp.MessageType, challenge []byte) ([]byte, l2tp.ResultCode, error) {
	if challenge == nil {
		return nil, l2tp.ResultCode{}, nil
	}
	if len(t.cfg.Secret) == 0 {
		t.stats.AuthFailures++
		return nil, notAuthorized("a Challenge was received, but no secret is configured here for this peer: " +
			"set the same secret at both ends, or ask for no authentication"), ErrAuthentication
	}
	response := l2tp.ChallengeResponse(m, t.cfg.Secret, challenge)
	return response[:], l2tp.ResultCode{}, nil
}

// checkResponse checks the peer's answer to our challenge in a message of type
// m, and ends the tunnel if it is missing or wrong. RFC 2661 section 5.1.1: "If
// the expected response and response received from a peer does not match,
// establishment of the tunnel MUST be disallowed."
//
// A response that we did not ask for proves nothing and hurts nobody.
func (t *Tunnel) checkResponse(now time.Time, m l2tp.MessageType, response []byte) bool {
	if t.challenge == nil {
		return true
	}
	text := ""
	switch {
	case response == nil:
		text = "Challenge Response missing from " + m.String() + ": the peer has to authenticate itself"
	case !l2tp.CheckChallengeResponse(m, t.cfg.Secret, t.challenge, response):
		text = "wrong Challenge Response in " + m.String() + ": the secrets of the two ends differ"
	default:
		return true
	}
	t.stats.AuthFailures++
	t.fail(now, notAuthorized(text), ErrAuthentication)
	return false
}

// notAuthorized is Result Code 4 of StopCCN: "Requester is not authorized to
// establish a control channel".
func notAuthorized(text string) l2tp.ResultCode {
	return l2tp.ResultCode{Result: l2tp.StopCCNNotAuthorized, Message: text}
}
