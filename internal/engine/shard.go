package engine

import (
	"net/netip"
	"time"

	"adit/internal/loop"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// A shard owns tunnels and everything in them. Its loop is the only goroutine
// that touches them; others send a packet, or put a function into the mailbox.
type shard struct {
	engine *Engine
	index  int

	// Packets for tunnels that exist, and packets with Tunnel ID 0. They have
	// an inbox each, so that a flood of SCCRQs cannot starve the tunnels.
	inbox     chan inbound
	newcomers chan inbound
	frames    chan controlFrame // PPP, for the links
	mail      *loop.Mailbox

	tunnels map[uint32]*Tunnel
	// origins finds the tunnel that an SCCRQ has made already, so that a
	// retransmission meets its first copy.
	origins map[origin]*Tunnel
	queue   loop.Deadlines[*Tunnel]
	links   loop.Deadlines[*link]
	quit    bool
}

// inbound is one control message on its way from a reader to a shard.
type inbound struct {
	packet []byte // from the control message header on
	path   Path
}

// origin identifies a peer's attempt to set up a tunnel: who sends, and the
// Assigned Tunnel ID in its SCCRQ or, if that is hidden, a hash of the SCCRQ.
type origin struct {
	peer     netip.AddrPort
	version  uint8
	tunnelID uint32
	request  uint64
}

const (
	inboxSize    = 4096 // messages; at most a second's worth of a busy shard
	newcomerSize = 512
	framesSize   = 16384
	// slice bounds how many deadlines are served before the inboxes are looked at
	// again: when thousands of links send at one instant, the answers of the
	// first ones must not have to wait for the last.
	slice = 32
)

func newShard(e *Engine, index int) *shard {
	return &shard{
		engine:    e,
		index:     index,
		inbox:     make(chan inbound, inboxSize),
		newcomers: make(chan inbound, newcomerSize),
		frames:    make(chan controlFrame, framesSize),
		mail:      loop.NewMailbox(),
		tunnels:   make(map[uint32]*Tunnel),
		origins:   make(map[origin]*Tunnel),
	}
}

// run is the shard's loop. It ends when quit is set by a function from the
// mailbox.
func (s *shard) run() {
	const idle = time.Hour
	timer := time.NewTimer(idle)
	defer timer.Stop()
	var armed time.Time
	for !s.quit {
		if next := s.next(); !next.Equal(armed) {
			armed = next
			wait := idle
			if !next.IsZero() {
				wait = time.Until(next)
			}
			timer.Reset(wait)
		}
		select {
		case in := <-s.inbox:
			s.receive(in)
		case in := <-s.newcomers:
			s.receiveNewcomer(in)
		case in := <-s.frames:
			now := time.Now()
			s.receiveFrame(now, in)
			s.drainFrames(now)
		case <-s.mail.Ready():
			s.mail.Run()
		case <-timer.C:
			armed = time.Time{}
			now := time.Now()
			s.expire(now)
			s.expireLinks(now)
			s.drainFrames(now)
		}
	}
	s.mail.Close()
}

// next is when something of the shard wants attention; zero: nothing does.
func (s *shard) next() time.Time {
	tunnels, links := s.queue.Next(), s.links.Next()
	if links.IsZero() || !tunnels.IsZero() && tunnels.Before(links) {
		return tunnels
	}
	return links
}

// expire gives tunnels whose deadline has passed their Tick, a slice of them.
func (s *shard) expire(now time.Time) {
	for range slice {
		t, ok := s.queue.Due(now)
		if !ok {
			return
		}
		t.heardData()
		t.step(tunnel.Tick{})
	}
}

// receive takes a control message with a Tunnel ID of ours.
func (s *shard) receive(in inbound) {
	h, payload, err := l2tp.ParseHeader(in.packet)
	if err != nil {
		s.engine.counters.inc(DropShort)
		return
	}
	t := s.tunnels[h.TunnelID]
	if t == nil {
		s.engine.counters.inc(DropUnknownTunnel)
		return
	}
	// One that both versions were offered is found by either until one is chosen.
	if t.up && h.Version != t.version {
		s.engine.counters.inc(DropVersion)
		return
	}
	t.receive(tunnel.Receive{Header: h, Payload: payload, Packet: in.packet}, &in.path)
}

// post runs f on the shard's goroutine, later. It reports false when the shard
// has ended.
func (s *shard) post(f func()) bool { return s.mail.Put(f) }

// remove forgets a tunnel that needs no Step any more.
func (s *shard) remove(t *Tunnel) {
	s.queue.Set(&t.deadline, time.Time{})
	if t.id != 0 {
		delete(s.tunnels, t.id)
	}
	if s.origins[t.origin] == t {
		delete(s.origins, t.origin)
	}
	s.engine.exit(t.entered)
	t.letGo()
}

// letGo releases the tunnel's IDs and its socket when nothing of the tunnel is left: the
// state machine answers no retransmission any more, no bridge, which may outlive it, sends
// to the peer, and nothing is to be deleted in the kernel that has the ID.
func (t *Tunnel) letGo() {
	if !t.gone || t.bridges > 0 || t.inWork > 0 || t.released {
		return
	}
	t.released = true
	if t.id != 0 {
		t.releaseID()
	}
	t.releaseSessionIDs()
	t.path.via.release()
}

// heardData tells the state machine of the data messages since its last Tick,
// which put off the next HELLO. Those of the kernel plane are not seen here; a
// HELLO more does no harm.
func (t *Tunnel) heardData() {
	if at := t.slot.lastData.Load(); at != 0 {
		t.core.DataReceived(t.shard.engine.epoch.Add(time.Duration(at)))
	}
}

// stopAll ends every tunnel, at shut-down.
func (s *shard) stopAll(cause tunnel.Cause) {
	for _, t := range s.tunnels {
		if !t.down {
			t.step(tunnel.Stop{Cause: cause})
		}
	}
}

// quiet says that nothing is left to wait for: every StopCCN was acknowledged,
// or nobody is there to acknowledge it, and every bridge has ended.
func (s *shard) quiet() bool {
	for _, t := range s.tunnels {
		if t.bridges > 0 || !t.core.Acknowledged() {
			return false
		}
	}
	return true
}
