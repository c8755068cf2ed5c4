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

	// Version 3.
	RemoteSessionID uint32 // the receiver's; 0, as it has assigned none yet
	Request3
	Session3

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
	if v.version == Version3 {
		m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
		m.Request3 = v.request3()
		m.Session3 = v.session3()
	}
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *ICRQ) append(e *encoder) {
	if e.v3() {
		e.sessionIDs(m.AssignedSessionID, m.RemoteSessionID)
		e.uint32(AVPCallSerialNumber, m.CallSerialNumber)
		e.request3(&m.Request3)
		e.session3(&m.Session3)
	} else {
		e.nonzeroID(AVPAssignedSessionID, m.AssignedSessionID)
		e.uint32(AVPCallSerialNumber, m.CallSerialNumber)
	}
	if m.BearerType != 0 {
		e.uint32(AVPBearerType, uint32(m.BearerType))
	}
	e.optUint32(AVPPhysicalChannelID, m.PhysicalChannelID)
	e.optText(AVPCallingNumber, m.CallingNumber)
	e.optText(AVPCalledNumber, m.CalledNumber)
	e.optText(AVPSubAddress, m.SubAddress)
	e.accessLine(m.AccessLine)
}
