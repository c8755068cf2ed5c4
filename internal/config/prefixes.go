package config

import (
	"maps"
	"net/netip"
	"slices"
)

// placedPrefix is a prefix and where it is given to somebody.
type placedPrefix struct {
	netip.Prefix
	place
}

// checkPrefixes finds prefixes that would be given out twice.
func (c *checker) checkPrefixes() {
	all := slices.Clone(c.given.prefixes)
	slices.SortStableFunc(all, func(a, b placedPrefix) int {
		if n := a.Addr().Compare(b.Addr()); n != 0 {
			return n
		}
		return a.Bits() - b.Bits()
	})
	// Two prefixes overlap only if one holds the other; what holds others comes
	// before them.
	var holder placedPrefix
	for _, p := range all {
		if !holder.IsValid() || !holder.Overlaps(p.Prefix) {
			holder = p
			continue
		}
		later, earlier := p, holder
		if later.order < earlier.order || later.order == earlier.order && later.line < earlier.line {
			later, earlier = earlier, later
		}
		later.add(later.key, "%v overlaps with %v, which is %s; a prefix may be given once only", later.Prefix, earlier.Prefix, earlier.seenFrom(later.collector))
	}
}

// poolOfIPv6 reads a pool of prefixes.
func (c *checker) poolOfIPv6(at string, raw rawPool, pool *Pool) {
	key := joinKey(at, "prefixes")
	if raw.Ranges != nil {
		c.add(joinKey(at, "ranges"), "are of IPv4, and there are prefixes or a length too; make two pools of it")
	}
	if len(raw.Prefixes) == 0 {
		c.missing(key, `is missing, but there is a length; write prefixes = ["2001:db8:100::/40"]`)
	}
	lengthKey := joinKey(at, "length")
	if raw.Length == nil {
		c.missing(lengthKey, "is missing; write the length of the prefixes that are given out: 64 for links, 48 to 64 to delegate")
	}
	pool.Length = c.number(lengthKey, raw.Length, 0, minDelegatedPrefix, linkPrefix)
	for i, text := range raw.Prefixes {
		at := joinIndex(key, i)
		p, ok := c.prefix6(at, text)
		if !ok {
			continue
		}
		switch most := pool.Length; {
		case most > 0 && p.Bits() > most:
			c.add(at, "%v is smaller than the prefixes of length %d that are to be cut from it; write a shorter prefix, or a greater length", p, most)
		case most-p.Bits() > maxPoolBits:
			c.add(at, "%v has 2^%d prefixes of length %d, and a pool holds 2^%d; write a longer prefix", p, most-p.Bits(), most, maxPoolBits)
		}
		pool.IPv6 = append(pool.IPv6, p)
		c.given.prefixes = append(c.given.prefixes, placedPrefix{p, c.place(at, c.order)})
	}
}

// maxPoolBits bounds the prefixes that are cut from one.
const maxPoolBits = 32

// prefix6 reads a prefix of IPv6 that subscribers can have.
func (c *checker) prefix6(key, text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !p.Addr().Is6() || p.Addr().Is4In6():
		c.add(key, `%q is not a prefix of IPv6; write one such as "2001:db8:1::/64"`, text)
		return p, false
	case p.Masked() != p:
		c.add(key, "%q has bits set beyond its length; write %q", text, p.Masked())
		return p.Masked(), false
	case p.Addr().IsMulticast() || p.Addr().IsLinkLocalUnicast() || p.Addr().IsLoopback() || p.Addr().IsUnspecified():
		c.add(key, "%v is not a prefix that a subscriber can have; write one of global or unique local addresses", p)
		return p, false
	}
	return p, true
}

// localEnds reports an address of a user that is ours.
func (c *checker) localEnds(key string, addr netip.Addr) {
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Profiles)) {
		if c.cfg.Profiles[name].LocalAddress == addr {
			c.add(key, "%v is our own end of the link in profile %q; choose another", addr, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.DHCP)) {
		if c.cfg.DHCP[name].Relay == addr {
			c.add(key, "%v is our own address as the relay of dhcp %q; choose another", addr, name)
		}
	}
}
