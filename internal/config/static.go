package config

import (
	"encoding/hex"
	"math"
	"net/netip"
	"slices"
	"time"
)

// statics is what must not be there twice among the static tunnels.
type statics struct {
	tunnels  map[uint32]string // tunnel_id
	sessions map[uint32]string // session_id
	far      map[farSession]string
}

// farSession is a session as the peer knows it. Over UDP peers behind one address may
// differ by port.
type farSession struct {
	peer netip.AddrPort
	id   uint32
}

func (c *checker) checkStatics(raw []rawStatic) {
	seen := &statics{map[uint32]string{}, map[uint32]string{}, map[farSession]string{}}
	for i, r := range raw {
		c.cfg.L2TPv3.Static = append(c.cfg.L2TPv3.Static, c.static(joinIndex("l2tpv3.static", i), r, seen))
	}
}

func (c *checker) static(at string, raw rawStatic, seen *statics) *StaticTunnel {
	key := func(k string) string { return joinKey(at, k) }
	t := &StaticTunnel{
		Name:          c.uniqueName(at, raw.Name),
		Encapsulation: enum(c, key("encapsulation"), raw.Encapsulation, encapsulationNames, EncapsulationUDP),
		ID:            c.staticID(key("tunnel_id"), raw.TunnelID, "the number of the tunnel at this end, peer_tunnel_id of the other"),
		PeerID:        c.staticID(key("peer_tunnel_id"), raw.PeerTunnelID, "the number of the tunnel at the other end, tunnel_id there"),
		DataPlane:     enum(c, key("dataplane"), raw.DataPlane, dataPlaneNames, DataPlaneAuto),
		Checksum:      yes(raw.UDPChecksum, true),
		Keep:          yes(raw.Keep, false),
		Keepalive:     c.orNever(key("keepalive"), raw.Keepalive, 0, time.Second, time.Hour),
		DeadAfter:     c.number(key("dead_after"), raw.DeadAfter, defaultDeadAfter, 1, 100),
		LinkDown:      yes(raw.LinkDown, false),
	}
	if first, taken := seen.tunnels[t.ID]; taken && t.ID != 0 {
		c.add(key("tunnel_id"), "%d is that of %s already; choose another, and the same as peer_tunnel_id at the other end", t.ID, first)
	} else {
		seen.tunnels[t.ID] = at
	}
	t.Local = c.staticEnd(key("local"), raw.Local, t.Encapsulation, "the address of this machine")
	t.Peer = c.staticEnd(key("remote"), raw.Remote, t.Encapsulation, "the address of the other end")
	local, peer := t.Local.Addr(), t.Peer.Addr()
	switch {
	case !local.IsValid() || !peer.IsValid():
	case local.Is4() != peer.Is4():
		c.add(key("local"), "%v and remote %v are not of one IP version; make them so", local, peer)
	case local.Zone() != peer.Zone():
		c.add(key("local"), "%v and remote %v are not of one link; write link-local addresses of the same link at both ends, or others at both", local, peer)
	case t.Local == t.Peer:
		c.add(key("remote"), "%s is this end itself; write the address of the other", sockText(t.Peer))
	}
	if raw.UDPChecksum != nil && t.Encapsulation == EncapsulationIP {
		c.add(key("udp_checksum"), `belongs to encapsulation = "udp"; take it away`)
	}
	if t.Keepalive == 0 {
		for k, given := range map[string]bool{"dead_after": raw.DeadAfter != nil, "link_down": t.LinkDown} {
			if given {
				c.warn(key(k), "does nothing without keepalive; write how often the peer is asked, or take it away")
			}
		}
	}
	if len(raw.Sessions) == 0 {
		c.warn(at, "the tunnel carries nothing, because it has no sessions; write [[l2tpv3.static.sessions]] below it")
	}
	names := map[string]string{}
	for i, r := range raw.Sessions {
		sessionAt := joinIndex(key("sessions"), i)
		s := c.staticSession(sessionAt, r, i, t, seen)
		c.uniqueIn(names, sessionAt, s.Name)
		if w := c.staticWire(sessionAt, r, t.Name, s.Name); w != nil {
			c.claim(joinKey(sessionAt, "pseudowire"), sessionAt, w, true)
			s.Pseudowire = w.Pseudowire
		}
		t.Sessions = append(t.Sessions, s)
	}
	return t
}

