package ip

import (
	"encoding/binary"
	"net/netip"
)

// naive is the sum of RFC 1071 section 4.1, word by word: the tests' own.
func naive(b []byte, sum uint32) uint16 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
		sum = sum>>16 + sum&0xffff
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}

// flow makes packets of one flow.
type flow struct {
	src, dst     netip.Addr
	protocol     uint8 // ProtocolTCP or ProtocolUDP
	sport, dport uint16
	tos, ttl     uint8
	label        uint32
	df           bool
	id           uint16
	seq, ack     uint32
	window       uint16
	flags        uint8
	options      []byte // of TCP
	noChecksum   bool   // of UDP
}

var (
	a4, b4 = netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.77")
	a6, b6 = netip.MustParseAddr("2001:db8::1:2"), netip.MustParseAddr("fe80::9")
)

// flowOf is a flow of version 4 or 6.
func flowOf(version int, protocol uint8) *flow {
	f := &flow{src: a4, dst: b4, protocol: protocol, sport: 4000, dport: 53, ttl: 61, tos: 0, df: false,
		id: 7, seq: 1000, ack: 77, window: 500, flags: tcpACK}
	if version == 6 {
		f.src, f.dst, f.label = a6, b6, 0x12345
	}
	return f
}

// next returns the flow's next packet with this payload.
func (f *flow) next(payload []byte) []byte {
	be := binary.BigEndian
	var upper []byte
	field := 6
	if f.protocol == ProtocolTCP {
		field = 16
		upper = be.AppendUint16(be.AppendUint16(nil, f.sport), f.dport)
		upper = be.AppendUint32(be.AppendUint32(upper, f.seq), f.ack)
		upper = append(upper, byte(tcpLen+len(f.options))<<2, f.flags)
		upper = be.AppendUint16(upper, f.window)
		upper = append(upper, 0, 0, 0, 0)
		upper = append(upper, f.options...)
		f.seq += uint32(len(payload))
	} else {
		upper = be.AppendUint16(be.AppendUint16(nil, f.sport), f.dport)
		upper = be.AppendUint16(upper, uint16(udpLen+len(payload)))
		upper = append(upper, 0, 0)
	}
	upper = append(upper, payload...)
	if f.protocol == ProtocolTCP || !f.noChecksum {
		ps := append(f.src.AsSlice(), f.dst.AsSlice()...)
		ps = append(ps, 0, 0, byte(len(upper)>>8), byte(len(upper)), 0, 0, 0, f.protocol)
		sum := ^naive(upper, uint32(naive(ps, 0)))
		if sum == 0 && f.protocol == ProtocolUDP {
			sum = 0xffff
		}
		be.PutUint16(upper[field:], sum)
	}
	p := f.ip(len(upper))
	f.id++
	return append(p, upper...)
}

// ip returns an IP header for length octets.
func (f *flow) ip(length int) []byte {
	be := binary.BigEndian
	if f.src.Is6() {
		p := be.AppendUint32(nil, 6<<28|uint32(f.tos)<<20|f.label)
		p = be.AppendUint16(p, uint16(length))
		p = append(p, f.protocol, f.ttl)
		return append(append(p, f.src.AsSlice()...), f.dst.AsSlice()...)
	}
	p := []byte{0x45, f.tos}
	p = be.AppendUint16(be.AppendUint16(p, uint16(header4Len+length)), f.id)
	var flags uint16
	if f.df {
		flags = flagDF
	}
	p = append(be.AppendUint16(p, flags), f.ttl, f.protocol, 0, 0)
	p = append(append(p, f.src.AsSlice()...), f.dst.AsSlice()...)
	fixIP4(p)
	return p
}

// fixIP4 makes the header checksum of packet right.
func fixIP4(packet []byte) {
	clear(packet[10:12])
	binary.BigEndian.PutUint16(packet[10:], ^naive(packet[:int(packet[0]&0xf)*4], 0))
}

// fixUpper makes the TCP or UDP checksum of a plain packet right.
func fixUpper(packet []byte) {
	start, addresses, protocol := int(packet[0]&0xf)*4, []byte(nil), packet[9]
	if packet[0]>>4 == 4 {
		addresses = packet[12:20]
	} else {
		start, addresses, protocol = header6Len, packet[8:40], packet[6]
	}
	ps := append([]byte(nil), addresses...)
	upper := packet[start:]
	field := 16
	if protocol == ProtocolUDP {
		field = 6
	}
	clear(upper[field : field+2])
	ps = append(ps, 0, 0, byte(len(upper)>>8), byte(len(upper)), 0, 0, 0, protocol)
	sum := ^naive(upper, uint32(naive(ps, 0)))
	if sum == 0 && protocol == ProtocolUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(upper[field:], sum)
}

// octets returns n octets that no other seed has.
func octets(n, seed int) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 12345
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// mustParse is Parse of what the tests made.
func mustParse(packet []byte) *Header {
	h, err := Parse(packet)
	if err != nil {
		panic(err)
	}
	return &h
}

var everything = Offloads{TSO4: true, TSO6: true, USO: true}

// joined returns the parts of a super packet as one.
func joined(parts [][]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// cut returns the packets of a super packet.
func cut(g GSO, packet []byte) ([][]byte, error) {
	var s Splitter
	if err := s.Begin(g, packet); err != nil {
		return nil, err
	}
	var all [][]byte
	for n := s.Next(); n > 0; n = s.Next() {
		b := make([]byte, n)
		s.Put(b)
		all = append(all, b)
	}
	return all, nil
}
