package l2tp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Limits on what is kept of AVPs without a field, so that a message of 64 KiB
// cannot make much of us. What is over is dropped.
const (
	maxExtra   = 128
	maxIgnored = 32
)

// decoder is the state of ParseMessage.
type decoder struct {
	values
	secret    []byte
	hideWith  []byte // what hidingKey makes of it; nil: nothing was hidden as yet
	vector    []byte // the last Random Vector; nil: none yet
	rest      Unparsed
	firstFail *Error
}

// ParseMessage reads the payload of a control message. version is what the header
// said: Version or Version3. secret unhides hidden AVPs; nil if there is no shared
// secret. The message keeps nothing of payload.
//
// A message of version 3 is to have been verified before (see Verify). Its Message
// Digest AVPs have no field.
//
// Every error is an *Error. A ZLB has no payload and is no message: ErrEmpty.
// With an error the message is nil.
func ParseMessage(version uint8, payload, secret []byte) (Message, error) {
	if len(payload) == 0 {
		return nil, &Error{Scope: ScopeMessage, Err: ErrEmpty}
	}
	d := decoder{values: values{version: version}, secret: secret}
	body, fail := d.messageType(payload)
	if fail != nil {
		return nil, fail
	}
	d.avps(body)
	if d.firstFail == nil {
		d.required()
	}
	if d.firstFail != nil {
		return nil, d.withIDs(d.firstFail)
	}
	m := newMessage(d.message)
	if err := m.parse(&d.values); err != nil {
		var fail *Error
		if errors.As(err, &fail) {
			err = d.withIDs(fail)
		}
		return nil, err
	}
	*m.Rest() = d.rest
	return m, nil
}

// withIDs tells the IDs that the peer assigned.
func (d *decoder) withIDs(e *Error) *Error {
	e.AssignedTunnelID = d.id(AVPAssignedTunnelID)
	e.AssignedSessionID = d.id(AVPAssignedSessionID)
	e.RemoteSessionID = d.uint32(AVPRemoteSessionID)
	return e
}

// messageType reads the first AVP. "The Message Type AVP MUST be the first AVP
// in a message, immediately following the control message header."
func (d *decoder) messageType(payload []byte) (rest []byte, fail *Error) {
	a, rest, ok := nextAVP(payload)
	switch {
	case !ok:
		return nil, d.error(&Error{Err: ErrFraming}, ErrorLength)
	case a.Type == AVPMessageType && d.version == Version3 && a.Vendor != 0:
		return nil, d.vendorMessage(a)
	case a.Vendor != 0 || a.Type != AVPMessageType:
		return nil, d.error(&Error{HasAVP: true, Vendor: a.Vendor, AVP: a.Type, Err: ErrNoMessageType}, ErrorValue)
	// "This AVP may not be hidden (the H-bit MUST be 0)." And an AVP with a
	// reserved bit is not to be recognised, so there is no Message Type.
	case a.Hidden || a.reserved:
		return nil, d.error(&Error{HasAVP: true, AVP: a.Type, Err: ErrNoMessageType, Text: "H or reserved bit set"}, ErrorValue)
	case len(a.Value) != 2:
		return nil, d.error(&Error{HasAVP: true, AVP: a.Type, Err: ErrNoMessageType, Text: "wrong length"}, ErrorLength)
	}
	d.message = MessageType(binary.BigEndian.Uint16(a.Value))
	if d.message.knownIn(d.version) {
		return rest, nil
	}
	e := &Error{HasAVP: true, AVP: a.Type, Err: ErrUnknownMessage, Text: d.message.String()}
	// "If the M-bit is set within the Message Type AVP and the Message Type is
	// unknown to the implementation, the tunnel MUST be cleared. If the M-bit is
	// not set, then the implementation may ignore an unknown message type."
	if !a.Mandatory {
		e.Message = d.message
		return nil, e
	}
	e = d.error(e, ErrorValue)
	e.Result.Message = "unknown mandatory " + d.message.String()
	return nil, e
}

