package ip

import (
	"bytes"
	"encoding/binary"
)

// MaxSegments is how many packets a super packet has at most: what the kernel
// lets a sender ask for (its UDP_MAX_SEGMENTS).
const MaxSegments = 128

// MaxPrefix is the longest header of a link that a super packet may have in front, in
// octets: Ethernet's with two tags.
const MaxPrefix = 22

// maxSuperHeader holds the longest header of a super packet: that of the link, IPv6
// without extension headers, TCP with 40 octets of options.
const maxSuperHeader = MaxPrefix + header6Len + tcpLen + 40

// Flags of TCP, RFC 9293 section 3.1, in the octet at 13.
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpCWR = 0x80
)

// Super gathers packets of one flow, in the order in which they came, into one
// super packet that the kernel or Splitter cuts into the same packets again. It
// copies no payload: it holds slices of the packets, which must stay as they
// are until the super packet has been written. A Super may be used again and
// again, and by one goroutine at a time.
//
// What cutting gives back is what was gathered, octet for octet, but for the
// Identification of IPv4 packets that may not be fragmented. The kernel counts
// it up from the first packet's. So packets without DF are joined only if their
// Identifications count up too; with DF they need not: "All devices that
// examine IPv4 headers MUST ignore the IPv4 ID field of atomic datagrams." (RFC
// 6864 section 4.1)
//
// Checksums are verified before packets are joined, since the kernel makes new
// ones: a packet with a wrong one would be repaired unseen. One with a wrong or
// no checksum stays alone, as it is.
//
// The packets may each be in a frame, with the same header of the link in front: its
// octets are the prefix, of which only equality is asked.
type Super struct {
	parts  [1 + MaxSegments][]byte // header, then the payloads
	header [maxSuperHeader]byte    // of the finished super packet

	frame    []byte // the first frame
	first    []byte // the packet in it: what the others must be like
	prefix   int    // octets of the frame before the packet
	segments int
	ipLen    int    // octets of the IP header
	allLen   int    // and of the TCP or UDP header
	size     int    // octets of payload of the first packet
	total    int    // octets of the super packet without the prefix
	pseudo   uint64 // sum of addresses and protocol
	next     uint32 // TCP: sequence number after the last
	id       uint16 // IPv4: Identification of the last
	version  uint8
	protocol uint8
	closed   bool // no packet may be added
	verified bool // the first packet's checksums are right
	push     bool // TCP: the last packet has PSH
}

// Reset forgets the packets. Start does it too.
func (s *Super) Reset() { s.segments, s.frame, s.first, s.closed = 0, nil, nil, true }

// Segments returns how many packets have been gathered.
func (s *Super) Segments() int { return s.segments }

// Start begins with packet, of which h is the header. It reports whether others
// can join it: data of TCP with no flag but ACK, or of UDP, with a checksum; no
// fragment, IPv4 options, extension headers, nor PSH (which ends a burst); and
// of a kind that o has. If not, the packet stays alone, and Add refuses all.
func (s *Super) Start(packet []byte, h *Header, o Offloads) bool {
	if uint(h.Length) < uint(len(packet)) {
		packet = packet[:h.Length]
	}
	return s.StartFrame(packet, 0, h, o)
}

// StartAlone begins with a frame that nothing can join, whatever is in it.
func (s *Super) StartAlone(frame []byte) {
	s.Reset()
	s.frame, s.segments = frame, 1
}

// StartFrame is Start for a packet after prefix octets of a frame. A frame goes with
// the padding it has, and one that has some stays alone.
func (s *Super) StartFrame(frame []byte, prefix int, h *Header, o Offloads) bool {
	s.StartAlone(frame)
	if uint(prefix) > MaxPrefix || prefix > len(frame) || len(frame) > MaxLength {
		return false
	}
	packet := frame[prefix:]
	s.first, s.prefix = packet, prefix
	s.total = len(packet)
	if h.Fragment || h.Length != len(packet) || h.HeaderLen > len(packet) || !s.startIP(packet, h) {
		return false
	}
	upper := packet[s.ipLen:]
	switch {
	case s.protocol == ProtocolUDP && o.USO:
		if !startsUDP(upper) {
			return false
		}
		s.allLen = s.ipLen + udpLen
	case s.protocol == ProtocolTCP && (s.version == 4 && o.TSO4 || s.version == 6 && o.TSO6):
		if len(upper) < tcpLen || upper[13] != tcpACK || upper[12]&0xf != 0 {
			return false
		}
		offset := int(upper[12]>>4) * 4
		if offset < tcpLen {
			return false
		}
		s.allLen = s.ipLen + offset
		s.next = binary.BigEndian.Uint32(upper[4:])
	default:
		return false
	}
	s.size = len(packet) - s.allLen
	if s.size <= 0 {
		return false
	}
	s.next += uint32(s.size)
	s.verified, s.push, s.closed = false, false, false
	return true
}

