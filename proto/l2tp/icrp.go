package l2tp

// ICRP is Incoming-Call-Reply, RFC 2661 section 6.7: the LNS accepts an ICRQ.
type ICRP struct {
	AssignedSessionID uint32 // not 0

	Unparsed
}

// Type implements Message.
func (*ICRP) Type() MessageType { return TypeICRP }

func (m *ICRP) parse(v *values) (err error) {
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *ICRP) append(e *encoder) {
	e.nonzeroID(AVPAssignedSessionID, m.AssignedSessionID)
}
