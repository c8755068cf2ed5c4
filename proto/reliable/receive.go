package reliable

import (
	"bytes"
	"slices"
	"time"

	"adit/proto/l2tp"
)

// incoming is a message that was received and not handed out yet.
type incoming struct {
	ns      uint16
	session uint32
	payload []byte
}

// maxEarly bounds the octets of messages kept beyond a gap, whatever the
// receive window: a peer that sends nothing but early messages of the greatest
// size costs this much.
const maxEarly = 128 << 10

// ackEvery is how many messages are received before they are acknowledged
// without delay. The peer's congestion window grows by acknowledgements
// received, so to hold back more than one would slow it down.
const ackEvery = 2

// Receive takes a control message: its header and what follows it, which is
// copied if it is kept. An empty payload is a ZLB, and so, in version 3, is one
// that holds an Explicit Acknowledgement. It returns nil if the message is new, or
// was a ZLB; a DropReason if not; ErrClosed for a new message after CloseReceive;
// ErrUnreachable after the peer was given up. None of them is fatal, and what has
// to be acknowledged will be with the next Transmit.
func (c *Channel) Receive(now time.Time, h l2tp.Header, payload []byte) error {
	c.at(now)
	if c.err != nil {
		return c.err
	}
	if !h.Control || !h.HasSequence {
		return DropNotControl
	}
	ack := c.isAck(payload)
	if ack {
		c.stats.ReceivedZLB++
	} else {
		c.stats.Received++
	}
	if !c.receiveNr(h.Nr) {
		c.stats.NeverSent++
		return DropNeverSent
	}
	c.lastReceived = c.now
	if ack {
		// RFC 2661 section 5.8: "While the Nr in a received ZLB is used to
		// flush messages from the local retransmit queue (see below), Nr of
		// the next message sent is not be updated by the Ns of the ZLB."
		return nil
	}
	return c.receiveMessage(h, payload)
}

// isAck says whether a message does nothing but acknowledge.
//
// RFC 3931 section 6.15: "A message received without any AVPs (including the
// Message Type AVP), is referred to as a Zero Length Body (ZLB) message, and
// serves the same function as the Explicit Acknowledgement."
func (c *Channel) isAck(payload []byte) bool {
	if len(payload) == 0 || c.cfg.Version != l2tp.Version3 {
		return len(payload) == 0
	}
	m, ok := l2tp.PeekMessageType(payload)
	return ok && m == l2tp.TypeACK
}

// receiveNr flushes what the peer acknowledges. It returns false if that was
// never sent.
//
// RFC 3931 section 4.2: "Nr SHOULD be sanity-checked before flushing the
// retransmit queue. For instance, if the Nr received in a control message is
// greater than the last Ns sent plus 1 modulo 65536, the control message is
// clearly invalid."
//
// A lower number than before is what an overtaken packet has, and some peers
// never update it in retransmissions: it acknowledges nothing new.
func (c *Channel) receiveNr(nr uint16) bool {
	if before(nr, c.una) {
		return true
	}
	n := int(nr - c.una)
	if n > c.sent {
		return false
	}
	if n == 0 {
		return true
	}
	clear(c.queue[:n])
	c.queue = c.queue[n:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	c.sent -= n
	c.una = nr
	c.unanswered = 0
	if c.recovering && !before(c.una, c.recover) {
		c.recovering = false
	}
	c.window.acknowledged(c.peerWindow)
	return true
}

func (c *Channel) receiveMessage(h l2tp.Header, payload []byte) error {
	if before(h.Ns, c.next) {
		// RFC 2661 section 5.8: "in order to ensure that all messages are
		// acknowledged properly (particularly in the case of a lost ZLB ACK
		// message), receipt of duplicate messages MUST be acknowledged".
		return c.duplicate()
	}
	ahead := int(h.Ns - c.next)
	if ahead+len(c.ready) >= int(c.cfg.ReceiveWindow) {
		// Also where the owner does not collect its messages: what is not
		// collected takes up room in the window.
		c.stats.BeyondWindow++
		return DropBeyondWindow
	}
	if ahead == 0 {
		return c.receiveInOrder(h, payload)
	}
	if c.closed {
		return ErrClosed
	}
	return c.receiveEarly(h, payload)
}

func (c *Channel) receiveInOrder(h l2tp.Header, payload []byte) error {
	c.next++
	c.received()
	if c.closed {
		return ErrClosed
	}
	c.ready = append(c.ready, incoming{h.Ns, h.SessionID, bytes.Clone(payload)})
	for len(c.early) > 0 && c.early[0].ns == c.next {
		m := c.early[0]
		c.early[0] = incoming{}
		c.early = c.early[1:]
		c.earlySize -= len(m.payload)
		c.next++
		c.received()
		c.ready = append(c.ready, m)
	}
	if len(c.early) == 0 {
		c.early = nil
	}
	return nil
}

// receiveEarly keeps a message that came before its turn. There is nothing to
// acknowledge yet.
//
// RFC 2661 section 5.8: "Messages arriving out of order may be queued for
// in-order delivery when the missing messages are received".
func (c *Channel) receiveEarly(h l2tp.Header, payload []byte) error {
	i, found := slices.BinarySearchFunc(c.early, h.Ns, func(m incoming, ns uint16) int {
		return int(m.ns-c.next) - int(ns-c.next)
	})
	if found {
		return c.duplicate()
	}
	if c.earlySize+len(payload) > maxEarly {
		c.stats.NoRoom++
		return DropNoRoom
	}
	c.stats.OutOfOrder++
	c.earlySize += len(payload)
	c.early = slices.Insert(c.early, i, incoming{h.Ns, h.SessionID, bytes.Clone(payload)})
	return nil
}

// received notes that a message more is to be acknowledged, in AckDelay at the
// latest.
func (c *Channel) received() {
	if !c.ackPending {
		c.ackPending = true
		c.ackDue = c.now.Add(c.cfg.AckDelay)
		if c.closed {
			c.ackDue = c.now
		}
	}
	c.unacked++
	if c.unacked >= min(ackEvery, int(c.cfg.ReceiveWindow)) && c.ackDue.After(c.now) {
		c.ackDue = c.now
	}
}

// duplicate notes that a message was received again: the peer lacks the
// acknowledgement, so it goes out without delay.
func (c *Channel) duplicate() error {
	c.stats.Duplicates++
	c.ackPending = true
	c.ackDue = c.now
	return DropDuplicate
}

// NextMessage hands out the next message in order, each exactly once: the
// session ID in its header and its payload, which is valid until the next call
// of Receive. ok is false if there is none.
//
// All messages are to be collected after each Receive. A message counts as
// received, and is acknowledged, as soon as it can be had here; those left lying
// take up room in the receive window.
func (c *Channel) NextMessage() (sessionID uint32, payload []byte, ok bool) {
	if len(c.ready) == 0 {
		return 0, nil, false
	}
	m := c.ready[0]
	c.ready[0] = incoming{}
	c.ready = c.ready[1:]
	if len(c.ready) == 0 {
		c.ready = nil
	}
	return m.session, m.payload, true
}
