package native

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"adit/integration/scenario"
)

// onTAPs are the limits of a row of userspace ends.
var onTAPs = scenario.Limits{Up: upLimit, Octets: 4 << 20}

// hasty finds a dead peer within seconds.
const hasty = `
[control_channel]
hello_interval = "1s"
retransmit_initial = "500ms"
max_retransmits = 2
`

// TestL2TPv3Rows: pseudowires between two adits with control connections, all in
// userspace: over UDP and IP, IPv4 and IPv6, with each digest and without a secret, with
// cookies of every length and without, numbered and not.
func TestL2TPv3Rows(t *testing.T) {
	t.Parallel()
	n := network(t)
	rows := scenario.CoveringRows("userspace", "userspace", 1)
	for i := range rows {
		rows[i].ZeroChecksum = false // which is a static tunnel's
		rows[i].Digest = []string{"hmac-md5", "hmac-sha1", ""}[i%3]
	}
	b := scenario.Adit(t, n.B, scenario.AcceptDocument(n, rows, ""))
	a := scenario.Adit(t, n.A, scenario.DialDocument(n, rows, ""))
	t.Run("rows", func(t *testing.T) {
		for _, r := range rows {
			t.Run(r.Name(), func(t *testing.T) {
				t.Parallel()
				scenario.CheckRow(t, n, r, onTAPs)
			})
		}
	})
	for _, d := range []*scenario.AditDaemon{a, b} {
		for _, s := range sessions(t, d) {
			if s.Bridge != "ethernet/tap" || s.Traffic.RxBytes < 4<<20 || s.Traffic.TxBytes < 4<<20 || s.PeerID == 0 {
				t.Errorf("%s has a session that is not what it should be: %+v", d.Name, s)
			}
		}
	}
	a.Stop(t)
	awaitGone(t, b)
	awaitNoDevice(t, n.A, "pw")
	awaitNoDevice(t, n.B, "pw")
}

// awaitNoDevice waits until no device of that prefix is left.
func awaitNoDevice(t *testing.T, ns *scenario.NS, prefix string) {
	t.Helper()
	scenario.WaitFor(t, upLimit, "the devices in "+ns.Label+" to go", func() bool { return len(ns.Interfaces(t, prefix)) == 0 })
}

// TestL2TPv3ManySessions: two hundred pseudowires in one control connection, each with
// a device at each end, and packets through all of them.
func TestL2TPv3ManySessions(t *testing.T) {
	t.Parallel()
	const count = 200
	n := network(t)
	dial, accept, rows := scenario.ManySessions(n, count, "userspace")
	b := scenario.Adit(t, n.B, accept)
	begin := time.Now()
	a := scenario.Adit(t, n.A, dial)
	for _, d := range []*scenario.AditDaemon{a, b} {
		scenario.WaitFor(t, 2*upLimit, "all sessions of "+d.Name, func() bool { return status(t, d).Sessions.Up == count })
	}
	t.Logf("%d pseudowires are up %.1f s after the start", count, time.Since(begin).Seconds())
	if tunnels := status(t, a).Tunnels.Up; tunnels != 1 {
		t.Errorf("they are in %d tunnels, want 1", tunnels)
	}
	if err := scenario.AtOnce(count, 8, func(i int) error {
		x, y := rows[i].Ends(n)
		return scenario.AwaitPing(x.NS, y.IPv4, upLimit)
	}); err != nil {
		t.Error(err)
	}
	a.Stop(t)
	awaitGone(t, b)
	awaitNoDevice(t, n.B, "pw")
}

// secretDocuments are two ends with one pseudowire, and lines for the blocks of the
// tunnel and of the peer.
func secretDocuments(n *scenario.Net, r scenario.Row, dial, accept string) (a, b string) {
	a = scenario.DialDocument(n, []scenario.Row{r}, "")
	b = scenario.AcceptDocument(n, []scenario.Row{r}, "")
	for _, x := range []struct {
		text  *string
		lines string
	}{{&a, dial}, {&b, accept}} {
		*x.text = strings.Replace(*x.text, "secret = \"s3cret\"\n", x.lines+"\n", 1)
	}
	return a, b
}

// TestL2TPv3Secrets: with another secret there is no tunnel, what comes is dropped and
// counted, and it is said; with it as other_secret, while secrets are changed, there is one.
// RFC 3931 section 4.3: "If the received Message Digest does not match the value
// computed by the recipient, the message MUST be dropped."
func TestL2TPv3Secrets(t *testing.T) {
	t.Parallel()
	n := network(t)
	r := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8, Digest: "hmac-sha1"}
	dial, accept := secretDocuments(n, r, `secret = "old"`, `secret = "new"`)
	b := scenario.Adit(t, n.B, accept)
	a := scenario.Adit(t, n.A, dial)
	scenario.WaitFor(t, upLimit, "the messages with a wrong digest to be counted", func() bool { return status(t, b).Counters["drop_digest"] > 0 })
	if s := status(t, b); s.Tunnels.Up+s.Sessions.Up != 0 {
		t.Errorf("with a wrong secret there are %d tunnels and %d sessions", s.Tunnels.Up, s.Sessions.Up)
	}
	_, accept = secretDocuments(n, r, "", "secret = \"new\"\nother_secret = \"old\"")
	b.WriteConfig(t, accept)
	b.Restart(t)
	x, y := r.Ends(n)
	if err := scenario.AwaitPing(x.NS, y.IPv4, upLimit); err != nil {
		t.Error(err)
	}
	if s := status(t, a); s.Tunnels.Up != 1 || s.Sessions.Up != 1 {
		t.Errorf("with the other secret there are %d tunnels and %d sessions", s.Tunnels.Up, s.Sessions.Up)
	}
}

