package l2tp

import (
	"encoding/binary"
	"errors"
)

// Errors of ParseDataHeader3, besides ErrShortHeader and VersionError.
var (
	// ErrNotData is a control message: the T bit over UDP, Session ID 0 over IP.
	ErrNotData = errors.New("l2tp: control message in the place of a data message")
	// ErrSublayer is an L2-Specific Sublayer of unknown form.
	ErrSublayer = errors.New("l2tp: unknown L2-Specific Sublayer")
	// ErrCookieLength is a Cookie that is not of 0, 4 or 8 octets.
	ErrCookieLength = errors.New("l2tp: a Cookie has 0, 4 or 8 octets")
)

const (
	// sessionIDLen is the length of a Session ID of version 3, and of the zeros in
	// its place before a control message over IP.
	sessionIDLen = 4
	// sublayerLen is the length of both known sublayers.
	sublayerLen = 4
	// sublayerBitS says that the sequence number is valid.
	sublayerBitS = 0x40
	// MaxSequence3 is the highest of the 2^24 sequence numbers of version 3.
	MaxSequence3 = 1<<24 - 1
)

// DataHeader3 is what precedes the frame in a data message of version 3: the session
// header, RFC 3931 sections 4.1.1.1 and 4.1.2.1, and the L2-Specific Sublayer, section
// 4.6 and RFC 4454 section 4.1.
type DataHeader3 struct {
	SessionID uint32 // the recipient's; not 0
	Cookie    []byte // 0, 4 or 8 octets, those that the recipient assigned
	// Sublayer is what the recipient asked for.
	Sublayer    SublayerType
	HasSequence bool   // S: the sequence number is valid
	Sequence    uint32 // 0 to MaxSequence3, if HasSequence
	// Flags is the first octet of the sublayer but for the S bit: for SublayerATM the
	// bits B, E, T, G, C and U, otherwise reserved and 0.
	Flags uint8
	IP    bool // directly over IP (protocol 115) rather than UDP
}

// sublayerSize is how many octets a sublayer has; false: it is not known.
func sublayerSize(s SublayerType) (int, bool) {
	switch s {
	case SublayerNone:
		return 0, true
	case SublayerDefault, SublayerATM:
		return sublayerLen, true
	}
	return 0, false
}

// sessionHeaderLen is the length of the session header without the cookie.
func sessionHeaderLen(ip bool) int {
	if ip {
		return sessionIDLen
	}
	return 4 + sessionIDLen
}

// CookieLengthOK says whether a Cookie can have n octets: 0, which is none, 4 or 8. RFC 3931
// section 5.4.4: "The Assigned Cookie is a 4-octet or 8-octet random value."
func CookieLengthOK(n int) bool { return n == 0 || n == 4 || n == 8 }

// DataHeader3Len is the number of octets that PutDataHeader3 writes for h.
func DataHeader3Len(h *DataHeader3) int {
	n, _ := sublayerSize(h.Sublayer)
	return sessionHeaderLen(h.IP) + len(h.Cookie) + n
}

// PutDataHeader3 writes h over the first DataHeader3Len(h) octets of b, the room before
// the frame. It returns how many octets it wrote, or 0 if b is too short, the Cookie
// has a wrong length, or the sublayer is not known. It allocates nothing.
func PutDataHeader3(b []byte, h *DataHeader3) int {
	sub, ok := sublayerSize(h.Sublayer)
	n := sessionHeaderLen(h.IP) + len(h.Cookie) + sub
	if !ok || !CookieLengthOK(len(h.Cookie)) || len(b) < n {
		return 0
	}
	pos := 0
	if !h.IP {
		// "The T bit MUST be set to 0", "The Ver field MUST be set to 3", and 16
		// reserved bits.
		binary.BigEndian.PutUint32(b, Version3<<16)
		pos = 4
	}
	binary.BigEndian.PutUint32(b[pos:], h.SessionID)
	pos += sessionIDLen
	pos += copy(b[pos:], h.Cookie)
	if sub == 0 {
		return n
	}
	var word uint32
	if h.Sublayer == SublayerATM {
		word = uint32(h.Flags&^(sublayerBitS|0x80)) << 24
	}
	if h.HasSequence {
		word |= sublayerBitS<<24 | h.Sequence&MaxSequence3
	}
	binary.BigEndian.PutUint32(b[pos:], word)
	return n
}

