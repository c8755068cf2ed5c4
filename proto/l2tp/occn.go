package l2tp

// OCCN is Outgoing-Call-Connected, RFC 2661 section 6.11: the call of an OCRQ
// is up, and the session is established.
type OCCN struct {
	TxConnectSpeed uint32 // bits per second, from the LAC to the remote system
	FramingType    FramingType

	RxConnectSpeed     uint32 // bits per second; 0: absent, as TxConnectSpeed
	SequencingRequired bool   // data messages must have sequence numbers

	Unparsed
}

// Type implements Message.
func (*OCCN) Type() MessageType { return TypeOCCN }

func (m *OCCN) parse(v *values) error {
	m.TxConnectSpeed = v.uint32(AVPTxConnectSpeed)
	m.FramingType = FramingType(v.uint32(AVPFramingType))
	m.RxConnectSpeed = v.uint32(AVPRxConnectSpeed)
	m.SequencingRequired = v.has(AVPSequencingRequired)
	return nil
}

func (m *OCCN) append(e *encoder) {
	e.uint32(AVPTxConnectSpeed, m.TxConnectSpeed)
	e.uint32(AVPFramingType, uint32(m.FramingType))
	e.connectOptions(m.RxConnectSpeed, m.SequencingRequired)
}
