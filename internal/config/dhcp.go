package config

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

func (c *checker) checkDHCP(raw map[string]rawDHCP) {
	c.cfg.DHCP = map[string]*DHCP{}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		r, at := raw[name], joinKey("dhcp", name)
		key := func(k string) string { return joinKey(at, k) }
		d := &DHCP{
			Name:    name,
			Mode:    enum(c, key("mode"), r.Mode, dhcpModeNames, DHCPRelay),
			Timeout: c.duration(key("timeout"), r.Timeout, 10*time.Second, time.Second, time.Minute),
			OnLoss:  enum(c, key("on_loss"), r.OnLoss, dhcpLossNames, DHCPLossDisconnect),
		}
		switch d.Mode {
		case DHCPRelay:
			c.dhcpRelay(at, r, d)
		case DHCPClient:
			c.dhcpClient(at, r, d)
		}
		c.cfg.DHCP[name] = d
	}
}

// dhcpRelay reads a relay agent of RFC 2131 section 4.1. The relay's address
// tells a server the subnet, so nobody else may have it.
func (c *checker) dhcpRelay(at string, raw rawDHCP, d *DHCP) {
	key := joinKey(at, "servers")
	if len(raw.Servers) == 0 {
		c.missing(key, `is missing; write the addresses of the DHCP servers: ["192.0.2.10"]`)
	}
	for i, text := range raw.Servers {
		addr, err := netip.ParseAddr(text)
		switch {
		case err != nil || !addr.Is4() || addr.IsUnspecified() || addr.IsMulticast():
			c.add(joinIndex(key, i), "%q is not the IPv4 address of a server; write one such as \"192.0.2.10\"", text)
		case slices.Contains(d.Servers, addr):
			c.add(joinIndex(key, i), "%v is in the list already; take one away", addr)
		default:
			d.Servers = append(d.Servers, addr)
		}
	}
	if raw.Relay == nil {
		c.missing(joinKey(at, "relay"), "is missing; write an IPv4 address of this machine in the subnet whose addresses the servers are to give (giaddr)")
	}
	d.Relay = c.localAddress(joinKey(at, "relay"), raw.Relay)
	d.Option82 = yes(raw.Option82, true)
	if raw.Interface != nil {
		c.add(joinKey(at, "interface"), `belongs to mode = "client"; take it away, or change mode`)
	}
}

func (c *checker) dhcpClient(at string, raw rawDHCP, d *DHCP) {
	key := joinKey(at, "interface")
	switch d.Interface = c.interfaceName(key, raw.Interface, ""); {
	case d.Interface == "":
		c.missing(key, `is missing; write the interface on which DHCP servers are reached, such as "eth0"`)
	case slices.Contains([]byte(d.Interface), '%'):
		c.add(key, "%q is a pattern; write the name of one interface", d.Interface)
	}
	for k, given := range map[string]bool{"servers": raw.Servers != nil, "relay": raw.Relay != nil, "option82": raw.Option82 != nil} {
		if given {
			c.add(joinKey(at, k), `belongs to mode = "relay"; take it away, or change mode`)
		}
	}
}

// checkDHCPUsed warns of those that no profile names.
func (c *checker) checkDHCPUsed() {
	used := map[*DHCP]bool{}
	for _, p := range c.cfg.Profiles {
		used[p.AAA.DHCP] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.DHCP)) {
		if !used[c.cfg.DHCP[name]] {
			c.warn(joinKey("dhcp", name), "is asked by nobody; name it in the dhcp of a profile")
		}
	}
}
