package main

import (
	"fmt"
	"strings"
	"time"

	"adit/integration/scenario"
)

// lnsConfig is a whole configuration of an LNS: whom to accept, and what the
// callers get.
const lnsConfig = `
host_name = "lns.demo"

[[listen]]
address = "%s:1701"

[pools.callers]
ranges = ["10.98.0.10-10.98.0.99"]

[profiles.callers]
local_address = "10.98.0.1"
pool = "callers"
pppd_options = ["noauth", "noccp", "novj", "nodefaultroute", "mtu", "1400", "mru", "1400"]

[[lns.peers]]
name = "lac"
addresses = ["%s"]
secret = "open sesame"
challenge = true
profile = "callers"
`

// lacConfig is a whole configuration of a LAC client: whom to dial.
const lacConfig = `
host_name = "lac.demo"

[profiles.dial]
pppd_options = ["noauth", "noccp", "novj", "nodefaultroute", "mtu", "1400", "mru", "1400"]

[[lac.tunnels]]
name = "lns"
remote = "%s:1701"
secret = "open sesame"
challenge = true
profile = "dial"
retry_min = "1s"

[[lac.tunnels.sessions]]
name = "demo"
`

// sessionLimit is for one tunnel, one session and two pppds, on an emulated
// processor that other work may share.
const sessionLimit = 2 * time.Minute

// show is the demonstration, inside the lab.
func show(t scenario.TB) {
	n := scenario.NewNet(t)
	say := func(format string, args ...any) { t.Logf("\n# "+format, args...) }

	say("Two network namespaces, joined: the LAC at %s, the LNS at %s.", n.AddrA(), n.AddrB())
	say("An adit as LNS, which accepts tunnels from the LAC, and another as LAC, which dials.")
	lns := scenario.Adit(t, n.B, fmt.Sprintf(lnsConfig, n.AddrB(), n.AddrA()))
	begin := time.Now()
	lac := scenario.Adit(t, n.A, fmt.Sprintf(lacConfig, n.AddrB()))

	lac.WaitSessions(t, sessionLimit, 1)
	lns.WaitSessions(t, sessionLimit, 1)
	client := n.A.PPP(t, sessionLimit, 1)[0]
	server := n.B.PPP(t, sessionLimit, 1)[0]
	say("PPP is up %.1f s after the LAC's start.", time.Since(begin).Seconds())
	for _, d := range []struct {
		name   string
		daemon *scenario.AditDaemon
	}{{"LNS", lns}, {"LAC", lac}} {
		for _, command := range []string{"tunnels", "sessions"} {
			out, err := d.daemon.Command(command)
			if err != nil {
				t.Fatalf("%v", err)
			}
			say("%s$ adit %s\n%s", d.name, command, strings.TrimRight(out, "\n"))
		}
	}
	_, remote := client.IPv4()
	out, err := n.A.Run("ping", "-c", "4", "-i", "0.5", remote.String())
	if err != nil {
		t.Fatalf("%v", err)
	}
	say("LAC$ ping %s, through %s and %s\n%s", remote, client.Name, server.Name, strings.TrimRight(out, "\n"))
	say("A transfer over TCP through the tunnel: %s, SHA-256 the same at both ends.",
		scenario.Transfer(t, n.A, n.B, remote, 1<<20))

	say("The LAC ends, and with it its pppd, the session and the tunnel.")
	lac.Stop(t)
	lns.WaitSessions(t, sessionLimit, 0)
	n.A.PPP(t, sessionLimit, 0)
	n.B.PPP(t, sessionLimit, 0)
	lns.Stop(t)
	say("Nothing is left: no session, no PPP interface.")
}
