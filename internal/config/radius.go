package config

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// The ports of RADIUS. RFC 2865 section 3: "The officially assigned port number
// for RADIUS is 1812." RFC 2866 section 3: "The officially assigned port number
// for RADIUS Accounting is 1813." RFC 5176 section 2.3: "For
// either Disconnect-Request or CoA-Request packets UDP port 3799 is used as the
// destination port."
const (
	radiusAuthPort  = 1812
	radiusAcctPort  = 1813
	dynamicAuthPort = 3799
)

// maxPort is the highest UDP port.
const maxPort = 65535

func (c *checker) checkRADIUS(raw rawRADIUS) {
	c.cfg.RADIUS = RADIUS{
		NASIdentifier:    c.text("radius.nas_identifier", raw.NASIdentifier, c.cfg.HostName),
		NASAddress:       c.hostAddress("radius.nas_address", raw.NASAddress),
		TunnelAccounting: yes(raw.TunnelAccounting, false),
		Servers:          map[string]*RADIUSServer{},
		Groups:           map[string]*RADIUSGroup{},
	}
	// RFC 2865 section 5: "The Length field is one octet, and indicates the length
	// of this Attribute including the Type, Length and Value fields."
	const maxAttribute = 253
	switch n := len(c.cfg.RADIUS.NASIdentifier); {
	case raw.NASIdentifier != nil && *raw.NASIdentifier == "":
		c.add("radius.nas_identifier", "is empty; write a name, or take the key away for host_name")
	case n > maxAttribute:
		c.add("radius.nas_identifier", "has %d octets; %d is the most that RADIUS carries", n, maxAttribute)
	}
	for _, name := range slices.Sorted(maps.Keys(raw.Servers)) {
		c.cfg.RADIUS.Servers[name] = c.radiusServer(name, raw.Servers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(raw.Groups)) {
		c.cfg.RADIUS.Groups[name] = c.radiusGroup(name, raw.Groups[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.RADIUS.Servers)) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(c.cfg.RADIUS.Groups)), func(g *RADIUSGroup) bool {
			return slices.Contains(g.Servers, c.cfg.RADIUS.Servers[name])
		}) {
			c.warn(joinKey("radius.servers", name), "is asked by nobody; name it in the servers of a [radius.groups.NAME]")
		}
	}
	c.dynamicAuth(raw.DynamicAuth)
}

func (c *checker) radiusServer(name string, raw rawRADIUSServer) *RADIUSServer {
	at := joinKey("radius.servers", name)
	key := func(k string) string { return joinKey(at, k) }
	s := &RADIUSServer{
		Name:       name,
		Address:    c.hostAddress(key("address"), raw.Address),
		AuthPort:   uint16(c.number(key("auth_port"), raw.AuthPort, radiusAuthPort, 1, maxPort)),
		AcctPort:   uint16(c.number(key("acct_port"), raw.AcctPort, radiusAcctPort, 1, maxPort)),
		Source:     c.hostAddress(key("source"), raw.Source),
		Secret:     c.sharedSecret(at, raw.rawShared),
		Timeout:    c.duration(key("timeout"), raw.Timeout, 3*time.Second, 100*time.Millisecond, time.Minute),
		Retries:    c.number(key("retries"), raw.Retries, 2, 0, 10),
		DeadTime:   c.duration(key("dead_time"), raw.DeadTime, time.Minute, 0, time.Hour),
		MaxPending: c.number(key("max_pending"), raw.MaxPending, 1024, 1, 65536),

		RequireMessageAuthenticator: yes(raw.RequireAuthenticator, true),
	}
	if raw.Address == nil {
		c.missing(key("address"), `is missing; write the server's IP address, such as "192.0.2.10"`)
	}
	if s.Source.IsValid() && s.Address.IsValid() && s.Source.Is4() != s.Address.Is4() {
		c.add(key("source"), "is an address of %v, but the server has one of %v; make them agree", familyOf(s.Source), familyOf(s.Address))
	}
	return s
}

// sharedSecret reads a secret that has to be there. RFC 2865 section 3: "The
// secret MUST NOT be empty (length 0) since this would allow packets to be
// trivially forged."
func (c *checker) sharedSecret(at string, raw rawShared) Secret {
	if raw.Secret == nil && raw.SecretFile == nil {
		c.missing(joinKey(at, "secret"), "is missing; set secret or secret_file")
	}
	return c.secret(at, raw)
}

