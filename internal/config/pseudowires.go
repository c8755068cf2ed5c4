package config

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"adit/proto/l2tp"
)

// wire is a pseudowire while the file is checked.
type wire struct {
	*Pseudowire
	at  string // its key
	raw rawWire

	// Keys of cookie_length and application_id, if those are given.
	cookieKey, applicationKey string
	usedBy                    string // key of the session that has it; empty: none
	offeredTo                 string // key in the first list that offers it; empty: none
	static                    bool   // usedBy is a static session
	inline                    bool   // it has no block of its own, but is described by a static session
}

// pseudowireTypes are those that a pseudowire may have: all but PPP.
var pseudowireTypes = []l2tp.PseudowireType{
	l2tp.PseudowireEthernet, l2tp.PseudowireEthernetVLAN, l2tp.PseudowireIP, l2tp.PseudowireHDLC, l2tp.PseudowireFrameRelay,
	l2tp.PseudowireATMAAL5, l2tp.PseudowireATMCellPort, l2tp.PseudowireATMCellVCC, l2tp.PseudowireATMCellVPC,
}

func pseudowireTypeNames() []string {
	names := make([]string, len(pseudowireTypes))
	for i, t := range pseudowireTypes {
		names[i] = t.String()
	}
	return names
}

// The words of the values that the protocol numbers; the index is the number.
var (
	sublayerNames   = []string{l2tp.SublayerNone.String(), l2tp.SublayerDefault.String(), l2tp.SublayerATM.String()}
	sequencingLevel = []string{l2tp.SequencingNone.String(), l2tp.SequencingNonIP.String(), l2tp.SequencingAll.String()}
	digestNames     = []string{l2tp.DigestMD5.String(), l2tp.DigestSHA1.String()}
)

// Bounds of the MTU of a pseudowire, in octets. RFC 791: "Every internet module must
// be able to forward a datagram of 68 octets without further fragmentation." The
// most is what the kernel lets a TAP have. On the userspace plane longer frames than
// jumbo ones have no room.
const (
	minWireMTU       = 68
	maxWireMTU       = 65521
	maxUserspaceMTU  = 9000
	maxVLAN          = 4094
	defaultCookie    = 8
	maxReorderWait   = 10 * time.Second
	userspaceWord    = `dataplane = "userspace"`
	defaultDeadAfter = 3
)

func (c *checker) checkPseudowires(raw []rawPseudowire) {
	ends := map[circuitID]string{}
	for i, r := range raw {
		at := joinIndex("pseudowires", i)
		key := func(k string) string { return joinKey(at, k) }
		name := c.text(key("name"), r.Name, "")
		if name == "" {
			c.missing(key("name"), "is missing; name the pseudowire, so that peers, sessions and adit's commands can")
		}
		w := c.wire(at, r.rawWire, name)
		w.DataPlane = enum(c, key("dataplane"), r.DataPlane, dataPlaneNames, DataPlaneAuto)
		w.CookieLength = c.cookieLength(key("cookie_length"), r.CookieLength)
		if r.CookieLength != nil {
			w.cookieKey = key("cookie_length")
		}
		c.circuitID(at, r, w, ends)
		c.cfg.Pseudowires = append(c.cfg.Pseudowires, w.Pseudowire)
	}
}

// circuitID is what tells the circuits of requests apart.
type circuitID struct {
	end         string
	application int // -1: none
}

// circuitID reads what peers call a pseudowire; ends has the key of each that was read.
//
// RFC 3931 section 5.4.4, Remote End ID: "an identifier used to bind L2TP sessions to a
// given circuit, interface, or bridging instance", "whose value is unique for a given LCCE
// peer". "Other AVPs MAY be used for LCCE or circuit identification", which is what we do
// with the Application ID.
func (c *checker) circuitID(at string, r rawPseudowire, w *wire, ends map[circuitID]string) {
	key := func(k string) string { return joinKey(at, k) }
	end := c.text(key("remote_end_id"), r.RemoteEndID, w.Name)
	if r.RemoteEndID != nil && end == "" {
		c.missing(key("remote_end_id"), "is empty; write what peers call the circuit, or take the key away for its name")
	}
	w.RemoteEndID = []byte(end)
	id := circuitID{end, c.number(key("application_id"), r.ApplicationID, -1, 0, math.MaxUint16)}
	if r.ApplicationID != nil {
		w.applicationKey = key("application_id")
		w.ApplicationID = new(uint16(id.application))
	}
	first, taken := ends[id]
	switch {
	case end == "", r.ApplicationID != nil && id.application < 0: // which was said
	case taken && r.ApplicationID != nil:
		c.add(key("application_id"), "%d with the remote_end_id %q is that of %s already; choose another", id.application, end, first)
	case taken:
		c.add(key("remote_end_id"), "%q is that of %s already; choose another, or tell the two apart by application_id", end, first)
	default:
		ends[id] = at
	}
}

func (c *checker) cookieLength(key string, raw *int64) int {
	switch {
	case raw == nil:
		return defaultCookie
	case *raw == 0, *raw == 4, *raw == 8:
		return int(*raw)
	}
	c.add(key, "is %d; write 0, 4 or 8 octets", *raw)
	return defaultCookie
}

