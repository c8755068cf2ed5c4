package autoconf

import (
	"encoding/binary"
	"net/netip"
	"time"

	"adit/proto/ip"
)

// Neighbor Discovery: ICMPv6 types, and options of a Router Advertisement.
const (
	typeSolicitation  = 133 // RFC 4861 section 4.1
	typeAdvertisement = 134 // RFC 4861 section 4.2

	optionSourceLinkLayer = 1  // RFC 4861 section 4.6.1
	optionPrefix          = 3  // RFC 4861 section 4.6.2
	optionMTU             = 5  // RFC 4861 section 4.6.4
	optionRoute           = 24 // RFC 4191 section 2.3
	optionDNSServers      = 25 // RFC 8106 section 5.1
	optionDNSSearch       = 31 // RFC 8106 section 5.2

	flagManaged    = 0x80 // M, of the advertisement
	flagOther      = 0x40 // O
	flagAutonomous = 0x40 // A, of a prefix

	curHopLimit = 64   // IANA's default of IPv4's TTL, RFC 4861 section 6.2.1
	minMTU      = 1280 // RFC 8200 section 5
	// maxAdvertisement bounds an advertisement: every link takes it, RFC 8200
	// section 5. Options that do not fit are left out, the less needed ones first.
	maxAdvertisement = minMTU
)

// solicited takes a Router Solicitation. message is the ICMPv6 message, whose
// checksum is right.
//
// RFC 4861 section 6.1.1: "A router MUST silently discard any received Router
// Solicitation messages that do not satisfy all of the following validity checks".
func (c *Core) solicited(now time.Time, l *Link, packet []byte, h *ip.Header, message []byte) {
	switch {
	case message[0] != typeSolicitation,
		// "The IP Hop Limit field has a value of 255", "ICMP Code is 0."
		packet[7] != 255, message[1] != 0,
		!optionsValid(message[8:], h.Src.IsUnspecified()):
		c.counts.add(dropInvalid)
		return
	case h.Dst != allRouters && h.Dst != linkLocal(l.LocalID),
		!h.Src.IsUnspecified() && interfaceID(h.Src) == 0:
		c.counts.add(dropAddress)
		return
	}
	c.counts.add(countSolicitations)
	l.schedule.solicited(now, interfaceID(h.Src), c.random)
}

// optionsValid: "All included options have a length that is greater than zero. If
// the IP source address is the unspecified address, there is no source link-layer
// address option in the message."
func optionsValid(b []byte, unspecified bool) bool {
	for len(b) > 0 {
		if len(b) < 2 || b[1] == 0 || int(b[1])*8 > len(b) {
			return false
		}
		if unspecified && b[0] == optionSourceLinkLayer {
			return false
		}
		b = b[int(b[1])*8:]
	}
	return true
}

// advertisement makes a Router Advertisement, RFC 4861 section 4.2. There is no
// Source Link-Layer Address option, for PPP has no such addresses.
func advertisement(s *Subscriber, to netip.Addr) []byte {
	var flags byte
	if s.IPv6.IsValid() {
		flags |= flagManaged
	}
	// RFC 4861 section 4.2: "O: ... When set, it indicates that other configuration
	// information is available via DHCPv6." Many routers behind a link ask for a
	// delegated prefix only if one of the flags says that there is DHCPv6.
	if len(s.DNSv6) > 0 || s.Domain != "" || len(s.Delegated) > 0 {
		flags |= flagOther
	}
	m := make([]byte, 0, 256)
	m = append(m, typeAdvertisement, 0, 0, 0, curHopLimit, flags)
	m = binary.BigEndian.AppendUint16(m, uint16(s.seconds(RouterLifetime)))
	m = append(m, 0, 0, 0, 0, 0, 0, 0, 0) // Reachable Time and Retrans Timer: "unspecified (by this router)"
	for _, option := range options(s) {
		if lengthIPv6+len(m)+len(option) <= maxAdvertisement {
			m = append(m, option...)
		}
	}
	src := linkLocal(s.LocalID)
	binary.BigEndian.PutUint16(m[2:], ip.Checksum(m, ip.PseudoHeader(src, to, ip.ProtocolICMPv6, len(m))))
	return append(header6(make([]byte, 0, lengthIPv6+len(m)), src, to, ip.ProtocolICMPv6, 255, len(m)), m...)
}

// options are the options of a subscriber's advertisement, the most needed first.
func options(s *Subscriber) (all [][]byte) {
	for _, p := range s.Prefixes {
		if p.Bits() == 64 && p.Addr().Is6() {
			all = append(all, prefixOption(s, p))
		}
	}
	if s.MTU >= minMTU {
		all = append(all, binary.BigEndian.AppendUint32([]byte{optionMTU, 1, 0, 0}, uint32(s.MTU)))
	}
	var servers []byte
	for _, a := range s.DNSv6 {
		if a.Is6() && len(servers) < 16*16 {
			b := a.As16()
			servers = append(servers, b[:]...)
		}
	}
	if len(servers) > 0 {
		all = append(all, append(lifetimeOption(s, optionDNSServers, len(servers)), servers...))
	}
	if name, ok := appendName(nil, s.Domain); ok {
		for len(name)%8 != 0 { // RFC 8106 section 5.2: "MUST be padded with zeros to be a multiple of 8 octets."
			name = append(name, 0)
		}
		all = append(all, append(lifetimeOption(s, optionDNSSearch, len(name)), name...))
	}
	for _, p := range s.PushRoutes6 {
		if p.IsValid() && p.Addr().Is6() {
			all = append(all, routeOption(s, p))
		}
	}
	return all
}

// lifetimeOption is the head of an option of RFC 8106, of n octets after it.
func lifetimeOption(s *Subscriber, option byte, n int) []byte {
	return binary.BigEndian.AppendUint32([]byte{option, byte(1 + n/8), 0, 0}, s.seconds(RouterLifetime))
}

// prefixOption is a Prefix Information option, with the A flag and without L.
//
// RFC 4861 section 4.6.2: "When not set the advertisement makes no statement about
// on-link or off-link properties of the prefix." The link has one other node, us,
// and whatever the peer sends goes to us; nothing is won by its taking the others
// of the prefix for neighbours. And a router behind the link, who has one prefix
// only, may have it on its own network, as RFC 7278 describes for links like ours.
func prefixOption(s *Subscriber, p netip.Prefix) []byte {
	b := []byte{optionPrefix, 4, byte(p.Bits()), flagAutonomous}
	b = binary.BigEndian.AppendUint32(b, s.seconds(ValidLifetime))
	b = binary.BigEndian.AppendUint32(b, s.seconds(PreferredLifetime))
	a := p.Masked().Addr().As16()
	return append(append(b, 0, 0, 0, 0), a[:]...)
}

// routeOption is a Route Information option of medium preference, RFC 4191 section
// 2.3: the prefix takes 0, 8 or 16 octets by its length.
func routeOption(s *Subscriber, p netip.Prefix) []byte {
	octets := (p.Bits() + 63) / 64 * 8
	b := []byte{optionRoute, byte(1 + octets/8), byte(p.Bits()), 0}
	b = binary.BigEndian.AppendUint32(b, s.seconds(RouterLifetime))
	a := p.Masked().Addr().As16()
	return append(b, a[:octets]...)
}
