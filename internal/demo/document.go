package demo

import (
	"fmt"
	"net/netip"
)

// What the LNS gives out and asks for.
var (
	lnsInner  = netip.MustParseAddr("10.64.0.1")
	poolRange = netip.MustParsePrefix("10.64.0.0/24")
)

const user = "alice"

// lnsDocument is a whole configuration of an LNS with the built-in endpoint: its
// users, their addresses, and whose tunnels to accept.
func lnsDocument() string {
	return fmt.Sprintf(`host_name = "lns.demo"

[[listen]]
address = "%s:1701"

[[users]]
name = "%s"
password = "her password"

[pools.subscribers]
ranges = ["10.64.0.10-10.64.0.200"]

[profiles.subscribers]
ppp = "builtin"
dataplane = "userspace"
auth = ["mschapv2"]
local_address = "%s"
pool = "subscribers"

[[lns.peers]]
name = "lac"
addresses = ["%s"]
secret = "open sesame"
challenge = true
profile = "subscribers"
`, lnsOuter.Addr(), user, lnsInner, lacOuter.Addr())
}

// lacDocument is a whole configuration of a LAC client: whom to dial, and as whom.
func lacDocument() string {
	return fmt.Sprintf(`host_name = "lac.demo"
listen = []

[profiles.client]
ppp = "builtin"
dataplane = "userspace"

[[lac.tunnels]]
name = "lns"
remote = "%s:1701"
secret = "open sesame"
challenge = true
profile = "client"

[[lac.tunnels.sessions]]
name = "demo"
user = "%s"
password = "her password"
`, lnsOuter.Addr(), user)
}
