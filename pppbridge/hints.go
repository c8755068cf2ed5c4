package pppbridge

import (
	"net/netip"
	"strings"

	"adit/proto/l2tp"
)

// hints is what pppd's log lines give away beyond its exit status: the name of
// the interface and the addresses, and what exactly failed.
type hints struct {
	info     Info
	protocol uint16 // of the authentication that was tried
	refused  bool   // the peer refused to authenticate itself
	timeout  uint16 // the control protocol whose Configure-Requests timed out
	reason   string // the last line that sounds like one
}

// see looks at one line of pppd's log and reports whether info has changed.
func (h *hints) see(line string) bool {
	h.seeFailure(line)
	before := h.info
	switch {
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

func (h *hints) seeFailure(line string) {
	switch {
	case isDebugLine(line):
		return // only with "debug", so the same words would mean two things
	case strings.Contains(line, "refused to authenticate"):
		h.refused = true
	case strings.Contains(line, "LCP: timeout sending Config-Requests"):
		h.timeout = protocolLCP
	case strings.Contains(line, "timeout sending Config-Requests"):
		h.timeout = ncpOf(line)
	case strings.Contains(line, "authentication failed"), strings.Contains(line, "failed CHAP authentication"),
		strings.Contains(line, "No response to PAP"):
		h.protocol = authOf(line)
	case !strings.Contains(line, "Couldn't"), strings.Contains(line, "tcflush"):
		return
	}
	h.reason = line
}

func ncpOf(line string) uint16 {
	switch name, _, _ := strings.Cut(line, ":"); name {
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
	switch e.Code {
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
