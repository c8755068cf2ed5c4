package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"
)

// builtin reads the keys of a profile that count for the built-in endpoint.
func (c *checker) builtin(at string, raw rawBuiltin, p *Profile) {
	key := func(k string) string { return joinKey(at, k) }
	const long = 366 * 24 * time.Hour
	p.Builtin = Builtin{
		Auth:           c.authMethods(key("auth"), raw.Auth),
		DNS:            c.servers(key("dns"), raw.DNS),
		WINS:           c.servers(key("wins"), raw.WINS),
		IPv4:           yes(raw.IPv4, true),
		IPv6:           yes(raw.IPv6, true),
		MRU:            DefaultMRU,
		EchoInterval:   c.orNever(key("echo_interval"), raw.EchoInterval, 30*time.Second, time.Second, time.Hour),
		EchoFailures:   c.number(key("echo_failures"), raw.EchoFailures, 4, 1, 100),
		Rechallenge:    c.orNever(key("rechallenge"), raw.Rechallenge, 0, 10*time.Second, 24*time.Hour),
		SessionTimeout: c.orNever(key("session_timeout"), raw.SessionTimeout, 0, time.Second, long),
		IdleTimeout:    c.orNever(key("idle_timeout"), raw.IdleTimeout, 0, time.Second, long),
		Proxy:          enum(c, key("proxy"), raw.Proxy, proxyNames, ProxyAccept),
		Interface:      c.interfaceName(key("interface"), raw.Interface, ""),
		ClampMSS:       yes(raw.ClampMSS, true),
		Routes:         c.routes(key("routes"), raw.Routes),
	}
	b := &p.Builtin
	if p.MTU != 0 {
		b.MRU = p.MTU
	}
	if raw.MRU != nil {
		b.MRU = c.number(key("mru"), raw.MRU, b.MRU, 128, 16384)
		c.checkMTU(key("mru"), p, b.MRU)
	}
	if !b.IPv4 && !b.IPv6 {
		c.add(key("ipv6"), "is false and ipv4 too, so no packet could pass; take one of them away")
	}
	if p.PPP == PPPBuiltin {
		c.checkIPv6MTU(at, raw, p)
	}
}

// DefaultMRU is the MRU and MTU of the built-in endpoint, in octets, where the
// file does not say: what passes a path of 1500 octets in one piece, also inside
// of IPsec.
const DefaultMRU = 1400

// minIPv6MTU is of RFC 8200 section 5: "IPv6 requires that every link in the
// Internet have an MTU of 1280 octets or greater."
const minIPv6MTU = 1280

func (c *checker) checkIPv6MTU(at string, raw rawBuiltin, p *Profile) {
	least, key := p.Builtin.MRU, "mru"
	if p.MTU != 0 && p.MTU <= least {
		least, key = p.MTU, "mtu"
	}
	if p.Builtin.IPv6 && least < minIPv6MTU {
		c.warn(joinKey(at, key), "is %d, and IPv6 wants %d at least; raise it, or write ipv6 = false", least, minIPv6MTU)
	}
}

// orNever reads a time of which zero means never.
func (c *checker) orNever(key string, raw *time.Duration, def, least, most time.Duration) time.Duration {
	if raw == nil {
		return def
	}
	if *raw != 0 && *raw < least || *raw > most {
		c.add(key, `is %s; write a time from %s to %s, or "0s" for never`, short(*raw), short(least), short(most))
		return def
	}
	return *raw
}

// authMethods is nil if the file does not say; an empty list stays one.
func (c *checker) authMethods(key string, raw []string) []Auth {
	if raw == nil {
		return nil
	}
	methods := make([]Auth, 0, len(raw))
	for i := range raw {
		at := joinIndex(key, i)
		errs := len(c.errs)
		m := enum(c, at, &raw[i], authNames, AuthPAP)
		switch {
		case len(c.errs) > errs:
		case slices.Contains(methods, m):
			c.add(at, "%q is in the list already; take one away", raw[i])
		default:
			methods = append(methods, m)
		}
	}
	return methods
}

// servers reads the two name servers that IPCP can tell, RFC 1877.
func (c *checker) servers(key string, raw []string) (two [2]netip.Addr) {
	if len(raw) > len(two) {
		c.add(key, "has %d addresses; IPCP tells %d at most", len(raw), len(two))
	}
	for i, text := range raw {
		addr, err := netip.ParseAddr(text)
		switch {
		case err != nil || !isHost(addr):
			c.add(joinIndex(key, i), "%q is not an IPv4 address of a host; write one such as \"192.0.2.53\"", text)
		case i < len(two):
			two[i] = addr
		}
	}
	return two
}

