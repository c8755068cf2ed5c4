package pseudowire

import "encoding/binary"

// Octets of an Ethernet frame, IEEE 802.3 and 802.1Q.
const (
	addressesLen = 12 // destination and source
	headerLen    = 14 // and the type
	tagLen       = 4  // type and tag control information, between the addresses and the type

	typeIPv4 = 0x0800
	typeIPv6 = 0x86dd
	typeVLAN = 0x8100 // customer tag
	typeQinQ = 0x88a8 // service tag

	vlanMask = 0x0fff // of the tag control information; the rest is priority
)

// packetOf is where the IP packet of a frame begins, after two tags at most, and the
// version that the frame's type says it has. Without one, both are 0.
func packetOf(frame []byte) (prefix int, version uint8) {
	for at := addressesLen; at <= addressesLen+2*tagLen && at+2 <= len(frame); at += tagLen {
		switch binary.BigEndian.Uint16(frame[at:]) {
		case typeIPv4:
			return at + 2, 4
		case typeIPv6:
			return at + 2, 6
		case typeVLAN, typeQinQ:
		default:
			return 0, 0
		}
	}
	return 0, 0
}

// popTag takes the tag of a VLAN off a frame, in place. False: it has another, or none.
//
// RFC 4719 section 1.4: "Such functions may include stripping, overwriting, or adding
// VLAN tags."
func popTag(frame []byte, vlan uint16) ([]byte, bool) {
	if len(frame) < headerLen+tagLen || binary.BigEndian.Uint16(frame[addressesLen:]) != typeVLAN ||
		binary.BigEndian.Uint16(frame[addressesLen+2:])&vlanMask != vlan {
		return nil, false
	}
	copy(frame[tagLen:], frame[:addressesLen])
	return frame[tagLen:], true
}

// pushTag gives a frame, which begins tagLen octets into b, a tag with priority 0.
func pushTag(b []byte, vlan uint16) {
	copy(b, b[tagLen:tagLen+addressesLen])
	binary.BigEndian.PutUint16(b[addressesLen:], typeVLAN)
	binary.BigEndian.PutUint16(b[addressesLen+2:], vlan)
}
