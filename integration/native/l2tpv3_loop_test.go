package native

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"adit/integration/scenario"
	"adit/internal/control"
)

// TestL2TPv3MutualLoop: two pseudowires, over UDP and over IP, whose peers are routed into
// each other. What is sent into them, also what goes on in fragments, does not go round
// for ever: each packet ends where a message holds one of the same session.
func TestL2TPv3MutualLoop(t *testing.T) {
	t.Parallel()
	n := network(t)
	rows := []scenario.Row{
		{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8, PeerAddress: netip.MustParseAddr("10.96.0.1")},
		{Number: 2, APlane: "userspace", BPlane: "userspace", Cookie: 4, OverIP: true, PeerAddress: netip.MustParseAddr("10.96.0.2")},
	}
	a := scenario.Adit(t, n.A, scenario.StaticDocument(n, 1, rows))
	for i, r := range rows {
		other := rows[1-i].PeerAddress.String()
		scenario.WaitFor(t, upLimit, "the device", func() bool { d, err := n.A.Device(r.Device()); return err == nil && d.Up })
		_, y := r.Ends(n)
		for _, address := range []string{y.IPv4.String(), other} { // there is nobody to ask
			n.A.MustRun(t, "ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:02", "dev", r.Device())
		}
		n.A.MustRun(t, "ip", "route", "add", other+"/32", "dev", r.Device())
	}
	for _, r := range rows {
		_, y := r.Ends(n)
		for _, size := range []int{20, 1400} {
			if err := n.A.Do(func() error {
				c, err := net.Dial("udp", netip.AddrPortFrom(y.IPv4, 9).String())
				if err != nil {
					return err
				}
				defer c.Close()
				_, err = c.Write(make([]byte, size))
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var before [2]control.Traffic
	scenario.WaitFor(t, upLimit, "what goes round to end", func() bool {
		var all []control.Static
		a.JSON(t, &all, "static")
		var now [2]control.Traffic
		for i, s := range all {
			now[i] = s.Sessions[0].Traffic
		}
		rest := now == before && now[0].TxErrors > 0 && now[1].TxErrors > 0
		before = now
		return rest
	})
	if sent := before[0].TxPackets + before[1].TxPackets; sent > 100 {
		t.Errorf("four datagrams have become %d messages", sent)
	}
	if !strings.Contains(a.Log(), "or into another one that goes through it") {
		t.Error("the log says nothing of it")
	}
}
