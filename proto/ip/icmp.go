package ip

import (
	"encoding/binary"
	"net/netip"
)

// The messages of ICMP (RFC 792) and ICMPv6 (RFC 4443) that are made here.
const (
	icmp4EchoReply   = 0
	icmp4Unreachable = 3
	icmp4Echo        = 8

	icmp6Unreachable = 1
	icmp6TooBig      = 2
	icmp6Echo        = 128
	icmp6EchoReply   = 129
	icmp6Redirect    = 137

	icmpLen = 8 // type, code, checksum and one more word

	icmpTTL = 64
	// icmpTOS: RFC 1812 section 4.3.2.5: "All other ICMP error messages ...
	// SHOULD have IP Precedence 6 (INTERNETWORK CONTROL) or 7".
	icmpTOS = 0xc0

	// minMTU6 is the least MTU of a link of IPv6 (RFC 8200 section 5).
	minMTU6 = 1280
	// maxError4 is the most octets of an error of ICMP for IPv4.
	maxError4 = 576
)

// Unreachable is why a packet cannot be delivered.
type Unreachable uint8

// The reasons, with their codes in ICMP (RFC 792, RFC 1812 section 5.2.7.1) and
// ICMPv6 (RFC 4443 section 3.1).
const (
	// UnreachableNoRoute: there is no route (0; 0).
	UnreachableNoRoute Unreachable = iota
	// UnreachableAddress: there is a route, but nobody with the address (1; 3).
	UnreachableAddress
	// UnreachablePort: nobody listens (3; 4).
	UnreachablePort
	// UnreachableProhibited: forbidden by the administration (13; 1).
	UnreachableProhibited
	// UnreachableSource: the source address is not the sender's to use (13; 5).
	UnreachableSource
)

// unreachableCodes are the codes of the reasons: ICMP's, then ICMPv6's.
var unreachableCodes = [...][2]uint8{
	UnreachableNoRoute:    {0, 0},
	UnreachableAddress:    {1, 3},
	UnreachablePort:       {3, 4},
	UnreachableProhibited: {13, 1},
	UnreachableSource:     {13, 5},
}

// String names u.
func (u Unreachable) String() string {
	switch u {
	case UnreachableNoRoute:
		return "no route"
	case UnreachableAddress:
		return "address unreachable"
	case UnreachablePort:
		return "port unreachable"
	case UnreachableProhibited:
		return "administratively prohibited"
	case UnreachableSource:
		return "source address refused"
	}
	return "unknown"
}

// AppendUnreachable appends to dst a Destination Unreachable message about
// packet, a packet of IP that was dropped, from the router's address from to
// the packet's source. ok is false, and dst as it was, if no such message may
// be sent: see mayReport.
func AppendUnreachable(dst, packet []byte, from netip.Addr, code Unreachable) (message []byte, ok bool) {
	if int(code) >= len(unreachableCodes) {
		return dst, false
	}
	codes := unreachableCodes[code]
	return appendError(dst, packet, from,
		icmpError{kind: icmp4Unreachable, code: codes[0]}, icmpError{kind: icmp6Unreachable, code: codes[1]})
}

// AppendTooBig appends to dst the message that packet is longer than mtu, the
// octets that the next link takes: for IPv4 "fragmentation needed and DF set"
// with the mtu in it (RFC 1191 section 4; the caller has seen that DF is set),
// for IPv6 Packet Too Big, with an mtu of 1,280 at least, since less is ignored
// (RFC 8201 section 4). As AppendUnreachable otherwise.
func AppendTooBig(dst, packet []byte, from netip.Addr, mtu int) (message []byte, ok bool) {
	return appendError(dst, packet, from,
		icmpError{kind: icmp4Unreachable, code: 4, word: uint32(min(max(mtu, 0), MaxLength))},
		icmpError{kind: icmp6TooBig, word: uint32(max(mtu, minMTU6)), multicast: true})
}

// icmpError is the header of an error message.
type icmpError struct {
	kind, code uint8
	word       uint32 // the last four octets of the header
	multicast  bool   // may be sent about a packet to a multicast address
}

// appendError appends the error message e4 or e6, by the version of packet.
func appendError(dst, packet []byte, from netip.Addr, e4, e6 icmpError) ([]byte, bool) {
	h, err := Parse(packet)
	if err != nil {
		return dst, false
	}
	packet = packet[:h.Length]
	e, headerLen, most := e4, header4Len, maxError4
	if h.Version == 6 {
		e, headerLen, most = e6, header6Len, minMTU6
	}
	if !mayReport(packet, &h, e.multicast) || from.Is4() != (h.Version == 4) || !from.IsValid() || !isUnicast(from) {
		return dst, false
	}
	// "the ICMP datagram SHOULD contain as much of the original datagram as
	// possible without the length of the ICMP datagram exceeding 576 bytes." (RFC
	// 1812 section 4.3.2.3) "Every ICMPv6 error message ... MUST include as much
	// of the IPv6 offending (invoking) packet ... as possible without making the
	// error message packet exceed the minimum IPv6 MTU" (RFC 4443 section 2.4 c)
	quoted := packet[:min(len(packet), most-headerLen-icmpLen)]
	start := len(dst)
	dst = appendIP(dst, from, h.Src, icmpTOS, icmpLen+len(quoted))
	at := len(dst)
	dst = append(dst, e.kind, e.code, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, e.word)
	dst = append(dst, quoted...)
	sumICMP(dst[start:], at-start)
	return dst, true
}

