package l2tp

import "encoding/binary"

// WEN is WAN-Error-Notify, RFC 2661 section 6.13: the LAC tells the LNS the
// error counts of the line.
type WEN struct {
	CallErrors CallErrors // Circuit Errors in version 3

	AssignedSessionID uint32 // version 3: the sender's; not 0
	RemoteSessionID   uint32 // version 3: the receiver's; 0 if the sender does not know it

	Unparsed
}

// Type implements Message.
func (*WEN) Type() MessageType { return TypeWEN }

func (m *WEN) parse(v *values) (err error) {
	b := v.raw[AVPCallErrors][2:] // two reserved octets
	fields := m.CallErrors.fields()
	// The short form of version 3 has not got the first two.
	for i, field := range fields[len(fields)-len(b)/4:] {
		*field = binary.BigEndian.Uint32(b[4*i:])
	}
	if v.version != Version3 {
		return nil
	}
	m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *WEN) append(e *encoder) {
	if e.v3() {
		e.sessionIDs(m.AssignedSessionID, m.RemoteSessionID)
	}
	b := make([]byte, 2, 26)
	for _, field := range m.CallErrors.fields() {
		b = binary.BigEndian.AppendUint32(b, *field)
	}
	e.put(AVPCallErrors, b)
}

// fields are the counters in the order of the wire.
func (c *CallErrors) fields() [6]*uint32 {
	return [...]*uint32{
		&c.CRCErrors, &c.FramingErrors, &c.HardwareOverruns,
		&c.BufferOverruns, &c.TimeoutErrors, &c.AlignmentErrors,
	}
}
