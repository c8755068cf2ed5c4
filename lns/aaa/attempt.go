package aaa

import (
	"errors"
	"strings"
	"time"

	"layeh.com/radius"

	"adit/internal/config"
	"adit/lns/radattr"
	lnsradius "adit/lns/radius"
	"adit/lns/subscriber"
	"adit/lns/users"
	"adit/proto/ppp"
)

// RADIUS is what the layer needs of RADIUS: lns/radius.Client.
type RADIUS interface {
	Authenticate(r lnsradius.Request, done func(*lnsradius.Reply, error))
	Account(group *config.RADIUSGroup, r subscriber.Record)
}

// attempt is a peer's request to be let in, until its verdict.
type attempt struct {
	session *Session
	answer  func(ppp.Verdict, *subscriber.Service)
	req     ppp.AuthRequest
	began   time.Time
	routed
	next   int  // of sources
	asking bool // a RADIUS group, which is to answer once
	// held is a refusal that waits for its time.
	held *ppp.Verdict
	// With the answer that lets the peer in: what it is told.
	verdict ppp.Verdict
	service subscriber.Service
	method  subscriber.Method
}

// exchange is the State of an EAP conversation: who leads it. It comes back with
// the peer's next packet.
type exchange struct {
	routed
	source int
	local  any                  // of the local judge
	state  []byte               // of a RADIUS server
	server *config.RADIUSServer // who sent it
}

// authenticate begins an attempt. An older one comes to nothing: PPP has given it
// up.
func (s *Session) authenticate(req ppp.AuthRequest, answer func(ppp.Verdict, *subscriber.Service)) {
	s.attempt.cancel()
	now := time.Now()
	a := &attempt{session: s, answer: answer, req: req}
	s.attempt = a
	if s.grant != nil && !s.grant.accepted {
		s.leave(now) // the older one had begun to find an address
	}
	// A peer that does not wait for its refusal, and has LCP begin anew, may not try
	// its next password before the others may.
	if now.Before(s.penalty) {
		s.due.begin = s.penalty
		return
	}
	a.begin(now)
}

// begin has the attempt judged.
func (a *attempt) begin(now time.Time) {
	s, req := a.session, a.req
	a.began = now
	if s.line == nil || s.reason != nil {
		a.say(refusalOf(req, "the session is ending"), nil)
		return
	}
	x, goesOn := req.State.(*exchange)
	if !goesOn {
		a.routed = route(s.layer.cfg, s.profile, req.Name)
		a.ask()
		return
	}
	a.routed, a.next = x.routed, x.source+1
	if a.sources[x.source] == config.Local {
		a.req.State = x.local
		a.judge()
		return
	}
	a.request(a.sources[x.source], x.server, x.state)
}

// cancel forgets an attempt: nobody waits for its verdict any more.
func (a *attempt) cancel() {
	if a != nil {
		a.answer = nil
		s := a.session
		s.due.begin, s.due.refusal = time.Time{}, time.Time{}
		s.stopWaiting()
	}
}

// live says whether somebody waits for the verdict: what comes from a server
// later than that comes to nothing.
func (a *attempt) live() bool { return a.answer != nil }

// ask asks the next of the sources. The local users are passed over by a name
// that they do not know; a RADIUS group decides for good.
func (a *attempt) ask() {
	for a.next < len(a.sources) {
		source := a.sources[a.next]
		a.next++
		if source != config.Local {
			a.request(source, nil, nil)
			return
		}
		if a.next == len(a.sources) || a.session.layer.parts.Users.Find(a.name, a.req.Method) != nil {
			break
		}
	}
	// An unknown name is judged too, so that the time tells nothing.
	a.judge()
}

// judge has the local users decide.
func (a *attempt) judge() {
	l := a.session.layer
	user, v, mppe, err := l.parts.Users.Judge(a.name, a.req)
	switch {
	case err != nil:
		l.count.refused(err)
		a.refuse(v, err.Error())
	case !v.Accept: // EAP goes on
		v.State = &exchange{routed: a.routed, source: a.next - 1, local: v.State}
		a.say(v, nil)
	case !users.Allowed(user, a.session.line.CallingNumber):
		l.count.callingNumber.Add(1)
		a.refuse(refusalOf(a.req, "this number may not call"), users.ErrCallingNumber.Error())
	default:
		a.verdict, a.service, a.method = v, users.Service(user), subscriber.MethodLocal
		a.service.MPPE = mppe
		a.admit()
	}
}

