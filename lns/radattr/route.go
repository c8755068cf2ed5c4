package radattr

import (
	"net/netip"
	"strings"
)

// parseRoute4 reads a Framed-Route. Whatever gateway and metrics it has, the way
// there is the subscriber.
//
// RFC 2865 section 5.22: "For IP routes, it SHOULD contain a destination prefix in
// dotted quad form optionally followed by a slash and a decimal length specifier
// stating how many high order bits of the prefix to use. That is followed by a
// space, a gateway address in dotted quad form, a space, and one or more metrics
// separated by spaces."
func parseRoute4(text string) (netip.Prefix, bool) {
	p, ok := destination(text, classBits)
	return p, ok && p.Addr().Is4()
}

// parseRoute6 reads a Framed-IPv6-Route, RFC 3162 section 2.5. Without a length it
// is a host's.
func parseRoute6(text string) (netip.Prefix, bool) {
	p, ok := destination(text, func(a netip.Addr) int { return a.BitLen() })
	return p, ok && p.Addr().Is6() && !p.Addr().Is4In6()
}

// destination reads the first word; length is what it has where it says none.
func destination(text string, length func(netip.Addr) int) (netip.Prefix, bool) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(words[0])
	if err != nil {
		a, err := netip.ParseAddr(words[0])
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(a, length(a))
	}
	p = p.Masked()
	return p, p.IsValid() && !p.Addr().IsMulticast()
}

// classBits is the length of a prefix by its class.
//
// RFC 2865 section 5.22: "The length specifier may be omitted, in which case it
// defaults to 8 bits for class A prefixes, 16 bits for class B prefixes, and 24
// bits for class C prefixes."
func classBits(a netip.Addr) int {
	if !a.Is4() {
		return -1
	}
	switch first := a.As4()[0]; {
	case a.IsUnspecified():
		return -1 // of no class; the default route has to be 0.0.0.0/0
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return -1
}
