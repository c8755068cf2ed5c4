package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"adit/internal/config"
)

// maxMessage is how long a server's answer may be, RFC 2132 section 9.10: what
// fits an Ethernet frame. Routes can take more than the 576 octets that are
// allowed to a server without it.
const maxMessage = 1472

// subOption is the longest sub-option of Option 82: with both of its length the
// option still is one, of 255 octets at most (RFC 3046 section 2.0).
const subOption = (255 - 2 - 2) / 2

// wishes is the Parameter Request List.
var wishes = dhcpv4.OptParameterRequestList(
	dhcpv4.OptionSubnetMask,
	// RFC 3442: "The Classless Static Routes option code MUST appear in the
	// parameter request list prior to both the Router option code and the Static
	// Routes option code, if present."
	dhcpv4.OptionClasslessStaticRoute,
	dhcpv4.OptionRouter,
	dhcpv4.OptionDomainNameServer,
	dhcpv4.OptionDomainName,
	dhcpv4.OptionNetBIOSOverTCPIPNameServer,
	dhcpv4.GenericOptionCode(optionMicrosoftRoutes),
	dhcpv4.OptionIPAddressLeaseTime,
	dhcpv4.OptionServerIdentifier,
	dhcpv4.OptionRenewTimeValue,
	dhcpv4.OptionRebindingTimeValue,
)

// optionMicrosoftRoutes is Option 249, which Windows asked for before RFC 3442:
// its form is the same.
const optionMicrosoftRoutes = 249

// message begins a message of the lease in its exchange under way.
func (l *lease) message(kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	hardware := l.identity.hardware()
	m := &dhcpv4.DHCPv4{
		OpCode:       dhcpv4.OpcodeBootRequest,
		HWType:       iana.HWTypeEthernet,
		ClientHWAddr: hardware[:],
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero,
		ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
		Options: make(dhcpv4.Options, 8),
	}
	binary.BigEndian.PutUint32(m.TransactionID[:], l.xid)
	m.UpdateOption(dhcpv4.OptMessageType(kind))
	m.UpdateOption(dhcpv4.OptClientIdentifier(l.identity.clientID()))
	if l.group.Mode == config.DHCPClient {
		return m
	}
	// RFC 1542 section 4.1.1: a relay counts itself, and fills in giaddr with its
	// own address.
	m.HopCount = 1
	m.GatewayIPAddr = ip(l.group.Relay)
	if info := l.agent.option(); info != nil {
		m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionRelayAgentInformation, info))
	}
	return m
}

// option is the value of Option 82; nil: there is nothing to tell.
func (a agent) option() (value []byte) {
	for code, text := range [...][]byte{1: a.circuit, 2: a.remote} {
		if len(text) == 0 {
			continue
		}
		text = text[:min(len(text), subOption)]
		value = append(value, byte(code), byte(len(text)))
		value = append(value, text...)
	}
	return value
}

// discover is the DHCPDISCOVER of the lease.
func (l *lease) discover() *dhcpv4.DHCPv4 {
	m := l.message(dhcpv4.MessageTypeDiscover)
	l.ask(m)
	if l.wanted.Is4() {
		m.UpdateOption(dhcpv4.OptRequestedIPAddress(ip(l.wanted)))
	}
	return m
}

// selecting is the DHCPREQUEST for an offer. RFC 2131 section 4.3.2: "Client
// inserts the address of the selected server in 'server identifier', 'ciaddr'
// MUST be zero, 'requested IP address' MUST be filled in with the yiaddr value
// from the chosen DHCPOFFER."
func (l *lease) selecting() *dhcpv4.DHCPv4 {
	m := l.message(dhcpv4.MessageTypeRequest)
	l.ask(m)
	m.UpdateOption(dhcpv4.OptServerIdentifier(ip(l.server)))
	m.UpdateOption(dhcpv4.OptRequestedIPAddress(ip(l.address)))
	return m
}

// extending is the DHCPREQUEST that renews. RFC 2131 section 4.3.2, of RENEWING
// and REBINDING: "'server identifier' MUST NOT be filled in, 'requested IP
// address' option MUST NOT be filled in, 'ciaddr' MUST be filled in with
// client's IP address." A server then answers to giaddr, which is ours.
//
// Of a client without a relay, it would answer to ciaddr, and the kernel has a
// route to the subscriber for that. So it asks as one that was restarted, of
// INIT-REBOOT: "'server identifier' MUST NOT be filled in, 'requested IP
// address' option MUST be filled in with client's notion of its previously
// assigned address. 'ciaddr' MUST be zero." The answer is a broadcast.
func (l *lease) extending() *dhcpv4.DHCPv4 {
	m := l.message(dhcpv4.MessageTypeRequest)
	l.ask(m)
	if l.group.Mode == config.DHCPClient {
		m.UpdateOption(dhcpv4.OptRequestedIPAddress(ip(l.address)))
	} else {
		m.ClientIPAddr = ip(l.address)
	}
	return m
}

// ask adds what a message has that awaits an answer.
func (l *lease) ask(m *dhcpv4.DHCPv4) {
	if l.group.Mode == config.DHCPClient {
		m.SetBroadcast()
	}
	// RFC 2131 section 3.1: "the DHCPREQUEST message MUST use the same value in the
	// DHCP message header's 'secs' field [...] as the original DHCPDISCOVER
	// message."
	m.NumSeconds = l.secs
	m.UpdateOption(dhcpv4.OptMaxMessageSize(maxMessage))
	m.UpdateOption(wishes)
}

// releasing is the DHCPRELEASE, RFC 2131 table 5: with ciaddr and the Server
// Identifier.
func (l *lease) releasing() *dhcpv4.DHCPv4 {
	m := l.message(dhcpv4.MessageTypeRelease)
	m.ClientIPAddr = ip(l.address)
	m.UpdateOption(dhcpv4.OptServerIdentifier(ip(l.server)))
	return m
}

// declining is the DHCPDECLINE, RFC 2131 table 5: with the Requested IP Address
// and the Server Identifier, ciaddr is 0.
func (l *lease) declining(address, server netip.Addr) *dhcpv4.DHCPv4 {
	m := l.message(dhcpv4.MessageTypeDecline)
	m.UpdateOption(dhcpv4.OptRequestedIPAddress(ip(address)))
	m.UpdateOption(dhcpv4.OptServerIdentifier(ip(server)))
	return m
}

func ip(a netip.Addr) net.IP { return a.AsSlice() }
