// Package aaa holds tests of what the AAA layer does under load, when daemons are
// killed and when servers fail: the layer and whole daemons with real RADIUS and
// DHCP servers, in network namespaces under this machine's own kernel.
package aaa

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"adit/integration/scenario"
	"adit/internal/control"
	"adit/internal/need"
)

// limit is for what takes a moment on a machine that has nothing else to do.
const limit = 60 * time.Second

// secret is that of all RADIUS servers and clients here.
const secret = "radius secret"

func TestMain(m *testing.M) {
	status := m.Run()
	scenario.RemoveBinary()
	os.Exit(status)
}

// network makes two joined namespaces, the LAC's A and the LNS's B, and sees to
// the adit binary: that of the environment, or one that is built once.
func network(t *testing.T) *scenario.Net {
	t.Helper()
	n := scenario.NewNativeNet(t)
	scenario.Binary(t)
	return n
}

var loopback = netip.MustParseAddr("127.0.0.1")

// everybody is a file of users in which any name comes in by the password "right".
const everybody = "DEFAULT Cleartext-Password := \"right\"\n"

// unpacking is done by one test at a time: two would do the same work.
var unpacking sync.Mutex

// freeRADIUS starts a server on the loopback of a namespace; nil: of ours.
func freeRADIUS(t *testing.T, ns *scenario.NS, users string) *scenario.FreeRADIUSServer {
	t.Helper()
	unpacking.Lock()
	tree, err := scenario.UnpackFreeRADIUS(t.Context(), os.Stderr)
	unpacking.Unlock()
	if err != nil {
		need.Lack(t, "needs FreeRADIUS: %v", err)
	}
	return scenario.FreeRADIUS(t, ns, scenario.FreeRADIUSOptions{
		Tree: tree, Address: loopback, Secret: secret, Users: users,
		// Debian's leaves it out otherwise.
		Authorize: "update reply {\n\t\t\tMessage-Authenticator := 0x00\n\t\t}",
	})
}

// dhcpTrees takes a DHCP server out of its packages.
func dhcpTrees(t *testing.T, kind scenario.DHCPKind) scenario.DHCPTrees {
	t.Helper()
	unpacking.Lock()
	defer unpacking.Unlock()
	trees, err := scenario.UnpackDHCP(t.Context(), os.Stderr, kind)
	if err != nil {
		need.Lack(t, "needs %s: %v", kind, err)
	}
	return trees
}

// awaitRunning waits until a link has a carrier: a DHCP server passes over an
// interface that has none yet.
func awaitRunning(t *testing.T, e scenario.End) {
	t.Helper()
	scenario.WaitFor(t, limit, "the link to have a carrier", func() bool {
		fields := strings.Fields(e.NS.MustRun(t, "ip", "-br", "link", "show", "dev", e.Interface))
		return len(fields) > 1 && fields[1] == "UP"
	})
}

// radiusServer is a [radius.servers] table.
func radiusServer(name string, auth, acct netip.AddrPort, lines ...string) string {
	return fmt.Sprintf("[radius.servers.%s]\naddress = \"%s\"\nauth_port = %d\nacct_port = %d\nsecret = %q\n%s\n",
		name, auth.Addr(), auth.Port(), acct.Port(), secret, strings.Join(lines, "\n"))
}

// radiusGroup is the group "isp" of these servers.
func radiusGroup(servers ...string) string {
	text, _ := json.Marshal(servers) // strings always can be
	return fmt.Sprintf("[radius.groups.isp]\nservers = %s\n", text)
}

// inner is the LNS's address on the PPP links.
const inner = "10.64.0.1"

// lnsConfig is an LNS that lets LACs in by any host name, with this profile and
// further tables.
func lnsConfig(n *scenario.Net, profileLines []string, tables ...string) string {
	return fmt.Sprintf(`host_name = "lns.test"
[[listen]]
address = "%s:1701"
[control_channel]
hello_interval = "2s"
retransmit_initial = "500ms"
max_retransmits = 3
[[lns.peers]]
name = "lac"
secret = "s3cret"
profile = "subscribers"
max_tunnels = 100
max_sessions = 5000
`, n.AddrB()) + profile("subscribers", append([]string{`local_address = "` + inner + `"`}, profileLines...)...) + strings.Join(tables, "")
}

// profile is a builtin profile of the userspace plane.
func profile(name string, lines ...string) string {
	return fmt.Sprintf("[profiles.%s]\nppp = \"builtin\"\ndataplane = \"userspace\"\n%s\n", name, strings.Join(lines, "\n"))
}

