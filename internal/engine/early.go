package engine

import (
	"bytes"
	"time"

	"adit/proto/l2tp"
	"adit/proto/ppp"
)

// RFC 2661 section 3.0: "Control messages utilize a reliable Control Channel within
// L2TP to guarantee delivery". "Data messages are not retransmitted when packet loss
// occurs." A LAC sends its ICCN and the first LCP frame at one instant, and the frame
// does not wait, as the ICCN does, for the control messages before it. Lost, it would
// be sent again three seconds later (RFC 1661 section 4.6), and when thousands call at
// once that is what most of them would wait for. So the first LCP frames of a call that
// is being set up are kept until its bridge is there.
const (
	// earlyFrames a call keeps.
	earlyFrames = 4
	// earlyLength is that of the longest that is kept, in octets: LCP frames are short.
	earlyLength = 256
	// earlyInInbox bounds those of a tunnel that are on their way to the shard.
	earlyInInbox = 256
)

// early hands the shard a data message of no session that the data path knows. False:
// it is none that anybody would keep.
func (s *tunnelSlot) early(packet []byte, tunnelID, sessionID uint32) bool {
	_, frame, err := l2tp.ParseHeader(packet)
	if err != nil || len(frame) > earlyLength {
		return false
	}
	if !isLCP(frame) {
		return false
	}
	return s.handEarly(frame, tunnelID, sessionID)
}

// early3 is early of version 3. Where the frame begins in the message is known when the
// peer has heard what we want in it, so the message is kept whole.
func (s *tunnelSlot) early3(packet []byte, sessionID uint32) bool {
	return len(packet) <= earlyLength && s.handEarly(packet, s.id3.Load(), sessionID)
}

func (s *tunnelSlot) handEarly(frame []byte, tunnelID, sessionID uint32) bool {
	if s.earlyInInbox.Add(1) <= earlyInInbox {
		select {
		case s.owner.frames <- controlFrame{frame: bytes.Clone(frame), slot: s, tunnel: tunnelID, session: sessionID}:
			return true
		default:
		}
	}
	s.earlyInInbox.Add(-1)
	return false
}

func isLCP(frame []byte) bool {
	protocol, ok := ppp.FrameProtocol(frame)
	return ok && protocol == ppp.ProtocolLCP
}

// receiveEarly keeps a frame for a call that is being set up. The bridge may also
// have come meanwhile.
func (s *shard) receiveEarly(now time.Time, in controlFrame) {
	in.slot.earlyInInbox.Add(-1)
	if t := s.tunnels[in.tunnel]; t != nil && t.slot == in.slot {
		switch c := t.calls[in.session]; {
		case c == nil:
		case (c.state == CallPending || c.waits) && len(c.early) < earlyFrames && (!t.is3() || c.isPPP()):
			c.early = append(c.early, in.frame)
			return
		case c.state == CallUp && c.link.speaks():
			if c.takeFrame(now, in.frame) {
				return
			}
		}
	}
	s.engine.counters.inc(DropUnknownSession)
}

// takeEarly gives a link the frames that came before it was there.
func (c *Call) takeEarly(now time.Time) {
	early := c.early
	c.early = nil
	for _, frame := range early {
		if !c.takeFrame(now, frame) {
			c.tunnel.shard.engine.counters.inc(DropUnknownSession)
		}
	}
}

// takeFrame gives the link a frame or, of version 3, the LCP frame of a message. False:
// there is none in it, or the peer did not send it.
func (c *Call) takeFrame(now time.Time, frame []byte) bool {
	if c.data.wire3.on {
		w := &c.data.wire3
		h, inside, err := l2tp.ParseDataHeader3(frame, w.overIP, len(w.cookie), w.sublayer)
		if err != nil || !bytes.Equal(h.Cookie, w.cookie) || !isLCP(inside) {
			return false
		}
		frame = inside
	}
	c.link.take(now, frame)
	return true
}
