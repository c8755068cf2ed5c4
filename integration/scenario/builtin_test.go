package scenario

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"adit/internal/control"
)

// method is an authentication protocol, in adit's word and in pppd's.
type method struct{ adit, pppd string }

var methods = []method{{"pap", "pap"}, {"chap-md5", "chap"}, {"mschapv2", "mschap-v2"}, {"eap", "eap"}}

// The users that are right and wrong. pppd's files of secrets are one for the
// whole lab, so each name has one password in them.
const (
	goodUser, goodPassword = "builtin-good", "correct horse"
	badUser, badPassword   = "builtin-bad", "battery staple"
	// routedUser has goodPassword, and an IPv6 prefix.
	routedUser = "builtin-routed"
)

// TestBuiltinLNS: pppds behind xl2tpds are let in by the built-in endpoint with
// the right password and not with a wrong one, by each protocol, with IPv4 and
// IPv6, on both data planes; and nothing of them gets through that has another's
// source address.
func TestBuiltinLNS(t *testing.T) {
	for _, p := range []plane{
		{"tun", "builtin/tun", `dataplane = "userspace"`},
		{"kernel", "builtin/kernel", `dataplane = "kernel"`},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			n := NewNet(t)
			n.B.Capture(t, "wire", "eth0", "udp")
			network := clientNetwork(t, n)
			const far = "fd98::1" // behind the LNS
			n.B.MustRun(t, "ip", "addr", "add", far+"/128", "dev", "lo", "nodad")
			Forward(t, n.B)
			looseSources(t, n.B)
			lns := Adit(t, n.B, builtinLNS(p, n.AddrB(), network))
			good, bad := dialAll(t, n, p, network)

			up := waitIPv4(t, lns, len(methods))
			clients := n.A.PPP(t, time.Minute, len(methods))
			users := map[string]int{}
			for _, v := range up {
				checkBuiltin(t, v, p.bridge)
				users[v.User]++
			}
			if users[goodUser] != len(methods)-1 || users[routedUser] != 1 {
				t.Errorf("the sessions are of the users %v", users)
			}
			for i, c := range clients {
				local, peer := c.IPv4()
				answersBySource(t, n.A, c, i)
				reach(t, n.A, peer.String(), 1372, "-I", c.Name)
				reach(t, n.B, local.String(), 1372)
				reach(t, n.A, llOfPeer(t, good, c)+"%"+c.Name, 56)
				if i == 0 {
					t.Logf("from the LNS: %v", Transfer(t, n.B, n.A, local, 256<<10))
				}
			}
			routed := routedClient(t, n, lns)
			n.A.MustRun(t, "ip", "addr", "add", "fd97::2/128", "dev", routed, "nodad")
			n.A.MustRun(t, "ip", "-6", "route", "add", far+"/128", "dev", routed)
			reach(t, n.A, far, 1300, "-I", "fd97::2")
			checkForgeries(t, n, lns, p, clients, routed)

			for _, d := range bad {
				d.waitPPPLog(t, "authentication failed", "authentication failure", "peer reports", "Authentication failure")
			}
			if v := lns.WaitSessions(t, time.Minute, len(methods)); len(v) != len(methods) {
				t.Errorf("%d sessions", len(v))
			}
			good[0].HangUp(t)
			lns.WaitSessions(t, time.Minute, len(methods)-1)
			disconnect(t, lns)
			n.A.PPP(t, time.Minute, 0)
			lns.Stop(t)
			n.B.PPP(t, time.Minute, 0)
		})
	}
}

// waitIPv4 waits until so many sessions have IPv4, and there are no others: those
// with a wrong password have ended.
func waitIPv4(t *testing.T, d *AditDaemon, count int) (up []control.Session) {
	t.Helper()
	WaitFor(t, 3*time.Minute, fmt.Sprintf("%d sessions with IPv4 and no others", count), func() bool {
		up = d.Sessions(t)
		for _, v := range up {
			if !v.RemoteAddress.IsValid() {
				return false
			}
		}
		return len(up) == count
	})
	return up
}

