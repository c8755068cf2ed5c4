// Package circuit is what a session's frames go to, as the engine and the packages
// that serve it have it in common: the bridge of a session, the room for a message to
// its peer, and what one goroutine has gathered of both. RFC 3931 section 1.3 calls
// that other side an Attachment Circuit.
package circuit

import (
	"fmt"
	"net/netip"
	"time"

	"adit/internal/kernel"
	"adit/proto/l2tp"
)

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
	// PPPDSync is pppd on a PTY with whole frames; see pppbridge's sync.go for its limits.
	PPPDSync
	// Builtin is our own PPP endpoint; its packets go to a TUN.
	Builtin
	// BuiltinKernel is our own PPP endpoint for the control protocols, and a ppp
	// interface of the kernel for the packets.
	BuiltinKernel
	// Relay passes the frames to another L2TP session.
	Relay
	// EthernetTAP is a TAP of ours, EthernetKernel an l2tpeth device of the kernel's.
	// Both carry pseudowires of the types Ethernet and Ethernet VLAN.
	EthernetTAP
	EthernetKernel
	// IPTUN is a TUN of ours for an IP pseudowire.
	IPTUN
)

var kindNames = [...]string{
	Discard: "discard", PPPDKernel: "pppd/kernel", PPPDAsync: "pppd/pty-async", PPPDSync: "pppd/pty-sync",
	Builtin: "builtin/tun", BuiltinKernel: "builtin/kernel", Relay: "relay",
	EthernetTAP: "ethernet/tap", EthernetKernel: "ethernet/kernel", IPTUN: "ip/tun",
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
func (k Kind) KernelPlane() bool { return k == PPPDKernel || k == BuiltinKernel || k == EthernetKernel }

// PPPD says whether a pppd speaks PPP.
func (k Kind) PPPD() bool { return k == PPPDKernel || k == PPPDAsync || k == PPPDSync }

// MaxMessage is the longest data message of any session, with its L2TP header, and
// MaxFrame the longest frame in one, in octets: a jumbo frame of Ethernet with room
// for its tags.
const (
	MaxMessage = kernel.MaxDatagram
	MaxFrame   = MaxMessage - 32
)

// Frames is the L2TP session, seen from its bridge.
type Frames interface {
	// Room makes a data message to the peer and returns the n octets of it that
	// are the frame, to be written before the burst's next Room or Flush. One of PPP
	// begins with address and control as PPP wrote them (RFC 2661 section 3.1
	// leaves only flags, escapes and FCS behind). Nil: it is too long, or there is
	// no way to the peer; that is counted. The messages of one session are made
	// by one goroutine at a time, the burst's, or their numbers mix.
	Room(b *Burst, n int) []byte
}

// Recogniser is Frames that know their own messages again.
type Recogniser interface {
	Frames
	// Recognise says whether an IP packet is a message of this session on its way to the
	// peer, or of another session with one of this in it. One that comes out of the
	// session's own device has been led there by a route for the peer's address, or by two
	// for the peers of both, and would go round for ever, longer each time. It neither
	// allocates nor waits. Any goroutine.
	Recognise(packet []byte) bool
}

// Bridge is one session's way for frames.
type Bridge interface {
	Kind() Kind
	// Deliver takes a frame from the peer (of PPP, with address and control first if
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

// StatusReporter is a Bridge of a circuit that can be down while its session is up.
type StatusReporter interface {
	Bridge
	// SetPeerActive tells the status of the peer's circuit, which is active at first.
	// While it is not, nothing is sent to the peer, what would be is counted in
	// DropNotUp, and a device of ours has no carrier. It returns at once. Any
	// goroutine.
	//
	// RFC 3931 section 5.4.5: "If this AVP is received with a Not Active notification
	// for a given L2TP session, all data traffic for that session MUST cease (or not
	// begin) in the direction of the sender of the Circuit Status AVP until the circuit
	// is advertised as Active."
	SetPeerActive(active bool)
}

// Stats counts what a bridge moved. In is from the peer to the circuit, out
// the other way; bytes are those of frames without framing.
type Stats struct {
	FramesIn, BytesIn   uint64
	FramesOut, BytesOut uint64

	DropQueueFull   uint64 // in: the PTY was full
	DropTooLong     uint64 // in or out: longer than a frame may be, or than the PTY takes whole
	DropClosed      uint64 // in: no pppd any more
	DropBadFCS      uint64 // out: bad FCS, abort, or too short to be a frame
	SplitMerged     uint64 // out, synchronous: frames that came in one piece and were parted
	LogLinesDropped uint64 // pppd's log lines beyond the rate limit

	DropSource    uint64 // in: the source address is not the subscriber's (userspace plane)
	DropNotUp     uint64 // in or out: the network protocol, or the circuit, is not up
	DropMalformed uint64 // in: no IP packet, or no Ethernet frame; out, synchronous: no frame could be made out
	DropTooBig    uint64 // out: longer than the peer's MRU, answered by ICMP
	DropVLAN      uint64 // in: without the tag of the pseudowire's VLAN
	DropLoop      uint64 // out: a message of this very session, or one in another, see Recogniser
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
