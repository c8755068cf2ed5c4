package l2tp

// VendorADSLForum is the SMI enterprise number under which RFC 5515 section 3
// has its AVPs, and RFC 4679 its RADIUS attributes, with the same types and
// values.
const VendorADSLForum uint16 = 3561

// AccessLineAVP is one of the Access Line Information AVPs of an ICRQ, RFC 5515
// section 3. The value is as it came: its RADIUS attribute has the same octets.
type AccessLineAVP struct {
	Type  AVPType
	Value []byte
}
