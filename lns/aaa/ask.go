package aaa

import (
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// Authenticate is companion.Ask's: a pppd asks about the peer of the session that
// the token names, which is its ID.
func (l *Layer) Authenticate(token, user string, req ppp.AuthRequest, answer func(ppp.Verdict, *subscriber.Service)) {
	posted := l.post(func() {
		s := l.sessions[token]
		if s == nil {
			answer(ppp.Verdict{}, nil) // its call has ended meanwhile
			return
		}
		req.Name = user
		s.authenticate(req, answer)
		s.rearm()
	})
	if !posted {
		answer(ppp.Verdict{}, nil)
	}
}

// Account is companion.Ask's. What a pppd has counted is not written down: the
// bridge counts the same way whatever speaks PPP, and also when a pppd is killed.
func (l *Layer) Account(string, subscriber.RecordKind, subscriber.Counters) {}
