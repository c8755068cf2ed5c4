package l2tp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"
)

// VendorADSLForum is the SMI enterprise number under which RFC 5515 section 5
// has its AVPs, and RFC 4679 its RADIUS attributes, with the same types but for
// some that only one of them has.
const VendorADSLForum uint16 = 3561

// AccessLineAVP is one of the Access Line Information AVPs of an ICRQ, RFC 5515
// section 5. The value is as it came; rates are longer than those of RADIUS.
type AccessLineAVP struct {
	Type  AVPType // of the vendor VendorADSLForum
	Value []byte  // of a length that the type may have
}

// The Access Line Information AVPs, RFC 5515 section 7.1. Rates are 64-bit
// numbers of bits per second, delays 32-bit numbers of milliseconds.
const (
	AccessAgentCircuitID               AVPType = 1
	AccessAgentRemoteID                AVPType = 2
	AccessActualDataRateUpstream       AVPType = 129
	AccessActualDataRateDownstream     AVPType = 130
	AccessMinimumDataRateUpstream      AVPType = 131
	AccessMinimumDataRateDownstream    AVPType = 132
	AccessAttainableDataRateUpstream   AVPType = 133
	AccessAttainableDataRateDownstream AVPType = 134
	AccessMaximumDataRateUpstream      AVPType = 135
	AccessMaximumDataRateDownstream    AVPType = 136
	AccessMinimumDataRateUpLowPower    AVPType = 137
	AccessMinimumDataRateDownLowPower  AVPType = 138
	AccessMaximumInterleavingDelayUp   AVPType = 139
	AccessActualInterleavingDelayUp    AVPType = 140
	AccessMaximumInterleavingDelayDown AVPType = 141
	AccessActualInterleavingDelayDown  AVPType = 142
	AccessLoopEncapsulation            AVPType = 144
	AccessLineType                     AVPType = 145
	AccessIWFSession                   AVPType = 254
)

// Lengths of values, octets.
const (
	minAccessText = 2
	maxAccessText = 63
	rateLen       = 8
)

// accessInfo is what RFC 5515 rules about an Access Line Information AVP.
type accessInfo struct {
	Type     AVPType
	Name     string
	Min, Max int // the limits of the value's length before hiding, octets
}

// accessTable is Table 1 of RFC 5515 with the lengths of sections 5.1 to 5.19,
// in the order of the types.
var accessTable = []accessInfo{
	// "The Agent-Circuit-Id is of arbitrary length, but MUST be greater than 1
	// octet and not greater than 63 octets."
	{AccessAgentCircuitID, "Agent-Circuit-Id", minAccessText, maxAccessText},
	{AccessAgentRemoteID, "Agent-Remote-Id", minAccessText, maxAccessText},
	{AccessActualDataRateUpstream, "Actual-Data-Rate-Upstream", rateLen, rateLen},
	{AccessActualDataRateDownstream, "Actual-Data-Rate-Downstream", rateLen, rateLen},
	{AccessMinimumDataRateUpstream, "Minimum-Data-Rate-Upstream", rateLen, rateLen},
	{AccessMinimumDataRateDownstream, "Minimum-Data-Rate-Downstream", rateLen, rateLen},
	{AccessAttainableDataRateUpstream, "Attainable-Data-Rate-Upstream", rateLen, rateLen},
	{AccessAttainableDataRateDownstream, "Attainable-Data-Rate-Downstream", rateLen, rateLen},
	{AccessMaximumDataRateUpstream, "Maximum-Data-Rate-Upstream", rateLen, rateLen},
	{AccessMaximumDataRateDownstream, "Maximum-Data-Rate-Downstream", rateLen, rateLen},
	{AccessMinimumDataRateUpLowPower, "Minimum-Data-Rate-Upstream-Low-Power", rateLen, rateLen},
	{AccessMinimumDataRateDownLowPower, "Minimum-Data-Rate-Downstream-Low-Power", rateLen, rateLen},
	{AccessMaximumInterleavingDelayUp, "Maximum-Interleaving-Delay-Upstream", 4, 4},
	{AccessActualInterleavingDelayUp, "Actual-Interleaving-Delay-Upstream", 4, 4},
	{AccessMaximumInterleavingDelayDown, "Maximum-Interleaving-Delay-Downstream", 4, 4},
	{AccessActualInterleavingDelayDown, "Actual-Interleaving-Delay-Downstream", 4, 4},
	{AccessLoopEncapsulation, "Access-Loop-Encapsulation", 3, 3},
	{AccessLineType, "ANCP Access Line Type", 4, 4},
	{AccessIWFSession, "IWF-Session", 4, 4},
}

