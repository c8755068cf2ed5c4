package native

import (
	"testing"

	"adit/integration/scenario"
)

// TestL2TPv3LinkLocal: tunnels between link-local addresses, which count on one link only
// and are written with its name, dialled and static, over UDP and IP.
func TestL2TPv3LinkLocal(t *testing.T) {
	t.Parallel()
	n := network(t)
	n.LinkLocal(t)
	row := func(number int, overIP bool) scenario.Row {
		return scenario.Row{Number: number, APlane: "userspace", BPlane: "userspace", LinkLocal: true, OverIP: overIP,
			Cookie: 8, Sequenced: true, Digest: "hmac-sha1"}
	}
	dialled := []scenario.Row{row(1, false), row(2, true)}
	static := []scenario.Row{row(3, false), row(4, true)}
	static[0].ZeroChecksum = true
	text := func(end int) (text string) {
		for _, r := range static {
			tunnel, wire := r.Static(n, end)
			tunnel.Keepalive = "1s"
			text += wire.TOML() + tunnel.TOML()
		}
		return text
	}
	b := scenario.Adit(t, n.B, scenario.AcceptDocument(n, dialled, text(2)))
	a := scenario.Adit(t, n.A, scenario.DialDocument(n, dialled, text(1)))
	t.Run("rows", func(t *testing.T) {
		for _, r := range append(dialled, static...) {
			t.Run(r.Name(), func(t *testing.T) {
				t.Parallel()
				scenario.CheckRow(t, n, r, onTAPs)
			})
		}
	})
	// The echo requests of the keepalive are answered, so they find the link too.
	for _, d := range []*scenario.AditDaemon{a, b} {
		scenario.WaitFor(t, upLimit, "answers to echo requests", func() bool {
			return status(t, d).Counters["static_probe_hits"] > 0
		})
	}
	// The link goes, and another one gets its name and addresses.
	n.A.MustRun(t, "ip", "link", "del", "eth0")
	n.A.MustRun(t, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", n.B.Name)
	for _, ns := range []*scenario.NS{n.A, n.B} {
		ns.MustRun(t, "ip", "link", "set", "eth0", "up")
	}
	n.LinkLocal(t)
	for _, r := range static {
		x, y := r.Ends(n)
		if err := scenario.AwaitPing(x.NS, y.IPv4, upLimit); err != nil {
			t.Errorf("%s, after its link was made again: %v", r.Name(), err)
		}
	}
}
