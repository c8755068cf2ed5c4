package l2tp

// SCCRP is Start-Control-Connection-Reply, RFC 2661 and RFC 3931 section 6.2: it
// accepts an SCCRQ.
type SCCRP struct {
	ProtocolVersion     ProtocolVersion // 0 is written as ProtocolVersion1
	FramingCapabilities FramingType     // what the sender accepts
	HostName            string          // 1 to 1,017 octets
	AssignedTunnelID    uint32          // not 0

	BearerCapabilities BearerType // for outgoing calls; 0: none, or absent
	FirmwareRevision   uint16     // 0: absent
	VendorName         string     // "": absent
	ReceiveWindowSize  uint16     // control messages; 0: absent, that is 4
	Challenge          []byte     // nil: the sender does not ask for proof
	ChallengeResponse  []byte     // 16 octets; nil: the SCCRQ had no challenge

	// Version 3.
	RouterID          uint32           // identifies the sender; need not be an address
	Pseudowires       []PseudowireType // what sessions the sender can have; not empty
	Nonce             []byte           // Control Message Authentication Nonce; nil: it is off
	PreferredLanguage string           // language tag; "": absent

	Unparsed
}

// Type implements Message.
func (*SCCRP) Type() MessageType { return TypeSCCRP }

func (m *SCCRP) parse(v *values) (err error) {
	if m.ProtocolVersion, err = v.protocolVersion(); err != nil {
		return err
	}
	m.RouterID, m.Pseudowires, m.Nonce, m.PreferredLanguage = v.endpoint()
	m.FramingCapabilities = FramingType(v.uint32(AVPFramingCapabilities))
	m.HostName = v.text(AVPHostName)
	m.BearerCapabilities = BearerType(v.uint32(AVPBearerCapabilities))
	m.FirmwareRevision = v.uint16(AVPFirmwareRevision)
	m.VendorName = v.text(AVPVendorName)
	m.ReceiveWindowSize = v.uint16(AVPReceiveWindowSize)
	m.Challenge = v.octets(AVPChallenge)
	m.ChallengeResponse = v.octets(AVPChallengeResponse)
	m.AssignedTunnelID, err = v.nonzeroID(AVPAssignedTunnelID)
	return err
}

func (m *SCCRP) append(e *encoder) {
	if e.v3() {
		e.put(AVPHostName, []byte(m.HostName))
		e.endpoint(m.RouterID, m.AssignedTunnelID, m.Pseudowires, m.Nonce, m.PreferredLanguage)
		e.optText(AVPVendorName, m.VendorName)
		e.optUint16(AVPReceiveWindowSize, m.ReceiveWindowSize)
		return
	}
	e.protocolVersion(m.ProtocolVersion)
	e.put(AVPHostName, []byte(m.HostName))
	e.uint32(AVPFramingCapabilities, uint32(m.FramingCapabilities))
	e.nonzeroID(AVPAssignedTunnelID, m.AssignedTunnelID)
	if m.BearerCapabilities != 0 {
		e.uint32(AVPBearerCapabilities, uint32(m.BearerCapabilities))
	}
	e.optUint16(AVPFirmwareRevision, m.FirmwareRevision)
	e.optText(AVPVendorName, m.VendorName)
	e.optUint16(AVPReceiveWindowSize, m.ReceiveWindowSize)
	e.optOctets(AVPChallenge, m.Challenge)
	e.optOctets(AVPChallengeResponse, m.ChallengeResponse)
}
