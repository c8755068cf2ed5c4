package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// maxPPPName is the longest name or password of PPP, in octets. RFC 1334 section
// 2.2.1: "The Peer-ID-Length field is one octet".
const maxPPPName = 255

// given is what each user may have alone, and where in which file it stands.
type given struct {
	names     map[string]place
	addresses map[netip.Addr]place
	routes    map[netip.Prefix]owner
	prefixes  []placedPrefix // of users and of pools
}

// owner is whose a network is.
type owner struct {
	place
	user *User
	// prefix: it is the user's own by ipv6_prefix or delegated_prefix, and may
	// stand in the routes once more.
	prefix bool
}

func newGiven() *given {
	return &given{names: map[string]place{}, addresses: map[netip.Addr]place{}, routes: map[netip.Prefix]owner{}}
}

// place is a key in one of the files.
type place struct {
	*collector
	key   string
	line  int
	order int // of the file among those that were read
}

func (c *collector) place(key string, order int) place {
	return place{c, key, c.lines.find(key), order}
}

// seenFrom names the place in a sentence about a file.
func (p place) seenFrom(c *collector) string {
	switch {
	case p.keyless:
		return fmt.Sprintf("line %d of %s", p.line, p.file)
	case p.collector == c:
		return p.key
	}
	return fmt.Sprintf("%s in %s, line %d", p.key, p.file, p.line)
}

func (c *checker) checkUsers(raw []rawUser) {
	for i, r := range raw {
		c.user(joinIndex("users", i), r)
	}
}

func (c *checker) user(at string, r rawUser) {
	key := func(k string) string { return joinKey(at, k) }
	u := &User{
		Name:           c.pppName(key("name"), r.Name),
		Password:       c.password(at, r.rawPassword),
		NTHash:         c.ntHash(key("nt_hash"), r.NTHash),
		Address:        c.userAddress(key("address"), r.Address),
		IPv6Prefix:     c.userPrefix(key("ipv6_prefix"), r.IPv6Prefix, linkPrefix),
		Delegated:      c.userPrefix(key("delegated_prefix"), r.DelegatedPrefix, minDelegatedPrefix),
		Routes:         c.routes(key("routes"), r.Routes),
		CallingNumbers: c.patterns(key("calling_numbers"), r.CallingNumbers),
		Profile:        c.profileNamed(key("profile"), r.Profile, nil),
		MaxSessions:    c.number(key("max_sessions"), r.MaxSessions, 0, 1, maxUserSessions),
		SessionTimeout: c.duration(key("session_timeout"), r.SessionTimeout, 0, time.Second, long),
		IdleTimeout:    c.duration(key("idle_timeout"), r.IdleTimeout, 0, time.Second, long),
	}
	if r.Name == nil {
		c.missing(key("name"), "is missing; write the name that the user says in PPP")
	}
	password := r.Password != nil || r.PasswordFile != nil
	switch {
	case !password && r.NTHash == nil:
		c.missing(key("password"), "is missing; set password, password_file or nt_hash")
	case password && r.NTHash != nil:
		c.add(key("nt_hash"), "there is a password too; keep one of them")
	}
	if u.Address.IsValid() && u.MaxSessions > 1 {
		c.warn(key("max_sessions"), "is %d, but only one session at a time can have %v; take one of them away", u.MaxSessions, u.Address)
	}
	c.own(at, u)
	c.cfg.Users = append(c.cfg.Users, u)
}

// own sees that nobody else has what the user has.
func (c *checker) own(at string, u *User) {
	key := func(k string) string {
		if c.keyless {
			return at
		}
		return joinKey(at, k)
	}
	if u.Name != "" {
		if first, taken := c.given.names[u.Name]; taken {
			c.add(key("name"), "%q is the name of %s already; choose another", u.Name, first.seenFrom(c.collector))
		} else {
			c.given.names[u.Name] = c.place(at, c.order)
		}
	}
	if u.Address.IsValid() {
		if first, taken := c.given.addresses[u.Address]; taken {
			c.add(key("address"), "%v is taken by %s already; one address leads to one user", u.Address, first.seenFrom(c.collector))
		} else {
			c.given.addresses[u.Address] = c.place(key("address"), c.order)
		}
	}
	for k, p := range map[string]netip.Prefix{"ipv6_prefix": u.IPv6Prefix, "delegated_prefix": u.Delegated} {
		if !p.IsValid() {
			continue
		}
		where := c.place(key(k), c.order)
		c.given.prefixes = append(c.given.prefixes, placedPrefix{p, where})
		// That two users have the prefix is for checkPrefixes to say.
		if first, taken := c.given.routes[p]; taken && !first.prefix {
			c.ownedRoute(p, where, first)
		}
		c.given.routes[p] = owner{where, u, true}
	}
	for i, p := range u.Routes {
		where := c.place(joinIndex(key("routes"), i), c.order)
		first, taken := c.given.routes[p]
		switch {
		case !taken:
			c.given.routes[p] = owner{where, u, false}
		case first.user != u || !first.prefix:
			c.ownedRoute(p, where, first)
		}
	}
}

func (c *checker) ownedRoute(p netip.Prefix, where place, first owner) {
	c.add(where.key, "%v is taken by %s already; one network leads to one user", p, first.seenFrom(c.collector))
}

// userPrefix reads a prefix of one user, of a length from least to 64.
func (c *checker) userPrefix(key string, raw *string, least int) netip.Prefix {
	if raw == nil {
		return netip.Prefix{}
	}
	p, ok := c.prefix6(key, *raw)
	switch {
	case !ok:
		return netip.Prefix{}
	case p.Bits() < least || p.Bits() > linkPrefix:
		if least == linkPrefix {
			c.add(key, "%v has a length of %d, and the link to a subscriber takes 64", p, p.Bits())
		} else {
			c.add(key, "%v has a length of %d; write one from %d to %d", p, p.Bits(), least, linkPrefix)
		}
		return netip.Prefix{}
	}
	return p
}

// patterns reads a list of shell patterns.
func (c *checker) patterns(key string, raw []string) []string {
	if raw != nil && len(raw) == 0 {
		c.add(key, "is an empty list, so no call would match; write patterns, or take the key away to let any number in")
		return nil
	}
	for i := range raw {
		c.pattern(joinIndex(key, i), &raw[i])
	}
	return raw
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
	if addr.IsValid() {
		c.localEnds(key, addr)
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
