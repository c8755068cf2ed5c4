package guide

import (
	"testing"

	"adit/integration/scenario"
)

// TestVPNServer runs the page of a VPN server: the server and a client with the
// built-in endpoint. IPsec, the firewall and pppd are not run.
func TestVPNServer(t *testing.T) {
	scenario.NeedNative(t)
	n := scenario.NewNativeNet(t)
	units := map[string]string{"adit.unit": aditUnit}
	lns, client := newMachine(t, "lns", n.A, units), newMachine(t, "client", n.B, units)
	connect(t, lns, client, "203.0.113.1", "198.51.100.9")

	p := open(t, "vpn-server.md", lns, client)
	p.section("adit")
	p.section("A client that is adit")
	p.section("What the server says")
	p.section("Users that come and go")
	p.done()
}
