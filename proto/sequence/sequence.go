// Package sequence numbers the data messages of one L2TP session and puts those
// that arrive out of order back into order, as RFC 2661 section 5.4 has it.
//
// A Session has two halves. The Sender is asked for a number for each frame
// that goes out and may be used by any goroutine. The Receiver takes each frame
// that comes in and belongs to one goroutine at a time. What joins them is one
// atomic flag: on a LAC, what the LNS sends decides whether we number ours.
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

// Config is what a session's sequencing is told when the call comes up.
type Config struct {
	// LNS is the role of this end in this call.
	LNS bool

	// Send is our wish for sequence numbers in what we send. An LNS does so
	// until SetActive says otherwise. A LAC does so only until the first frame
	// from the LNS says what the LNS wants.
	Send bool

	// Required says that the Sequencing Required AVP (Attribute Type 39) was
	// sent or received: every data message, both ways, carries numbers.
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
	s := &Session{}
	s.Sender.lns = cfg.LNS
	s.Sender.required = cfg.Required
	s.Sender.active.Store(cfg.Send || cfg.Required)
	s.Receiver.required = cfg.Required
	s.Receiver.timeout = max(cfg.ReorderTimeout, 0)
	s.Receiver.maxHeld = min(cfg.MaxHeld, maxMaxHeld)
	s.Receiver.buffers = cfg.Buffers
	if !cfg.LNS && !cfg.Required {
		s.Receiver.follower = &s.Sender
	}
	return s
}

// Sender numbers the frames that go out. Its methods may be called by several
// goroutines at once.
type Sender struct {
	lns      bool
	required bool
	active   atomic.Bool
	ns       atomic.Uint32 // the low 16 bits are the next Ns
}

// Next says whether the next frame carries sequence numbers and, if so, its Ns.
//
// RFC 2661 section 3.1: "Ns indicates the sequence number for this data or
// control message, beginning at zero and incrementing by one (modulo 2**16) for
// each message sent."
//
// Section 5.4: "If the LNS enables sequencing after disabling it earlier in the
// session, the sequence number state picks up where it left off before." So a
// frame without a number uses none up.
func (s *Sender) Next() (ns uint16, sequenced bool) {
	if !s.active.Load() {
		return 0, false
	}
	return uint16(s.ns.Add(1) - 1), true
}

// Active says whether frames are being numbered.
func (s *Sender) Active() bool { return s.active.Load() }

// SetActive turns numbering on or off during the call, and says whether that
// was ours to do. RFC 2661 section 5.4: "If this AVP is present during session
// setup, sequence numbers MUST be present at all times. If this AVP is not
// present, sequencing presence is under control of the LNS."
func (s *Sender) SetActive(on bool) bool {
	if s.required || !s.lns {
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
