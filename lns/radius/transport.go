package radius

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"layeh.com/radius"

	"adit/internal/config"
	"adit/internal/loop"
	"adit/internal/sparing"
)

// now is the wall clock.
func now() time.Time { return time.Now() }

// request is what one caller wants answered. The loop owns it once it was
// submitted.
type request struct {
	kind    kind
	servers []*config.RADIUSServer // that were not asked yet, the next one first
	build   Build
	done    func(*Reply, error)

	peer      *peer // that is asked; nil: none
	asked     bool  // a server was asked before or is now
	insisting bool  // it asks servers that were given up, for there is no other
	waiting   bool  // for its turn with peer
	turn      int   // how often it has waited
	finished  bool
	tries     int // how often it was sent to peer
	limit     int // how often it may be
	firstSent time.Time
	wire      []byte // what is sent again
	places    []place
	deadline  loop.Deadline[*request]
	until     time.Time // of deadline
}

// place is an identifier of a socket.
type place struct {
	socket     *socket
	identifier byte
}

// noServer is ErrNoServer with the time at which it may be otherwise.
type noServer struct{ retryAt time.Time }

func (noServer) Error() string        { return ErrNoServer.Error() }
func (noServer) Is(target error) bool { return target == ErrNoServer }

// transport is the loop that owns the requests.
type transport struct {
	dial    func(*config.RADIUSServer, netip.AddrPort) (net.Conn, error)
	log     *logrus.Entry
	lines   [2]sparing.Lines // of warnings that servers cause: dead ones, and bad answers
	inbox   *loop.Mailbox
	events  chan event
	quit    chan struct{}
	ended   chan struct{}
	readers sync.WaitGroup

	mu    sync.Mutex // for peers: the loop changes the map, others look into it
	peers map[identity]*peer

	deadlines loop.Deadlines[*request]
}

func newTransport(dial func(*config.RADIUSServer, netip.AddrPort) (net.Conn, error), log *logrus.Entry) *transport {
	return &transport{
		dial: dial, log: log, inbox: loop.NewMailbox(), events: make(chan event, identifiers),
		quit: make(chan struct{}), ended: make(chan struct{}), peers: make(map[identity]*peer),
	}
}

// submit takes a request. Its done is called later, never by submit.
func (t *transport) submit(r *request) {
	r.deadline.Owner = r
	if !t.inbox.Put(func() { t.next(r, now()) }) {
		go r.done(nil, ErrClosed)
	}
}

// stop ends the loop; it returns when all is closed.
func (t *transport) stop() {
	close(t.quit)
	<-t.ended
}

func (t *transport) run() {
	defer close(t.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if next := t.deadlines.Next(); !next.IsZero() {
			wait = time.Until(next)
		}
		timer.Reset(wait)
		select {
		case <-t.inbox.Ready():
			t.inbox.Run()
		case e := <-t.events:
			t.take(e)
		case <-timer.C:
		case <-t.quit:
			t.close()
			return
		}
		t.expire(now())
	}
}

// slice bounds how many events or deadlines are served before others have their
// turn.
const slice = 256

// take serves an event and those that wait behind it.
func (t *transport) take(e event) {
	for range slice {
		t.receive(e, now())
		select {
		case e = <-t.events:
		default:
			return
		}
	}
	t.receive(e, now())
}

func (t *transport) expire(at time.Time) {
	for range slice {
		r, ok := t.deadlines.Due(at)
		if !ok {
			return
		}
		t.expired(r, at)
	}
}

// tell hands an event to the loop. False: the loop has ended.
func (t *transport) tell(e event) bool {
	select {
	case t.events <- e:
		return true
	case <-t.quit:
		return false
	}
}

// close ends all requests.
func (t *transport) close() {
	for _, p := range t.peers {
		p.close()
	}
	t.readers.Wait()
	var open []*request
	for _, p := range t.peers {
		for r := range p.pending {
			open = append(open, r)
		}
		for _, w := range p.waiting {
			if w.waits() {
				open = append(open, w.request)
			}
		}
	}
	for _, r := range open {
		t.finish(r, nil, ErrClosed, time.Time{})
	}
	// What comes now finds no server: next looks at quit.
	t.inbox.Close()
}

func (t *transport) closing() bool {
	select {
	case <-t.quit:
		return true
	default:
		return false
	}
}

// warn writes a line about a server, if there were not too many lately.
func (t *transport) warn(p *peer, line string) {
	t.lines[1].Log(t.entry(p), logrus.WarnLevel, line)
}

