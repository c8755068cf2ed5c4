package coa

import (
	"encoding/binary"
	"net/netip"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc3576"

	"adit/lns/radattr"
)

// request is a request as it was read.
type request struct {
	sel    Selector
	change Change
	class  [][]byte // of a Disconnect-Request

	timestamp time.Time // Event-Timestamp; zero: none
	authorize bool      // Service-Type Authorize Only
	state     bool      // there is a State
	other     bool      // there is a new term, which Authorize Only must not have
}

// minInterim is RFC 2869 section 5.16: "The value MUST NOT be smaller than 60."
const minInterim = time.Minute

// parser reads one request for a NAS that has these names.
type parser struct {
	code       radius.Code
	identifier string
	addresses  []netip.Addr // any of them is the NAS's
	r          request
	seen       [256]bool
}

// parse reads what a request asks for, or says why it cannot be carried out.
func (p *parser) parse(attributes radius.Attributes) ErrorCause {
	for _, avp := range attributes {
		cause := p.attribute(avp.Type, avp.Attribute)
		if cause != CauseNone {
			return cause
		}
	}
	if p.r.authorize {
		return p.authorizeOnly()
	}
	// RFC 5176 section 3.5: "Missing Attribute is a fatal error sent if critical
	// attributes (such as NAS or session identification attributes) are missing
	// from a Request."
	if p.r.sel.empty() {
		return MissingAttribute
	}
	return CauseNone
}

// authorizeOnly refuses a request that wants us to ask the server again.
//
// RFC 5176 section 3.2: "If the NAS does not support a Service-Type value of
// 'Authorize Only', then it MUST respond with a CoA-NAK; an Error-Cause Attribute
// with a value of 405 (Unsupported Service) SHOULD be included." "If other
// attributes are included in such a CoA-Request, a CoA-NAK MUST be sent; an
// Error-Cause Attribute with value 401 (Unsupported Attribute) SHOULD be included."
// Section 3.3: "but lacking a State Attribute MUST send a CoA-NAK and SHOULD
// include an Error-Cause Attribute with a value of 402 (Missing Attribute)".
func (p *parser) authorizeOnly() ErrorCause {
	switch {
	case !p.r.state:
		return MissingAttribute
	case p.r.other:
		return UnsupportedAttribute
	}
	return UnsupportedService
}

// attribute takes one attribute.
func (p *parser) attribute(t radius.Type, v []byte) ErrorCause {
	if t == rfc2865.ProxyState_Type || t == rfc2869.MessageAuthenticator_Type {
		return CauseNone
	}
	// RFC 5176 section 3.6 has few attributes of which there may be more than one.
	if p.seen[uint8(t)] && t != rfc3162.FramedIPv6Prefix_Type && t != rfc2865.Class_Type {
		return InvalidRequest
	}
	p.seen[uint8(t)] = true
	if cause, ok := p.nas(t, v); ok {
		return cause
	}
	if cause, ok := p.session(t, v); ok {
		return cause
	}
	if t == rfc2869.EventTimestamp_Type {
		if len(v) != 4 {
			return InvalidAttributeValue
		}
		p.r.timestamp = time.Unix(int64(binary.BigEndian.Uint32(v)), 0)
		return CauseNone
	}
	if p.code == radius.CodeDisconnectRequest {
		return p.disconnect(t, v)
	}
	return p.coa(t, v)
}

// nas compares an attribute that names the NAS. It says false for others.
//
// RFC 5176 section 3.5: "'NAS Identification Mismatch' is a fatal error sent if
// one or more NAS identification attributes (see Section 3) do not match the
// identity of the NAS receiving the Request."
func (p *parser) nas(t radius.Type, v []byte) (ErrorCause, bool) {
	ok := false
	switch t {
	case rfc2865.NASIdentifier_Type:
		ok = string(v) == p.identifier
	case rfc2865.NASIPAddress_Type, rfc3162.NASIPv6Address_Type:
		a, valid := netip.AddrFromSlice(v)
		if !valid || a.Is4() != (t == rfc2865.NASIPAddress_Type) {
			return InvalidAttributeValue, true
		}
		for _, ours := range p.addresses {
			ok = ok || ours == a
		}
	default:
		return CauseNone, false
	}
	if !ok {
		return NASIdentificationMismatch, true
	}
	return CauseNone, true
}

