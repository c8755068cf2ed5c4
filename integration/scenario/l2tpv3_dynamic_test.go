package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"adit/internal/control"
)

// dynamicRows are the pairs of planes that need the kernel's L2TP, over each
// encapsulation and IP version, with each digest and without, with cookies and numbers
// and without.
func dynamicRows() []Row {
	return []Row{
		{Number: 1, APlane: "kernel", BPlane: "kernel", Cookie: 8, Digest: "hmac-md5"},
		{Number: 2, APlane: "kernel", BPlane: "kernel", OverIP: true, IPv6: true, Cookie: 4, Sequenced: true, Digest: "hmac-sha1"},
		{Number: 3, APlane: "kernel", BPlane: "userspace", IPv6: true, Cookie: 4, Sequenced: true, Digest: "hmac-sha1"},
		{Number: 4, APlane: "kernel", BPlane: "userspace", OverIP: true, Cookie: 8, Digest: "hmac-md5"},
		{Number: 5, APlane: "userspace", BPlane: "kernel", Cookie: 0, Sequenced: true},
		{Number: 6, APlane: "userspace", BPlane: "kernel", OverIP: true, IPv6: true, Cookie: 8, Digest: "hmac-sha1"},
		{Number: 7, APlane: "kernel", BPlane: "userspace", LinkLocal: true, Cookie: 4},
		{Number: 8, APlane: "kernel", BPlane: "kernel", OverIP: true, LinkLocal: true, Cookie: 8},
	}
}

// linkRows are static tunnels between link-local addresses. iproute2 cannot be their other
// end, as netlink has no way to say which link.
func linkRows() []Row {
	return []Row{
		{Number: 21, APlane: "kernel", BPlane: "userspace", LinkLocal: true, Cookie: 8, ZeroChecksum: true},
		{Number: 22, APlane: "userspace", BPlane: "kernel", OverIP: true, LinkLocal: true, Cookie: 4},
		{Number: 23, APlane: "kernel", BPlane: "kernel", LinkLocal: true},
	}
}

// dynamics are an adit in A and one in B, with all control connections between them.
type dynamics struct {
	net  *Net
	a, b *AditDaemon
	// Bridged are pseudowires that are members of a bridge at each end, sites the hosts
	// behind the bridges.
	rows, static, bridged []Row
	sites                 [][2]EthernetEnd
}