func (t *transport) entry(p *peer) *logrus.Entry {
	return t.log.WithFields(logrus.Fields{"server": p.id.name, "port": p.id.remote.String(), "for": p.id.kind.String()})
}

// peerOf is the state of a port of a server, which begins here if it is new.
func (t *transport) peerOf(s *config.RADIUSServer, k kind) *peer {
	id := identify(s, k)
	p := t.peers[id]
	if p == nil {
		p = &peer{id: id, pending: make(map[*request]struct{})}
		t.mu.Lock()
		t.peers[id] = p
		t.mu.Unlock()
	}
	p.server, p.retired = s, false
	return p
}

// keep forgets the servers that are not in a configuration, once they have
// nothing under way.
func (t *transport) keep(cfg *config.RADIUS) {
	known := make(map[identity]bool, 2*len(cfg.Servers))
	for _, s := range cfg.Servers {
		known[identify(s, authentication)], known[identify(s, accounting)] = true, true
	}
	t.inbox.Put(func() {
		for id, p := range t.peers {
			p.retired = !known[id]
			t.forget(p)
		}
	})
}

func (t *transport) forget(p *peer) {
	if !p.retired || len(p.pending) > 0 || p.count.waiting.Load() > 0 {
		return
	}
	p.close()
	t.mu.Lock()
	delete(t.peers, p.id)
	t.mu.Unlock()
}

// finish ends a request with an answer or an error.
func (t *transport) finish(r *request, reply *Reply, err error, at time.Time) {
	r.finished = true
	t.leave(r, at)
	r.done(reply, err)
}

// arm has the request's time come at that time.
func (t *transport) arm(r *request, until time.Time) {
	r.until = until
	t.deadlines.Set(&r.deadline, until)
}

// next gives a request to the next server of its list that may be asked.
func (t *transport) next(r *request, at time.Time) {
	if t.closing() {
		t.finish(r, nil, ErrClosed, at)
		return
	}
	var retryAt time.Time
	all := r.servers
	for len(r.servers) > 0 {
		p := t.peerOf(r.servers[0], r.kind)
		r.servers = r.servers[1:]
		if !p.available(at) && !(r.insisting && p.room()) {
			if when := p.retryAt(at); retryAt.IsZero() || when.Before(retryAt) {
				retryAt = when
			}
			continue
		}
		t.give(r, p, at)
		return
	}
	if r.asked {
		t.finish(r, nil, ErrNoAnswer, at)
		return
	}
	if r.kind == authentication && !r.insisting && len(all) > 0 {
		t.insist(r, all, at)
		return
	}
	t.finish(r, nil, noServer{retryAt}, at)
}

// insist has a request ask servers that were given up, where all are: those first
// that have answered last. A server that leaves one name without an answer, as a
// proxy does whose home server is down, is given up when nobody else asks just
// then; were it not asked any more, who calls with that name would keep everybody
// out. What does not fit under way does not wait: it most likely waits in vain.
func (t *transport) insist(r *request, servers []*config.RADIUSServer, at time.Time) {
	r.insisting = true
	r.servers = slices.Clone(servers)
	slices.SortStableFunc(r.servers, func(a, b *config.RADIUSServer) int {
		return t.peerOf(b, r.kind).lastAnswer.Compare(t.peerOf(a, r.kind).lastAnswer)
	})
	t.next(r, at)
}

// give has a server answer a request, now or when it has its turn.
func (t *transport) give(r *request, p *peer, at time.Time) {
	r.peer, r.tries, r.limit = p, 0, p.server.Retries+1
	if !p.alive() {
		if !r.insisting {
			p.probe = r
		}
		if t.alternative(r, at) {
			// Nobody waits longer than he must to find out about a server.
			r.limit = 1
		}
		t.send(r, at)
		return
	}
	if p.room() {
		t.send(r, at)
		return
	}
	if p.count.waiting.Load() >= maxWaiting {
		p.count.busy.Add(1)
		r.peer = nil
		t.finish(r, nil, ErrBusy, at)
		return
	}
	r.waiting = true
	r.turn++
	p.waiting = append(p.waiting, waiter{r, r.turn})
	p.count.waiting.Add(1)
	t.arm(r, at.Add(p.patience()))
}

