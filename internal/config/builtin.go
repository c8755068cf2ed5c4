package config

import (
	"net/netip"
	"slices"
	"time"
)

// long is the longest time of a session or of a pool.
const long = 366 * 24 * time.Hour

// builtin reads the keys of a profile that count for the built-in endpoint.
func (c *checker) builtin(at string, raw rawProfile, p *Profile) {
	key := func(k string) string { return joinKey(at, k) }
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
		c.checkIPv6MTU(at, p)
	}
}

// DefaultMRU is the MRU and MTU of the built-in endpoint, in octets, where the
// file does not say: what passes a path of 1500 octets in one piece, also inside
// of IPsec.
const DefaultMRU = 1400

// minIPv6MTU is of RFC 8200 section 5: "IPv6 requires that every link in the
// Internet have an MTU of 1280 octets or greater."
const minIPv6MTU = 1280

func (c *checker) checkIPv6MTU(at string, p *Profile) {
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
