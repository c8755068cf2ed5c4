package config

import (
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"adit/proto/ppp"
)

// DefaultProfile is the profile of those that name none.
const DefaultProfile = "default"

func (c *checker) checkProfiles(raw map[string]rawProfile) {
	c.cfg.Profiles = map[string]*Profile{}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		c.cfg.Profiles[name] = c.profile(name, raw[name])
	}
	if c.cfg.Profiles[DefaultProfile] == nil {
		c.cfg.Profiles[DefaultProfile] = c.profile(DefaultProfile, rawProfile{})
	}
}

func (c *checker) profile(name string, raw rawProfile) *Profile {
	at := joinKey("profiles", name)
	key := func(k string) string { return joinKey(at, k) }
	p := &Profile{
		Name:           name,
		PPP:            enum(c, key("ppp"), raw.PPP, pppNames, PPPAuto),
		DataPlane:      enum(c, key("dataplane"), raw.DataPlane, dataPlaneNames, DataPlaneAuto),
		PTY:            enum(c, key("pty"), raw.PTY, ptyNames, PTYAsync),
		PPPDOptions:    c.words(key("pppd_options"), raw.PPPDOptions),
		PPPDDebug:      yes(raw.PPPDDebug, false),
		LocalAddress:   c.localAddress(key("local_address"), raw.LocalAddress),
		Sequencing:     enum(c, key("sequencing"), raw.Sequencing, sequencingNames, SequencingOff),
		ReorderTimeout: c.duration(key("reorder_timeout"), raw.ReorderTimeout, 0, 0, 10*time.Second),
		KernelDebug:    uint32(c.number(key("kernel_debug"), raw.KernelDebug, 0, 0, 15)),
	}
	if raw.MTU != nil {
		p.MTU = c.number(key("mtu"), raw.MTU, 0, 128, 16384)
		c.checkMTU(key("mtu"), p, p.MTU)
	}
	c.builtin(at, raw, p)
	if raw.PPPDOptionsFile != nil {
		p.PPPDOptionsFile = c.optionsFile(key("pppd_options_file"), *raw.PPPDOptionsFile)
	}
	if p.Pool = c.poolNamed(key("pool"), raw.Pool); p.Pool != nil && len(p.Pool.IPv6) > 0 {
		c.add(key("pool"), "pool %q is of IPv6; name one that has ranges, and this one in ipv6_pool or delegated_pool", p.Pool.Name)
	}
	c.aaa(at, raw.rawAAA, p)
	c.unused(at, raw, p)
	return p
}

// The largest packets that pass between us and a pppd behind a pseudo-terminal,
// and through the built-in endpoint, in octets; what is larger would be dropped
// without a word.
const (
	maxMTUAsync = 2000
	maxMTUSync  = 1788
)

// checkMTU sees that a packet of the MTU passes wherever the profile may lead.
func (c *checker) checkMTU(key string, p *Profile, octets int) {
	most, where := maxMTUAsync, "the userspace data plane"
	if p.PTY == PTYSync && p.PPP != PPPBuiltin {
		most, where = maxMTUSync, `pty = "sync"`
	}
	if p.PPP != PPPDiscard && p.DataPlane != DataPlaneKernel && octets > most {
		c.add(key, `is %d, and %s takes %d at most; make it less, or write dataplane = "kernel"`, octets, where, most)
	}
}

// isHost says whether the endpoints of a link can have the address, to pppd as to
// our own: not one of 0.0.0.0/8, 127.0.0.0/8 or above 223.255.255.255.
func isHost(a netip.Addr) bool { return a.Is4() && ppp.UsableIPv4(a) }

// localAddress reads our end's address, which no pool may give to a peer.
func (c *checker) localAddress(key string, raw *string) netip.Addr {
	if raw == nil {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(*raw)
	if err != nil || !isHost(addr) {
		c.add(key, "%q is not an IPv4 address of a host; write one such as \"10.0.0.1\"", *raw)
		return netip.Addr{}
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Pools)) {
		for _, r := range c.cfg.Pools[name].Ranges {
			if r.Contains(addr) {
				c.add(key, "%v is also in %v of pool %q, which would give it to a peer; take it out of the pool", addr, r, name)
			}
		}
	}
	return addr
}

func (c *checker) optionsFile(key, path string) string {
	if path == "" {
		c.add(key, "is empty; write a path, or take the key away")
		return ""
	}
	path = c.relativePath(path)
	info, err := fs.Stat(c.sys.FS, strings.TrimPrefix(path, "/"))
	switch {
	case err != nil:
		c.addCause(key, err, "%s cannot be used: %v", path, pathCause(err))
	case !info.Mode().IsRegular():
		c.add(key, "%s is not a regular file", path)
	}
	return path
}

// profileNamed finds the profile that a key names.
func (c *checker) profileNamed(key string, name *string, def *Profile) *Profile {
	if name == nil {
		return def
	}
	if p := c.cfg.Profiles[*name]; p != nil {
		return p
	}
	c.add(key, "there is no profile %q; %s", *name, orNames("write [profiles.NAME] or name", slices.Sorted(maps.Keys(c.cfg.Profiles))))
	return def
}

// orNames ends a sentence with the names that there are.
func orNames(todo string, names []string) string {
	if len(names) == 0 {
		todo, _, _ = strings.Cut(todo, " or ")
		return todo
	}
	return todo + " one of: " + strings.Join(names, ", ")
}
