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
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *OCRQ) append(e *encoder) {
	e.nonzeroID(AVPAssignedSessionID, m.AssignedSessionID)
	e.uint32(AVPCallSerialNumber, m.CallSerialNumber)
	e.uint32(AVPMinimumBPS, m.MinimumBPS)
	e.uint32(AVPMaximumBPS, m.MaximumBPS)
	e.uint32(AVPBearerType, uint32(m.BearerType))
	e.uint32(AVPFramingType, uint32(m.FramingType))
	e.put(AVPCalledNumber, []byte(m.CalledNumber))
	e.optText(AVPSubAddress, m.SubAddress)
}
