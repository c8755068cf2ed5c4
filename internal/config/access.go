package config

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// aaa reads the keys of a profile that say who may come in, and what a
// subscriber is given beyond its IPv4 address of a pool.
func (c *checker) aaa(at string, raw rawAAA, p *Profile) {
	key := func(k string) string { return joinKey(at, k) }
	p.AAA = AAA{
		Sources:       c.sources(key("aaa"), raw.AAA),
		MaxSessions:   c.number(key("max_sessions"), raw.MaxSessions, 0, 0, maxUserSessions),
		SecondLogin:   enum(c, key("second_login"), raw.SecondLogin, secondLoginNames, SecondLoginRefuse),
		FailureDelay:  c.duration(key("failure_delay"), raw.FailureDelay, time.Second, 0, 10*time.Second),
		IPv6Pool:      c.poolNamed(key("ipv6_pool"), raw.IPv6Pool),
		DelegatedPool: c.poolNamed(key("delegated_pool"), raw.DelegatedPool),
		DNSv6:         c.servers6(key("dns_ipv6"), raw.DNSv6),
		Domain:        c.domain(key("domain"), raw.Domain),
		PushRoutes:    c.pushRoutes(key("push_routes"), raw.PushRoutes),
	}
	a := &p.AAA
	if raw.Accounting == nil || *raw.Accounting != noGroup {
		a.Accounting = c.accounting(key("accounting"), raw.Accounting, a.Sources)
	}
	c.linkPool(key("ipv6_pool"), a.IPv6Pool)
	c.delegatedPool(key("delegated_pool"), a.DelegatedPool)
	if a.IPv6Pool != nil && a.IPv6Pool == a.DelegatedPool {
		c.add(key("delegated_pool"), "%q is the ipv6_pool too; name another pool", *raw.DelegatedPool)
	}
	if raw.DHCP != nil {
		if a.DHCP = c.cfg.DHCP[*raw.DHCP]; a.DHCP == nil {
			c.add(key("dhcp"), "there is no %q in [dhcp]; %s", *raw.DHCP, orNames("write [dhcp.NAME] or name", slices.Sorted(maps.Keys(c.cfg.DHCP))))
		}
		if p.Pool != nil {
			c.add(key("dhcp"), "there is a pool too; keep the one that IPv4 addresses are to come from")
		}
	}
}

// maxUserSessions is the most that a user may be limited to.
const maxUserSessions = 65535

func (c *checker) poolNamed(key string, name *string) *Pool {
	if name == nil {
		return nil
	}
	p := c.cfg.Pools[*name]
	if p == nil {
		c.add(key, "there is no pool %q; %s", *name, orNames("write [pools.NAME] or name", slices.Sorted(maps.Keys(c.cfg.Pools))))
	}
	return p
}

// The lengths of prefixes. RFC 4291 section 2.5.1: "For all unicast addresses,
// except those that start with the binary value 000, Interface IDs are required
// to be 64 bits long". So the prefix of a link has 64, and a delegated one not
// more.
const (
	linkPrefix         = 64
	minDelegatedPrefix = 48
)

func (c *checker) linkPool(key string, p *Pool) {
	if c.ofIPv6(key, p) && p.Length != linkPrefix {
		c.add(key, "pool %q has prefixes of length %d, and the link to a subscriber takes 64; write length = 64, or name another pool", p.Name, p.Length)
	}
}

func (c *checker) delegatedPool(key string, p *Pool) {
	if c.ofIPv6(key, p) && (p.Length < minDelegatedPrefix || p.Length > linkPrefix) {
		c.add(key, "pool %q has prefixes of length %d; to delegate them, write a length from %d to %d", p.Name, p.Length, minDelegatedPrefix, linkPrefix)
	}
}

// ofIPv6 says whether the pool has a length to look at.
func (c *checker) ofIPv6(key string, p *Pool) bool {
	if p != nil && len(p.Ranges) > 0 {
		c.add(key, "pool %q is of IPv4; name one that has prefixes and length", p.Name)
	}
	return p != nil && len(p.IPv6) > 0 && p.Length > 0
}

// servers6 reads the name servers of IPv6, for router advertisements and DHCPv6.
func (c *checker) servers6(key string, raw []string) []netip.Addr {
	const most = 8
	if len(raw) > most {
		c.add(key, "has %d addresses; %d is the most that is told", len(raw), most)
	}
	var all []netip.Addr
	for i, text := range raw {
		addr, err := netip.ParseAddr(text)
		if err != nil || !addr.Is6() || addr.Is4In6() || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() {
			c.add(joinIndex(key, i), "%q is not an IPv6 address of a host; write one such as \"2001:db8::53\"", text)
			continue
		}
		all = append(all, addr)
	}
	return all
}

func (c *checker) domain(key string, raw *string) string {
	if raw == nil {
		return ""
	}
	if !isDNSName(*raw) {
		c.add(key, "%q is not a domain; write one such as \"example.net\"", *raw)
		return ""
	}
	return *raw
}

// pushRoutes reads the networks of a Classless Static Route option, RFC 3442,
// which fits into the answer to a DHCPINFORM.
func (c *checker) pushRoutes(key string, raw []string) []netip.Prefix {
	const most = 28 // of at most 9 octets in an option of 255
	if len(raw) > most {
		c.add(key, "has %d networks; %d is the most that a DHCP option carries", len(raw), most)
	}
	all := c.routes(key, raw)
	for _, p := range all {
		if !p.Addr().Is4() {
			c.add(key, "%v is not IPv4, and DHCPINFORM tells routes of IPv4 alone; take it away", p)
		}
	}
	return all
}
