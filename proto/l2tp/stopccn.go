package l2tp

import "encoding/binary"

// StopCCN is Stop-Control-Connection-Notification, RFC 2661 section 6.4: the
// tunnel and every session in it end.
type StopCCN struct {
	// AssignedTunnelID is the sender's, the same as in its SCCRQ or SCCRP. It
	// may be 0 in what we receive and in what we send: an end that refuses an
	// SCCRQ outright has assigned none.
	AssignedTunnelID uint32
	ResultCode       ResultCode // the StopCCN constants; the text is cut to fit

	Unparsed
}

// Type implements Message.
func (*StopCCN) Type() MessageType { return TypeStopCCN }

func (m *StopCCN) parse(v *values) error {
	m.AssignedTunnelID = v.id(AVPAssignedTunnelID)
	m.ResultCode = v.resultCode()
	return nil
}

func (m *StopCCN) append(e *encoder) {
	// "the zero value MUST NOT be sent as an Assigned Control Connection ID value",
	// RFC 3931 section 5.4.3.
	if m.AssignedTunnelID != 0 || !e.v3() {
		e.id(AVPAssignedTunnelID, m.AssignedTunnelID)
	}
	e.resultCode(m.ResultCode)
}

// resultCode reads the Result Code AVP, RFC 2661 section 4.4.2: "Presence of
// the Error Code and Message are indicated by the AVP Length field."
func (v *values) resultCode() ResultCode {
	b := v.raw[AVPResultCode]
	r := ResultCode{Result: binary.BigEndian.Uint16(b)}
	if len(b) >= 4 {
		r.Error = ErrorCode(binary.BigEndian.Uint16(b[2:]))
		r.Message = string(b[4:])
	}
	return r
}

func (e *encoder) resultCode(r ResultCode) {
	b := binary.BigEndian.AppendUint16(nil, r.Result)
	if r.Error != 0 || r.Message != "" {
		b = binary.BigEndian.AppendUint16(b, uint16(r.Error))
		b = append(b, clip(r.Message, 4)...)
	}
	e.put(AVPResultCode, b)
}
