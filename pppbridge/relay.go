package pppbridge

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// RelayEnd is one end of a pair of sessions that pass frames to each other: the
// Spec of each session has one of the ends.
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

// Errors of opening a relay.
var (
	errNoRelay     = errors.New("open a relay: the session was given no end of a pair")
	errRelayClosed = errors.New("open a relay: the session on the other side has ended")
	errRelayTaken  = errors.New("open a relay: this end of the pair is open already")
)

// relay is the Bridge of one end. It copies each frame into a message of the
// other session, in the goroutine that received it: a new header, one copy.
type relay struct {
	pair   *relayPair
	side   uint8
	ended  bool // under pair.mu: frames is not used any more
	frames circuit.Frames
	onExit func(circuit.Exit)
	poller *kernel.Poller
	gone   func()
	exit   circuit.Exit // once ended

	framesIn, bytesIn, framesOut, bytesOut, notUp, tooLong atomic.Uint64
}

func openRelay(f *Factory, spec Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	if spec.Relay == nil {
		return nil, errNoRelay
	}
	p := spec.Relay.pair
	r := &relay{pair: p, side: spec.Relay.side, frames: frames, onExit: onExit, poller: f.cfg.Poller, gone: f.gone}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, errRelayClosed
	case p.bridges[r.side] != nil:
		return nil, errRelayTaken
	case !f.arrive():
		return nil, ErrClosed
	}
	p.bridges[r.side] = r
	return r, nil
}

func (r *relay) Kind() circuit.Kind  { return circuit.Relay }
func (r *relay) SetACCM(_, _ uint32) {}
func (r *relay) Info() circuit.Info  { return circuit.Info{} }

// Deliver passes the frame on.
func (r *relay) Deliver(b *circuit.Burst, _ time.Time, frame []byte) {
	if len(frame) > MaxFrame || len(frame) == 0 {
		r.tooLong.Add(1)
		return
	}
	r.pair.mu.Lock()
	defer r.pair.mu.Unlock()
	to := r.pair.bridges[1-r.side]
	if r.ended || to == nil || to.ended {
		r.notUp.Add(1)
		return
	}
	r.framesIn.Add(1)
	r.bytesIn.Add(uint64(len(frame)))
	if room := to.frames.Room(b, len(frame)); room != nil {
		copy(room, frame)
		to.framesOut.Add(1)
		to.bytesOut.Add(uint64(len(frame)))
	}
}

// Stats is Bridge's: out is what came by the other session.
func (r *relay) Stats() circuit.Stats {
	return circuit.Stats{
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
	r.end(circuit.Exit{
		Code: -1, Closed: true, Text: reason, Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative},
		PPP: cause(l2tp.DisconnectAdministrative, 0, 0),
	})
	if other := r.pair.bridges[1-r.side]; other != nil && !other.ended {
		text := "the session on the other side of the relay ended"
		if reason != "" {
			text += ": " + reason
		}
		other.end(circuit.Exit{
			Code: -1, Text: text, Result: l2tp.ResultCode{Result: l2tp.CDNLossOfCarrier},
			PPP: cause(l2tp.DisconnectNoInformation, 0, 0),
		})
	}
}

// end is called under pair.mu.
func (r *relay) end(e circuit.Exit) {
	r.ended, r.exit = true, e
	r.poller.Post(func(time.Time) {
		r.gone()
		r.onExit(r.exit)
	})
}
