package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// maxPPPName is the longest name or password of PPP, in octets. RFC 1334 section
// 2.2.1: "The Peer-ID-Length field is one octet".
const maxPPPName = 255

func (c *checker) checkUsers(raw []rawUser) {
	names, addresses, routes := map[string]string{}, map[netip.Addr]string{}, map[netip.Prefix]string{}
	for i, r := range raw {
		at := joinIndex("users", i)
		u := &User{
			Name:     c.pppName(joinKey(at, "name"), r.Name),
			Password: c.password(at, r.rawPassword),
			Address:  c.userAddress(joinKey(at, "address"), r.Address),
			Routes:   c.routes(joinKey(at, "routes"), r.Routes),
		}
		if r.Name == nil {
			c.missing(joinKey(at, "name"), "is missing; write the name that the user says in PPP")
		}
		if r.Password == nil && r.PasswordFile == nil {
			c.missing(joinKey(at, "password"), "is missing; set password or password_file")
		}
		if u.Name != "" {
			c.uniqueIn(names, at, u.Name)
		}
		if u.Address.IsValid() {
			c.once(addresses, u.Address, joinKey(at, "address"))
		}
		for j, route := range u.Routes {
			c.onceRoute(routes, route, joinIndex(joinKey(at, "routes"), j))
		}
		c.cfg.Users = append(c.cfg.Users, u)
	}
}

// once reports an address that two users have.
func (c *checker) once(seen map[netip.Addr]string, a netip.Addr, key string) {
	if first, taken := seen[a]; taken {
		c.add(key, "%v is %s already; one address leads to one user", a, first)
		return
	}
	seen[a] = key
}

func (c *checker) onceRoute(seen map[netip.Prefix]string, p netip.Prefix, key string) {
	if first, taken := seen[p]; taken {
		c.add(key, "%v is %s already; one network leads to one user", p, first)
		return
	}
	seen[p] = key
}

// pppName reads who somebody is to PPP.
func (c *checker) pppName(key string, raw *string) string {
	name := c.text(key, raw, "")
	switch {
	case raw != nil && *raw == "":
		c.add(key, "is empty; write the name that is said in PPP")
	case len(name) > maxPPPName:
		c.add(key, "has %d octets; %d is the most that PPP carries", len(name), maxPPPName)
	}
	return name
}

// userAddress reads the address of one user, which nobody else may get.
func (c *checker) userAddress(key string, raw *string) netip.Addr {
	addr := c.localAddress(key, raw)
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Profiles)) {
		if addr.IsValid() && c.cfg.Profiles[name].LocalAddress == addr {
			c.add(key, "%v is our own end of the link in profile %q; choose another", addr, name)
		}
	}
	return addr
}

// routes reads networks that a session leads to.
func (c *checker) routes(key string, raw []string) []netip.Prefix {
	if len(raw) == 0 {
		return nil
	}
	all := c.prefixes(key, raw)
	for _, p := range all {
		if p.Addr().IsMulticast() || p.Addr().IsLinkLocalUnicast() || p.Addr().IsLoopback() {
			c.add(key, "%v is not a network that can be routed to; take it away", p)
		}
	}
	return all
}

// credentials reads who we are to the LNS of a call.
func (c *checker) credentials(at string, raw rawSession, s *Session) {
	if raw.User == nil && raw.Password == nil && raw.PasswordFile == nil {
		return
	}
	userKey := joinKey(at, "user")
	if s.Profile.PPP == PPPPPPD {
		c.missing(firstGiven(at, raw), `is for the built-in PPP endpoint, and profile %q has ppp = "pppd"; write pppd_options = ["user", "NAME"] and the password into pppd's own secrets`, s.Profile.Name)
	}
	s.User, s.Password = c.pppName(userKey, raw.User), c.password(at, raw.rawPassword)
	switch {
	case raw.User == nil:
		c.missing(userKey, "is missing, but there is a password; write whose it is")
	case raw.Password == nil && raw.PasswordFile == nil:
		c.missing(joinKey(at, "password"), "is missing, but there is a user; set password or password_file")
	}
}

func firstGiven(at string, raw rawSession) string {
	switch {
	case raw.User != nil:
		return joinKey(at, "user")
	case raw.Password != nil:
		return joinKey(at, "password")
	}
	return joinKey(at, "password_file")
}

func (c *checker) checkTUN(raw rawTUN) {
	c.cfg.TUN = TUN{
		Name:   c.interfaceName("tun.name", raw.Name, "adit0"),
		MTU:    c.number("tun.mtu", raw.MTU, 1500, 1280, maxMTUAsync),
		Queues: c.number("tun.queues", raw.Queues, 1, 1, 64),
	}
}

// maxInterfaceName is the kernel's IFNAMSIZ less the zero octet at the end.
const maxInterfaceName = 15

// interfaceName reads a name, or a pattern in which %d is a free number.
func (c *checker) interfaceName(key string, raw *string, def string) string {
	name := c.text(key, raw, def)
	if raw == nil || *raw == def {
		return def
	}
	rest := strings.Replace(name, "%d", "0", 1)
	switch {
	case name == "" || rest == "." || rest == "..", len(rest) > maxInterfaceName, strings.ContainsAny(rest, "/:% \u00a0"), !isASCII(rest):
		c.missing(key, "%q is not a name of an interface; write up to %d letters and digits, with %%d once at most for a number", *raw, maxInterfaceName)
		return def
	}
	return name
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}
