package aaa

import (
	"adit/internal/circuit"
	"adit/lns/subscriber"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// pppdTimeLimit is pppd's exit status when its own maxconnect is over, pppd(8).
const pppdTimeLimit = 13

// terminateCause says in the words of RFC 2866 section 5.10 why a session ended:
// what we decided counts first, then how PPP ended, then what the L2TP call said.
func (s *Session) terminateCause(cause tunnel.Cause, exit *circuit.Exit) subscriber.TerminateCause {
	switch {
	case s.reason != nil:
		return s.reason.cause
	case s.layer.leaving.Load():
		return subscriber.AdminReboot
	case exit != nil && !exit.Closed && exit.PPP != nil:
		return causeOfPPP(exit)
	case exit != nil && exit.Err != nil:
		return subscriber.NASError
	case cause.Err != nil:
		return subscriber.LostCarrier // the tunnel's peer is gone
	case cause.Remote:
		return causeOfCDN(cause)
	}
	return subscriber.AdminReset
}

// causeOfPPP is for a session whose PPP ended before its call.
func causeOfPPP(exit *circuit.Exit) subscriber.TerminateCause {
	switch exit.PPP.Code {
	case l2tp.DisconnectNormal:
		switch {
		case exit.PPP.Direction == l2tp.DirectionPeer:
			return subscriber.UserRequest
		case exit.Code == pppdTimeLimit:
			return subscriber.SessionTimeout
		}
		return subscriber.IdleTimeout // the time of the session is our own matter
	case l2tp.DisconnectAdministrative:
		return subscriber.AdminReset
	case l2tp.DisconnectLCPEchoTimeout:
		return subscriber.LostCarrier
	case l2tp.DisconnectNoInformation:
		if exit.Result.Result == l2tp.CDNLossOfCarrier {
			return subscriber.LostCarrier
		}
		return subscriber.NASError
	case l2tp.DisconnectAuthFailed, l2tp.DisconnectAuthTimeout, l2tp.DisconnectAuthProtocol:
		return subscriber.UserError
	}
	return subscriber.PortError
}

// causeOfCDN is for a call that the LAC cleared.
func causeOfCDN(cause tunnel.Cause) subscriber.TerminateCause {
	if p := cause.PPP; p != nil && p.Code == l2tp.DisconnectNormal {
		return subscriber.UserRequest
	}
	switch cause.Result.Result {
	case l2tp.CDNLossOfCarrier:
		return subscriber.LostCarrier
	case l2tp.CDNAdministrative:
		return subscriber.UserRequest
	}
	return subscriber.PortError
}
