package ip

import (
	"encoding/binary"
	"errors"
)

// ErrGSO: the description of a super packet does not fit the packet.
var ErrGSO = errors.New("ip: GSO description does not fit the packet")

// Splitter cuts a super packet into its packets, which it writes one by one
// where the caller wants them, with all checksums complete. Use:
//
//	if err := s.Begin(g, packet); err != nil {
//		// count it, drop it
//	}
//	for n := s.Next(); n > 0; n = s.Next() {
//		if room := somewhere(n); room != nil {
//			s.Put(room)
//		}
//	}
//
// A Splitter may be used again and again, and by one goroutine at a time.
type Splitter struct {
	packet  []byte
	kind    GSOType
	version uint8
	flags   uint8 // TCP: of the super packet
	partial bool  // a single packet whose checksum is to be completed
	id      uint16
	prefix  int // octets before the IP header
	start   int // octets before the upper-layer header
	field   int // octets before the checksum field
	header  int // octets before the payload
	size    int // octets of payload in a segment
	at, end int // the segment of now: octets of packet
	index   int
	seq     uint32
	ipSum   uint64 // of what all segments have alike in the IPv4 header
	sum     uint64 // and in pseudo-header and upper-layer header
}

// Begin takes a packet, of which g is the description. The packet must stay as
// it is until the last Put. Little of what the kernel says is taken on trust:
// the error is ErrGSO if g contradicts the packet, and what Parse returns if
// its headers are bad. A packet that is not to be cut, and has its checksum, is
// not looked into at all.
func (s *Splitter) Begin(g GSO, packet []byte) error { return s.BeginFrame(g, packet, 0) }

// BeginFrame is Begin for a packet after prefix octets of a frame, which each of the
// frames that come of it begins with. The frame may be of something else than IP if
// it is not to be cut.
func (s *Splitter) BeginFrame(g GSO, packet []byte, prefix int) error {
	*s = Splitter{}
	if len(packet) == 0 || uint(prefix) > uint(len(packet)) {
		return ErrTruncated
	}
	s.prefix = prefix
	if g.Type != GSONone {
		return s.beginSuper(g, packet)
	}
	if g.NeedsChecksum {
		start, field := int(g.ChecksumStart), int(g.ChecksumStart)+int(g.ChecksumOffset)
		if start < prefix+header4Len || field+2 > len(packet) {
			return ErrGSO
		}
		s.partial, s.start, s.field = true, start, field
	}
	s.packet = packet
	s.size = len(packet)
	return nil
}

// beginSuper checks a super packet, and sums what its segments have alike.
func (s *Splitter) beginSuper(g GSO, packet []byte) error {
	if s.prefix > MaxPrefix {
		return ErrGSO
	}
	h, err := Parse(packet[s.prefix:])
	if err != nil {
		return err
	}
	packet = packet[:s.prefix+h.Length]
	s.kind, s.version, s.start = g.Type, h.Version, s.prefix+h.HeaderLen
	upper := packet[s.start:]
	protocol, size, field := uint8(ProtocolTCP), tcpLen, 16
	switch g.Type {
	case GSOTCPv4, GSOTCPv6:
		if g.Type == GSOTCPv4 && h.Version != 4 || g.Type == GSOTCPv6 && h.Version != 6 {
			return ErrGSO
		}
		if len(upper) < tcpLen {
			return ErrTruncated
		}
		size = int(upper[12]>>4) * 4
	case GSOUDP:
		protocol, size, field = ProtocolUDP, udpLen, 6
	case GSONone: // Begin has seen to those
		fallthrough
	default:
		return ErrGSO
	}
	s.header = s.start + size
	s.field = s.start + field
	switch {
	case h.Protocol != protocol, h.Fragment, g.SegmentSize == 0, g.Type != GSOUDP && size < tcpLen,
		g.NeedsChecksum && (int(g.ChecksumStart) != s.start || int(g.ChecksumOffset) != field):
		return ErrGSO
	case s.header > len(packet):
		return ErrTruncated
	case s.header-s.prefix+min(int(g.SegmentSize), len(packet)-s.header) > MaxLength:
		return ErrGSO
	}
	s.size = int(g.SegmentSize)
	s.packet = packet
	s.end = s.header
	s.sumAlike(protocol)
	return nil
}

