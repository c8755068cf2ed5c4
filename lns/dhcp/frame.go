package dhcp

import (
	"encoding/binary"
	"net/netip"
)

// IPv4 (RFC 791) and UDP (RFC 768), as a client's socket has them.
const (
	ipHeader  = 20
	udpHeader = 8
	protoUDP  = 17
)

// buildPacket makes an IPv4 packet with a UDP datagram.
func buildPacket(from, to netip.AddrPort, payload []byte) []byte {
	p := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(payload))
	p = append(p, payload...)
	p[0] = 4<<4 | ipHeader/4
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[8] = 64 // time to live
	p[9] = protoUDP
	source, target := from.Addr().As4(), to.Addr().As4()
	copy(p[12:], source[:])
	copy(p[16:], target[:])
	binary.BigEndian.PutUint16(p[10:], ^fold(sum(p[:ipHeader], 0)))
	udp := p[ipHeader:]
	binary.BigEndian.PutUint16(udp, from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	check := ^fold(sum(udp, pseudoHeader(p, len(udp))))
	if check == 0 {
		check = 0xffff // RFC 768: 0 means that there is none
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	return p
}

// parsePacket takes the datagram out of a packet of a server. whole says that
// its UDP checksum is not computed yet, as it never left the machine.
func parsePacket(p []byte, whole bool) (from netip.AddrPort, payload []byte, ok bool) {
	if len(p) < ipHeader || p[0]>>4 != 4 {
		return from, nil, false
	}
	header, total := int(p[0]&0x0f)*4, int(binary.BigEndian.Uint16(p[2:]))
	if header < ipHeader || total < header+udpHeader || total > len(p) ||
		p[9] != protoUDP || binary.BigEndian.Uint16(p[6:])&0x3fff != 0 { // a fragment
		return from, nil, false
	}
	udp := p[header:total]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < udpHeader || length > len(udp) || binary.BigEndian.Uint16(udp[2:]) != clientPort {
		return from, nil, false
	}
	udp = udp[:length]
	if binary.BigEndian.Uint16(udp[6:]) != 0 && !whole && fold(sum(udp, pseudoHeader(p, length))) != 0xffff {
		return from, nil, false
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[12:])), binary.BigEndian.Uint16(udp)), udp[udpHeader:], true
}

// pseudoHeader is the sum of RFC 768's pseudo header.
func pseudoHeader(p []byte, length int) uint32 {
	return sum(p[12:20], uint32(protoUDP)+uint32(length))
}

// sum adds octets as numbers of 16 bits, most significant octet first.
func sum(b []byte, start uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		start += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		start += uint32(b[0]) << 8
	}
	return start
}

// fold is the ones' complement sum.
func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// nativeUint32 reads a number of the machine's octet order.
func nativeUint32(b [4]byte) uint32 { return binary.NativeEndian.Uint32(b[:]) }
