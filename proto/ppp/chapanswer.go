package ppp

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"
)

// maxReplies is how many responses of an exchange are remembered. There is more
// than one if the network delays a challenge for longer than the peer's timer.
const maxReplies = 4

// chapReply is a Response that we sent.
type chapReply struct {
	sum    uint64 // fingerprint of the challenge
	packet []byte
	state  any // of Secrets.Respond
}

// respond sends a response, and has it sent again until the peer says what it
// makes of it.
func (w *answerer) respond(now time.Time, packet []byte) {
	w.x.packet = packet
	w.due = now.Add(cmp.Or(w.cfg.RestartTimer, authRestartTimer))
	w.host.send(ProtocolCHAP, packet)
}

// repeatCHAP sends again what the peer has not said a word about. A challenge that
// came late need not be the peer's last, so that only it knows which response it
// waits for; it knows that one by its Identifier.
func (w *answerer) repeatCHAP(now time.Time) {
	for _, r := range w.x.chap {
		w.respond(now, r.packet)
	}
}

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
	if w.x != nil {
		for _, r := range w.x.chap {
			if r.sum == sum {
				w.respond(now, r.packet)
				return
			}
		}
	}
	if sum == w.last {
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
	w.last = sum
	r := chapReply{sum: sum, packet: chapValuePacket(chapResponse, p.Identifier, response, ourName), state: state}
	if len(w.x.chap) == maxReplies {
		w.x.chap = slices.Delete(w.x.chap, 0, 1)
	}
	w.x.chap = append(w.x.chap, r)
	w.respond(now, r.packet)
}

// receiveOutcome takes a Success or Failure for a response of ours. RFC 1994
// section 4.2: "The Identifier field is one octet and aids in matching requests
// and replies. The Identifier field MUST be copied from the Identifier field of
// the Response which caused this reply."
//
// RFC 2759 section 5: "The authenticating peer MUST verify the authenticator
// response when a Success packet is received." "If the authenticator response is
// either missing or incorrect, the peer MUST end the session."
//
// A Failure ends the link even if MS-CHAPv2's says that we may try again: we
// have no other password.
func (w *answerer) receiveOutcome(now time.Time, p Packet) {
	r := w.replyTo(p.Identifier)
	if r == nil {
		return
	}
	if uint8(p.Code) == chapFailure {
		w.refused(now, string(p.Data))
		return
	}
	if w.method == MethodMSCHAPv2 {
		if err := w.cfg.Secrets.Verify(r.state, string(p.Data)); err != nil {
			w.fail(now, CauseOurAuthFailed, "the peer does not know the password: "+err.Error())
			return
		}
	}
	w.accepted(now)
}

// replyTo returns our latest response of an Identifier; nil: there is none, or the
// exchange is over.
func (w *answerer) replyTo(id uint8) *chapReply {
	if w.x == nil {
		return nil
	}
	for i := len(w.x.chap) - 1; i >= 0; i-- {
		if r := &w.x.chap[i]; r.packet[1] == id {
			return r
		}
	}
	return nil
}
