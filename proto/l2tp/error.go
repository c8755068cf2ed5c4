package l2tp

import (
	"errors"
	"fmt"
)

// Scope says how far an error in a received message reaches.
type Scope uint8

// The scopes, from the least on.
const (
	ScopeMessage Scope = iota // ignore the message
	ScopeSession              // end the session with a CDN
	ScopeTunnel               // end the tunnel with a StopCCN
)

// String names the scope.
func (s Scope) String() string {
	switch s {
	case ScopeMessage:
		return "message"
	case ScopeSession:
		return "session"
	case ScopeTunnel:
		return "tunnel"
	}
	return fmt.Sprintf("scope %d", uint8(s))
}

// Kinds of Error, for errors.Is.
var (
	ErrEmpty              = errors.New("empty message (ZLB)")
	ErrFraming            = errors.New("AVPs do not fill the message")
	ErrNoMessageType      = errors.New("first AVP is not a proper Message Type")
	ErrUnknownMessage     = errors.New("unknown message type")
	ErrUnknownMandatory   = errors.New("unknown AVP with the M bit set")
	ErrUnknownAVP         = errors.New("unknown AVP")
	ErrMissingAVP         = errors.New("required AVP is missing")
	ErrAVPLength          = errors.New("AVP has a wrong length")
	ErrAVPValue           = errors.New("AVP has a value out of range")
	ErrAVPRepeated        = errors.New("AVP repeated")
	ErrAVPMisplaced       = errors.New("AVP does not belong in this message")
	ErrHiddenNoSecret     = errors.New("AVP is hidden and there is no shared secret")
	ErrHiddenNoVector     = errors.New("AVP is hidden and no Random Vector precedes it")
	ErrUnhide             = errors.New("AVP cannot be unhidden: malformed, or another secret")
	ErrUnsupportedVersion = errors.New("protocol version not supported")
	ErrTooManyAVPs        = errors.New("too many extra AVPs")
)

// Error is what is wrong with a control message that a peer sent.
type Error struct {
	// Scope is how far it reaches. In Unparsed.Ignored it is ScopeMessage.
	Scope Scope
	// Result is what to tell the peer in the StopCCN or CDN.
	Result ResultCode
	// Message is the type of the message, 0 if it could not be read.
	Message MessageType
	// HasAVP says that Vendor and AVP name the AVP at fault.
	HasAVP bool
	Vendor uint16
	AVP    AVPType
	// Err is one of the Err values above.
	Err error
	// Text says more, if there is more to say. Never the value of an AVP.
	Text string

	// AssignedTunnelID and AssignedSessionID are the peer's IDs as far as the
	// message told them, because an answer to SCCRQ, ICRQ or OCRQ must be
	// addressed to them. 0: not told.
	AssignedTunnelID  uint32
	AssignedSessionID uint32
	// RemoteSessionID is our ID of the session that the message is about, as far as
	// it told; version 3, whose header has none.
	RemoteSessionID uint32
}

// Error implements error.
func (e *Error) Error() string {
	s := "l2tp: "
	if e.Message != 0 {
		s += e.Message.String() + ": "
	}
	if e.HasAVP {
		s += avpName(e.Vendor, e.AVP) + ": "
	}
	s += e.Err.Error()
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	return s
}

// Unwrap gives the kind of the error.
func (e *Error) Unwrap() error { return e.Err }
