package native

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"adit/integration/scenario"
	"adit/internal/control"
)

// manyTunnels tunnels of manyCalls calls each come up at once.
const (
	manyTunnels = 4
	manyCalls   = 500
	many        = manyTunnels * manyCalls
)

func manyLNS(n *scenario.Net) string {
	return lnsHead(n) + pool + user("alice", "her password") +
		lnsProfile("subscribers", `auth = ["chap-md5"]`) + peer("lac", "", "subscribers", "max_tunnels = 100", "max_sessions = 5000")
}

func manyLAC(n *scenario.Net, tunnels, calls int) string {
	text := "host_name = \"lac.test\"\nlisten = []\n" + profile("client")
	for i := range tunnels {
		text += tunnel(n, fmt.Sprintf("t%d", i), "client") + call("c", "alice", "her password", fmt.Sprintf("count = %d", calls))
	}
	return text
}

// TestManyClients: an LNS and 2,000 clients, which one process plays, come up
// within seconds, with an address each; packets go both ways; the daemons have no
// goroutine more than with one session; and nothing is left when they go.
func TestManyClients(t *testing.T) {
	n := network(t)
	lns := scenario.Adit(t, n.B, manyLNS(n))
	before := interfaces(t, n.B)
	begin := time.Now()
	lac := scenario.Adit(t, n.A, manyLAC(n, manyTunnels, manyCalls))
	clients := awaitIPv4(t, lac, 90*time.Second, many)
	servers := awaitIPv4(t, lns, 30*time.Second, many)
	t.Logf("%d sessions are up %.1f s after the client's start", many, time.Since(begin).Seconds())

	checkAddresses(t, clients, servers)
	packetsBothWays(t, n, clients)

	lac.Stop(t)
	awaitGone(t, lns)
	if after := interfaces(t, n.B); after != before {
		t.Errorf("addresses and routes of the LNS before:\n%s\nand after the sessions:\n%s", before, after)
	}

	// Once more, and every ID and address is to be had again.
	lac.Restart(t)
	awaitIPv4(t, lac, 90*time.Second, many)
	clients = sessions(t, lac)
	checkAddresses(t, clients, awaitIPv4(t, lns, 30*time.Second, many))
	packetsBothWays(t, n, clients)
	manyL, manyC := goroutines(t, lns), goroutines(t, lac)

	lns.Restart(t)
	lac.WriteConfig(t, manyLAC(n, manyTunnels, 1))
	lac.Restart(t)
	awaitIPv4(t, lac, upLimit, manyTunnels)
	awaitIPv4(t, lns, upLimit, manyTunnels)
	fewL, fewC := goroutines(t, lns), goroutines(t, lac)
	// Some come and go: of the control socket, of the runtime.
	const slack = 8
	if manyL > fewL+slack || manyC > fewC+slack {
		t.Errorf("goroutines with %d sessions: %d in the LNS, %d in the client; with %d sessions: %d and %d",
			many, manyL, manyC, manyTunnels, fewL, fewC)
	}
	t.Logf("goroutines with %d sessions: %d in the LNS, %d in the client; with %d sessions: %d and %d",
		many, manyL, manyC, manyTunnels, fewL, fewC)
}

// TestOneOfMany: the end of one client's session, whichever, leaves the others of
// the same TUN as they are.
func TestOneOfMany(t *testing.T) {
	n := network(t)
	lns := scenario.Adit(t, n.B, manyLNS(n))
	const count = 5
	lac := scenario.Adit(t, n.A, "host_name = \"lac.test\"\nlisten = []\n"+profile("client")+
		tunnel(n, "t", "client", `retry_min = "60s"`, `retry_max = "60s"`)+call("c", "alice", "her password", fmt.Sprintf("count = %d", count)))
	left := awaitIPv4(t, lns, upLimit, count)
	awaitIPv4(t, lac, upLimit, count)
	server := echoServer(t, n.B, inner)
	slices.SortFunc(left, func(a, b control.Session) int { return a.RemoteAddress.Compare(b.RemoteAddress) })
	for len(left) > 1 {
		// The first address that the TUN got, then the last, and so on.
		gone := left[0]
		left = left[1:]
		slices.Reverse(left)
		if out, err := lns.Command("disconnect", "session", fmt.Sprintf("%d/%d", gone.Tunnel, gone.ID)); err != nil {
			t.Fatal(err, out)
		}
		awaitIPv4(t, lac, upLimit, len(left))
		scenario.WaitFor(t, upLimit, "the address to leave the client's TUN", func() bool {
			return !strings.Contains(interfaces(t, n.A), gone.RemoteAddress.String()+" ")
		})
		for _, s := range left {
			if err := echo(n.A, s.RemoteAddress, server, 500); err != nil {
				t.Errorf("with %d left: %v", len(left), err)
			}
		}
	}
}

