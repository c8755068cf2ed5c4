package l2tp

// ICRQ is Incoming-Call-Request, RFC 2661 section 6.6: the LAC tells the LNS of
// an incoming call.
type ICRQ struct {
	AssignedSessionID uint32 // not 0
	CallSerialNumber  uint32

	BearerType        BearerType // 0: no physical link, or absent
	PhysicalChannelID *uint32    // nil: absent
	CallingNumber     string     // "": absent
	CalledNumber      string     // "": absent
	SubAddress        string     // "": absent

	// AccessLine is what the LAC tells of the access line, RFC 5515; each type
	// once at most, in the order in which they came.
	AccessLine []AccessLineAVP

	Unparsed
}

// Type implements Message.
func (*ICRQ) Type() MessageType { return TypeICRQ }

func (m *ICRQ) parse(v *values) (err error) {
	m.CallSerialNumber = v.uint32(AVPCallSerialNumber)
	m.BearerType = BearerType(v.uint32(AVPBearerType))
	m.PhysicalChannelID = v.uint32Ptr(AVPPhysicalChannelID)
	m.CallingNumber = v.text(AVPCallingNumber)
	m.CalledNumber = v.text(AVPCalledNumber)
	m.SubAddress = v.text(AVPSubAddress)
	m.AccessLine = v.access
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *ICRQ) append(e *encoder) {
	e.nonzeroID(AVPAssignedSessionID, m.AssignedSessionID)
	e.uint32(AVPCallSerialNumber, m.CallSerialNumber)
	if m.BearerType != 0 {
		e.uint32(AVPBearerType, uint32(m.BearerType))
	}
	e.optUint32(AVPPhysicalChannelID, m.PhysicalChannelID)
	e.optText(AVPCallingNumber, m.CallingNumber)
	e.optText(AVPCalledNumber, m.CalledNumber)
	e.optText(AVPSubAddress, m.SubAddress)
	e.accessLine(m.AccessLine)
}
