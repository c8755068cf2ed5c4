package native

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"adit/integration/scenario"
)

// TestL2TPv3StaticRows: static tunnels between two adits, all in userspace.
func TestL2TPv3StaticRows(t *testing.T) {
	t.Parallel()
	n := network(t)
	rows := scenario.CoveringRows("userspace", "userspace", 1)
	b := scenario.Adit(t, n.B, scenario.StaticDocument(n, 2, rows))
	scenario.Adit(t, n.A, scenario.StaticDocument(n, 1, rows))
	t.Run("rows", func(t *testing.T) {
		for _, r := range rows {
			t.Run(r.Name(), func(t *testing.T) {
				t.Parallel()
				scenario.CheckRow(t, n, r, onTAPs)
			})
		}
	})
	// Somebody deletes a device, and it comes back. It has another address then, and who
	// has the old one yet learns that by ARP from who asks.
	x, y := rows[0].Ends(n)
	n.B.MustRun(t, "ip", "link", "del", y.Device)
	y.IPv6, x.IPv6 = netip.Addr{}, netip.Addr{}
	if err := scenario.Ethernet(y, x, upLimit, 1<<20); err != nil {
		t.Errorf("after the device was deleted: %v", err)
	}
	b.Stop(t)
	awaitNoDevice(t, n.B, "pw")
}

// TestL2TPv3StaticKept: neither adit disconnect, nor a reload that changes another
// tunnel, nor the end of the daemon's control connections costs a static tunnel a packet;
// the changed one is as the new configuration has it.
func TestL2TPv3StaticKept(t *testing.T) {
	t.Parallel()
	n := network(t)
	rows := scenario.CoveringRows("userspace", "userspace", 1)[:3]
	kept, changed, added := rows[0], rows[1], rows[2]
	scenario.Adit(t, n.B, scenario.StaticDocument(n, 2, rows))
	a := scenario.Adit(t, n.A, scenario.StaticDocument(n, 1, []scenario.Row{kept, changed}))
	x, y := kept.Ends(n)
	for _, r := range []scenario.Row{kept, changed} {
		from, to := r.Ends(n)
		if err := scenario.AwaitPing(from.NS, to.IPv4, upLimit); err != nil {
			t.Fatal(err)
		}
	}
	const count = 100
	var out bytes.Buffer
	ping := exec.Command("ping", "-n", "-q", "-i", "0.05", "-c", fmt.Sprint(count), "-W", "5", y.IPv4.String())
	ping.Stdout = &out
	if err := x.NS.Do(ping.Start); err != nil {
		t.Fatal(err)
	}
	before, err := x.NS.Device(x.Device)
	if err != nil {
		t.Fatal(err)
	}
	// Of a client for v2 there is nothing to end, so an error may say that.
	_, _ = a.Command("disconnect", "all")
	moved := changed
	moved.Cookie = 8 // which the other end does not have
	a.WriteConfig(t, scenario.StaticDocument(n, 1, []scenario.Row{kept, moved, added}))
	if text, err := a.Command("reload"); err != nil {
		t.Fatal(err, text)
	}
	from, to := added.Ends(n)
	if err := scenario.AwaitPing(from.NS, to.IPv4, upLimit); err != nil {
		t.Errorf("the tunnel that a reload added: %v", err)
	}
	from, to = changed.Ends(n)
	if err := scenario.NoPing(from.NS, to.IPv4); err != nil {
		t.Errorf("the tunnel whose cookie a reload changed: %v", err)
	}
	a.WriteConfig(t, scenario.StaticDocument(n, 1, []scenario.Row{kept, changed}))
	if text, err := a.Command("reload"); err != nil {
		t.Fatal(err, text)
	}
	if err := scenario.AwaitPing(from.NS, to.IPv4, upLimit); err != nil {
		t.Errorf("after the cookie was changed back: %v", err)
	}
	if left := n.A.Interfaces(t, added.Device()); len(left) != 0 {
		t.Errorf("the tunnel that a reload took away has its device yet: %v", left)
	}
	if err := ping.Wait(); err != nil || !strings.Contains(out.String(), fmt.Sprintf("%d received", count)) {
		t.Errorf("the tunnel that nobody touched has lost packets: %v %s", err, out.String())
	}
	if after, err := x.NS.Device(x.Device); err != nil || after.Counts.RxPackets < before.Counts.RxPackets {
		t.Errorf("its device is another: %+v, %v", after, err)
	}
}

