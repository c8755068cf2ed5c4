package l2tp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Port is the UDP port of L2TP, RFC 2661 section 8.1.
const Port = 1701

// Version is the value of the Ver field of L2TPv2.
const Version = 2

// ControlHeaderLen is the length of the header of every control message, octets.
const ControlHeaderLen = 12

// plainHeaderLen is that of a data message without optional fields.
const plainHeaderLen = 6

// The bits of the first 16-bit word of the header, RFC 2661 section 3.1.
const (
	bitT        = 0x8000
	bitL        = 0x4000
	bitS        = 0x0800
	bitO        = 0x0200
	bitP        = 0x0100
	maskVersion = 0x000f
)

// VersionError is a packet whose Ver field is not one that was looked for. Its value
// is that field.
type VersionError uint8

// Error implements error.
func (e VersionError) Error() string {
	switch e {
	case 1: // RFC 2341
		return "l2tp: version 1 packet (L2F)"
	case 3:
		return "l2tp: version 3 packet (L2TPv3)"
	}
	return fmt.Sprintf("l2tp: unknown version %d", uint8(e))
}

// Errors of ParseHeader. None of them calls for an answer: RFC 2661 section 7.1
// says that "a control message with a malformed header should be discarded".
var (
	// ErrShortHeader is a datagram that ends within its header.
	ErrShortHeader = errors.New("l2tp: datagram ends within the header")
	// ErrLengthTooLong is a Length field larger than the datagram.
	ErrLengthTooLong = errors.New("l2tp: Length field exceeds the datagram")
	// ErrLengthTooShort is a Length field that does not cover the header.
	ErrLengthTooShort = errors.New("l2tp: Length field does not cover the header")
	// ErrControlBits is a control message without L or S, or with O.
	ErrControlBits = errors.New("l2tp: control message without L or S bit, or with O bit")
	// ErrOffset is an offset that points past the end of the message.
	ErrOffset = errors.New("l2tp: offset padding exceeds the message")
)

// Header is the header of a message of version 2, RFC 2661 section 3.1, or 3, RFC 3931
// sections 3.2.1 and 4.1.2.1: of a control message, or of a data message over UDP up
// to its Session ID.
type Header struct {
	Control     bool // T: a control message; otherwise a data message
	HasLength   bool // L: the Length field is present
	HasSequence bool // S: Ns and Nr are present
	HasOffset   bool // O: the Offset Size field is present; data only
	Priority    bool // P: preferential treatment; data only

	Version uint8 // 2 or 3; 0 is written as 2

	Length uint16 // octets of the whole message, if HasLength
	// TunnelID is the recipient's: the Control Connection ID of version 3, whose data
	// messages have none.
	TunnelID uint32
	// SessionID is the recipient's; 0 on control messages of the tunnel, and on all
	// those of version 3.
	SessionID uint32
	Ns        uint16 // if HasSequence
	Nr        uint16 // if HasSequence; means nothing in data messages
	Offset    uint16 // octets of offset padding, if HasOffset
}

// Len is the number of octets that the header takes on the wire, with its
// offset padding.
func (h *Header) Len() int {
	if h.Control {
		return ControlHeaderLen
	}
	return DataHeaderLen(h)
}

// ParseHeader reads the header at the start of b and returns it with the
// payload that follows: the AVPs of a control message (empty for a ZLB), the
// PPP frame of a data message. The payload is a part of b. Octets past the
// Length field are not part of the message. It allocates nothing.
//
// Of a data message of version 3 the payload is what follows the Session ID; what it
// begins with is the session's to know: see ParseDataHeader3.
//
// Errors are VersionError or one of the sentinels above. With a VersionError
// the header has Control and Version set, and nothing else was looked at.
func ParseHeader(b []byte) (h Header, payload []byte, err error) {
	if len(b) < 2 {
		return h, nil, ErrShortHeader
	}
	flags := binary.BigEndian.Uint16(b)
	if flags == Version && len(b) >= plainHeaderLen {
		// A data message with no optional field, as nearly all are: there is
		// nothing in it that could be wrong.
		h.Version = Version
		h.TunnelID, h.SessionID = uint32(binary.BigEndian.Uint16(b[2:])), uint32(binary.BigEndian.Uint16(b[4:]))
		return h, b[plainHeaderLen:], nil
	}
	h.Control = flags&bitT != 0
	h.Version = uint8(flags & maskVersion)
	// "Packets received with an unknown Ver field MUST be discarded."
	if h.Version == Version3 {
		return h.parse3(b, flags)
	}
	if h.Version != Version {
		return h, nil, VersionError(h.Version)
	}
	// "All reserved bits MUST be set to 0 on outgoing messages and ignored on
	// incoming messages."
	h.HasLength = flags&bitL != 0
	h.HasSequence = flags&bitS != 0
	h.HasOffset = flags&bitO != 0
	// "The P bit MUST be set to 0 for all control messages." It means nothing
	// there, so it is not worth losing a message over.
	h.Priority = flags&bitP != 0 && !h.Control
	if h.Control && (!h.HasLength || !h.HasSequence || h.HasOffset) {
		return h, nil, ErrControlBits
	}
	return h.parseFields(b)
}

