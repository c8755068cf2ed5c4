package kernel

import (
	"fmt"
	"net/netip"
	"time"

	"adit/proto/l2tp"
)

// L2TPEncap is how a tunnel of the kernel's travels.
type L2TPEncap uint16

// The encapsulations, L2TP_ENCAPTYPE_ of <linux/l2tp.h>.
const (
	L2TPEncapUDP L2TPEncap = 0
	L2TPEncapIP  L2TPEncap = 1 // protocol 115
)

// String names the encapsulation as iproute2 does.
func (e L2TPEncap) String() string {
	switch e {
	case L2TPEncapUDP:
		return "udp"
	case L2TPEncapIP:
		return "ip"
	}
	return fmt.Sprintf("encapsulation %d", uint16(e))
}

// L2TPTunnel is a tunnel of the kernel's, as netlink makes and tells it.
type L2TPTunnel struct {
	ID, PeerID uint32 // not 0
	Version    uint8  // 2 or 3
	Encap      L2TPEncap
	// FD is a socket of ours, bound and connected, which becomes the tunnel's: the
	// tunnel ends with it. -1: the kernel makes a socket for Local and Peer. It is -1 in
	// what is read.
	FD          int
	Local, Peer netip.AddrPort // the ports are 0 for L2TPEncapIP
	// Of a socket that the kernel makes, UDP: checksums over IPv4; over IPv6, zero
	// checksums sent and taken (RFC 6935).
	Checksum                         bool
	ZeroChecksum6Tx, ZeroChecksum6Rx bool
	UsingIPsec                       bool         // read only
	Stats                            L2TPCounters // read only
}

// L2TPSession is a session of the kernel's that is an Ethernet or PPP pseudowire.
//
// The kernel follows the rules of L2TPv2 in sessions of v3 too, Linux 6.1 at least. With
// LNS, one that sends numbers drops what has none, and sends as it was told. Without, it
// begins and stops as the peer does. So it cannot number one direction only, nor some of
// the frames; and who does not want it to follow the peer sets LNS.
type L2TPSession struct {
	Tunnel, PeerTunnel uint32
	ID, PeerID         uint32 // not 0
	Type               l2tp.PseudowireType
	// Cookie is what we expect from the peer, PeerCookie what we send: 0, 4 or 8 octets.
	Cookie, PeerCookie []byte
	// Sublayer is SublayerNone or SublayerDefault, both ways. The kernel does not tell
	// it: it is SublayerNone in what is read.
	Sublayer        l2tp.SublayerType
	SendSequence    bool // of a v3 session, with SublayerDefault only
	RequireSequence bool // data messages without numbers are dropped
	LNS             bool // sequencing is ours to decide; otherwise the kernel follows the peer
	ReorderTimeout  time.Duration
	Interface       string       // of an Ethernet; empty: the kernel's choice, which is in what is read
	UsingIPsec      bool         // read only
	Stats           L2TPCounters // read only
}

// L2TPCounters are the statistics of a tunnel or session.
type L2TPCounters struct {
	TxPackets, TxBytes, TxErrors uint64
	RxPackets, RxBytes, RxErrors uint64
	RxSeqDiscards, RxOOSPackets  uint64
	RxCookieDiscards, RxInvalid  uint64
}

// L2TPEventKind is what happened to a tunnel or session of the kernel's.
type L2TPEventKind uint8

// The kinds of event that the kernel tells its listeners (multicast group "l2tp").
const (
	L2TPTunnelCreated L2TPEventKind = iota + 1
	L2TPTunnelModified
	L2TPTunnelDeleted
	L2TPSessionCreated
	L2TPSessionModified
	L2TPSessionDeleted
	// L2TPEventsLost: more happened than the socket could hold. What the listener
	// believes has to be compared with Tunnels and Sessions.
	L2TPEventsLost
	// L2TPWatchEnded: reading failed, and no event comes after this one.
	L2TPWatchEnded
)

// String returns the kind in words fit for a log line.
func (k L2TPEventKind) String() string {
	switch k {
	case L2TPTunnelCreated:
		return "tunnel created"
	case L2TPTunnelModified:
		return "tunnel modified"
	case L2TPTunnelDeleted:
		return "tunnel deleted"
	case L2TPSessionCreated:
		return "session created"
	case L2TPSessionModified:
		return "session modified"
	case L2TPSessionDeleted:
		return "session deleted"
	case L2TPEventsLost:
		return "events lost"
	case L2TPWatchEnded:
		return "watch ended"
	}
	return "unknown"
}

// L2TPEvent is one of these events. Of a session only Tunnel, ID and what the kernel
// tells besides are set.
type L2TPEvent struct {
	Kind    L2TPEventKind
	Tunnel  L2TPTunnel  // of a tunnel's events
	Session L2TPSession // of a session's events
	Err     error       // of L2TPWatchEnded
}
