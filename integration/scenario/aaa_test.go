package scenario

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAAA: the table of users and attributes with each way of the LNS's for PPP
// and its data that needs the lab's kernel, and pppd as the client of all. Our own
// endpoint with its data through the TUN has the whole table natively. Each has to come out as the table
// has it, so that what a profile means does not depend on the engine.
func TestAAA(t *testing.T) {
	for _, c := range []struct {
		lns   AAAEngine
		worth AAAWorth
	}{
		{AAAPPPDAsync, AAALab}, {AAAPPPDKernel, AAAPlanes}, {AAABuiltinKernel, AAAPlanes},
	} {
		lns := c.lns
		t.Run(strings.ReplaceAll(lns.Bridge, "/", "-"), func(t *testing.T) {
			site := &AAASite{Net: NewNet(t), LNS: lns, LAC: AAAPPPDKernel, Limit: 2 * time.Minute, Brief: 10 * time.Second}
			var err error
			if site.FreeRADIUS, err = UnpackFreeRADIUS(t.Context(), os.Stderr); err != nil {
				t.Fatal(err)
			}
			if site.DHCP, err = UnpackDHCP(t.Context(), os.Stderr, Dnsmasq); err != nil {
				t.Fatal(err)
			}
			rows := slices.DeleteFunc(AAATable(), func(r AAARow) bool {
				return r.Worth < c.worth || r.Method == "mppe" && !lns.pppd()
			})
			site.Compare(t, rows, AAA(t, site, rows))
		})
	}
}
