package logins

import (
	"fmt"
	"strings"

	"adit/integration/scenario"
)

func name(i int) string     { return fmt.Sprintf("subscriber-%05d@isp.example", i) }
func password(i int) string { return fmt.Sprintf("password of %05d", i) }

// serverUsers are FreeRADIUS's.
func (o *Options) serverUsers() string {
	var b strings.Builder
	for i := range o.Subscribers {
		fmt.Fprintf(&b, "%s Cleartext-Password := %q\n\tService-Type = Framed-User,\n\tFramed-Protocol = PPP,\n\tSession-Timeout = 86400\n",
			name(i), password(i))
	}
	return b.String()
}

// lns is an LNS with a RADIUS server, or with users of its own if that is nil.
func (o *Options) lns(n *scenario.Net, dir string, server *scenario.FreeRADIUSServer, m Method) string {
	var b strings.Builder
	fmt.Fprintf(&b, `host_name = "lns.bench"
state_dir = "%s/lns"

[log]
level = "info"

[[listen]]
address = "%s:1701"

[limits]
tunnels_per_peer = 4096

[pools.subscribers]
ranges = ["10.65.0.0/16"]

[[lns.peers]]
name = "lac"
secret = %q
profile = "subscribers"
max_tunnels = 4096
max_sessions = 65535

[profiles.subscribers]
ppp = "builtin"
dataplane = "userspace"
auth = ["%s"]
local_address = "%s"
pool = "subscribers"
`, dir, n.AddrB(), tunnelSecret, m, innerServer)
	if server == nil {
		for i := range o.Subscribers {
			fmt.Fprintf(&b, "[[users]]\nname = %q\npassword = %q\n", name(i), password(i))
		}
		return b.String()
	}
	fmt.Fprintf(&b, `aaa = ["isp"]

[radius.groups.isp]
servers = ["one"]

[radius.servers.one]
address = "%s"
auth_port = %d
acct_port = %d
secret = %q
`, server.Auth.Addr(), server.Auth.Port(), server.Acct.Port(), server.Secret)
	return b.String()
}

// lac is a LAC whose calls are all subscribers'.
func (o *Options) lac(n *scenario.Net, dir string, m Method) string {
	var b strings.Builder
	fmt.Fprintf(&b, `host_name = "lac.bench"
listen = []
state_dir = "%s/lac"

[profiles.client]
ppp = "builtin"
dataplane = "userspace"
auth = ["%s"]
`, dir, m)
	for i := range o.Subscribers {
		// The subscribers of a tunnel stand together.
		if k := i * o.Tunnels / o.Subscribers; i == 0 || k != (i-1)*o.Tunnels/o.Subscribers {
			fmt.Fprintf(&b, "[[lac.tunnels]]\nname = \"t%d\"\nremote = \"%s:1701\"\nsecret = %q\nprofile = \"client\"\n", k, n.AddrB(), tunnelSecret)
		}
		fmt.Fprintf(&b, "[[lac.tunnels.sessions]]\nname = \"c%d\"\nuser = %q\npassword = %q\n", i, name(i), password(i))
	}
	return b.String()
}