// lookupAccess is the table's entry for t; nil if it has none.
func lookupAccess(t AVPType) *accessInfo {
	i, ok := slices.BinarySearchFunc(accessTable, t, func(a accessInfo, t AVPType) int { return int(a.Type) - int(t) })
	if !ok {
		return nil
	}
	return &accessTable[i]
}

// AccessText is an AVP with a text: AccessAgentCircuitID or AccessAgentRemoteID.
func AccessText(t AVPType, text string) AccessLineAVP {
	return AccessLineAVP{Type: t, Value: []byte(text)}
}

// AccessRate is an AVP with a rate in bits per second. RFC 5515 section 5:
// "Whenever a speed value sent in an AVP fits within 32 bits, the upper 32 bits
// MUST be transmitted as 0s."
func AccessRate(t AVPType, bps uint64) AccessLineAVP {
	return AccessLineAVP{Type: t, Value: binary.BigEndian.AppendUint64(nil, bps)}
}

// String is the name and the value, for a log: texts quoted, numbers in decimal.
func (a AccessLineAVP) String() string {
	name := avpName(VendorADSLForum, a.Type)
	switch info := lookupAccess(a.Type); {
	case info == nil || len(a.Value) < info.Min || len(a.Value) > info.Max:
	case info.Max == maxAccessText && utf8.Valid(a.Value):
		return fmt.Sprintf("%s %q", name, a.Value)
	case info.Max == rateLen:
		return fmt.Sprintf("%s %d", name, binary.BigEndian.Uint64(a.Value))
	case a.Type >= AccessMaximumInterleavingDelayUp && a.Type <= AccessActualInterleavingDelayDown || a.Type == AccessIWFSession:
		return fmt.Sprintf("%s %d", name, binary.BigEndian.Uint32(a.Value))
	}
	return fmt.Sprintf("%s %x", name, a.Value)
}

// CloneAccess copies a list with its values; nil stays nil.
func CloneAccess(list []AccessLineAVP) []AccessLineAVP {
	list = slices.Clone(list)
	for i := range list {
		list[i].Value = bytes.Clone(list[i].Value)
	}
	return list
}

// accessLine files an Access Line Information AVP. Each type counts once, so that
// no message can hold more of them than the RFC has types.
func (d *decoder) accessLine(a rawAVP, info *accessInfo) {
	// "All the AVPs defined in this document MAY be hidden (the H bit MAY be 0 or
	// 1)."
	if a.Hidden && !d.reveal(&a) {
		return
	}
	if n := len(a.Value); n < info.Min || n > info.Max {
		d.malformed(a, ErrAVPLength, ErrorLength)
		return
	}
	// "All the listed AVPs (Section 5.1 through Section 5.19) MAY be present in
	// the following messages unless otherwise stipulated: Incoming-Call-Request
	// (ICRQ)"
	if d.message != TypeICRQ {
		d.ignore(a, ErrAVPMisplaced)
		return
	}
	for _, b := range d.access {
		if b.Type != a.Type {
			continue
		}
		if bytes.Equal(a.Value, b.Value) {
			d.ignore(a, ErrAVPRepeated)
		} else {
			d.malformed(a, ErrAVPRepeated, ErrorValue)
		}
		return
	}
	d.access = append(d.access, AccessLineAVP{Type: a.Type, Value: bytes.Clone(a.Value)})
}

// accessLine writes Access Line Information AVPs. "The M bit for all the AVPs
// defined in this document SHOULD be set to 0 to allow for backwards
// compatibility with LNSs that do not support the Access Line Information AVP
// extensions hereby defined."
func (e *encoder) accessLine(list []AccessLineAVP) {
	for _, a := range list {
		info := lookupAccess(a.Type)
		switch {
		case info != nil && len(a.Value) < info.Min:
			e.fail(fmt.Errorf("%s of %d octets: %w", info.Name, len(a.Value), ErrValueMissing))
		case info == nil || len(a.Value) > info.Max:
			e.fail(fmt.Errorf("%s of %d octets: %w", avpName(VendorADSLForum, a.Type), len(a.Value), ErrValueTooLong))
		}
		e.avp(false, e.opt.Hide, VendorADSLForum, a.Type, a.Value)
	}
}
