package radattr

import (
	"errors"
	"fmt"
	"net/netip"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"adit/lns/subscriber"
)

// ErrService says that an Access-Accept grants what adit has not: the subscriber
// is refused.
//
// RFC 2865 section 1.1: "A NAS that does not implement a given service MUST NOT
// implement the RADIUS attributes for that service. For example, a NAS that is
// unable to offer ARAP service MUST NOT implement the RADIUS attributes for ARAP.
// A NAS MUST treat a RADIUS access-accept authorizing an unavailable service as an
// access-reject instead."
var ErrService = errors.New("radattr: the server grants a service that there is not")

// ErrAttribute says that an attribute's value is none. It is wrapped in an
// *AttributeError.
var ErrAttribute = errors.New("radattr: no such value")

// AttributeError is an attribute with a length or value that it cannot have.
type AttributeError struct {
	Type   radius.Type
	Vendor uint32 // 0: none; else Type is the vendor's
	Length int    // of the value, in octets
}

func (e *AttributeError) Error() string {
	name := fmt.Sprintf("attribute %d", e.Type)
	if e.Vendor != 0 {
		name = fmt.Sprintf("attribute %d of vendor %d", e.Type, e.Vendor)
	}
	return fmt.Sprintf("%v: %s, %d octets: correct it in the server's entry of the user", ErrAttribute, name, e.Length)
}

func (e *AttributeError) Unwrap() error { return ErrAttribute }

// Accept reads an Access-Accept. The authenticator is that of its Access-Request,
// with which keys are hidden. The message is for ppp.Verdict: the authenticator
// response of MS-CHAPv2 with the Reply-Message after it, or the Reply-Message. eap
// is nil where there is none. An error means that the subscriber has to be
// refused: ErrService, or an *AttributeError.
//
// RFC 2865 section 5: "If an Attribute is received in an Access-Accept,
// Access-Reject or Access-Challenge packet with an invalid length, the packet MUST
// either be treated as an Access-Reject or else silently discarded." A value that
// cannot be is treated in the same way: who would let a subscriber in without the
// address that the server meant lets him in on wrong terms.
func Accept(p *radius.Packet, requestAuthenticator [16]byte) (s subscriber.Service, message string, eap []byte, err error) {
	r, err := read(p, requestAuthenticator)
	if err != nil {
		return subscriber.Service{}, "", nil, err
	}
	return r.s, withReply(r.proof, replyMessage(p)), eapMessage(p), nil
}

// Ignored names what Accept leaves out of an Access-Accept, for the log: text that
// is for people to read and that we could not read, a second value where one is
// all there can be, and what adit has not although the server meant it to matter.
func Ignored(p *radius.Packet) []string {
	r, _ := read(p, [16]byte{}) // what it is about a key does not matter here
	return r.ignored
}

// read reads an Access-Accept as far as it can be.
func read(p *radius.Packet, requestAuthenticator [16]byte) (*reader, error) {
	r := &reader{p: p, authenticator: requestAuthenticator, seen: make(map[key]bool)}
	var first error
	for _, avp := range p.Attributes {
		if err := r.attribute(avp.Type, avp.Attribute); err != nil && first == nil {
			first = err
		}
	}
	r.network()
	r.s.WINS, r.s.DNS = compact(r.s.WINS), compact(r.s.DNS)
	return r, first
}

// key is an attribute that may be there once.
type key struct {
	vendor uint32
	t      radius.Type
}

// reader reads one Access-Accept.
type reader struct {
	p             *radius.Packet
	authenticator [16]byte
	s             subscriber.Service
	ignored       []string
	netmask       int    // prefix length of Framed-IP-Netmask; 0: none
	proof         string // of MS-CHAP2-Success
	seen          map[key]bool
}

// again says whether an attribute that may be there once was there before.
func (r *reader) again(vendor uint32, t radius.Type, name string) bool {
	k := key{vendor, t}
	if r.seen[k] {
		r.ignore(name + " again")
		return true
	}
	r.seen[k] = true
	return false
}

func (r *reader) ignore(what string) { r.ignored = append(r.ignored, what) }

// attribute takes one attribute. Unknown ones say nothing.
//
// RFC 2865 section 5: "A RADIUS client MAY ignore Attributes with an unknown Type."
func (r *reader) attribute(t radius.Type, v radius.Attribute) error {
	if t == rfc2865.VendorSpecific_Type {
		return r.vendorSpecific(v)
	}
	a, ok := accepts[t]
	if !ok || a.single && r.again(0, t, a.name) {
		return nil
	}
	if !a.take(r, v) {
		return &AttributeError{Type: t, Length: len(v)}
	}
	return r.granted(t, v)
}

// granted looks at the two attributes that name a service.
//
// RFC 2865 section 5.6: "A NAS is not required to implement all of these service
// types, and MUST treat unknown or unsupported Service-Types as though an
// Access-Reject had been received instead." One that does not say a Service-Type
// at all says nothing against Framed, for which we asked.
func (r *reader) granted(t radius.Type, v radius.Attribute) error {
	n, err := radius.Integer(v)
	switch {
	case t == rfc2865.ServiceType_Type && (err != nil || n != uint32(rfc2865.ServiceType_Value_FramedUser)):
		return fmt.Errorf("%w: Service-Type %d; give the user Framed-User", ErrService, n)
	case t == rfc2865.FramedProtocol_Type && (err != nil || n != uint32(rfc2865.FramedProtocol_Value_PPP)):
		return fmt.Errorf("%w: Framed-Protocol %d; give the user PPP", ErrService, n)
	}
	return nil
}

// network makes a route of Framed-IP-Address and Framed-IP-Netmask, which is not
// known before both have been read.
//
// RFC 2865 section 5.9: "This Attribute indicates the IP netmask to be configured
// for the user when the user is a router to a network."
func (r *reader) network() {
	if r.netmask == 0 || r.netmask == 32 {
		return
	}
	if !r.s.Address.IsValid() {
		r.ignore("Framed-IP-Netmask without a Framed-IP-Address")
		return
	}
	r.s.Routes = append(r.s.Routes, netip.PrefixFrom(r.s.Address, r.netmask).Masked())
}

// compact moves the servers that there are to the front.
func compact(a [2]netip.Addr) [2]netip.Addr {
	if !a[0].IsValid() {
		a[0], a[1] = a[1], netip.Addr{}
	}
	return a
}

// replyMessage returns the text for the user.
//
// RFC 2865 section 5.18: "Multiple Reply-Message's MAY be included and if any are
// displayed, they MUST be displayed in the same order as they appear in the
// packet."
func replyMessage(p *radius.Packet) string {
	var b []byte
	for _, avp := range p.Attributes {
		if avp.Type == rfc2865.ReplyMessage_Type {
			if len(b) > 0 {
				b = append(b, '\n')
			}
			b = append(b, avp.Attribute...)
		}
	}
	return string(b)
}

// eapMessage puts an EAP packet together; nil: there is none.
//
// RFC 3579 section 3.1: "If multiple EAP-Message attributes are present in a
// packet their values should be concatenated; this allows EAP packets longer than
// 253 octets to be passed by RADIUS."
func eapMessage(p *radius.Packet) []byte {
	var b []byte
	for _, avp := range p.Attributes {
		if avp.Type == rfc2869.EAPMessage_Type {
			b = append(b, avp.Attribute...)
		}
	}
	return b
}