// hostAddress reads an address that packets are sent to or from, of either
// version.
func (c *checker) hostAddress(key string, raw *string) netip.Addr {
	if raw == nil {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(*raw)
	addr = addr.Unmap()
	if err != nil || addr.IsUnspecified() || addr.IsMulticast() {
		c.add(key, `%q is not the IP address of a host; write one such as "192.0.2.10" or "2001:db8::10"`, *raw)
		return netip.Addr{}
	}
	return addr
}

// noGroup is what accounting says for none, and no group is called.
const noGroup = "none"

func (c *checker) radiusGroup(name string, raw rawRADIUSGroup) *RADIUSGroup {
	at := joinKey("radius.groups", name)
	// RFC 2869 section 5.16: "The value MUST NOT be smaller than 60. The value
	// SHOULD NOT be smaller than 600, and careful consideration should be given to
	// its impact on network traffic."
	g := &RADIUSGroup{
		Name:            name,
		InterimInterval: c.orNever(joinKey(at, "interim_interval"), raw.InterimInterval, 10*time.Minute, time.Minute, 24*time.Hour),
	}
	if name == Local || name == noGroup {
		c.add(at, "%q has a meaning of its own in aaa and accounting; choose another name", name)
	}
	key := joinKey(at, "servers")
	if len(raw.Servers) == 0 {
		c.missing(key, "%s", "is missing; "+orNames("write [radius.servers.NAME] and its name here or name", slices.Sorted(maps.Keys(c.cfg.RADIUS.Servers))))
	}
	for i, one := range raw.Servers {
		s := c.cfg.RADIUS.Servers[one]
		switch {
		case s == nil:
			c.add(joinIndex(key, i), "there is no server %q; %s", one, orNames("write [radius.servers.NAME] or name", slices.Sorted(maps.Keys(c.cfg.RADIUS.Servers))))
		case slices.Contains(g.Servers, s):
			c.add(joinIndex(key, i), "%q is in the list already; take one away", one)
		default:
			g.Servers = append(g.Servers, s)
		}
	}
	return g
}

// dynamicAuth reads who may disconnect sessions and change them, RFC 5176.
func (c *checker) dynamicAuth(raw rawDynamicAuth) {
	const at = "radius.dynamic_authorization"
	if raw.Listen != nil {
		addr, ok := parseAddrPort(*raw.Listen, dynamicAuthPort)
		if !ok || addr.Addr().IsMulticast() {
			c.add(joinKey(at, "listen"), `%q is not an address; write "0.0.0.0:3799", "[::]:3799" or one address of this machine`, *raw.Listen)
		}
		c.cfg.RADIUS.DynamicAuth = addr
		if len(raw.Clients) == 0 {
			c.add(joinKey(at, "listen"), "nobody may send to it; add [[radius.dynamic_authorization.clients]]")
		}
	}
	if raw.Listen == nil && len(raw.Clients) > 0 {
		c.missing(joinKey(at, "listen"), `is missing; write the address to listen on, such as "192.0.2.1:3799"`)
	}
	seen := map[netip.Prefix]string{}
	for i, r := range raw.Clients {
		at := joinIndex(joinKey(at, "clients"), i)
		key := joinKey(at, "addresses")
		if r.Addresses == nil {
			c.missing(key, `is missing; write where the client's packets come from, such as ["192.0.2.10"]`)
		}
		client := &DynamicAuthClient{Addresses: c.prefixes(key, r.Addresses), Secret: c.sharedSecret(at, r.rawShared)}
		for _, p := range client.Addresses {
			if first, taken := seen[p]; taken {
				c.add(key, "%v is %s already, and the first that matches counts; take one away", p, first)
			}
			seen[p] = key
		}
		c.cfg.RADIUS.DynamicAuthClients = append(c.cfg.RADIUS.DynamicAuthClients, client)
	}
}

// sources reads a list of those who are asked who a user is.
func (c *checker) sources(key string, raw []string) []string {
	if raw != nil && len(raw) == 0 {
		c.add(key, `is an empty list; write "local" or a group of [radius.groups], or take the key away; auth = [] in a profile asks nobody`)
		return nil
	}
	var all []string
	decided := ""
	for i, name := range raw {
		at := joinIndex(key, i)
		switch {
		case name != Local && c.cfg.RADIUS.Groups[name] == nil:
			c.add(at, "there is no RADIUS group %q; %s", name,
				orNames(`write [radius.groups.NAME] or name`, append([]string{Local}, slices.Sorted(maps.Keys(c.cfg.RADIUS.Groups))...)))
			continue
		case slices.Contains(all, name):
			c.add(at, "%q is in the list already; take one away", name)
			continue
		case decided != "":
			c.warn(at, "is never asked, because the RADIUS group %q before it decides about every name; put %q before it, or take it away", decided, name)
		}
		if name != Local && decided == "" {
			decided = name
		}
		all = append(all, name)
	}
	return all
}

// accounting reads the group that gets accounting records; by default the first
// one of sources.
func (c *checker) accounting(key string, raw *string, sources []string) *RADIUSGroup {
	if raw == nil {
		for _, name := range sources {
			if g := c.cfg.RADIUS.Groups[name]; g != nil {
				return g
			}
		}
		return nil
	}
	g := c.cfg.RADIUS.Groups[*raw]
	if g == nil {
		c.add(key, "there is no RADIUS group %q; %s", *raw,
			orNames("write [radius.groups.NAME] or name", slices.Sorted(maps.Keys(c.cfg.RADIUS.Groups))))
	}
	return g
}

// checkGroupsUsed warns of groups that nobody asks.
func (c *checker) checkGroupsUsed() {
	used := map[string]bool{}
	note := func(sources []string, accounting *RADIUSGroup) {
		for _, name := range sources {
			used[name] = true
		}
		if accounting != nil {
			used[accounting.Name] = true
		}
	}
	for _, p := range c.cfg.Profiles {
		note(p.AAA.Sources, p.AAA.Accounting)
	}
	for _, r := range c.cfg.Realms {
		note(r.Sources, r.Accounting)
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.RADIUS.Groups)) {
		if !used[name] {
			c.warn(joinKey("radius.groups", name), "is asked by nobody; name it in aaa or accounting of a profile or of [[realms]]")
		}
	}
}
