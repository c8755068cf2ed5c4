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
	"fmt"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/kernel"
	"adit/proto/l2tp"
	"adit/proto/ppp"
)

// MaxFrame bounds a PPP frame in octets, with address, control and protocol.
// It leaves room for an MRU of 2,000 and an L2TP header in one 2 KiB buffer.
const MaxFrame = 2004

// Kind is where the frames go.
type Kind uint8

// The kinds of bridges.
const (
	// Discard counts frames and throws them away, for load tests.
	Discard Kind = iota
	// PPPDKernel is pppd with its pppol2tp plugin; the kernel moves the data.
	PPPDKernel
	// PPPDAsync is pppd on a PTY with RFC 1662's octet-stuffed framing.
	PPPDAsync
	// PPPDSync is pppd on a PTY with whole frames; see sync.go for its limits.
	PPPDSync
	// Builtin is our own PPP endpoint; its packets go to a TUN.
	Builtin
	// BuiltinKernel is our own PPP endpoint for the control protocols, and a ppp
	// interface of the kernel for the packets.
	BuiltinKernel
	// Relay passes the frames to another L2TP session.
	Relay
)

var kindNames = [...]string{
	Discard: "discard", PPPDKernel: "pppd/kernel", PPPDAsync: "pppd/pty-async", PPPDSync: "pppd/pty-sync",
	Builtin: "builtin/tun", BuiltinKernel: "builtin/kernel", Relay: "relay",
}

// String is the name that people see.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// KernelPlane says whether the kernel moves the data of this kind, so that
// neither Deliver nor Room is ever called.
func (k Kind) KernelPlane() bool { return k == PPPDKernel || k == BuiltinKernel }

// PPPD says whether a pppd speaks PPP.
func (k Kind) PPPD() bool { return k == PPPDKernel || k == PPPDAsync || k == PPPDSync }

// Frames is the L2TP session, seen from its bridge.
type Frames interface {
	// Room makes a data message to the peer and returns the n octets of it that
	// are the PPP frame, to be written before the burst's next Room or Flush. It
	// begins with address and control as PPP wrote them (RFC 2661 section 3.1
	// leaves only flags, escapes and FCS behind). Nil: it is too long, or there is
	// no way to the peer; that is counted. The messages of one session are made
	// by one goroutine at a time, the burst's, or their numbers mix.
	Room(b *Burst, n int) []byte
}

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
	Bridge
	// Begin starts the negotiation. It is called once, after Open.
	Begin(now time.Time)
	Control(now time.Time, frame []byte)
	Tick(now time.Time)
	// Terminate ends PPP in good order, while the call is still up: the peer gets
	// a Terminate-Request, and OnExit follows its answer, or the want of one.
	Terminate(now time.Time, reason string)
	Deadline() time.Time // zero: none
}

// Bridge is one session's way for PPP frames.
type Bridge interface {
	Kind() Kind
	// Deliver takes a PPP frame from the peer (address and control first, if
	// the peer sent them). It never blocks: what cannot go at once and does
	// not fit the bounded queue is dropped and counted. The frame has to stay as
	// it is until the burst is flushed. One goroutine at a time calls it, any.
	Deliver(b *Burst, now time.Time, frame []byte)
	// SetACCM tells what the LNS negotiated (Set-Link-Info): send is what we
	// have to escape towards the PPP side, receive what it escapes towards us.
	// Only an asynchronous PTY cares. Any goroutine.
	SetACCM(send, receive uint32)
	// Stats may be called from any goroutine. On the kernel plane it is a
	// system call.
	Stats() Stats
	// Info may be called from any goroutine.
	Info() Info
	// Close ends the bridge, because the call is over: pppd gets a SIGTERM and,
	// after StopTimeout, its whole process group a SIGKILL; our own endpoint ends
	// without a word. It returns at once; OnExit follows, also after Close.
	// Closing twice does nothing. Any goroutine.
	Close(reason string)
}

// Stats counts what a bridge moved. In is from the peer to the PPP side, out
// the other way; bytes are PPP frames without framing.
type Stats struct {
	FramesIn, BytesIn   uint64
	FramesOut, BytesOut uint64

	DropQueueFull   uint64 // in: the PTY was full
	DropTooLong     uint64 // in or out: longer than MaxFrame, or than the PTY takes whole
	DropClosed      uint64 // in: no pppd any more
	DropBadFCS      uint64 // out: bad FCS, abort, or too short to be a frame
	SplitMerged     uint64 // out, synchronous: frames that came in one piece and were parted
	LogLinesDropped uint64 // pppd's log lines beyond the rate limit

	DropSource    uint64 // in: the source address is not the subscriber's (userspace plane)
	DropNotUp     uint64 // in or out: the network protocol is not up
	DropMalformed uint64 // in: no IP packet; out, synchronous: no frame could be made out
	DropTooBig    uint64 // out: longer than the peer's MRU, answered by ICMP
	// Kernel is what the kernel counted for the session; nil off the kernel
	// plane, or when the session is gone there.
	Kernel *kernel.L2TPStats
}

// Info is what became known of a session, for status commands.
type Info struct {
	Interface       string // as ppp0; empty until pppd has said it
	PID             int    // 0: not running
	LocalIP, PeerIP netip.Addr
	// What only our own endpoint knows.
	Phase               string     // of PPP, as "authenticate"
	User                string     // who the peer showed to be
	LocalIPv6, PeerIPv6 netip.Addr // link-local
	Routes              []netip.Prefix
}

// Spec is all that a bridge needs to know. The role fills in what the profile
// says, the engine what the tunnel and the call say.
type Spec struct {
	Kind Kind

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
	Relay *RelayEnd

	// Sequencing, for the kernel plane; elsewhere the engine does it.
	SendSequence    bool
	RequireSequence bool
	ReorderTimeout  time.Duration // whole milliseconds

	// From the tunnel and the call.
	Log           *logrus.Entry // with the session's fields; nil: no log
	LNS           bool          // which end of the call we are
	LocalTunnel   uint16
	PeerTunnel    uint16
	LocalSession  uint16
	PeerSession   uint16
	Peer          netip.AddrPort // of the tunnel; pppd's "ipparam"
	CallingNumber string         // pppd's "remotenumber"; what of it can be printed
	UDP           int            // the tunnel's own connected socket, kernel plane only

	// What the LAC negotiated with the remote system before us, RFC 2661 section
	// 4.4.5; nil if it did not. pppd cannot take it over and negotiates again, as
	// the RFC allows; it is here for a PPP endpoint that can.
	ProxyLCP  *l2tp.ProxyLCP
	ProxyAuth *l2tp.ProxyAuth
}

// Exit is how a bridge ended.
type Exit struct {
	Code   int    // pppd's exit status; -1 if it was killed or never ran
	Signal string // the signal that killed it, as "SIGKILL"; else empty
	Closed bool   // we asked for it by Close
	// Result is the CDN's Result Code that tells the peer, RFC 2661 section
	// 4.4.2, and PPP its RFC 3145 cause; nil if there is none.
	Result l2tp.ResultCode
	PPP    *l2tp.PPPDisconnect
	Text   string // one sentence for the log
	Err    error  // why it could not be started; nil if it ran
	Stats  Stats  // the last of it
}