// startIP notes the IP header of the first packet, if it is of a plain kind.
func (s *Super) startIP(packet []byte, h *Header) bool {
	if len(packet) < header4Len {
		return false
	}
	switch {
	case h.Version == 4 && packet[0] == 0x45 && h.HeaderLen == header4Len:
		if binary.BigEndian.Uint16(packet[6:])&^flagDF != 0 {
			return false
		}
		s.ipLen = header4Len
		s.id = binary.BigEndian.Uint16(packet[4:])
		s.protocol = packet[9]
	case h.Version == 6 && packet[0]>>4 == 6 && h.HeaderLen == header6Len && len(packet) >= header6Len:
		s.ipLen = header6Len
		s.protocol = packet[6]
	default:
		return false
	}
	s.version = h.Version
	return true
}

// startsUDP tells of a datagram whether others may join it. RFC 768: "An all
// zero transmitted checksum value means that the transmitter generated no
// checksum".
func startsUDP(upper []byte) bool {
	return len(upper) > udpLen &&
		int(binary.BigEndian.Uint16(upper[4:])) == len(upper) &&
		binary.BigEndian.Uint16(upper[6:]) != 0
}

// Add joins packet, of which h is the header, to those gathered. False: it is
// not the next packet of this flow, or there is no room for it, or a checksum
// is wrong; nothing has changed then but that, if the first packet is the
// broken one, Add refuses all from now on.
func (s *Super) Add(packet []byte, h *Header) bool {
	if s.closed || s.prefix != 0 || uint(h.Length) > uint(len(packet)) {
		return false
	}
	return s.add(packet[:h.Length])
}

// AddFrame is Add for a packet after prefix octets of a frame.
func (s *Super) AddFrame(frame []byte, prefix int, h *Header) bool {
	if s.closed || prefix != s.prefix || len(frame) != prefix+h.Length ||
		!bytes.Equal(frame[:prefix], s.frame[:prefix]) {
		return false
	}
	return s.add(frame[prefix:])
}

// add is for a whole packet.
func (s *Super) add(packet []byte) bool {
	size := len(packet) - s.allLen
	if size <= 0 || size > s.size || s.segments == MaxSegments || s.prefix+s.total+size > MaxLength || !s.sameIP(packet) {
		return false
	}
	upper := packet[s.ipLen:]
	push := false
	if s.protocol == ProtocolTCP {
		if !s.sameTCP(upper) {
			return false
		}
		push = upper[13]&tcpPSH != 0
	} else if !s.sameUDP(upper) {
		return false
	}
	if !s.verified {
		s.pseudo = pseudo(s.first, s.version, s.protocol)
		if !s.verify(s.first) {
			s.closed = true
			return false
		}
		s.verified = true
		s.parts[1] = s.first[s.allLen:]
	}
	if !s.verify(packet) {
		return false
	}
	s.segments++
	s.parts[s.segments] = packet[s.allLen:]
	s.total += size
	s.next += uint32(size)
	s.push = push
	// "Equal sizes except the last": a shorter one is the last.
	s.closed = push || size < s.size
	if s.version == 4 {
		s.id = binary.BigEndian.Uint16(packet[4:])
	}
	return true
}