// avps takes the AVPs after the Message Type. After a fatal one it goes on, to
// learn the IDs of the peer.
func (d *decoder) avps(b []byte) {
	for len(b) > 0 {
		a, rest, ok := nextAVP(b)
		if !ok {
			// There is no finding the next AVP, so the M bit cannot help: this
			// is the unrecoverable malformed message of section 7.1.
			d.fail(&Error{Err: ErrFraming}, ErrorLength)
			return
		}
		b = rest
		d.avp(a)
	}
}

func (d *decoder) avp(a rawAVP) {
	if a.Vendor == VendorADSLForum && !a.reserved {
		if info := lookupAccess(a.Type); info != nil {
			d.accessLine(a, info)
			return
		}
	}
	// RFC 3145 section 4: "A draft form of this AVP used Vendor ID 43 (3Com
	// Corporation) and vendor-specific Attribute Type 46. Implementations MAY
	// accept AVPs with these values as equivalent".
	draft := a.Vendor == vendor3Com && a.Type == AVPPPPDisconnectCause && !a.Hidden
	var info *avpInfo
	if a.Vendor == 0 || draft {
		info = d.lookup(a)
	}
	// "An AVP received with a reserved bit set to 1 MUST be treated as an
	// unrecognized AVP."
	if a.reserved || info == nil || !info.Supported {
		if d.foreign(a) {
			d.ignore(a, ErrAVPMisplaced)
			return
		}
		d.unrecognised(a)
		return
	}
	if a.Type == AVPRandomVector && !a.Hidden {
		// "a hidden AVP uses the Random Vector AVP most closely preceding it"
		d.vector = a.Value
		return
	}
	if a.Hidden && !d.reveal(&a) {
		return
	}
	d.take(a, info)
}

// take files the value of a supported AVP.
func (d *decoder) take(a rawAVP, info *avpInfo) {
	switch {
	case !info.lengthOK(len(a.Value)):
		d.malformed(a, ErrAVPLength, ErrorLength)
	case !info.Allowed.Has(d.message):
		// The AVP is recognised and it is not malformed, so neither the M bit
		// nor section 7.1 speaks against leaving it. Others do the same.
		d.ignore(a, ErrAVPMisplaced)
	case a.Type == AVPMessageDigest:
		// Verify has dealt with it, and there may be two.
	case !d.has(a.Type):
		d.raw[a.Type] = a.Value
	case a.Type == AVPPPPDisconnectCause:
		// RFC 3145 section 3.4: "multiple copies of this AVP MAY be given". The
		// last is kept, as "the last (most recent) failing NCP" would be.
		d.raw[a.Type] = a.Value
	case slices.Equal(a.Value, d.raw[a.Type]):
		d.ignore(a, ErrAVPRepeated)
	default:
		// The RFC has no rule. Two values that contradict each other leave no
		// right one to choose, so the AVP is malformed in the sense of 7.1.
		d.malformed(a, ErrAVPRepeated, ErrorValue)
	}
}

// reveal unhides a; false if that cannot be done, and then it is dealt with.
func (d *decoder) reveal(a *rawAVP) bool {
	switch {
	case a.Vendor == 0 && (a.Type == AVPMessageType || a.Type == AVPRandomVector):
		d.malformed(*a, ErrAVPValue, ErrorValue)
	case len(d.secret) == 0:
		d.malformed(*a, ErrHiddenNoSecret, ErrorVendorSpecific)
	case d.vector == nil:
		// "This AVP MUST precede the first AVP with the H bit set."
		d.malformed(*a, ErrHiddenNoVector, ErrorValue)
	default:
		if d.hideWith == nil {
			d.hideWith = hidingKey(d.version, d.secret)
		}
		value, ok := unhide(a.Value, a.Type, d.hideWith, d.vector)
		if ok {
			a.Value = value
			return true
		}
		d.malformed(*a, ErrUnhide, ErrorLength)
	}
	return false
}