// parseFields reads what follows the first two octets.
func (h Header) parseFields(b []byte) (Header, []byte, error) {
	pos := 2
	need := 6
	if h.HasLength {
		need += 2
	}
	if h.HasSequence {
		need += 4
	}
	if h.HasOffset {
		need += 2
	}
	if len(b) < need {
		return h, nil, ErrShortHeader
	}
	if h.HasLength {
		h.Length = binary.BigEndian.Uint16(b[pos:])
		pos += 2
		// "The Length field indicates the total length of the message in octets."
		if int(h.Length) > len(b) {
			return h, nil, ErrLengthTooLong
		}
		if int(h.Length) < need {
			return h, nil, ErrLengthTooShort
		}
		b = b[:h.Length]
	}
	h.TunnelID = uint32(binary.BigEndian.Uint16(b[pos:]))
	h.SessionID = uint32(binary.BigEndian.Uint16(b[pos+2:]))
	pos += 4
	if h.HasSequence {
		h.Ns = binary.BigEndian.Uint16(b[pos:])
		h.Nr = binary.BigEndian.Uint16(b[pos+2:])
		pos += 4
	}
	if h.HasOffset {
		h.Offset = binary.BigEndian.Uint16(b[pos:])
		pos += 2
		// "If the offset field is present, the L2TP header ends after the last
		// octet of the offset padding."
		if int(h.Offset) > len(b)-pos {
			return h, nil, ErrOffset
		}
		pos += int(h.Offset)
	}
	return h, b[pos:], nil
}

// flags is the first word of the header.
func (h *Header) flags() uint16 {
	v := uint16(h.Version) & maskVersion
	if v == 0 {
		v = Version
	}
	if h.Control {
		return v | bitT | bitL | bitS
	}
	if h.HasLength {
		v |= bitL
	}
	if h.HasSequence {
		v |= bitS
	}
	if h.HasOffset {
		v |= bitO
	}
	if h.Priority {
		v |= bitP
	}
	return v
}

// Append writes the header to dst. A control header always has the L and S
// bits and never O or P. The Length field is written as it stands in h:
// AppendControl and PutDataHeader know the length themselves.
func (h Header) Append(dst []byte) []byte {
	if h.Version == Version3 {
		return h.append3(dst)
	}
	dst = binary.BigEndian.AppendUint16(dst, h.flags())
	if h.HasLength || h.Control {
		dst = binary.BigEndian.AppendUint16(dst, h.Length)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.TunnelID))
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.SessionID))
	if h.HasSequence || h.Control {
		dst = binary.BigEndian.AppendUint16(dst, h.Ns)
		dst = binary.BigEndian.AppendUint16(dst, h.Nr)
	}
	if h.HasOffset && !h.Control {
		dst = binary.BigEndian.AppendUint16(dst, h.Offset)
		for range h.Offset {
			dst = append(dst, 0)
		}
	}
	return dst
}

// AppendControl writes a whole control message to dst: the header, with its
// Length, and the payload, which is empty for a ZLB. The payload must leave
// room for the header in 65,535 octets; AppendMessage sees to that.
func AppendControl(dst []byte, tunnelID, sessionID uint32, ns, nr uint16, payload []byte) []byte {
	h := Header{
		Control:   true,
		Length:    uint16(ControlHeaderLen + len(payload)),
		TunnelID:  tunnelID,
		SessionID: sessionID,
		Ns:        ns,
		Nr:        nr,
	}
	return append(h.Append(dst), payload...)
}
