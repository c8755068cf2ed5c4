package ppp

import (
	"cmp"
	"fmt"
	"time"
)

// authHost is what an authenticator or an answerer needs of its endpoint.
type authHost interface {
	send(p Protocol, packet []byte)
	act(a Action)
	random(n int) []byte
	// nextNumber returns the number of an Authenticate action, which no other of
	// this link has had.
	nextNumber() uint32
	// another counts an attempt of the peer that was refused, of all those on this
	// link, and says whether it may have one more.
	another() bool
	// authenticated says that the peer has shown who it is, answered that the
	// peer has accepted us. Each is called once: what comes later only renews it.
	authenticated(now time.Time, v Verdict)
	answered(now time.Time)
	// fail ends the link. Nothing is called after it.
	fail(now time.Time, c Cause, text string)
	// malformed counts a packet that was dropped for what is in it.
	malformed()
	// outstanding says whether in data there is a challenge to which we wait for
	// the answer of the peer of this same link.
	outstanding(data []byte) bool
}

// Where Config says nothing.
const (
	authRestartTimer = 3 * time.Second
	authTimeout      = 30 * time.Second
	authAttempts     = 3
)

// maxAuthName bounds a peer's name, in octets: RFC 2759 section 4 has "0 to
// (theoretically) 256" of them, PAP and RADIUS fewer.
const maxAuthName = 256

// authState is how far an authenticator is.
type authState uint8

// The states.
const (
	authIdle    authState = iota // not started
	authWaiting                  // for the peer
	authJudging                  // for the verdict
	authOpen                     // the peer is in; it may have to show it again
	authEnded                    // the link is over
)

