package scenario

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"adit/internal/control"
)

// A plane is one way of adit's for PPP frames.
type plane struct {
	name   string
	bridge string // as adit sessions shows it
	config string // lines of the profile
}

// pppd is what the profiles of both ends say to a pppd.
const pppd = `ppp = "pppd"
pppd_debug = true
`

var (
	planeKernel = plane{"kernel", "pppd/kernel", pppd + `dataplane = "kernel"`}
	planeAsync  = plane{"async", "pppd/pty-async", pppd + "dataplane = \"userspace\"\npty = \"async\""}
	planeSync   = plane{"sync", "pppd/pty-sync", pppd + "dataplane = \"userspace\"\npty = \"sync\""}
	planes      = []plane{planeKernel, planeAsync, planeSync}

	// The built-in endpoint, with interfaces that have pppd's names, so that the
	// tests find them.
	planeTUN           = plane{"tun", "builtin/tun", builtin + `dataplane = "userspace"`}
	planeBuiltinKernel = plane{"builtin-kernel", "builtin/kernel", builtin + `dataplane = "kernel"`}
	builtinPlanes      = []plane{planeTUN, planeBuiltinKernel}
)

const builtin = `ppp = "builtin"
auth = []
interface = "ppp%d"
`

func (p plane) kernel() bool { return strings.HasSuffix(p.bridge, "/kernel") }
func (p plane) pppd() bool   { return strings.HasPrefix(p.bridge, "pppd/") }

// pppdOptionsLine is the pppd_options of a profile, for a plane that has pppds.
func (p plane) pppdOptionsLine(words string) string {
	if !p.pppd() {
		return ""
	}
	return "pppd_options = [" + words + "]"
}

// Addresses inside the tunnel.
const (
	lnsInside = "10.97.0.1"
	poolStart = "10.97.0.10"
	poolEnd   = "10.97.0.99"
)

// impatient finds a dead peer within some twenty seconds, and no sooner than a
// slow emulated machine can answer.
const impatient = `
[control_channel]
hello_interval = "4s"
max_retransmits = 4
`

// aditLNS is the configuration of an LNS that listens on the address.
func aditLNS(p plane, listen netip.Addr, extra string) string {
	return fmt.Sprintf(`
host_name = "lns.example.net"
[log]
level = "debug"
[[listen]]
address = "%s"
[pools.subscribers]
ranges = ["%s-%s"]
[profiles.default]
%s
local_address = "%s"
pool = "subscribers"
mtu = 1400
%s
[[lns.peers]]
name = "anybody"
secret = "s3cret"
%s
`, netip.AddrPortFrom(listen, 1701), poolStart, poolEnd, p.config, lnsInside,
		p.pppdOptionsLine(`"noauth", "noccp", "novj", "noipv6", "nodefaultroute", "lcp-echo-interval", "0"`), impatient+extra)
}

// aditLAC is the configuration of a LAC that dials the address and keeps count
// sessions up.
func aditLAC(p plane, remote netip.Addr, count int, extra string) string {
	return fmt.Sprintf(`
host_name = "lac.example.net"
[log]
level = "debug"
[profiles.default]
%s
mtu = 1400
%s
[[lac.tunnels]]
name = "isp"
remote = "%s"
secret = "s3cret"
retry_min = "1s"
retry_max = "4s"
sessions = [ { name = "line", count = %d, calling_number = "030123456" } ]
%s
`, p.config,
		p.pppdOptionsLine(`"noauth", "noccp", "novj", "noipv6", "nodefaultroute", "noipdefault", "ipcp-accept-local", "ipcp-accept-remote", "lcp-echo-interval", "0"`),
		remote, count, impatient+extra)
}

// pairing is who plays which role. Whoever is not adit is xl2tpd.
type pairing struct {
	name             string
	lnsAdit, lacAdit bool
}

var pairings = []pairing{
	{"adit_adit", true, true},
	{"adit-LNS_xl2tpd-LAC", true, false},
	{"xl2tpd-LNS_adit-LAC", false, true},
}

// peers is an LNS in B and a LAC in A.
type peers struct {
	net          *Net
	lns, lac     *AditDaemon  // nil where xl2tpd plays
	otherLNS     *XL2TPDaemon // nil where adit plays
	otherLAC     *XL2TPDaemon
	inside       netip.Addr // the LNS's address in the tunnel
	expectBridge string
}

