package radattr

import (
	"fmt"
	"net/netip"
	"strconv"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"

	"adit/lns/subscriber"
	"adit/proto/l2tp"
)

// NASPort is the NAS-Port of a session: in version 2 our Tunnel ID above our Session ID,
// in version 3 our Session ID, which no other session has in any tunnel.
//
// RFC 2661 section 3.1: "Session ID indicates the identifier for a session within a
// tunnel", and both IDs have 16 bits there. RFC 3931 section 4.1: "The Session ID alone provides the
// necessary context for all further packet processing".
func NASPort(line *subscriber.Line) uint32 {
	if line.Version == l2tp.Version3 {
		return line.Session
	}
	return line.Tunnel<<16 | line.Session
}

// NASPortID is the NAS-Port-Id of a session, for people: who speaks L2TP with us,
// our Tunnel ID and our Session ID.
func NASPortID(line *subscriber.Line) string {
	if !line.Peer.IsValid() {
		return fmt.Sprintf("l2tp %d/%d", line.Tunnel, line.Session)
	}
	return fmt.Sprintf("l2tp %s %d/%d", line.Peer.Addr().Unmap(), line.Tunnel, line.Session)
}

// line adds what is known of a session before anybody shows who it is, beyond its
// Acct-Session-Id.
func (w *writer) line(l *subscriber.Line) {
	w.number(rfc2865.NASPort_Type, NASPort(l))
	w.number(rfc2865.NASPortType_Type, uint32(rfc2865.NASPortType_Value_Virtual))
	w.text(rfc2869.NASPortID_Type, NASPortID(l))
	w.text(rfc2865.CalledStationID_Type, l.CalledNumber)
	w.text(rfc2865.CallingStationID_Type, l.CallingNumber)
	w.text(rfc2869.ConnectInfo_Type, connectInfo(l))
	w.tunnel(l)
}

// connectInfo says the speeds of the line.
//
// RFC 2869 section 5.11: "If the transmit and receive connection speeds differ,
// they may both be included in the first attribute with the transmit speed first
// (the speed the NAS modem transmits at), a slash (/), the receive speed, then
// optionally other information." The LAC is who has the line: its transmit speed
// is towards the subscriber, as that of the NAS.
func connectInfo(l *subscriber.Line) string {
	switch {
	case l.TxSpeed == 0:
		return ""
	case l.RxSpeed == 0 || l.RxSpeed == l.TxSpeed:
		return fmt.Sprintf("%d L2TP", l.TxSpeed)
	}
	return fmt.Sprintf("%d/%d L2TP", l.TxSpeed, l.RxSpeed)
}

// tunnel adds the attributes of RFC 2868 that say which tunnel a session is in.
// There is one tunnel only, so the Tag is 0.
//
// RFC 2868 section 3.5: "If the value of the Tag field is greater than 0x00 and
// less than or equal to 0x1F, it SHOULD be interpreted as indicating which tunnel
// (of several alternatives) this attribute pertains." A string has its Tag also
// where it is 0, or the first octet of a peer's name might be taken for one.
func (w *writer) tunnel(l *subscriber.Line) {
	w.number(rfc2868.TunnelType_Type, uint32(rfc2868.TunnelType_Value_L2TP))
	client, server := l.Peer.Addr().Unmap(), l.Local.Addr().Unmap()
	clientName, serverName := l.PeerHostName, l.HostName
	if !l.LNS {
		client, server = server, client
		clientName, serverName = serverName, clientName
	}
	if l.Peer.IsValid() {
		medium := rfc2868.TunnelMediumType_Value_IPv4
		if l.Peer.Addr().Unmap().Is6() {
			medium = rfc2868.TunnelMediumType_Value_IPv6
		}
		w.number(rfc2868.TunnelMediumType_Type, uint32(medium))
	}
	w.endpoint(rfc2868.TunnelClientEndpoint_Type, client)
	w.endpoint(rfc2868.TunnelServerEndpoint_Type, server)
	w.tagged(rfc2868.TunnelClientAuthID_Type, clientName)
	w.tagged(rfc2868.TunnelServerAuthID_Type, serverName)
	w.tagged(rfc2868.TunnelPrivateGroupID_Type, l.PrivateGroupID)
}

// endpoint adds an end of the tunnel, without its port.
func (w *writer) endpoint(t radius.Type, a netip.Addr) {
	if a.IsValid() {
		w.tagged(t, a.String())
	}
}

// tagged adds a string with the Tag 0.
func (w *writer) tagged(t radius.Type, s string) {
	if s != "" {
		w.add(t, append([]byte{0}, s[:min(len(s), MaxValue-1)]...))
	}
}

// callSerial says the Call Serial Number.
//
// RFC 2867 section 2: "When implementing RADIUS accounting for L2TP/PPTP
// tunneling, the Call-Serial-Number SHOULD be used in the Acct-Tunnel-Connection
// attribute."
func callSerial(l *subscriber.Line) string { return strconv.FormatUint(uint64(l.CallSerial), 10) }

// tunnelName identifies a tunnel without a session, by the IDs that both ends have
// given it.
func tunnelName(l *subscriber.Line) string { return fmt.Sprintf("%d/%d", l.Tunnel, l.PeerTunnel) }