// request asks the servers of a group.
func (a *attempt) request(source string, server *config.RADIUSServer, state []byte) {
	s := a.session
	l := s.layer
	group := l.cfg.RADIUS.Groups[source]
	if group == nil || l.parts.RADIUS == nil {
		a.unanswered(source, errNoGroup)
		return
	}
	line, req, name := s.line, a.req, a.name
	if req.Method == ppp.MethodMSCHAPv2 {
		// RFC 2759 section 8.2 has the name in what the peer hashes, so a server that is
		// told another cannot check it. It knows how to take the realm off itself.
		name = req.Name
	}
	build := func(p *radius.Packet) error {
		return radattr.AccessRequest(p, l.nas(), line, name, req, state)
	}
	a.asking = true
	l.parts.RADIUS.Authenticate(lnsradius.Request{Group: group, Server: server, Build: build}, func(r *lnsradius.Reply, err error) {
		s.post(func() {
			if a.live() && a.asking {
				a.asking = false
				a.replied(source, r, err)
			}
		})
	})
}

// replied takes a server's answer.
func (a *attempt) replied(source string, r *lnsradius.Reply, err error) {
	l := a.session.layer
	if err != nil {
		a.unanswered(source, err)
		return
	}
	switch r.Packet.Code {
	case radius.CodeAccessAccept:
		a.accepted(r)
	case radius.CodeAccessChallenge:
		eap, state, _ := radattr.Challenge(r.Packet)
		if a.req.Method != ppp.MethodEAP || len(eap) == 0 {
			l.count.unfit.Add(1)
			a.refuse(refusalOf(a.req, "name or password is wrong"), "RADIUS server "+r.Server.Name+" sent a challenge, which only EAP can pass on")
			return
		}
		a.say(ppp.Verdict{EAP: eap, State: &exchange{routed: a.routed, source: a.next - 1, state: state, server: r.Server}}, nil)
	default:
		message, retry, eap := radattr.Reject(r.Packet)
		l.count.rejected.Add(1)
		a.refuse(rejection(a.req, message, retry, eap), "RADIUS server "+r.Server.Name+" rejects it")
	}
}

// unanswered refuses a peer about whom nobody could be asked.
func (a *attempt) unanswered(source string, err error) {
	a.session.layer.count.unanswered.Add(1)
	a.refuse(refusalOf(a.req, "nobody can say at present who you are"), "RADIUS group "+source+": "+err.Error())
}

var (
	errNoGroup   = errors.New("the configuration has none of this name")
	errNoSuccess = errors.New("its Access-Accept has no MS-CHAP2-Success, without which the peer would not believe us: see that the server itself judges MS-CHAPv2")
)

// accepted takes an Access-Accept.
//
// RFC 3579 section 3: "The User-Name attribute within the Access-Accept packet need
// not be the same as the User-Name attribute in the Access-Request." RFC 2865
// section 5.1: "It MAY be sent in an Access-Accept packet, in which case the client
// SHOULD use the name returned in the Access-Accept packet in all
// Accounting-Request packets for this session."
func (a *attempt) accepted(r *lnsradius.Reply) {
	service, message, eap, err := radattr.Accept(r.Packet, r.Request)
	// RFC 2548 section 2.3.3: "This string MUST be included in the Message field of
	// the MS-CHAP-V2 Success packet sent from the NAS to the peer."
	if err == nil && a.req.Method == ppp.MethodMSCHAPv2 && !strings.HasPrefix(message, "S=") {
		err = errNoSuccess
	}
	if err != nil {
		a.session.layer.count.unfit.Add(1)
		a.refuse(refusalOf(a.req, "your service is not one of ours"), "RADIUS server "+r.Server.Name+": "+err.Error())
		return
	}
	if service.User == "" {
		service.User = a.name
		// An answer about the same name as before is about the same user, under
		// whatever name the server had him go on then.
		if g := a.session.grant; g != nil && g.asked == a.name {
			service.User = g.service.User
		}
	}
	a.verdict = ppp.Verdict{Accept: true, Message: message, EAP: eap}
	a.service, a.method = service, subscriber.MethodRADIUS
	a.admit()
}

// say gives the verdict, once.
func (a *attempt) say(v ppp.Verdict, service *subscriber.Service) {
	if a.answer == nil {
		return
	}
	answer := a.answer
	a.answer = nil
	if a.session.attempt == a {
		a.session.attempt = nil
	}
	answer(v, service)
}

// refuse refuses the peer, for a reason that the operator is told. It waits, so
// that nobody tries a thousand passwords a second.
func (a *attempt) refuse(v ppp.Verdict, why string) {
	s := a.session
	s.layer.count.authRefused.Add(1)
	s.layer.logRefusal(s, a.req.Name, why)
	if delay := s.profile.AAA.FailureDelay; delay > 0 {
		a.held = &v
		s.penalty = a.began.Add(delay)
		s.due.refusal = s.penalty
		return
	}
	a.say(v, nil)
}

// sayHeld gives a verdict that was held back.
func (a *attempt) sayHeld() {
	if a != nil && a.held != nil {
		a.say(*a.held, nil)
	}
}
