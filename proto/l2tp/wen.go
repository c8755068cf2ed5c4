package l2tp

import "encoding/binary"

// WEN is WAN-Error-Notify, RFC 2661 section 6.13: the LAC tells the LNS the
// error counts of the line.
type WEN struct {
	CallErrors CallErrors

	Unparsed
}

// Type implements Message.
func (*WEN) Type() MessageType { return TypeWEN }

func (m *WEN) parse(v *values) error {
	b := v.raw[AVPCallErrors][2:] // two reserved octets
	for i, field := range m.CallErrors.fields() {
		*field = binary.BigEndian.Uint32(b[4*i:])
	}
	return nil
}

func (m *WEN) append(e *encoder) {
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
