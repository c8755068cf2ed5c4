package lcce

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/config"
)

// onEth0 is testTunnel between link-local addresses.
func onEth0(plane config.DataPlane) *config.StaticTunnel {
	t := testTunnel()
	t.Local, t.Peer = netip.MustParseAddrPort("[fe80::1%eth0]:5000"), netip.MustParseAddrPort("[fe80::2%eth0]:6000")
	t.DataPlane = plane
	return t
}

// A tunnel between link-local addresses waits for its link, and is made again when the
// link was.
func TestOnLink(t *testing.T) {
	for plane, again := range map[config.DataPlane]string{
		config.DataPlaneKernel:    "delete tunnel 10\n" + made,
		config.DataPlaneUserspace: "close 1\nopen 1\nbridge lan0 br0\nup lan0 1400\naddress lan0 10.0.0.1/24",
	} {
		t.Run(plane.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, nil, onEth0(plane)).start()
				defer b.role.Close()
				if i := b.one(t); i.State != Down || !strings.Contains(i.Problem, `"eth0"`) || b.done() != "" {
					t.Fatalf("without its link: %+v", i)
				}
				appear := func() {
					b.change(func() { b.add("eth0") })
					b.role.linkEvent(b.index("eth0"))
					time.Sleep(3 * time.Second)
				}
				appear()
				if i := b.one(t); i.State != Up || i.Problem != "" {
					t.Fatalf("with its link: %+v\n%s", i, b.log)
				}
				b.done()
				index := b.index("eth0")
				b.change(func() { b.drop("eth0") })
				b.role.linkEvent(index)
				time.Sleep(time.Second)
				if i := b.one(t); !strings.Contains(i.Problem, `"eth0"`) || b.done() != "" {
					t.Errorf("when the link went: %+v", i)
				}
				appear()
				if got := b.done(); got != again {
					t.Errorf("when the link came back: %s", got)
				}
				if i := b.one(t); i.State != Up || i.Problem != "" {
					t.Errorf("when the link came back: %+v\n%s", i, b.log)
				}
				b.role.linkEvent(0)
				time.Sleep(time.Minute)
				if got := b.done(); got != "" {
					t.Errorf("for no reason: %s", got)
				}
			})
		})
	}
}
