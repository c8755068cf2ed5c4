package autoconf

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"adit/proto/ip"
)

// dhcpv6 answers a DHCPv6 message of a client; relays are no peers of ours.
func (c *Core) dhcpv6(s *Subscriber, h *ip.Header, data []byte) []byte {
	local := linkLocal(s.LocalID)
	unicast := h.Dst == local
	if h.Dst != allDHCP && !unicast || interfaceID(h.Src) == 0 {
		c.counts.add(dropAddress)
		return nil
	}
	m, err := dhcpv6.MessageFromBytes(data)
	if err != nil {
		c.counts.add(dropMalformed)
		return nil
	}
	if !c.valid(m) {
		c.counts.add(dropInvalid)
		return nil
	}
	var reply *dhcpv6.Message
	if unicast {
		reply = c.useMulticast(m)
	} else {
		reply = c.reply(s, m)
	}
	if reply == nil {
		c.counts.add(dropInvalid)
		return nil
	}
	c.counts.add(countDHCPv6)
	return datagram6(local, h.Src, portDHCPv6Server, portDHCPv6Client, reply.ToBytes())
}

// valid looks whether a message is one that RFC 8415 section 16 does not have
// servers discard.
func (c *Core) valid(m *dhcpv6.Message) bool {
	client, server := m.GetOneOption(dhcpv6.OptionClientID) != nil, m.GetOneOption(dhcpv6.OptionServerID) != nil
	ours := false
	if id := m.Options.ServerID(); id != nil {
		ours = bytes.Equal(id.ToBytes(), c.duid.ToBytes())
	}
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRebind:
		// 16.2, 16.5 and 16.7: "Servers MUST discard any Solicit messages that do not
		// include a Client Identifier option or that do include a Server Identifier
		// option."
		return client && !server
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeDecline, dhcpv6.MessageTypeRelease:
		// 16.4, 16.6, 16.8 and 16.9: discarded if "the message does not include a
		// Server Identifier option", "the contents of the Server Identifier option do
		// not match the server's DUID", "the message does not include a Client
		// Identifier option".
		return client && ours
	case dhcpv6.MessageTypeInformationRequest:
		// 16.12: discarded if "the message includes a Server Identifier option ...,
		// and the DUID in the option does not match the server's DUID", "the message
		// includes an IA option".
		return (!server || ours) && len(associations(m)) == 0
	default: // 16.3, 16.10, 16.11: what servers send; and what we do not know
		return false
	}
}

// answer begins an answer to a message.
func (c *Core) answer(kind dhcpv6.MessageType, m *dhcpv6.Message) *dhcpv6.Message {
	r := &dhcpv6.Message{MessageType: kind, TransactionID: m.TransactionID}
	r.AddOption(dhcpv6.OptServerID(c.duid))
	if client := m.GetOneOption(dhcpv6.OptionClientID); client != nil {
		r.AddOption(client)
	}
	return r
}

// useMulticast is the answer to a message to our own address. RFC 8415 section
// 18.4: "the server discards that message and responds with an Advertise (when
// responding to a Solicit message) or Reply message (when responding to any other
// messages) containing a Status Code option ... with the value UseMulticast, a
// Server Identifier option ..., the Client Identifier option ... (if any), and no
// other options."
func (c *Core) useMulticast(m *dhcpv6.Message) *dhcpv6.Message {
	kind := dhcpv6.MessageTypeReply
	if m.MessageType == dhcpv6.MessageTypeSolicit {
		kind = dhcpv6.MessageTypeAdvertise
	}
	r := c.answer(kind, m)
	r.AddOption(status(iana.StatusUseMulticast, "send to ff02::1:2"))
	return r
}

// reply answers a message to all servers; nil: there is nothing to say.
func (c *Core) reply(s *Subscriber, m *dhcpv6.Message) *dhcpv6.Message {
	r := c.answer(dhcpv6.MessageTypeReply, m)
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit:
		if m.GetOneOption(dhcpv6.OptionRapidCommit) != nil {
			r.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
		} else {
			r.MessageType = dhcpv6.MessageTypeAdvertise
		}
		s.assign(r, m, asksForAny)
	case dhcpv6.MessageTypeRequest:
		s.assign(r, m, asksForThese)
	case dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind:
		s.assign(r, m, hasThese)
	case dhcpv6.MessageTypeConfirm:
		code, any := s.confirm(m)
		if !any {
			return nil
		}
		r.AddOption(status(code, ""))
		return r
	case dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline:
		s.release(r, m)
		return r
	default: // an Information-request
	}
	s.configure(r, m)
	return r
}

// configure adds what the client's Option Request option names.
func (s *Subscriber) configure(r, m *dhcpv6.Message) {
	var servers []net.IP
	for _, a := range s.DNSv6 {
		if a.Is6() {
			servers = append(servers, a.AsSlice())
		}
	}
	if len(servers) > 0 && m.IsOptionRequested(dhcpv6.OptionDNSRecursiveNameServer) {
		r.AddOption(dhcpv6.OptDNS(servers...))
	}
	if _, ok := appendName(nil, s.Domain); ok && m.IsOptionRequested(dhcpv6.OptionDomainSearchList) {
		r.AddOption(dhcpv6.OptDomainSearchList(&rfc1035label.Labels{Labels: []string{s.Domain}}))
	}
	if m.MessageType == dhcpv6.MessageTypeInformationRequest && m.IsOptionRequested(dhcpv6.OptionInformationRefreshTime) {
		// RFC 8415 section 21.23. What there is may have changed with the next session
		// at the latest, of which a host behind a router does not know.
		r.AddOption(dhcpv6.OptInformationRefreshTime(PreferredLifetime))
	}
}

// confirm says whether the addresses that a client believes to have are of this
// link; false: it names none.
//
// RFC 8415 section 18.3.3: "If all of the addresses in the Confirm message pass this
// test, the server returns a status of Success. If any of the addresses do not pass
// this test, the server returns a status of NotOnLink. If ... there were no
// addresses in any of the IAs sent by the client, the server MUST NOT send a Reply
// to the client."
func (s *Subscriber) confirm(m *dhcpv6.Message) (code iana.StatusCode, any bool) {
	code = iana.StatusSuccess
	for _, a := range associations(m) {
		for _, l := range a.leases {
			if a.kind == dhcpv6.OptionIAPD {
				continue
			}
			any = true
			if !s.onLink(l.Addr()) {
				code = iana.StatusNotOnLink
			}
		}
	}
	return code, any
}

// onLink says whether an address is appropriate for the link.
func (s *Subscriber) onLink(a netip.Addr) bool {
	if a == s.IPv6 {
		return true
	}
	for _, p := range s.Prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func status(code iana.StatusCode, text string) *dhcpv6.OptStatusCode {
	return &dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: text}
}
