package l2tp

import "encoding/binary"

// parse3 reads a header of version 3, whose first word is flags. "Note that the
// initial bits 1, 4, 6, and 7 have meaning in L2TPv2 [RFC2661], and are deprecated and
// marked as reserved in L2TPv3", RFC 3931 section 4.1.2.1, of data messages; of
// control messages that goes for 6 and 7.
func (h Header) parse3(b []byte, flags uint16) (Header, []byte, error) {
	if !h.Control {
		if len(b) < sessionHeaderLen(false) {
			return h, nil, ErrShortHeader
		}
		h.SessionID = binary.BigEndian.Uint32(b[4:])
		return h, b[sessionHeaderLen(false):], nil
	}
	// "The L and S bits MUST be set to 1, indicating that the Length field and
	// sequence numbers are present."
	h.HasLength, h.HasSequence = flags&bitL != 0, flags&bitS != 0
	switch {
	case !h.HasLength || !h.HasSequence:
		return h, nil, ErrControlBits
	case len(b) < ControlHeaderLen:
		return h, nil, ErrShortHeader
	}
	h.Length = binary.BigEndian.Uint16(b[2:])
	// "The Length field indicates the total length of the message in octets, always
	// calculated from the start of the control message header itself".
	switch {
	case int(h.Length) > len(b):
		return h, nil, ErrLengthTooLong
	case h.Length < ControlHeaderLen:
		return h, nil, ErrLengthTooShort
	}
	h.TunnelID = binary.BigEndian.Uint32(b[4:])
	h.Ns = binary.BigEndian.Uint16(b[8:])
	h.Nr = binary.BigEndian.Uint16(b[10:])
	return h, b[ControlHeaderLen:h.Length], nil
}

// append3 writes a header of version 3. "All reserved bits MUST be set to 0 on outgoing
// messages".
func (h Header) append3(dst []byte) []byte {
	if !h.Control {
		dst = binary.BigEndian.AppendUint32(dst, Version3<<16)
		return binary.BigEndian.AppendUint32(dst, h.SessionID)
	}
	dst = binary.BigEndian.AppendUint16(dst, bitT|bitL|bitS|Version3)
	dst = binary.BigEndian.AppendUint16(dst, h.Length)
	dst = binary.BigEndian.AppendUint32(dst, h.TunnelID)
	dst = binary.BigEndian.AppendUint16(dst, h.Ns)
	return binary.BigEndian.AppendUint16(dst, h.Nr)
}

// AppendControl3 writes a whole control message of version 3 to dst: the header, with
// its Length, and the payload, which is empty for a ZLB. The payload must leave room
// for the header in 65,535 octets; AppendMessage sees to that. Over IP,
// AppendIPControl puts what precedes it before it.
func AppendControl3(dst []byte, controlConnectionID uint32, ns, nr uint16, payload []byte) []byte {
	h := Header{
		Control:  true,
		Version:  Version3,
		Length:   uint16(ControlHeaderLen + len(payload)),
		TunnelID: controlConnectionID,
		Ns:       ns,
		Nr:       nr,
	}
	return append(h.Append(dst), payload...)
}

// peek3 is Peek of version 3.
func peek3(b []byte, control bool) (isControl bool, version uint8, tunnelID, sessionID uint32, ok bool) {
	if len(b) < 8 {
		return control, Version3, 0, 0, false
	}
	id := binary.BigEndian.Uint32(b[4:])
	if control {
		return control, Version3, id, 0, true
	}
	return control, Version3, 0, id, true
}
