package l2tp

// OCRP is Outgoing-Call-Reply, RFC 2661 section 6.10: the LAC is able to
// attempt the call of an OCRQ.
type OCRP struct {
	AssignedSessionID uint32 // not 0

	PhysicalChannelID *uint32 // nil: absent

	// Version 3.
	RemoteSessionID uint32 // the receiver's; not 0
	Session3

	Unparsed
}

// Type implements Message.
func (*OCRP) Type() MessageType { return TypeOCRP }

func (m *OCRP) parse(v *values) (err error) {
	if v.version == Version3 {
		m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
		m.Session3 = v.session3()
	}
	m.PhysicalChannelID = v.uint32Ptr(AVPPhysicalChannelID)
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *OCRP) append(e *encoder) {
	if e.v3() {
		e.sessionIDs(m.AssignedSessionID, m.RemoteSessionID)
		e.session3(&m.Session3)
	} else {
		e.nonzeroID(AVPAssignedSessionID, m.AssignedSessionID)
	}
	e.optUint32(AVPPhysicalChannelID, m.PhysicalChannelID)
}
