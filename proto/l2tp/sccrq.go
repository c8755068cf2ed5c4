package l2tp

import (
	"encoding/binary"
	"fmt"
)

// SCCRQ is Start-Control-Connection-Request, RFC 2661 section 6.1: it asks for
// a tunnel. Either end may send it.
type SCCRQ struct {
	ProtocolVersion     ProtocolVersion // 0 is written as ProtocolVersion1
	HostName            string          // 1 to 1,017 octets
	FramingCapabilities FramingType     // what the sender accepts
	AssignedTunnelID    uint32          // not 0

	BearerCapabilities BearerType // for outgoing calls; 0: none, or absent
	ReceiveWindowSize  uint16     // control messages; 0: absent, that is 4
	Challenge          []byte     // nil: the sender does not ask for proof
	TieBreaker         *uint64    // nil: absent
	FirmwareRevision   uint16     // 0: absent
	VendorName         string     // "": absent

	// Version 3.
	RouterID          uint32           // identifies the sender; need not be an address
	Pseudowires       []PseudowireType // what sessions the sender can have; not empty
	Nonce             []byte           // Control Message Authentication Nonce; nil: it is off
	PreferredLanguage string           // language tag; "": absent

	// ControlConnectionID is the Assigned Control Connection ID AVP in an SCCRQ of
	// version 2 that offers version 3 besides, RFC 3931 section 4.7.3; 0: it does
	// not. Such a message has the fields of version 3 filled in too. In one of
	// version 3 the ID is AssignedTunnelID.
	ControlConnectionID uint32

	Unparsed
}

// Type implements Message.
func (*SCCRQ) Type() MessageType { return TypeSCCRQ }

func (m *SCCRQ) parse(v *values) (err error) {
	if m.ProtocolVersion, err = v.protocolVersion(); err != nil {
		return err
	}
	if v.version == Version3 || v.offer() {
		m.RouterID, m.Pseudowires, m.Nonce, m.PreferredLanguage = v.endpoint()
	}
	if v.version != Version3 && v.offer() {
		m.ControlConnectionID = v.uint32(AVPAssignedControlConnectionID)
	}
	m.HostName = v.text(AVPHostName)
	m.FramingCapabilities = FramingType(v.uint32(AVPFramingCapabilities))
	m.BearerCapabilities = BearerType(v.uint32(AVPBearerCapabilities))
	m.ReceiveWindowSize = v.uint16(AVPReceiveWindowSize)
	m.Challenge = v.octets(AVPChallenge)
	m.TieBreaker = v.uint64Ptr(AVPTieBreaker)
	m.FirmwareRevision = v.uint16(AVPFirmwareRevision)
	m.VendorName = v.text(AVPVendorName)
	m.AssignedTunnelID, err = v.nonzeroID(AVPAssignedTunnelID)
	return err
}

func (m *SCCRQ) append(e *encoder) {
	if e.v3() {
		e.put(AVPHostName, []byte(m.HostName))
		e.endpoint(m.RouterID, m.AssignedTunnelID, m.Pseudowires, m.Nonce, m.PreferredLanguage)
		m.appendOptional(e)
		return
	}
	e.protocolVersion(m.ProtocolVersion)
	// The Host Name comes before whatever may be hidden: it says which secret
	// the rest is hidden with.
	e.put(AVPHostName, []byte(m.HostName))
	e.uint32(AVPFramingCapabilities, uint32(m.FramingCapabilities))
	e.nonzeroID(AVPAssignedTunnelID, m.AssignedTunnelID)
	if m.BearerCapabilities != 0 {
		e.uint32(AVPBearerCapabilities, uint32(m.BearerCapabilities))
	}
	m.appendOptional(e)
	if m.ControlConnectionID != 0 {
		e.endpoint(m.RouterID, m.ControlConnectionID, m.Pseudowires, m.Nonce, m.PreferredLanguage)
	}
}

// appendOptional writes what the message may have in either version.
func (m *SCCRQ) appendOptional(e *encoder) {
	e.optUint16(AVPReceiveWindowSize, m.ReceiveWindowSize)
	e.optOctets(AVPChallenge, m.Challenge)
	if m.TieBreaker != nil {
		e.put(AVPTieBreaker, binary.BigEndian.AppendUint64(nil, *m.TieBreaker))
	}
	e.optUint16(AVPFirmwareRevision, m.FirmwareRevision)
	e.optText(AVPVendorName, m.VendorName)
}

// protocolVersion checks the Protocol Version AVP. RFC 2661 section 4.4.3: "The
// Ver field is a 1 octet unsigned integer containing the value 1." Another
// revision of it is let pass. Section 4.4.2, Result Code 5 of StopCCN: "The
// protocol version of the requester is not supported; Error Code indicates
// highest version supported".
func (v *values) protocolVersion() (ProtocolVersion, error) {
	version := ProtocolVersion(v.uint16(AVPProtocolVersion))
	if v.version == Version3 {
		return 0, nil // the header says it, and no AVP
	}
	if version>>8 == ProtocolVersion1>>8 {
		return version, nil
	}
	return version, &Error{
		Scope:   ScopeTunnel,
		Result:  ResultCode{Result: StopCCNUnsupportedVersion, Error: ErrorCode(ProtocolVersion1)},
		Message: v.message,
		HasAVP:  true,
		AVP:     AVPProtocolVersion,
		Err:     ErrUnsupportedVersion,
		Text:    fmt.Sprintf("version %s", version),
	}
}

func (e *encoder) protocolVersion(v ProtocolVersion) {
	if v == 0 {
		v = ProtocolVersion1
	}
	e.uint16(AVPProtocolVersion, uint16(v))
}
