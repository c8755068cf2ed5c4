package l2tp

import "fmt"

// MessageType is the value of the Message Type AVP, RFC 2661 section 3.2.
type MessageType uint16

// The message types of RFC 2661 section 3.2.
const (
	TypeSCCRQ   MessageType = 1
	TypeSCCRP   MessageType = 2
	TypeSCCCN   MessageType = 3
	TypeStopCCN MessageType = 4
	TypeHELLO   MessageType = 6
	TypeOCRQ    MessageType = 7
	TypeOCRP    MessageType = 8
	TypeOCCN    MessageType = 9
	TypeICRQ    MessageType = 10
	TypeICRP    MessageType = 11
	TypeICCN    MessageType = 12
	TypeCDN     MessageType = 14
	TypeWEN     MessageType = 15
	TypeSLI     MessageType = 16
	TypeACK     MessageType = 20 // RFC 3931
)

var messageNames = map[MessageType]string{
	TypeSCCRQ: "SCCRQ", TypeSCCRP: "SCCRP", TypeSCCCN: "SCCCN", TypeStopCCN: "StopCCN",
	TypeHELLO: "HELLO", TypeOCRQ: "OCRQ", TypeOCRP: "OCRP", TypeOCCN: "OCCN",
	TypeICRQ: "ICRQ", TypeICRP: "ICRP", TypeICCN: "ICCN", TypeCDN: "CDN",
	TypeWEN: "WEN", TypeSLI: "SLI", TypeACK: "ACK",
}

// String is the RFC's abbreviation.
func (t MessageType) String() string {
	if s, ok := messageNames[t]; ok {
		return s
	}
	return fmt.Sprintf("message type %d", uint16(t))
}

// knownIn says whether this package reads and writes messages of type t of a version.
func (t MessageType) knownIn(version uint8) bool {
	return newMessage(t) != nil && (t != TypeACK || version == Version3)
}

// SessionLevel says whether messages of type t belong to one session rather
// than to the whole tunnel.
func (t MessageType) SessionLevel() bool {
	switch t {
	case TypeOCRQ, TypeOCRP, TypeOCCN, TypeICRQ, TypeICRP, TypeICCN, TypeCDN, TypeWEN, TypeSLI:
		return true
	case TypeSCCRQ, TypeSCCRP, TypeSCCCN, TypeStopCCN, TypeHELLO, TypeACK:
		return false
	}
	return false
}

// Message is a control message: *SCCRQ, *SCCRP, *SCCCN, *StopCCN, *HELLO,
// *OCRQ, *OCRP, *OCCN, *ICRQ, *ICRP, *ICCN, *CDN, *WEN, *SLI or *ACK.
//
// A message has the fields of both versions of L2TP. Those of the version that it is
// not written in stay out of it, and those of a version that it did not come in are
// zero.
//
// An AVP that may be absent is a pointer, a slice or a field whose zero value
// means the same as absence. A slice is nil if the AVP is absent and empty but
// not nil if it is there with no value.
type Message interface {
	// Type is the message's type.
	Type() MessageType
	// Rest is what the message carried beyond its own fields.
	Rest() *Unparsed

	// parse takes the fields from AVPs whose lengths were checked already.
	parse(v *values) error
	// append writes the AVPs after the Message Type, in the order of the RFC.
	append(e *encoder)
}

// Unparsed is what a message carried beyond its own fields.
type Unparsed struct {
	// Extra holds AVPs of vendors, and IETF AVPs this package has no field for,
	// in the order they came. AppendMessage writes them at the end.
	Extra []AVP
	// Ignored tells what was there and not used (malformed, misplaced, repeated
	// or unrecognised AVPs whose M bit is clear), and what was missing and could
	// be done without. For the log; never written.
	Ignored []*Error
}

// Rest implements Message.
func (u *Unparsed) Rest() *Unparsed { return u }

// newMessage makes an empty message of type t; nil if t is not known.
func newMessage(t MessageType) Message {
	switch t {
	case TypeSCCRQ:
		return new(SCCRQ)
	case TypeSCCRP:
		return new(SCCRP)
	case TypeSCCCN:
		return new(SCCCN)
	case TypeStopCCN:
		return new(StopCCN)
	case TypeHELLO:
		return new(HELLO)
	case TypeOCRQ:
		return new(OCRQ)
	case TypeOCRP:
		return new(OCRP)
	case TypeOCCN:
		return new(OCCN)
	case TypeICRQ:
		return new(ICRQ)
	case TypeICRP:
		return new(ICRP)
	case TypeICCN:
		return new(ICCN)
	case TypeCDN:
		return new(CDN)
	case TypeWEN:
		return new(WEN)
	case TypeSLI:
		return new(SLI)
	case TypeACK:
		return new(ACK)
	}
	return nil
}
