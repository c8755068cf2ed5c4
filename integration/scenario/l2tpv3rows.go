package scenario

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Row is an Ethernet pseudowire of a table: what its two ends have in common, and the
// plane of each that is adit. All rows of a table share two namespaces and, at most,
// two daemons, and are told apart by their number.
type Row struct {
	Number int // 1 to 250, unique in the table
	// APlane and BPlane are "kernel" or "userspace", of the ends in namespaces A and B.
	APlane, BPlane string
	OverIP         bool // protocol 115; else UDP
	IPv6           bool // outside
	// LinkLocal has the ends be link-local addresses of their link, which is IPv6.
	LinkLocal    bool
	Cookie       int // octets: 0, 4 or 8
	Sequenced    bool
	Sublayer     string // empty: the default one
	ZeroChecksum bool   // of UDP
	// PeerAddress is the outside address of the end in B, if not that of its link.
	PeerAddress netip.Addr
	// Digest is the algorithm of Control Message Authentication; empty: no secret.
	Digest string
}

// Name of the row for a subtest.
func (r Row) Name() string {
	words := []string{r.APlane}
	if r.BPlane != "" {
		words = append(words, r.BPlane)
	}
	words = append(words, map[bool]string{true: "ip", false: "udp"}[r.OverIP], r.family(),
		fmt.Sprintf("cookie%d", r.Cookie))
	if r.Sequenced {
		words = append(words, "sequenced")
	}
	for _, w := range []string{r.Sublayer, r.Digest} {
		if w != "" {
			words = append(words, w)
		}
	}
	if r.ZeroChecksum {
		words = append(words, "zero-checksum")
	}
	return fmt.Sprintf("%d_%s", r.Number, strings.Join(words, "_"))
}

// family of the outside addresses, in a word.
func (r Row) family() string {
	switch {
	case r.LinkLocal:
		return "link-local"
	case r.IPv6:
		return "v6"
	}
	return "v4"
}

// FullVariable is the environment variable that asks for whole tables where the fewest
// rows that cover them are run otherwise.
const FullVariable = "ADIT_LAB_FULL"

// CoveringRows are the fewest rows in which each two values of encapsulation, IP
// version, cookie and sequencing meet, for ends on the given planes, numbered from
// first.
func CoveringRows(aPlane, bPlane string, first int) []Row {
	rows := []Row{
		{OverIP: false, IPv6: false, Cookie: 0, Sequenced: false, Sublayer: "none"},
		{OverIP: false, IPv6: true, Cookie: 4, Sequenced: true},
		{OverIP: false, IPv6: true, Cookie: 8, Sequenced: false, ZeroChecksum: true},
		{OverIP: true, IPv6: false, Cookie: 4, Sequenced: false},
		{OverIP: true, IPv6: true, Cookie: 0, Sequenced: true},
		{OverIP: true, IPv6: false, Cookie: 8, Sequenced: true},
	}
	return numbered(rows, aPlane, bPlane, first)
}

// AllRows are all combinations of encapsulation, IP version, cookie and sequencing.
func AllRows(aPlane, bPlane string, first int) (rows []Row) {
	for i := range 2 * 2 * 2 * 3 {
		rows = append(rows, Row{OverIP: i&1 != 0, IPv6: i&2 != 0, Sequenced: i&4 != 0, Cookie: i / 8 * 4})
	}
	return numbered(rows, aPlane, bPlane, first)
}

func numbered(rows []Row, aPlane, bPlane string, first int) []Row {
	for i := range rows {
		rows[i].Number, rows[i].APlane, rows[i].BPlane = first+i, aPlane, bPlane
	}
	return rows
}

// Device is the name of the row's network device, the same at both ends.
func (r Row) Device() string { return fmt.Sprintf("pw%d", r.Number) }

// Inside are the addresses of one end's device, 1 for A and 2 for B.
func (r Row) Inside(end int) (v4, v6 netip.Prefix) {
	return netip.MustParsePrefix(fmt.Sprintf("10.98.%d.%d/24", r.Number, end)),
		netip.MustParsePrefix(fmt.Sprintf("fd98:%x::%x/64", r.Number, end))
}

// Ends of the row in a network.
func (r Row) Ends(n *Net) (a, b EthernetEnd) {
	of := func(ns *NS, end int) EthernetEnd {
		v4, v6 := r.Inside(end)
		return EthernetEnd{NS: ns, Device: r.Device(), IPv4: v4.Addr(), IPv6: v6.Addr()}
	}
	return of(n.A, 1), of(n.B, 2)
}

// Outside are the addresses of the ends of a network, of the row's IP version.
func (r Row) Outside(n *Net) (a, b netip.Addr) {
	l := n.Links[0]
	a, b = l.Left.IPv4, l.Right.IPv4
	switch {
	case r.LinkLocal:
		a, b = linkLocal(l.Left, 1), linkLocal(l.Right, 2)
	case r.IPv6:
		a, b = l.Left.IPv6, l.Right.IPv6
	}
	if r.PeerAddress.IsValid() {
		b = r.PeerAddress
	}
	return a, b
}

