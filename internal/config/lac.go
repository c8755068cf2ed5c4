package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"adit/proto/l2tp"
)

func (c *checker) checkTunnels(raw []rawTunnel) {
	for i, r := range raw {
		c.cfg.LAC.Tunnels = append(c.cfg.LAC.Tunnels, c.tunnel(joinIndex("lac.tunnels", i), r))
	}
}

func (c *checker) tunnel(at string, raw rawTunnel) *Tunnel {
	key := func(k string) string { return joinKey(at, k) }
	t := &Tunnel{
		Name:               c.uniqueName(at, raw.Name),
		RemoteHostName:     c.pattern(key("remote_host_name"), raw.RemoteHostName),
		Family:             enum(c, key("family"), raw.Family, familyNames, FamilyAny),
		HostName:           c.text(key("host_name"), raw.HostName, c.cfg.HostName),
		TieBreaker:         yes(raw.TieBreaker, false),
		AcceptOtherAddress: yes(raw.AcceptOtherAddress, false),
		AllowOutgoing:      yes(raw.AllowOutgoing, false),
		RetryMin:           c.duration(key("retry_min"), raw.RetryMin, time.Second, 100*time.Millisecond, 24*time.Hour),
		RetryMax:           c.duration(key("retry_max"), raw.RetryMax, time.Minute, 100*time.Millisecond, 24*time.Hour),
		Profile:            c.profileNamed(key("profile"), raw.Profile, c.cfg.Profiles[DefaultProfile]),
		ControlChannel:     c.controlChannel(at, raw.rawControlChannel, c.cfg.ControlChannel),
	}
	if raw.HostName != nil && *raw.HostName == "" {
		c.add(key("host_name"), "is empty; write a name, or take the key away for the one at the top of the file")
	}
	if t.RetryMin > t.RetryMax {
		c.add(key("retry_min"), "is %s, above retry_max, which is %s; make it less or raise retry_max",
			short(t.RetryMin), short(t.RetryMax))
	}
	a := c.authentication(at, raw.rawSecret)
	t.Secret, t.Challenge, t.HideAVPs = a.secret, a.challenge, a.hide
	t.V3 = c.peerV3(at, raw.rawV3, raw.rawSecret, a.secret)
	t.V3.Encapsulation = enum(c, key("encapsulation"), raw.Encapsulation, encapsulationNames, EncapsulationUDP)
	c.ends(at, raw, t)
	if t.V3.Encapsulation == EncapsulationIP {
		c.overIP(at, raw, t)
	}
	c.sessions(key("sessions"), raw.Sessions, t)
	return t
}

// ends reads where the tunnel comes from and goes to, and sees that all that is
// said about the IP version agrees.
func (c *checker) ends(at string, raw rawTunnel, t *Tunnel) {
	remoteKey, localKey := joinKey(at, "remote"), joinKey(at, "local")
	var versions []versionSaid
	if raw.Remote == nil {
		c.missing(remoteKey, `is missing; write the LNS's name or address, such as "lns.example.net" or "192.0.2.1:1701"`)
	} else if host, port, ok := parseHostPort(*raw.Remote, defaultPort); !ok {
		c.add(remoteKey, `%q is not a host; write "lns.example.net", "192.0.2.1:1701" or "[2001:db8::1]:1701"`, *raw.Remote)
	} else {
		t.RemoteHost, t.RemotePort = host, port
		if addr, err := netip.ParseAddr(host); err == nil {
			if addr.IsUnspecified() || addr.IsMulticast() {
				c.add(remoteKey, "%v is not the address of a host; write the LNS's", addr)
			}
			versions = append(versions, versionSaid{remoteKey, familyOf(addr)})
		}
	}
	if raw.Local != nil {
		if local, ok := parseAddrPort(*raw.Local, 0); !ok {
			c.add(localKey, `%q is not an address; write "192.0.2.2", "192.0.2.2:1701" or "[2001:db8::2]:1701"`, *raw.Local)
		} else {
			t.LocalAddress, t.LocalPort = local.Addr(), local.Port()
			versions = append(versions, versionSaid{localKey, familyOf(local.Addr())})
		}
	}
	for _, v := range versions {
		if t.Family == FamilyAny {
			t.Family = v.family
		}
		if t.Family != v.family {
			c.add(v.key, "is an address of %v, but the other end or family says %v; make them agree", v.family, t.Family)
		}
	}
}

