package config

import (
	"net/netip"
	"path"
	"slices"

	"adit/proto/l2tp"
)

func (c *checker) checkPeers(raw []rawPeer) {
	for i, r := range raw {
		c.cfg.LNS.Peers = append(c.cfg.LNS.Peers, c.peer(joinIndex("lns.peers", i), r))
	}
}

func (c *checker) peer(at string, raw rawPeer) *Peer {
	key := func(k string) string { return joinKey(at, k) }
	limits := c.cfg.Limits
	p := &Peer{
		Name:           c.uniqueName(at, raw.Name),
		Addresses:      c.prefixes(key("addresses"), raw.Addresses),
		HostName:       c.pattern(key("host_name"), raw.HostName),
		Profile:        c.profileNamed(key("profile"), raw.Profile, c.cfg.Profiles[DefaultProfile]),
		MaxTunnels:     c.number(key("max_tunnels"), raw.MaxTunnels, limits.Tunnels, 1, limits.Tunnels),
		MaxSessions:    c.number(key("max_sessions"), raw.MaxSessions, limits.Sessions, 1, limits.Sessions),
		AllowIncoming:  yes(raw.AllowIncoming, true),
		AllowOutgoing:  yes(raw.AllowOutgoing, false),
		ControlChannel: c.controlChannel(at, raw.rawControlChannel, c.cfg.ControlChannel),
	}
	a := c.authentication(at, raw.rawSecret)
	p.Secret, p.Challenge, p.HideAVPs = a.secret, a.challenge, a.hide
	p.V3 = c.peerV3(at, raw.rawV3, raw.rawSecret, a.secret)
	hasSecret := raw.Secret != nil || raw.SecretFile != nil
	switch {
	case !hasSecret && !yes(raw.NoSecret, false):
		c.missing(key("secret"), "is missing; set secret or secret_file, or say no_secret = true to let this peer in without")
	case hasSecret && yes(raw.NoSecret, false):
		c.add(key("no_secret"), "is true, but there is a secret; keep one of them")
	case hasSecret && !p.Challenge && p.V3.Has(l2tp.Version):
		c.warn(key("challenge"), "is false, so the peer need not prove that it has the secret")
	}
	if !p.AllowIncoming && !p.AllowOutgoing && !slices.Contains(c.outgoingPeers, p.Name) {
		c.add(key("allow_incoming"), "no call may pass in either direction; set allow_incoming or allow_outgoing to true")
	}
	if !p.V3.MayPPP() && raw.Pseudowires == nil {
		c.missing(key("pseudowires"), "is missing, and ppp is false, so the peer could ask for nothing; name the pseudowires that it may have, or take ppp away")
	}
	return p
}

// uniqueName reads the name of a peer or a tunnel. One name means one of them
// only, because "adit disconnect peer NAME" takes both.
func (c *checker) uniqueName(at string, raw *string) string {
	key := joinKey(at, "name")
	name := c.text(key, raw, "")
	if name == "" {
		c.missing(key, "is missing; name it for the log and for adit's commands")
		return ""
	}
	if first, taken := c.names[name]; taken {
		c.add(key, "%q is the name of %s already; choose another", name, first)
		return name
	}
	c.names[name] = at
	return name
}

func (c *checker) prefixes(key string, raw []string) []netip.Prefix {
	var all []netip.Prefix
	if raw != nil && len(raw) == 0 {
		c.missing(key, "is an empty list, so nobody would match; write prefixes, or take the key away to let any address in")
	}
	for i, text := range raw {
		at := joinIndex(key, i)
		if addr, err := netip.ParseAddr(text); err == nil {
			addr = addr.Unmap().WithZone("")
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			c.missing(at, `%q is not a prefix; write "192.0.2.0/24", "2001:db8::/32" or one address`, text)
			continue
		case prefix.Masked() != prefix:
			c.add(at, "%q has bits set beyond its length; write %q", text, prefix.Masked())
		}
		all = append(all, prefix.Masked())
	}
	return all
}

func (c *checker) pattern(key string, raw *string) string {
	p := c.text(key, raw, "")
	if _, err := path.Match(noSlash(p), ""); err != nil {
		c.add(key, `%q is not a shell pattern; close every [ with a ], or write \[ for the character itself`, p)
		return ""
	}
	if raw != nil && *raw == "" {
		c.add(key, `is empty; write a name or a pattern, or take the key away to let any name in`)
	}
	return p
}

func (c *checker) checkOutgoing(raw []rawOutgoing) {
	names := map[string]string{}
	for i, r := range raw {
		at := joinIndex("lns.outgoing", i)
		key := func(k string) string { return joinKey(at, k) }
		o := &OutgoingCall{
			Name:        c.nameOr(key("name"), r.Name, i),
			Count:       c.number(key("count"), r.Count, 1, 1, c.cfg.Limits.SessionsPerTunnel),
			SubAddress:  c.text(key("sub_address"), r.SubAddress, ""),
			PPPDOptions: c.words(key("pppd_options"), r.PPPDOptions),
		}
		o.CalledNumber = c.calledNumber(key("called_number"), r.CalledNumber)
		o.MinimumBPS, o.MaximumBPS = c.speeds(at, r.MinimumBPS, r.MaximumBPS)
		c.uniqueIn(names, at, o.Name)
		o.Profile = c.cfg.Profiles[DefaultProfile]
		if o.Peer = c.peerNamed(key("peer"), r.Peer); o.Peer != nil {
			o.Profile = o.Peer.Profile
			if !o.Peer.V3.MayPPP() {
				c.add(key("peer"), "%q may have no PPP sessions, and such a call is one; take ppp = false away there, or name another peer", o.Peer.Name)
			}
		}
		o.Profile = c.profileNamed(key("profile"), r.Profile, o.Profile)
		c.cfg.LNS.Outgoing = append(c.cfg.LNS.Outgoing, o)
	}
}

func (c *checker) peerNamed(key string, raw *string) *Peer {
	if raw == nil {
		c.missing(key, "is missing; name one of [[lns.peers]], the LAC that is to place the call")
		return nil
	}
	var names []string
	for _, p := range c.cfg.LNS.Peers {
		if p.Name == "" {
			continue // reported already
		}
		if p.Name == *raw {
			return p
		}
		if !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	c.add(key, "there is no peer %q; %s", *raw, orNames("write [[lns.peers]] or name", names))
	return nil
}
