package scenario

import (
	"fmt"
	"strings"
	"testing"
)

// TestLeaseFiles: files as the servers write them; the last word on an address
// counts, and what is not written whole yet does not.
func TestLeaseFiles(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		read             func(string) []DHCPLease
	}{
		{"kea", `address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context
10.64.1.0,da:c4:ab:21:4a:73,ff:b7,120,1795379608,1,0,0,,0,{ "ISC": { "relay-agent-info": "0x0106" } }
10.64.1.1,d6:96:bc:13:19:8f,ff:61,120,1795379608,1,0,0,,0,
10.64.1.2,d6:96:bc:13:19:8f,ff:61,120,1795379608,1,0,0,,1,
10.64.1.1,d6:96:bc:13:19:8f,ff:61,0,1795379608,1,0,0,,0,
10.64.1.9,d6:96:bc:13:19:8f,ff:61,120,1795379608,1,0,0,,0,`, "10.64.1.0", keaLeases},
		{"dnsmasq", `1795379608 2e:ba:9f:e8:3b:30 10.64.35.74 * ff:91:9d
1795379608 2e:ba:9f:e8:3b:31 10.64.2.7 * ff:91:9e
`, "10.64.2.7 10.64.35.74", dnsmasqLeases},
		{"dhcpd", `# The format of this file is documented in the dhcpd.leases(5) manual page.
lease 10.64.1.0 {
  starts 0 2026/11/22 20:37:30;
  binding state active;
  next binding state free;
}
lease 10.64.1.1 {
  binding state active;
  option agent.circuit-id "line 7";
}
lease 10.64.1.0 {
  binding state free;
}
lease 10.64.1.9 {
  binding state active;
`, "10.64.1.1", iscLeases},
	} {
		var got []string
		for _, l := range c.read(c.text) {
			got = append(got, l.Address.String())
			if !strings.Contains(c.text, l.Text) || l.Text == "" {
				t.Errorf("%s: the text of %v is %q", c.name, l.Address, l.Text)
			}
		}
		if fmt.Sprint(got) != "["+c.want+"]" {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}
