package scenario

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestIPv6 carries the tunnel over IPv6, on every plane.
func TestIPv6(t *testing.T) {
	for _, p := range planes {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			n := NewNet(t)
			outside := n.Links[0].Right.IPv6
			s := &peers{net: n, inside: netip.MustParseAddr(lnsInside), expectBridge: p.bridge}
			s.lns = Adit(t, n.B, aditLNS(p, outside, ""))
			s.lac = Adit(t, n.A, aditLAC(p, outside, 1, ""))
			client := s.up(t, 1)[0]
			s.traffic(t, client, 128<<10)
			if v := s.lns.Tunnels(t)[0]; v.PeerAddress.Addr() != n.Links[0].Left.IPv6 {
				t.Errorf("the tunnel's peer is %v", v.PeerAddress)
			}
		})
	}
}

// TestBadNetwork loses 20 % of the packets each way and reorders the others: the
// sessions come up all the same, and the reorder queue puts data messages back
// into their order.
func TestBadNetwork(t *testing.T) {
	for _, p := range []plane{planeKernel, planeAsync} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.config += "\nsequencing = \"on\"\nreorder_timeout = \"300ms\""
			n := NewNet(t)
			for _, ns := range []*NS{n.A, n.B} {
				ns.Netem(t, "delay 40ms reorder 30% 50% loss 20%")
			}
			s := &peers{net: n, inside: netip.MustParseAddr(lnsInside), expectBridge: p.bridge}
			s.lns = Adit(t, n.B, aditLNS(p, n.AddrB(), ""))
			s.lac = Adit(t, n.A, aditLAC(p, n.AddrB(), 3, ""))
			limit := 3 * time.Minute
			clients := n.A.PPP(t, limit, 3)
			n.B.PPP(t, limit, 3)
			_, peer := clients[0].IPv4()
			// 32 are to be expected; but the kernel also discards what it has held
			// for the whole reorder_timeout, behind a packet that was lost.
			if received, err := n.A.PingCount(peer, 56, 50); err != nil || received < 5 {
				t.Errorf("%d of 50 pings were answered through 20 %% loss each way: %v", received, err)
			}
			// Packets have to be close together for the network to reorder them,
			// and without losses, or nearly every gap waits for a packet that will
			// not come. The exit status of ping does not matter here.
			for _, ns := range []*NS{n.A, n.B} {
				ns.Netem(t, "delay 40ms reorder 30% 50%")
			}
			_, _ = n.A.Run("ping", "-n", "-q", "-i", "0.005", "-c", "1000", "-W", "2", peer.String())
			reordered := uint64(0)
			for _, d := range s.adits() {
				for _, v := range d.Sessions(t) {
					if !v.Sequencing.Send {
						t.Errorf("%s: session %d sends no sequence numbers", d.ns.Label, v.ID)
					}
					reordered += v.Sequencing.Reordered
				}
			}
			t.Logf("%d data messages were put back into their order", reordered)
			if reordered < 20 {
				t.Error("the reorder queue did next to nothing")
			}
		})
	}
}

// TestBothRoles has one adit be the LNS of one peer and the LAC of another.
func TestBothRoles(t *testing.T) {
	n := NewNet3(t)
	far, near := n.Links[1].Right.IPv4, n.Links[0].Right.IPv4
	lns := Adit(t, n.C, aditLNS(planeAsync, far, ""))
	middle := strings.Replace(aditLNS(planeKernel, near, fmt.Sprintf(`
[profiles.up]
ppp = "pppd"
dataplane = "userspace"
pppd_options = ["noauth", "noccp", "novj", "noipv6", "nodefaultroute", "noipdefault", "ipcp-accept-local", "ipcp-accept-remote"]
[[lac.tunnels]]
name = "upstream"
remote = "%s"
secret = "s3cret"
profile = "up"
`, far)), poolStart, "10.97.1.10", 1)
	middle = strings.Replace(strings.Replace(middle, poolEnd, "10.97.1.99", 1), lnsInside, "10.97.1.1", 1)
	both := Adit(t, n.B, middle)
	lac := Adit(t, n.A, aditLAC(planeAsync, near, 1, ""))
	lac.WaitSessions(t, time.Minute, 1)
	lns.WaitSessions(t, time.Minute, 1)
	roles := map[string]string{}
	for _, v := range both.WaitSessions(t, time.Minute, 2) {
		roles[v.Role] = v.Bridge
	}
	if roles["lns"] != planeKernel.bridge || roles["lac"] != planeAsync.bridge {
		t.Errorf("the roles of the middle are %v", roles)
	}
	n.B.PPP(t, time.Minute, 2)
	n.A.Ping(t, netip.MustParseAddr("10.97.1.1"), 56, 3)
	n.B.Ping(t, netip.MustParseAddr(lnsInside), 56, 3)
}