// ParseDataHeader3 reads the header of a data message, whose session was found by its
// Session ID (see Peek and PeekIP): "The Session ID alone provides the necessary
// context for all further packet processing, including the presence, size, and value
// of the Cookie, the type of L2-Specific Sublayer, and the type of payload being
// tunneled." cookieLen and sublayer are what we asked the peer for. The Cookie and the
// frame are parts of packet; comparing the Cookie is the caller's. It allocates nothing.
//
// The errors are the sentinels above, ErrShortHeader and VersionError.
func ParseDataHeader3(packet []byte, ip bool, cookieLen int, sublayer SublayerType) (h DataHeader3, frame []byte, err error) {
	sub, ok := sublayerSize(sublayer)
	if !ok {
		return h, nil, ErrSublayer
	}
	if !CookieLengthOK(cookieLen) {
		return h, nil, ErrCookieLength
	}
	pos := sessionHeaderLen(ip)
	if len(packet) < pos+cookieLen+sub {
		return h, nil, ErrShortHeader
	}
	if !ip {
		// "The x bits and Reserved field are reserved for future extensions. All
		// reserved values MUST be set to 0 on outgoing messages and ignored on
		// incoming messages."
		if version := packet[1] & maskVersion; version != Version3 {
			return h, nil, VersionError(version)
		}
		if packet[0]&(bitT>>8) != 0 {
			return h, nil, ErrNotData
		}
	}
	h.IP, h.Sublayer = ip, sublayer
	h.SessionID = binary.BigEndian.Uint32(packet[pos-sessionIDLen:])
	// "The Session ID of zero is reserved for use by L2TP control messages".
	if ip && h.SessionID == 0 {
		return h, nil, ErrNotData
	}
	if cookieLen != 0 {
		h.Cookie = packet[pos : pos+cookieLen]
		pos += cookieLen
	}
	if sub != 0 {
		h.parseSublayer(binary.BigEndian.Uint32(packet[pos:]))
		pos += sub
	}
	return h, packet[pos:], nil
}

// parseSublayer reads the sublayer of either kind.
func (h *DataHeader3) parseSublayer(word uint32) {
	flags := uint8(word >> 24)
	if h.Sublayer == SublayerATM {
		h.Flags = flags &^ (sublayerBitS | 0x80)
	}
	// "If the S bit is set to zero, the Sequence Number contents are undefined and
	// MUST be ignored by the receiver."
	if flags&sublayerBitS != 0 {
		h.HasSequence, h.Sequence = true, word&MaxSequence3
	}
}

// PeekIP looks at a packet of IP protocol 115 just far enough to route it: a data
// message has a Session ID. Otherwise "L2TP over IP uses the reserved Session ID of
// zero (0) when sending control messages" (RFC 3931 section 4.1.1.2), and message is
// the control message from its header on. ok is false if the packet ends before that.
func PeekIP(packet []byte) (sessionID uint32, message []byte, ok bool) {
	if len(packet) < sessionIDLen {
		return 0, nil, false
	}
	sessionID = binary.BigEndian.Uint32(packet)
	if sessionID == 0 {
		message = packet[sessionIDLen:]
	}
	return sessionID, message, true
}

// AppendIPControl writes a control message of version 3 as it goes over IP: after 32
// bits of zeros. "Note that the Length field is still calculated from the beginning of
// the control message header, beginning with the T bit. It does NOT include the '(32
// bits of zeros)'", and neither do the digests.
func AppendIPControl(dst, message []byte) []byte {
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, message...)
}