// session takes an attribute that names sessions. It says false for others.
func (p *parser) session(t radius.Type, v []byte) (ErrorCause, bool) {
	ok := len(v) > 0
	s := &p.r.sel
	switch t {
	case rfc2865.UserName_Type:
		s.User = string(v)
	case rfc2866.AcctSessionID_Type:
		s.SessionID = string(v)
	case rfc2865.CallingStationID_Type:
		s.CallingNumber = string(v)
	case rfc2865.CalledStationID_Type:
		s.CalledNumber = string(v)
	case rfc2869.NASPortID_Type:
		s.NASPortID = string(v)
	case rfc2865.NASPort_Type:
		var n uint32
		if ok = len(v) == 4; ok {
			n = binary.BigEndian.Uint32(v)
		}
		s.NASPort = &n
	case rfc2865.FramedIPAddress_Type:
		if ok = len(v) == 4; ok {
			s.Address = netip.AddrFrom4([4]byte(v))
		}
	case rfc3162.FramedInterfaceID_Type:
		var n uint64
		if ok = len(v) == 8; ok {
			n = binary.BigEndian.Uint64(v)
		}
		s.InterfaceID = &n
	case rfc3162.FramedIPv6Prefix_Type:
		var prefix netip.Prefix
		if prefix, ok = radattr.ParsePrefix(v); ok {
			s.Prefixes = append(s.Prefixes, prefix)
		}
	default:
		return CauseNone, false
	}
	if !ok {
		return InvalidAttributeValue, true
	}
	return CauseNone, true
}

// disconnect takes what else a Disconnect-Request has.
//
// RFC 5176 section 3: "A Disconnect-Request MUST contain only NAS and session
// identification attributes. If other attributes are included in a
// Disconnect-Request, implementations MUST send a Disconnect-NAK; an Error-Cause
// Attribute with value 'Unsupported Attribute' MAY be included." The table of
// section 3.6 has Class and Acct-Terminate-Cause as well: the first is for the
// Stop record, and the second tells us nothing that we say to anybody.
func (p *parser) disconnect(t radius.Type, v []byte) ErrorCause {
	switch t {
	case rfc2865.Class_Type:
		if len(v) == 0 {
			return InvalidAttributeValue
		}
		p.r.class = append(p.r.class, v)
		return CauseNone
	case rfc2866.AcctTerminateCause_Type:
		if len(v) != 4 {
			return InvalidAttributeValue
		}
		return CauseNone
	default:
		return UnsupportedAttribute
	}
}

// coa takes what else a CoA-Request has: new terms. What a session has already,
// Framed PPP, is no new one.
func (p *parser) coa(t radius.Type, v []byte) ErrorCause {
	switch t {
	case rfc2865.State_Type:
		p.r.state = true
		return CauseNone
	case rfc2865.ServiceType_Type:
		return p.serviceType(v)
	case rfc2865.FramedProtocol_Type:
		p.r.other = true
		if n, err := radius.Integer(v); err != nil || n != uint32(rfc2865.FramedProtocol_Value_PPP) {
			return InvalidAttributeValue
		}
		return CauseNone
	default:
		p.r.other = true
		return p.term(t, v)
	}
}

// term takes a new term for a session.
func (p *parser) term(t radius.Type, v []byte) ErrorCause {
	var to **time.Duration
	switch t {
	case rfc2865.SessionTimeout_Type:
		to = &p.r.change.SessionTimeout
	case rfc2865.IdleTimeout_Type:
		to = &p.r.change.IdleTimeout
	case rfc2869.AcctInterimInterval_Type:
		to = &p.r.change.InterimInterval
	case rfc2865.Class_Type:
		if len(v) == 0 {
			return InvalidAttributeValue
		}
		p.r.change.Class = append(p.r.change.Class, v)
		return CauseNone
	default:
		return UnsupportedAttribute
	}
	if len(v) != 4 {
		return InvalidAttributeValue
	}
	d := time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	if t == rfc2869.AcctInterimInterval_Type && d != 0 {
		d = max(d, minInterim)
	}
	*to = &d
	return CauseNone
}

// serviceType takes a Service-Type of a CoA-Request.
//
// RFC 5176 section 3.5: "'Unsupported Service' is a fatal error sent if a
// Service-Type Attribute included with the Request is sent with an invalid or
// unsupported value."
func (p *parser) serviceType(v []byte) ErrorCause {
	n, err := radius.Integer(v)
	switch {
	case err != nil:
		return UnsupportedService
	case n == uint32(rfc3576.ServiceType_Value_AuthorizeOnly):
		p.r.authorize = true
	case n != uint32(rfc2865.ServiceType_Value_FramedUser):
		return UnsupportedService
	}
	return CauseNone
}
