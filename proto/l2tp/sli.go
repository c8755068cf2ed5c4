package l2tp

import "encoding/binary"

// SLI is Set-Link-Info, RFC 2661 section 6.14: the LNS tells the LAC the async
// control character maps that PPP negotiated. Section 4.4.6: "The default values used by the
// LAC for both these fields are 0xFFFFFFFF."
type SLI struct {
	SendACCM uint32 // for what the LAC sends to the remote system
	RecvACCM uint32 // for what the LAC receives from it

	// Version 3.
	AssignedSessionID uint32         // the sender's; not 0
	RemoteSessionID   uint32         // the receiver's; 0 if the sender does not know it
	CircuitStatus     *CircuitStatus // nil: absent
	// HasACCM says that the message has the ACCM AVP, which one of version 2 always has.
	HasACCM bool

	Unparsed
}

// Type implements Message.
func (*SLI) Type() MessageType { return TypeSLI }

func (m *SLI) parse(v *values) (err error) {
	if b := v.raw[AVPACCM]; b != nil { // begins with two reserved octets
		m.SendACCM = binary.BigEndian.Uint32(b[2:])
		m.RecvACCM = binary.BigEndian.Uint32(b[6:])
	}
	if v.version != Version3 {
		return nil
	}
	m.HasACCM = v.has(AVPACCM)
	m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
	m.CircuitStatus = v.circuitStatus()
	m.AssignedSessionID, err = v.nonzeroID(AVPAssignedSessionID)
	return err
}

func (m *SLI) append(e *encoder) {
	if e.v3() {
		e.sessionIDs(m.AssignedSessionID, m.RemoteSessionID)
		e.circuitStatus(m.CircuitStatus)
		if !m.HasACCM {
			return
		}
	}
	b := make([]byte, 2, 10)
	b = binary.BigEndian.AppendUint32(b, m.SendACCM)
	e.put(AVPACCM, binary.BigEndian.AppendUint32(b, m.RecvACCM))
}
