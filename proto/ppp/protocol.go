package ppp

import (
	"errors"
	"fmt"
)

// Protocol is the value of a frame's Protocol field, RFC 1661 section 2.
type Protocol uint16

// The protocols that a bridge or an endpoint meets.
const (
	ProtocolIPv4       Protocol = 0x0021
	ProtocolIPX        Protocol = 0x002b
	ProtocolVJC        Protocol = 0x002d // RFC 1332: compressed TCP/IP
	ProtocolVJU        Protocol = 0x002f // RFC 1332: uncompressed TCP
	ProtocolBridging   Protocol = 0x0031
	ProtocolMultilink  Protocol = 0x003d // RFC 1990
	ProtocolIPv6       Protocol = 0x0057 // RFC 5072
	ProtocolCompressed Protocol = 0x00fd // RFC 1962, MPPE (RFC 3078)

	ProtocolIPCP   Protocol = 0x8021 // RFC 1332
	ProtocolIPXCP  Protocol = 0x802b
	ProtocolBCP    Protocol = 0x8031
	ProtocolECP    Protocol = 0x8053
	ProtocolIPv6CP Protocol = 0x8057 // RFC 5072
	ProtocolCCP    Protocol = 0x80fd

	ProtocolLCP  Protocol = 0xc021
	ProtocolPAP  Protocol = 0xc023 // RFC 1334
	ProtocolLQR  Protocol = 0xc025
	ProtocolCHAP Protocol = 0xc223 // RFC 1994
	ProtocolEAP  Protocol = 0xc227 // RFC 3748
)

// String returns the protocol's name, or its value in hexadecimal.
func (p Protocol) String() string {
	switch p {
	case ProtocolIPv4:
		return "IP"
	case ProtocolIPX:
		return "IPX"
	case ProtocolVJC:
		return "VJ-Compressed"
	case ProtocolVJU:
		return "VJ-Uncompressed"
	case ProtocolBridging:
		return "Bridging"
	case ProtocolMultilink:
		return "Multilink"
	case ProtocolIPv6:
		return "IPv6"
	case ProtocolCompressed:
		return "Compressed"
	case ProtocolIPCP:
		return "IPCP"
	case ProtocolIPXCP:
		return "IPXCP"
	case ProtocolBCP:
		return "BCP"
	case ProtocolECP:
		return "ECP"
	case ProtocolIPv6CP:
		return "IPv6CP"
	case ProtocolCCP:
		return "CCP"
	case ProtocolLCP:
		return "LCP"
	case ProtocolPAP:
		return "PAP"
	case ProtocolLQR:
		return "LQR"
	case ProtocolCHAP:
		return "CHAP"
	case ProtocolEAP:
		return "EAP"
	}
	return fmt.Sprintf("0x%04x", uint16(p))
}

// IsControl says whether p negotiates or supervises the link (LCP, PAP, CHAP,
// EAP, the NCPs) and is not network traffic.
//
// RFC 1661 section 2: "Protocol field values in the "8***" to "b***" range
// identify packets belonging to the associated Network Control Protocols
// (NCPs), if any." "Protocol field values in the "c***" to "f***" range identify
// packets as link-layer Control Protocols (such as LCP)."
func (p Protocol) IsControl() bool { return p&0x8000 != 0 }

// What the Address and Control fields hold, RFC 1662 section 3.1.
const (
	AllStations           = 0xff // Address
	UnnumberedInformation = 0x03 // Control
	addressControlLen     = 2
	protocolExtensionBit  = 0x01 // of an octet of the Protocol field: the last
)

var (
	// ErrTruncated says that a frame or packet ends before it should.
	ErrTruncated = errors.New("ppp: truncated")
	// ErrProtocolField says that a Protocol field breaks the rule of its
	// extension bits, so that no protocol can have this value.
	ErrProtocolField = errors.New("ppp: malformed protocol field")
)

// Split takes the Address and Control fields and the Protocol field off a
// frame, each of them compressed or not, and returns the protocol and the
// Information field (with any Padding), which is part of frame. The error is
// ErrTruncated, or ErrProtocolField together with the value and the Information
// field all the same, for a Protocol-Reject: RFC 1661 section 2 has it that
// "Frames received which don't comply with these rules MUST be treated as having
// an unrecognized Protocol."
//
// RFC 1662 section 3.2: "On reception, the Address and Control fields are
// decompressed by examining the first two octets.  If they contain the values
// 0xff and 0x03, they are assumed to be the Address and Control fields.  If not,
// it is assumed that the fields were compressed and were not transmitted."
//
// RFC 1661 section 6.5: "A binary "0" as the LSB indicates that the Protocol
// field continues with the following octet.  The presence of a binary "1" as the
// LSB marks the last octet of the Protocol field."
func Split(frame []byte) (Protocol, []byte, error) {
	b := frame
	if len(b) >= 2 && b[0] == AllStations && b[1] == UnnumberedInformation {
		b = b[addressControlLen:]
	}
	if len(b) == 0 {
		return 0, nil, ErrTruncated
	}
	if b[0]&protocolExtensionBit != 0 {
		return Protocol(b[0]), b[1:], nil
	}
	if len(b) == 1 {
		return 0, nil, ErrTruncated
	}
	p := Protocol(b[0])<<8 | Protocol(b[1])
	if b[1]&protocolExtensionBit == 0 {
		return p, b[2:], ErrProtocolField
	}
	return p, b[2:], nil
}

// FrameProtocol returns the protocol of a frame, and false if Split would
// return an error.
func FrameProtocol(frame []byte) (Protocol, bool) {
	p, _, err := Split(frame)
	return p, err == nil
}

// IsControlFrame says whether frame is one for the owner of the link and not
// for the data plane: a control protocol, or no protocol at all.
func IsControlFrame(frame []byte) bool {
	p, ok := FrameProtocol(frame)
	return !ok || p.IsControl()
}

// AppendHeader appends the uncompressed Address, Control and Protocol fields to
// dst: every peer understands these.
func AppendHeader(dst []byte, p Protocol) []byte {
	return append(dst, AllStations, UnnumberedInformation, byte(p>>8), byte(p))
}
