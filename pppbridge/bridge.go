// Package pppbridge is where the PPP frames of a session go: to a pppd behind a
// PPPoX socket of the kernel, to a pppd behind a pseudo-terminal, to our own PPP
// endpoint and its packets into a TUN or an interface of the kernel's, to
// another session, or nowhere.
//
// Goroutines: everything that has to be waited for (PTY masters, pppd's log
// lines and its exit, TUNs) is served by one kernel.Poller, and by one more for
// each further queue of the shared TUN; a bounded pool of workers starts the
// pppds, another sets interfaces up. No session has a goroutine of its own.
package pppbridge

import (
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/ppp"
)

// MaxFrame bounds a PPP frame in octets, with address, control and protocol.
// It leaves room for an MRU of 2,000 and an L2TP header in one 2 KiB buffer.
const MaxFrame = 2004

// Owner is the loop that a session belongs to, seen from a bridge that speaks
// PPP itself.
type Owner interface {
	// Control takes a copy of a PPP control frame to the owner's goroutine, where
	// Stepper.Control gets it. False: the owner has more of them than it can take,
	// and the frame is lost, which the owner counts. Any goroutine.
	Control(frame []byte) bool
	// Post runs f on the owner's goroutine, soon. False: the owner has ended.
	Post(f func(now time.Time)) bool
	// LinkUp says what LCP agreed on, which an LNS may have to tell its LAC. It is
	// called on the owner's goroutine, from inside a method of Stepper.
	LinkUp(agreed ppp.Link)
}

// Stepper is a Bridge that speaks PPP itself. Its methods are called on the
// owner's goroutine only; the owner looks at Deadline after each call of them and
// after each function of Owner.Post.
type Stepper interface {
	circuit.Bridge
	// Begin starts the negotiation. It is called once, after Open.
	Begin(now time.Time)
	Control(now time.Time, frame []byte)
	Tick(now time.Time)
	// Terminate ends PPP in good order, while the call is still up: the peer gets
	// a Terminate-Request, and OnExit follows its answer, or the want of one.
	Terminate(now time.Time, reason string)
	Deadline() time.Time // zero: none
}

// Spec is all that a bridge needs to know. The role fills in what the profile
// says, the engine what the tunnel and the call say.
type Spec struct {
	Kind circuit.Kind

	// From the profile.
	OptionsFile string   // pppd's "file"; empty: none
	Options     []string // further words for pppd, as given by the operator
	Debug       bool     // pppd's "debug"
	LocalIP     netip.Addr
	RemoteIP    netip.Addr
	MTU, MRU    int    // octets; 0: pppd's own
	KernelDebug uint32 // mask for the kernel's session, see kernel.PPPoX.SetDebug

	// For our own endpoint, shared by the sessions of a profile. LocalIP and
	// RemoteIP above come before those of the Grant.
	Endpoint *ppp.Config
	Grant    *ppp.Grant
	// Access decides about the peer and is told what becomes of it; nil: nobody is
	// asked, because the Endpoint does not demand authentication, and nobody told.
	Access Access
	// Interface is the name of an interface of its own for the session, with %d
	// for a free number. Empty: the TUN that sessions share, or the kernel's name.
	Interface string
	// ClampMSS lowers the MSS option of TCP SYNs to what the link can carry.
	ClampMSS bool
	// Owner is the session's loop; our own endpoint needs it.
	Owner Owner
	// Relay is this session's end of a pair; Kind Relay needs it.
	Relay *circuit.RelayEnd

	// Sequencing, for the kernel plane; elsewhere the engine does it.
	SendSequence    bool
	RequireSequence bool
	ReorderTimeout  time.Duration // whole milliseconds

	// From the tunnel and the call.
	Log           *logrus.Entry // with the session's fields; nil: no log
	LNS           bool          // which end of the call we are
	Version       uint8         // of L2TP; 0: 2
	LocalTunnel   uint32
	PeerTunnel    uint32
	LocalSession  uint32
	PeerSession   uint32
	Peer          netip.AddrPort // of the tunnel; pppd's "ipparam"
	CallingNumber string         // pppd's "remotenumber"; what of it can be printed
	UDP           int            // the tunnel's own connected socket, kernel plane only

	// What the LAC negotiated with the remote system before us, RFC 2661 section
	// 4.4.5; nil if it did not. pppd cannot take it over and negotiates again, as
	// the RFC allows; it is here for a PPP endpoint that can.
	ProxyLCP  *l2tp.ProxyLCP
	ProxyAuth *l2tp.ProxyAuth
}