// sameIP tells whether the IP header of packet goes on from the last one's.
// packet is longer than allLen.
func (s *Super) sameIP(packet []byte) bool {
	le, first := binary.LittleEndian, s.first
	if s.version == 4 {
		p, q := (*[header4Len]byte)(packet), (*[header4Len]byte)(first)
		if le.Uint64(p[12:]) != le.Uint64(q[12:]) || // addresses
			le.Uint32(p[6:]) != le.Uint32(q[6:]) || // flags, offset, TTL, protocol
			le.Uint16(p[0:]) != le.Uint16(q[0:]) { // version, IHL, TOS
			return false
		}
		return p[6]&(flagDF>>8) != 0 || binary.BigEndian.Uint16(p[4:]) == s.id+1
	}
	p, q := (*[header6Len]byte)(packet), (*[header6Len]byte)(first)
	return le.Uint32(p[0:]) == le.Uint32(q[0:]) && // version, class, flow label
		le.Uint16(p[6:]) == le.Uint16(q[6:]) && // next header, hop limit
		le.Uint64(p[8:]) == le.Uint64(q[8:]) && le.Uint64(p[16:]) == le.Uint64(q[16:]) &&
		le.Uint64(p[24:]) == le.Uint64(q[24:]) && le.Uint64(p[32:]) == le.Uint64(q[32:])
}

// sameUDP: equal ports, and a datagram that fills its packet.
func (s *Super) sameUDP(upper []byte) bool {
	q := s.first[s.ipLen:]
	return binary.LittleEndian.Uint32(upper) == binary.LittleEndian.Uint32(q) && startsUDP(upper)
}

// sameTCP: equal ports, Acknowledgment Number, Data Offset, Window, Urgent
// Pointer and options (so an equal timestamp), no flag but ACK and PSH, and the
// octets after the last one's.
func (s *Super) sameTCP(upper []byte) bool {
	le := binary.LittleEndian
	p, q := (*[tcpLen]byte)(upper), (*[tcpLen]byte)(s.first[s.ipLen:])
	return le.Uint32(p[0:]) == le.Uint32(q[0:]) &&
		binary.BigEndian.Uint32(p[4:]) == s.next &&
		le.Uint32(p[8:]) == le.Uint32(q[8:]) &&
		p[12] == q[12] && p[13]&^tcpPSH == tcpACK &&
		le.Uint16(p[14:]) == le.Uint16(q[14:]) &&
		le.Uint16(p[18:]) == le.Uint16(q[18:]) &&
		bytes.Equal(upper[tcpLen:s.allLen-s.ipLen], s.first[s.ipLen+tcpLen:s.allLen])
}

// verify tells whether the length and the checksums of packet are right.
func (s *Super) verify(packet []byte) bool {
	if s.version == 4 && Fold(Sum(packet[:header4Len], 0)) != 0xffff {
		return false
	}
	upper := packet[s.ipLen:]
	return Fold(Sum(upper, s.pseudo+uint64(len(upper)))) == 0xffff
}

// Finish returns what to write: the header and the payloads of the super packet
// and its description, or, of a single packet or frame, that as it came. Nothing
// may be added afterwards; the slices hold until the next Start. Without a
// packet there are none.
func (s *Super) Finish() (GSO, [][]byte) {
	s.closed = true
	if s.segments <= 1 {
		s.parts[0] = s.frame
		return GSO{}, s.parts[:s.segments]
	}
	header := s.header[:s.prefix+s.allLen]
	copy(header, s.frame)
	s.parts[0] = header
	be := binary.BigEndian
	g := GSO{
		SegmentSize:   uint16(s.size),
		HeaderLen:     uint16(len(header)),
		NeedsChecksum: true,
		ChecksumStart: uint16(s.prefix + s.ipLen),
	}
	header = header[s.prefix:]
	if s.version == 4 {
		be.PutUint16(header[2:], uint16(s.total))
		be.PutUint16(header[10:], 0)
		be.PutUint16(header[10:], Checksum(header[:header4Len], 0))
	} else {
		be.PutUint16(header[4:], uint16(s.total-header6Len))
	}
	upper := header[s.ipLen:]
	length := s.total - s.ipLen
	switch {
	case s.protocol == ProtocolUDP:
		g.Type, g.ChecksumOffset = GSOUDP, 6
		be.PutUint16(upper[4:], uint16(length))
	case s.version == 4:
		g.Type, g.ChecksumOffset = GSOTCPv4, 16
	default:
		g.Type, g.ChecksumOffset = GSOTCPv6, 16
	}
	if s.push {
		upper[13] |= tcpPSH
	}
	be.PutUint16(upper[g.ChecksumOffset:], Fold(s.pseudo+uint64(length)))
	return g, s.parts[:1+s.segments]
}
