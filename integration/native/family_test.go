package native

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"adit/integration/scenario"
	"adit/internal/control"
)

// Addresses behind the ends of an IPv6 session: the user's prefix is routed to
// the client, the LNS's network to the LNS.
var (
	behindClient = netip.MustParseAddr("2001:db8:1::1")
	behindLNS    = netip.MustParseAddr("2001:db8:ffff::1")
)

// TestFamilies: IPv4 alone, IPv6 alone, both; what is not configured does not
// come up, and what is carries packets both ways.
func TestFamilies(t *testing.T) {
	for _, c := range []struct {
		name       string
		ipv4, ipv6 bool
	}{
		{"IPv4 only", true, false},
		{"IPv6 only", false, true},
		{"both", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := network(t)
			families := fmt.Sprintf("ipv4 = %t\nipv6 = %t", c.ipv4, c.ipv6)
			var routes []string
			userLines := []string{}
			if c.ipv6 {
				routes = append(routes, `routes = ["2001:db8:ffff::/48"]`)
				userLines = append(userLines, `routes = ["2001:db8:1::/48"]`)
			}
			lns := scenario.Adit(t, n.B, lnsHead(n)+pool+user("alice", "her password", userLines...)+
				lnsProfile("subscribers", families)+peer("lac", "", "subscribers"))
			lac := scenario.Adit(t, n.A, "listen = []\n"+profile("client", append(routes, families)...)+
				tunnel(n, "lns", "client")+call("c", "alice", "her password"))
			n.A.MustRun(t, "ip", "addr", "add", behindClient.String()+"/128", "dev", "lo", "nodad")
			n.B.MustRun(t, "ip", "addr", "add", behindLNS.String()+"/128", "dev", "lo", "nodad")

			var mine control.Session
			scenario.WaitFor(t, upLimit, "the session to be up", func() bool {
				all := sessions(t, lac)
				if len(all) != 1 {
					return false
				}
				mine = all[0]
				return (!c.ipv4 || mine.LocalAddress.IsValid()) && (!c.ipv6 || hasRoute(n.A, behindLNS))
			})
			if c.ipv4 {
				if err := echo(n.A, mine.LocalAddress, echoServer(t, n.B, inner), 1000); err != nil {
					t.Error(err)
				}
				n.B.Ping(t, mine.LocalAddress, 56, 1)
			} else if mine.LocalAddress.IsValid() {
				t.Errorf("the client has %s without IPv4", mine.LocalAddress)
			}
			if c.ipv6 {
				checkIPv6(t, n)
			} else if hasRoute(n.B, behindClient) || hasRoute(n.A, behindLNS) {
				t.Error("there are routes for IPv6 without IPv6")
			}
			lac.Stop(t)
			awaitGone(t, lns)
			if hasRoute(n.B, behindClient) {
				t.Error("the user's IPv6 route is still there after the session")
			}
		})
	}
}

// hasRoute says whether a namespace has a way to an address other than its own
// links.
func hasRoute(ns *scenario.NS, to netip.Addr) bool {
	out, err := ns.Run("ip", "route", "get", to.String())
	return err == nil && strings.Contains(out, "adit")
}

// checkIPv6 sends packets between what is behind the ends.
func checkIPv6(t *testing.T, n *scenario.Net) {
	t.Helper()
	// The LNS's route may come a moment after the client's.
	scenario.WaitFor(t, upLimit, "the LNS's route to the user's prefix", func() bool { return hasRoute(n.B, behindClient) })
	for _, size := range []int{64, 1200} {
		if err := echo(n.A, behindClient, echoServer(t, n.B, behindLNS), size); err != nil {
			t.Error(err)
		}
		if err := echo(n.B, behindLNS, echoServer(t, n.A, behindClient), size); err != nil {
			t.Error(err)
		}
	}
}

// TestForeignSource: what a subscriber sends from an address that is not its own
// is dropped by the LNS and counted; what is its own goes on.
func TestForeignSource(t *testing.T) {
	n := network(t)
	foreign := netip.MustParseAddr("10.77.0.1")
	lns := scenario.Adit(t, n.B, lnsHead(n)+pool+user("alice", "her password")+
		lnsProfile("subscribers")+peer("lac", "", "subscribers"))
	// An interface of the session's own takes packets from every source.
	lac := scenario.Adit(t, n.A, "listen = []\n"+profile("client", `interface = "sub%d"`)+
		tunnel(n, "lns", "client")+call("c", "alice", "her password"))
	own := awaitIPv4(t, lac, upLimit, 1)[0].LocalAddress
	n.A.MustRun(t, "ip", "addr", "add", foreign.String()+"/32", "dev", "lo")
	// The answer would find its way.
	n.B.Route(t, netip.PrefixFrom(foreign, 32), n.AddrA())
	before := dropped(t, lns)
	out, err := n.A.Run("ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-I", foreign.String(), inner.String())
	if err == nil {
		t.Errorf("a ping from a foreign address is answered: %s", out)
	}
	if got := dropped(t, lns) - before; got != 3 {
		t.Errorf("%d packets are counted as dropped, want 3", got)
	}
	n.A.MustRun(t, "ping", "-n", "-c", "1", "-W", "2", "-I", own.String(), inner.String())
	if got := dropped(t, lns) - before; got != 3 {
		t.Errorf("a packet from the session's own address: %d are counted as dropped, want 3", got)
	}
}

// dropped sums what the LNS threw away for its source address.
func dropped(t *testing.T, d *scenario.AditDaemon) (sum uint64) {
	t.Helper()
	for _, s := range sessions(t, d) {
		sum += s.Drops["source"]
	}
	return sum
}
