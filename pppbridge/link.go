package pppbridge

import (
	"time"

	"adit/internal/circuit"
	"adit/proto/ppp"
)

// Link carries the frames and packets of a built-in endpoint: the shared TUN, an interface
// of its own, or the kernel's ppp interface. Methods are called on the goroutine
// of the session's owner and do not block, but where they say otherwise.
type Link interface {
	// SendControl sends a PPP frame, with or without Address and Control, to the
	// peer. It may keep it. What is sent leaves in order.
	SendControl(frame []byte)
	// LCPUp says what LCP has agreed on, again after each renegotiation.
	LCPUp(l ppp.Link)
	// Up says that packets of a family may flow, and Down that they may not any
	// more. n has what was negotiated for both families so far.
	Up(f ppp.Family, n ppp.Network)
	Down(f ppp.Family)
	// Deliver takes a frame from the peer, as Bridge's. Kernel plane: not called.
	Deliver(b *circuit.Burst, now time.Time, frame []byte)
	// Idle is how long no packet has passed; false: it cannot tell.
	Idle(now time.Time) (time.Duration, bool)
	// Close ends the link. Closing twice does nothing.
	Close()
	// Name is the interface's; empty: none yet. Any goroutine.
	Name() string
	// Stats may be called from any goroutine.
	Stats() circuit.Stats
}

// LinkEvents is what a Link tells its endpoint.
type LinkEvents interface {
	// Up is called on the owner's goroutine when packets of a family flow: from
	// inside Link.Up, or later, when an interface that they need is there. An Up
	// that came to nothing because of a Down or Close has none.
	Up(f ppp.Family, a Attachment)
	// Packet takes what a peer asks of the router itself, see Access; the packet
	// is a copy, and not more than a few come in a second. Any goroutine.
	Packet(packet []byte)
	// Failed is called on the owner's goroutine when the link cannot go on, at
	// most once; Close is the answer.
	Failed(now time.Time, err error)
	// Closed is called once after Close, when nothing of the link is left and
	// Frames is not called any more; in the poller's goroutine.
	Closed(now time.Time)
}

// Plane makes the links of one kind.
type Plane interface {
	// Kind is Builtin or BuiltinKernel.
	Kind() circuit.Kind
	// Open makes a link. It does not block, and calls nothing of events. spec
	// stays as it is as long as the link lives.
	Open(spec *Spec, frames circuit.Frames, events LinkEvents) (Link, error)
}
