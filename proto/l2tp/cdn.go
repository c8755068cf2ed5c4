package l2tp

import "encoding/binary"

// CDN is Call-Disconnect-Notify, RFC 2661 section 6.12: the session ends.
type CDN struct {
	ResultCode ResultCode // the CDN constants; the text is cut to fit
	// AssignedSessionID is the sender's, the same as in its request or reply.
	// It may be 0: an end that refuses a call outright has assigned none.
	AssignedSessionID uint32

	Q931Cause     *Q931Cause     // nil: absent
	PPPDisconnect *PPPDisconnect // nil: absent; of several, the last

	RemoteSessionID uint32 // version 3: the receiver's; 0 if the sender does not know it

	Unparsed
}

// Type implements Message.
func (*CDN) Type() MessageType { return TypeCDN }

func (m *CDN) parse(v *values) error {
	m.ResultCode = v.resultCode()
	m.AssignedSessionID = v.id(AVPAssignedSessionID)
	m.RemoteSessionID = v.uint32(AVPRemoteSessionID)
	if b := v.raw[AVPQ931CauseCode]; b != nil {
		m.Q931Cause = &Q931Cause{
			Cause:    binary.BigEndian.Uint16(b),
			Message:  b[2],
			Advisory: string(b[3:]),
		}
	}
	if b := v.raw[AVPPPPDisconnectCause]; b != nil {
		m.PPPDisconnect = &PPPDisconnect{
			Code:      binary.BigEndian.Uint16(b),
			Protocol:  binary.BigEndian.Uint16(b[2:]),
			Direction: b[4],
			Message:   string(b[5:]),
		}
	}
	return nil
}

func (m *CDN) append(e *encoder) {
	e.resultCode(m.ResultCode)
	e.id(AVPAssignedSessionID, m.AssignedSessionID)
	if e.v3() {
		e.uint32(AVPRemoteSessionID, m.RemoteSessionID)
	}
	if q := m.Q931Cause; q != nil {
		b := binary.BigEndian.AppendUint16(nil, q.Cause)
		b = append(b, q.Message)
		e.put(AVPQ931CauseCode, append(b, clip(q.Advisory, 3)...))
	}
	if p := m.PPPDisconnect; p != nil {
		b := binary.BigEndian.AppendUint16(nil, p.Code)
		b = binary.BigEndian.AppendUint16(b, p.Protocol)
		b = append(b, p.Direction)
		e.put(AVPPPPDisconnectCause, append(b, clip(p.Message, 5)...))
	}
}
