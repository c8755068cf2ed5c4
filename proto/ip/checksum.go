package ip

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// The Internet checksum. RFC 1071 section 2: the sum does not depend on the
// order of the octets within a word ("byte order independence"), so that sums
// are made over 64-bit words as the machine likes to load them, with their
// carries, and turned round once at the end.

// Sum adds the octets of b, as 16-bit words in network order, to the one's
// complement sum initial, and returns a sum that Fold makes 16 bits of, or that
// is the initial one of what follows. Only the last of several parts may have
// an odd number of octets: "the last byte is padded with zero". initial must be
// less than 2^63; a result is less than initial + 2^16.
func Sum(b []byte, initial uint64) uint64 {
	return initial + uint64(bits.ReverseBytes16(Fold(sumWords(b))))
}

// Fold returns sum as 16 bits, its carries added in.
func Fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum)
}

// Checksum returns what belongs in the checksum field of b when that field is 0
// and initial is the sum of the pseudo-header, or 0: "the one's complement of
// the one's complement sum".
func Checksum(b []byte, initial uint64) uint16 { return ^Fold(Sum(b, initial)) }

// PseudoHeader returns the sum of the pseudo-header of RFC 9293 section 3.1
// (IPv4) or RFC 8200 section 8.1 (IPv6): both addresses, the upper-layer
// protocol, and length, the octets of upper-layer header and data.
func PseudoHeader(src, dst netip.Addr, protocol uint8, length int) uint64 {
	sum := uint64(protocol) + uint64(length)
	if src.Is4() {
		a, b := src.As4(), dst.As4()
		return Sum(b[:], Sum(a[:], sum))
	}
	a, b := src.As16(), dst.As16()
	return Sum(b[:], Sum(a[:], sum))
}

// pseudo is PseudoHeader with the addresses still in the header of packet, and
// without the length.
func pseudo(packet []byte, version, protocol uint8) uint64 {
	if version == 4 {
		return Sum(packet[12:20], uint64(protocol))
	}
	return Sum(packet[8:40], uint64(protocol))
}

// sumWords is the sum of b in 64-bit words, the first octet lowest.
func sumWords(b []byte) uint64 {
	le := binary.LittleEndian
	var s, c uint64
	for len(b) >= 128 {
		p := (*[128]byte)(b)
		s, c = bits.Add64(s, le.Uint64(p[0:]), c)
		s, c = bits.Add64(s, le.Uint64(p[8:]), c)
		s, c = bits.Add64(s, le.Uint64(p[16:]), c)
		s, c = bits.Add64(s, le.Uint64(p[24:]), c)
		s, c = bits.Add64(s, le.Uint64(p[32:]), c)
		s, c = bits.Add64(s, le.Uint64(p[40:]), c)
		s, c = bits.Add64(s, le.Uint64(p[48:]), c)
		s, c = bits.Add64(s, le.Uint64(p[56:]), c)
		s, c = bits.Add64(s, le.Uint64(p[64:]), c)
		s, c = bits.Add64(s, le.Uint64(p[72:]), c)
		s, c = bits.Add64(s, le.Uint64(p[80:]), c)
		s, c = bits.Add64(s, le.Uint64(p[88:]), c)
		s, c = bits.Add64(s, le.Uint64(p[96:]), c)
		s, c = bits.Add64(s, le.Uint64(p[104:]), c)
		s, c = bits.Add64(s, le.Uint64(p[112:]), c)
		s, c = bits.Add64(s, le.Uint64(p[120:]), c)
		b = b[128:]
	}
	return sumTail(b, s, c)
}

// sumTail adds what is left of b, fewer than 128 octets, and the carry.
func sumTail(b []byte, s, c uint64) uint64 {
	le := binary.LittleEndian
	if len(b) >= 64 {
		p := (*[64]byte)(b)
		s, c = bits.Add64(s, le.Uint64(p[0:]), c)
		s, c = bits.Add64(s, le.Uint64(p[8:]), c)
		s, c = bits.Add64(s, le.Uint64(p[16:]), c)
		s, c = bits.Add64(s, le.Uint64(p[24:]), c)
		s, c = bits.Add64(s, le.Uint64(p[32:]), c)
		s, c = bits.Add64(s, le.Uint64(p[40:]), c)
		s, c = bits.Add64(s, le.Uint64(p[48:]), c)
		s, c = bits.Add64(s, le.Uint64(p[56:]), c)
		b = b[64:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, le.Uint64(b), c)
		b = b[8:]
	}
	var last uint64 // fewer than 8 octets, the rest zero
	if len(b) >= 4 {
		last = uint64(le.Uint32(b))
		b = b[4:]
		switch len(b) {
		case 3:
			last |= uint64(b[2])<<48 | uint64(le.Uint16(b))<<32
		case 2:
			last |= uint64(le.Uint16(b)) << 32
		case 1:
			last |= uint64(b[0]) << 32
		}
	} else {
		switch len(b) {
		case 3:
			last = uint64(b[2])<<16 | uint64(le.Uint16(b))
		case 2:
			last = uint64(le.Uint16(b))
		case 1:
			last = uint64(b[0])
		}
	}
	s, c = bits.Add64(s, last, c)
	s, c = bits.Add64(s, 0, c)
	return s + c
}

// updateChecksum is the checksum field after a word of what it covers went from
// before to after. RFC 1624 section 3: "HC' = ~(~HC + ~m + m')".
func updateChecksum(field, before, after uint16) uint16 {
	return ^Fold(uint64(^field) + uint64(^before) + uint64(after))
}
