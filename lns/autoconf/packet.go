package autoconf

import (
	"encoding/binary"
	"net/netip"

	"adit/proto/ip"
)

// Ports and addresses of what is asked and answered.
const (
	portDHCPServer   = 67 // RFC 2131 section 4.1
	portDHCPClient   = 68
	portDHCPv6Client = 546 // RFC 8415 section 7.2
	portDHCPv6Server = 547

	lengthIPv4 = 20 // octets of the headers that we make
	lengthIPv6 = 40
	lengthUDP  = 8
)

var (
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
	// allDHCP is All_DHCP_Relay_Agents_and_Servers, RFC 8415 section 7.1.
	allDHCP     = netip.MustParseAddr("ff02::1:2")
	linkLocals  = netip.MustParsePrefix("fe80::/64")
	broadcastIP = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// linkLocal is the address that an interface identifier makes, RFC 5072 section 5.
func linkLocal(id uint64) netip.Addr {
	a := [16]byte{0: 0xfe, 1: 0x80}
	binary.BigEndian.PutUint64(a[8:], id)
	return netip.AddrFrom16(a)
}

// interfaceID is the interface identifier of a link-local address; 0: it is none.
func interfaceID(a netip.Addr) uint64 {
	if !linkLocals.Contains(a) {
		return 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[8:])
}

// parse reads the headers of a packet, and verifies the checksum of what is in it:
// payload is what follows the IP header. IPv4's own checksum is not looked at: the
// packet has come to us.
func parse(packet []byte) (h ip.Header, payload []byte, ok bool) {
	if err := h.Parse(packet); err != nil || h.Fragment || h.Length < h.HeaderLen+lengthUDP {
		return h, nil, false
	}
	payload = packet[h.HeaderLen:h.Length]
	if h.Protocol == ip.ProtocolUDP {
		// What follows the UDP datagram in the packet is padding.
		n := int(binary.BigEndian.Uint16(payload[4:]))
		if n < lengthUDP || n > len(payload) {
			return h, nil, false
		}
		payload = payload[:n]
		if h.Version == 4 && binary.BigEndian.Uint16(payload[6:]) == 0 {
			// RFC 768: "An all zero transmitted checksum value means that the
			// transmitter generated no checksum".
			return h, payload, true
		}
	}
	return h, payload, ip.Checksum(payload, ip.PseudoHeader(h.Src, h.Dst, h.Protocol, len(payload))) == 0
}

// datagram4 makes an IPv4 packet with a UDP datagram.
func datagram4(src, dst netip.Addr, srcPort, dstPort uint16, data []byte) []byte {
	p := make([]byte, lengthIPv4+lengthUDP, lengthIPv4+lengthUDP+len(data))
	p[0], p[8], p[9] = 0x45, 64, ip.ProtocolUDP
	binary.BigEndian.PutUint16(p[2:], uint16(cap(p)))
	s, d := src.As4(), dst.As4()
	copy(p[12:], s[:])
	copy(p[16:], d[:])
	binary.BigEndian.PutUint16(p[10:], ip.Checksum(p[:lengthIPv4], 0))
	p = append(p, data...)
	putUDP(p[lengthIPv4:], src, dst, srcPort, dstPort)
	return p
}

// header6 appends an IPv6 header for n octets of a protocol.
func header6(b []byte, src, dst netip.Addr, protocol, hops uint8, n int) []byte {
	b = append(b, 0x60, 0, 0, 0, byte(n>>8), byte(n), protocol, hops)
	s, d := src.As16(), dst.As16()
	return append(append(b, s[:]...), d[:]...)
}

// datagram6 makes an IPv6 packet with a UDP datagram for the link alone.
func datagram6(src, dst netip.Addr, srcPort, dstPort uint16, data []byte) []byte {
	p := header6(make([]byte, 0, lengthIPv6+lengthUDP+len(data)), src, dst, ip.ProtocolUDP, 255, lengthUDP+len(data))
	p = append(append(p, make([]byte, lengthUDP)...), data...)
	putUDP(p[lengthIPv6:], src, dst, srcPort, dstPort)
	return p
}

// putUDP fills in the header of a UDP datagram, whose data is there.
func putUDP(u []byte, src, dst netip.Addr, srcPort, dstPort uint16) {
	binary.BigEndian.PutUint16(u, srcPort)
	binary.BigEndian.PutUint16(u[2:], dstPort)
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	sum := ip.Checksum(u, ip.PseudoHeader(src, dst, ip.ProtocolUDP, len(u)))
	if sum == 0 {
		sum = 0xffff // RFC 768: "If the computed checksum is zero, it is transmitted as all ones"
	}
	binary.BigEndian.PutUint16(u[6:], sum)
}

// appendName appends a domain name in the form of RFC 1035 section 3.1; false: it
// is none.
func appendName(b []byte, name string) ([]byte, bool) {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if name == "" || len(name) > 253 {
		return b, false
	}
	start := len(b)
	b = append(b, 0)
	at, size := start, 0
	for i := range len(name) {
		if name[i] != '.' {
			b, size = append(b, name[i]), size+1
			continue
		}
		if size == 0 || size > 63 {
			return b[:start], false
		}
		b[at], at, size = byte(size), len(b), 0
		b = append(b, 0)
	}
	if size == 0 || size > 63 {
		return b[:start], false
	}
	b[at] = byte(size)
	return append(b, 0), true
}
