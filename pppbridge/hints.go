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
	protocol  uint16 // of the authentication that was tried
	refused   bool   // the peer refused to authenticate itself
	timeout   uint16 // the control protocol whose Configure-Requests timed out
	status    int    // the exit status that the lines speak of; 0: none
	reason    string // the last line that sounds like one
}

// see looks at one line of pppd's log and reports whether info has changed.
func (h *hints) see(line string) bool {
	h.seeFailure(line)
	before := h.info
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
	return h.info != before
}

func lastAddr(line string) netip.Addr {
	f := strings.Fields(line)
	a, _ := netip.ParseAddr(f[len(f)-1]) // not an address: the zero Addr
	return a
}

// failures are the lines in which pppd tells why a link ends, and the exit
// status that means it.
var failures = [...]struct {
	text   string
	status int
}{
	{"timeout sending Config-Requests", 10},
	{"refused to authenticate", 11},
	{"peer authentication failed", 11},
	{"failed CHAP authentication", 11},
	{"authentication failed", 19},
	{"No response to PAP", 19},
	{"LCP terminated by peer", endedByPeer},
	{"Terminating connection due to lack of activity", 12},
	{"Connect time expired", 13},
	{"echo-requests", 15},
	{"appears to be disconnected", 15},
	{"loopback detected", 17},
}

// endedByPeer stands for status 0, which means "none" in hints.
const endedByPeer = -1

func (h *hints) seeFailure(line string) {
	if isDebugLine(line) {
		return // with "debug" the same words may be part of a packet
	}
	for _, f := range failures {
		if !strings.Contains(line, f.text) {
			continue
		}
		h.status, h.reason = f.status, line
		switch f.status {
		case 10:
			h.timeout = protocolOf(line)
		case 11, 19:
			h.refused = strings.Contains(line, "refused")
			h.protocol = authOf(line)
		}
		return
	}
	if strings.Contains(line, "Couldn't ") {
		h.reason = line
	}
}

// protocolOf is the control protocol that begins the line.
func protocolOf(line string) uint16 {
	switch name, _, _ := strings.Cut(line, ":"); name {
	case "LCP":
		return protocolLCP
	case "IPCP":
		return 0x8021
	case "IPV6CP":
		return 0x8057
	case "CCP":
		return 0x80fd
	}
	return 0
}

func authOf(line string) uint16 {
	switch {
	case strings.Contains(line, "PAP"):
		return protocolPAP
	case strings.Contains(line, "CHAP"):
		return protocolCHAP
	case strings.Contains(line, "EAP"):
		return protocolEAP
	}
	return 0
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
		case h.timeout == protocolLCP:
			e.PPP = cause(l2tp.DisconnectLCPTimeout, protocolLCP, 0)
		case h.timeout != 0:
			e.PPP = cause(l2tp.DisconnectNCPTimeout, h.timeout, 0)
		}
	case 11:
		switch {
		case h.refused:
			// No authentication protocol was in use, so none is named.
			e.PPP = cause(l2tp.DisconnectAuthProtocol, 0, l2tp.DirectionPeer)
		case h.protocol == 0:
			e.PPP = nil
		default:
			e.PPP.Protocol = h.protocol
		}
	case 19:
		if h.protocol == 0 {
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
