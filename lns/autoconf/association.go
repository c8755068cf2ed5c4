package autoconf

import (
	"net"
	"net/netip"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// asking says how much a client knows of the leases that it names.
type asking uint8

const (
	asksForAny   asking = iota // they are hints
	asksForThese               // a server has offered them
	hasThese                   // it uses them
)

// association is an Identity Association of a message: IA_NA, IA_TA or IA_PD.
type association struct {
	kind   dhcpv6.OptionCode
	id     [4]byte
	leases []netip.Prefix // addresses are of 128 bits
}

// associations are the IAs of a message, in their order.
func associations(m *dhcpv6.Message) (all []association) {
	for _, o := range m.Options.Options {
		switch o := o.(type) {
		case *dhcpv6.OptIANA:
			all = append(all, association{dhcpv6.OptionIANA, o.IaId, addresses(o.Options)})
		case *dhcpv6.OptIATA:
			all = append(all, association{dhcpv6.OptionIATA, o.IaId, addresses(o.Options)})
		case *dhcpv6.OptIAPD:
			a := association{kind: dhcpv6.OptionIAPD, id: o.IaId}
			for _, p := range o.Options.Prefixes() {
				if lease, ok := prefixOf(p.Prefix); ok {
					a.leases = append(a.leases, lease)
				}
			}
			all = append(all, a)
		}
	}
	return all
}

func addresses(o dhcpv6.IdentityOptions) (all []netip.Prefix) {
	for _, a := range o.Addresses() {
		if addr, ok := netip.AddrFromSlice(a.IPv6Addr); ok && !addr.IsUnspecified() {
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return all
}

// prefixOf is a client's prefix; false: it names none, but a length at most, which
// is a hint. RFC 8415 section 18.3.9: "the server MAY use the prefix ... and/or the
// prefix length ... as hints". What is delegated was decided before.
func prefixOf(p *net.IPNet) (netip.Prefix, bool) {
	if p == nil || p.IP.IsUnspecified() {
		return netip.Prefix{}, false
	}
	ones, bits := p.Mask.Size()
	addr, ok := netip.AddrFromSlice(p.IP)
	if !ok || bits != 128 {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, ones).Masked(), true
}

// assigned is what the subscriber has for IAs of a kind.
func (s *Subscriber) assigned(kind dhcpv6.OptionCode) []netip.Prefix {
	switch kind {
	case dhcpv6.OptionIAPD:
		return s.Delegated
	case dhcpv6.OptionIANA:
		if s.IPv6.IsValid() {
			return []netip.Prefix{netip.PrefixFrom(s.IPv6, s.IPv6.BitLen())}
		}
	default: // RFC 8415 section 13.2: temporary addresses; PPP's subscribers have none
	}
	return nil
}

// holder is the index of the IA of a kind that gets what the subscriber has: the
// one that names some of it, so that it stays where it is, or else the first. -1:
// there is no IA of the kind, or nothing to get.
func (s *Subscriber) holder(all []association, kind dhcpv6.OptionCode) int {
	ours := s.assigned(kind)
	if len(ours) == 0 {
		return -1
	}
	first := -1
	for i, a := range all {
		if a.kind != kind {
			continue
		}
		if first < 0 {
			first = i
		}
		if slices.ContainsFunc(a.leases, func(p netip.Prefix) bool { return slices.Contains(ours, p) }) {
			return i
		}
	}
	return first
}

// holders are the IAs of a message that get something.
func (s *Subscriber) holders(all []association) [2]int {
	return [2]int{s.holder(all, dhcpv6.OptionIANA), s.holder(all, dhcpv6.OptionIAPD)}
}

// assign answers each IA of a message with what the subscriber has.
func (s *Subscriber) assign(r, m *dhcpv6.Message, how asking) {
	all := associations(m)
	holders := s.holders(all)
	for i, a := range all {
		var ours []netip.Prefix
		if slices.Contains(holders[:], i) {
			ours = s.assigned(a.kind)
		}
		r.AddOption(a.option(s.leases(a, ours, how)))
	}
}

// leases are the options inside the answer to an IA, and whether any of them is a
// lease that lives.
func (s *Subscriber) leases(a association, ours []netip.Prefix, how asking) (options dhcpv6.Options, living bool) {
	// RFC 8415 section 18.3.2: "If any of the prefixes of the included addresses are
	// not appropriate for the link to which the client is connected, the server MUST
	// return the IA to the client with a Status Code option ... with the value
	// NotOnLink."
	if how == asksForThese && a.kind != dhcpv6.OptionIAPD {
		for _, l := range a.leases {
			if !s.onLink(l.Addr()) {
				return dhcpv6.Options{status(iana.StatusNotOnLink, "the address is not of this link")}, false
			}
		}
	}
	for _, p := range ours {
		options = append(options, lease(a.kind, p, true))
	}
	if how == hasThese {
		// 18.3.4: "If the server finds that any of the addresses in the IA are not
		// appropriate for the link to which the client is attached, the server returns
		// the address to the client with lifetimes of 0", and so for delegated
		// prefixes.
		for _, l := range a.leases {
			if !slices.Contains(ours, l) {
				options = append(options, lease(a.kind, l, false))
			}
		}
	}
	if len(options) > 0 {
		return options, len(ours) > 0
	}
	// 18.3.2, 18.3.4, 18.3.5 and 18.3.9: no leases "and a Status Code option containing
	// status code NoAddrsAvail", "NoPrefixAvail".
	if a.kind == dhcpv6.OptionIAPD {
		return dhcpv6.Options{status(iana.StatusNoPrefixAvail, "no prefix is delegated to you")}, false
	}
	return dhcpv6.Options{status(iana.StatusNoAddrsAvail, "no address is for you")}, false
}

// lease is an IA Address or an IA Prefix option.
func lease(kind dhcpv6.OptionCode, p netip.Prefix, living bool) dhcpv6.Option {
	preferred, valid := PreferredLifetime, ValidLifetime
	if !living {
		preferred, valid = 0, 0
	}
	if kind != dhcpv6.OptionIAPD {
		return &dhcpv6.OptIAAddress{IPv6Addr: p.Addr().AsSlice(), PreferredLifetime: preferred, ValidLifetime: valid}
	}
	return &dhcpv6.OptIAPrefix{
		PreferredLifetime: preferred, ValidLifetime: valid,
		Prefix: &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 128)},
	}
}

// option is the IA with options inside. "The T1/T2 times set in each applicable IA
// option for a Reply MUST be the same values across all IAs": those with a lease
// that lives.
func (a association) option(inside dhcpv6.Options, living bool) dhcpv6.Option {
	t1, t2 := RenewTime, RebindTime
	if !living {
		t1, t2 = 0, 0
	}
	switch a.kind {
	case dhcpv6.OptionIAPD:
		return &dhcpv6.OptIAPD{IaId: a.id, T1: t1, T2: t2, Options: dhcpv6.PDOptions{Options: inside}}
	case dhcpv6.OptionIATA:
		return &dhcpv6.OptIATA{IaId: a.id, Options: dhcpv6.IdentityOptions{Options: inside}}
	default:
		return &dhcpv6.OptIANA{IaId: a.id, T1: t1, T2: t2, Options: dhcpv6.IdentityOptions{Options: inside}}
	}
}

// release answers a Release or a Decline. RFC 8415 sections 18.3.7 and 18.3.8:
// "includes a Status Code option ... with the value Success ... For each IA in the
// Release message for which the server has no binding information, the server adds
// an IA option using the IAID from the Release message and includes a Status Code
// option with the value NoBinding in the IA option. No other options are included in
// the IA option." What is released stays the subscriber's, for as long as his
// session lasts.
func (s *Subscriber) release(r, m *dhcpv6.Message) {
	r.AddOption(status(iana.StatusSuccess, ""))
	all := associations(m)
	holders := s.holders(all)
	for i, a := range all {
		if !slices.Contains(holders[:], i) {
			r.AddOption(a.option(dhcpv6.Options{status(iana.StatusNoBinding, "the IA has no leases")}, false))
		}
	}
}
