package config

import (
	"net/netip"
	"reflect"
	"slices"
	"time"

	"adit/proto/l2tp"
)

// Pseudowire is a [[pseudowires]] block: a circuit of ours, and how its frames travel.
// A static session names one, a session of a [[lac.tunnels]] block names one that it
// offers, and a [[lns.peers]] block names those that its peer may ask for by their
// RemoteEndID.
type Pseudowire struct {
	Name string // unique
	// Type of the pseudowire; not PPP, whose sessions have a Profile.
	Type l2tp.PseudowireType
	// RemoteEndID names the circuit in ICRQ and OCRQ, RFC 3931 section 5.4.4; at most
	// 1,017 octets. The name is the default. Unique, together with ApplicationID.
	RemoteEndID []byte
	// ApplicationID is that AVP (67) of our ICRQ and OCRQ, and what those of the peer
	// must say; nil: none is sent, and any is taken that no other pseudowire of the same
	// RemoteEndID has.
	ApplicationID *uint16

	DataPlane DataPlane

	// What the frames go to. Interface is the name of the network device that is made,
	// with %d for a free number; empty: the name is chosen by the kernel. Kinds that are
	// only switched have none.
	Interface string
	MTU       int            // octets of the payload of an Ethernet frame; 0: 1500
	Bridge    string         // the bridge that the device is a member of; empty: none
	Addresses []netip.Prefix // of the device
	// VLAN is the 802.1Q tag, 1 to 4094, that is pushed onto what is sent to the peer
	// and popped off what comes from it; 0: frames go as they are. Type vlan needs it.
	VLAN uint16
	// Switch is the other pseudowire that each frame is passed on to and comes from;
	// nil: none. It is symmetric, and both have the same type.
	Switch *Pseudowire

	// How data messages to us are to look, RFC 3931 sections 4.1 and 4.6.
	CookieLength   int               // 0, 4 or 8 octets, made at random; a static session has its own
	Sublayer       l2tp.SublayerType // of what we receive, and, statically, of what we send
	Sequencing     l2tp.SequencingLevel
	ReorderTimeout time.Duration // 0: late frames are dropped and none is held; at most 10 s
}

// Encapsulation is how L2TPv3 travels, RFC 3931 section 4.1.
type Encapsulation uint8

// The encapsulations.
const (
	EncapsulationUDP Encapsulation = iota
	EncapsulationIP                // protocol 115
)

// String is the word of the configuration.
func (e Encapsulation) String() string {
	if e == EncapsulationIP {
		return "ip"
	}
	return "udp"
}

// L2TPv3 is the [l2tpv3] table: what only version 3 has.
type L2TPv3 struct {
	// RouterID is the Router ID AVP, RFC 3931 section 5.4.3; never 0.
	RouterID uint32
	// ListenIP are the addresses on which control connections are accepted directly
	// over IP, protocol 115. Empty: none is.
	ListenIP []netip.Addr
	// Static are the unmanaged tunnels.
	Static []*StaticTunnel
}

// StaticTunnel is a [[l2tpv3.static]] block: a tunnel without a control connection,
// configured alike at both ends, with the values reversed.
type StaticTunnel struct {
	Name          string // unique
	Encapsulation Encapsulation
	// Local and Peer are addresses of one family, neither of them unspecified; the ports
	// are 0 for EncapsulationIP.
	Local, Peer netip.AddrPort
	// ID and PeerID are the Tunnel IDs (tunnel_id and peer_tunnel_id of ip l2tp), not 0.
	// No data message has them; the kernel tells tunnels apart by ID.
	ID, PeerID uint32
	DataPlane  DataPlane
	// Checksum: UDP messages to the peer have a checksum, and those without are taken
	// only if it is false. Over IPv6, false is RFC 6935's zero checksum.
	Checksum bool
	// Keep leaves tunnels of the kernel plane in place when adit ends.
	Keep bool
	// Keepalive is the time between two echo requests to the peer's address; 0: none is
	// sent. DeadAfter many without an answer and without data, the peer is called dead.
	Keepalive time.Duration
	DeadAfter int
	// LinkDown takes the carrier of the sessions' devices away while the peer is dead.
	LinkDown bool
	Sessions []*StaticSession
}

// StaticSession is a [[l2tpv3.static.sessions]] block.
type StaticSession struct {
	Name       string // unique in its tunnel
	Pseudowire *Pseudowire
	// ID and PeerID are the Session IDs, not 0. ID is unique among all static sessions.
	ID, PeerID uint32
	// Cookie is what the peer sends, PeerCookie what we send: 0, 4 or 8 octets.
	Cookie, PeerCookie Secret
}

// PeerV3 is what a [[lns.peers]] or [[lac.tunnels]] block says for version 3.
type PeerV3 struct {
	// Versions that may be spoken, one or both of 2 and 3, the preferred one first. A
	// peer's SCCRQ that offers both (RFC 3931 section 4.7.3) is answered in the
	// preferred one; a tunnel of ours with both offers both.
	Versions []uint8
	// Encapsulation of a tunnel of ours; a peer may come by either.
	Encapsulation Encapsulation
	// Digests are the algorithms of Control Message Authentication, the one that is
	// sent first; both are accepted.
	Digests []l2tp.DigestType
	// OtherSecret counts besides the secret, while that is being changed.
	OtherSecret Secret
	// Pseudowires are those that the peer may ask for. With PPP in it, it may have PPP
	// sessions too.
	Pseudowires []*Pseudowire
	AllowPPP    bool
}

// Has says whether a version may be spoken. The zero PeerV3 speaks version 2.
func (p *PeerV3) Has(version uint8) bool {
	if len(p.Versions) == 0 {
		return version == l2tp.Version
	}
	return slices.Contains(p.Versions, version)
}

// MayPPP says whether PPP sessions are possible, in either version.
func (p *PeerV3) MayPPP() bool { return p.AllowPPP || p.Has(l2tp.Version) }

// Equal says whether the two are configured alike, with their sessions and what those
// carry. Of two that a reload compares, one that is equal need not be touched.
func (t *StaticTunnel) Equal(o *StaticTunnel) bool { return reflect.DeepEqual(t, o) }

// Equal says whether the two are configured alike, with the pseudowires that they are
// switched to, since both ends of such a pair are made together.
func (p *Pseudowire) Equal(o *Pseudowire) bool { return reflect.DeepEqual(p, o) }
