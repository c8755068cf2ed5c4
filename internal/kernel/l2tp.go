package kernel

import (
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
	Checksum                   bool
	ZeroChecksum6Tx, Checksum6 bool
	UsingIPsec                 bool // read only
	Stats                      L2TPCounters
}

// L2TPSession is a session of the kernel's that is an Ethernet or PPP pseudowire.
type L2TPSession struct {
	Tunnel, PeerTunnel uint32
	ID, PeerID         uint32 // not 0
	Type               l2tp.PseudowireType
	// Cookie is what we expect from the peer, PeerCookie what we send: 0, 4 or 8 octets.
	Cookie, PeerCookie []byte
	Sublayer           l2tp.SublayerType // SublayerNone or SublayerDefault, both ways
	SendSequence       bool
	RequireSequence    bool // data messages without numbers are dropped
	LNS                bool // sequencing is ours to decide
	ReorderTimeout     time.Duration
	Interface          string // empty: the kernel's choice, which is in what is read
	UsingIPsec         bool   // read only
	Stats              L2TPCounters
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
)

// L2TPEvent is one of these events. Of a session only Tunnel, ID and what the kernel
// tells besides are set.
type L2TPEvent struct {
	Kind    L2TPEventKind
	Tunnel  L2TPTunnel  // of a tunnel's events
	Session L2TPSession // of a session's events
}
