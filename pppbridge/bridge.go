// Package pppbridge is where the PPP frames of a session go: to a pppd behind a
// PPPoX socket of the kernel, to a pppd behind a pseudo-terminal, or nowhere.
//
// Goroutines: everything that has to be waited for (PTY masters, pppd's log
// lines and its exit) is served by one kernel.Poller; a bounded pool of workers
// starts the pppds. No session has a goroutine of its own.
package pppbridge

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// Headroom is how many octets are free before each frame that a bridge sends,
// enough for every L2TP data header and then some.
const Headroom = 32

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
)

var kindNames = [...]string{Discard: "discard", PPPDKernel: "pppd/kernel", PPPDAsync: "pppd/pty-async", PPPDSync: "pppd/pty-sync"}

// String is the name that people see.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// KernelPlane says whether the kernel moves the data of this kind, so that
// neither Deliver nor SendFrame is ever called.
func (k Kind) KernelPlane() bool { return k == PPPDKernel }

// Frames is the L2TP session, seen from its bridge.
type Frames interface {
	// SendFrame sends a PPP frame to the peer: buf[Headroom:], beginning with
	// address and control as pppd wrote them (RFC 2661 section 3.1 leaves only
	// flags, escapes and FCS behind). buf[:Headroom] may be overwritten. It is
	// called in the poller's goroutine, must not block and must not keep buf.
	SendFrame(buf []byte)
	// Flush ends a burst of SendFrame calls: what was gathered into a batch
	// should go now.
	Flush()
}

// Bridge is one session's way for PPP frames.
type Bridge interface {
	Kind() Kind
	// Deliver takes a PPP frame from the peer (address and control first, if
	// the peer sent them). It never blocks: what cannot go at once and does
	// not fit the bounded queue is dropped and counted. The frame is not kept.
	// One goroutine at a time calls it, any.
	Deliver(now time.Time, frame []byte)
	// SetACCM tells what the LNS negotiated (Set-Link-Info): send is what we
	// have to escape towards the PPP side, receive what it escapes towards us.
	// Only an asynchronous PTY cares. Any goroutine.
	SetACCM(send, receive uint32)
	// Stats may be called from any goroutine. On the kernel plane it is a
	// system call.
	Stats() Stats
	// Info may be called from any goroutine.
	Info() Info
	// Close ends the bridge: pppd gets a SIGTERM and, after StopTimeout, its
	// whole process group a SIGKILL. It returns at once; OnExit follows, also
	// after Close. Closing twice does nothing. Any goroutine.
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
	DropMalformed   uint64 // out, synchronous: no frame could be made out
	SplitMerged     uint64 // out, synchronous: frames that came in one piece and were parted
	LogLinesDropped uint64 // pppd's log lines beyond the rate limit
	// Kernel is what the kernel counted for the session; nil off the kernel
	// plane, or when the session is gone there.
	Kernel *kernel.L2TPStats
}

// Info is what became known of a session, for status commands.
type Info struct {
	Interface       string // as ppp0; empty until pppd has said it
	PID             int    // 0: not running
	LocalIP, PeerIP netip.Addr
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
}