// interfaces is what ip says about the addresses and routes of the TUN, to be
// compared.
func interfaces(t *testing.T, ns *scenario.NS) string {
	t.Helper()
	return ns.MustRun(t, "ip", "-br", "addr", "show", "dev", "adit0") +
		ns.MustRun(t, "ip", "route", "show", "table", "all", "dev", "adit0") +
		ns.MustRun(t, "ip", "-6", "route", "show", "table", "all", "dev", "adit0")
}

// checkAddresses: each client has an address of its own, and the LNS knows it.
func checkAddresses(t *testing.T, clients, servers []control.Session) {
	t.Helper()
	pool := netip.MustParsePrefix("10.64.0.0/20")
	seen := map[netip.Addr]bool{}
	for _, s := range clients {
		if seen[s.LocalAddress] {
			t.Errorf("two clients have %s", s.LocalAddress)
		}
		seen[s.LocalAddress] = true
		if !pool.Contains(s.LocalAddress) || s.RemoteAddress != inner {
			t.Errorf("a client has %s and its LNS %s", s.LocalAddress, s.RemoteAddress)
		}
	}
	for _, s := range servers {
		if !seen[s.RemoteAddress] {
			t.Errorf("the LNS has a session of %s, or two, and no client has", s.RemoteAddress)
		}
		delete(seen, s.RemoteAddress)
	}
	if len(seen) != 0 {
		t.Errorf("%d clients have addresses that the LNS knows nothing of", len(seen))
	}
}

// enough failures show that something is wrong, each of which takes seconds.
const enough = 8

// packetsBothWays: each client sends a packet and gets it back, and some more are
// pinged from the LNS.
func packetsBothWays(t *testing.T, n *scenario.Net, clients []control.Session) {
	t.Helper()
	server := echoServer(t, n.B, inner)
	queue := make(chan netip.Addr)
	var (
		wg     sync.WaitGroup
		failed atomic.Int32
	)
	for range 8 {
		wg.Go(func() {
			for from := range queue {
				if failed.Load() >= enough {
					continue
				}
				if err := echo(n.A, from, server, 1000); err != nil {
					failed.Add(1)
					t.Error(err)
				}
			}
		})
	}
	for _, s := range clients {
		queue <- s.LocalAddress
	}
	close(queue)
	wg.Wait()
	if failed.Load() > 0 {
		return
	}
	for i := 0; i < len(clients); i += len(clients) / 5 {
		n.B.Ping(t, clients[i].LocalAddress, 1200, 1)
	}
}

// goroutines ends a daemon by SIGQUIT, upon which Go's runtime lists them.
func goroutines(t *testing.T, d *scenario.AditDaemon) int {
	t.Helper()
	d.Signal(t, syscall.SIGQUIT)
	// Its exit status is 2.
	if err := d.Wait(upLimit); err == nil || strings.Contains(err.Error(), "still runs") {
		t.Fatalf("after SIGQUIT: %v", err)
	}
	_, dump, found := strings.Cut(d.Log(), "SIGQUIT")
	if !found {
		t.Fatalf("no goroutines in the log of %s", d.Name)
	}
	// The control socket does not go with a killed daemon.
	if err := os.Remove(d.Socket); err != nil {
		t.Error(err)
	}
	return strings.Count(dump, "\ngoroutine ")
}
