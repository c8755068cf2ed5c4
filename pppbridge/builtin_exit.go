package pppbridge

import (
	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/ppp"
)

// causeExits says what each cause of our own endpoint means to the peer, in the
// same words as pppdExits. The protocol of an authentication is filled in.
var causeExits = [...]pppdExit{
	ppp.CauseNone:           {"", l2tp.CDNGeneralError, "PPP process failed", cause(l2tp.DisconnectNoInformation, 0, 0)},
	ppp.CausePeerTerminated: {"", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectNormal, 0, l2tp.DirectionPeer)},
	ppp.CauseAdministrative: {"", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectAdministrative, 0, 0)},
	ppp.CauseLowerLayer:     {"", l2tp.CDNLossOfCarrier, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	ppp.CauseLCPFailed:      {"", l2tp.CDNGeneralError, "PPP negotiation failed", cause(l2tp.DisconnectLCPTimeout, protocolLCP, 0)},
	ppp.CauseLoop:           {"", l2tp.CDNGeneralError, "PPP link is looped back", cause(l2tp.DisconnectLCPLoopback, protocolLCP, 0)},
	ppp.CauseEchoTimeout:    {"", l2tp.CDNLossOfCarrier, "", cause(l2tp.DisconnectLCPEchoTimeout, protocolLCP, 0)},
	ppp.CauseAuthRefused:    {"", l2tp.CDNAdministrative, "PPP authentication failed", cause(l2tp.DisconnectAuthProtocol, 0, l2tp.DirectionPeer)},
	ppp.CauseAuthFailed:     {"", l2tp.CDNAdministrative, "PPP authentication failed", cause(l2tp.DisconnectAuthFailed, 0, l2tp.DirectionPeer)},
	ppp.CauseAuthTimeout:    {"", l2tp.CDNAdministrative, "PPP authentication failed", cause(l2tp.DisconnectAuthTimeout, 0, 0)},
	ppp.CauseOurAuthFailed:  {"", l2tp.CDNAdministrative, "PPP authentication failed", cause(l2tp.DisconnectAuthFailed, 0, l2tp.DirectionLocal)},
	ppp.CauseOurAuthRefused: {"", l2tp.CDNAdministrative, "PPP authentication failed", cause(l2tp.DisconnectAuthProtocol, 0, l2tp.DirectionLocal)},
	ppp.CauseNoNetwork:      {"", l2tp.CDNGeneralError, "PPP negotiation failed", cause(l2tp.DisconnectNoNCP, protocolIPCP, 0)},
	ppp.CauseNoAddress:      {"", l2tp.CDNGeneralError, "no acceptable IP address", cause(l2tp.DisconnectAddressNotPermitted, protocolIPCP, l2tp.DirectionLocal)},
	ppp.CauseSessionTimeout: {"", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectNormal, 0, l2tp.DirectionLocal)},
	ppp.CauseIdleTimeout:    {"", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectNormal, 0, l2tp.DirectionLocal)},
}

// causeExit turns the end of our own endpoint into an Exit. auth is the protocol
// of the last authentication; 0: none.
//
// RFC 3145 section 3.3: "The Control Protocol Number for such errors MUST
// correspond to the PPP Control Protocol number for the authentication protocol
// in use." Without one the cause is left out rather than wrong; that every
// protocol was refused (15) names none, as pppd's.
func causeExit(c ppp.Cause, text string, auth ppp.Protocol, s *subject) circuit.Exit {
	if int(c) >= len(causeExits) {
		c = ppp.CauseNone
	}
	if text == "" {
		text = c.String()
	}
	t := &causeExits[c]
	p := *t.ppp
	e := circuit.Exit{Code: -1, Text: "PPP: " + text, Result: resultOf(t.result, t.told), PPP: &p}
	switch p.Code {
	case l2tp.DisconnectAuthFailed, l2tp.DisconnectAuthTimeout:
		if p.Protocol = uint16(auth); auth == 0 {
			e.PPP = nil
		}
	case l2tp.DisconnectNoNCP:
		// "Control Protocol Number may be zero only if neither peer has enabled
		// NCPs."
		if s.only6 {
			p.Protocol = protocolIPv6CP
		}
	case l2tp.DisconnectAddressNotPermitted:
		// "1: Local link address not acceptable to peer. 2: Remote link address
		// not acceptable to local system."
		if !s.lns {
			p.Direction = l2tp.DirectionPeer
		}
	}
	return e
}
