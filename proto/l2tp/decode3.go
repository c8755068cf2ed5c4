package l2tp

import "encoding/binary"

// lookup is the table's entry for an IETF AVP; nil if the version has none.
func (d *decoder) lookup(a rawAVP) *avpInfo {
	info := lookupVersion(d.version, a.Type)
	if info == nil && d.version != Version3 && d.message == TypeSCCRQ && !a.Mandatory {
		if offer := lookupAVP3(a.Type); offer != nil && offer.offered() {
			return offer
		}
	}
	return info
}

// foreign says whether a message of version 3 has an AVP that version 2 alone has a use
// for. RFC 3931 section 4.7.3: "The L2TPv2/v3 auto-detection mode requires that all
// L2TPv3 implementations over UDP be liberal in accepting an SCCRQ control message with
// the Ver field set to 2 or 3 and the presence of L2TPv2-specific AVPs." In other
// messages they are no worse: we recognise them, and section 5.2 says that then "the M
// bit is of no consequence".
func (d *decoder) foreign(a rawAVP) bool {
	if d.version != Version3 || a.Vendor != 0 || a.reserved || lookupAVP3(a.Type) != nil {
		return false
	}
	info := lookupAVP(a.Type)
	return info != nil && info.Supported
}

// OffersV3 says whether an SCCRQ of version 2 offers version 3 besides, with all that
// the SCCRQ of version 3 must have (RFC 3931 section 4.7.3). Then it may be answered in
// version 3, to the Control Connection ID ControlConnectionID.
func (m *SCCRQ) OffersV3() bool { return m.ControlConnectionID != 0 }

// offer says whether an SCCRQ of version 2 has all that it needs to offer version 3. One
// that has a part of it is of version 2, and the part is ignored.
func (v *values) offer() bool {
	return v.has(AVPRouterID) && v.has(AVPPseudowireCapabilities) && v.uint32(AVPAssignedControlConnectionID) != 0
}

// endpoint reads what an SCCRQ and an SCCRP of version 3 have in common.
func (v *values) endpoint() (routerID uint32, pseudowires []PseudowireType, nonce []byte, language string) {
	list := v.raw[AVPPseudowireCapabilities]
	for ; len(list) >= 2; list = list[2:] {
		pseudowires = append(pseudowires, PseudowireType(binary.BigEndian.Uint16(list)))
	}
	return v.uint32(AVPRouterID), pseudowires, v.octets(AVPNonce), v.text(AVPPreferredLanguage)
}

// cookie is nil if there is none. RFC 3931 section 5.4.4: "A missing Assigned Cookie AVP
// or Assigned Cookie Value of zero length indicates that the Cookie field should not be
// present".
func (v *values) cookie() []byte {
	if len(v.raw[AVPAssignedCookie]) == 0 {
		return nil
	}
	return v.octets(AVPAssignedCookie)
}

func (v *values) uint64Ptr(t AVPType) *uint64 {
	if !v.has(t) {
		return nil
	}
	n := v.uint64(t)
	return &n
}

func (v *values) sublayer() *SublayerType {
	if !v.has(AVPSublayer) {
		return nil
	}
	s := SublayerType(v.uint16(AVPSublayer))
	return &s
}

func (v *values) sequencing() *SequencingLevel {
	if !v.has(AVPDataSequencing) {
		return nil
	}
	s := SequencingLevel(v.uint16(AVPDataSequencing))
	return &s
}

// circuitStatus leaves the reserved bits: they "MUST be [...] ignored upon receipt".
func (v *values) circuitStatus() *CircuitStatus {
	if !v.has(AVPCircuitStatus) {
		return nil
	}
	s := CircuitStatus(v.uint16(AVPCircuitStatus)) & circuitStatusMask
	return &s
}

// vendorMessage is the error for a message type of a vendor's, none of which is known.
// RFC 3931 section 5.4.1: "A vendor-specific control message may be defined by setting
// the Vendor ID of the Message Type AVP to a value other than the IETF Vendor ID of 0";
// its M bit says what is to become of it, as that of any other unknown message does.
func (d *decoder) vendorMessage(a rawAVP) *Error {
	e := &Error{HasAVP: true, Vendor: a.Vendor, AVP: a.Type, Err: ErrUnknownMessage}
	if !a.Mandatory {
		return e
	}
	return d.error(e, ErrorValue)
}
