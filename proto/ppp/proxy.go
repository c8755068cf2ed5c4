package ppp

import (
	"cmp"
	"fmt"
	"slices"
)

// proxyAuth is the LAC's authentication of the peer while it is decided.
type proxyAuth struct {
	p      *Proxy
	number uint32 // of the Authenticate action; 0: not asked
}

// takeOver goes on from what a LAC negotiated, RFC 2661 section 4.4.5, if it is
// what we would have agreed to: "This information may be used to initiate the PPP
// LCP and authentication systems on the LNS, allowing PPP to continue without
// renegotiation of LCP. Note that the LNS policy may be to enter an additional
// round of LCP negotiation and/or authentication if the LAC is not trusted."
//
// The MRU that the LAC told the peer may be the default though ours is less: RFC
// 1661 section 6.1 has us take frames of that size anyway.
func (e *Endpoint) takeOver(p *Proxy) bool {
	l := &e.lcp
	if p.LastSent == nil || p.LastReceived == nil ||
		!optionsOK(p.LastSent) || !optionsOK(p.LastReceived) || !l.adopt(e, p.LastSent) {
		return false // a Configure-Request of our own sets all that anew
	}
	var r verdictOnOptions
	l.judge(e, p.LastReceived, &r)
	if code, _ := r.result(p.LastReceived); code != ConfigureAck || e.loops > 0 {
		l.theirs, l.theirAuthOff, e.loops = lcpDefaults, false, 0
		return false
	}
	// Nothing of ours is under way to which the peer could reply.
	l.state, l.replied = stateOpened, true
	e.flags |= flagProxied
	e.proxy = &proxyAuth{p: p}
	e.linkUp()
	return true
}

// adopt takes the LAC's Configure-Request for ours, and says whether it may be.
func (l *lcpLayer) adopt(e *Endpoint, list []byte) bool {
	l.ours, l.offer = lcpDefaults, 0
	for len(list) > 0 {
		o, rest, _ := NextOption(list)
		list = rest
		ok := false
		switch o.Type {
		case OptionMRU:
			l.ours.MRU, ok = uint16Of(o)
			ok = ok && l.ours.MRU >= minMRU && l.ours.MRU <= max(e.cfg.mru(), DefaultMRU)
			l.offer |= offerMRU
		case OptionACCM:
			l.ours.ACCM, ok = uint32Of(o)
			l.offer |= offerACCM
		case OptionAuth:
			l.ours.Auth = methodOf(o)
			ok = l.ours.Auth != 0
		case OptionMagic:
			l.ours.Magic, ok = uint32Of(o)
			l.offer |= offerMagic
		case OptionPFC:
			l.ours.PFC, ok = true, e.cfg.Compress
			l.offer |= offerPFC
		case OptionACFC:
			l.ours.ACFC, ok = true, e.cfg.Compress
			l.offer |= offerACFC
		}
		if !ok {
			return false
		}
	}
	if len(e.cfg.Authenticate) == 0 {
		return l.ours.Auth == 0 // a peer that was told to show who it is waits for an answer
	}
	return slices.Contains(e.cfg.Authenticate, l.ours.Auth)
}

// askProxied has the owner decide about what the LAC heard from the peer. It says
// false if that is not enough.
func (e *Endpoint) askProxied() bool {
	if e.proxy == nil {
		return false
	}
	p := e.proxy.p
	chap := p.Method == MethodCHAP || p.Method == MethodMSCHAPv2
	if p.Method != e.lcp.ours.Auth || p.Name == "" ||
		p.Method != MethodPAP && !chap || chap && (len(p.Challenge) == 0 || len(p.Response) == 0) {
		e.proxy = nil
		return false
	}
	e.number++
	e.proxy.number = e.number
	r := AuthRequest{Method: p.Method, Name: p.Name, ID: p.ID, Proxied: true}
	if chap {
		r.Challenge, r.Response = p.Challenge, p.Response
	} else {
		r.Password = p.Response
	}
	e.act(Authenticate{Number: e.number, Request: r})
	return true
}

// verdictOnProxy takes the decision about the LAC's authentication. A peer that
// is let in gets the answer that it waits for, from us: the LAC left that to the
// LNS. One that is not has to show us, if that was not the last of its attempts.
func (e *Endpoint) verdictOnProxy(ev Authenticated) {
	if ev.Number != e.proxy.number {
		return
	}
	p, v := e.proxy.p, ev.Verdict
	e.proxy = nil
	if !v.Accept {
		if !e.another() {
			e.fail(e.time(), CauseAuthFailed, fmt.Sprintf("the peer failed to authenticate itself to the LAC as %q", p.Name))
			return
		}
		e.demand()
		return
	}
	v.User = cmp.Or(v.User, p.Name)
	message := cut(v.Message, maxAuthMessage)
	if p.Method == MethodPAP {
		e.send(ProtocolPAP, papReply(papAck, p.ID, message))
	} else {
		e.send(ProtocolCHAP, authPacket(chapSuccess, p.ID, []byte(message)))
	}
	e.auth = newAuthenticator(e, p.Method)
	e.auth.resume(e.time(), p.ID, v)
}