// TestL2TPv3Dynamic: adit with adit, of which one end at least has its data in the
// kernel. All control connections are between two daemons. Two more pseudowires are
// members of a bridge at each end, with a host behind each; and static tunnels are between
// link-local addresses.
func TestL2TPv3Dynamic(t *testing.T) {
	t.Parallel()
	d := startDynamics(t)
	t.Run("rows", func(t *testing.T) {
		for _, r := range append(slices.Clone(d.rows), d.static...) {
			t.Run(r.Name(), func(t *testing.T) {
				t.Parallel()
				CheckRow(t, d.net, r, inLab)
				if !slices.Contains(d.static, r) {
					r.checkSession(t, d.a, 1)
					r.checkSession(t, d.b, 2)
				}
			})
		}
		for i, r := range d.bridged {
			t.Run("bridged_"+r.Name(), func(t *testing.T) {
				t.Parallel()
				if err := Ethernet(d.sites[i][0], d.sites[i][1], inLab.Up, inLab.Octets); err != nil {
					t.Error(err)
				}
				if err := VLAN(t, d.sites[i][0], d.sites[i][1], 9, r.Number); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if t.Failed() {
		return
	}
	d.afterKill(t)
	d.b.Stop(t)
	d.a.Stop(t)
	for _, ns := range []*NS{d.net.A, d.net.B} {
		if left := ns.IPL2TPTunnels(t); left != "" {
			t.Errorf("left in %s:\n%s", ns.Name, left)
		}
		if left := ns.Interfaces(t, "pw"); len(left) > 0 {
			t.Errorf("left in %s: %v", ns.Name, left)
		}
	}
}

func startDynamics(t *testing.T) *dynamics {
	t.Helper()
	n := NewNet(t)
	n.LinkLocal(t)
	d := &dynamics{net: n, rows: dynamicRows(), static: linkRows(), bridged: []Row{
		{Number: 201, APlane: "kernel", BPlane: "userspace", Cookie: 8, Digest: "hmac-md5"},
		{Number: 202, APlane: "kernel", BPlane: "kernel", OverIP: true, Cookie: 8, Digest: "hmac-md5"},
	}}
	var dial, accept strings.Builder
	for _, r := range d.bridged {
		d.sites = append(d.sites, [2]EthernetEnd{behindBridge(t, n.A, r, 1), behindBridge(t, n.B, r, 2)})
		dial.WriteString(inBridge(r.Wire(1), r).TOML() + r.Dialled(n))
		accept.WriteString(inBridge(r.Wire(2), r).TOML() + r.Accepted())
	}
	for _, r := range d.static {
		for end, text := range map[int]*strings.Builder{1: &dial, 2: &accept} {
			tunnel, wire := r.Static(n, end)
			text.WriteString(wire.TOML() + tunnel.TOML())
		}
	}
	n.B.Capture(t, "wire", "eth0", "udp or ip proto 115 or ip6 proto 115")
	d.b = Adit(t, n.B, AcceptDocument(n, d.rows, accept.String()))
	d.a = Adit(t, n.A, DialDocument(n, d.rows, dial.String()))
	return d
}

// afterKill kills the adit in A, whose tunnels and devices in the kernel end with it, and
// starts it again.
func (d *dynamics) afterKill(t *testing.T) {
	t.Helper()
	d.a.KillHard()
	begun := time.Now()
	d.a.Restart(t)
	t.Run("after the kill", func(t *testing.T) {
		for _, r := range append(slices.Clone(d.rows), d.static...) {
			t.Run(r.Name(), func(t *testing.T) {
				t.Parallel()
				x, y := r.Ends(d.net)
				if err := AwaitPing(x.NS, y.IPv4, 90*time.Second); err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Logf("everything is back %.1f s after the kill", time.Since(begun).Seconds())
}

// bridgeName is the bridge of a row at both ends.
func bridgeName(r Row) string { return fmt.Sprintf("br%d", r.Number) }

// inBridge makes a pseudowire a member of its row's bridge.
func inBridge(p Pseudowire, r Row) Pseudowire {
	p.Addresses, p.Bridge = nil, bridgeName(r)
	return p
}

// behindBridge makes a bridge, and a host in a namespace of its own that is joined to
// it: what is returned is the host's end.
func behindBridge(t *testing.T, ns *NS, r Row, end int) EthernetEnd {
	t.Helper()
	host := newNS(t, fmt.Sprintf("%s-h%d", ns.Name, r.Number), ns.Label)
	l := Join(t, ns, host)
	v4, v6 := r.Inside(end)
	ns.batch(t,
		"link add "+bridgeName(r)+" type bridge",
		"link set "+bridgeName(r)+" up",
		"addr flush dev "+l.Left.Interface,
		"link set "+l.Left.Interface+" master "+bridgeName(r))
	host.batch(t,
		"addr flush dev "+l.Right.Interface,
		fmt.Sprintf("addr add %s dev %s", v4, l.Right.Interface),
		fmt.Sprintf("addr add %s dev %s nodad", v6, l.Right.Interface))
	return EthernetEnd{NS: host, Device: l.Right.Interface, IPv4: v4.Addr(), IPv6: v6.Addr()}
}

// checkSession looks at what an adit says of the row's session: that its data are
// where the configuration wants them.
func (r Row) checkSession(t *testing.T, d *AditDaemon, end int) {
	t.Helper()
	plane := map[int]string{1: r.APlane, 2: r.BPlane}[end]
	want := map[string]string{"kernel": "ethernet/kernel", "userspace": "ethernet/tap"}[plane]
	v, ok := sessionOn(d.Sessions(t), r.Device())
	if !ok {
		t.Errorf("%s has no session with the device %s", d.Name, r.Device())
		return
	}
	if v.Bridge != want {
		t.Errorf("%s: the frames of %s go to %q, want %q", d.Name, r.Device(), v.Bridge, want)
	}
	if v.Traffic.RxBytes < 256<<10 || v.Traffic.TxBytes < 256<<10 {
		t.Errorf("%s: %d octets in and %d out are counted of %s, and more than that passed", d.Name, v.Traffic.RxBytes, v.Traffic.TxBytes, r.Device())
	}
}

// sessionOn is the session that has a device.
func sessionOn(all []control.Session, device string) (control.Session, bool) {
	for _, s := range all {
		if s.Interface == device {
			return s, true
		}
	}
	return control.Session{}, false
}

// TestL2TPv3PPP: PPP sessions of version 3 on the kernel plane, with pppd and with the
// built-in endpoint, and with pppd on a PTY, over UDP and over IP.
func TestL2TPv3PPP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		plane  plane
		overIP bool
	}{{planeKernel, true}, {planeBuiltinKernel, false}, {planeAsync, true}} {
		t.Run(c.plane.name, func(t *testing.T) {
			t.Parallel()
			n := NewNet(t)
			lns := strings.Replace(aditLNS(c.plane, n.AddrB(), fmt.Sprintf("[l2tpv3]\nlisten_ip = [\"%s\"]\n", n.AddrB())),
				`name = "anybody"`, "name = \"anybody\"\nversions = [3]", 1)
			lac := strings.Replace(aditLAC(c.plane, n.AddrB(), 1, ""), `name = "isp"`, "name = \"isp\"\nversions = [3]", 1)
			if c.overIP {
				lac = strings.Replace(lac, netip.AddrPortFrom(n.AddrB(), 1701).String(), n.AddrB().String(), 1)
				lac = strings.Replace(lac, "versions = [3]", "versions = [3]\nencapsulation = \"ip\"", 1)
			}
			s := &peers{net: n, inside: netip.MustParseAddr(lnsInside), expectBridge: c.plane.bridge}
			s.lns, s.lac = Adit(t, n.B, lns), Adit(t, n.A, lac)
			client := s.up(t, 1)[0]
			local, peer := client.IPv4()
			for _, size := range []int{84, 1400} {
				if got, err := n.A.Echo(peer, size, 3, echoWait); err != nil || got != 3 {
					t.Errorf("%d answers to 3 requests of %d octets: %v", got, size, err)
				}
			}
			t.Logf("from the LNS: %v", Transfer(t, n.B, n.A, local, 256<<10))
			s.lns.Stop(t)
			down(t, n.B)
			down(t, n.A)
		})
	}
}
