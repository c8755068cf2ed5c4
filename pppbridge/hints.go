package pppbridge

import (
	"net/netip"
	"strings"

	"adit/proto/l2tp"
)

// hints is what pppd's log lines give away beyond its exit status: the name of
// the interface and the addresses, and what exactly failed.
type hints struct {
	// connected: pppd has attached its line to the kernel, and LCP begins.
	connected bool
	info      Info
	protocol  uint16 // that failed, by the same line as status
	status    int    // the exit status that the lines speak of; 0: none
	reason    string // the last line that sounds like one
}

// see looks at one line of pppd's log and reports whether info has changed.
func (h *hints) see(line string) bool {
	h.seeFailure(line)
	name, local, peer := h.info.Interface, h.info.LocalIP, h.info.PeerIP
	switch {
	case strings.HasPrefix(line, "Connect: "):
		h.connected = true
	case strings.HasPrefix(line, "Using interface "):
		h.info.Interface = strings.TrimPrefix(line, "Using interface ")
	case strings.HasPrefix(line, "local  IP address "):
		h.info.LocalIP = lastAddr(line)
	case strings.HasPrefix(line, "remote IP address "):
		h.info.PeerIP = lastAddr(line)
	}
	return h.info.Interface != name || h.info.LocalIP != local || h.info.PeerIP != peer
}

func lastAddr(line string) netip.Addr {
	f := strings.Fields(line)
	a, _ := netip.ParseAddr(f[len(f)-1]) // not an address: the zero Addr
	return a
}

// failures are the lines in which pppd tells why a link ends, and the exit
// status that means it. They are known by their beginning: further on may be
// words of the peer's, who must not choose the cause.
var failures = [...]struct {
	prefix, part string
	status       int
	protocol     uint16
}{
	{"LCP terminated by peer", "", endedByPeer, 0},
	{"LCP: timeout sending Config-Requests", "", 10, protocolLCP},
	{"IPCP: timeout sending Config-Requests", "", 10, protocolIPCP},
	{"IPV6CP: timeout sending Config-Requests", "", 10, protocolIPv6CP},
	{"peer refused to authenticate", "", 11, 0},
	{"PAP peer authentication failed", "", 11, protocolPAP},
	{"CHAP peer authentication failed", "", 11, protocolCHAP},
	{"Peer ", "failed CHAP authentication", 11, protocolCHAP},
	{"PAP authentication failed", "", 19, protocolPAP},
	{"No response to PAP authenticate-requests", "", 19, protocolPAP},
	{"CHAP authentication failed", "", 19, protocolCHAP},
	{"EAP: peer reports authentication failure", "", 19, protocolEAP},
	{"Terminating connection due to lack of activity", "", 12, 0},
	{"Connect time expired", "", 13, 0},
	{"No response to ", "echo-requests", 15, 0},
	{"Serial link appears to be disconnected", "", 15, 0},
	{"Serial line is looped back", "", 17, 0},
}

// endedByPeer stands for status 0, which means "none" in hints.
const endedByPeer = -1

func (h *hints) seeFailure(line string) {
	if isDebugLine(line) {
		return // with "debug" the same words may be part of a packet
	}
	for _, f := range failures {
		if strings.HasPrefix(line, f.prefix) && strings.Contains(line, f.part) {
			h.status, h.protocol, h.reason = f.status, f.protocol, line
			return
		}
	}
	if strings.Contains(line, "Couldn't ") {
		h.reason = line
	}
}

// refine makes a general cause exact.
//
// RFC 3145 section 3.3: "The Control Protocol Number for such errors MUST
// correspond to the PPP Control Protocol number for the authentication protocol
// in use." Where pppd does not say which was in use, the cause is left out
// rather than wrong.
func (h *hints) refine(e *Exit) {
	if h.reason != "" && e.Code != 0 {
		e.Text += " (" + h.reason + ")"
	}
	switch h.meaning(e.Code) {
	case 10:
		switch {
		case h.status != 10:
		case h.protocol == protocolLCP:
			e.PPP = cause(l2tp.DisconnectLCPTimeout, protocolLCP, 0)
		default:
			e.PPP = cause(l2tp.DisconnectNCPTimeout, h.protocol, 0)
		}
	case 11:
		switch {
		case h.status == 11 && h.protocol == 0: // refused
			// No authentication protocol was in use, so none is named.
			e.PPP = cause(l2tp.DisconnectAuthProtocol, 0, l2tp.DirectionPeer)
		case h.status != 11:
			e.PPP = nil
		default:
			e.PPP.Protocol = h.protocol
		}
	case 19:
		if h.status != 19 {
			e.PPP = nil
		} else {
			e.PPP.Protocol = h.protocol
		}
	}
}

// meaning is the status whose cause the exit has. pppd 2.4.9 closes its side of
// the line itself at every end of a link, takes that for a hang-up, and exits
// with 16 ("Modem hangup") whatever the reason was; the line of the log before
// tells. Every other status is taken as it is.
func (h *hints) meaning(code int) int {
	if code == 16 && h.status != 0 {
		return max(h.status, 0)
	}
	return code
}
