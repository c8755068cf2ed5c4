package l2tp

// OCCN is Outgoing-Call-Connected, RFC 2661 section 6.11: the call of an OCRQ
// is up, and the session is established.
type OCCN struct {
	AssignedSessionID uint32 // version 3: the sender's; not 0

	TxConnectSpeed uint64 // bits per second, from the LAC to the remote system
	FramingType    FramingType

	RxConnectSpeed     uint64 // bits per second; 0: absent, as TxConnectSpeed
	SequencingRequired bool   // data messages must have sequence numbers

	// Version 3.
	RemoteSessionID uint32 // the receiver's; not 0
	Update3

	Unparsed
}

// Type implements Message.
func (*OCCN) Type() MessageType { return TypeOCCN }

func (m *OCCN) parse(v *values) (err error) {
	m.TxConnectSpeed = v.speed(AVPTxConnectSpeed, AVPTxConnectSpeed3)
	m.FramingType = FramingType(v.uint32(AVPFramingType))
	m.RxConnectSpeed = v.speed(AVPRxConnectSpeed, AVPRxConnectSpeed3)
	m.SequencingRequired = v.has(AVPSequencingRequired)
	if v.version != Version3 {
		return nil
	}
	m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
	m.Update3 = v.update3()
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *OCCN) append(e *encoder) {
	if e.v3() {
		e.sessionIDs(m.AssignedSessionID, m.RemoteSessionID)
		e.update3(&m.Update3)
	}
	e.speed(AVPTxConnectSpeed, AVPTxConnectSpeed3, m.TxConnectSpeed)
	e.callUint32(AVPFramingType, uint32(m.FramingType))
	e.connectOptions(m.RxConnectSpeed, m.SequencingRequired)
}