// wire reads what a [[pseudowires]] block and a static session have in common.
func (c *checker) wire(at string, raw rawWire, name string) *wire {
	key := func(k string) string { return joinKey(at, k) }
	p := &Pseudowire{
		Name:           name,
		Type:           c.pseudowireType(key("type"), raw.Type),
		Interface:      c.interfaceName(key("interface"), raw.Interface, ""),
		MTU:            c.number(key("mtu"), raw.MTU, 0, minWireMTU, maxWireMTU),
		Bridge:         c.interfaceName(key("bridge"), raw.Bridge, ""),
		Addresses:      c.ownAddresses(key("addresses"), raw.Addresses),
		VLAN:           uint16(c.number(key("vlan"), raw.VLAN, 0, 1, maxVLAN)),
		Sequencing:     enum(c, key("sequencing"), raw.Sequencing, sequencingLevel, l2tp.SequencingNone),
		ReorderTimeout: c.duration(key("reorder_timeout"), raw.ReorderTimeout, 0, 0, maxReorderWait),
	}
	p.Sublayer = enum(c, key("sublayer"), raw.Sublayer, sublayerNames, defaultSublayer(p.Type))
	if strings.Contains(p.Bridge, "%d") {
		c.add(key("bridge"), "%q is not one bridge; write its whole name", p.Bridge)
	}
	w := &wire{Pseudowire: p, at: at, raw: raw}
	for _, other := range c.wires {
		if name != "" && other.Name == name {
			c.add(key("name"), "%q is the name of %s already; choose another", name, other.at)
			w.Name = ""
			break
		}
	}
	c.wires = append(c.wires, w)
	return w
}

func (c *checker) pseudowireType(key string, raw *string) l2tp.PseudowireType {
	if raw == nil {
		return l2tp.PseudowireEthernet
	}
	t, ok := l2tp.ParsePseudowireType(*raw)
	switch {
	case t == l2tp.PseudowirePPP && ok:
		c.add(key, `"ppp" has a profile and no pseudowire; take this block away, and write ppp = true where the peer stands, or a session with a profile`)
		return l2tp.PseudowireEthernet
	case !ok || !slices.Contains(pseudowireTypes, t):
		c.add(key, "%q is not known; write %s", *raw, enumList(pseudowireTypeNames()))
		return l2tp.PseudowireEthernet
	}
	return t
}

func isATM(t l2tp.PseudowireType) bool {
	switch t {
	case l2tp.PseudowireATMAAL5, l2tp.PseudowireATMCellPort, l2tp.PseudowireATMCellVCC, l2tp.PseudowireATMCellVPC:
		return true
	default:
		return false
	}
}

// defaultSublayer is the one that can be numbered, which is also the default of the
// kernel and its tools.
func defaultSublayer(t l2tp.PseudowireType) l2tp.SublayerType {
	if isATM(t) {
		return l2tp.SublayerATM
	}
	return l2tp.SublayerDefault
}

// ownAddresses reads the addresses of a device with the lengths of their networks.
func (c *checker) ownAddresses(key string, raw []string) []netip.Prefix {
	var all []netip.Prefix
	for i, text := range raw {
		at := joinIndex(key, i)
		prefix, err := netip.ParsePrefix(text)
		addr := prefix.Addr()
		switch {
		case err != nil:
			c.missing(at, `%q is not an address with its length; write "192.0.2.1/24" or "2001:db8::1/64"`, text)
		case addr.IsUnspecified() || addr.IsMulticast() || addr.Is4In6() || addr.IsLoopback():
			c.add(at, "%v is not an address that a device can have; write one of a host", addr)
		case slices.Contains(all, prefix):
			c.add(at, "%v is in the list already; take one away", prefix)
		default:
			all = append(all, prefix)
		}
	}
	return all
}

// wireNamed finds the pseudowire that a key names.
func (c *checker) wireNamed(key, name string) *wire {
	var names []string
	for _, w := range c.wires {
		if w.Name == name && name != "" {
			return w
		}
		if w.Name != "" && !w.inline {
			names = append(names, w.Name)
		}
	}
	c.add(key, "there is no pseudowire %q; %s", name, orNames("write [[pseudowires]] or name", names))
	return nil
}

// claim gives a pseudowire to the one session that may have it. In a list of what a
// peer may ask for it may stand beside, because each end may be the one that asks;
// but a static session never ends, so the peer would never get it.
func (c *checker) claim(key, session string, w *wire, static bool) {
	switch {
	case w.usedBy != "":
		c.add(key, "pseudowire %q is that of %s already, and only one session can have it; write another", w.Name, w.usedBy)
	case static && w.offeredTo != "":
		c.add(key, "pseudowire %q is offered by %s too, and a static session never leaves it; take it away there", w.Name, w.offeredTo)
	default:
		w.usedBy, w.static = session, static
	}
}

// offered reads a list of those that a peer may ask for.
func (c *checker) offered(key string, names []string) []*Pseudowire {
	var all []*Pseudowire
	for i, name := range names {
		at := joinIndex(key, i)
		w := c.wireNamed(at, name)
		switch {
		case w == nil:
		case slices.Contains(all, w.Pseudowire):
			c.add(at, "%q is in the list already; take one away", name)
		default:
			all = append(all, w.Pseudowire)
			if w.offeredTo == "" {
				w.offeredTo = at
			}
		}
	}
	return all
}
