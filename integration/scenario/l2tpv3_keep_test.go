package scenario

import (
	"strings"
	"testing"
	"time"

	"adit/internal/control"
)

// TestL2TPv3Keep: with keep = true the kernel's tunnels go on while no adit runs, over UDP
// and IP, with cookies and numbers and without; the next adit takes over what it finds, and
// makes none of it again.
func TestL2TPv3Keep(t *testing.T) {
	t.Parallel()
	n := NewNet(t)
	rows := coveringRows("kernel", "", 221)
	var ends []IPL2TPOptions
	text := ""
	for _, r := range rows {
		ends = append(ends, r.IPL2TP(n))
		tunnel, wire := r.Static(n, 1)
		tunnel.Keep = true
		text += wire.TOML() + tunnel.TOML()
	}
	IPL2TP(t, n.B, ends...)
	begun := time.Now()
	d := Adit(t, n.A, text)
	reach := func(when string) {
		t.Helper()
		defer func() { t.Logf("%s everything answers after %.1f s", when, time.Since(begun).Seconds()) }()
		for _, r := range rows {
			_, b := r.Ends(n)
			if err := AwaitPing(n.A, b.IPv4, time.Minute); err != nil {
				t.Errorf("%s, %s: %v", when, r.Name(), err)
			}
		}
	}
	// The link's index and address: those of a device made again are others.
	links := func() (all []string) {
		for line := range strings.Lines(n.A.MustRun(t, "ip", "-o", "link", "show", "type", "l2tpeth")) {
			fields := strings.Fields(line)
			all = append(all, fields[0]+fields[1]+fields[len(fields)-3])
		}
		return all
	}
	reach("with the first adit")
	before := links()
	d.Stop(t)
	reach("with no adit")
	d.Restart(t)
	var all []control.Static
	WaitFor(t, time.Minute, "all tunnels to be up", func() bool {
		d.JSON(t, &all, "static")
		for _, s := range all {
			if s.State != "up" {
				return false
			}
		}
		return len(all) == len(rows)
	})
	for _, s := range all {
		if !s.Adopted || s.Repairs != 0 || s.Problem != "" {
			t.Errorf("%s was not taken over as it was: %+v", s.Name, s)
		}
	}
	reach("with the second adit")
	if after := links(); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("the devices are %q, and were %q", after, before)
	}
}
