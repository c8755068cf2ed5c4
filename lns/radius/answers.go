package radius

import (
	"time"

	"github.com/sirupsen/logrus"
	"layeh.com/radius"
)

// receive serves what a reader tells.
func (t *transport) receive(e event, at time.Time) {
	p := e.socket.peer
	switch {
	case e.lost:
		p.drop(e.socket)
	case e.packet == nil:
		p.count.refusals.Add(1)
		t.refused(p, at)
	default:
		t.answered(p, e, at)
	}
}

// answered ends the request that a server has answered. A server that was given
// up may do so too.
func (t *transport) answered(p *peer, e event, at time.Time) {
	switch e.packet.Code {
	case radius.CodeAccessAccept:
		p.count.accepts.Add(1)
	case radius.CodeAccessReject:
		p.count.rejects.Add(1)
	case radius.CodeAccessChallenge:
		p.count.challenges.Add(1)
	default:
		p.count.responses.Add(1)
	}
	p.lastAnswer = at
	// Of one that was sent again nobody knows what is answered.
	if r := e.sent.request; r.peer == p && r.tries == 1 {
		p.flow.answered(at, at.Sub(r.firstSent), len(p.pending), p.server.MaxPending)
	}
	if !p.alive() {
		p.deadUntil.Store(nil)
		t.lines[0].Log(t.entry(p), logrus.InfoLevel, "the RADIUS server answers again")
	}
	if r := e.sent.request; !r.finished {
		t.finish(r, &Reply{Packet: e.packet, Request: e.sent.authenticator, Server: e.sent.server}, nil, at)
	}
}

// expired serves a request whose time has come.
func (t *transport) expired(r *request, at time.Time) {
	p := r.peer
	if r.waiting {
		p.count.busy.Add(1)
		r.asked = true
		t.leave(r, at)
		t.next(r, at)
		return
	}
	if r.tries < r.limit {
		p.flow.lost()
		t.transmit(r, at)
		return
	}
	p.count.timeouts.Add(1)
	// A server that answers others lives: what it does not answer is this one
	// request. With records it may be a window full of them.
	since := r.firstSent
	if r.kind == accounting {
		since = since.Add(-p.server.Timeout)
	}
	silent := p.lastAnswer.Before(since)
	t.detach(r)
	if silent {
		t.die(p, at)
	}
	t.turns(p, at)
	t.next(r, at)
}

// die gives a server up for its dead time. Requests that have another server to
// go to do not wait for it any longer; the others keep the tries that they have
// left, and those that wait for their turn end.
func (t *transport) die(p *peer, at time.Time) {
	was := p.alive()
	if was || !at.Before(*p.deadUntil.Load()) {
		until := at.Add(p.server.DeadTime)
		p.deadUntil.Store(&until)
	}
	if was {
		p.count.deaths.Add(1)
		t.lines[0].Log(t.entry(p).WithField("dead_time", p.server.DeadTime), logrus.WarnLevel,
			"the RADIUS server does not answer and is not asked for a while: check that it runs and that its clients have our address")
	}
	var moved []*request
	for r := range p.pending {
		if t.alternative(r, at) {
			moved = append(moved, r)
		}
	}
	for r := p.firstWaiting(); r != nil; r = p.firstWaiting() {
		r.waiting = false
		r.asked = true // it has waited for this server long enough
		p.count.waiting.Add(-1)
		moved = append(moved, r)
	}
	for _, r := range moved {
		t.leave(r, at)
		t.next(r, at)
	}
}

// refused serves an ICMP error: nobody listens there, or there is no way. Who has
// another server goes to it. Who has none goes on: a server that is started anew
// is away for a moment only.
func (t *transport) refused(p *peer, at time.Time) {
	for r := range p.pending {
		if t.alternative(r, at) {
			t.die(p, at)
			return
		}
	}
}
