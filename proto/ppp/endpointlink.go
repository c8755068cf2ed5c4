package ppp

import (
	"cmp"
	"time"
)

// Times and numbers where Config has none.
const (
	setupTimeout  = 60 * time.Second
	maxSetupParts = 256
)

func (c *Config) setupTimeout() time.Duration { return cmp.Or(c.SetupTimeout, setupTimeout) }

// time returns the time of the Step under way.
func (e *Endpoint) time() time.Time { return e.base.Add(e.now) }

// Link returns what LCP agreed on; the zero Link before it did, or while it
// negotiates anew.
func (e *Endpoint) Link() Link {
	if e.lcp.state != stateOpened {
		return Link{}
	}
	return e.lcp.link(e)
}

// linkUp goes on from LCP to authentication, in both directions at once.
func (e *Endpoint) linkUp() {
	e.phase = PhaseAuthenticate
	e.loops, e.pending = 0, 0
	e.act(LinkUp{Link: e.lcp.link(e)})
	if e.cfg.EchoInterval > 0 && !e.has(flagNoEcho) {
		e.echoAt = e.now + e.cfg.EchoInterval
	}
	e.authAt = e.now + cmp.Or(e.cfg.AuthTimeout, authTimeout)
	if e.lcp.theirs.Auth == 0 {
		e.flags |= flagAnswered
	} else {
		e.answer = newAnswerer(e, e.lcp.theirs.Auth)
		e.answer.start(e.time())
	}
	switch {
	case e.has(flagClosing):
	case e.lcp.ours.Auth != 0:
		if !e.askProxied() {
			e.demand()
		}
	case len(e.cfg.Authenticate) > 0:
		// It cannot be: reset asks, and a peer that rejects it ends the link.
		e.fail(e.time(), CauseAuthRefused, CauseAuthRefused.String())
	default:
		e.flags |= flagAuthenticated
		e.proxy = nil
	}
	e.networkPhase()
}

// demand has the peer show who it is, by the method that LCP agreed on.
func (e *Endpoint) demand() {
	e.auth = newAuthenticator(e, e.lcp.ours.Auth)
	e.auth.start(e.time())
}

// linkDown takes back all that rests on LCP.
//
// RFC 1661 section 3.4: "The receipt of the LCP Configure-Request causes a return
// to the Link Establishment phase from the Network-Layer Protocol phase or
// Authentication phase."
func (e *Endpoint) linkDown() {
	e.auth, e.answer, e.proxy = nil, nil, nil
	e.authAt, e.echoAt = 0, 0
	e.flags &^= flagAuthenticated | flagAnswered | flagProxied
	e.ncpGone(&e.ipcp)
	e.ncpGone(&e.ipv6cp)
	e.networksDown()
	e.granted = e.own
	if !e.has(flagClosing) {
		e.phase = PhaseEstablish
		e.count.Renegotiations++
	}
}

// authenticated takes the verdict that lets the peer in.
func (e *Endpoint) authenticated(_ time.Time, v Verdict) {
	if e.has(flagClosing|flagFinished) || e.has(flagAuthenticated) {
		return
	}
	e.flags |= flagAuthenticated | flagIdentified
	e.user = v.User
	e.granted = compact(v.Grant).over(e.own)
	e.networkPhase()
}

// another counts an attempt of the peer to show who it is that was refused, and
// says whether it may try again on this link. What was refused before LCP began
// anew counts too, or else there would be no end to the passwords that a peer can
// try. RFC 1334 section 2: "There is no protection from playback or repeated trial
// and error attacks. The peer is in control of the frequency and timing of the
// attempts."
func (e *Endpoint) another() bool {
	e.refused = saturate(e.refused)
	return int(e.refused) < cmp.Or(e.cfg.AuthAttempts, authAttempts)
}

// hungUp returns why a link ended that the peer ended, with what it said: it may
// be all that is seen of a peer that was refused and has no other password.
func (e *Endpoint) hungUp(text string) (Cause, string) {
	if e.refused > 0 && !e.has(flagIdentified) {
		return CauseAuthFailed, "the peer failed to authenticate itself, and gave up; " + text
	}
	return CausePeerTerminated, text
}

// answered notes that the peer accepts us.
func (e *Endpoint) answered(_ time.Time) {
	if !e.has(flagClosing | flagFinished) {
		e.flags |= flagAnswered
		e.networkPhase()
	}
}

// verdict takes the decision about the peer to who asked for it.
func (e *Endpoint) verdict(now time.Time, ev Authenticated) {
	switch {
	case e.has(flagClosing):
	case e.proxy != nil:
		e.verdictOnProxy(ev)
	case e.auth != nil:
		e.auth.verdict(now, ev)
	}
}

// malformed counts a frame that was dropped for what is in it.
func (e *Endpoint) malformed() { e.count.Malformed++ }
