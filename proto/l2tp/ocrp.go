package l2tp

// OCRP is Outgoing-Call-Reply, RFC 2661 section 6.10: the LAC is able to
// attempt the call of an OCRQ.
type OCRP struct {
	AssignedSessionID uint32 // not 0

	PhysicalChannelID *uint32 // nil: absent

	Unparsed
}

// Type implements Message.
func (*OCRP) Type() MessageType { return TypeOCRP }

func (m *OCRP) parse(v *values) (err error) {
	m.PhysicalChannelID = v.uint32Ptr(AVPPhysicalChannelID)
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *OCRP) append(e *encoder) {
	e.nonzeroID(AVPAssignedSessionID, m.AssignedSessionID)
	e.optUint32(AVPPhysicalChannelID, m.PhysicalChannelID)
}
