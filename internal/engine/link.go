package engine

import (
	"bytes"
	"time"

	"adit/pppbridge"
)

// link is the PPP of a call whose bridge speaks it itself, as the shard steps
// it. The shard owns it; it is the bridge's pppbridge.Owner.
type link struct {
	shard    *shard
	bridge   pppbridge.Stepper // nil before Open has returned and after the exit
	deadline deadline[*link]
}

// controlFrame is a PPP control frame on its way from a reader to its shard.
type controlFrame struct {
	link  *link
	frame []byte
}

func newLink(s *shard) *link {
	l := &link{shard: s}
	l.deadline.owner = l
	return l
}

// begin starts the negotiation on a bridge that was opened.
func (l *link) begin(bridge pppbridge.Stepper) {
	l.bridge = bridge
	bridge.Begin(time.Now())
	l.rearm()
}

// end takes the link off the loop: its bridge is no more.
func (l *link) end() {
	l.bridge = nil
	l.shard.links.set(&l.deadline, time.Time{})
}

// Control is pppbridge.Owner.
func (l *link) Control(frame []byte) bool {
	select {
	case l.shard.frames <- controlFrame{l, bytes.Clone(frame)}:
		return true
	default:
		l.shard.engine.counters.inc(DropPPPInbox)
		return false
	}
}

// Post is pppbridge.Owner.
func (l *link) Post(f func(now time.Time)) bool {
	return l.shard.post(func() {
		f(time.Now())
		l.rearm()
	})
}

// receive steps the link with a control frame. One that was on its way when the
// bridge ended comes to nothing.
func (l *link) receive(now time.Time, frame []byte) {
	if l.bridge != nil {
		l.bridge.Control(now, frame)
		l.rearm()
	}
}

func (l *link) rearm() {
	if l.bridge != nil {
		l.shard.links.set(&l.deadline, l.bridge.Deadline())
	}
}

// drainFrames receives what has come meanwhile, but no more than a full inbox, so
// that the rest of the loop has its turn.
func (s *shard) drainFrames(now time.Time) {
	for range framesSize {
		select {
		case in := <-s.frames:
			in.link.receive(now, in.frame)
		default:
			return
		}
	}
}

// expireLinks gives links whose deadline has passed their Tick, a slice of them.
func (s *shard) expireLinks(now time.Time) {
	for range slice {
		l, ok := s.links.due(now)
		if !ok {
			return
		}
		if l.bridge != nil {
			l.bridge.Tick(now)
			l.rearm()
		}
	}
}
