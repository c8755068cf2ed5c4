package engine

import (
	"bytes"
	"sync/atomic"
	"time"

	"adit/internal/loop"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// link is the PPP of a call whose bridge speaks it itself, as the shard steps
// it. The shard owns it; it is the bridge's pppbridge.Owner.
type link struct {
	shard    *shard
	call     *Call
	bridge   pppbridge.Stepper // nil before Open has returned and after the exit
	waitTo   time.Time         // begin then, or with the peer's first frame; zero: has begun
	inInbox  atomic.Int32      // frames on their way to the shard
	deadline loop.Deadline[*link]
}

// politeness is how long a LAC lets the LNS speak first. Our ICCN and our first
// frame leave at one instant, and an LNS may take the frame before it has dealt
// with the ICCN: with many of them the frame is lost then, and the next one goes
// three seconds later. (What we do as an LNS is in early.go.)
const politeness = 500 * time.Millisecond

// controlFrame is a PPP control frame on its way from a reader to its shard.
type controlFrame struct {
	link  *link // nil: of early, by what follows
	frame []byte

	slot            *tunnelSlot
	tunnel, session uint32
}

func newLink(s *shard, c *Call) *link {
	l := &link{shard: s, call: c}
	l.deadline.Owner = l
	return l
}

// begin starts the negotiation on a bridge that was opened: at once, or politely.
func (l *link) begin(bridge pppbridge.Stepper, politely bool) {
	l.bridge = bridge
	l.waitTo = time.Now()
	if politely {
		l.waitTo = l.waitTo.Add(politeness)
		l.rearm()
		return
	}
	l.speak(l.waitTo)
	l.rearm()
}

// speak begins if that is still to be done.
func (l *link) speak(now time.Time) {
	if !l.waitTo.IsZero() {
		l.waitTo = time.Time{}
		l.bridge.Begin(now)
	}
}

// end takes the link off the loop: its bridge is no more.
func (l *link) end() {
	l.bridge = nil
	l.shard.links.Set(&l.deadline, time.Time{})
}

// speaks says whether there is a bridge that speaks PPP itself.
func (l *link) speaks() bool { return l != nil && l.bridge != nil }

// terminate ends PPP in good order.
func (l *link) terminate(reason string) {
	l.bridge.Terminate(time.Now(), reason)
	l.rearm()
}

// LinkUp is pppbridge.Owner. A LAC with an asynchronous line has to know what the
// peer needs escaped.
//
// RFC 2661 section 6.14: "The Set-Link-Info message is an L2TP control message
// sent by the LNS to the LAC to set PPP-negotiated options."
func (l *link) LinkUp(agreed ppp.Link) {
	c := l.call
	if c.LNS && c.Params.FramingType&l2tp.FramingAsync != 0 {
		c.tunnel.step(tunnel.SetLinkInfo{Session: c.ID, SendACCM: agreed.PeerACCM, RecvACCM: agreed.LocalACCM})
	}
}

// linkFrames bounds what one link may have in the inbox of its shard, so that a
// peer's flood of control frames costs nobody else's.
const linkFrames = 64

// Control is pppbridge.Owner.
func (l *link) Control(frame []byte) bool {
	if l.inInbox.Add(1) <= linkFrames {
		select {
		case l.shard.frames <- controlFrame{link: l, frame: bytes.Clone(frame)}:
			return true
		default:
		}
	}
	l.inInbox.Add(-1)
	l.shard.engine.counters.inc(DropPPPInbox)
	return false
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
	l.inInbox.Add(-1)
	l.take(now, frame)
}

func (l *link) take(now time.Time, frame []byte) {
	if l.bridge != nil {
		l.speak(now)
		l.bridge.Control(now, frame)
		l.rearm()
	}
}

func (l *link) rearm() {
	switch {
	case l.bridge == nil:
	case !l.waitTo.IsZero():
		l.shard.links.Set(&l.deadline, l.waitTo)
	default:
		l.shard.links.Set(&l.deadline, l.bridge.Deadline())
	}
}

func (s *shard) receiveFrame(now time.Time, in controlFrame) {
	if in.link == nil {
		s.receiveEarly(now, in)
		return
	}
	in.link.receive(now, in.frame)
}

// drainFrames receives what has come meanwhile, but no more than a full inbox, so
// that the rest of the loop has its turn.
func (s *shard) drainFrames(now time.Time) {
	for range framesSize {
		select {
		case in := <-s.frames:
			s.receiveFrame(now, in)
		default:
			return
		}
	}
}

// expireLinks gives links whose deadline has passed their Tick, a slice of them.
func (s *shard) expireLinks(now time.Time) {
	for range slice {
		l, ok := s.links.Due(now)
		if !ok {
			return
		}
		if l.bridge != nil {
			if l.waitTo.IsZero() {
				l.bridge.Tick(now)
			}
			l.speak(now)
			l.rearm()
		}
	}
}
