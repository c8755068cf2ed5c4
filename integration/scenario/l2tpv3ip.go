package scenario

import (
	"fmt"
	"net/netip"
	"strings"
)

// IPL2TPOptions are a static tunnel with one session, as ip-l2tp(8) makes them: an
// end of L2TPv3 that is the kernel's and iproute2's alone.
type IPL2TPOptions struct {
	// Local and Peer are the ends; with ports of 0 the tunnel is directly over IP,
	// protocol 115.
	Local, Peer netip.AddrPort
	// The IDs here and at the peer, each not 0.
	Tunnel, PeerTunnel, Session, PeerSession uint32
	// Cookie is what this end sends, PeerCookie what it expects: 4 or 8 octets in hex,
	// or none.
	Cookie, PeerCookie string
	// Sublayer is "default" or "none"; empty: "default".
	Sublayer string
	// Sequencing is "none", "send", "recv" or "both"; empty: "none".
	Sequencing string
	// Checksum of UDP. Over IPv6 false is the zero checksum.
	Checksum bool
	// Interface is the name of the l2tpeth device, MTU its payload, Addresses what it
	// gets.
	Interface string
	MTU       int
	Addresses []netip.Prefix
}

// IPL2TP makes all these ends with one ip process.
func IPL2TP(t TB, ns *NS, all ...IPL2TPOptions) {
	t.Helper()
	var lines []string
	for _, o := range all {
		lines = append(lines, o.tunnel(), o.session())
		lines = append(lines, o.device()...)
	}
	ns.batch(t, lines...)
}

func (o *IPL2TPOptions) tunnel() string {
	line := fmt.Sprintf("l2tp add tunnel tunnel_id %d peer_tunnel_id %d local %s remote %s",
		o.Tunnel, o.PeerTunnel, o.Local.Addr(), o.Peer.Addr())
	if o.Local.Port() == 0 {
		return line + " encap ip"
	}
	line += fmt.Sprintf(" encap udp udp_sport %d udp_dport %d", o.Local.Port(), o.Peer.Port())
	onOff := map[bool]string{true: "on", false: "off"}[o.Checksum]
	if o.Local.Addr().Is4() {
		return line + " udp_csum " + onOff
	}
	return line + " udp6_csum_tx " + onOff + " udp6_csum_rx " + onOff
}

func (o *IPL2TPOptions) session() string {
	line := fmt.Sprintf("l2tp add session name %s tunnel_id %d session_id %d peer_session_id %d",
		o.Interface, o.Tunnel, o.Session, o.PeerSession)
	for _, word := range []struct{ key, value string }{
		{"cookie", o.Cookie}, {"peer_cookie", o.PeerCookie}, {"l2spec_type", o.Sublayer}, {"seq", o.Sequencing},
	} {
		if word.value != "" {
			line += " " + word.key + " " + word.value
		}
	}
	return line
}

func (o *IPL2TPOptions) device() []string {
	lines := []string{fmt.Sprintf("link set %s mtu %d up", o.Interface, o.MTU)}
	for _, a := range o.Addresses {
		line := fmt.Sprintf("addr add %s dev %s", a, o.Interface)
		if a.Addr().Is6() {
			line += " nodad"
		}
		lines = append(lines, line)
	}
	return lines
}

// IPL2TPTunnels lists the kernel's tunnels and sessions of the namespace as
// ip-l2tp(8) prints them.
func (ns *NS) IPL2TPTunnels(t TB) string {
	t.Helper()
	return strings.TrimSpace(ns.MustRun(t, "ip", "l2tp", "show", "tunnel") + ns.MustRun(t, "ip", "l2tp", "show", "session"))
}