// overIP sees that a tunnel can go without UDP. RFC 3931 section 4.1.1: "L2TPv3 over IP
// (both versions) utilizes the IANA-assigned IP protocol ID 115"; version 2 has no such
// form, and one SCCRQ that offers both versions (section 4.7.3) is a UDP message.
func (c *checker) overIP(at string, raw rawTunnel, t *Tunnel) {
	key := func(k string) string { return joinKey(at, k) }
	if t.V3.Has(l2tp.Version) {
		c.add(key("encapsulation"), `is "ip", which version 2 does not have; write versions = [3], or encapsulation = "udp"`)
	}
	if raw.Remote != nil && namesPort(*raw.Remote) {
		c.add(key("remote"), `%q has a port, and encapsulation = "ip" has none; write the host alone`, *raw.Remote)
	}
	if t.LocalPort != 0 {
		c.add(key("local"), `%q has a port, and encapsulation = "ip" has none; write the address alone`, *raw.Local)
	}
	t.RemotePort, t.LocalPort = 0, 0
}

// namesPort says whether a host is written with a port.
func namesPort(s string) bool {
	_, one, _ := parseHostPort(s, 1)
	_, two, _ := parseHostPort(s, 2)
	return one == two && one != 0
}

// versionSaid is a key that leaves no choice of the IP version.
type versionSaid struct {
	key    string
	family Family
}

func familyOf(a netip.Addr) Family {
	if a.Is4() {
		return FamilyIPv4
	}
	return FamilyIPv6
}

// parseHostPort reads an address or a DNS name, with or without a port.
func parseHostPort(s string, port uint16) (string, uint16, bool) {
	if ap, ok := parseAddrPort(s, port); ok {
		return ap.Addr().String(), ap.Port(), ap.Port() != 0
	}
	host, digits, hasPort := strings.Cut(s, ":")
	if hasPort {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return "", 0, false
		}
		port = uint16(n)
	}
	return host, port, isDNSName(host)
}

// isDNSName takes what a resolver may be asked for: RFC 1123 section 2.1, and
// the underscores that people use.
func isDNSName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || !isBareKey(label) || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	// "a highest-level component label will be alphabetic"; so four numbers
	// are an address, and 192.0.2.300 is not a name.
	_, err := strconv.ParseUint(labels[len(labels)-1], 10, 64)
	return err != nil
}

// sessions reads the calls of a tunnel. A tunnel that says nothing about them
// has one incoming call, if it may have PPP; one that says sessions = [] has none.
func (c *checker) sessions(at string, raw []rawSession, t *Tunnel) {
	if raw == nil && t.V3.MayPPP() {
		raw = []rawSession{{}}
	}
	names := map[string]string{}
	total := 0
	for i, r := range raw {
		s := c.session(joinIndex(at, i), r, i, t)
		c.uniqueIn(names, joinIndex(at, i), s.Name)
		t.Sessions = append(t.Sessions, s)
		total += s.Count
	}
	if most := c.cfg.Limits.SessionsPerTunnel; total > most {
		c.add(at, "hold %d calls; limits.sessions_per_tunnel allows %d", total, most)
	}
}

// defaultSpeed is what we say a line's speed is, in bits per second, if the
// file does not. The (Tx) Connect Speed AVP must be in every ICCN.
const defaultSpeed = 100_000_000