// appendIP appends an IP header for length octets of ICMP. tos is for IPv4 only.
func appendIP(dst []byte, from, to netip.Addr, tos uint8, length int) []byte {
	if from.Is4() {
		src, dest := from.As4(), to.As4()
		total := header4Len + length
		start := len(dst)
		// Identification 0 goes with DF: the datagram is atomic (RFC 6864).
		dst = append(dst, 0x45, tos, byte(total>>8), byte(total), 0, 0, flagDF>>8, 0, icmpTTL, ProtocolICMP, 0, 0)
		dst = append(dst, src[:]...)
		dst = append(dst, dest[:]...)
		binary.BigEndian.PutUint16(dst[start+10:], Checksum(dst[start:], 0))
		return dst
	}
	src, dest := from.As16(), to.As16()
	dst = append(dst, 0x60, 0, 0, 0, byte(length>>8), byte(length), ProtocolICMPv6, icmpTTL)
	dst = append(dst, src[:]...)
	return append(dst, dest[:]...)
}

// sumICMP fills in the checksum of the ICMP message that begins at octet at of
// packet and whose field is 0. "The checksum is the 16-bit one's complement of
// the one's complement sum of the entire ICMPv6 message [...] prepended with a
// "pseudo-header"" (RFC 4443 section 2.3); ICMP has none of the latter.
func sumICMP(packet []byte, at int) {
	var initial uint64
	if packet[0]>>4 == 6 {
		initial = pseudo(packet, 6, ProtocolICMPv6) + uint64(len(packet)-at)
	}
	binary.BigEndian.PutUint16(packet[at+2:], Checksum(packet[at:], initial))
}

// mayReport tells whether an error may be sent about packet. RFC 1812 section
// 4.3.2.7: "An ICMP error message MUST NOT be sent as the result of receiving:
// o An ICMP error message, or o A packet which fails the IP header validation
// tests ..., or o A packet destined to an IP broadcast or IP multicast address,
// or ... o A packet whose source address has a network number of zero or is an
// invalid source address ..., or o Any fragment of a datagram other then the
// first fragment". RFC 4443 section 2.4 (e) says the same for IPv6, and adds
// redirects; it lets Packet Too Big be sent about multicast, and it says nothing
// of fragments: what cannot be seen not to be an error is not reported.
func mayReport(packet []byte, h *Header, multicast bool) bool {
	if h.Offset != 0 || !isUnicast(h.Src) {
		return false
	}
	if !isUnicast(h.Dst) && (!multicast || !h.Dst.IsMulticast()) {
		return false
	}
	upper := packet[h.HeaderLen:]
	if h.Version == 4 {
		if Fold(Sum(packet[:h.HeaderLen], 0)) != 0xffff {
			return false
		}
		return h.Protocol != ProtocolICMP || len(upper) > 0 && isQuery4(upper[0])
	}
	switch h.Protocol {
	case ProtocolICMPv6:
		// "Error messages are identified as such by a zero in the high-order bit of
		// their message Type field values." (RFC 4443 section 2.1)
		return len(upper) > 0 && upper[0] >= 128 && upper[0] != icmp6Redirect
	case ProtocolHopByHop, ProtocolRouting, ProtocolFragment, ProtocolDestination:
		return false // more of them than Parse skips: what follows is not known
	}
	return true
}

// isQuery4 tells whether ICMP messages of this type are queries or their
// replies (RFC 1122 section 3.2.2, RFC 8335). Of an unknown type that is not
// certain.
func isQuery4(kind uint8) bool {
	switch kind {
	case icmp4EchoReply, icmp4Echo, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43:
		return true
	}
	return false
}

// isUnicast tells whether a can be one host's address on a network. RFC 1122
// section 3.2.1.3: network 0, 127, and from 224 on (multicast, and the reserved
// class E with the limited broadcast) can not.
func isUnicast(a netip.Addr) bool {
	if a.Is4() {
		b := a.As4()
		return b[0] != 0 && b[0] != 127 && b[0] < 224
	}
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

// AppendEchoReply appends to dst the answer to packet, if that is an ICMP or
// ICMPv6 echo request to a unicast address, with right checksums and not a
// fragment; otherwise ok is false and dst as it was. Whether the address is the
// caller's to answer for is his to know. "The data received in the ICMPv6 Echo
// Request message MUST be returned entirely and unmodified" (RFC 4443 section
// 4.2), so that the answer is as long as packet, or by its options shorter.
func AppendEchoReply(dst, packet []byte) (message []byte, ok bool) {
	h, err := Parse(packet)
	if err != nil || h.Fragment || !isUnicast(h.Src) || !isUnicast(h.Dst) {
		return dst, false
	}
	packet = packet[:h.Length]
	upper := packet[h.HeaderLen:]
	if len(upper) < icmpLen {
		return dst, false
	}
	var initial uint64
	reply, tos := uint8(icmp4EchoReply), packet[1]
	switch {
	case h.Protocol == ProtocolICMP && h.Version == 4 && upper[0] == icmp4Echo:
		if Fold(Sum(packet[:h.HeaderLen], 0)) != 0xffff {
			return dst, false
		}
	case h.Protocol == ProtocolICMPv6 && h.Version == 6 && upper[0] == icmp6Echo:
		reply = icmp6EchoReply
		initial = pseudo(packet, 6, ProtocolICMPv6) + uint64(len(upper))
	default:
		return dst, false
	}
	if upper[1] != 0 || Fold(Sum(upper, initial)) != 0xffff {
		return dst, false
	}
	start := len(dst)
	dst = appendIP(dst, h.Dst, h.Src, tos, len(upper))
	at := len(dst)
	dst = append(dst, reply, 0, 0, 0)
	dst = append(dst, upper[4:]...)
	sumICMP(dst[start:], at-start)
	return dst, true
}
