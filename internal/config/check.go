package config

import (
	"net/netip"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// checker turns the raw structs into the typed ones. It never stops at an
// error: what is wrong gets its default, so that the rest is looked at too.
type checker struct {
	*collector
	sys  System
	dir  string // of the file; other paths in it are relative to this
	open bool   // everybody may read the file
	cfg  *Config

	given  *given
	order  int          // of the file among those that users stand in
	others []*collector // of the other files, in their order
	more   Errors       // what is wrong with them
	wary   Errors       // what looks wrong in them

	names         map[string]string // peer or tunnel name -> its key
	outgoingPeers []string          // those that [[lns.outgoing]] names
	wires         []*wire           // the pseudowires, also those of static sessions
}

// maxAVPString is the longest Attribute Value, RFC 2661 section 4.1: "The
// Length may be calculated as 6 + the length of the Attribute Value field in
// octets. The field itself is 10 bits".
const maxAVPString = 1023 - 6

// defaultPort is the UDP port of L2TP, RFC 2661 section 8.1.
const defaultPort = 1701

// The daemon's defaults.
const (
	DefaultPath   = "/etc/adit/adit.toml"
	DefaultSocket = "/run/adit/adit.sock"

	defaultPPPD     = "/usr/sbin/pppd"
	defaultStateDir = "/var/lib/adit"
)

func (c *checker) check(raw *rawConfig) {
	c.names = map[string]string{}
	c.checkTop(raw)
	c.checkLog(raw.Log)
	c.checkControl(raw.Control)
	c.checkLimits(raw.Limits)
	c.cfg.ControlChannel = c.controlChannel("control_channel", raw.ControlChannel, ControlChannel{
		ReceiveWindowSize: 64,
		RetransmitInitial: time.Second,
		RetransmitCap:     8 * time.Second,
		AckDelay:          100 * time.Millisecond,
		HelloInterval:     time.Minute,
		SetupTimeout:      time.Minute,
	})
	c.cfg.PPPD = PPPD{
		Path:        c.absolutePath("pppd.path", raw.PPPD.Path, defaultPPPD),
		StopTimeout: c.duration("pppd.stop_timeout", raw.PPPD.StopTimeout, 5*time.Second, 10*time.Millisecond, time.Minute),
	}
	c.checkTUN(raw.TUN)
	c.checkPools(raw.Pools)
	c.checkRADIUS(raw.RADIUS)
	c.checkDHCP(raw.DHCP)
	c.checkHooks(raw.Hooks)
	c.checkProfiles(raw.Profiles)
	c.checkRealms(raw.Realms)
	c.checkGroupsUsed()
	c.checkDHCPUsed()
	c.checkAllUsers(raw.rawUserKeys)
	for _, o := range raw.LNS.Outgoing {
		if o.Peer != nil {
			c.outgoingPeers = append(c.outgoingPeers, *o.Peer)
		}
	}
	c.checkPseudowires(raw.Pseudowires)
	c.checkPeers(raw.LNS.Peers)
	c.checkOutgoing(raw.LNS.Outgoing)
	c.checkTunnels(raw.LAC.Tunnels)
	c.checkListen(raw)
	c.checkL2TPv3(raw.L2TPv3)
	c.checkStatics(raw.L2TPv3.Static)
	c.checkWires()
	c.checkUse()
	c.checkRoutesUse(raw.Profiles)
	if len(raw.LNS.Peers) == 0 && len(raw.LAC.Tunnels) == 0 && len(raw.L2TPv3.Static) == 0 {
		c.warn("", "nobody may connect and nobody is dialled; add [[lns.peers]], [[lac.tunnels]] or [[l2tpv3.static]]")
	}
}

func (c *checker) checkTop(raw *rawConfig) {
	name, err := c.sys.HostName()
	if err != nil || name == "" {
		name = ""
		if raw.HostName == nil {
			c.addCause("host_name", err, "is not set and the system has no name either; set it")
		}
	}
	// RFC 2661 section 4.4.3, Host Name: "The Host Name is of arbitrary
	// length, but MUST be at least 1 octet."
	c.cfg.HostName = c.text("host_name", raw.HostName, name)
	if raw.HostName != nil && *raw.HostName == "" {
		c.add("host_name", "is empty; RFC 2661 wants at least one octet: write a name, or take the key away for the system's")
	}
	c.cfg.VendorName = c.text("vendor_name", raw.VendorName, "adit")
	c.cfg.StateDir = c.absolutePath("state_dir", raw.StateDir, defaultStateDir)
}

func (c *checker) checkLog(raw rawLog) {
	c.cfg.Log = Log{
		Level:  enum(c, "log.level", raw.Level, logLevelNames, LogInfo),
		Format: enum(c, "log.format", raw.Format, logFormatNames, LogText),
	}
}

// maxSocketPath is what sockaddr_un holds, less the zero octet at its end.
const maxSocketPath = 107

func (c *checker) checkControl(raw rawControl) {
	c.cfg.Control = Control{
		Socket: c.absolutePath("control.socket", raw.Socket, DefaultSocket),
		Group:  c.text("control.group", raw.Group, ""),
	}
	if n := len(c.cfg.Control.Socket); n > maxSocketPath {
		c.add("control.socket", "has %d octets; the kernel takes %d at most", n, maxSocketPath)
	}
}

func (c *checker) checkLimits(raw rawLimits) {
	const maxIDs = 65535 // Tunnel and Session IDs have 16 bits, and 0 is taken
	l := &c.cfg.Limits
	l.Tunnels = c.number("limits.tunnels", raw.Tunnels, 4096, 1, maxIDs)
	l.Sessions = c.number("limits.sessions", raw.Sessions, 65535, 1, 10_000_000)
	l.HalfOpen = c.number("limits.half_open", raw.HalfOpen, 256, 1, maxIDs)
	l.TunnelsPerPeer = c.number("limits.tunnels_per_peer", raw.TunnelsPerPeer, 256, 1, maxIDs)
	l.SessionsPerTunnel = c.number("limits.sessions_per_tunnel", raw.SessionsPerTunnel, maxIDs, 1, maxIDs)
	l.PPPDStarts = c.number("limits.pppd_starts", raw.PPPDStarts, 16, 1, 1024)
}

// controlChannel reads the keys of [control_channel], or those of a peer or a
// tunnel that stand in for them.
func (c *checker) controlChannel(at string, raw rawControlChannel, def ControlChannel) ControlChannel {
	key := func(k string) string { return joinKey(at, k) }
	cc := ControlChannel{
		ReceiveWindowSize: uint16(c.number(key("receive_window_size"), raw.ReceiveWindowSize, int(def.ReceiveWindowSize), 1, 1024)),
		RetransmitInitial: c.duration(key("retransmit_initial"), raw.RetransmitInitial, def.RetransmitInitial, 10*time.Millisecond, time.Minute),
		RetransmitCap:     c.duration(key("retransmit_cap"), raw.RetransmitCap, def.RetransmitCap, 0, 5*time.Minute),
		MaxRetransmits:    c.number(key("max_retransmits"), raw.MaxRetransmits, def.MaxRetransmits, 1, 30),
		AckDelay:          c.duration(key("ack_delay"), raw.AckDelay, def.AckDelay, 0, 500*time.Millisecond),
		HelloInterval:     c.duration(key("hello_interval"), raw.HelloInterval, def.HelloInterval, 0, 24*time.Hour),
		SetupTimeout:      c.duration(key("setup_timeout"), raw.SetupTimeout, def.SetupTimeout, time.Second, 10*time.Minute),
	}
	// RFC 2661 section 5.8: "This cap MUST be no less than 8 seconds per
	// retransmission."
	if raw.RetransmitCap != nil && cc.RetransmitCap < 8*time.Second {
		c.add(key("retransmit_cap"), `is %s; RFC 2661 section 5.8 allows no less than "8s"`, short(cc.RetransmitCap))
	} else if cc.RetransmitInitial > cc.RetransmitCap {
		c.add(key("retransmit_initial"), "is %s, above retransmit_cap, which is %s; make it less or raise the cap",
			short(cc.RetransmitInitial), short(cc.RetransmitCap))
	}
	if h := cc.HelloInterval; raw.HelloInterval != nil && h > 0 && h < time.Second {
		c.add(key("hello_interval"), `is %s; write "1s" or more, or "0s" to send no HELLO at all`, short(h))
	}
	return cc
}

func (c *checker) checkListen(raw *rawConfig) {
	if len(raw.Listen) == 0 {
		if len(raw.LNS.Peers) > 0 {
			c.cfg.Listen = []Listen{
				{netip.AddrPortFrom(netip.IPv4Unspecified(), defaultPort), true},
				{netip.AddrPortFrom(netip.IPv6Unspecified(), defaultPort), true},
			}
		}
		return
	}
	if len(raw.LNS.Peers) == 0 {
		c.warn("listen", "nobody may connect to it, because there are no [[lns.peers]]")
	}
	seen := map[netip.AddrPort]string{}
	for i, l := range raw.Listen {
		at := joinIndex("listen", i)
		key := joinKey(at, "address")
		if l.Address == nil {
			c.missing(key, `is missing; write "0.0.0.0:1701", "[::]:1701" or one address of this machine`)
			continue
		}
		addr, ok := parseAddrPort(*l.Address, defaultPort)
		if !ok {
			c.add(key, `%q is not an address; write "0.0.0.0:1701", "[::]:1701" or one address of this machine`, *l.Address)
			continue
		}
		if first, twice := seen[addr]; twice && addr.Port() != 0 {
			c.add(key, "%v is listened on already by %s; take one away", addr, first)
			continue
		}
		for _, other := range c.cfg.Listen {
			if covers(other.Address, addr) || covers(addr, other.Address) {
				c.add(key, "%v cannot be had beside %v in %s, because one of them includes the other; take one away", addr, other.Address, seen[other.Address])
			}
		}
		seen[addr] = at
		c.cfg.Listen = append(c.cfg.Listen, Listen{Address: addr})
	}
}

// covers says that a is the wildcard of b's family, at its port.
func covers(a, b netip.AddrPort) bool {
	return a != b && a.Addr().IsUnspecified() && a.Addr().Is4() == b.Addr().Is4() && a.Port() == b.Port() && a.Port() != 0
}

// parseAddrPort reads "address", "address:port" or "[address]:port".
func parseAddrPort(s string, port uint16) (netip.AddrPort, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(addr.Unmap(), port), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			addr, err := netip.ParseAddr(inner)
			return netip.AddrPortFrom(addr, port), err == nil && addr.Is6()
		}
	}
	ap, err := netip.ParseAddrPort(s)
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), err == nil
}

