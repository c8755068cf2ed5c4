package pppbridge

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/ppp"
)

// hints is what pppd's log lines give away beyond its exit status: the name of
// the interface and the addresses, and what exactly failed.
type hints struct {
	// connected: pppd has attached its line to the kernel, and LCP begins.
	connected bool
	info      circuit.Info
	networks  [2]networkHint // by ppp.Family
	protocol  uint16         // that failed, by the same line as status
	status    int            // the exit status that the lines speak of; 0: none
	reason    string         // the last line that sounds like one
}

// networkHint is whether packets of a family flow, as far as pppd's log tells.
type networkHint struct {
	up    bool
	times uint32 // how often it came up
}

// see looks at one line of pppd's log and reports whether info or networks has
// changed.
func (h *hints) see(line string) bool {
	h.seeFailure(line)
	if line == "" || isDebugLine(line) {
		return false // with "debug" the same words may be part of a packet
	}
	i := &h.info
	for _, w := range [...]struct {
		prefix string
		see    func(rest string)
	}{
		{"Connect: ", func(string) { h.connected = true }},
		{"Using interface ", func(rest string) { i.Interface = rest }},
		{"Renamed interface ", func(string) { i.Interface = lastWord(line) }},
		{"PAP peer authentication succeeded for ", func(rest string) { i.User = rest }},
		// Once per address that was agreed on: ours first, and then the network is
		// up. What was up before is not any more.
		{"local  IP address ", func(string) { h.down(ppp.IPv4); i.LocalIP = lastAddr(line) }},
		{"remote IP address ", func(string) { i.PeerIP = lastAddr(line); h.up(ppp.IPv4) }},
		{"local  LL address ", func(string) { h.down(ppp.IPv6); i.LocalIPv6 = lastAddr(line) }},
		{"remote LL address ", func(string) { i.PeerIPv6 = lastAddr(line); h.up(ppp.IPv6) }},
		{"IPCP terminated by peer", func(string) { h.down(ppp.IPv4) }},
		{"IPV6CP terminated by peer", func(string) { h.down(ppp.IPv6) }},
		{"LCP terminated by peer", func(string) { h.allDown() }},
		{"Connection terminated.", func(string) { h.allDown() }},
		{"Link terminated.", func(string) { h.allDown() }},
	} {
		if rest, ok := strings.CutPrefix(line, w.prefix); ok {
			before, nets := *i, h.networks
			w.see(rest)
			return nets != h.networks || before.Interface != i.Interface || before.User != i.User ||
				before.LocalIP != i.LocalIP || before.PeerIP != i.PeerIP ||
				before.LocalIPv6 != i.LocalIPv6 || before.PeerIPv6 != i.PeerIPv6
		}
	}
	return false
}

func (h *hints) up(f ppp.Family)   { h.networks[f].up = true; h.networks[f].times++ }
func (h *hints) down(f ppp.Family) { h.networks[f].up = false }
func (h *hints) allDown()          { h.down(ppp.IPv4); h.down(ppp.IPv6) }

// network is what the lines say was agreed on.
func (h *hints) network() ppp.Network {
	i := &h.info
	return ppp.Network{
		LocalIPv4: i.LocalIP, PeerIPv4: i.PeerIP, User: i.User, Routes: i.Routes,
		LocalID: interfaceID(i.LocalIPv6), PeerID: interfaceID(i.PeerIPv6),
	}
}

// interfaceID is the lower half of an IPv6 address; 0 if it is none.
func interfaceID(a netip.Addr) uint64 {
	if !a.Is6() {
		return 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[8:])
}

func lastAddr(line string) netip.Addr {
	a, _ := netip.ParseAddr(lastWord(line)) // not an address: the zero Addr
	return a
}

// lastWord is that of a line that is not empty.
func lastWord(line string) string {
	f := strings.Fields(line)
	return f[len(f)-1]
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
func (h *hints) refine(e *circuit.Exit) {
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