// unrecognised applies the M bit, section 4.1: "If the M bit is set on an
// unrecognized AVP within a message associated with a particular session, the
// session associated with this message MUST be terminated. If the M bit is set
// on an unrecognized AVP within a message associated with the overall tunnel,
// the entire tunnel (and all sessions within) MUST be terminated. If the M bit
// is not set, an unrecognized AVP MUST be ignored."
func (d *decoder) unrecognised(a rawAVP) {
	if a.Mandatory {
		e := &Error{HasAVP: true, Vendor: a.Vendor, AVP: a.Type, Err: ErrUnknownMandatory}
		if a.reserved {
			e.Text = "reserved bit set"
		}
		d.fail(e, ErrorUnknownMandatoryAVP)
		return
	}
	if a.reserved {
		d.ignore(a, ErrUnknownAVP)
		return
	}
	if a.Hidden && !d.reveal(&a) {
		return
	}
	if len(d.rest.Extra) == maxExtra {
		d.ignore(a, ErrTooManyAVPs)
		return
	}
	a.Value = append([]byte{}, a.Value...)
	d.rest.Extra = append(d.rest.Extra, a.AVP)
}

// malformed applies section 7.1: "if a malformed AVP is received with the M-bit
// set, the session or tunnel should be terminated with a proper Result or Error
// Code sent. If the M-bit is not set, the AVP should be ignored (with the
// exception of logging a local error message) and the message accepted."
func (d *decoder) malformed(a rawAVP, err error, code ErrorCode) {
	if !a.Mandatory {
		d.ignore(a, err)
		return
	}
	e := &Error{HasAVP: true, Vendor: a.Vendor, AVP: a.Type, Err: err}
	if errors.Is(err, ErrAVPLength) {
		e.Text = fmt.Sprintf("%d octets", len(a.Value))
	}
	d.fail(e, code)
}

// fail keeps the first fatal error.
func (d *decoder) fail(e *Error, code ErrorCode) {
	if d.firstFail == nil {
		d.firstFail = d.error(e, code)
	}
}

func (d *decoder) ignore(a rawAVP, err error) {
	if len(d.rest.Ignored) < maxIgnored {
		d.rest.Ignored = append(d.rest.Ignored, &Error{
			Scope: ScopeMessage, Message: d.message, HasAVP: true, Vendor: a.Vendor, AVP: a.Type, Err: err,
		})
	}
}

// required looks for the AVPs the message must have: "a message that is missing
// a required AVP" is malformed (section 7.1).
func (d *decoder) required() {
	table := tableOf(d.version)
	for i := range table {
		info := &table[i]
		switch {
		case info.Type == AVPMessageType || !info.Required.Has(d.message) || d.has(info.Type):
		case d.dispensable(info.Type):
			d.ignore(rawAVP{AVP: AVP{Type: info.Type}}, ErrMissingAVP)
		default:
			d.fail(&Error{HasAVP: true, AVP: info.Type, Err: ErrMissingAVP}, ErrorValue)
			return
		}
	}
}

// dispensable says whether the message can do without an AVP that it must have:
// the ID in a StopCCN or CDN is for the case that the header cannot say what is
// to end. A malformed goodbye is one all the same, and its Result Code is worth
// more than ours about what it lacks.
func (d *decoder) dispensable(t AVPType) bool {
	return d.message == TypeStopCCN && t == AVPAssignedTunnelID ||
		d.message == TypeCDN && (t == AVPAssignedSessionID || t == AVPLocalSessionID || t == AVPRemoteSessionID)
}

// PeekMessageType tells the type of the message in payload, if it begins with a
// proper Message Type AVP, of either version.
func PeekMessageType(payload []byte) (MessageType, bool) {
	d := decoder{values: values{version: Version3}}
	_, fail := d.messageType(payload)
	return d.message, fail == nil
}

// PeekHostName finds the Host Name of an SCCRQ or SCCRP, which is never hidden,
// so that the secret can be chosen by it before the message is parsed.
func PeekHostName(payload []byte) (string, bool) {
	name := FindAVP(payload, AVPHostName)
	return string(name), len(name) > 0
}
