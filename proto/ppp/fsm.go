package ppp

import "fmt"

// state is a state of the option negotiation automaton, RFC 1661 section 4.2.
type state uint8

// The states, by the numbers of the RFC's table.
const (
	stateInitial state = iota
	stateStarting
	stateClosed
	stateStopped
	stateClosing
	stateStopping
	stateReqSent
	stateAckRcvd
	stateAckSent
	stateOpened
	states
)

// String returns the RFC's name of the state.
func (s state) String() string {
	names := [states]string{
		"Initial", "Starting", "Closed", "Stopped", "Closing", "Stopping",
		"Req-Sent", "Ack-Rcvd", "Ack-Sent", "Opened",
	}
	if s < states {
		return names[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// timed says whether the Restart timer runs in a state. RFC 1661 section 4.1:
// "The states in which the Restart timer is running are identifiable by the
// presence of TO events."
func (s state) timed() bool { return s >= stateClosing && s <= stateAckSent }

// negotiating says whether Configure-Requests are under way.
func (s state) negotiating() bool { return s >= stateReqSent && s <= stateAckSent }

// happening is an event of the automaton, RFC 1661 section 4.3.
type happening uint8

// The events, in the order of the RFC's table.
const (
	evUp happening = iota
	evDown
	evOpen
	evClose
	evTimeout    // TO+
	evTimeoutEnd // TO-
	evRequestOK  // RCR+
	evRequestBad // RCR-
	evAck        // RCA
	evNak        // RCN
	evTermRequest
	evTermAck
	evUnknownCode
	evRejectOK    // RXJ+
	evRejectFatal // RXJ-
	evEcho        // RXR
	happenings
)

// String returns the RFC's abbreviation of the event.
func (h happening) String() string {
	names := [happenings]string{
		"Up", "Down", "Open", "Close", "TO+", "TO-", "RCR+", "RCR-", "RCA", "RCN",
		"RTR", "RTA", "RUC", "RXJ+", "RXJ-", "RXR",
	}
	if h < happenings {
		return names[h]
	}
	return fmt.Sprintf("happening(%d)", uint8(h))
}

// deeds is a set of the automaton's actions, RFC 1661 section 4.4. They are done
// in the order of their bits, which is the order in which the RFC writes them.
type deeds uint16

// The actions. zrc and irc exclude each other.
const (
	tld deeds = 1 << iota // This-Layer-Down
	irc                   // Initialize-Restart-Count
	zrc                   // Zero-Restart-Count
	scr                   // Send-Configure-Request
	sca                   // Send-Configure-Ack
	scn                   // Send-Configure-Nak/Rej
	str                   // Send-Terminate-Request
	sta                   // Send-Terminate-Ack
	scj                   // Send-Code-Reject
	ser                   // Send-Echo-Reply
	tls                   // This-Layer-Started
	tlu                   // This-Layer-Up
	tlf                   // This-Layer-Finished
	illegal
)

// cell is one entry of the state transition table.
type cell struct {
	do   deeds
	next state
}

// no is the table's dash: an event that cannot happen in this state.
var no = cell{do: illegal}

// transitions is the table of RFC 1661 section 4.1.
var transitions = [happenings][states]cell{
	evUp:   {{0, 2}, {irc | scr, 6}, no, no, no, no, no, no, no, no},
	evDown: {no, no, {0, 0}, {tls, 1}, {0, 0}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {tld, 1}},
	evOpen: {{tls, 1}, {0, 1}, {irc | scr, 6}, {0, 3}, {0, 5}, {0, 5}, {0, 6}, {0, 7}, {0, 8}, {0, 9}},
	evClose: {{0, 0}, {tlf, 0}, {0, 2}, {0, 2}, {0, 4}, {0, 4},
		{irc | str, 4}, {irc | str, 4}, {irc | str, 4}, {tld | irc | str, 4}},
	evTimeout:    {no, no, no, no, {str, 4}, {str, 5}, {scr, 6}, {scr, 6}, {scr, 8}, no},
	evTimeoutEnd: {no, no, no, no, {tlf, 2}, {tlf, 3}, {tlf, 3}, {tlf, 3}, {tlf, 3}, no},
	evRequestOK: {no, no, {sta, 2}, {irc | scr | sca, 8}, {0, 4}, {0, 5},
		{sca, 8}, {sca | tlu, 9}, {sca, 8}, {tld | scr | sca, 8}},
	evRequestBad: {no, no, {sta, 2}, {irc | scr | scn, 6}, {0, 4}, {0, 5},
		{scn, 6}, {scn, 7}, {scn, 6}, {tld | scr | scn, 6}},
	evAck: {no, no, {sta, 2}, {sta, 3}, {0, 4}, {0, 5},
		{irc, 7}, {scr, 6}, {irc | tlu, 9}, {tld | scr, 6}},
	evNak: {no, no, {sta, 2}, {sta, 3}, {0, 4}, {0, 5},
		{irc | scr, 6}, {scr, 6}, {irc | scr, 8}, {tld | scr, 6}},
	evTermRequest: {no, no, {sta, 2}, {sta, 3}, {sta, 4}, {sta, 5},
		{sta, 6}, {sta, 6}, {sta, 6}, {tld | zrc | sta, 5}},
	evTermAck: {no, no, {0, 2}, {0, 3}, {tlf, 2}, {tlf, 3},
		{0, 6}, {0, 6}, {0, 8}, {tld | scr, 6}},
	evUnknownCode: {no, no, {scj, 2}, {scj, 3}, {scj, 4}, {scj, 5},
		{scj, 6}, {scj, 7}, {scj, 8}, {scj, 9}},
	evRejectOK: {no, no, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {0, 6}, {0, 6}, {0, 8}, {0, 9}},
	evRejectFatal: {no, no, {tlf, 2}, {tlf, 3}, {tlf, 2}, {tlf, 3},
		{tlf, 3}, {tlf, 3}, {tlf, 3}, {tld | irc | str, 5}},
	evEcho: {no, no, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {0, 6}, {0, 7}, {0, 8}, {ser, 9}},
}
