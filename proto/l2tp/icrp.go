package l2tp

// ICRP is Incoming-Call-Reply, RFC 2661 section 6.7: the LNS accepts an ICRQ.
type ICRP struct {
	AssignedSessionID uint32 // not 0

	// Version 3.
	RemoteSessionID   uint32 // the receiver's; not 0
	Cookie            []byte // what the sender wants in data messages to it: 4 or 8 octets; nil: none
	Sublayer          SublayerType
	Sequencing        SequencingLevel
	CircuitStatus     CircuitStatus
	TxConnectSpeed    uint64  // bits per second; 0: absent
	RxConnectSpeed    uint64  // bits per second; 0: absent
	PhysicalChannelID *uint32 // nil: absent

	Unparsed
}

// Type implements Message.
func (*ICRP) Type() MessageType { return TypeICRP }

func (m *ICRP) parse(v *values) (err error) {
	if v.version == Version3 {
		m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
		m.PhysicalChannelID = v.uint32Ptr(AVPPhysicalChannelID)
		m.setSession3(v.session3())
	}
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *ICRP) append(e *encoder) {
	if !e.v3() {
		e.nonzeroID(AVPAssignedSessionID, m.AssignedSessionID)
		return
	}
	e.sessionIDs(m.AssignedSessionID, m.RemoteSessionID)
	e.session3(m.session3())
	e.optUint32(AVPPhysicalChannelID, m.PhysicalChannelID)
}