func (c *checker) session(at string, raw rawSession, i int, t *Tunnel) *Session {
	key := func(k string) string { return joinKey(at, k) }
	s := &Session{
		Name:           c.nameOr(key("name"), raw.Name, i),
		Count:          c.number(key("count"), raw.Count, 1, 1, c.cfg.Limits.SessionsPerTunnel),
		Direction:      enum(c, key("direction"), raw.Direction, directionNames, Incoming),
		Profile:        c.profileNamed(key("profile"), raw.Profile, t.Profile),
		CallingNumber:  c.text(key("calling_number"), raw.CallingNumber, ""),
		SubAddress:     c.text(key("sub_address"), raw.SubAddress, ""),
		PrivateGroupID: c.text(key("private_group_id"), raw.PrivateGroupID, ""),
		PPPDOptions:    c.words(key("pppd_options"), raw.PPPDOptions),
	}
	if raw.Pseudowire != nil {
		c.pseudowireSession(at, raw, s, t)
		return s
	}
	if !t.V3.MayPPP() {
		c.missing(at, "is a PPP call, and ppp is false for the tunnel; name a pseudowire, or take ppp away")
	}
	if s.Direction == Outgoing {
		s.CalledNumber = c.calledNumber(key("called_number"), raw.CalledNumber)
		s.MinimumBPS, s.MaximumBPS = c.speeds(at, raw.MinimumBPS, raw.MaximumBPS)
		c.foreign(at, "incoming", map[string]bool{
			"calling_number":   raw.CallingNumber != nil,
			"private_group_id": raw.PrivateGroupID != nil,
			"tx_speed":         raw.TxSpeed != nil,
			"rx_speed":         raw.RxSpeed != nil,

			"agent_circuit_id":      raw.AgentCircuitID != nil,
			"agent_remote_id":       raw.AgentRemoteID != nil,
			"actual_data_rate_up":   raw.ActualDataRateUp != nil,
			"actual_data_rate_down": raw.ActualDataRateDown != nil,

			"user":          raw.User != nil,
			"password":      raw.Password != nil,
			"password_file": raw.PasswordFile != nil,
		})
		return s
	}
	s.CalledNumber = c.text(key("called_number"), raw.CalledNumber, "")
	s.TxSpeed = c.speed(key("tx_speed"), raw.TxSpeed, defaultSpeed)
	s.RxSpeed = c.speed(key("rx_speed"), raw.RxSpeed, 0)
	s.AgentCircuitID = c.lineText(key("agent_circuit_id"), raw.AgentCircuitID)
	s.AgentRemoteID = c.lineText(key("agent_remote_id"), raw.AgentRemoteID)
	s.ActualDataRateUp = uint64(c.number(key("actual_data_rate_up"), raw.ActualDataRateUp, 0, 1, math.MaxInt64))
	s.ActualDataRateDown = uint64(c.number(key("actual_data_rate_down"), raw.ActualDataRateDown, 0, 1, math.MaxInt64))
	c.credentials(at, raw, s)
	c.foreign(at, "outgoing", map[string]bool{
		"minimum_bps": raw.MinimumBPS != nil,
		"maximum_bps": raw.MaximumBPS != nil,
	})
	return s
}

// foreign reports keys that the messages of this direction cannot carry.
func (c *checker) foreign(at, direction string, given map[string]bool) {
	for k, is := range given {
		if is {
			c.add(joinKey(at, k), "belongs to %s calls only; take it away, or change direction", direction)
		}
	}
}

// lineText reads what names an access line. RFC 5515 section 5.1: "The
// Agent-Circuit-Id is of arbitrary length, but MUST be greater than 1 octet and
// not greater than 63 octets." So is the Agent-Remote-Id.
func (c *checker) lineText(key string, raw *string) string {
	text := c.text(key, raw, "")
	if n := len(text); n == 1 || n > 63 {
		c.add(key, "has %d octets; write 2 to 63", n)
		return ""
	}
	return text
}

// calledNumber reads the number of an outgoing call. RFC 2661 section 6.9: "The
// following AVPs MUST be present in the OCRQ: [...] Called Number".
func (c *checker) calledNumber(key string, raw *string) string {
	number := c.text(key, raw, "")
	if number == "" {
		c.missing(key, "is missing; an outgoing call (OCRQ) has to say the number to call")
	}
	return number
}

func (c *checker) speed(key string, raw *int64, def uint32) uint32 {
	if raw == nil {
		return def
	}
	return uint32(c.number(key, raw, int(def), 1, math.MaxUint32))
}

func (c *checker) speeds(at string, least, most *int64) (uint32, uint32) {
	lo := c.speed(joinKey(at, "minimum_bps"), least, 1)
	hi := c.speed(joinKey(at, "maximum_bps"), most, max(lo, defaultSpeed))
	if lo > hi {
		c.add(joinKey(at, "minimum_bps"), "is %d, above maximum_bps, which is %d; make it less or raise maximum_bps", lo, hi)
	}
	return lo, hi
}

// nameOr is the name of a call, or its number in the list, from 1.
func (c *checker) nameOr(key string, raw *string, i int) string {
	name := c.text(key, raw, "")
	if name == "" {
		return strconv.Itoa(i + 1)
	}
	return name
}

func (c *checker) uniqueIn(names map[string]string, at, name string) {
	if first, taken := names[name]; taken {
		c.add(joinKey(at, "name"), "%q is the name of %s already; choose another", name, first)
		return
	}
	names[name] = at
}
