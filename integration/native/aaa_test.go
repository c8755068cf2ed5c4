package native

import (
	"os"
	"slices"
	"testing"
	"time"

	"adit/integration/scenario"
	"adit/internal/need"
)

// TestAAA: the table of users and attributes with our own PPP endpoint at both
// ends, on the userspace plane. The lab runs the same table with pppd, and with
// the kernel's planes.
func TestAAA(t *testing.T) {
	n := network(t)
	ctx := t.Context()
	tree, err := scenario.UnpackFreeRADIUS(ctx, os.Stderr)
	if err != nil {
		need.Lack(t, "needs FreeRADIUS: %v", err)
	}
	dhcp, err := scenario.UnpackDHCP(ctx, os.Stderr, scenario.Dnsmasq)
	if err != nil {
		need.Lack(t, "needs dnsmasq: %v", err)
	}
	rows := slices.DeleteFunc(scenario.AAATable(), func(r scenario.AAARow) bool { return r.Method == "mppe" })
	site := &scenario.AAASite{
		Net: n, LNS: scenario.AAABuiltin, LAC: scenario.AAABuiltin, FreeRADIUS: tree, DHCP: dhcp, Limit: upLimit, Brief: 4 * time.Second,
	}
	site.Compare(t, rows, scenario.AAA(t, site, rows))
}
