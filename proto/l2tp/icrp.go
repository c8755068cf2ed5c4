package l2tp

// ICRP is Incoming-Call-Reply, RFC 2661 section 6.7: the LNS accepts an ICRQ.
type ICRP struct {
	AssignedSessionID uint32 // not 0

	// Version 3.
	RemoteSessionID   uint32  // the receiver's; not 0
	PhysicalChannelID *uint32 // nil: absent
	Session3

	Unparsed
}

// Type implements Message.
func (*ICRP) Type() MessageType { return TypeICRP }

func (m *ICRP) parse(v *values) (err error) {
	if v.version == Version3 {
		m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
		m.PhysicalChannelID = v.uint32Ptr(AVPPhysicalChannelID)
		m.Session3 = v.session3()
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
	e.session3(&m.Session3)
	e.optUint32(AVPPhysicalChannelID, m.PhysicalChannelID)
}