// start brings up both ends, with count sessions.
func start(t *testing.T, p plane, who pairing, count int) *peers {
	t.Helper()
	n := NewNet(t)
	n.B.Capture(t, "wire", "eth0", "udp")
	s := &peers{net: n, inside: netip.MustParseAddr(lnsInside), expectBridge: p.bridge}
	options := XL2TPDOptions{Secret: "s3cret", Userspace: !p.kernel(),
		LocalIP: lnsInside, Range: poolStart + "-" + poolEnd}
	if who.lnsAdit {
		s.lns = Adit(t, n.B, aditLNS(p, n.AddrB(), ""))
	} else {
		s.otherLNS = XL2TPD(t, n.B, LNS, options)
	}
	if who.lacAdit {
		s.lac = Adit(t, n.A, aditLAC(p, n.AddrB(), count, ""))
	} else {
		options.Redial = time.Second
		s.otherLAC = XL2TPD(t, n.A, LAC, options)
		moreClients(t, n, options, count-1)
	}
	return s
}

// moreClients are further xl2tpds, each with an address of its own, as many
// customers have: one xl2tpd would have its tunnels begin at one address and
// port, which its own use of the kernel does not survive.
func moreClients(t *testing.T, n *Net, options XL2TPDOptions, count int) {
	t.Helper()
	if count <= 0 {
		return
	}
	network := fmt.Sprintf("10.96.%d", n.Links[0].N)
	n.B.Route(t, netip.MustParsePrefix(network+".0/24"), n.AddrA())
	options.Peer = n.AddrB()
	for i := range count {
		options.Listen = netip.MustParseAddr(fmt.Sprintf("%s.%d", network, i+1))
		n.A.MustRun(t, "ip", "addr", "add", options.Listen.String()+"/32", "dev", "lo")
		XL2TPD(t, n.A, LAC, options)
	}
}

// adits are the ends that are adit.
func (s *peers) adits() []*AditDaemon {
	var all []*AditDaemon
	for _, d := range []*AditDaemon{s.lns, s.lac} {
		if d != nil {
			all = append(all, d)
		}
	}
	return all
}

// up waits for count sessions with IP on both sides, and checks what adit says
// of them.
func (s *peers) up(t *testing.T, count int) (clients []Interface) {
	t.Helper()
	limit := time.Minute + time.Duration(count)*6*time.Second
	for _, d := range s.adits() {
		for _, v := range d.WaitSessions(t, limit, count) {
			s.checkSession(t, v)
		}
	}
	clients = s.net.A.PPP(t, limit, count)
	s.net.B.PPP(t, limit, count)
	seen := map[netip.Addr]bool{}
	for _, c := range clients {
		local, peer := c.IPv4()
		if peer != s.inside || seen[local] {
			t.Fatalf("client %s has the addresses %s and %s", c.Name, local, peer)
		}
		seen[local] = true
	}
	return clients
}

func (s *peers) checkSession(t *testing.T, v control.Session) {
	t.Helper()
	if v.Bridge != s.expectBridge {
		t.Errorf("session %d/%d is on %q, want %q", v.Tunnel, v.ID, v.Bridge, s.expectBridge)
	}
}

// down waits until no session, no ppp interface and no pppd is left on a side.
func down(t *testing.T, ns *NS) {
	t.Helper()
	ns.PPP(t, time.Minute, 0)
	WaitFor(t, time.Minute, "the pppds in "+ns.Label+" to end", func() bool { return len(ns.Pids("pppd")) == 0 })
}

// traffic pings with small and full-size packets, both ways, and moves bytes
// both ways over TCP.
func (s *peers) traffic(t *testing.T, client Interface, bytes int64) {
	t.Helper()
	local, peer := client.IPv4()
	const full = 1400 - 20 - 8 // the MTU less IP and ICMP headers
	// A Configure-Ack that was lost, as on a synchronous PTY it may be, has IPCP
	// begin again some seconds after it was up first.
	reach(t, s.net.A, peer.String(), 56)
	s.net.A.Ping(t, peer, 56, 3)
	s.net.B.Ping(t, local, 56, 3)
	s.net.A.Ping(t, peer, full, 3)
	s.net.B.Ping(t, local, full, 3)
	if bytes > 0 {
		t.Logf("to the LNS: %v", Transfer(t, s.net.A, s.net.B, peer, bytes))
		t.Logf("from the LNS: %v", Transfer(t, s.net.B, s.net.A, local, bytes))
	}
}

// disconnect ends the sessions of an adit one by one, as an operator does.
func disconnect(t *testing.T, d *AditDaemon) {
	t.Helper()
	for _, v := range d.Sessions(t) {
		if _, err := d.Command("disconnect", "session", fmt.Sprintf("%d/%d", v.Tunnel, v.ID)); err != nil &&
			!strings.Contains(err.Error(), "not found") {
			t.Errorf("%v", err)
		}
	}
}
