package ppp

import (
	"bytes"
	"fmt"
	"time"
)

// receiveChallenge answers a Challenge, at any time of the link.
//
// RFC 1994 section 4.1: "Whenever a Challenge packet is received, the peer MUST
// transmit a CHAP packet with the Code field set to 2 (Response)." A second copy
// of the challenge gets a second copy of the response; once the peer has
// accepted us, such a copy was on the way for long, and another response would
// only be answered with the Success to the first.
//
// RFC 1994, Security Considerations: "The secret SHOULD NOT be the same in both
// directions. This allows an attacker to replay the peer's challenge, accept the
// computed response, and use that response to authenticate." So a challenge that
// is our own is not answered, nor one under our own name on a link where we ask
// too. Against a replay from another link only the two secrets help.
func (w *answerer) receiveChallenge(now time.Time, p Packet) {
	value, name, ok := counted(p.Data)
	if !ok || len(value) == 0 || w.method == MethodMSCHAPv2 && len(value) != chapChallengeLen || len(name) > maxAuthName {
		w.host.malformed()
		return
	}
	sum := fingerprint(p.Identifier, value)
	if sum == w.last {
		if w.x != nil && w.x.packet != nil {
			w.repeat(now)
		}
		return
	}
	if w.host.outstanding(value) ||
		len(w.cfg.Authenticate) > 0 && len(name) > 0 && string(name) == w.cfg.Name {
		w.fail(now, CauseOurAuthRefused, "the peer's challenge is our own, or bears our own name: it is not answered")
		return
	}
	response, ourName, state, err := w.cfg.Secrets.Respond(w.method, p.Identifier, bytes.Clone(value), string(name))
	if err == nil && len(response) > 255 {
		err = fmt.Errorf("ppp: a response of %d octets", len(response))
	}
	if err != nil {
		w.fail(now, CauseOurAuthFailed, "no response to the peer's challenge: "+err.Error())
		return
	}
	if w.x == nil || w.in {
		w.begin(now)
	}
	w.last, w.id = sum, p.Identifier
	w.x.state = state
	w.x.packet = chapValuePacket(chapResponse, p.Identifier, response, ourName)
	w.repeat(now)
}

// receiveOutcome takes a Success or Failure for our last response.
//
// RFC 2759 section 5: "The authenticating peer MUST verify the authenticator
// response when a Success packet is received." "If the authenticator response is
// either missing or incorrect, the peer MUST end the session."
//
// A Failure ends the link even if MS-CHAPv2's says that we may try again: we
// have no other password.
func (w *answerer) receiveOutcome(now time.Time, p Packet) {
	if w.x == nil || w.x.packet == nil || p.Identifier != w.id {
		return
	}
	if uint8(p.Code) == chapFailure {
		w.refused(now, string(p.Data))
		return
	}
	if w.method == MethodMSCHAPv2 {
		if err := w.cfg.Secrets.Verify(w.x.state, string(p.Data)); err != nil {
			w.fail(now, CauseOurAuthFailed, "the peer does not know the password: "+err.Error())
			return
		}
	}
	w.accepted(now)
}