// alternative says whether a request could go to another server.
func (t *transport) alternative(r *request, at time.Time) bool {
	for _, s := range r.servers {
		if p := t.peerOf(s, r.kind); p.alive() {
			return true
		}
	}
	return false
}

// leave takes a request away from its server, and lets others have their turn.
func (t *transport) leave(r *request, at time.Time) {
	if p := t.detach(r); p != nil {
		t.turns(p, at)
	}
}

// detach takes a request away from its server, which it returns; nil: it has none.
func (t *transport) detach(r *request) *peer {
	t.arm(r, time.Time{})
	p := r.peer
	if p == nil {
		return nil
	}
	r.peer = nil
	t.release(r)
	if p.probe == r {
		p.probe = nil
	}
	if r.waiting {
		r.waiting = false
		p.count.waiting.Add(-1)
	} else if _, ok := p.pending[r]; ok {
		delete(p.pending, r)
		p.count.pending.Add(-1)
	}
	return p
}

// turns sends requests that have waited for others to end.
func (t *transport) turns(p *peer, at time.Time) {
	for r := p.firstWaiting(); r != nil && p.room() && !t.closing(); r = p.firstWaiting() {
		r.waiting = false
		p.count.waiting.Add(-1)
		t.send(r, at)
	}
	t.forget(p)
}

// release gives the identifiers of a request back.
func (t *transport) release(r *request) {
	for _, at := range r.places {
		at.socket.giveBack(at.identifier)
	}
	r.places, r.wire = nil, nil
}

// send sends a request to its server for the first time.
func (t *transport) send(r *request, at time.Time) {
	p := r.peer
	p.pending[r] = struct{}{}
	p.count.pending.Add(1)
	p.count.requests.Add(1)
	r.asked, r.firstSent = true, at
	t.transmit(r, at)
}

// transmit sends a request, again or for the first time.
//
// RFC 2865 section 2.5: "If the NAS is retransmitting a RADIUS request to the same
// server as before, and the attributes haven't changed, you MUST use the same
// Request Authenticator, ID, and source port. If any attributes have changed, you
// MUST use a new Request Authenticator and ID." Those of an accounting request
// have, by its Acct-Delay-Time. Its earlier identifiers stay taken: an answer to
// any of them is as good.
func (t *transport) transmit(r *request, at time.Time) {
	p := r.peer
	r.tries++
	t.arm(r, at.Add(p.server.Timeout))
	fresh := len(r.places) == 0
	if !fresh {
		p.count.retransmissions.Add(1)
		last := r.places[len(r.places)-1].socket
		fresh = r.kind == accounting || last.lost
	}
	if fresh {
		if err := t.encode(r); err != nil {
			t.finish(r, nil, err, at)
			return
		}
	}
	if len(r.places) == 0 {
		return // no socket: the time runs as if the packet were lost
	}
	t.write(r)
}

// encode makes a packet with an identifier of its own. No error and no place:
// there is no socket for it.
func (t *transport) encode(r *request) error {
	p := r.peer
	socket := p.place(t)
	if socket == nil {
		return nil
	}
	packet := &radius.Packet{Code: r.kind.code(), Identifier: socket.take(), Secret: []byte(p.id.secret)}
	if r.kind == authentication {
		packet.Authenticator = newAuthenticator()
	}
	var wire []byte
	err := r.build(packet)
	if err == nil && r.kind == authentication {
		wire, err = seal(packet)
	} else if err == nil {
		wire, err = encodeAccounting(packet)
	}
	if err != nil {
		socket.giveBack(packet.Identifier)
		return fmt.Errorf("a request to RADIUS server %s was not sent: %w", p.id.name, err)
	}
	r.wire = wire
	r.places = append(r.places, place{socket, packet.Identifier})
	socket.slots[packet.Identifier].Store(&sent{
		request: r, authenticator: packet.Authenticator, server: p.server,
		requireSigned: p.server.RequireMessageAuthenticator,
	})
	return nil
}

// write sends what was encoded last. A socket that has an ICMP error to tell does
// so instead of sending; then it sends.
func (t *transport) write(r *request) {
	socket := r.places[len(r.places)-1].socket
	_, err := socket.conn.Write(r.wire)
	if err == nil {
		return
	}
	if unreachable(err) {
		socket.peer.count.refusals.Add(1)
		if _, err = socket.conn.Write(r.wire); err == nil {
			return
		}
	}
	t.warn(socket.peer, "a request to a RADIUS server could not be sent, and is tried again: "+err.Error())
}