// sumAlike sums the headers without the fields that differ between segments.
func (s *Splitter) sumAlike(protocol uint8) {
	var header [60]byte
	if s.version == 4 {
		ip := header[:copy(header[:], s.packet[s.prefix:s.start])]
		s.id = binary.BigEndian.Uint16(ip[4:])
		clear(ip[2:6])   // Total Length, Identification
		clear(ip[10:12]) // Header Checksum
		s.ipSum = Sum(ip, 0)
	}
	upper := header[:copy(header[:], s.packet[s.start:s.header])]
	if protocol == ProtocolTCP {
		s.seq = binary.BigEndian.Uint32(upper[4:])
		s.flags = upper[13]
		clear(upper[4:8])
		upper[13] = 0
		clear(upper[16:18])
	} else {
		clear(upper[4:8]) // Length, Checksum
	}
	s.sum = Sum(upper, pseudo(s.packet[s.prefix:], s.version, protocol))
}

// Next goes on to the next segment and returns its octets, headers and payload:
// 1 to 65,535, and the prefix. (A packet that is not to be cut has those it has.) 0: there are
// no more.
func (s *Splitter) Next() int {
	if s.packet == nil || s.end == len(s.packet) && s.index > 0 {
		s.packet = nil
		return 0
	}
	s.at = s.end
	s.end = min(s.at+s.size, len(s.packet))
	s.index++
	return s.header + s.end - s.at
}

// Put writes the segment whose octets Next returned to the start of dst and
// returns its octets, or 0 if dst is shorter or Next did not announce one. It
// may be called as often as wanted.
func (s *Splitter) Put(dst []byte) int {
	n := s.header + s.end - s.at
	if s.index == 0 || s.packet == nil || len(dst) < n {
		return 0
	}
	dst = dst[:n]
	if s.kind == GSONone {
		copy(dst, s.packet)
		if s.partial {
			s.complete(dst)
		}
		return n
	}
	be := binary.BigEndian
	header := dst[:copy(dst, s.packet[:s.header])]
	nth := s.index - 1
	if ip, octets := header[s.prefix:], n-s.prefix; s.version == 4 {
		id := s.id + uint16(nth)
		be.PutUint16(ip[2:], uint16(octets))
		be.PutUint16(ip[4:], id)
		be.PutUint16(ip[10:], ^Fold(s.ipSum+uint64(octets)+uint64(id)))
	} else {
		be.PutUint16(ip[4:], uint16(octets-header6Len))
	}
	length := n - s.start
	// Summed, then copied: one loop that does both in Go is no faster, since the
	// sum's carries take as long as both.
	payload := s.packet[s.at:s.end]
	sum := Sum(payload, s.sum+uint64(length))
	copy(dst[s.header:], payload)
	upper := header[s.start:]
	if s.kind == GSOUDP {
		be.PutUint16(upper[4:], uint16(length))
		be.PutUint16(header[s.field:], udpChecksum(sum+uint64(length)))
		return n
	}
	seq := s.seq + uint32(s.at-s.header)
	flags := s.flags
	if s.end != len(s.packet) {
		flags &^= tcpFIN | tcpPSH
	}
	if nth > 0 {
		flags &^= tcpCWR
	}
	be.PutUint32(upper[4:], seq)
	upper[13] = flags
	be.PutUint16(header[s.field:], ^Fold(sum+uint64(seq)+uint64(flags)))
	return n
}

// complete sums what the kernel left out of the checksum of packet. The field
// has the sum of the pseudo-header and is summed with the rest.
func (s *Splitter) complete(packet []byte) {
	sum := Sum(packet[s.start:], 0)
	field := packet[s.field:]
	if s.field-s.start == 6 {
		binary.BigEndian.PutUint16(field, udpChecksum(sum))
		return
	}
	binary.BigEndian.PutUint16(field, ^Fold(sum))
}

// udpChecksum: "If the computed checksum is zero, it is transmitted as all ones"
// (RFC 768).
func udpChecksum(sum uint64) uint16 {
	if c := ^Fold(sum); c != 0 {
		return c
	}
	return 0xffff
}