// staticID reads an ID that both ends were told.
func (c *checker) staticID(key string, raw *int64, what string) uint32 {
	if raw == nil {
		c.missing(key, "is missing; write %s", what)
		return 0
	}
	return uint32(c.number(key, raw, 0, 1, math.MaxUint32))
}

// staticEnd reads an end of a static tunnel. No end can be left open, because nobody
// tells it to the other.
func (c *checker) staticEnd(key string, raw *string, encap Encapsulation, what string) netip.AddrPort {
	example := `"192.0.2.1:5000" or "[2001:db8::1]:5000"`
	if encap == EncapsulationIP {
		example = `"192.0.2.1" or "2001:db8::1"`
	}
	if raw == nil {
		c.missing(key, "is missing; write %s, such as %s", what, example)
		return netip.AddrPort{}
	}
	end, ok := parseAddrPort(*raw, 0)
	addr := end.Addr()
	switch {
	case !ok:
		c.add(key, "%q is not an address; write %s", *raw, example)
	case addr.IsUnspecified() || addr.IsMulticast():
		c.add(key, "%v is not the address of one host; write %s", addr, what)
	case addr.Zone() != "" && !addr.IsLinkLocalUnicast():
		c.add(key, "%v counts on all links, and %%%s names one; write it without", addr.WithZone(""), addr.Zone())
	case addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "":
		c.add(key, "%v counts on one link alone; write which, such as %v%%eth0, or another address of the host", addr, addr)
	case encap == EncapsulationUDP && end.Port() == 0:
		c.add(key, "%v has no port; write one of 1 to 65535, such as %s", addr, example)
	case encap == EncapsulationIP && end.Port() != 0:
		c.add(key, `%v has a port, and encapsulation = "ip" has none; write %s`, end, example)
	default:
		return end
	}
	return netip.AddrPort{}
}

func sockText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

func (c *checker) staticSession(at string, raw rawStaticSession, i int, t *StaticTunnel, seen *statics) *StaticSession {
	key := func(k string) string { return joinKey(at, k) }
	s := &StaticSession{
		Name:       c.nameOr(key("name"), raw.Name, i),
		ID:         c.staticID(key("session_id"), raw.SessionID, "the number of the session at this end, peer_session_id of the other"),
		PeerID:     c.staticID(key("peer_session_id"), raw.PeerSessionID, "the number of the session at the other end, session_id there"),
		Cookie:     c.cookie(key("cookie"), raw.Cookie, key("cookie_file"), raw.CookieFile),
		PeerCookie: c.cookie(key("peer_cookie"), raw.PeerCookie, key("peer_cookie_file"), raw.PeerCookieFile),
	}
	// RFC 3931 section 4.1: data messages have a Session ID and nothing of the tunnel.
	if first, taken := seen.sessions[s.ID]; taken && s.ID != 0 {
		c.add(key("session_id"), "%d is that of %s already, and data messages tell sessions of all tunnels apart by it alone; choose another", s.ID, first)
	} else {
		seen.sessions[s.ID] = at
	}
	far := farSession{t.Peer, s.PeerID}
	if first, taken := seen.far[far]; taken && s.PeerID != 0 && t.Peer.IsValid() {
		c.add(key("peer_session_id"), "%d is that of %s already, to the same peer; write the one that this session has there", s.PeerID, first)
	} else {
		seen.far[far] = at
	}
	return s
}

// staticWire is the pseudowire that a session names, or the one that it describes.
func (c *checker) staticWire(at string, raw rawStaticSession, tunnel, session string) *wire {
	if raw.Pseudowire == nil {
		name := tunnel + "/" + session
		same := func(w *wire) bool { return w.inline && w.Name == name }
		if tunnel == "" || slices.ContainsFunc(c.wires, same) {
			name = "" // reported already
		}
		w := c.wire(at, raw.rawWire, name)
		w.inline = true
		c.cfg.Pseudowires = append(c.cfg.Pseudowires, w.Pseudowire)
		return w
	}
	for _, k := range givenKeys(raw.rawWire) {
		c.add(joinKey(at, k), "belongs to the block of pseudowire %q, which this session names; write it there", *raw.Pseudowire)
	}
	return c.wireNamed(joinKey(at, "pseudowire"), *raw.Pseudowire)
}