// unused warns of keys that whoever speaks PPP in the profile does not read.
func (c *checker) unused(at string, raw rawProfile, p *Profile) {
	switch p.PPP {
	case PPPAuto:
	case PPPBuiltin:
		c.unusedKeys(at, "builtin", map[string]bool{
			"pty":               raw.PTY != nil,
			"pppd_options_file": raw.PPPDOptionsFile != nil,
			"pppd_options":      raw.PPPDOptions != nil,
			"pppd_debug":        raw.PPPDDebug != nil,
		})
	case PPPPPPD, PPPDiscard:
		given := map[string]bool{}
		keys := reflect.ValueOf(raw.rawBuiltin)
		for i := range keys.NumField() {
			given[keys.Type().Field(i).Tag.Get("toml")] = !keys.Field(i).IsNil()
		}
		c.unusedKeys(at, p.PPP.String(), given)
	}
}

func (c *checker) unusedKeys(at, ppp string, given map[string]bool) {
	for _, k := range slices.Sorted(maps.Keys(given)) {
		if given[k] {
			c.warn(joinKey(at, k), "does nothing with ppp = %q; take it away", ppp)
		}
	}
}

// fault is what a profile lacks for an LNS with the built-in endpoint.
type fault struct{ key, text string }

// faults are what the profile lacks to serve peers of an LNS by the built-in
// endpoint, which has nobody else to ask about users and addresses.
func (c *Config) faults(p *Profile) []fault {
	var all []fault
	if len(p.Builtin.Demanded()) > 0 && len(c.Users) == 0 {
		all = append(all, fault{"auth", "nobody could show who it is, because there are no [[users]]; add them, or write auth = [] to ask nobody"})
	}
	if !p.Builtin.IPv4 {
		return all
	}
	if !p.LocalAddress.IsValid() {
		all = append(all, fault{"local_address", `is missing; write our own IPv4 address on the links, such as "10.0.0.1", or ipv4 = false`})
	}
	if p.Pool != nil {
		return all
	}
	// A peer without an address of ours would choose one for itself, and get the
	// packets of whoever has it.
	if len(p.Builtin.Demanded()) == 0 {
		return append(all, fault{"pool", "is missing; name the pool that peers get their addresses from, or write ipv4 = false"})
	}
	for _, u := range c.Users {
		if !u.Address.IsValid() {
			return append(all, fault{"pool", fmt.Sprintf("is missing, and user %q has no address; name a pool, give every user an address, or write ipv4 = false", u.Name)})
		}
	}
	return all
}

// CheckBuiltin says what the profile lacks to serve peers of an LNS by the
// built-in endpoint. Load has asked that already for profiles with ppp =
// "builtin"; for "auto" it is known at start-up only.
func (c *Config) CheckBuiltin(p *Profile) error {
	var errs []error
	for _, f := range c.faults(p) {
		errs = append(errs, fmt.Errorf("profiles.%s.%s: %s", p.Name, f.key, f.text))
	}
	return errors.Join(errs...)
}

// Uses says which ends of calls a profile is for.
type Uses struct{ LNS, Client bool }

// Uses lists the profiles that a session may get.
func (c *Config) Uses() map[*Profile]Uses {
	uses := make(map[*Profile]Uses)
	use := func(p *Profile, lns bool) {
		u := uses[p]
		u.LNS, u.Client = u.LNS || lns, u.Client || !lns
		uses[p] = u
	}
	for _, p := range c.LNS.Peers {
		if p.AllowIncoming {
			use(p.Profile, true)
		}
		if p.AllowOutgoing {
			use(p.Profile, false)
		}
	}
	for _, o := range c.LNS.Outgoing {
		use(o.Profile, true)
	}
	for _, t := range c.LAC.Tunnels {
		if t.AllowOutgoing {
			use(t.Profile, false)
		}
		for _, s := range t.Sessions {
			use(s.Profile, s.Direction == Outgoing)
		}
	}
	return uses
}

// checkBuiltinUse looks at the profiles with ppp = "builtin" by what they are
// used for.
func (c *checker) checkBuiltinUse(raw map[string]rawProfile) {
	for p, use := range c.cfg.Uses() {
		if p.PPP != PPPBuiltin {
			continue
		}
		at := joinKey("profiles", p.Name)
		if use.LNS {
			for _, f := range c.cfg.faults(p) {
				c.missing(joinKey(at, f.key), "%s", f.text)
			}
		}
		if use.LNS && !use.Client && raw[p.Name].Routes != nil {
			c.warn(joinKey(at, "routes"), "counts for the client's end of a call only; the networks behind a peer stand in [[users]]")
		}
	}
}
