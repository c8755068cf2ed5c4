package scenario

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestL2TPv3ManySessions: two hundred pseudowires in one control connection, all of them
// in the kernel at both ends.
func TestL2TPv3ManySessions(t *testing.T) {
	t.Parallel()
	const count = 200
	n := NewNet(t)
	dial, accept, rows := ManySessions(n, count, "kernel")
	b := Adit(t, n.B, accept)
	begun := time.Now()
	a := Adit(t, n.A, dial)
	for _, d := range []*AditDaemon{a, b} {
		for _, s := range d.WaitSessions(t, 2*time.Minute, count) {
			if s.Bridge != "ethernet/kernel" {
				t.Fatalf("the frames of %s go to %q", s.Interface, s.Bridge)
			}
		}
	}
	t.Logf("%d pseudowires are up at both ends %.1f s after the start", count, time.Since(begun).Seconds())
	for _, ns := range []*NS{n.A, n.B} {
		// A session is up before its device is.
		WaitFor(t, 2*time.Minute, "the devices in "+ns.Label, func() bool { return devices(t, ns) == count })
		if got := strings.Count(ns.MustRun(t, "ip", "l2tp", "show", "session"), "Session "); got != count {
			t.Errorf("the kernel has %d sessions in %s", got, ns.Label)
		}
		if got := strings.Count(ns.MustRun(t, "ip", "l2tp", "show", "tunnel"), "Tunnel "); got != 1 {
			t.Errorf("the kernel has %d tunnels in %s", got, ns.Label)
		}
	}
	t.Logf("all devices are there after %.1f s", time.Since(begun).Seconds())
	for _, i := range []int{0, count / 3, count / 2, count - 2, count - 1} {
		x, y := rows[i].Ends(n)
		if err := Ethernet(x, y, time.Minute, 64<<10); err != nil {
			t.Errorf("%s: %v", rows[i].Device(), err)
		}
	}
	ended := time.Now()
	a.Stop(t)
	for _, ns := range []*NS{n.A, n.B} {
		WaitFor(t, 2*time.Minute, "the devices to go in "+ns.Label, func() bool { return devices(t, ns) == 0 })
		WaitFor(t, time.Minute, "the kernel's sessions to go in "+ns.Label, func() bool { return ns.IPL2TPTunnels(t) == "" })
	}
	b.WaitSessions(t, time.Minute, 0)
	t.Logf("nothing is left of them %.1f s after the end", time.Since(ended).Seconds())
	if s := b.Status(t); s.Tunnels.Up+s.Tunnels.SettingUp != 0 {
		t.Errorf("the tunnel is left: %+v", s.Tunnels)
	}
}

// devices counts the devices of pseudowires. Of hundreds, this asks for less than
// Interfaces does.
func devices(t *testing.T, ns *NS) int {
	t.Helper()
	var text []byte
	if err := ns.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), " pw")
}
