package l2tp

import "encoding/binary"

// SLI is Set-Link-Info, RFC 2661 section 6.14: the LNS tells the LAC the async
// control character maps that PPP negotiated. "The default values used by the
// LAC for both these fields are 0xFFFFFFFF."
type SLI struct {
	SendACCM uint32 // for what the LAC sends to the remote system
	RecvACCM uint32 // for what the LAC receives from it

	Unparsed
}

// Type implements Message.
func (*SLI) Type() MessageType { return TypeSLI }

func (m *SLI) parse(v *values) error {
	b := v.raw[AVPACCM] // begins with two reserved octets
	m.SendACCM = binary.BigEndian.Uint32(b[2:])
	m.RecvACCM = binary.BigEndian.Uint32(b[6:])
	return nil
}

func (m *SLI) append(e *encoder) {
	b := make([]byte, 2, 10)
	b = binary.BigEndian.AppendUint32(b, m.SendACCM)
	e.put(AVPACCM, binary.BigEndian.AppendUint32(b, m.RecvACCM))
}
