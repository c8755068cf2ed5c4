package pppbridge

import (
	"fmt"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/proto/l2tp"
)

// PPP protocol numbers that a disconnect cause may name.
const (
	protocolLCP    = 0xc021
	protocolIPCP   = 0x8021
	protocolIPv6CP = 0x8057
	protocolPAP    = 0xc023
	protocolCHAP   = 0xc223
	protocolEAP    = 0xc227
)

// pppdExit is what one of pppd's exit statuses means to the peer.
type pppdExit struct {
	text   string // for our log
	result uint16 // of the CDN, RFC 2661 section 4.4.2
	told   string // for the peer, as the CDN's message; empty: nothing
	ppp    *l2tp.PPPDisconnect
}

// pppdExits is the table of pppd(8), EXIT STATUS (0 to 19), and of what later
// sources of pppd add (20, 21). What failed on our side by configuration is
// permanent to the peer (5), lack of resources temporary (4); a call that ended
// in good order ended for administrative reasons (3); a peer that is gone is a
// lost carrier (1). Result 2 (general error) always has Error Code 6, with which
// "the message says more".
var pppdExits = [...]pppdExit{
	0:  {"the PPP link was ended by the peer", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectNormal, 0, l2tp.DirectionPeer)},
	1:  {"pppd met a fatal error", l2tp.CDNNoFacilitiesTemporary, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	2:  {"pppd refused its options", l2tp.CDNNoFacilitiesPermanent, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	3:  {"pppd is not setuid root and adit is not root", l2tp.CDNNoFacilitiesPermanent, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	4:  {"the kernel does not support PPP", l2tp.CDNNoFacilitiesPermanent, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	5:  {"pppd was ended by a signal to it", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectAdministrative, 0, 0)},
	6:  {"pppd could not lock its terminal", l2tp.CDNNoFacilitiesTemporary, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	7:  {"pppd could not open its terminal", l2tp.CDNNoFacilitiesTemporary, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	8:  {"pppd's connect script failed", l2tp.CDNNoFacilitiesPermanent, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	9:  {"pppd's pty command could not be run", l2tp.CDNNoFacilitiesPermanent, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	10: {"the PPP negotiation failed", l2tp.CDNGeneralError, "PPP negotiation failed", cause(l2tp.DisconnectNoNCP, 0, 0)},
	11: {"the peer failed to authenticate itself", l2tp.CDNAdministrative, "PPP authentication failed", cause(l2tp.DisconnectAuthFailed, 0, l2tp.DirectionPeer)},
	12: {"the PPP link was idle too long", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectNormal, 0, l2tp.DirectionLocal)},
	13: {"the PPP link reached its connect time limit", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectNormal, 0, l2tp.DirectionLocal)},
	14: {"a callback was agreed on", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectNormal, 0, l2tp.DirectionLocal)},
	15: {"the peer did not answer LCP echo requests", l2tp.CDNLossOfCarrier, "", cause(l2tp.DisconnectLCPEchoTimeout, protocolLCP, 0)},
	16: {"the line of the PPP link hung up", l2tp.CDNLossOfCarrier, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	17: {"the PPP link is looped back", l2tp.CDNGeneralError, "PPP link is looped back", cause(l2tp.DisconnectLCPLoopback, protocolLCP, 0)},
	18: {"pppd's init script failed", l2tp.CDNNoFacilitiesPermanent, "", cause(l2tp.DisconnectNoInformation, 0, 0)},
	19: {"we failed to authenticate ourselves to the peer", l2tp.CDNAdministrative, "PPP authentication failed", cause(l2tp.DisconnectAuthFailed, 0, l2tp.DirectionLocal)},
	20: {"the PPP link reached its traffic limit", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectNormal, 0, l2tp.DirectionLocal)},
	21: {"the caller's number is not allowed", l2tp.CDNAdministrative, "", cause(l2tp.DisconnectAdministrative, 0, 0)},
}

func cause(code, protocol uint16, direction uint8) *l2tp.PPPDisconnect {
	return &l2tp.PPPDisconnect{Code: code, Protocol: protocol, Direction: direction}
}

// exitOf turns pppd's wait status, and what its log lines gave away, into an
// Exit.
func exitOf(ws unix.WaitStatus, h hints) circuit.Exit {
	if ws.Signaled() {
		name := unix.SignalName(ws.Signal())
		return circuit.Exit{
			Code: -1, Signal: name, Text: "pppd was killed by " + name,
			Result: resultOf(l2tp.CDNGeneralError, "PPP process died"),
			PPP:    cause(l2tp.DisconnectNoInformation, 0, 0),
		}
	}
	code := ws.ExitStatus()
	if code < 0 || code >= len(pppdExits) {
		return circuit.Exit{
			Code: code, Text: fmt.Sprintf("pppd ended with the unknown status %d", code),
			Result: resultOf(l2tp.CDNGeneralError, "PPP process failed"),
			PPP:    cause(l2tp.DisconnectNoInformation, 0, 0),
		}
	}
	t := &pppdExits[h.meaning(code)]
	ppp := *t.ppp
	e := circuit.Exit{Code: code, Text: t.text, Result: resultOf(t.result, t.told), PPP: &ppp}
	h.refine(&e)
	return e
}

func resultOf(result uint16, told string) l2tp.ResultCode {
	r := l2tp.ResultCode{Result: result, Message: told}
	if result == l2tp.CDNGeneralError {
		r.Error = l2tp.ErrorVendorSpecific
	}
	return r
}

// failedExit is for a pppd that never ran.
func failedExit(err error, permanent bool) circuit.Exit {
	result := l2tp.CDNNoFacilitiesTemporary
	if permanent {
		result = l2tp.CDNNoFacilitiesPermanent
	}
	return circuit.Exit{
		Code: -1, Err: err, Text: err.Error(), Result: resultOf(result, ""),
		PPP: cause(l2tp.DisconnectNoInformation, 0, 0),
	}
}
