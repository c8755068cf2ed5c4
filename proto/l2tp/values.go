package l2tp

import "encoding/binary"

// values are the values of the supported AVPs of one message, unhidden and of
// a proper length; nil where there was none.
type values struct {
	message MessageType
	raw     [AVPPPPDisconnectCause + 1][]byte
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

func (v *values) text(t AVPType) string { return string(v.raw[t]) }

// octets is a copy; nil if the AVP is absent, not nil if it is empty.
func (v *values) octets(t AVPType) []byte {
	if !v.has(t) {
		return nil
	}
	return append([]byte{}, v.raw[t]...)
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
	if id := uint32(v.uint16(t)); id != 0 {
		return id, nil
	}
	return 0, v.outOfRange(t, "must not be 0")
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
