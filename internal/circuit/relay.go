package circuit

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// RelayEnd is one end of a pair of sessions that pass frames to each other. Each of
// the sessions is given one of the ends.
type RelayEnd struct {
	pair *relayPair
	side uint8
}

// relayPair is what two ends have in common.
type relayPair struct {
	mu      sync.Mutex // of the ends' Frames, and of bridges and closed
	bridges [2]*relay
	closed  bool
}

// NewRelayPair makes the two ends of a relay. Either may be opened first; until
// both are, frames are dropped and counted. When one closes, the other ends too.
func NewRelayPair() (a, b *RelayEnd) {
	p := &relayPair{}
	return &RelayEnd{p, 0}, &RelayEnd{p, 1}
}

// Errors of OpenRelay.
var (
	ErrNoRelay     = errors.New("open a relay: the session was given no end of a pair")
	ErrRelayClosed = errors.New("open a relay: the session on the other side has ended")
	ErrRelayTaken  = errors.New("open a relay: this end of the pair is open already")
)

// relay is the Bridge of one end. It copies each frame into a message of the
// other session, in the goroutine that received it: a new header, one copy.
type relay struct {
	pair  *relayPair
	side  uint8
	ended bool // under pair.mu: Frames is not used any more
	RelayOptions
	active atomic.Bool // the peer's circuit
	told   bool        // under pair.mu: what CircuitChanged heard last
	exit   Exit        // once ended

	framesIn, bytesIn, framesOut, bytesOut, notUp, tooLong atomic.Uint64
}

// RelayOptions is what a session gives its end of a relay.
type RelayOptions struct {
	Frames Frames
	Poller *kernel.Poller
	// OnExit is called exactly once if OpenRelay returns no error, in the poller's
	// goroutine and never from inside OpenRelay or Close; after it, Frames is not used
	// any more.
	OnExit func(Exit)
	// CircuitChanged is told in the poller's goroutine whether this session's circuit,
	// which is the session on the other side, is there and active; it counts as active
	// before the first call. Nil: nobody wants to know.
	CircuitChanged func(active bool)
}

// OpenRelay opens one end of a pair. The errors are ErrNoRelay, ErrRelayClosed and
// ErrRelayTaken.
func OpenRelay(e *RelayEnd, o RelayOptions) (Bridge, error) {
	if e == nil {
		return nil, ErrNoRelay
	}
	p := e.pair
	r := &relay{pair: p, side: e.side, RelayOptions: o, told: true}
	r.active.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, ErrRelayClosed
	case p.bridges[r.side] != nil:
		return nil, ErrRelayTaken
	}
	p.bridges[r.side] = r
	p.tell()
	return r, nil
}

// tell tells both ends of their circuits, if that is news. It is called under mu.
func (p *relayPair) tell() {
	for side, r := range p.bridges {
		if r == nil || r.ended || r.CircuitChanged == nil {
			continue
		}
		other := p.bridges[1-side]
		if now := other != nil && !other.ended && other.active.Load(); now != r.told {
			r.told = now
			r.Poller.Post(func(time.Time) { r.CircuitChanged(now) })
		}
	}
}

func (r *relay) Kind() Kind          { return Relay }
func (r *relay) SetACCM(_, _ uint32) {}
func (r *relay) Info() Info          { return Info{} }

// SetPeerActive is StatusReporter's.
func (r *relay) SetPeerActive(active bool) {
	r.pair.mu.Lock()
	defer r.pair.mu.Unlock()
	r.active.Store(active)
	r.pair.tell()
}

// Deliver passes the frame on.
func (r *relay) Deliver(b *Burst, _ time.Time, frame []byte) {
	if len(frame) > MaxFrame || len(frame) == 0 {
		r.tooLong.Add(1)
		return
	}
	r.pair.mu.Lock()
	defer r.pair.mu.Unlock()
	to := r.pair.bridges[1-r.side]
	if r.ended || to == nil || to.ended || !to.active.Load() {
		r.notUp.Add(1)
		return
	}
	r.framesIn.Add(1)
	r.bytesIn.Add(uint64(len(frame)))
	if room := to.Frames.Room(b, len(frame)); room != nil {
		copy(room, frame)
		to.framesOut.Add(1)
		to.bytesOut.Add(uint64(len(frame)))
	}
}

// Stats is Bridge's: out is what came by the other session.
func (r *relay) Stats() Stats {
	return Stats{
		FramesIn: r.framesIn.Load(), BytesIn: r.bytesIn.Load(), FramesOut: r.framesOut.Load(), BytesOut: r.bytesOut.Load(),
		DropNotUp: r.notUp.Load(), DropTooLong: r.tooLong.Load(),
	}
}

// Close ends both ends.
func (r *relay) Close(reason string) {
	r.pair.mu.Lock()
	defer r.pair.mu.Unlock()
	if r.ended {
		return
	}
	r.pair.closed = true
	r.end(Exit{
		Code: -1, Closed: true, Text: reason, Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative},
		PPP: &l2tp.PPPDisconnect{Code: l2tp.DisconnectAdministrative},
	})
	if other := r.pair.bridges[1-r.side]; other != nil && !other.ended {
		text := "the session on the other side of the relay ended"
		if reason != "" {
			text += ": " + reason
		}
		other.end(Exit{
			Code: -1, Text: text, Result: l2tp.ResultCode{Result: l2tp.CDNLossOfCarrier},
			PPP: &l2tp.PPPDisconnect{Code: l2tp.DisconnectNoInformation},
		})
	}
}

// end is called under pair.mu.
func (r *relay) end(e Exit) {
	r.ended, r.exit = true, e
	r.Poller.Post(func(time.Time) { r.OnExit(r.exit) })
}
