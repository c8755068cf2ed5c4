package radattr

import (
	"encoding/binary"
	"net/netip"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// MaxValue bounds the value of an attribute, in octets: its length is one octet
// and counts Type and Length too.
const MaxValue = 253

// The vendors, by their SMI enterprise numbers.
const (
	vendorCisco     = 9
	vendorMicrosoft = 311
	vendorAscend    = 529
	vendorADSLForum = 3561
	vendorWISPr     = 14122
	vendorMikrotik  = 14988
)

// maxVendorValue bounds the value of a vendor's attribute, in octets: Vendor-Id,
// Vendor-Type and Vendor-Length come off.
const maxVendorValue = MaxValue - 6

// messageAuthenticatorLen is what is left for the transport's attribute.
const messageAuthenticatorLen = 18

// writer adds attributes to a packet as long as there is room. What matters most
// is written first.
type writer struct {
	p    *radius.Packet
	room int
}

func newWriter(p *radius.Packet) *writer {
	used, _ := radius.AttributesEncodedLen(p.Attributes)
	return &writer{p, radius.MaxPacketLength - 20 - messageAuthenticatorLen - used}
}

// add adds an attribute. One without a value is left out.
//
// RFC 2865 section 5: "Text of length zero (0) MUST NOT be sent; omit the entire
// attribute instead." String has the same sentence.
func (w *writer) add(t radius.Type, value []byte) {
	if len(value) == 0 || len(value) > MaxValue || w.room < len(value)+2 {
		return
	}
	w.room -= len(value) + 2
	w.p.Add(t, value)
}

// text adds what somebody else may have chosen, cut to what an attribute holds.
func (w *writer) text(t radius.Type, s string) { w.add(t, []byte(s[:min(len(s), MaxValue)])) }

func (w *writer) number(t radius.Type, n uint32) { w.add(t, radius.NewInteger(n)) }

// seconds adds a time as a number of seconds, which is what all times but dates
// are in RADIUS.
func (w *writer) seconds(t radius.Type, d time.Duration) { w.number(t, wholeSeconds(d)) }

func wholeSeconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 0), 1<<32-1))
}

// prefix adds an IPv6 prefix in the form of RFC 3162 section 2.3, with the octets
// that the Prefix-Length says and no others.
func (w *writer) prefix(t radius.Type, p netip.Prefix) {
	if !p.IsValid() || !p.Addr().Is6() {
		return
	}
	p = p.Masked()
	a := p.Addr().As16()
	w.add(t, append([]byte{0, byte(p.Bits())}, a[:(p.Bits()+7)/8]...))
}

// vendor adds a vendor's attribute, in the form that RFC 2865 section 5.26
// suggests. It may have no value: some say what they say by being there.
func (w *writer) vendor(id uint32, t uint8, value []byte) {
	if len(value) > maxVendorValue {
		return
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, len(value)+6), id)
	b = append(b, t, byte(len(value)+2))
	w.add(rfc2865.VendorSpecific_Type, append(b, value...))
}

// vendorAddr adds a vendor's attribute that is an IPv4 address, if there is one.
func (w *writer) vendorAddr(id uint32, t uint8, a netip.Addr) {
	if a = a.Unmap(); a.Is4() {
		w.vendor(id, t, a.AsSlice())
	}
}
