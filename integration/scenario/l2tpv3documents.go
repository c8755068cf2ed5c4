package scenario

import (
	"fmt"
	"net/netip"
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

// patience is that of the daemons of a table: a dead peer shows in seconds.
const patience = `
[control_channel]
hello_interval = "2s"
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

// AcceptDocument listens on both IP versions, over UDP and over IP.
func AcceptDocument(n *Net, rows []Row, more string) string {
	l := n.Links[0].Right
	text := fmt.Sprintf("host_name = \"b.test\"\n[log]\nlevel = \"debug\"\n%s[[listen]]\naddress = \"%s\"\n[[listen]]\naddress = \"%s\"\n[l2tpv3]\nlisten_ip = %s\n",
		patience, netip.AddrPortFrom(l.IPv4, 1701), netip.AddrPortFrom(l.IPv6, 1701), words([]netip.Addr{l.IPv4, l.IPv6}))
	for _, r := range rows {
		text += r.Wire(2).TOML() + r.Accepted()
	}
	return text + more
}