// reach pings until an answer comes: xl2tpd is single-threaded and loses packets
// while it sets up other calls, as it does here all the time.
func reach(t *testing.T, ns *NS, dst string, size int, more ...string) {
	t.Helper()
	args := append([]string{"-n", "-q", "-c", "1", "-W", "3", "-s", fmt.Sprint(size)}, more...)
	var out string
	var err error
	for range 6 {
		if out, err = ns.Run("ping", append(args, dst)...); err == nil {
			return
		}
	}
	t.Errorf("no answer from %s to %d octets out of %s: %v: %s", dst, size, ns.Label, err, out)
}

// answersBySource has what a client sends from its address go through its own
// interface: all clients here have the same peer, and the LNS takes from each
// session its own source address only.
func answersBySource(t *testing.T, ns *NS, c Interface, number int) {
	t.Helper()
	local, peer := c.IPv4()
	table := fmt.Sprint(100 + number)
	ns.MustRun(t, "ip", "route", "add", peer.String(), "dev", c.Name, "table", table)
	ns.MustRun(t, "ip", "rule", "add", "from", local.String(), "table", table)
}

// clientNetwork makes addresses for many xl2tpds on A's loopback, as
// moreClients does, and returns their prefix without the last number.
func clientNetwork(t *testing.T, n *Net) string {
	t.Helper()
	network := fmt.Sprintf("10.96.%d", n.Links[0].N)
	n.B.Route(t, netip.MustParsePrefix(network+".0/24"), n.AddrA())
	for i := range 2 * len(methods) {
		n.A.MustRun(t, "ip", "addr", "add", fmt.Sprintf("%s.%d/32", network, i+1), "dev", "lo")
	}
	return network
}