// cookie reads 4 or 8 octets in hexadecimal. RFC 3931 section 4.1: "The optional
// Cookie field contains a variable-length value (maximum 64 bits)".
func (c *checker) cookie(key string, text *string, fileKey string, file *string) Secret {
	digits := c.secretOf(key, text, fileKey, file)
	if len(digits) == 0 {
		return nil // a wrong one was reported
	}
	if text == nil {
		key = fileKey
	}
	cookie, err := hex.DecodeString(string(digits))
	if err != nil || len(cookie) != 4 && len(cookie) != 8 {
		c.add(key, "is not a cookie; write its 4 or 8 octets as 8 or 16 hexadecimal digits")
		return nil
	}
	return cookie
}

// checkStaticPlane finds the data plane of a tunnel, which is that of all its
// sessions.
func (c *checker) checkStaticPlane(at string, t *StaticTunnel) {
	decided := "the tunnel"
	for i, s := range t.Sessions {
		p := s.Pseudowire
		switch {
		case p == nil || p.DataPlane == DataPlaneAuto || p.DataPlane == t.DataPlane:
		case t.DataPlane == DataPlaneAuto:
			t.DataPlane, decided = p.DataPlane, "session "+s.Name
		default:
			because := ""
			if reason := onlyUserspace(p); reason != "" && p.DataPlane == DataPlaneUserspace {
				because = ", because " + reason
			}
			c.add(joinIndex(joinKey(at, "sessions"), i), "the pseudowire is for dataplane = %q%s, but %s is for %q; make them agree, or put the session into a tunnel of its own",
				p.DataPlane, because, decided, t.DataPlane)
		}
	}
	for _, s := range t.Sessions {
		if s.Pseudowire != nil {
			s.Pseudowire.DataPlane = t.DataPlane
			s.Pseudowire.CookieLength = len(s.Cookie)
		}
	}
	switch {
	case !t.Keep:
	case t.DataPlane == DataPlaneUserspace:
		c.add(joinKey(at, "keep"), "is true, but with %s the tunnel is adit itself and ends with it; take keep away, or write dataplane = \"kernel\"", userspaceWord)
	case t.Local.Addr().Zone() != "":
		c.add(joinKey(at, "keep"), "is true, but between link-local addresses the kernel's tunnel has a socket of adit's and ends with it; take keep away, or write other addresses")
	}
}

// checkStaticPorts sees that the sockets of UDP tunnels can be had. The kernel binds
// one for each of its own, and shares its address and port with nobody.
func (c *checker) checkStaticPorts() {
	for i, t := range c.cfg.L2TPv3.Static {
		if t.Encapsulation != EncapsulationUDP || !t.Local.IsValid() {
			continue
		}
		at := joinIndex("l2tpv3.static", i)
		key := joinKey(at, "local")
		for j, other := range c.cfg.L2TPv3.Static[:i] {
			if other.Encapsulation != EncapsulationUDP || other.Local != t.Local {
				continue
			}
			first := joinIndex("l2tpv3.static", j)
			switch {
			case other.Peer == t.Peer && t.Peer.IsValid():
				c.add(key, "%v to %v is the way of %s already; write another port at one end, or put the sessions into that tunnel", t.Local, t.Peer, first)
			case other.DataPlane != DataPlaneUserspace || t.DataPlane != DataPlaneUserspace:
				c.add(key, "%v is that of %s already, and the kernel wants a port for each of its tunnels; write another one, or %s in both", t.Local, first, userspaceWord)
			default:
				continue
			}
			break
		}
		if t.DataPlane == DataPlaneUserspace {
			continue
		}
		for _, l := range c.cfg.Listen {
			if l.Address == t.Local || covers(l.Address, t.Local) {
				c.add(key, "%v is listened on by %v of [[listen]], and the kernel shares it with nobody; write another port, or %s", t.Local, l.Address, userspaceWord)
				break
			}
		}
	}
}

// encapsulationNames are the words of Encapsulation.
var encapsulationNames = []string{EncapsulationUDP.String(), EncapsulationIP.String()}
