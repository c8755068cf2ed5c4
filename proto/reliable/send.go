package reliable

import (
	"fmt"
	"time"

	"adit/proto/l2tp"
)

const headerLen = l2tp.ControlHeaderLen

// maxPayload is what the 16-bit Length field leaves for the payload.
const maxPayload = 0xffff - headerLen

// outgoing is a message that is not acknowledged yet.
type outgoing struct {
	packet      []byte // room for the header, then the payload
	session     uint32
	retransmits int
	sentAt      time.Time
	due         time.Time // of the next retransmission
}

// Send queues a message for the peer's session ID, 0 if it concerns the tunnel.
// It leaves with the next Transmit at which the window has room. The payload is
// copied. Errors: ErrQueueFull, ErrTooLong, ErrEmpty, ErrClosed, ErrUnreachable.
func (c *Channel) Send(now time.Time, sessionID uint32, payload []byte) error {
	c.at(now)
	switch {
	case c.err != nil:
		return c.err
	case c.closed:
		return ErrClosed
	case len(payload) == 0:
		return ErrEmpty
	case len(payload) > maxPayload:
		return fmt.Errorf("%w: %d octets", ErrTooLong, len(payload))
	case len(c.queue) >= c.cfg.MaxQueue:
		return ErrQueueFull
	}
	packet := make([]byte, headerLen+len(payload))
	copy(packet[headerLen:], payload)
	c.queue = append(c.queue, outgoing{packet: packet, session: sessionID})
	return nil
}

// Transmit hands to send, in order, every packet that is to be on the wire now:
// retransmissions that are due, new messages that the window allows, and a ZLB
// if an acknowledgement is due and nothing carried it. A packet is valid during
// the call of send only. When the peer has to be given up it sends nothing and
// sets Err.
func (c *Channel) Transmit(now time.Time, send func(packet []byte)) {
	c.at(now)
	if c.err != nil || !c.retransmit(send) {
		return
	}
	c.transmitNew(send)
	if c.ackPending && !c.ackDue.After(c.now) {
		c.sendAck(send)
	}
}

// retransmit sends what is due again, as far as the congestion window reaches.
// It returns false if the peer is given up.
func (c *Channel) retransmit(send func(packet []byte)) bool {
	for i := 0; i < min(c.sent, c.window.cwnd); i++ {
		m := &c.queue[i]
		if m.due.After(c.now) {
			continue
		}
		if i == 0 {
			if c.unanswered >= c.cfg.maxRetransmits() {
				c.giveUp()
				return false
			}
			c.unanswered++
		}
		ns := c.una + uint16(i)
		newLoss := c.isNewLoss(m, ns)
		m.retransmits++
		c.stats.Retransmitted++
		c.emit(m, ns, send)
		if newLoss {
			c.window.lost()
			c.recovering = true
			c.recover = c.una + uint16(c.sent)
			c.lossAt = c.now
		}
	}
	return true
}

// isNewLoss says whether the retransmission of m is a sign of congestion of its
// own. The messages that were under way when a loss was noticed count as one
// with it the first time they are sent again: otherwise each acknowledgement in
// the recovery would be followed by a fall back to one.
func (c *Channel) isNewLoss(m *outgoing, ns uint16) bool {
	if !c.recovering || !before(ns, c.recover) {
		return true
	}
	return m.retransmits > 0 && !m.sentAt.Before(c.lossAt)
}

// transmitNew sends waiting messages for the first time.
//
// RFC 2661 section 5.8: "B is now allowed to have up to N outstanding control
// messages. Once N have been sent, it must wait for an acknowledgment that
// advances the window before sending new control messages."
func (c *Channel) transmitNew(send func(packet []byte)) {
	for c.sendable() {
		m := &c.queue[c.sent]
		ns := c.una + uint16(c.sent)
		c.sent++
		c.emit(m, ns, send)
	}
}

// sendable says whether a message waits and the window has room. The congestion
// window never exceeds the peer's, so it stands for both.
func (c *Channel) sendable() bool {
	return c.sent < len(c.queue) && c.sent < c.window.cwnd
}

// emit puts a message on the wire.
//
// RFC 2661 section 5.8: "The retransmitted message contains the same Ns value,
// but the Nr value MUST be updated with the sequence number of the next
// expected message."
func (c *Channel) emit(m *outgoing, ns uint16, send func(packet []byte)) {
	m.sentAt = c.now
	m.due = c.now.Add(c.cfg.interval(m.retransmits))
	c.header(m.session, ns, len(m.packet)).Append(m.packet[:0])
	c.stats.Sent++
	c.acknowledged()
	c.seal(m.packet)
	send(m.packet)
}

// sendAck sends an acknowledgement on its own.
//
// RFC 2661 section 5.8: "All control messages take up one slot in the control
// message sequence number space, except the ZLB acknowledgement. Thus, Ns is
// not incremented after a ZLB message is sent." RFC 3931 section 4.2 says the same
// of the ACK message, and section 6.15: "ZLB messages are only permitted when
// Control Message Authentication defined in Section 4.3 is not enabled."
func (c *Channel) sendAck(send func(packet []byte)) {
	h := c.header(0, c.una+uint16(c.sent), headerLen+len(c.cfg.Ack))
	c.ack = append(h.Append(c.ack[:0]), c.cfg.Ack...)
	c.stats.SentZLB++
	c.acknowledged()
	c.seal(c.ack)
	send(c.ack)
}

func (c *Channel) seal(packet []byte) {
	if c.cfg.Seal != nil {
		c.cfg.Seal(packet)
	}
}

func (c *Channel) header(session uint32, ns uint16, length int) l2tp.Header {
	return l2tp.Header{
		Control:     true,
		HasLength:   true,
		HasSequence: true,
		Version:     c.cfg.Version,
		Length:      uint16(length),
		TunnelID:    c.peerTunnel,
		SessionID:   session,
		Ns:          ns,
		Nr:          c.next,
	}
}

// acknowledged notes that a packet with the newest Nr leaves.
func (c *Channel) acknowledged() {
	c.ackPending = false
	c.unacked = 0
}

func (c *Channel) giveUp() {
	c.err = ErrUnreachable
	c.queue, c.sent = nil, 0
	c.ready, c.early, c.earlySize = nil, nil, 0
	c.ackPending = false
}

// Deadline is when Transmit has to be called next, if nothing else happens
// before. Zero if nothing is pending. A time that has passed means at once.
func (c *Channel) Deadline() time.Time {
	if c.err != nil {
		return time.Time{}
	}
	if c.sendable() {
		return c.now
	}
	var t time.Time
	if c.ackPending {
		t = c.ackDue
	}
	for i := range c.queue[:min(c.sent, c.window.cwnd)] {
		if due := c.queue[i].due; t.IsZero() || due.Before(t) {
			t = due
		}
	}
	return t
}
