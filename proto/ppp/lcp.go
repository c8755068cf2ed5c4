package ppp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Code is the Code field of an LCP packet, RFC 1661 section 5. The NCPs use the
// first seven as well.
type Code uint8

// The codes of RFC 1661 section 5 and, for the last two, of RFC 1570.
const (
	ConfigureRequest Code = 1
	ConfigureAck     Code = 2
	ConfigureNak     Code = 3
	ConfigureReject  Code = 4
	TerminateRequest Code = 5
	TerminateAck     Code = 6
	CodeReject       Code = 7
	ProtocolReject   Code = 8
	EchoRequest      Code = 9
	EchoReply        Code = 10
	DiscardRequest   Code = 11
	Identification   Code = 12
	TimeRemaining    Code = 13
)

// String returns the RFC's name of the code.
func (c Code) String() string {
	names := [...]string{
		ConfigureRequest: "Configure-Request", ConfigureAck: "Configure-Ack",
		ConfigureNak: "Configure-Nak", ConfigureReject: "Configure-Reject",
		TerminateRequest: "Terminate-Request", TerminateAck: "Terminate-Ack",
		CodeReject: "Code-Reject", ProtocolReject: "Protocol-Reject",
		EchoRequest: "Echo-Request", EchoReply: "Echo-Reply",
		DiscardRequest: "Discard-Request", Identification: "Identification",
		TimeRemaining: "Time-Remaining",
	}
	if int(c) < len(names) && names[c] != "" {
		return names[c]
	}
	return fmt.Sprintf("Code %d", uint8(c))
}

// packetHeaderLen is Code, Identifier and Length.
const packetHeaderLen = 4

// Packet is what the Information field of a frame of LCP or an NCP holds.
type Packet struct {
	Code       Code
	Identifier uint8
	Data       []byte // without padding; part of what was parsed
}

// ParsePacket reads an LCP or NCP packet from a frame's Information field. The
// error is ErrTruncated.
//
// RFC 1661 section 5: "The Length field is two octets, and indicates the length
// of the LCP packet, including the Code, Identifier, Length and Data fields."
// "Octets outside the range of the Length field are treated as padding and are
// ignored on reception. When a packet is received with an invalid Length field,
// the packet is silently discarded without affecting the automaton."
func ParsePacket(info []byte) (Packet, error) {
	if len(info) < packetHeaderLen {
		return Packet{}, fmt.Errorf("%w: packet of %d octets", ErrTruncated, len(info))
	}
	n := int(binary.BigEndian.Uint16(info[2:]))
	if n < packetHeaderLen || n > len(info) {
		return Packet{}, fmt.Errorf("%w: packet Length %d in %d octets", ErrTruncated, n, len(info))
	}
	return Packet{Code: Code(info[0]), Identifier: info[1], Data: info[packetHeaderLen:n]}, nil
}

// The LCP Configuration Options of RFC 1661 section 6 and RFC 1662 section 7.
const (
	OptionMRU      uint8 = 1
	OptionACCM     uint8 = 2
	OptionAuth     uint8 = 3
	OptionQuality  uint8 = 4
	OptionMagic    uint8 = 5
	OptionPFC      uint8 = 7
	OptionACFC     uint8 = 8
	optionHeadsize       = 2 // Type and Length
)

// DefaultMRU is the Maximum-Receive-Unit where none was negotiated, in octets.
const DefaultMRU = 1500

// ErrOption says that a Configuration Option has a length it cannot have.
var ErrOption = errors.New("ppp: malformed configuration option")

// Option is one Configuration Option.
type Option struct {
	Type uint8
	Data []byte
}

// NextOption takes the first option off a list of them. The error is ErrOption.
func NextOption(list []byte) (o Option, rest []byte, err error) {
	if len(list) < optionHeadsize {
		return Option{}, nil, fmt.Errorf("%w: %d octets left over", ErrOption, len(list))
	}
	n := int(list[1])
	if n < optionHeadsize || n > len(list) {
		return Option{}, nil, fmt.Errorf("%w: option %d has Length %d in %d octets",
			ErrOption, list[0], n, len(list))
	}
	return Option{Type: list[0], Data: list[optionHeadsize:n]}, list[n:], nil
}

// LinkOptions are the LCP options that say how frames look on a link, in the
// direction towards whoever sent the Configure-Request.
type LinkOptions struct {
	MRU     uint16 // octets of Information field
	ACCM    uint32
	HasACCM bool   // the option was there; else ACCM is the default
	Magic   uint32 // 0: none
	// Auth is the protocol by which the sender of the Configure-Request wants
	// the other end to show who it is; 0: none. AuthData is its parameters,
	// part of what was parsed, such as the algorithm of CHAP.
	Auth     Protocol
	AuthData []byte
	PFC      bool
	ACFC     bool
}

// ParseLinkOptions reads the options of a Configure-Request or Configure-Ack:
// its Packet.Data, or the value of L2TP's Proxy LCP AVPs (RFC 2661 section
// 4.4.5), which is the same. Options that it does not know are passed over. The
// error is ErrOption.
func ParseLinkOptions(list []byte) (LinkOptions, error) {
	l := LinkOptions{MRU: DefaultMRU, ACCM: DefaultACCM}
	for len(list) > 0 {
		o, rest, err := NextOption(list)
		if err != nil {
			return LinkOptions{}, err
		}
		if err := l.set(o); err != nil {
			return LinkOptions{}, err
		}
		list = rest
	}
	return l, nil
}

// set takes one option over.
func (l *LinkOptions) set(o Option) error {
	d := o.Data
	ok := true
	switch o.Type {
	case OptionMRU:
		if ok = len(d) == 2; ok {
			l.MRU = binary.BigEndian.Uint16(d)
		}
	case OptionACCM:
		if ok = len(d) == 4; ok {
			// RFC 1662 section 7.1: "The map is sent most significant octet
			// first."
			l.ACCM, l.HasACCM = binary.BigEndian.Uint32(d), true
		}
	case OptionAuth:
		if ok = len(d) >= 2; ok {
			l.Auth, l.AuthData = Protocol(binary.BigEndian.Uint16(d)), d[2:]
		}
	case OptionMagic:
		if ok = len(d) == 4; ok {
			l.Magic = binary.BigEndian.Uint32(d)
		}
	case OptionPFC:
		l.PFC, ok = true, len(d) == 0
	case OptionACFC:
		l.ACFC, ok = true, len(d) == 0
	}
	if !ok {
		return fmt.Errorf("%w: option %d has %d octets of data", ErrOption, o.Type, len(d))
	}
	return nil
}
