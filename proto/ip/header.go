package ip

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Errors of Parse and of what calls it.
var (
	// ErrTruncated: the packet ends before its header, or its own length, does.
	ErrTruncated = errors.New("ip: packet is shorter than its header says")
	// ErrVersion: neither IPv4 nor IPv6, or not the version that was asked for.
	ErrVersion = errors.New("ip: wrong IP version")
	// ErrHeader: lengths within the header contradict one another.
	ErrHeader = errors.New("ip: impossible header length")
)

// Upper-layer protocols that this package looks into (the protocol numbers of
// IANA), and the extension headers of IPv6.
const (
	ProtocolHopByHop    = 0
	ProtocolICMP        = 1
	ProtocolTCP         = 6
	ProtocolUDP         = 17
	ProtocolRouting     = 43
	ProtocolFragment    = 44
	ProtocolICMPv6      = 58
	ProtocolNoNext      = 59
	ProtocolDestination = 60
)

const (
	header4Len = 20 // IPv4 without options
	header6Len = 40 // IPv6 without extension headers
	tcpLen     = 20 // TCP without options
	udpLen     = 8

	// MaxLength is the most octets of a packet, whatever its kind: what the
	// Total Length of IPv4 can say, and what a TUN takes uncut.
	MaxLength = 65535

	flagDF     = 0x4000 // of the flags and fragment offset of IPv4
	flagMF     = 0x2000
	maskOffset = 0x1fff

	// maxExtensions is how many extension headers Parse skips. Real packets have
	// one or two.
	maxExtensions = 8
)

// Header is what the IP header of a packet says.
type Header struct {
	// Version is 4 or 6.
	Version uint8
	// Protocol is what follows the header: of IPv6, after those extension headers
	// that can be skipped with no harm (Hop-by-Hop Options, Destination Options,
	// a Routing header with no segments left, a Fragment header of offset 0). One
	// that cannot be skipped is named here itself.
	Protocol uint8
	// Fragment: the packet is one fragment of several, or has a Fragment header.
	Fragment bool
	// Offset is the fragment offset in octets, 0 to 65,528.
	Offset uint16
	// HeaderLen is the octets before Protocol's: 20 to 60 for IPv4; for IPv6 40
	// and the extension headers skipped.
	HeaderLen int
	// Length is the octets of the whole packet by its own length field: HeaderLen
	// to 65,535 (IPv6: 65,575). What comes after them in a buffer is padding.
	Length int
	// Src and Dst are the addresses as in the header, without a zone.
	Src, Dst netip.Addr
}

// Parse reads the header of the packet at the start of b. Octets after the
// packet are padding, which PPP allows (RFC 1661 section 2): go on with
// b[:h.Length]. The checksum of the IPv4 header is not verified. The errors are
// ErrTruncated, ErrVersion and ErrHeader.
func Parse(b []byte) (h Header, err error) {
	err = h.Parse(b)
	return h, err
}

// Parse is the function Parse for a Header that the caller has: a copy of it costs
// as much as reading it. After an error the Header means nothing.
func (h *Header) Parse(b []byte) error {
	if len(b) == 0 {
		return ErrTruncated
	}
	switch b[0] >> 4 {
	case 4:
		return h.parse4(b)
	case 6:
		return h.parse6(b)
	}
	return ErrVersion
}

// parse4: RFC 791 section 3.1.
func (h *Header) parse4(b []byte) error {
	if len(b) < header4Len {
		return ErrTruncated
	}
	headerLen := int(b[0]&0xf) * 4
	length := int(binary.BigEndian.Uint16(b[2:]))
	if headerLen < header4Len || length < headerLen {
		return ErrHeader
	}
	if length > len(b) {
		return ErrTruncated
	}
	fragment := binary.BigEndian.Uint16(b[6:])
	h.Version = 4
	h.Protocol = b[9]
	h.Fragment = fragment&(flagMF|maskOffset) != 0
	h.Offset = fragment & maskOffset << 3
	h.HeaderLen = headerLen
	h.Length = length
	h.Src = netip.AddrFrom4([4]byte(b[12:16]))
	h.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	return nil
}

// parse6: RFC 8200 section 3. A jumbogram (RFC 2675, Payload Length 0) is read
// as a packet with no payload.
func (h *Header) parse6(b []byte) error {
	if len(b) < header6Len {
		return ErrTruncated
	}
	length := header6Len + int(binary.BigEndian.Uint16(b[4:]))
	if length > len(b) {
		return ErrTruncated
	}
	h.Version = 6
	h.Protocol = b[6]
	h.Fragment, h.Offset = false, 0
	h.HeaderLen = header6Len
	h.Length = length
	h.Src = netip.AddrFrom16([16]byte(b[8:24]))
	h.Dst = netip.AddrFrom16([16]byte(b[24:40]))
	switch h.Protocol {
	case ProtocolHopByHop, ProtocolRouting, ProtocolFragment, ProtocolDestination:
		return h.skipExtensions(b[:length])
	}
	return nil
}

// skipExtensions steps over the extension headers of b, a whole packet (RFC
// 8200 section 4).
func (h *Header) skipExtensions(b []byte) error {
	for range maxExtensions {
		rest := b[h.HeaderLen:]
		size := 8
		switch h.Protocol {
		case ProtocolHopByHop, ProtocolDestination, ProtocolRouting:
			if len(rest) < 8 {
				return ErrTruncated
			}
			// "8-bit unsigned integer. Length of the [...] header in 8-octet units,
			// not including the first 8 octets."
			size += int(rest[1]) * 8
			if h.Protocol == ProtocolRouting && rest[3] != 0 {
				// With segments left the destination of the pseudo-header is not the
				// one in the header: "If the IPv6 packet contains a Routing header, the
				// Destination Address used in the pseudo-header is that of the final
				// destination." (RFC 8200 section 8.1)
				return nil
			}
		case ProtocolFragment:
			if len(rest) < 8 {
				return ErrTruncated
			}
			h.Fragment = true
			h.Offset = binary.BigEndian.Uint16(rest[2:]) &^ 7
			if h.Offset != 0 {
				return nil // what follows is not a header
			}
		default:
			return nil
		}
		if size > len(rest) {
			return ErrTruncated
		}
		h.Protocol = rest[0]
		h.HeaderLen += size
	}
	return nil
}

// Source returns the source address of the packet that b begins with. It looks
// at nothing else; ok is false if b is too short or of no known version.
func Source(b []byte) (a netip.Addr, ok bool) {
	if len(b) >= header4Len && b[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	if len(b) >= header6Len && b[0]>>4 == 6 {
		return netip.AddrFrom16([16]byte(b[8:24])), true
	}
	return netip.Addr{}, false
}

// Destination is to the destination address as Source to the source address.
func Destination(b []byte) (a netip.Addr, ok bool) {
	if len(b) >= header4Len && b[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(b[16:20])), true
	}
	if len(b) >= header6Len && b[0]>>4 == 6 {
		return netip.AddrFrom16([16]byte(b[24:40])), true
	}
	return netip.Addr{}, false
}
