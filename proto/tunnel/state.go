package tunnel

import (
	"bytes"
	"fmt"
)

// State is the state of a control connection, RFC 2661 section 7.2.1. Its idle
// state does not exist as a Tunnel.
type State uint8

// The states of a control connection.
const (
	WaitCtlReply State = iota + 1 // SCCRQ sent
	WaitCtlConn                   // SCCRP sent
	Established
	// Dead: StopCCN was sent or received, and the control channel goes on for a
	// full retransmission cycle (RFC 2661 section 5.7).
	Dead
	// Finished: nothing is left; Gone was said, and the owner forgets the tunnel.
	Finished
)

// String returns the name of the state as RFC 2661 spells it.
func (s State) String() string {
	switch s {
	case WaitCtlReply:
		return "wait-ctl-reply"
	case WaitCtlConn:
		return "wait-ctl-conn"
	case Established:
		return "established"
	case Dead:
		return "dead"
	case Finished:
		return "finished"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// SessionState is the state of a call, RFC 2661 sections 7.4 and 7.5. Its idle
// state does not exist as a session.
type SessionState uint8

// The states of a call.
const (
	// CallWaitTunnel: placed, but the tunnel is not established yet.
	CallWaitTunnel SessionState = iota + 1
	// CallWaitReply: ICRQ or OCRQ sent.
	CallWaitReply
	// CallWaitOwner: ICRQ or OCRQ received and our owner is deciding. RFC 2661
	// has no name for it, as its tables decide at once.
	CallWaitOwner
	// CallWaitConnect: the LNS waits for ICCN or OCCN.
	CallWaitConnect
	// CallWaitCSAnswer: the LAC waits for the line of an outgoing call.
	CallWaitCSAnswer
	// CallEstablished: frames may flow.
	CallEstablished
)

// String returns the name of the state as RFC 2661 spells it.
func (s SessionState) String() string {
	switch s {
	case CallWaitTunnel:
		return "wait-tunnel"
	case CallWaitReply:
		return "wait-reply"
	case CallWaitOwner:
		return "wait-owner"
	case CallWaitConnect:
		return "wait-connect"
	case CallWaitCSAnswer:
		return "wait-cs-answer"
	case CallEstablished:
		return "established"
	}
	return fmt.Sprintf("SessionState(%d)", uint8(s))
}

// String returns "incoming" or "outgoing".
func (d Direction) String() string {
	switch d {
	case Incoming:
		return "incoming"
	case Outgoing:
		return "outgoing"
	}
	return fmt.Sprintf("Direction(%d)", uint8(d))
}

// Winner says which of two tunnels, ours or the one the peer asks for, lives on
// after both ends sent an SCCRQ.
type Winner uint8

// What ResolveTie may say.
const (
	// Both: no end sent a tie breaker, so there are two tunnels.
	Both Winner = iota
	// Ours: the peer's SCCRQ is to be ignored; the peer discards it too. In version
	// 3 it should be refused with Result Code 3, StopCCNAlreadyExists, RFC 3931
	// section 5.4.3.
	Ours
	// Theirs: our tunnel gets Lose and the peer's SCCRQ is accepted.
	Theirs
	// Neither: equal tie breakers; our tunnel gets Lose and the peer's SCCRQ is
	// to be ignored.
	Neither
)

// String names the winner.
func (w Winner) String() string {
	switch w {
	case Both:
		return "both"
	case Ours:
		return "ours"
	case Theirs:
		return "theirs"
	case Neither:
		return "neither"
	}
	return fmt.Sprintf("Winner(%d)", uint8(w))
}

// ResolveTie compares the Tie Breaker values of our unanswered SCCRQ and of the
// SCCRQ that came meanwhile from the same peer; nil is a tie breaker that was
// not sent. RFC 2661 section 4.4.3:
//
//	"The lower value "wins", and the "loser" MUST silently discard its tunnel.
//	In the case where a tie breaker is present on both sides, and the value is
//	equal, both sides MUST discard their tunnels."
//
//	"If a tie breaker is received, and an outstanding SCCRQ had no tie breaker
//	value, the initiator which included the Tie Breaker AVP "wins". If neither
//	side issues a tie breaker, then two separate tunnels are opened."
func ResolveTie(ours, theirs []byte) Winner {
	switch {
	case ours == nil && theirs == nil:
		return Both
	case theirs == nil:
		return Ours
	case ours == nil:
		return Theirs
	}
	switch bytes.Compare(ours, theirs) {
	case -1:
		return Ours
	case 1:
		return Theirs
	}
	return Neither
}