// lacConfig is a LAC with these tunnels, which ends a tunnel within a few seconds
// of its LNS.
func lacConfig(tunnels ...string) string {
	return `host_name = "lac.test"
listen = []
[control_channel]
hello_interval = "1s"
retransmit_initial = "200ms"
max_retransmits = 3
` + profile("client") + strings.Join(tunnels, "")
}

// tunnelTo is a tunnel to the LNS with a call for each user.
func tunnelTo(n *scenario.Net, name string, users []string, lines ...string) string {
	text := fmt.Sprintf(`[[lac.tunnels]]
name = %q
remote = "%s:1701"
secret = "s3cret"
profile = "client"
%s
`, name, n.AddrB(), strings.Join(lines, "\n"))
	for _, u := range users {
		text += call(u, "right")
	}
	return text
}

// call is a call of a user, which has his name.
func call(user, password string) string {
	return fmt.Sprintf("[[lac.tunnels.sessions]]\nname = %q\nuser = %q\npassword = %q\ncalling_number = %q\n", user, user, password, "line of "+user)
}

// Retries that are over within the test, and ones that do not come in it.
var (
	often = []string{`retry_min = "200ms"`, `retry_max = "1s"`}
	never = []string{`retry_min = "1h"`, `retry_max = "1h"`}
)

// names are so many user names.
func names(prefix string, count int) (all []string) {
	for i := range count {
		all = append(all, fmt.Sprintf("%s%d", prefix, i))
	}
	return all
}

// sessions asks a daemon.
func sessions(t *testing.T, d *scenario.AditDaemon) []control.Session {
	t.Helper()
	client := control.NewClient(d.Socket)
	defer client.Close()
	all, err := client.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// counter asks a daemon for the counter of that name.
func counter(t *testing.T, d *scenario.AditDaemon, name string) uint64 {
	t.Helper()
	n, ok := counters(t, d)[name]
	if !ok {
		t.Fatalf("%s has no counter %s", d.Name, name)
	}
	return n
}

func counters(t *testing.T, d *scenario.AditDaemon) map[string]uint64 {
	t.Helper()
	client := control.NewClient(d.Socket)
	defer client.Close()
	s, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Counters
}

// awaitAddresses waits until so many calls of a LAC have their IPv4 addresses, each
// its own, and returns them by the name of the call.
func awaitAddresses(t *testing.T, lac *scenario.AditDaemon, count int) map[string]netip.Addr {
	t.Helper()
	var got map[string]netip.Addr
	if !scenario.Eventually(limit, func() bool {
		got = map[string]netip.Addr{}
		for _, s := range sessions(t, lac) {
			if s.LocalAddress.IsValid() {
				got[s.Name] = s.LocalAddress
			}
		}
		return len(got) == count
	}) {
		t.Fatalf("after %s %d sessions of %s have addresses, want %d", limit, len(got), lac.Name, count)
	}
	whose := map[netip.Addr]string{}
	for user, a := range got {
		if other, taken := whose[a]; taken {
			t.Errorf("%s and %s both have %s", user, other, a)
		}
		whose[a] = user
	}
	return got
}

// awaitNothing waits until an LNS has given everything back that its sessions had:
// calls, addresses, leases, records.
func awaitNothing(t *testing.T, lns *scenario.AditDaemon) {
	t.Helper()
	lns.WaitSessions(t, limit, 0)
	var c map[string]uint64
	if !scenario.Eventually(limit, func() bool {
		c = counters(t, lns)
		return c["pool_taken"]+c["pool_claimed"] == c["pool_given_back"] && c["sessions_started"] == c["sessions_stopped"] &&
			c["radius_accounting_open_sessions"] == 0 && c["radius_accounting_backlog"] == 0
	}) {
		t.Errorf("all sessions have ended, and something is left: %v", c)
	}
}

// descriptors counts what a process has open.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// lines are those of a log that have all of these words.
func lines(log string, words ...string) (all []string) {
next:
	for line := range strings.Lines(log) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		all = append(all, strings.TrimSpace(line))
	}
	return all
}

// wantLine waits for a line of a daemon's log and returns it. There may be only
// one such.
func wantLine(t *testing.T, d *scenario.AditDaemon, words ...string) string {
	t.Helper()
	var found []string
	if !scenario.Eventually(limit, func() bool {
		found = lines(d.Log(), words...)
		return len(found) > 0
	}) {
		t.Errorf("the log of %s has no line with %q", d.Name, words)
		return ""
	}
	if len(found) > 1 {
		t.Errorf("the log of %s has %d lines with %q, want one: %s", d.Name, len(found), words, found[1])
	}
	return found[0]
}