// TestOutgoingCall has the LNS ask the LAC for a call (OCRQ), and PPP run in it.
func TestOutgoingCall(t *testing.T) {
	n := NewNet(t)
	lns := Adit(t, n.B, aditLNS(planeKernel, n.AddrB(), `
[[lns.outgoing]]
name = "callback"
peer = "anybody"
called_number = "5551234"
minimum_bps = 64000
maximum_bps = 100000000
`))
	lac := Adit(t, n.A, strings.Replace(aditLAC(planeAsync, n.AddrB(), 1, ""),
		`sessions = [ { name = "line", count = 1, calling_number = "030123456" } ]`,
		"sessions = []\nallow_outgoing = true", 1))
	for _, d := range []*AditDaemon{lns, lac} {
		v := d.WaitSessions(t, time.Minute, 1)[0]
		if v.Direction != "outgoing" || v.CalledNumber != "5551234" {
			t.Errorf("%s: the call is %q to %q", d.ns.Label, v.Direction, v.CalledNumber)
		}
	}
	client := n.A.PPP(t, time.Minute, 1)[0]
	local, peer := client.IPv4()
	n.A.Ping(t, peer, 56, 3)
	n.B.Ping(t, local, 1372, 3)
}

// TestRefusals has peers be turned away for what they are or do not know, by and
// with xl2tpd too: nothing is kept, the operator is told, and it is counted.
func TestRefusals(t *testing.T) {
	n := NewNet(t)
	lns := Adit(t, n.B, strings.Replace(aditLNS(planeAsync, n.AddrB(), ""),
		`name = "anybody"`, "name = \"anybody\"\nhost_name = \"lac*\"\nmax_tunnels = 1", 1))
	t.Run("wrong secret", func(t *testing.T) {
		lac := XL2TPD(t, n.A, LAC, XL2TPDOptions{Secret: "not it", HostName: "lac1"})
		lns.WaitLog(t, time.Minute, "authentication")
		lac.Stop(t)
	})
	t.Run("unknown peer", func(t *testing.T) {
		lac := XL2TPD(t, n.A, LAC, XL2TPDOptions{Secret: "s3cret", HostName: "stranger"})
		lns.WaitLog(t, time.Minute, "no [[lns.peers]] block admits")
		lac.Stop(t)
	})
	WaitFor(t, 2*time.Minute, "refused tunnels to be forgotten", func() bool { return len(lns.Tunnels(t)) == 0 })
	if got := lns.Status(t).Counters["refused_peer"]; got == 0 {
		t.Error("no refused peer was counted")
	}
	t.Run("too many tunnels", func(t *testing.T) {
		lac := Adit(t, n.A, aditLAC(planeAsync, n.AddrB(), 1, `
[[lac.tunnels]]
name = "second"
remote = "`+n.AddrB().String()+`"
secret = "s3cret"
`))
		lns.WaitLog(t, time.Minute, "max_tunnels")
		lac.WaitLog(t, time.Minute, "insufficient resources")
		lns.WaitSessions(t, time.Minute, 1)
	})
}

// TestStartErrors has adit meet what keeps it from starting: one clear sentence
// and exit status 1, within seconds.
func TestStartErrors(t *testing.T) {
	n := NewNet(t)
	other := XL2TPD(t, n.B, LNS, XL2TPDOptions{})
	defer other.Stop(t)
	for _, test := range []struct{ name, config, want string }{
		{"port taken by another daemon", aditLNS(planeAsync, n.AddrB(), ""), "another program holds UDP port 1701"},
		{"no such address", aditLNS(planeAsync, netip.MustParseAddr("192.0.2.1"), ""), "no address 192.0.2.1"},
		{"no pppd", aditLNS(planeAsync, n.AddrA(), "[pppd]\npath = \"/nonexistent/pppd\""), "/nonexistent/pppd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := NewAdit(t, n.B, test.config)
			p := n.B.Start(t, "adit-start", d.binary(), "run", "-c", d.Config)
			err := p.Wait(time.Minute)
			if err == nil || !strings.Contains(err.Error(), "exit status 1") {
				t.Errorf("adit ended with %v, want exit status 1", err)
			}
			if log := p.Log(); !strings.Contains(log, test.want) {
				t.Errorf("%q is not in what adit said:\n%s", test.want, log)
			}
		})
	}
}

// TestTunnelsOfOneSocket has an xl2tpd set up two tunnels, which begin at one
// address and port: the kernel can serve one of them, so the other goes by
// userspace, and both work.
func TestTunnelsOfOneSocket(t *testing.T) {
	n := NewNet(t)
	lns := Adit(t, n.B, aditLNS(plane{config: `dataplane = "auto"`}, n.AddrB(), ""))
	XL2TPD(t, n.A, LAC, XL2TPDOptions{Secret: "s3cret", Userspace: true, Section: []string{
		"[lac second]", "lns = " + n.AddrB().String(), "autodial = yes", "challenge = yes",
		"refuse authentication = yes", "pppoptfile = " + clientOptions(t)}})
	bridges := map[string]int{}
	for _, v := range lns.WaitSessions(t, 2*time.Minute, 2) {
		bridges[v.Bridge]++
	}
	if bridges[planeKernel.bridge] != 1 || bridges[planeAsync.bridge] != 1 {
		t.Errorf("the bridges are %v", bridges)
	}
	for _, c := range n.A.PPP(t, 2*time.Minute, 2) {
		_, peer := c.IPv4()
		if out, err := n.A.Run("ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "5", "-s", "1372", "-I", c.Name, peer.String()); err != nil {
			t.Errorf("through %s: %v: %s", c.Name, err, out)
		}
	}
}

// clientOptions is a pppd options file for one more [lac] section.
func clientOptions(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ppp-options")
	text := "noauth\nnoccp\nnovj\nnoipv6\nnodefaultroute\nmtu 1400\nmru 1400\nnodetach\nlcp-echo-interval 0\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
