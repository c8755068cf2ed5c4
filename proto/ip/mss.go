package ip

import "encoding/binary"

// ClampMSS lowers the Maximum Segment Size option (RFC 9293 section 3.2) of a
// SYN to what fits into packets of mtu octets without options: mtu less 40 for
// IPv4 and less 60 for IPv6. It reports whether it changed packet, of which h
// is the header. It touches nothing else: no packet but a SYN, no option list
// that is malformed, and it adds no option.
//
// The checksum must be complete: clamp what came out of a Splitter, not what
// went in.
func ClampMSS(packet []byte, h Header, mtu int) bool {
	if h.Protocol != ProtocolTCP {
		return false
	}
	at := h.HeaderLen + 13
	return uint(at) < uint(len(packet)) && packet[at]&tcpSYN != 0 && clampSYN(packet, &h, mtu)
}

// clampSYN is ClampMSS for what may be a SYN.
func clampSYN(packet []byte, h *Header, mtu int) bool {
	limit := mtu - tcpLen - header4Len
	if h.Version == 6 {
		limit = mtu - tcpLen - header6Len
	}
	if h.Offset != 0 || limit <= 0 || h.HeaderLen < 0 || h.Length > len(packet) || h.Length-h.HeaderLen < tcpLen {
		return false
	}
	tcp := packet[h.HeaderLen:h.Length]
	end := int(tcp[12]>>4) * 4
	if end < tcpLen || end > len(tcp) {
		return false
	}
	at := findMSS(tcp[:end])
	if at == 0 {
		return false
	}
	before := binary.BigEndian.Uint16(tcp[at:])
	if int(before) <= limit {
		return false
	}
	after := uint16(limit)
	binary.BigEndian.PutUint16(tcp[at:], after)
	if at&1 != 0 {
		// The option's value lies across two words: each has one octet of it, and
		// the sum does not mind which (RFC 1071 section 2 (B)).
		before, after = before<<8|before>>8, after<<8|after>>8
	}
	sum := binary.BigEndian.Uint16(tcp[16:])
	binary.BigEndian.PutUint16(tcp[16:], updateChecksum(sum, before, after))
	return true
}

// findMSS returns where in the header tcp the value of the MSS option is, or 0
// if there is none or the options are malformed.
func findMSS(tcp []byte) int {
	found := 0
	for at := tcpLen; at < len(tcp); {
		switch tcp[at] {
		case 0: // End of Option List
			return found
		case 1: // No-Operation
			at++
			continue
		}
		if at+1 >= len(tcp) {
			return 0
		}
		size := int(tcp[at+1])
		if size < 2 || at+size > len(tcp) {
			return 0
		}
		if tcp[at] == 2 {
			if size != 4 || found != 0 {
				return 0
			}
			found = at + 2
		}
		at += size
	}
	return found
}
