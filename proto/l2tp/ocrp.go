package l2tp

// OCRP is Outgoing-Call-Reply, RFC 2661 section 6.10: the LAC is able to
// attempt the call of an OCRQ.
type OCRP struct {
	AssignedSessionID uint32 // not 0

	PhysicalChannelID *uint32 // nil: absent

	// Version 3.
	RemoteSessionID uint32 // the receiver's; not 0
	Cookie          []byte // what the sender wants in data messages to it: 4 or 8 octets; nil: none
	Sublayer        SublayerType
	Sequencing      SequencingLevel
	CircuitStatus   CircuitStatus
	TxConnectSpeed  uint64 // bits per second; 0: absent
	RxConnectSpeed  uint64 // bits per second; 0: absent

	Unparsed
}

// Type implements Message.
func (*OCRP) Type() MessageType { return TypeOCRP }

func (m *OCRP) parse(v *values) (err error) {
	if v.version == Version3 {
		m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
		m.setSession3(v.session3())
	}
	m.PhysicalChannelID = v.uint32Ptr(AVPPhysicalChannelID)
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *OCRP) append(e *encoder) {
	if e.v3() {
		e.sessionIDs(m.AssignedSessionID, m.RemoteSessionID)
		e.session3(m.session3())
	} else {
		e.nonzeroID(AVPAssignedSessionID, m.AssignedSessionID)
	}
	e.optUint32(AVPPhysicalChannelID, m.PhysicalChannelID)
}
