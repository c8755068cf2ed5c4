package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// StaticDocument is the configuration of an adit with the end of all these rows.
func StaticDocument(n *Net, end int, rows []Row) string {
	text := "host_name = \"end" + fmt.Sprint(end) + ".test\"\nlisten = []\n[log]\nlevel = \"debug\"\n"
	for _, r := range rows {
		tunnel, wire := r.Static(n, end)
		text += wire.TOML() + tunnel.TOML()
	}
	return text
}

// rowSecret is the secret of the control connections of a table.
const rowSecret = "s3cret"

// Dialled is a [[lac.tunnels]] block of the end in A for a row with a control
// connection of its own, by its host name.
func (r Row) Dialled(n *Net) string {
	_, b := r.Outside(n)
	var d document
	d.block("lac.tunnels")
	d.word("name", fmt.Sprintf("row%d", r.Number))
	d.word("host_name", fmt.Sprintf("row%d.test", r.Number))
	d.key("versions", "[3]")
	if r.OverIP {
		d.word("encapsulation", "ip")
		d.word("remote", b.String())
	} else {
		d.word("remote", netip.AddrPortFrom(b, 1701).String())
	}
	r.authentication(&d)
	d.word("retry_min", "500ms")
	d.word("retry_max", "2s")
	d.block("lac.tunnels.sessions")
	d.word("name", r.Device())
	d.word("pseudowire", r.Device())
	return d.text.String()
}

// Accepted is the [[lns.peers]] block of the end in B for what Dialled dials.
func (r Row) Accepted() string {
	var d document
	d.block("lns.peers")
	d.word("name", fmt.Sprintf("row%d", r.Number))
	d.word("host_name", fmt.Sprintf("row%d.test", r.Number))
	d.key("versions", "[3]")
	d.flag("ppp", false)
	d.key("pseudowires", words([]string{r.Device()}))
	if r.Digest == "" {
		d.flag("no_secret", true)
	}
	r.authentication(&d)
	return d.text.String()
}

func (r Row) authentication(d *document) {
	if r.Digest != "" {
		d.word("secret", rowSecret)
		d.key("digests", words([]string{r.Digest}))
	}
}

// Wire is the row's [[pseudowires]] block at an end with a control connection.
func (r Row) Wire(end int) Pseudowire {
	p := r.Pseudowire(end)
	p.DataPlane = map[int]string{1: r.APlane, 2: r.BPlane}[end]
	p.CookieLength = r.Cookie
	if r.Cookie == 0 {
		p.CookieLength = -1
	}
	return p
}

// patience is that of the daemons of a table: a dead peer shows within ten seconds, which
// is longer than an emulated machine that is busy makes one wait.
const patience = `
[control_channel]
hello_interval = "2s"
retransmit_initial = "500ms"
max_retransmits = 3
`

// DialDocument and AcceptDocument are the configurations of A and B for rows with
// control connections, with further lines behind them.
func DialDocument(n *Net, rows []Row, more string) string {
	text := "host_name = \"a.test\"\nlisten = []\n[log]\nlevel = \"debug\"\n" + patience
	for _, r := range rows {
		text += r.Wire(1).TOML() + r.Dialled(n)
	}
	return text + more
}

// AcceptDocument listens on both IP versions, over UDP and over IP, and on the link-local
// address of rows that have one.
func AcceptDocument(n *Net, rows []Row, more string) string {
	l := n.Links[0].Right
	at := []netip.Addr{l.IPv4, l.IPv6}
	if slices.ContainsFunc(rows, func(r Row) bool { return r.LinkLocal }) {
		at = append(at, linkLocal(l, 2))
	}
	text := "host_name = \"b.test\"\n[log]\nlevel = \"debug\"\n" + patience
	for _, a := range at {
		text += fmt.Sprintf("[[listen]]\naddress = \"%s\"\n", netip.AddrPortFrom(a, 1701))
	}
	text += fmt.Sprintf("[l2tpv3]\nlisten_ip = %s\n", words(at))
	for _, r := range rows {
		text += r.Wire(2).TOML() + r.Accepted()
	}
	return text + more
}

// ManySessions are the documents of A and B with so many pseudowires, 1 to 250, in one
// control connection, on a plane, and the row of each.
func ManySessions(n *Net, count int, plane string) (dial, accept string, rows []Row) {
	var a, b, names strings.Builder
	a.WriteString("host_name = \"a.test\"\nlisten = []\n")
	fmt.Fprintf(&b, "host_name = \"b.test\"\n[[listen]]\naddress = \"%s:1701\"\n", n.AddrB())
	sessions := ""
	for i := range count {
		r := Row{Number: i + 1, APlane: plane, BPlane: plane, Cookie: 8}
		a.WriteString(r.Wire(1).TOML())
		b.WriteString(r.Wire(2).TOML())
		fmt.Fprintf(&names, "%q, ", r.Device())
		sessions += fmt.Sprintf("[[lac.tunnels.sessions]]\nname = %q\npseudowire = %[1]q\n", r.Device())
		rows = append(rows, r)
	}
	fmt.Fprintf(&b, "[[lns.peers]]\nname = \"a\"\nppp = false\nsecret = %q\nversions = [3]\nmax_sessions = %d\npseudowires = [%s]\n", rowSecret, count, names.String())
	fmt.Fprintf(&a, "[[lac.tunnels]]\nname = \"b\"\nremote = \"%s:1701\"\nsecret = %q\nversions = [3]\n%s", n.AddrB(), rowSecret, sessions)
	return a.String(), b.String(), rows
}
