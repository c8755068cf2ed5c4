package companion

import (
	"container/list"
	"net/netip"
	"time"

	"layeh.com/radius"

	"adit/proto/ppp"
)

// Bounds of what is remembered of requests. A pppd waits for one answer at a
// time, so no daemon comes near them.
const (
	maxWaiting  = 4096
	maxAnswered = 16384
	// keepAnswer is how long an answer is kept for a request that is sent again
	// because the answer was lost.
	keepAnswer = 2*retryAfter + 2*time.Second
)

// requestKey is what makes a request the same as another, RFC 2865 section 3:
// "The RADIUS server can detect a duplicate request if it has the same client
// source IP address and source UDP port and Identifier within a short span of
// time." The Authenticator tells a late one from a new one.
type requestKey struct {
	from          netip.AddrPort
	identifier    byte
	authenticator [16]byte
}

// request is one Access-Request.
type request struct {
	key   requestKey
	until time.Time     // waiting: for the answer; answered: for duplicates
	place *list.Element // in waiting or answered
	reply []byte        // nil: there is none yet

	// what is set before anybody is asked, and nil once there is an answer: what is
	// kept for copies of the request has no password in it.
	what *inquiry
}

// inquiry is what an answer is made of. It does not change.
type inquiry struct {
	packet *radius.Packet
	asked  ppp.AuthRequest
}

// pending is the requests of now and of a while ago. Each list has one timeout,
// so that its order is that of the ends.
type pending struct {
	byKey             map[requestKey]*request
	waiting, answered list.List
}

func (p *pending) init() { p.byKey = make(map[requestKey]*request) }

// expire forgets what is over.
func (p *pending) expire(now time.Time) {
	for _, l := range [...]*list.List{&p.waiting, &p.answered} {
		for e := l.Front(); e != nil; e = l.Front() {
			q := e.Value.(*request)
			if q.until.After(now) && l.Len() <= maxAnswered {
				break
			}
			l.Remove(e)
			delete(p.byKey, q.key)
		}
	}
}

// add notes a new request. False: there are too many.
func (p *pending) add(q *request, now time.Time) bool {
	if p.waiting.Len() >= maxWaiting {
		return false
	}
	q.until = now.Add(Patience)
	p.byKey[q.key] = q
	q.place = p.waiting.PushBack(q)
	return true
}

// answer notes the answer. False: nobody waits for it any more, or it has one.
func (p *pending) answer(q *request, reply []byte, now time.Time) bool {
	if q.reply != nil || p.byKey[q.key] != q || !q.until.After(now) {
		return false
	}
	p.waiting.Remove(q.place)
	q.what, q.reply, q.until = nil, reply, now.Add(keepAnswer)
	q.place = p.answered.PushBack(q)
	return true
}
