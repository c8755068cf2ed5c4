package autoconf

import (
	"bytes"
	"net"
	"net/netip"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"adit/proto/ip"
)

// optionMicrosoftRoutes is Microsoft's number for Classless Static Routes, from
// before RFC 3442 gave it 121; its clients ask for both, the oldest for this alone.
const optionMicrosoftRoutes = dhcpv4.GenericOptionCode(249)

// leastDHCP is the longest message that every client takes, with its IP header. RFC
// 2131 section 2: "This requirement implies that a DHCP client must be prepared to
// receive a message of up to 576 octets, the minimum IP datagram size an IP host
// must be prepared to accept".
const leastDHCP = 576

// inform answers a DHCPINFORM. Whatever else DHCP has is about addresses, which
// IPCP has given.
func (c *Core) inform(s *Subscriber, h *ip.Header, data []byte) []byte {
	if h.Dst != broadcastIP && h.Dst != s.Local {
		c.counts.add(dropAddress)
		return nil
	}
	m, err := dhcpv4.FromBytes(data)
	switch {
	case err != nil:
		c.counts.add(dropMalformed)
		return nil
	case m.OpCode != dhcpv4.OpcodeBootRequest || m.GatewayIPAddr != nil && !m.GatewayIPAddr.IsUnspecified():
		c.counts.add(dropInvalid)
		return nil
	case m.MessageType() != dhcpv4.MessageTypeInform:
		c.counts.add(dropNotInform)
		return nil
	}
	// RFC 2131 section 3.4: "The server SHOULD check the network address in a
	// DHCPINFORM message for consistency". There is one address that it can be.
	client, _ := netip.AddrFromSlice(m.ClientIPAddr.To4())
	if client != s.Peer || !s.Peer.Is4() {
		c.counts.add(dropAddress)
		return nil
	}
	c.counts.add(countInforms)
	return datagram4(s.Local, client, portDHCPServer, portDHCPClient, informed(s, m).ToBytes())
}

// informed makes the DHCPACK.
//
// RFC 2131 section 4.3.5: "The server responds to a DHCPINFORM message by sending a
// DHCPACK message directly to the address given in the 'ciaddr' field of the
// DHCPINFORM message. The server MUST NOT send a lease expiration time to the
// client and SHOULD NOT fill in 'yiaddr'."
func informed(s *Subscriber, m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	local := net.IP(s.Local.AsSlice())
	ack := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: m.HWType, TransactionID: m.TransactionID, Flags: m.Flags,
		ClientIPAddr: m.ClientIPAddr, ClientHWAddr: m.ClientHWAddr, Options: dhcpv4.Options{},
	}
	ack.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeAck))
	ack.UpdateOption(dhcpv4.OptServerIdentifier(local))
	// RFC 6842 section 3: "If the 'client identifier' option is present in a message
	// received from a client, the server MUST return the 'client identifier' option,
	// unaltered".
	if id := m.Options.Get(dhcpv4.OptionClientIdentifier); len(id) > 0 {
		ack.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientIdentifier, id))
	}
	list := m.ParameterRequestList()
	wanted := func(code dhcpv4.OptionCode) bool {
		// By number: a code is of one type or of another.
		same := func(c dhcpv4.OptionCode) bool { return c.Code() == code.Code() }
		return len(list) == 0 || slices.ContainsFunc(list, same)
	}
	if wanted(dhcpv4.OptionSubnetMask) {
		// The link has no subnet: there is the peer at one end and we at the other.
		ack.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(32, 32)))
	}
	if dns := valid4(s.DNS); len(dns) > 0 && wanted(dhcpv4.OptionDomainNameServer) {
		ack.UpdateOption(dhcpv4.OptDNS(dns...))
	}
	if _, ok := appendName(nil, s.Domain); ok && wanted(dhcpv4.OptionDomainName) {
		ack.UpdateOption(dhcpv4.OptDomainName(s.Domain))
	}
	if wins := valid4(s.WINS); len(wins) > 0 && wanted(dhcpv4.OptionNetBIOSOverTCPIPNameServer) {
		ack.UpdateOption(dhcpv4.OptNetBIOSNameServers(wins...))
	}
	var codes []dhcpv4.OptionCode
	for _, code := range [...]dhcpv4.OptionCode{dhcpv4.OptionClasslessStaticRoute, optionMicrosoftRoutes} {
		if wanted(code) {
			codes = append(codes, code)
		}
	}
	pushRoutes(s, m, ack, codes)
	return ack
}

// pushRoutes puts the routes into each of the options, as many as the client can
// take in one message. What is too much is left out at the end of the list.
func pushRoutes(s *Subscriber, m, ack *dhcpv4.DHCPv4, codes []dhcpv4.OptionCode) {
	if len(codes) == 0 {
		return
	}
	most := leastDHCP
	if n, err := m.MaxMessageSize(); err == nil {
		most = max(most, min(int(n), s.MTU))
	}
	// The options are the last of a message, and zeros make it 300 octets long.
	used := lengthIPv4 + lengthUDP + len(bytes.TrimRight(ack.ToBytes(), "\x00"))
	room := (most - used) / len(codes)
	routers := s.Local.AsSlice()
	var list dhcpv4.Routes
	octets := 0
	for _, p := range s.PushRoutes {
		if !p.Addr().Is4() {
			continue
		}
		octets += 1 + (p.Bits()+7)/8 + 4
		if octets+2*(1+octets/255) > room {
			break
		}
		list = append(list, &dhcpv4.Route{
			Dest:   &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)},
			Router: routers,
		})
	}
	if len(list) == 0 {
		return
	}
	for _, code := range codes {
		ack.UpdateOption(dhcpv4.Option{Code: code, Value: list})
	}
}

func valid4(all [2]netip.Addr) (ips []net.IP) {
	for _, a := range all {
		if a = a.Unmap(); a.Is4() && !a.IsUnspecified() {
			ips = append(ips, a.AsSlice())
		}
	}
	return ips
}
