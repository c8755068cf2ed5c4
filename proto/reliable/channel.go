// Package reliable is the reliable transport of L2TP control messages, RFC 2661
// section 5.8 and appendix A, and RFC 3931 section 4.2: sequence numbers,
// acknowledgements, ordering, retransmission, the sliding window and slow start.
// The two versions have the same rules; what differs are the header and, with
// Control Message Authentication, how an acknowledgement on its own looks.
//
// A Channel is one end of it. It does no input or output and has no clock: it
// is told the time and given what arrived, and hands out what is to be sent.
// The time passed to it must not go back. Its owner does, for every event:
//
//	err := c.Receive(now, header, payload) // a control message arrived
//	for session, payload, ok := c.NextMessage(); ok; session, payload, ok = c.NextMessage() {
//		// act on it, perhaps c.Send(now, session, answer)
//	}
//	c.Transmit(now, send)  // also when Deadline has passed
//	if c.Err() != nil { ... } // the peer is gone
//
// and calls Transmit again at Deadline. A Channel belongs to one goroutine.
package reliable

import "time"

// Channel is one end of a reliable control channel.
type Channel struct {
	cfg Config
	now time.Time // the latest the caller said
	err error

	peerTunnel uint32
	peerWindow int

	// Sending. queue[:sent] is sent and not acknowledged, the rest waits;
	// queue[0] has the sequence number una.
	queue  []outgoing
	sent   int
	una    uint16
	window congestion
	// unanswered counts the retransmissions at the front of the queue since
	// the peer last acknowledged something new.
	unanswered int
	// A loss makes the congestion window small once, however many messages it
	// hit: those before recover that went out before lossAt belong to it.
	recovering bool
	recover    uint16
	lossAt     time.Time

	// Receiving. ready is in order and not yet handed out, early is what
	// lies beyond a gap, in order of Ns.
	ready      []incoming
	early      []incoming
	earlySize  int
	next       uint16 // Ns expected next: our Nr
	closed     bool
	ackPending bool
	ackDue     time.Time
	unacked    int // messages received since an Nr was last sent

	lastReceived time.Time
	stats        Stats
	ack          []byte // scratch of sendAck
}

// Stats counts what a Channel has done. The last four are its state.
type Stats struct {
	Sent          uint64 // control messages, with retransmissions, without ZLBs
	Retransmitted uint64
	Received      uint64 // control messages, with those dropped, without ZLBs
	Duplicates    uint64 // received again
	OutOfOrder    uint64 // received early and kept
	BeyondWindow  uint64 // dropped: Ns beyond our receive window
	NeverSent     uint64 // dropped: Nr beyond what we sent
	NoRoom        uint64 // dropped: early, and no room to keep it
	SentZLB       uint64 // Explicit Acknowledgements of version 3 count as ZLBs
	ReceivedZLB   uint64

	InFlight   int // messages sent and not acknowledged
	SendQueue  int // messages waiting for the window
	Window     int // congestion window (CWND), in messages
	PeerWindow int // the peer's receive window, in messages
}

// New makes a Channel that has neither sent nor received. Until SetPeer it
// sends to tunnel ID 0 and takes the peer's window to be 4.
func New(cfg Config) *Channel {
	return newAt(cfg, 0, 0)
}

// newAt starts with other sequence numbers than 0, for tests.
func newAt(cfg Config, ns, nr uint16) *Channel {
	return &Channel{
		cfg:        cfg.withDefaults(),
		peerWindow: DefaultPeerWindow,
		una:        ns,
		next:       nr,
		window:     newCongestion(DefaultPeerWindow),
	}
}

// SetPeer tells what the peer's SCCRQ or SCCRP said: its Assigned Tunnel ID,
// which goes into every header from now on, and its Receive Window Size, 0 if
// it sent none. A window that grows lets waiting messages go with the next
// Transmit.
//
// RFC 2661 section 5.8: "A value of 0 for the Receive Window Size AVP is
// invalid." Whoever sends it all the same is taken to have sent none.
func (c *Channel) SetPeer(tunnelID uint32, window uint16) {
	c.peerTunnel = tunnelID
	if window == 0 {
		window = DefaultPeerWindow
	}
	c.peerWindow = int(min(window, maxWindow))
	c.window.setWindow(c.peerWindow)
}

// SetVersion changes the version of the headers, seal and ack, which are those of
// Config, from the next packet on. It is for the end that sent an SCCRQ which both
// versions understand, once the answer has told which it is: RFC 3931 section
// 4.7.3.
func (c *Channel) SetVersion(version uint8, seal func(packet []byte), ack []byte) {
	c.cfg.Version, c.cfg.Seal, c.cfg.Ack = version, seal, ack
}

// ReceiveWindow is the Receive Window Size to advertise to the peer.
func (c *Channel) ReceiveWindow() uint16 { return c.cfg.ReceiveWindow }

// Err is nil or ErrUnreachable. Once it is set, the channel neither sends nor
// receives any more.
func (c *Channel) Err() error { return c.err }

// Idle says whether every message sent was acknowledged and none waits.
func (c *Channel) Idle() bool { return len(c.queue) == 0 }

// LastReceived is when the peer last sent anything valid, ZLBs and duplicates
// included. Zero if it never did.
func (c *Channel) LastReceived() time.Time { return c.lastReceived }

// RetransmissionCycle is how long a tunnel has to answer retransmissions after
// its last message; see Config.RetransmissionCycle.
func (c *Channel) RetransmissionCycle() time.Duration { return c.cfg.RetransmissionCycle() }

// Stats returns the counts so far.
func (c *Channel) Stats() Stats {
	s := c.stats
	s.InFlight = c.sent
	s.SendQueue = len(c.queue) - c.sent
	s.Window = c.window.cwnd
	s.PeerWindow = c.peerWindow
	return s
}

// CloseReceive is for the end that received a StopCCN: from now on nothing but
// acknowledgements leaves. What was sent or waits is forgotten, and new
// messages are acknowledged but not handed out. Messages that were received
// before can still be had from NextMessage.
//
// RFC 2661 section 5.7: "The receiver of a StopCCN MUST send a ZLB ACK to
// acknowledge receipt of the message and maintain enough control connection
// state to properly accept StopCCN retransmissions over at least a full
// retransmission cycle (in case the ZLB ACK is lost)."
func (c *Channel) CloseReceive() {
	c.closed = true
	c.una += uint16(c.sent)
	c.queue, c.sent = nil, 0
	c.unanswered, c.recovering = 0, false
	c.early, c.earlySize = nil, 0
	// There is no message any more for the acknowledgement to ride on.
	c.ackDue = c.now
}

// DropWaiting forgets the messages that were queued and never sent, and returns
// how many. A tunnel that is being stopped needs them no more, and its StopCCN
// shall not wait behind them.
//
// RFC 2661 section 5.7: "An implementation may shut down an entire tunnel and
// all sessions on the tunnel by sending the StopCCN. Thus, it is not necessary
// to clear each session individually".
func (c *Channel) DropWaiting() int {
	n := len(c.queue) - c.sent
	clear(c.queue[c.sent:])
	c.queue = c.queue[:c.sent]
	return n
}

func (c *Channel) at(now time.Time) {
	if now.After(c.now) {
		c.now = now
	}
}
