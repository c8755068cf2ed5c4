package l2tp

// OCRQ is Outgoing-Call-Request, RFC 2661 section 6.9: the LNS asks the LAC to
// place a call.
type OCRQ struct {
	AssignedSessionID uint32 // not 0
	CallSerialNumber  uint32
	MinimumBPS        uint32 // lowest acceptable line speed, bits per second
	MaximumBPS        uint32 // highest acceptable line speed, bits per second
	BearerType        BearerType
	FramingType       FramingType
	CalledNumber      string // may be empty

	SubAddress string // "": absent

	// Version 3.
	RemoteSessionID uint32 // the receiver's; 0, as it has assigned none yet
	Request3
	Session3

	Unparsed
}

// Type implements Message.
func (*OCRQ) Type() MessageType { return TypeOCRQ }

func (m *OCRQ) parse(v *values) (err error) {
	m.CallSerialNumber = v.uint32(AVPCallSerialNumber)
	m.MinimumBPS = v.uint32(AVPMinimumBPS)
	m.MaximumBPS = v.uint32(AVPMaximumBPS)
	m.BearerType = BearerType(v.uint32(AVPBearerType))
	m.FramingType = FramingType(v.uint32(AVPFramingType))
	m.CalledNumber = v.text(AVPCalledNumber)
	m.SubAddress = v.text(AVPSubAddress)
	if v.version == Version3 {
		m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
		m.Request3 = v.request3()
		m.Session3 = v.session3()
	}
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *OCRQ) append(e *encoder) {
	if e.v3() {
		e.sessionIDs(m.AssignedSessionID, m.RemoteSessionID)
		e.uint32(AVPCallSerialNumber, m.CallSerialNumber)
		e.request3(&m.Request3)
		e.session3(&m.Session3)
	} else {
		e.nonzeroID(AVPAssignedSessionID, m.AssignedSessionID)
		e.uint32(AVPCallSerialNumber, m.CallSerialNumber)
	}
	// Version 3 has calls that are none of the telephone network's.
	e.callUint32(AVPMinimumBPS, m.MinimumBPS)
	e.callUint32(AVPMaximumBPS, m.MaximumBPS)
	e.callUint32(AVPBearerType, uint32(m.BearerType))
	e.callUint32(AVPFramingType, uint32(m.FramingType))
	if m.CalledNumber != "" || !e.v3() {
		e.put(AVPCalledNumber, []byte(m.CalledNumber))
	}
	e.optText(AVPSubAddress, m.SubAddress)
}
