package main

import (
	"strings"
	"testing"
)

const differ3Base = `
[[pseudowires]]
name = "fixed"
type = "ethernet"
[[pseudowires]]
name = "asked"
type = "ethernet"
[[pseudowires]]
name = "placed"
type = "ethernet"
[[pseudowires]]
name = "left"
type = "hdlc"
switch = "right"
[[pseudowires]]
name = "right"
type = "hdlc"
[[lns.peers]]
name = "pop"
no_secret = true
versions = [3]
pseudowires = ["asked", "right"]
[[lac.tunnels]]
name = "up"
remote = "192.0.2.1"
versions = [3]
ppp = false
sessions = [{name = "s", pseudowire = "placed"}]
[[l2tpv3.static]]
name = "branch"
local = "192.0.2.1:5000"
remote = "192.0.2.2:5000"
tunnel_id = 1
peer_tunnel_id = 2
[[l2tpv3.static.sessions]]
name = "lan"
session_id = 3
peer_session_id = 4
pseudowire = "fixed"
[[l2tpv3.static.sessions]]
name = "wan"
session_id = 5
peer_session_id = 6
pseudowire = "left"
[[l2tpv3.static.sessions]]
name = "own"
session_id = 7
peer_session_id = 8
mtu = 1400
`

// What a static tunnel alone carries changes with it, and needs no restart; what peers
// may ask for, or we ask them for, is a part of its own.
func TestDifferingPseudowires(t *testing.T) {
	base := loadText(t, differ3Base)
	for _, test := range []struct{ old, with, want string }{
		{"", "", ""},
		{`name = "fixed"`, "name = \"fixed\"\nmtu = 1300", "l2tpv3.static"},
		{"mtu = 1400", "mtu = 1300", "l2tpv3.static"},
		{`name = "asked"`, "name = \"asked\"\nmtu = 1300", "pseudowires"},
		{`name = "placed"`, "name = \"placed\"\nmtu = 1300", "pseudowires"},
		{`name = "right"`, "name = \"right\"\nremote_end_id = \"x\"", "pseudowires l2tpv3.static"},
		{"peer_tunnel_id = 2", "peer_tunnel_id = 9", "l2tpv3.static"},
		{`pseudowires = ["asked", "right"]`, `pseudowires = ["right", "asked"]`, "lns.peers"},
	} {
		text := strings.Replace(differ3Base, test.old, test.with, 1)
		if test.old != "" && text == differ3Base {
			t.Fatalf("%q is not in the base", test.old)
		}
		other := loadText(t, text)
		if got := strings.Join(differing(base, other), " "); got != test.want {
			t.Errorf("%q for %q: %q, want %q", test.with, test.old, got, test.want)
		}
		if got := strings.Join(differing(other, base), " "); got != test.want {
			t.Errorf("back, %q for %q: %q, want %q", test.with, test.old, got, test.want)
		}
	}
}
