package ppp

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"time"
)

// answerer shows the peer who we are, by one method. It lives as long as the
// agreement of LCP that demanded it: a peer may ask again at any time.
type answerer struct {
	host   authHost
	cfg    *Config
	x      *answer   // what an exchange needs; nil: none goes on
	due    time.Time // of a retransmission; zero: none
	last   uint64    // fingerprint of the challenge or request that was answered last
	method Method
	in     bool // the peer has accepted us once
	ended  bool
	id     uint8 // Identifier of our last packet
}

// answer is one exchange.
type answer struct {
	end    time.Time   // AuthTimeout
	packet []byte      // what we sent last; nil: nothing
	chap   []chapReply // CHAP: the responses to which there may be a reply yet
	first  uint8       // PAP: Identifier of the first request
	method bool        // EAP: a response to a method was sent, other than a Nak
}

// makeAnswerer returns an answerer by a method.
func makeAnswerer(host authHost, cfg *Config, m Method) *answerer {
	return &answerer{host: host, cfg: cfg, method: m}
}

// start begins: with PAP it sends, with the others it waits.
func (w *answerer) start(now time.Time) {
	w.begin(now)
	if w.method == MethodPAP {
		w.id = w.host.random(1)[0]
		w.x.first = w.id
		w.sendPAP(now)
	}
}

// begin starts an exchange.
func (w *answerer) begin(now time.Time) {
	w.x = &answer{end: now.Add(cmp.Or(w.cfg.AuthTimeout, authTimeout))}
}

// receive takes a packet of the peer. Those of other protocols than that of the
// method, and those that go the other way, are not for us.
func (w *answerer) receive(now time.Time, proto Protocol, packet []byte) {
	if w.ended || proto != w.method.protocol() {
		return
	}
	p, err := ParsePacket(packet)
	if err != nil {
		w.host.malformed()
		return
	}
	code := uint8(p.Code)
	switch w.method {
	case MethodPAP:
		if code == papAck || code == papNak {
			w.receivePAP(now, p)
		}
	case MethodCHAP, MethodMSCHAPv2:
		switch code {
		case chapChallenge:
			w.receiveChallenge(now, p)
		case chapSuccess, chapFailure:
			w.receiveOutcome(now, p)
		}
	case MethodEAP:
		switch code {
		case eapRequest:
			w.receiveEAPRequest(now, packet[:packetHeaderLen+len(p.Data)], p)
		case eapSuccess, eapFailure:
			w.receiveEAPOutcome(now, p)
		}
	}
}

// tick does what is due.
func (w *answerer) tick(now time.Time) {
	if w.x == nil || w.ended {
		return
	}
	if !now.Before(w.x.end) {
		w.timeout(now)
		return
	}
	if w.due.IsZero() || now.Before(w.due) {
		return
	}
	if w.method == MethodPAP {
		w.sendPAP(now)
		return
	}
	w.repeatCHAP(now)
}

// timeout ends an exchange that took too long. The peer that has accepted us
// before may have done so again, and its word of it was lost: it will ask, or
// end the link, if it thinks otherwise.
func (w *answerer) timeout(now time.Time) {
	switch {
	case w.in:
		w.x, w.due = nil, time.Time{}
	case w.x.packet == nil:
		w.fail(now, CauseAuthTimeout, "the peer demanded that we authenticate ourselves, and did not ask")
	default:
		w.fail(now, CauseAuthTimeout, "the peer did not say in time whether it accepts our authentication")
	}
}

// deadline returns when tick has something to do; zero: never.
func (w *answerer) deadline() time.Time {
	if w.x == nil || w.ended {
		return time.Time{}
	}
	if !w.due.IsZero() && w.due.Before(w.x.end) {
		return w.due
	}
	return w.x.end
}

// network tells of a packet of a network control protocol before the peer said
// that it accepts us. With EAP, whose Success is sent once and never again, it
// stands for it.
//
// RFC 3748 section 3.4: "To improve reliability, if a peer receives a lower
// layer success indication as defined in Section 7.2, it MAY conclude that a
// Success packet has been lost, and behave as if it had actually received a
// Success packet."
func (w *answerer) network(now time.Time) {
	if w.method == MethodEAP && !w.ended && !w.in && w.x != nil && w.x.method {
		w.accepted(now)
	}
}

// accepted notes that the peer accepts us.
func (w *answerer) accepted(now time.Time) {
	first := !w.in
	w.in, w.x, w.due = true, nil, time.Time{}
	if first {
		w.host.answered(now)
	}
}

// refused ends the link of a peer that does not accept us, with its words.
func (w *answerer) refused(now time.Time, message string) {
	text := "the peer did not accept our authentication"
	if message != "" {
		text += fmt.Sprintf(": it said %q", cut(message, maxAuthMessage))
	}
	w.fail(now, CauseOurAuthFailed, text)
}

// fail gives the link up.
func (w *answerer) fail(now time.Time, c Cause, text string) {
	w.ended, w.x, w.due = true, nil, time.Time{}
	w.host.fail(now, c, text)
}

// fingerprint recognizes what was answered before. It is no defence: a peer that
// makes two requests with the same one only hurts itself.
func fingerprint(id uint8, b []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte{id})
	_, _ = h.Write(b)
	return h.Sum64()
}