// linkLocal is an end's link-local address, which LinkLocal gives it, with the name of its
// link.
func linkLocal(e End, host int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fe80::ad17:%x%%%s", host, e.Interface))
}

// LinkLocal gives the ends of the network's first link the link-local addresses that are
// outside for rows with LinkLocal. Those that they have of their own are not usable for a
// second or two, while duplicates are looked for.
func (n *Net) LinkLocal(t TB) {
	t.Helper()
	l := n.Links[0]
	for i, e := range []End{l.Left, l.Right} {
		e.NS.MustRun(t, "ip", "addr", "add", linkLocal(e, i+1).WithZone("").String()+"/64", "dev", e.Interface, "nodad")
	}
}

// staticEnds are the ends of a static tunnel, with ports of 0 over IP.
func (r Row) staticEnds(n *Net) (a, b netip.AddrPort) {
	aAddr, bAddr := r.Outside(n)
	if r.OverIP {
		return netip.AddrPortFrom(aAddr, 0), netip.AddrPortFrom(bAddr, 0)
	}
	return netip.AddrPortFrom(aAddr, uint16(5000+r.Number)), netip.AddrPortFrom(bAddr, uint16(6000+r.Number))
}

// The IDs of a static tunnel and its session, which differ at the ends.
func (r Row) ids(end int) (tunnel, session uint32) {
	return uint32(end*1000 + r.Number), uint32(end*100_000 + r.Number)
}

// cookies that A and B send, which differ.
func (r Row) cookies() (a, b string) {
	return fmt.Sprintf("a1a2a3a4a5a6%02x01", r.Number)[16-2*r.Cookie:], fmt.Sprintf("b1b2b3b4b5b6%02x02", r.Number)[16-2*r.Cookie:]
}

// Static is the configuration of one end of a static tunnel that is adit, 1 for A and
// 2 for B: the tunnel, and the pseudowire in it.
func (r Row) Static(n *Net, end int) (StaticTunnel, Pseudowire) {
	other, plane := 3-end, r.APlane
	local, remote := r.staticEnds(n)
	sent, expected := r.cookies()
	if end == 2 {
		plane = r.BPlane
		local, remote = remote, local
		sent, expected = expected, sent
	}
	tunnel, session := r.ids(end)
	peerTunnel, peerSession := r.ids(other)
	name := fmt.Sprintf("t%d", r.Number)
	return StaticTunnel{Name: name, Local: local, Remote: remote, ID: tunnel, PeerID: peerTunnel, DataPlane: plane,
		ZeroChecksum: r.ZeroChecksum,
		Sessions: []StaticSession{{Name: "lan", Pseudowire: r.Device(), ID: session, PeerID: peerSession,
			Cookie: expected, PeerCookie: sent}},
	}, r.Pseudowire(end)
}

// Pseudowire is the block of one end that is adit.
func (r Row) Pseudowire(end int) Pseudowire {
	v4, v6 := r.Inside(end)
	p := Pseudowire{Name: r.Device(), Interface: r.Device(), MTU: FrameLimit, Addresses: []netip.Prefix{v4, v6}, Sublayer: r.Sublayer}
	if r.Sequenced {
		p.Sequencing, p.ReorderTimeout = "all", "50ms"
	}
	return p
}

// IPL2TP is the end in B if that is iproute2.
func (r Row) IPL2TP(n *Net) IPL2TPOptions {
	remote, local := r.staticEnds(n)
	expected, sent := r.cookies()
	tunnel, session := r.ids(2)
	peerTunnel, peerSession := r.ids(1)
	v4, v6 := r.Inside(2)
	o := IPL2TPOptions{Local: local, Peer: remote, Tunnel: tunnel, PeerTunnel: peerTunnel, Session: session, PeerSession: peerSession,
		Cookie: sent, PeerCookie: expected, Sublayer: r.Sublayer, Checksum: !r.ZeroChecksum,
		Interface: r.Device(), MTU: FrameLimit, Addresses: []netip.Prefix{v4, v6}}
	if r.Sequenced {
		o.Sequencing = "both"
	}
	return o
}

// CheckRow looks for what every row has to do: small and full-size packets of both
// families both ways, and TCP of so many octets both ways; and both ends' devices
// count alike.
func CheckRow(t TB, n *Net, r Row, limit Limits) {
	t.Helper()
	a, b := r.Ends(n)
	if err := Ethernet(a, b, limit.Up, limit.Octets); err != nil {
		t.Fatalf("%v", err)
	}
	if err := Agree(a, b, 10, 4); err != nil {
		t.Errorf("%v", err)
	}
	if limit.VLAN {
		if err := VLAN(t, a, b, 7, r.Number); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// Limits of CheckRow.
type Limits struct {
	Up     time.Duration
	Octets int64
	VLAN   bool // with an 802.1Q device on top, which not every kernel has
}
