// Package sequence numbers the data messages of one L2TP session and puts those
// that arrive out of order back into order, as RFC 2661 section 5.4 and RFC 3931
// section 4.6 have it.
//
// A Session has two halves. The Sender is asked for a number for each frame
// that goes out and may be used by any goroutine. The Receiver takes each frame
// that comes in and belongs to one goroutine at a time. What joins them is one
// atomic flag: on a LAC of L2TPv2, what the LNS sends decides whether we number ours.
//
// The two versions differ in more than the size of their numbers, see Config.Bits. In
// memory a number is in the top bits of 32, so that it wraps as the machine's do.
//
// Nothing here reads a clock, and nothing allocates per frame.
package sequence

import (
	"sync/atomic"
	"time"
)

// DefaultMaxHeld is how many frames a reorder queue holds if Config does not say.
const DefaultMaxHeld = 64

// maxMaxHeld bounds MaxHeld: the queue is a sorted list, and a session that
// needs a longer one has a worse trouble than reordering.
const maxMaxHeld = 1024

// The sizes of sequence numbers, for Config.Bits.
const (
	Bits16 = 16 // L2TPv2: Ns and Nr, RFC 2661 section 3.1
	Bits24 = 24 // L2TPv3: the Default L2-Specific Sublayer, RFC 3931 section 4.6
)

// Config is what a session's sequencing is told when the call comes up.
type Config struct {
	// Bits is the size of a sequence number: Bits16, which 0 and all else stand
	// for, or Bits24.
	//
	// With Bits24 the rules are those of L2TPv3, where each end says what it
	// requires of the frames that it receives, once and for the whole session, and
	// follows nobody: RFC 3931 section 4.6.1, "each LCCE is responsible for
	// communicating to its peer the level of sequencing support that it requires of
	// data packets that it receives." Only some frames may have to be numbered
	// (section 5.4.4, level 1), so a frame without a number is no sign that
	// numbering has ended, has no place in the order, and waits for none. Numbers
	// that we did not require "will be ignored upon receipt": then the caller tells
	// Receive that there are none.
	Bits int

	// LNS is the role of this end in this call. With Bits24 it says nothing.
	LNS bool

	// Send is our wish for sequence numbers in what we send. An LNS does so
	// until SetActive says otherwise. A LAC does so only until the first frame
	// from the LNS says what the LNS wants. With Bits24 it is that the peer requires
	// them, of all frames or of those for which the caller asks Next.
	Send bool

	// Required says that the Sequencing Required AVP (Attribute Type 39) was
	// sent or received: every data message, both ways, carries numbers. With Bits24
	// it is that we said level 2, "All incoming data packets require sequencing",
	// and has nothing to do with what we send.
	Required bool

	// ReorderTimeout is the longest time for which a frame is held because one
	// before it is missing. 0, or less: no frame is held at all; one that comes
	// early is passed on at once, and those it overtook are dropped as late.
	ReorderTimeout time.Duration

	// MaxHeld is the most frames held at a time, 1 to 1024; 0 stands for
	// DefaultMaxHeld. When one more comes, the oldest gap is given up.
	MaxHeld int

	// Buffers is where held frames are copied to. Sessions that share one share
	// its memory and its bound. nil: the session has its own.
	Buffers *Buffers
}

// Session is the sequencing of one session: "Each peer maintains separate
// sequence numbers for the control connection and each individual data session
// within a tunnel" (RFC 2661 section 5.4). It must not be copied.
type Session struct {
	Receiver Receiver
	Sender   Sender
}

// New returns the sequencing of a session that begins now. Values of cfg out of
// range are brought into it.
func New(cfg Config) *Session {
	if cfg.MaxHeld <= 0 {
		cfg.MaxHeld = DefaultMaxHeld
	}
	v3 := cfg.Bits == Bits24
	if !v3 {
		cfg.Bits = Bits16
	}
	s := &Session{}
	s.Sender.settled = cfg.Required || !cfg.LNS || v3
	s.Sender.mask = 1<<cfg.Bits - 1
	s.Sender.active.Store(cfg.Send || cfg.Required && !v3)
	s.Receiver.shift = uint8(32 - cfg.Bits)
	s.Receiver.apart = v3
	s.Receiver.required = cfg.Required
	s.Receiver.timeout = max(cfg.ReorderTimeout, 0)
	s.Receiver.maxHeld = min(cfg.MaxHeld, maxMaxHeld)
	s.Receiver.buffers = cfg.Buffers
	if !cfg.LNS && !cfg.Required && !v3 {
		s.Receiver.follower = &s.Sender
	}
	return s
}

// Sender numbers the frames that go out. Its methods may be called by several
// goroutines at once.
type Sender struct {
	settled bool // it is not ours to turn numbering on and off
	active  atomic.Bool
	mask    uint32
	ns      atomic.Uint32 // its low bits are the next number
}

// Next says whether the next frame carries a sequence number and, if so, which: of
// L2TPv2 its Ns.
//
// RFC 2661 section 3.1: "Ns indicates the sequence number for this data or
// control message, beginning at zero and incrementing by one (modulo 2**16) for
// each message sent."
//
// RFC 3931 section 4.6: "The Sequence Number field contains a free-running counter of
// 2^24 sequence numbers. [...] The Sequence Number begins at zero, which is a valid
// sequence number."
//
// RFC 2661 section 5.4: "If the LNS enables sequencing after disabling it earlier in the
// session, the sequence number state picks up where it left off before." So a
// frame without a number uses none up.
func (s *Sender) Next() (ns uint32, sequenced bool) {
	if !s.active.Load() {
		return 0, false
	}
	return (s.ns.Add(1) - 1) & s.mask, true
}

// Active says whether frames are being numbered.
func (s *Sender) Active() bool { return s.active.Load() }

// SetActive turns numbering on or off during the call, and says whether that
// was ours to do. RFC 2661 section 5.4: "If this AVP is present during session
// setup, sequence numbers MUST be present at all times. If this AVP is not
// present, sequencing presence is under control of the LNS." With Bits24 it never is
// ours: what the peer requires, it has said at the session's setup.
func (s *Sender) SetActive(on bool) bool {
	if s.settled {
		return false
	}
	s.active.Store(on)
	return true
}

// follow makes a LAC do what a frame from the LNS tells it to.
func (s *Sender) follow(sequenced bool) {
	// The load keeps the cache line shared: nearly every frame changes nothing.
	if s.active.Load() != sequenced {
		s.active.Store(sequenced)
	}
}
