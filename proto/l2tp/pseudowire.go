package l2tp

import "fmt"

// Version3 is the value of the Ver field of L2TPv3, RFC 3931 section 3.2.1.
const Version3 = 3

// PseudowireType is the value of the Pseudowire Type AVP, and one entry of the
// Pseudowire Capabilities List, RFC 3931 sections 5.4.3 and 5.4.4: what kind of frame
// a session carries. The numbers are IANA's.
type PseudowireType uint16

// The pseudowire types.
const (
	PseudowireFrameRelay   PseudowireType = 0x0001 // RFC 4591
	PseudowireATMAAL5      PseudowireType = 0x0002 // RFC 4454
	PseudowireATMCellPort  PseudowireType = 0x0003 // RFC 4454
	PseudowireEthernetVLAN PseudowireType = 0x0004 // RFC 4719
	PseudowireEthernet     PseudowireType = 0x0005 // RFC 4719
	PseudowireHDLC         PseudowireType = 0x0006 // RFC 4349
	PseudowirePPP          PseudowireType = 0x0007 // RFC 3931
	PseudowireATMCellVCC   PseudowireType = 0x0009 // RFC 4454
	PseudowireATMCellVPC   PseudowireType = 0x000a // RFC 4454
	PseudowireIP           PseudowireType = 0x000b // IP layer 2 transport
)

var pseudowireNames = map[PseudowireType]string{
	PseudowireFrameRelay: "frame-relay", PseudowireATMAAL5: "atm-aal5", PseudowireATMCellPort: "atm-cell-port",
	PseudowireEthernetVLAN: "vlan", PseudowireEthernet: "ethernet", PseudowireHDLC: "hdlc", PseudowirePPP: "ppp",
	PseudowireATMCellVCC: "atm-cell-vcc", PseudowireATMCellVPC: "atm-cell-vpc", PseudowireIP: "ip",
}

// String is the name that the configuration has for it.
func (t PseudowireType) String() string {
	if s, ok := pseudowireNames[t]; ok {
		return s
	}
	return fmt.Sprintf("pseudowire type %d", uint16(t))
}

// ParsePseudowireType is String's inverse; false: there is no such name.
func ParsePseudowireType(name string) (PseudowireType, bool) {
	for t, s := range pseudowireNames {
		if s == name {
			return t, true
		}
	}
	return 0, false
}

// SublayerType is the value of the L2-Specific Sublayer AVP, RFC 3931 section 5.4.4.
type SublayerType uint16

// The sublayers.
const (
	SublayerNone    SublayerType = 0
	SublayerDefault SublayerType = 1 // RFC 3931 section 4.6
	SublayerATM     SublayerType = 2 // RFC 4454
)

// String names the sublayer as the configuration does.
func (s SublayerType) String() string {
	switch s {
	case SublayerNone:
		return "none"
	case SublayerDefault:
		return "default"
	case SublayerATM:
		return "atm"
	}
	return fmt.Sprintf("sublayer %d", uint16(s))
}

// SequencingLevel is the value of the Data Sequencing AVP, RFC 3931 section 5.4.4:
// which of the data messages that its sender receives carry sequence numbers.
type SequencingLevel uint16

// The levels.
const (
	SequencingNone  SequencingLevel = 0
	SequencingNonIP SequencingLevel = 1
	SequencingAll   SequencingLevel = 2
)

// String names the level as the configuration does.
func (l SequencingLevel) String() string {
	switch l {
	case SequencingNone:
		return "none"
	case SequencingNonIP:
		return "non-ip"
	case SequencingAll:
		return "all"
	}
	return fmt.Sprintf("sequencing level %d", uint16(l))
}

// CircuitStatus is the value of the Circuit Status AVP, RFC 3931 section 5.4.5.
type CircuitStatus uint16

// The bits of CircuitStatus.
const (
	CircuitActive CircuitStatus = 1 // A: up and ready
	CircuitNew    CircuitStatus = 2 // N: the first status since it was provisioned

	// RFC 5641 section 2, which is told beside A being clear.
	CircuitReceiveFault     CircuitStatus = 0x04 // R: the attachment circuit cannot receive
	CircuitTransmitFault    CircuitStatus = 0x08 // T: the attachment circuit cannot transmit
	PseudowireReceiveFault  CircuitStatus = 0x10 // I: the pseudowire cannot receive
	PseudowireTransmitFault CircuitStatus = 0x20 // E: the pseudowire cannot transmit
	PseudowireStandby       CircuitStatus = 0x40 // S: the pseudowire is in standby mode

	// circuitStatusMask are the bits that are not reserved.
	circuitStatusMask CircuitStatus = 0x7f
)

// circuitStatusNames are the words for the bits from N on.
var circuitStatusNames = [...]string{
	"new", "circuit receive fault", "circuit transmit fault", "pseudowire receive fault",
	"pseudowire transmit fault", "standby",
}

// String is "active" or "inactive", with "new" if the N bit is set, and the faults.
func (s CircuitStatus) String() string {
	text := "inactive"
	if s&CircuitActive != 0 {
		text = "active"
	}
	for i, name := range circuitStatusNames {
		if s&(CircuitNew<<i) != 0 {
			text += ", " + name
		}
	}
	return text
}

// DigestType is the algorithm of a Message Digest AVP, RFC 3931 section 5.4.1.
type DigestType uint8

// The algorithms.
const (
	DigestMD5  DigestType = 0 // HMAC-MD5, 16 octets
	DigestSHA1 DigestType = 1 // HMAC-SHA-1, 20 octets
)

// String names the algorithm as the configuration does.
func (d DigestType) String() string {
	switch d {
	case DigestMD5:
		return "hmac-md5"
	case DigestSHA1:
		return "hmac-sha1"
	}
	return fmt.Sprintf("digest type %d", uint8(d))
}