// builtinLNS has a peer for each method, told by the clients' addresses.
func builtinLNS(p plane, listen netip.Addr, network string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
host_name = "lns.example.net"
[log]
level = "debug"
[[listen]]
address = "%s"
[pools.subscribers]
ranges = ["%s-%s"]
[[users]]
name = "%s"
password = "%s"
[[users]]
name = "%s"
password = "%s"
routes = ["fd97::/64"]
[[users]]
name = "%s"
password = "not the one that pppd has"
`, netip.AddrPortFrom(listen, 1701), poolStart, poolEnd, goodUser, goodPassword, routedUser, goodPassword, badUser)
	for i, m := range methods {
		fmt.Fprintf(&b, `
[profiles.%[1]s]
ppp = "builtin"
%[2]s
auth = ["%[1]s"]
rechallenge = "10s"
echo_interval = "5s"
local_address = "%[3]s"
pool = "subscribers"
mtu = 1400
[[lns.peers]]
name = "%[1]s"
addresses = ["%[4]s.%[5]d", "%[4]s.%[6]d"]
secret = "s3cret"
profile = "%[1]s"
`, m.adit, p.config, lnsInside, network, 2*i+1, 2*i+2)
	}
	return b.String() + impatient
}

// dialAll starts two clients for each method, of which one has a wrong password.
func dialAll(t *testing.T, n *Net, p plane, network string) (good, bad []*XL2TPDaemon) {
	t.Helper()
	for i := range methods {
		o := XL2TPDOptions{Secret: "s3cret", Userspace: !p.kernel(), Peer: n.AddrB(), IPv6: true}
		o.Listen = netip.MustParseAddr(fmt.Sprintf("%s.%d", network, 2*i+1))
		o.User, o.Password = goodUser, goodPassword
		if i == 0 {
			o.User = routedUser
		}
		good = append(good, XL2TPD(t, n.A, LAC, o))
		o.Listen = o.Listen.Next()
		o.User, o.Password = badUser, badPassword
		bad = append(bad, XL2TPD(t, n.A, LAC, o))
	}
	return good, bad
}

// waitPPPLog waits until the daemon's pppd has logged one of the texts.
func (d *XL2TPDaemon) waitPPPLog(t *testing.T, texts ...string) {
	t.Helper()
	if !Eventually(2*time.Minute, func() bool {
		log, _ := os.ReadFile(d.PPPLog) // it may not be there yet
		for _, text := range texts {
			if strings.Contains(string(log), text) {
				return true
			}
		}
		return false
	}) {
		t.Errorf("%s says nothing of %q", d.PPPLog, texts)
	}
}

// llOfPeer finds the LNS's link-local address in the log of the pppd that has
// the interface.
func llOfPeer(t *testing.T, all []*XL2TPDaemon, c Interface) string {
	t.Helper()
	for _, d := range all {
		log, _ := os.ReadFile(d.PPPLog) // the pppd may not have come so far
		if !strings.Contains(string(log), "Using interface "+c.Name+"\n") {
			continue
		}
		if _, after, ok := strings.Cut(string(log), "remote LL address "); ok {
			addr, _, _ := strings.Cut(after, "\n")
			return strings.TrimSpace(addr)
		}
	}
	t.Fatalf("no pppd has told the link-local address of the peer of %s", c.Name)
	return ""
}

// routedClient is the interface of the client whose user has an IPv6 prefix.
func routedClient(t *testing.T, n *Net, lns *AditDaemon) string {
	t.Helper()
	for _, v := range lns.Sessions(t) {
		if len(v.Routes) == 0 {
			continue
		}
		for _, c := range n.A.PPP(t, time.Minute, len(methods)) {
			if local, _ := c.IPv4(); local == v.RemoteAddress {
				return c.Name
			}
		}
	}
	t.Fatalf("no session has the user's prefix: %+v", lns.Sessions(t))
	return ""
}

// checkBuiltin looks at what adit says of a session that is up.
func checkBuiltin(t *testing.T, v control.Session, bridge string) {
	t.Helper()
	if v.Bridge != bridge || v.PPPDPID != 0 || v.Interface == "" || !v.LocalAddress.IsValid() || !v.RemoteAddress.IsValid() {
		t.Errorf("the session's facts: %+v", v)
	}
}

// TestBuiltinClient: adit's built-in endpoint is the client of pppds behind
// xl2tpds that demand authentication by each protocol; it is let in with the
// right password and not with a wrong one.
func TestBuiltinClient(t *testing.T) {
	for _, p := range []plane{
		{"tun", "builtin/tun", `dataplane = "userspace"`},
		{"kernel", "builtin/kernel", `dataplane = "kernel"`},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			n := NewNet(t)
			n.B.Capture(t, "wire", "eth0", "udp")
			remotes := listenAll(t, n, p)
			lac := Adit(t, n.A, builtinLAC(p, remotes))
			up := waitUsers(t, lac, goodUser, len(methods))
			for _, v := range up {
				checkBuiltin(t, v, p.bridge)
				reach(t, n.A, v.RemoteAddress.String(), 1372)
				reach(t, n.B, v.LocalAddress.String(), 1372)
			}
			t.Logf("to the LNS: %v", Transfer(t, n.A, n.B, up[0].RemoteAddress, 256<<10))
			WaitFor(t, 2*time.Minute, "the wrong passwords to be refused", func() bool {
				return strings.Count(lac.Log(), "the peer did not accept our authentication") >= len(methods)
			})
			waitUsers(t, lac, goodUser, len(methods))
			lac.Stop(t)
			down(t, n.B)
			n.A.PPP(t, time.Minute, 0)
		})
	}
}

// listenAll starts an xl2tpd for each method and returns their addresses.
func listenAll(t *testing.T, n *Net, p plane) []netip.Addr {
	t.Helper()
	network := fmt.Sprintf("10.95.%d", n.Links[0].N)
	n.A.Route(t, netip.MustParsePrefix(network+".0/24"), n.AddrB())
	var all []netip.Addr
	for i, m := range methods {
		inside := fmt.Sprintf("10.97.%d", 10+i)
		o := XL2TPDOptions{Secret: "s3cret", Userspace: !p.kernel(), IPv6: true, Auth: m.pppd,
			User: goodUser, Password: goodPassword, LocalIP: inside + ".1", Range: inside + ".10-" + inside + ".20"}
		o.Listen = netip.MustParseAddr(fmt.Sprintf("%s.%d", network, i+1))
		n.B.MustRun(t, "ip", "addr", "add", o.Listen.String()+"/32", "dev", "lo")
		PPPSecret(t, badUser, badPassword)
		XL2TPD(t, n.B, LNS, o)
		all = append(all, o.Listen)
	}
	return all
}

// builtinLAC dials every LNS twice, once with a wrong password.
func builtinLAC(p plane, remotes []netip.Addr) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
host_name = "lac.example.net"
[log]
level = "debug"
[profiles.default]
ppp = "builtin"
%s
mtu = 1400
`, p.config)
	for i, remote := range remotes {
		fmt.Fprintf(&b, `
[[lac.tunnels]]
name = "%s"
remote = "%s"
secret = "s3cret"
retry_min = "5s"
retry_max = "20s"
[[lac.tunnels.sessions]]
name = "good"
user = "%s"
password = "%s"
[[lac.tunnels.sessions]]
name = "bad"
user = "%s"
password = "wrong"
`, methods[i].adit, remote, goodUser, goodPassword, badUser)
	}
	return b.String() + impatient
}

