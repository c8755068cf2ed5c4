package scenario

import (
	"fmt"
	"net/netip"
	"strings"
)

// document gathers lines of TOML; keys with nothing to say are left out.
type document struct{ text strings.Builder }

func (d *document) block(name string)        { fmt.Fprintf(&d.text, "[[%s]]\n", name) }
func (d *document) key(name string, v any)   { fmt.Fprintf(&d.text, "%s = %v\n", name, v) }
func (d *document) flag(name string, v bool) { d.key(name, v) }

func (d *document) word(name, v string) {
	if v != "" {
		d.key(name, fmt.Sprintf("%q", v))
	}
}

func (d *document) number(name string, v int) {
	if v != 0 {
		d.key(name, v)
	}
}

// words is a list of TOML.
func words[T any](all []T) string {
	var quoted []string
	for _, v := range all {
		quoted = append(quoted, fmt.Sprintf("%q", fmt.Sprint(v)))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Pseudowire is a [[pseudowires]] block of a configuration. What is zero is left out.
type Pseudowire struct {
	Name, Type, RemoteEndID string
	DataPlane               string
	Interface               string
	MTU                     int
	Bridge                  string
	Addresses               []netip.Prefix
	VLAN                    int
	Switch                  string
	// CookieLength is 4 or 8, or -1 for none.
	CookieLength                         int
	Sublayer, Sequencing, ReorderTimeout string
}

// TOML of the block.
func (p Pseudowire) TOML() string {
	var d document
	d.block("pseudowires")
	d.word("name", p.Name)
	if p.Type == "" {
		p.Type = "ethernet"
	}
	d.word("type", p.Type)
	d.word("remote_end_id", p.RemoteEndID)
	d.word("dataplane", p.DataPlane)
	d.word("interface", p.Interface)
	d.number("mtu", p.MTU)
	d.word("bridge", p.Bridge)
	if len(p.Addresses) > 0 {
		d.key("addresses", words(p.Addresses))
	}
	d.number("vlan", p.VLAN)
	d.word("switch", p.Switch)
	if p.CookieLength != 0 {
		d.key("cookie_length", max(p.CookieLength, 0))
	}
	d.word("sublayer", p.Sublayer)
	d.word("sequencing", p.Sequencing)
	d.word("reorder_timeout", p.ReorderTimeout)
	return d.text.String()
}

// StaticTunnel is a [[l2tpv3.static]] block with its sessions.
type StaticTunnel struct {
	Name string
	// Local and Remote; with ports of 0 directly over IP.
	Local, Remote  netip.AddrPort
	ID, PeerID     uint32
	DataPlane      string
	ZeroChecksum   bool // of UDP
	Keep, LinkDown bool
	Keepalive      string
	DeadAfter      int
	Sessions       []StaticSession
}

// StaticSession is a [[l2tpv3.static.sessions]] block.
type StaticSession struct {
	Name, Pseudowire   string
	ID, PeerID         uint32
	Cookie, PeerCookie string // in hex: what we expect, and what we send
}

// TOML of the block.
func (s StaticTunnel) TOML() string {
	var d document
	d.block("l2tpv3.static")
	d.word("name", s.Name)
	if s.Local.Port() == 0 {
		d.word("encapsulation", "ip")
		d.word("local", s.Local.Addr().String())
		d.word("remote", s.Remote.Addr().String())
	} else {
		d.word("encapsulation", "udp")
		d.word("local", s.Local.String())
		d.word("remote", s.Remote.String())
		d.flag("udp_checksum", !s.ZeroChecksum)
	}
	d.key("tunnel_id", s.ID)
	d.key("peer_tunnel_id", s.PeerID)
	d.word("dataplane", s.DataPlane)
	if s.Keep {
		d.flag("keep", true)
	}
	if s.LinkDown {
		d.flag("link_down", true)
	}
	d.word("keepalive", s.Keepalive)
	d.number("dead_after", s.DeadAfter)
	for _, x := range s.Sessions {
		d.block("l2tpv3.static.sessions")
		d.word("name", x.Name)
		d.word("pseudowire", x.Pseudowire)
		d.key("session_id", x.ID)
		d.key("peer_session_id", x.PeerID)
		d.word("cookie", x.Cookie)
		d.word("peer_cookie", x.PeerCookie)
	}
	return d.text.String()
}
