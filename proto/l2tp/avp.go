package l2tp

import (
	"encoding/binary"
	"fmt"
)

// Sizes of an AVP, RFC 2661 section 4.1: octets.
const (
	avpHeaderLen = 6
	maxAVPLen    = 1023
	maxValueLen  = maxAVPLen - avpHeaderLen
	// maxHiddenLen is the longest value that can be hidden: the subformat has a
	// length field of two octets before it.
	maxHiddenLen = maxValueLen - 2
)

const (
	avpBitM     = 0x8000
	avpBitH     = 0x4000
	avpReserved = 0x3c00
	avpLenMask  = 0x03ff
)

// AVP is one attribute-value pair, RFC 2661 section 4.1.
type AVP struct {
	Mandatory bool    // M bit
	Hidden    bool    // H bit; Value is in the clear nevertheless, once unhidden
	Vendor    uint16  // SMI enterprise number; 0: IETF
	Type      AVPType // unique within the vendor's
	Value     []byte  // at most 1,017 octets; 1,015 if hidden
}

// String is the AVP's name and length. The value may be a secret.
func (a AVP) String() string {
	return fmt.Sprintf("%s, %d octets", avpName(a.Vendor, a.Type), len(a.Value))
}

// rawAVP is an AVP as it came: the value may be hidden.
type rawAVP struct {
	AVP
	reserved bool // a reserved bit of the header is set
}

// nextAVP takes the first AVP off b. It advances by the AVP's own length before
// anything is made of the value, so no AVP can put the parser out of step. ok
// is false if b does not begin with a whole AVP. The value is a part of b.
func nextAVP(b []byte) (a rawAVP, rest []byte, ok bool) {
	if len(b) < avpHeaderLen {
		return a, b, false
	}
	word := binary.BigEndian.Uint16(b)
	a.Mandatory = word&avpBitM != 0
	a.Hidden = word&avpBitH != 0
	a.reserved = word&avpReserved != 0
	a.Vendor = binary.BigEndian.Uint16(b[2:])
	a.Type = AVPType(binary.BigEndian.Uint16(b[4:]))
	// "The minimum Length of an AVP is 6."
	n := int(word & avpLenMask)
	if n < avpHeaderLen || n > len(b) {
		return a, b, false
	}
	a.Value = b[avpHeaderLen:n]
	return a, b[n:], true
}

// FindAVP finds the value of the first IETF AVP of a type in the payload of a message,
// without reading the rest of it: for what has to be known before the secret is chosen or
// a digest verified. It is a part of payload, and nil if there is no such AVP in the clear.
func FindAVP(payload []byte, t AVPType) []byte {
	for len(payload) > 0 {
		a, rest, ok := nextAVP(payload)
		if !ok {
			return nil
		}
		if a.Vendor == 0 && a.Type == t && !a.Hidden && !a.reserved {
			return a.Value
		}
		payload = rest
	}
	return nil
}

// appendAVPHeader writes the header of an AVP whose value has n octets.
func appendAVPHeader(dst []byte, mandatory, hidden bool, vendor uint16, t AVPType, n int) []byte {
	word := uint16(avpHeaderLen + n)
	if mandatory {
		word |= avpBitM
	}
	if hidden {
		word |= avpBitH
	}
	dst = binary.BigEndian.AppendUint16(dst, word)
	dst = binary.BigEndian.AppendUint16(dst, vendor)
	return binary.BigEndian.AppendUint16(dst, uint16(t))
}
