package config

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"net/netip"
	"slices"

	"adit/proto/l2tp"
)

// checkL2TPv3 reads the [l2tpv3] table, but for the static tunnels.
func (c *checker) checkL2TPv3(raw rawL2TPv3) {
	c.cfg.L2TPv3.RouterID = c.routerID("l2tpv3.router_id", raw.RouterID)
	speaks := slices.ContainsFunc(c.cfg.LNS.Peers, func(p *Peer) bool { return p.V3.Has(l2tp.Version3) })
	if len(raw.ListenIP) > 0 && !speaks {
		c.warn("l2tpv3.listen_ip", "nobody may connect to it, because no [[lns.peers]] has version 3; write versions = [3] or [2, 3] in one, or take it away")
	}
	var all []netip.Addr
	for i, text := range raw.ListenIP {
		key := joinIndex("l2tpv3.listen_ip", i)
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.IsMulticast() {
			c.missing(key, `%q is not an address to listen on; write "0.0.0.0", "::" or one address of this machine, without a port`, text)
			continue
		}
		addr = addr.Unmap()
		other := slices.IndexFunc(all, func(a netip.Addr) bool {
			return a == addr || a.Is4() == addr.Is4() && (a.IsUnspecified() || addr.IsUnspecified())
		})
		if other >= 0 {
			c.add(key, "%v cannot be had beside %v, because one of them includes the other; take one away", addr, all[other])
			continue
		}
		all = append(all, addr)
	}
	c.cfg.L2TPv3.ListenIP = all
}

// routerID reads the Router ID. RFC 3931 section 5.4.3: "The Router Identifier is a 4-octet
// unsigned integer. Its value is unique for a given LCCE".
func (c *checker) routerID(key string, raw *any) uint32 {
	if raw == nil {
		return routerIDOf(c.cfg.HostName)
	}
	switch v := (*raw).(type) {
	case int64:
		if v >= 1 && v <= math.MaxUint32 {
			return uint32(v)
		}
	case string:
		if addr, err := netip.ParseAddr(v); err == nil && addr.Is4() && !addr.IsUnspecified() {
			four := addr.As4()
			return binary.BigEndian.Uint32(four[:])
		}
	}
	c.missing(key, `is not a Router ID; write an IPv4 address in quotes, such as "192.0.2.1", or a number from 1 to 4294967295`)
	return routerIDOf(c.cfg.HostName)
}

// routerIDOf makes a Router ID of a host name: its FNV-1a hash of 32 bits, so that it
// is the same after each start, and another on each machine as far as can be; or 1.
func routerIDOf(hostName string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(hostName))
	return max(h.Sum32(), 1)
}

// peerV3 reads the keys of rawV3 at a peer or a tunnel, whose secret and
// encapsulation are read already.
func (c *checker) peerV3(at string, raw rawV3, auth rawSecret, secret Secret) PeerV3 {
	key := func(k string) string { return joinKey(at, k) }
	v := PeerV3{
		Versions:    c.versions(key("versions"), raw.Versions),
		Pseudowires: c.offered(key("pseudowires"), raw.Pseudowires),
		OtherSecret: c.secretOf(key("other_secret"), raw.OtherSecret, key("other_secret_file"), raw.OtherSecretFile),
	}
	v.AllowPPP = yes(raw.PPP, true) && v.Has(l2tp.Version3)
	hasSecret := auth.Secret != nil || auth.SecretFile != nil
	v.Digests = c.digests(key("digests"), raw.Digests)
	if v.Digests == nil && hasSecret && v.Has(l2tp.Version3) {
		// RFC 3931 section 5.4.1: "Digest Type 0 (HMAC-MD5) MUST be supported, while
		// Digest Type 1 (HMAC-SHA-1) SHOULD be supported."
		v.Digests = []l2tp.DigestType{l2tp.DigestMD5}
	}
	other := key("other_secret")
	if raw.OtherSecret == nil {
		other = key("other_secret_file")
	}
	switch otherSaid := raw.OtherSecret != nil || raw.OtherSecretFile != nil; {
	case otherSaid && !hasSecret:
		c.missing(other, "is for changing the secret, but there is none; set secret or secret_file")
	case otherSaid && len(secret) > 0 && string(secret) == string(v.OtherSecret):
		c.add(other, "is the secret itself; write the old one or the coming one, or take it away")
	}
	if !v.Has(l2tp.Version) && auth.Challenge != nil {
		c.warn(key("challenge"), "does nothing without version 2, because version 3 has digests in every message; take it away")
	}
	if v.Has(l2tp.Version3) {
		return v
	}
	if len(v.Pseudowires) > 0 {
		c.add(key("pseudowires"), "need version 3; write versions = [3], or [2, 3]")
	}
	for _, k := range givenKeys(raw) {
		if k != "versions" && k != "pseudowires" {
			c.warn(key(k), "does nothing without version 3; take it away, or write versions = [3], or [2, 3]")
		}
	}
	return v
}

func (c *checker) versions(key string, raw []int64) []uint8 {
	if raw == nil {
		return []uint8{l2tp.Version}
	}
	var all []uint8
	for i, n := range raw {
		at := joinIndex(key, i)
		switch {
		case n != l2tp.Version && n != l2tp.Version3:
			c.missing(at, "is %d; write 2 or 3", n)
		case slices.Contains(all, uint8(n)):
			c.add(at, "%d is in the list already; take one away", n)
		default:
			all = append(all, uint8(n))
		}
	}
	if len(raw) == 0 {
		c.missing(key, "is an empty list; write [2], [3], or both with the preferred one first")
	}
	if len(all) == 0 {
		all = []uint8{l2tp.Version}
	}
	return all
}

func (c *checker) digests(key string, raw []string) []l2tp.DigestType {
	var all []l2tp.DigestType
	for i := range raw {
		at := joinIndex(key, i)
		errs := len(c.errs)
		d := enum(c, at, &raw[i], digestNames, l2tp.DigestMD5)
		switch {
		case len(c.errs) > errs:
		case slices.Contains(all, d):
			c.add(at, "%q is in the list already; take one away", raw[i])
		default:
			all = append(all, d)
		}
	}
	if raw != nil && len(raw) == 0 {
		c.missing(key, `is an empty list; write "hmac-md5", "hmac-sha1" or both, or take the key away`)
	}
	return all
}
