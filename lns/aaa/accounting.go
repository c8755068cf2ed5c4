package aaa

import (
	"math/rand/v2"
	"time"

	"adit/internal/config"
	"adit/lns/subscriber"
)

// account hands over a record of the session, if a group is to have any.
//
// RFC 2866 section 5.5: "The start and stop records for a given session MUST have
// the same Acct-Session-Id."
func (s *Session) account(kind subscriber.RecordKind, now time.Time, c subscriber.Counters, cause subscriber.TerminateCause) {
	g := s.grant
	if g.accounting == nil {
		return
	}
	service := g.service
	service.MPPE = nil // keys are nobody's business
	s.layer.record(g.accounting, subscriber.Record{Kind: kind, Time: now, Session: &subscriber.RecordSession{
		Line: *s.line, User: g.service.User, Service: service, Addresses: g.addresses, Method: g.method,
		Duration: now.Sub(s.network.started), Counters: c, Cause: cause,
	}})
}

// record hands a record over.
func (l *Layer) record(group *config.RADIUSGroup, r subscriber.Record) {
	if l.parts.RADIUS != nil {
		l.parts.RADIUS.Account(group, r)
	}
}

// leastInterim is the least time between interim records. RFC 2869 section 5.16:
// "The Value field contains the number of seconds between each interim update to be
// sent from the NAS for this session. The value MUST NOT be smaller than 60."
const leastInterim = time.Minute

// interimEvery is the time between interim records; 0: there are none. What the
// server says counts before what the group says.
func (g *grant) interimEvery() time.Duration {
	if g.accounting == nil {
		return 0
	}
	every := g.service.InterimInterval
	if every == 0 {
		every = g.accounting.InterimInterval
	}
	if every <= 0 {
		return 0
	}
	return max(every, leastInterim)
}

// interimAfter sets the time of the next interim record.
func (s *Session) interimAfter(now time.Time) {
	s.due.interim = time.Time{}
	if every := s.grant.interimEvery(); every > 0 {
		s.due.interim = now.Add(every)
	}
}

// firstInterim sets the time of the first one: half an interval from now until a
// whole one, by chance, because all sessions of a LAC may come up in one second.
//
// RFC 2869 section 2.1: "A NAS MAY use a fudge factor to add a random delay between
// Interim Accounting messages for separate sessions. This will ensure that a cycle
// where all messages are sent at once is prevented, such as might otherwise occur
// if a primary link was recently restored and many dial-up users were directed to
// the same NAS at once."
func (s *Session) firstInterim(now time.Time) {
	every := s.grant.interimEvery()
	if every == 0 {
		return
	}
	least := max(every/2, leastInterim)
	most := max(every, least+least/2)
	s.due.interim = now.Add(least + rand.N(most-least))
}

// interim sends an interim record.
func (s *Session) interim(now time.Time) {
	if s.network.started.IsZero() || s.grant == nil {
		return
	}
	s.account(subscriber.RecordInterim, now, counted(s.call.Stats()), 0)
	s.interimAfter(now)
}