// waitUsers waits for so many sessions with IP that are called good.
func waitUsers(t *testing.T, d *AditDaemon, name string, count int) (up []control.Session) {
	t.Helper()
	WaitFor(t, 3*time.Minute, fmt.Sprintf("%d sessions of %s", count, name), func() bool {
		up = up[:0]
		for _, v := range d.Sessions(t) {
			if v.Name == "good" && v.RemoteAddress.IsValid() {
				up = append(up, v)
			}
			if v.Name == "bad" && v.RemoteAddress.IsValid() {
				t.Fatalf("a wrong password was let in: %+v", v)
			}
		}
		return len(up) == count
	})
	return up
}

// TestBuiltinFamilies: a pppd that wants one network protocol only, and an LNS
// that has one only, come up with that one, on both planes.
func TestBuiltinFamilies(t *testing.T) {
	for _, p := range []plane{
		{"tun", "builtin/tun", `dataplane = "userspace"`},
		{"kernel", "builtin/kernel", `dataplane = "kernel"`},
	} {
		for _, family := range []string{"ipv4", "ipv6"} {
			for _, who := range []string{"LNS", "pppd"} {
				t.Run(p.name+"/"+family+"_by_"+who, func(t *testing.T) {
					t.Parallel()
					oneFamily(t, p, family, who)
				})
			}
		}
	}
}

func oneFamily(t *testing.T, p plane, family, who string) {
	t.Helper()
	n := NewNet(t)
	without := map[string]string{"ipv4": "ipv6", "ipv6": "ipv4"}[family]
	config := fmt.Sprintf(`
[[listen]]
address = "%s"
[pools.subscribers]
ranges = ["%s-%s"]
[profiles.default]
ppp = "builtin"
auth = []
%s
local_address = "%s"
pool = "subscribers"
mtu = 1400
%s
[[lns.peers]]
name = "anybody"
secret = "s3cret"
`, netip.AddrPortFrom(n.AddrB(), 1701), poolStart, poolEnd, p.config, lnsInside,
		map[string]string{"LNS": without + " = false"}[who])
	lns := Adit(t, n.B, config+impatient)
	o := XL2TPDOptions{Secret: "s3cret", Userspace: !p.kernel(), IPv6: true}
	if who == "pppd" {
		o.PPP = []string{map[string]string{"ipv4": "noipv6", "ipv6": "noip"}[family]}
	}
	client := XL2TPD(t, n.A, LAC, o)
	v := lns.WaitSessions(t, time.Minute, 1)[0]
	WaitFor(t, time.Minute, "the protocol to be up", func() bool {
		v = lns.Sessions(t)[0]
		return v.RemoteAddress.IsValid() == (family == "ipv4") && v.RemoteIPv6.IsValid() == (family == "ipv6") && v.Phase == "up"
	})
	if family == "ipv4" {
		reach(t, n.A, lnsInside, 1372)
		return
	}
	WaitFor(t, time.Minute, "pppd to have its interface up", func() bool {
		log, _ := os.ReadFile(client.PPPLog) // it may not be there yet
		return strings.Contains(string(log), "remote LL address")
	})
	c := n.A.Interfaces(t, "ppp")[0]
	reach(t, n.A, llOfPeer(t, []*XL2TPDaemon{client}, c)+"%"+c.Name, 1300)
	if local, _ := c.IPv4(); local.IsValid() {
		t.Errorf("pppd has the IPv4 address %v", local)
	}
}
