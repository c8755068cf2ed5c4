package radattr

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"adit/lns/subscriber"
)

// mppeKeyLen is the length of a key of MPPE, in octets. RFC 2548 section 2.4.2:
// "It is possible that the length of the key returned may be larger than needed
// for the encryption scheme in use. In this case, the RADIUS client is responsible
// for performing any necessary truncation."
const mppeKeyLen = 16

// rate is an attribute that says how fast a subscriber may be; for how much it is
// text or a number.
type rate struct {
	name string
	text bool
}

// rates are by vendor and type. adit enforces none of them.
var rates = map[key]rate{
	{vendorCisco, 1}:    {"Cisco-AVPair", true},
	{vendorAscend, 197}: {"Ascend-Data-Rate", false},
	{vendorAscend, 255}: {"Ascend-Xmit-Rate", false},
	{vendorWISPr, 5}:    {"WISPr-Bandwidth-Min-Up", false},
	{vendorWISPr, 6}:    {"WISPr-Bandwidth-Min-Down", false},
	{vendorWISPr, 7}:    {"WISPr-Bandwidth-Max-Up", false},
	{vendorWISPr, 8}:    {"WISPr-Bandwidth-Max-Down", false},
	{vendorMikrotik, 8}: {"Mikrotik-Rate-Limit", true},
}

// vendorSpecific takes the attributes that a Vendor-Specific holds. One that is
// not made in the form that RFC 2865 section 5.26 suggests is a vendor's own
// business, where we know nothing of the vendor.
func (r *reader) vendorSpecific(v []byte) error {
	if len(v) < 5 {
		return &AttributeError{Type: rfc2865.VendorSpecific_Type, Length: len(v)}
	}
	id, rest := binary.BigEndian.Uint32(v), v[4:]
	if !knownVendor(id) {
		return nil
	}
	for len(rest) > 0 {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return &AttributeError{Type: rfc2865.VendorSpecific_Type, Length: len(v)}
		}
		t, value := rest[0], rest[2:rest[1]]
		rest = rest[rest[1]:]
		ok := true
		if id == vendorMicrosoft {
			ok = r.microsoft(t, value)
		} else if a, known := rates[key{id, radius.Type(t)}]; known {
			ok = r.rate(a, value)
		}
		if !ok {
			return &AttributeError{Type: radius.Type(t), Vendor: id, Length: len(value)}
		}
	}
	return nil
}

func knownVendor(id uint32) bool {
	switch id {
	case vendorMicrosoft, vendorCisco, vendorAscend, vendorWISPr, vendorMikrotik:
		return true
	}
	return false
}

// rate keeps an attribute as it came.
func (r *reader) rate(a rate, v []byte) bool {
	text := string(v)
	if !a.text {
		if len(v) != 4 {
			return false
		}
		text = strconv.FormatUint(uint64(binary.BigEndian.Uint32(v)), 10)
	}
	r.s.Rates = append(r.s.Rates, a.name+"="+text)
	return len(v) > 0
}

// microsoft takes one of Microsoft's, and says whether it can be.
func (r *reader) microsoft(t uint8, v []byte) bool {
	switch t {
	case msMPPEEncryptionPolicy, msMPPEEncryptionTypes, msMPPESendKey, msMPPERecvKey, msCHAP2Success,
		msPrimaryDNSServer, msSecondaryDNSServer, msPrimaryNBNSServer, msSecondaryNBNSServer:
	default:
		return true
	}
	if r.again(vendorMicrosoft, radius.Type(t), "Microsoft's attribute "+strconv.Itoa(int(t))) {
		return true
	}
	switch t {
	case msMPPEEncryptionPolicy:
		return number(v, &r.mppe().Policy)
	case msMPPEEncryptionTypes:
		return number(v, &r.mppe().Types)
	case msMPPESendKey:
		return r.key(v, &r.mppe().Send)
	case msMPPERecvKey:
		return r.key(v, &r.mppe().Recv)
	case msPrimaryDNSServer:
		return server(v, &r.s.DNS[0])
	case msSecondaryDNSServer:
		return server(v, &r.s.DNS[1])
	case msPrimaryNBNSServer:
		return server(v, &r.s.WINS[0])
	case msSecondaryNBNSServer:
		return server(v, &r.s.WINS[1])
	}
	return r.success(v)
}

func (r *reader) mppe() *subscriber.MPPE {
	if r.s.MPPE == nil {
		r.s.MPPE = new(subscriber.MPPE)
	}
	return r.s.MPPE
}

// key reveals a key of RFC 2548 sections 2.4.2 and 2.4.3, which are hidden as a
// Tunnel-Password is.
func (r *reader) key(v []byte, to *[]byte) bool {
	k, _, err := radius.TunnelPassword(v, r.p.Secret, r.authenticator[:])
	if err != nil || len(k) < mppeKeyLen {
		return false
	}
	*to = k[:mppeKeyLen:mppeKeyLen]
	return true
}

func number(v []byte, to *uint32) bool {
	if len(v) == 4 {
		*to = binary.BigEndian.Uint32(v)
	}
	return len(v) == 4
}

// server takes a server's address; 0.0.0.0 is none.
func server(v []byte, to *netip.Addr) bool {
	if len(v) != 4 {
		return false
	}
	if a := netip.AddrFrom4([4]byte(v)); !a.IsUnspecified() {
		*to = a
	}
	return true
}

// success takes a MS-CHAP2-Success.
//
// RFC 2548 section 2.3.3: "This Attribute contains a 42-octet authenticator
// response string. This string MUST be included in the Message field of the
// MS-CHAP-V2 Success packet sent from the NAS to the peer." Ident is in front.
func (r *reader) success(v []byte) bool {
	if len(v) < 1+proofLen || string(v[1:3]) != "S=" {
		return false
	}
	r.proof = string(v[1:])
	return true
}
