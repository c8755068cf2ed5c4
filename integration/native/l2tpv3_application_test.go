package native

import (
	"fmt"
	"strings"
	"testing"

	"adit/integration/scenario"
)

// TestL2TPv3ApplicationID: circuits of one Remote End ID go by their Application IDs, 0
// among them, and one that no end has is refused, counted and said. RFC 3931 section 5.4.4:
// "Other AVPs MAY be used for LCCE or circuit identification".
func TestL2TPv3ApplicationID(t *testing.T) {
	t.Parallel()
	n := network(t)
	rows := []scenario.Row{
		{Number: 1, APlane: "userspace", BPlane: "userspace", Cookie: 8}, {Number: 2, APlane: "userspace", BPlane: "userspace", Cookie: 8},
		{Number: 3, APlane: "userspace", BPlane: "userspace", Cookie: 8},
	}
	wires := func(end int, order []int, ids []string) (text string, names []string) {
		for _, i := range order {
			text += rows[i].Wire(end).TOML() + "remote_end_id = \"site\"\napplication_id = " + ids[i] + "\n"
			names = append(names, fmt.Sprintf("%q", rows[i].Device()))
		}
		return text, names
	}
	// The list of B begins with what is asked for last, so that nothing goes by order.
	accept, names := wires(2, []int{2, 1, 0}, []string{"0", "65535", "7"})
	accept = fmt.Sprintf("host_name = \"b.test\"\n[[listen]]\naddress = \"%s:1701\"\n", n.AddrB()) + accept +
		fmt.Sprintf("[[lns.peers]]\nname = \"a\"\nppp = false\nsecret = \"s3cret\"\nversions = [3]\npseudowires = [%s]\n", strings.Join(names, ", "))
	dial, names := wires(1, []int{0, 1, 2}, []string{"0", "65535", "8"})
	dial = "host_name = \"a.test\"\nlisten = []\n" + dial +
		fmt.Sprintf("[[lac.tunnels]]\nname = \"b\"\nremote = \"%s:1701\"\nsecret = \"s3cret\"\nversions = [3]\n", n.AddrB())
	for _, name := range names {
		dial += fmt.Sprintf("[[lac.tunnels.sessions]]\nname = %s\npseudowire = %s\n", name, name)
	}
	b := scenario.Adit(t, n.B, accept)
	a := scenario.Adit(t, n.A, dial)
	for _, r := range rows[:2] {
		x, y := r.Ends(n)
		if err := scenario.AwaitPing(x.NS, y.IPv4, upLimit); err != nil {
			t.Errorf("%s: %v", r.Device(), err)
		}
	}
	scenario.WaitFor(t, upLimit, "the third to be refused", func() bool { return status(t, b).Counters["calls_failed"] > 0 })
	for _, d := range []*scenario.AditDaemon{a, b} {
		got := map[uint16]bool{}
		for _, s := range sessions(t, d) {
			if s.State == "up" && s.RemoteEndID == "site" && s.ApplicationID != nil {
				got[*s.ApplicationID] = true
			}
		}
		if !got[0] || !got[65535] || len(got) != 2 {
			t.Errorf("%s has sessions of the Application IDs %v, want 0 and 65535", d.Name, got)
		}
	}
	scenario.WaitFor(t, upLimit, "the line that says why", func() bool {
		return strings.Contains(b.Log(), "and the Application ID 8, and here") && strings.Contains(b.Log(), "make application_id of both ends agree")
	})
}
