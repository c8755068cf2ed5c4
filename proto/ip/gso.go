package ip

import "fmt"

// GSOType is how a super packet is to be cut into packets.
type GSOType uint8

// The kinds of super packet.
const (
	// GSONone: one packet, not to be cut.
	GSONone GSOType = iota
	// GSOTCPv4 is TCP over IPv4.
	GSOTCPv4
	// GSOTCPv6 is TCP over IPv6.
	GSOTCPv6
	// GSOUDP is UDP over either; each segment is a datagram of its own.
	GSOUDP
)

// String names t.
func (t GSOType) String() string {
	switch t {
	case GSONone:
		return "none"
	case GSOTCPv4:
		return "TCPv4"
	case GSOTCPv6:
		return "TCPv6"
	case GSOUDP:
		return "UDP"
	}
	return fmt.Sprintf("GSOType(%d)", uint8(t))
}

// GSO describes a packet, or a super packet, that goes to or comes from a TUN or TAP:
// what struct virtio_net_hdr says of it. On a TAP all lengths and offsets count the
// header of Ethernet too.
type GSO struct {
	// Type says how to cut it.
	Type GSOType
	// SegmentSize is the octets of payload in every segment but the last, which
	// has the rest. 0 with GSONone.
	SegmentSize uint16
	// HeaderLen is the octets of IP and TCP or UDP header. A kernel may say less or
	// more than that of its own packets.
	HeaderLen uint16
	// NeedsChecksum: the octets from ChecksumStart to the end are not yet summed
	// into the field at ChecksumStart + ChecksumOffset, which has only the sum of
	// the pseudo-header, not complemented.
	NeedsChecksum bool
	// ChecksumStart and ChecksumOffset are octets from the start of the packet, and
	// from there.
	ChecksumStart, ChecksumOffset uint16
	// ECN: the first segment of TCP has the CWR flag.
	ECN bool
	// DataValid: the kernel has verified the checksums, which are complete.
	DataValid bool
}

// Offloads are the kinds of super packet that a TUN takes and gives.
type Offloads struct {
	// TSO4 and TSO6 are TCP over IPv4 and over IPv6.
	TSO4, TSO6 bool
	// USO is UDP, over both.
	USO bool
}