// TestL2TPv3CircuitStatus: a device that somebody sets down at one end takes the carrier
// of that at the other, until it is up again. RFC 3931 section 5.4.5, Circuit Status.
func TestL2TPv3CircuitStatus(t *testing.T) {
	t.Parallel()
	n := network(t)
	r := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 4, Digest: "hmac-md5"}
	scenario.Adit(t, n.B, scenario.AcceptDocument(n, []scenario.Row{r}, ""))
	scenario.Adit(t, n.A, scenario.DialDocument(n, []scenario.Row{r}, ""))
	x, y := r.Ends(n)
	for _, way := range []struct{ downed, other scenario.EthernetEnd }{{x, y}, {y, x}} {
		if err := scenario.Ethernet(x, y, upLimit, 0); err != nil {
			t.Fatal(err)
		}
		carrier := func() bool {
			d, err := way.other.NS.Device(r.Device())
			return err == nil && d.Carrier
		}
		if !carrier() {
			t.Fatal("there is no carrier though all is well")
		}
		way.downed.NS.MustRun(t, "ip", "link", "set", r.Device(), "down")
		scenario.WaitFor(t, upLimit, "the carrier to go", func() bool { return !carrier() })
		way.downed.NS.MustRun(t, "ip", "link", "set", r.Device(), "up")
		// With the device, its IPv6 addresses went.
		_, v6 := r.Inside(map[bool]int{true: 1, false: 2}[way.downed.NS == n.A])
		way.downed.NS.MustRun(t, "ip", "addr", "replace", v6.String(), "dev", r.Device(), "nodad")
		scenario.WaitFor(t, upLimit, "the carrier to come back", carrier)
	}
	if err := scenario.Ethernet(x, y, upLimit, 0); err != nil {
		t.Error(err)
	}
}

// TestL2TPv3Kill: an end that is killed and started again gets its pseudowire back, and
// so does the one that was not.
func TestL2TPv3Kill(t *testing.T) {
	t.Parallel()
	n := network(t)
	r := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8, Digest: "hmac-md5"}
	swap := func(text string) string { return strings.Replace(text, patienceOf(t, text), hasty, 1) }
	b := scenario.Adit(t, n.B, swap(scenario.AcceptDocument(n, []scenario.Row{r}, "")))
	a := scenario.Adit(t, n.A, swap(scenario.DialDocument(n, []scenario.Row{r}, "")))
	x, y := r.Ends(n)
	if err := scenario.Ethernet(x, y, upLimit, 0); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*scenario.AditDaemon{a, b} {
		d.KillHard()
		d.Restart(t)
		if err := scenario.Ethernet(x, y, 2*upLimit, 1<<20); err != nil {
			t.Fatalf("after the kill of %s: %v", d.Name, err)
		}
		for _, e := range []*scenario.AditDaemon{a, b} {
			scenario.WaitFor(t, upLimit, "one session of "+e.Name, func() bool {
				s := status(t, e)
				return s.Sessions.Up == 1 && s.Tunnels.Up == 1
			})
		}
	}
}

// patienceOf is the [control_channel] table of a document.
func patienceOf(t *testing.T, text string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n[control_channel]\n")
	end := strings.Index(rest, "[")
	if !found || end < 0 {
		t.Fatal("the document has no [control_channel]")
	}
	return "\n[control_channel]\n" + rest[:end]
}

// TestL2TPv3BothDial: both ends dial each other for the same pseudowire, and end up with
// one tunnel and one session, which stay. RFC 3931 section 5.4.3, Control Connection Tie
// Breaker: "the LCCE with the lowest value in Control Connection Tie Breaker wins".
func TestL2TPv3BothDial(t *testing.T) {
	t.Parallel()
	n := network(t)
	wire := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8}
	document := func(end int, own, other string) string {
		return fmt.Sprintf("host_name = \"end%d.test\"\n[[listen]]\naddress = \"%s:1701\"\n%s", end, own, hasty) + wire.Wire(end).TOML() +
			fmt.Sprintf("[[lns.peers]]\nname = \"caller\"\nppp = false\nsecret = \"s3cret\"\nversions = [3]\npseudowires = [%q]\n", wire.Device()) +
			fmt.Sprintf("[[lac.tunnels]]\nname = \"other\"\nremote = \"%s:1701\"\nsecret = \"s3cret\"\nversions = [3]\ntie_breaker = true\nretry_min = \"500ms\"\nretry_max = \"2s\"\n", other) +
			fmt.Sprintf("[[lac.tunnels.sessions]]\nname = \"lan\"\npseudowire = %q\n", wire.Device())
	}
	b := scenario.NewAdit(t, n.B, document(2, n.AddrB().String(), n.AddrA().String()))
	a := scenario.NewAdit(t, n.A, document(1, n.AddrA().String(), n.AddrB().String()))
	b.Restart(t)
	a.Restart(t)
	x, y := wire.Ends(n)
	if err := scenario.Ethernet(x, y, upLimit, 1<<20); err != nil {
		t.Fatal(err)
	}
	one := func(d *scenario.AditDaemon) bool {
		s := status(t, d)
		return s.Tunnels.Up == 1 && s.Sessions.Up == 1 && s.Sessions.SettingUp == 0
	}
	scenario.WaitFor(t, upLimit, "one tunnel and one session at each end", func() bool { return one(a) && one(b) })
	before := sessions(t, a)[0]
	if got, err := n.A.PingCount(y.IPv4, 56, 15); err != nil || got != 15 {
		t.Errorf("%d answers to 15 requests: %v", got, err)
	}
	if after := sessions(t, a); len(after) != 1 || after[0].ID != before.ID {
		t.Errorf("the session did not stay: %+v, then %+v", before, after)
	}
}