// The readers of one value each. All report what is out of range and return
// something usable.

// missing reports a key that has to be there, unless it is and was reported.
func (c *checker) missing(key, format string, args ...any) {
	for _, e := range c.errs {
		if e.Key == key {
			return
		}
	}
	c.add(key, format, args...)
}

func (c *checker) number(key string, raw *int64, def, least, most int) int {
	if raw == nil {
		return def
	}
	if *raw < int64(least) || *raw > int64(most) {
		c.add(key, "is %d; write a number from %d to %d", *raw, least, most)
		return def
	}
	return int(*raw)
}

func (c *checker) duration(key string, raw *time.Duration, def, least, most time.Duration) time.Duration {
	if raw == nil {
		return def
	}
	if *raw < least || *raw > most {
		c.add(key, "is %s; write a time from %s to %s", short(*raw), short(least), short(most))
		return def
	}
	return *raw
}

// short is a time as people write it: 1m, not 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// text reads a string that may go into an AVP or onto a command line.
func (c *checker) text(key string, raw *string, def string) string {
	if raw == nil {
		return def
	}
	switch {
	case len(*raw) > maxAVPString:
		c.add(key, "has %d octets; %d is the most that an AVP carries", len(*raw), maxAVPString)
	case !utf8.ValidString(*raw) || strings.ContainsFunc(*raw, isControl):
		c.add(key, "holds a control character; write printable text only")
	default:
		return *raw
	}
	return def
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

func (c *checker) absolutePath(key string, raw *string, def string) string {
	if raw == nil {
		return def
	}
	if path := c.text(key, raw, def); filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	c.missing(key, "%q does not begin with a slash; write an absolute path", *raw)
	return def
}

// relativePath is a path that is relative to the directory of the file.
func (c *checker) relativePath(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.dir, path)
}

// words reads pppd's options: each has to be one word of its command line.
func (c *checker) words(key string, raw []string) []string {
	for i := range raw {
		at := joinIndex(key, i)
		if c.text(at, &raw[i], ""); raw[i] == "" {
			c.missing(at, "is empty; write one word of pppd's options, or take it away")
		}
	}
	return raw
}

// yes is a switch, or what it is by default.
func yes(raw *bool, def bool) bool {
	if raw == nil {
		return def
	}
	return *raw
}

func enum[T ~uint8 | ~uint16](c *checker, key string, raw *string, names []string, def T) T {
	if raw == nil {
		return def
	}
	for i, name := range names {
		if name == *raw {
			return T(i)
		}
	}
	c.add(key, "%q is not known; write %s", *raw, enumList(names))
	return def
}
