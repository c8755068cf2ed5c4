package radius

import (
	"net/netip"
	"sync/atomic"
	"time"

	"layeh.com/radius"

	"adit/internal/config"
)

// kind is for what a server is asked.
type kind uint8

const (
	authentication kind = iota
	accounting
)

func (k kind) String() string {
	if k == accounting {
		return "accounting"
	}
	return "authentication"
}

// code is that of a request.
func (k kind) code() radius.Code {
	if k == accounting {
		return radius.CodeAccountingRequest
	}
	return radius.CodeAccessRequest
}

// answeredBy says whether a packet of that code can answer.
func (k kind) answeredBy(c radius.Code) bool {
	if k == accounting {
		return c == radius.CodeAccountingResponse
	}
	return c == radius.CodeAccessAccept || c == radius.CodeAccessReject || c == radius.CodeAccessChallenge
}

// identity is what makes a port of a server another one.
type identity struct {
	name   string
	kind   kind
	remote netip.AddrPort
	source netip.Addr
	secret string
}

func identify(s *config.RADIUSServer, k kind) identity {
	port := s.AuthPort
	if k == accounting {
		port = s.AcctPort
	}
	return identity{
		name: s.Name, kind: k, remote: netip.AddrPortFrom(s.Address, port), source: s.Source, secret: string(s.Secret),
	}
}

// maxWaiting bounds the requests that wait for one under way to end.
const maxWaiting = 16384

// peer is one port of a server. The loop owns it; readers and who asks for the
// state see what is atomic.
type peer struct {
	id      identity
	server  *config.RADIUSServer // as the last request named it
	sockets []*socket
	pending map[*request]struct{}
	waiting []waiter // in the order of their coming

	count counters
	// deadUntil is nil while the server is alive. The time has its monotonic
	// reading: a clock that is put back gives nobody up for longer.
	deadUntil  atomic.Pointer[time.Time]
	flow       flow
	probe      *request // the one request that finds out whether it lives again
	lastAnswer time.Time
	retired    bool // the configuration does not have it any more
}

// waiter is a request in the queue of a server, or was: one that has gone leaves
// its place.
type waiter struct {
	request *request
	turn    int
}

func (w waiter) waits() bool { return w.request.waiting && w.request.turn == w.turn }

// firstWaiting is the request that has the next turn, nil if none waits.
func (p *peer) firstWaiting() *request {
	for len(p.waiting) > 0 {
		if p.waiting[0].waits() {
			return p.waiting[0].request
		}
		p.waiting[0] = waiter{}
		p.waiting = p.waiting[1:]
	}
	p.waiting = nil
	return nil
}

func (p *peer) alive() bool { return p.deadUntil.Load() == nil }

// room says whether one more request may be under way.
// Accounting has a window of its own, in which some records may never be answered.
func (p *peer) room() bool {
	if p.id.kind == accounting {
		return len(p.pending) < max(1, p.server.MaxPending)
	}
	return len(p.pending) < p.flow.limit(p.server.MaxPending)
}

// available says whether a request may be given to the server.
func (p *peer) available(now time.Time) bool {
	until := p.deadUntil.Load()
	return until == nil || p.probe == nil && !now.Before(*until)
}

// retryAt is when a server that is not available may be again.
func (p *peer) retryAt(now time.Time) time.Time {
	if p.probe != nil {
		return p.probe.until
	}
	if until := p.deadUntil.Load(); until != nil && until.After(now) {
		return *until
	}
	return now
}

// patience is how long a request waits for its turn.
func (p *peer) patience() time.Duration {
	return p.server.Timeout * time.Duration(p.server.Retries+1)
}

// place finds a socket that has an identifier left, nil if there can be none.
func (p *peer) place(t *transport) *socket {
	for _, s := range p.sockets {
		if s.count > 0 {
			return s
		}
	}
	if len(p.sockets) >= maxSockets {
		return nil
	}
	conn, err := t.dial(p.server, p.id.remote)
	if err != nil {
		t.warn(p, "no socket for a RADIUS server: "+err.Error())
		return nil
	}
	s := newSocket(p, conn)
	p.sockets = append(p.sockets, s)
	t.readers.Add(1)
	go s.read(t)
	return s
}

// drop closes a socket that is of no use any more. What was sent by it is sent
// again by another when its time comes.
func (p *peer) drop(s *socket) {
	s.lost = true
	s.conn.Close()
	for i, other := range p.sockets {
		if other == s {
			p.sockets = append(p.sockets[:i], p.sockets[i+1:]...)
			return
		}
	}
}

func (p *peer) close() {
	for _, s := range p.sockets {
		s.conn.Close()
	}
	p.sockets = nil
}
