package radius

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// counters are those of one server and one port of it.
type counters struct {
	requests, retransmissions, timeouts, refusals atomic.Uint64
	accepts, rejects, challenges, responses       atomic.Uint64
	badAuthenticators, unsigned                   atomic.Uint64
	malformed, unexpected                         atomic.Uint64
	busy, deaths                                  atomic.Uint64
	pending, waiting                              atomic.Int64
}

// Counters count what passed between us and one port of a server.
type Counters struct {
	Requests        uint64 // sent, without retransmissions
	Retransmissions uint64
	Timeouts        uint64 // requests that this server left without an answer
	Refusals        uint64 // ICMP errors instead of answers
	Accepts         uint64
	Rejects         uint64
	Challenges      uint64
	Responses       uint64 // Accounting-Responses

	// Answers that were dropped.
	BadAuthenticators uint64 // they are not the server's, or the secret is another
	Unsigned          uint64 // without the Message-Authenticator that there has to be
	Malformed         uint64
	Unexpected        uint64 // to nothing that is under way: late ones, and copies

	Busy    uint64 // requests refused because too many waited
	Deaths  uint64 // how often the server was given up for its dead time
	Pending int64  // requests under way now
	Waiting int64  // requests that wait for one under way to end
}

// ServerState is how a server is that has been asked.
type ServerState struct {
	Name       string
	Accounting bool // its port for accounting, not that for authentication
	Address    netip.AddrPort
	Alive      bool
	DeadUntil  time.Time // when it is asked again, if it is not alive
	Counters
}

// Servers lists the servers that were asked since the start, by name.
func (c *Client) Servers() []ServerState {
	t := c.transport
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]ServerState, 0, len(t.peers))
	for _, p := range t.peers {
		list = append(list, p.state())
	}
	slices.SortFunc(list, func(a, b ServerState) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), boolCompare(a.Accounting, b.Accounting), a.Address.Compare(b.Address))
	})
	return list
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

func (p *peer) state() ServerState {
	s := ServerState{
		Name: p.id.name, Accounting: p.id.kind == accounting, Address: p.id.remote, Alive: true,
		Counters: p.count.read(),
	}
	if until := p.deadUntil.Load(); until != nil {
		s.Alive, s.DeadUntil = false, *until
	}
	return s
}

func (c *counters) read() Counters {
	return Counters{
		Requests: c.requests.Load(), Retransmissions: c.retransmissions.Load(),
		Timeouts: c.timeouts.Load(), Refusals: c.refusals.Load(),
		Accepts: c.accepts.Load(), Rejects: c.rejects.Load(),
		Challenges: c.challenges.Load(), Responses: c.responses.Load(),
		BadAuthenticators: c.badAuthenticators.Load(), Unsigned: c.unsigned.Load(),
		Malformed: c.malformed.Load(), Unexpected: c.unexpected.Load(),
		Busy: c.busy.Load(), Deaths: c.deaths.Load(),
		Pending: c.pending.Load(), Waiting: c.waiting.Load(),
	}
}

// Counts are the counters of all servers together, also before the first of them
// was asked, and those of the accounting records.
func (c *Client) Counts() map[string]uint64 {
	all := new(Counters).named()
	for _, s := range c.Servers() {
		for name, n := range s.named() {
			all[name] += n
		}
	}
	c.books.counts(all)
	return all
}

func (c *Counters) named() map[string]uint64 {
	return map[string]uint64{
		"radius_requests": c.Requests, "radius_retransmissions": c.Retransmissions,
		"radius_timeouts": c.Timeouts, "radius_refusals": c.Refusals,
		"radius_accepts": c.Accepts, "radius_rejects": c.Rejects,
		"radius_challenges": c.Challenges, "radius_accounting_responses": c.Responses,
		"radius_bad_authenticators": c.BadAuthenticators, "radius_unsigned_answers": c.Unsigned,
		"radius_malformed_answers": c.Malformed, "radius_unexpected_answers": c.Unexpected,
		"radius_busy": c.Busy, "radius_dead_servers": c.Deaths,
	}
}
