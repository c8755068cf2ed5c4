package l2tp

import "encoding/binary"

// DataHeaderLen is the number of octets PutDataHeader writes for h.
func DataHeaderLen(h *Header) int {
	if h.Version == Version3 {
		return sessionHeaderLen(false)
	}
	n := 6
	if h.HasLength {
		n += 2
	}
	if h.HasSequence {
		n += 4
	}
	if h.HasOffset {
		n += 2 + int(h.Offset)
	}
	return n
}

// PutDataHeader writes the header of a data message over the first
// DataHeaderLen(h) octets of b, which is the whole message: room for the header
// with the frame already in place behind it. The Length field, if h has one,
// is the length of b. It returns how many octets it wrote, or 0 if b is too
// short for the header or, with a Length field, longer than 65,535 octets. It
// allocates nothing.
func PutDataHeader(b []byte, h *Header) int {
	n := DataHeaderLen(h)
	if len(b) < n || h.HasLength && len(b) > 0xffff {
		return 0
	}
	if h.Version == Version3 {
		return PutDataHeader3(b, &DataHeader3{SessionID: h.SessionID})
	}
	flags := uint16(Version)
	pos := 2
	if h.HasLength {
		flags |= bitL
		binary.BigEndian.PutUint16(b[pos:], uint16(len(b)))
		pos += 2
	}
	if h.Priority {
		flags |= bitP
	}
	binary.BigEndian.PutUint16(b[pos:], uint16(h.TunnelID))
	binary.BigEndian.PutUint16(b[pos+2:], uint16(h.SessionID))
	pos += 4
	if h.HasSequence {
		flags |= bitS
		binary.BigEndian.PutUint16(b[pos:], h.Ns)
		// "In data messages, Nr is reserved": a reserved field is sent as 0.
		binary.BigEndian.PutUint16(b[pos+2:], 0)
		pos += 4
	}
	if h.HasOffset {
		flags |= bitO
		binary.BigEndian.PutUint16(b[pos:], h.Offset)
		clear(b[pos+2 : n])
	}
	binary.BigEndian.PutUint16(b, flags)
	return n
}

// Peek looks at a datagram just far enough to route it. A control message of version
// 3 has a tunnelID (the Control Connection ID) alone, a data message of it a
// sessionID alone. Of other versions than 2 and 3 only control and version are told,
// and the IDs are 0. ok is false if the datagram ends before what was asked for. The
// rest of the header is not checked: ParseHeader does that.
func Peek(b []byte) (control bool, version uint8, tunnelID, sessionID uint32, ok bool) {
	if len(b) < 2 {
		return false, 0, 0, 0, false
	}
	control = b[0]&(bitT>>8) != 0
	version = b[1] & maskVersion
	if version == Version3 {
		return peek3(b, control)
	}
	if version != Version {
		return control, version, 0, 0, true
	}
	pos := 2
	if b[0]&(bitL>>8) != 0 {
		pos = 4
	}
	if len(b) < pos+4 {
		return control, version, 0, 0, false
	}
	tunnelID = uint32(binary.BigEndian.Uint16(b[pos:]))
	sessionID = uint32(binary.BigEndian.Uint16(b[pos+2:]))
	return control, version, tunnelID, sessionID, true
}
