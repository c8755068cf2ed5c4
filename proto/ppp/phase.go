package ppp

import "fmt"

// Phase is where a link is between its begin and its end, RFC 1661 section 3.2.
type Phase uint8

// The phases.
const (
	PhaseDead         Phase = iota // before Start and after Finished
	PhaseEstablish                 // LCP negotiates
	PhaseAuthenticate              // one end or both show who they are
	PhaseNetwork                   // the NCPs negotiate, or packets flow: see Up
	PhaseTerminate                 // the link is being closed
)

// String returns the RFC's name of the phase.
func (p Phase) String() string {
	switch p {
	case PhaseDead:
		return "dead"
	case PhaseEstablish:
		return "establish"
	case PhaseAuthenticate:
		return "authenticate"
	case PhaseNetwork:
		return "network"
	case PhaseTerminate:
		return "terminate"
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// String says the cause in words for a log, or for the peer in a
// Terminate-Request.
func (c Cause) String() string {
	names := [...]string{
		CauseNone:           "none",
		CausePeerTerminated: "peer terminated the link",
		CauseAdministrative: "closed by the administrator",
		CauseLowerLayer:     "line is down",
		CauseLCPFailed:      "LCP came to no agreement",
		CauseLoop:           "line is looped back",
		CauseEchoTimeout:    "peer does not answer Echo-Requests",
		CauseAuthRefused:    "peer refused to authenticate itself",
		CauseAuthFailed:     "peer failed to authenticate itself",
		CauseAuthTimeout:    "authentication timed out",
		CauseOurAuthFailed:  "peer did not accept our authentication",
		CauseOurAuthRefused: "peer demands an authentication that we do not do",
		CauseNoNetwork:      "no network protocol came to an agreement",
		CauseNoAddress:      "no acceptable IP address",
		CauseSessionTimeout: "session timeout",
		CauseIdleTimeout:    "idle timeout",
	}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("Cause(%d)", uint8(c))
}

// String returns the family's name.
func (f Family) String() string {
	switch f {
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	}
	return fmt.Sprintf("Family(%d)", uint8(f))
}

// families is how many network protocols there are.
const families = 2