// String returns the state's name.
func (s authState) String() string {
	switch s {
	case authIdle:
		return "idle"
	case authWaiting:
		return "waiting"
	case authJudging:
		return "judging"
	case authOpen:
		return "open"
	case authEnded:
		return "ended"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// authenticator has the peer show who it is, by one method. It lives as long as
// the agreement of LCP that demanded it: the peer may repeat itself after it
// was let in, because our answer was lost, and may be asked again.
type authenticator struct {
	host    authHost
	cfg     *Config
	x       *authExchange // what an exchange needs; nil in authOpen
	due     time.Time     // of a retransmission or a re-challenge; zero: none
	user    string        // as the peer showed first; its later answers must agree
	number  uint32        // of the last Authenticate
	method  Method
	state   authState
	in      bool  // the peer was let in, and is asked again
	named   bool  // user is set
	resumed bool  // the exchange was the LAC's
	id      uint8 // Identifier of what we sent last, for PAP of what the peer did
	// proof is the authenticator response of MS-CHAPv2's Success, for its
	// repetition.
	proof    [mschapProofLen]byte
	hasProof bool
}

// authExchange is one exchange, from its first packet until the verdict.
type authExchange struct {
	end       time.Time // AuthTimeout
	name      string    // PAP: of the request being judged; EAP: of the Identity
	password  []byte    // PAP
	challenge []byte    // CHAP: the outstanding one
	request   []byte    // EAP: the outstanding one
	refusal   []byte    // what the last refused attempt of it was answered
	state     any       // EAP: of the last Verdict
}

// outstanding returns the octets of which the peer is to show the hash.
func (x *authExchange) outstanding() []byte {
	if r := x.request; len(r) > packetHeaderLen && r[packetHeaderLen] == eapMD5Challenge {
		value, _, _ := counted(r[packetHeaderLen+1:])
		return value
	}
	return x.challenge
}

// makeAuthenticator returns an authenticator by a method.
func makeAuthenticator(host authHost, cfg *Config, m Method) *authenticator {
	return &authenticator{host: host, cfg: cfg, method: m}
}

// start begins the authentication.
func (a *authenticator) start(now time.Time) {
	if a.state != authIdle {
		return
	}
	// Identifiers begin anywhere, so that answers to an authenticator before this
	// one, by an earlier agreement of LCP, hardly fit.
	a.id = a.host.random(1)[0]
	a.begin(now)
}

// begin starts an exchange, the first or a later one.
func (a *authenticator) begin(now time.Time) {
	a.x = &authExchange{end: now.Add(cmp.Or(a.cfg.AuthTimeout, authTimeout))}
	a.state = authWaiting
	a.ask(now)
}

// ask sends what makes the peer answer, for the first time or again.
func (a *authenticator) ask(now time.Time) {
	a.due = now.Add(cmp.Or(a.cfg.RestartTimer, authRestartTimer))
	switch a.method {
	case MethodPAP:
		a.due = time.Time{} // the peer begins, and repeats
	case MethodCHAP, MethodMSCHAPv2:
		a.sendChallenge()
	case MethodEAP:
		a.sendEAPRequest()
	}
}

// receive takes a packet of the peer. Those of other protocols than that of the
// method, and those that go the other way, are not for us.
func (a *authenticator) receive(now time.Time, proto Protocol, packet []byte) {
	if a.state == authIdle || a.state == authEnded || proto != a.method.protocol() {
		return
	}
	p, err := ParsePacket(packet)
	if err != nil {
		a.host.malformed()
		return
	}
	switch {
	case a.method == MethodPAP && uint8(p.Code) == papRequest:
		a.receivePAP(p)
	case (a.method == MethodCHAP || a.method == MethodMSCHAPv2) && uint8(p.Code) == chapResponse:
		a.receiveCHAP(now, p)
	case a.method == MethodEAP && uint8(p.Code) == eapResponse:
		a.receiveEAP(packet[:packetHeaderLen+len(p.Data)], p)
	}
}

// tick does what is due.
func (a *authenticator) tick(now time.Time) {
	if a.x != nil && !now.Before(a.x.end) {
		text := "the peer did not show in time who it is"
		if a.state == authJudging {
			text = "it was not decided in time whether the peer may come in"
		}
		a.end(now, CauseAuthTimeout, text)
		return
	}
	if a.due.IsZero() || now.Before(a.due) {
		return
	}
	switch a.state {
	case authWaiting:
		a.ask(now)
	case authOpen:
		a.begin(now)
	case authIdle, authJudging, authEnded:
	}
}

// deadline returns when tick has something to do; zero: never.
func (a *authenticator) deadline() time.Time {
	switch a.state {
	case authWaiting:
		if !a.due.IsZero() && a.due.Before(a.x.end) {
			return a.due
		}
		return a.x.end
	case authJudging:
		return a.x.end
	case authOpen:
		return a.due
	case authIdle, authEnded:
	}
	return time.Time{}
}

// judge has the owner decide about the peer.
func (a *authenticator) judge(r AuthRequest) {
	r.Method = a.method
	a.state = authJudging
	a.number = a.host.nextNumber()
	a.host.act(Authenticate{Number: a.number, Request: r})
}

// verdict takes the decision. One that nobody waits for, or for an earlier
// request, is ignored.
func (a *authenticator) verdict(now time.Time, ev Authenticated) {
	if a.state != authJudging || ev.Number != a.number {
		return
	}
	v := ev.Verdict
	if v.User == "" {
		v.User = a.x.name
	}
	if v.Accept && a.named && v.User != a.user {
		v = Verdict{Message: "not the name of before"}
	}
	switch a.method {
	case MethodPAP:
		a.judgedPAP(now, v)
	case MethodCHAP, MethodMSCHAPv2:
		a.judgedCHAP(now, v)
	case MethodEAP:
		a.judgedEAP(now, v)
	}
}

// accept lets the peer in. Its answer is on the way already.
func (a *authenticator) accept(now time.Time, v Verdict) {
	first := !a.in
	a.in, a.x, a.state = true, nil, authOpen
	a.due = time.Time{}
	if a.cfg.Rechallenge > 0 && a.method != MethodPAP {
		a.due = now.Add(a.cfg.Rechallenge)
	}
	if first {
		a.user, a.named = v.User, true
		a.host.authenticated(now, v)
	}
}

// resume goes on after an exchange of the LAC with the peer, whose answer had this
// Identifier: the peer is let in, and may repeat itself because it did not hear so.
func (a *authenticator) resume(now time.Time, id uint8, v Verdict) {
	a.id, a.resumed = id, true
	a.keepProof(v.Message)
	a.accept(now, v)
}

// another counts an attempt that failed and says whether there may be one more.
func (a *authenticator) another(retry bool) bool {
	return a.host.another() && retry
}

// refuse ends the link of a peer that did not show who it is.
func (a *authenticator) refuse(now time.Time, message string) {
	text := fmt.Sprintf("the peer failed to authenticate itself as %q", a.x.name)
	if message != "" {
		text += fmt.Sprintf(", and was told %q", message)
	}
	a.end(now, CauseAuthFailed, text)
}

// end gives the link up.
func (a *authenticator) end(now time.Time, c Cause, text string) {
	a.state, a.x, a.due = authEnded, nil, time.Time{}
	a.host.fail(now, c, text)
}

// protocol returns the protocol in which the packets of a method travel.
func (m Method) protocol() Protocol {
	switch m {
	case MethodPAP:
		return ProtocolPAP
	case MethodCHAP, MethodMSCHAPv2:
		return ProtocolCHAP
	case MethodEAP:
		return ProtocolEAP
	}
	return 0
}
