package pppbridge

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"adit/proto/ip"
	"adit/proto/ppp"
)

// What peers ask of the router itself.
const (
	portDHCP           = 67  // of the server, RFC 2131 section 4.1
	portDHCPv6         = 547 // of the server, RFC 8415 section 7.2
	routerSolicitation = 133 // RFC 4861 section 4.1
)

var (
	allRouters  = netip.MustParseAddr("ff02::2")
	allDHCPv6   = netip.MustParseAddr("ff02::1:2") // All_DHCP_Relay_Agents_and_Servers
	broadcastIP = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// asksAtOnce and asksPerSecond bound the questions of one peer. A dual-stack
// router asks some five things when its link comes up.
const asksAtOnce, asksPerSecond = 16, 4

// asking is how many questions a peer may still ask: a token bucket in a few
// octets. It belongs to Deliver's goroutine.
type asking struct {
	since uint32 // the Unix time that used is of, seconds
	used  uint16
}

// take takes a token. A clock that was set back counts as a second that passed.
func (a *asking) take(now time.Time) bool {
	if s := uint32(now.Unix()); s != a.since {
		back := uint64(s-a.since) * asksPerSecond
		a.since = s
		a.used -= uint16(min(back, uint64(a.used)))
	}
	if a.used >= asksAtOnce {
		return false
	}
	a.used++
	return true
}

// ask hands a packet that is for the router itself to the endpoint.
func (l *tunLink) ask(now time.Time, packet []byte) {
	l.count.framesIn.Add(1)
	l.count.bytesIn.Add(uint64(len(packet) + pppHeader))
	if !l.asking.take(now) {
		l.plane.counts.AskLimit.Add(1)
		return
	}
	l.events.Packet(bytes.Clone(packet))
}

// isDHCP says whether a UDP packet of the peer is for a DHCP server on its link:
// to all, or to our address, from its own or from none as yet.
func isDHCP(n *linkNetwork, packet []byte, h *ip.Header) bool {
	if h.Fragment || len(packet) < h.HeaderLen+8 || binary.BigEndian.Uint16(packet[h.HeaderLen+2:]) != portDHCP {
		return false
	}
	src, dst := h.Src.As4(), h.Dst.As4()
	return (h.Dst == broadcastIP || dst == n.local && dst != [4]byte{}) && (src == n.peer || src == [4]byte{})
}

// isLinkQuestion says whether a packet on the link is a Router Solicitation or for
// a DHCPv6 server, and comes from the peer's own address, or from none as yet.
//
// RFC 4861 section 6.1.1: "The IP Hop Limit field has a value of 255, i.e., the
// packet could not possibly have been forwarded by a router."
func isLinkQuestion(n *linkNetwork, packet []byte, h *ip.Header) bool {
	ours := isInterface(packet[24:], n.localID)
	if h.Fragment || len(packet) < h.HeaderLen+8 {
		return false
	}
	switch h.Protocol {
	case ip.ProtocolICMPv6:
		return packet[h.HeaderLen] == routerSolicitation && packet[7] == 255 && (ours || h.Dst == allRouters) &&
			(isInterface(packet[8:], n.peerID) || h.Src.IsUnspecified())
	case ip.ProtocolUDP:
		return binary.BigEndian.Uint16(packet[h.HeaderLen+2:]) == portDHCPv6 && (ours || h.Dst == allDHCPv6) &&
			isInterface(packet[8:], n.peerID)
	}
	return false
}

// sendOwn is Attachment.Send: a packet of the router's own goes to the peer by
// the poller's goroutine, like control frames. What cannot go is counted. Any
// goroutine.
func (l *tunLink) sendOwn(packet []byte) {
	var h ip.Header
	if err := h.Parse(packet); err != nil {
		l.count.malformed.Add(1)
		return
	}
	f, protocol := ppp.IPv4, ppp.ProtocolIPv4
	if h.Version == 6 {
		f, protocol = ppp.IPv6, ppp.ProtocolIPv6
	}
	switch n := l.network.Load(); {
	case n == nil || !n.up[f]:
		l.count.notUp.Add(1)
		return
	case h.Length > int(n.mtu):
		l.count.tooBig.Add(1)
		return
	}
	frame := make([]byte, pppHeader+h.Length)
	putHeader(frame, protocol)
	copy(frame[pppHeader:], packet)
	l.plane.outbox.add(outItem{l, frame})
}
