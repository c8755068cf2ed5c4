package native

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"adit/integration/lab"
	"adit/integration/scenario"
	"adit/internal/need"
)

// Addresses that l2tpns and its RADIUS responder give.
var (
	theirPeer   = netip.MustParseAddr("10.65.0.1")
	theirPool   = netip.MustParsePrefix("10.65.1.0/24")
	theirFixed  = netip.MustParseAddr("10.65.2.2")
	theirPrefix = netip.MustParsePrefix("2001:db8:5::/64")
	theirRoute  = netip.MustParsePrefix("2001:db8:6::/64")
	beyond      = netip.MustParseAddr("192.0.2.1")
	inTheirs    = netip.MustParseAddr("2001:db8:6::1")
)

// l2tpns starts one in namespace B, with a RADIUS responder that knows alice, who
// has an address and an IPv6 route, and bob, who has neither.
func l2tpns(t *testing.T, n *scenario.Net, auth string) (*scenario.L2TPNSDaemon, *scenario.RADIUSResponder) {
	t.Helper()
	tree, err := lab.Unpack(t.Context(), os.Stderr, lab.Need{Program: "l2tpns", Package: "l2tpns"})
	if err != nil {
		need.Lack(t, "needs l2tpns: %v", err)
	}
	responder := scenario.RADIUS(t, n.B, netip.MustParseAddrPort("127.0.0.1:1812"), "radius secret", map[string]scenario.RADIUSUser{
		"alice": {Password: "her password", Address: theirFixed, Routes: []netip.Prefix{theirRoute}},
		"bob":   {Password: "his password"},
	})
	return scenario.L2TPNS(t, n.B, scenario.L2TPNSOptions{
		Tree: tree, Bind: n.AddrB(), Interface: n.Links[0].Right.Interface, Secret: "s3cret", Auth: auth,
		Peer: theirPeer, Pool: theirPool, IPv6: theirPrefix,
		RADIUS: responder.Address, RADIUSSecret: "radius secret",
	}), responder
}

// TestL2TPNS: our client and another LNS, by PAP and by CHAP: IPCP and IPv6CP
// come up, packets go both ways; a wrong password stays out.
func TestL2TPNS(t *testing.T) {
	for _, auth := range []string{"chap", "pap"} {
		t.Run(auth, func(t *testing.T) {
			n := network(t)
			server, responder := l2tpns(t, n, auth)
			lac := scenario.Adit(t, n.A, "listen = []\n"+
				profile("client", `auth = ["chap-md5", "pap"]`, fmt.Sprintf("routes = [%q]", netip.PrefixFrom(beyond, 32)))+
				// Whose route it is has to be clear: l2tpns drops foreign sources.
				profile("routed", `auth = ["chap-md5", "pap"]`, fmt.Sprintf("routes = [%q, %q]", netip.PrefixFrom(beyond, 32), theirPrefix))+
				tunnel(n, "l2tpns", "client", `retry_min = "20s"`, `retry_max = "20s"`)+
				call("fixed", "alice", "her password", `profile = "routed"`)+
				call("pooled", "bob", "his password")+
				call("wrong", "alice", "a wrong password"))
			up := awaitIPv4(t, lac, upLimit, 2)
			fixed, err := sessionNamed(up, "fixed")
			if err != nil {
				t.Fatal(err)
			}
			pooled, err := sessionNamed(up, "pooled")
			if err != nil {
				t.Fatal(err)
			}
			if fixed.LocalAddress != theirFixed || !theirPool.Contains(pooled.LocalAddress) ||
				fixed.RemoteAddress != theirPeer || pooled.RemoteAddress != theirPeer {
				t.Errorf("addresses %s-%s and %s-%s", fixed.LocalAddress, fixed.RemoteAddress, pooled.LocalAddress, pooled.RemoteAddress)
			}
			// peer_address is on no interface, so what is beyond l2tpns answers.
			n.B.MustRun(t, "ip", "addr", "add", beyond.String()+"/32", "dev", "lo")
			echoes := echoServer(t, n.B, beyond)
			for _, s := range []netip.Addr{fixed.LocalAddress, pooled.LocalAddress} {
				for _, size := range []int{64, 1300} {
					if err := echo(n.A, s, echoes, size); err != nil {
						t.Error(err)
					}
				}
				n.B.Ping(t, s, 1000, 2)
			}
			if err := ipv6ThroughL2TPNS(t, n, lac); err != nil {
				t.Error(err)
			}
			t.Logf("through the tunnel, up: %s", scenario.Transfer(t, n.A, n.B, beyond, 4<<20))

			scenario.WaitFor(t, upLimit, "a rejected password", func() bool {
				_, rejected := responder.Counts()
				return rejected > 0
			})
			// l2tpns says no cause: its CDN has no PPP Disconnect Cause Code.
			scenario.WaitFor(t, upLimit, "the wrong one's end in the client's log", func() bool { return downs(lac.Log(), "wrong") > 0 })
			if n := downs(lac.Log(), "fixed") + downs(lac.Log(), "pooled"); n != 0 {
				t.Errorf("the good ones ended %d times", n)
			}
			if all := awaitIPv4(t, lac, upLimit, 2); len(all) != 2 {
				t.Errorf("%d sessions are up, want 2", len(all))
			}
			lac.Stop(t)
			scenario.WaitFor(t, upLimit, "l2tpns to say that the tunnel is gone", func() bool {
				return strings.Contains(server.Log(), "StopCCN")
			})
			t.Log(responder)
		})
	}
}

// downs counts how often a log says that a call ended.
func downs(log, call string) (count int) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "session is down") && strings.Contains(line, "session_name="+call+" ") {
			count++
		}
	}
	return count
}

// ipv6ThroughL2TPNS: IPv6CP has to be up at both ends, as l2tpns routes the
// user's prefix only then; a packet goes to it and comes back.
func ipv6ThroughL2TPNS(t *testing.T, n *scenario.Net, lac *scenario.AditDaemon) error {
	t.Helper()
	if !scenario.Eventually(10*time.Second, func() bool {
		s, err := sessionNamed(sessions(t, lac), "fixed")
		return err == nil && s.LocalIPv6.IsValid()
	}) {
		return fmt.Errorf("IPv6CP does not come up")
	}
	// With nodad: otherwise it is there, but for a moment not to bind to.
	n.A.MustRun(t, "ip", "addr", "add", inTheirs.String()+"/128", "dev", "lo", "nodad")
	server := netip.MustParseAddr("2001:db8:5::1") // which l2tpns gives to its TUN
	return echo(n.A, inTheirs, echoServer(t, n.B, server), 1000)
}
