package l2tp

import "encoding/binary"

// values are the values of the supported AVPs of one message, unhidden and of
// a proper length; nil where there was none.
type values struct {
	version uint8 // Version or Version3
	message MessageType
	raw     [AVPRxConnectSpeed3 + 1][]byte
	access  []AccessLineAVP // copies
}

func (v *values) has(t AVPType) bool { return v.raw[t] != nil }

// uint16 is 0 if the AVP is absent, and so are the next two.
func (v *values) uint16(t AVPType) uint16 {
	if !v.has(t) {
		return 0
	}
	return binary.BigEndian.Uint16(v.raw[t])
}

func (v *values) uint32(t AVPType) uint32 {
	if !v.has(t) {
		return 0
	}
	return binary.BigEndian.Uint32(v.raw[t])
}

func (v *values) uint64(t AVPType) uint64 {
	if !v.has(t) {
		return 0
	}
	return binary.BigEndian.Uint64(v.raw[t])
}

// speed is a connect speed of either version, in bits per second; 0 if it is absent.
func (v *values) speed(t2, t3 AVPType) uint64 {
	if v.version == Version3 {
		return v.uint64(t3)
	}
	return uint64(v.uint32(t2))
}

func (v *values) text(t AVPType) string { return string(v.raw[t]) }

// octets is a copy; nil if the AVP is absent, not nil if it is empty.
func (v *values) octets(t AVPType) []byte {
	if !v.has(t) {
		return nil
	}
	return append([]byte{}, v.raw[t]...)
}

func (v *values) uint16Ptr(t AVPType) *uint16 {
	if !v.has(t) {
		return nil
	}
	n := v.uint16(t)
	return &n
}

func (v *values) uint32Ptr(t AVPType) *uint32 {
	if !v.has(t) {
		return nil
	}
	n := v.uint32(t)
	return &n
}

// nonzeroID reads an ID that the RFC wants to be non-zero.
func (v *values) nonzeroID(t AVPType) (uint32, error) {
	if id := v.id(t); id != 0 {
		return id, nil
	}
	return 0, v.outOfRange(v.idType(t), "must not be 0")
}

// id reads the Assigned Tunnel ID or Assigned Session ID, or what version 3 has in its
// place: t names it for both.
func (v *values) id(t AVPType) uint32 {
	if t = v.idType(t); v.version == Version3 {
		return v.uint32(t)
	}
	return uint32(v.uint16(t))
}

func (v *values) idType(t AVPType) AVPType { return idType(v.version, t) }

// idType is the AVP of a version for an ID that version 2 has in t.
func idType(version uint8, t AVPType) AVPType {
	switch {
	case version != Version3:
		return t
	case t == AVPAssignedTunnelID:
		return AVPAssignedControlConnectionID
	case t == AVPAssignedSessionID:
		return AVPLocalSessionID
	}
	return t
}

func (v *values) outOfRange(t AVPType, text string) *Error {
	return v.error(&Error{HasAVP: true, AVP: t, Err: ErrAVPValue, Text: text}, ErrorValue)
}

// error completes e with the scope of the message and a general error.
func (v *values) error(e *Error, code ErrorCode) *Error {
	e.Message = v.message
	e.Scope = ScopeTunnel
	if v.message.SessionLevel() {
		e.Scope = ScopeSession
	}
	e.Result = ResultCode{Result: generalError, Error: code}
	text := e.Err.Error()
	if e.HasAVP {
		text = avpName(e.Vendor, e.AVP) + ": " + text
	}
	e.Result.Message = text
	return e
}