// TestL2TPv3StaticCookie: what comes with another cookie goes nowhere and is counted.
// RFC 3931 section 4.1: "the received Cookie MUST match this value, and the packet MUST
// be discarded if not".
func TestL2TPv3StaticCookie(t *testing.T) {
	t.Parallel()
	n := network(t)
	rows := []scenario.Row{
		{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8},
		{Number: 2, APlane: "userspace", BPlane: "userspace", Cookie: 4, OverIP: true},
	}
	text := scenario.StaticDocument(n, 2, rows)
	for _, r := range rows {
		tunnel, _ := r.Static(n, 2)
		sent := tunnel.Sessions[0].PeerCookie
		text = strings.Replace(text, `peer_cookie = "`+sent+`"`, `peer_cookie = "`+strings.Repeat("0", len(sent))+`"`, 1)
	}
	a := scenario.Adit(t, n.A, scenario.StaticDocument(n, 1, rows))
	scenario.Adit(t, n.B, text)
	for _, r := range rows {
		x, y := r.Ends(n)
		scenario.WaitFor(t, upLimit, "the devices", func() bool {
			a, errA := x.NS.Device(x.Device)
			b, errB := y.NS.Device(y.Device)
			return errA == nil && errB == nil && a.Up && b.Up
		})
		before := status(t, a).Counters["drop_cookie"]
		if err := scenario.NoPing(y.NS, x.IPv4); err != nil {
			t.Error(err)
		}
		if d, err := x.NS.Device(x.Device); err != nil || d.Counts.RxPackets != 0 {
			t.Errorf("%d packets with a wrong cookie came through: %v", d.Counts.RxPackets, err)
		}
		if after := status(t, a).Counters["drop_cookie"]; after == before {
			t.Error("a wrong cookie is not counted")
		}
	}
}

// TestL2TPv3Keepalive: a peer whose address is gone is called dead and takes the
// carrier with it, and both come back.
func TestL2TPv3Keepalive(t *testing.T) {
	t.Parallel()
	n := network(t)
	gone := netip.MustParseAddr("10.93.0.1")
	r := scenario.Row{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8, PeerAddress: gone}
	n.B.MustRun(t, "ip", "addr", "add", gone.String()+"/32", "dev", "lo")
	n.A.Route(t, netip.PrefixFrom(gone, 32), n.AddrB())
	tunnel, wire := r.Static(n, 1)
	tunnel.Keepalive, tunnel.DeadAfter, tunnel.LinkDown = "1s", 2, true
	scenario.Adit(t, n.B, scenario.StaticDocument(n, 2, []scenario.Row{r}))
	scenario.Adit(t, n.A, "host_name = \"a.test\"\nlisten = []\n"+wire.TOML()+tunnel.TOML())
	x, y := r.Ends(n)
	if err := scenario.Ethernet(x, y, upLimit, 0); err != nil {
		t.Fatal(err)
	}
	usable := func() bool {
		d, err := x.NS.Device(x.Device)
		return err == nil && d.Up && d.Carrier
	}
	for _, word := range []string{"del", "add"} {
		n.B.MustRun(t, "ip", "addr", word, gone.String()+"/32", "dev", "lo")
		scenario.WaitFor(t, upLimit, "the device to follow ip addr "+word, func() bool { return usable() == (word == "add") })
	}
	if err := scenario.Ethernet(x, y, upLimit, 0); err != nil {
		t.Error(err)
	}
}
