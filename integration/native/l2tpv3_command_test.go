package native

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"adit/integration/scenario"
	"adit/internal/control"
)

// nothingYet is a daemon that nobody may connect to and that dials nobody.
const nothingYet = "host_name = \"a.test\"\nlisten = []\n"

// byFile is one end of a static tunnel, with other cookies than the defaults.
func byFile(local, remote netip.Addr) string {
	return fmt.Sprintf(`[[l2tpv3.static]]
name = "by file"
local = "%s:6001"
remote = "%s:6000"
tunnel_id = 4000000002
peer_tunnel_id = 4000000001
dataplane = "userspace"
[[l2tpv3.static.sessions]]
name = "lan"
session_id = 4000000012
peer_session_id = 4000000011
cookie = "00112233"
peer_cookie = "8899aabbccddeeff"
interface = "cmd0"
addresses = ["10.94.0.2/30"]
sequencing = "all"
`, local, remote)
}

// byFlags is the other end.
func byFlags(n *scenario.Net) []string {
	return []string{"static", "add", "--name", "by flags", "--local", n.AddrA().String() + ":6000", "--remote", n.AddrB().String() + ":6001",
		"--tunnel-id", "4000000001", "--peer-tunnel-id", "4000000002", "--session-id", "4000000011", "--peer-session-id", "4000000012",
		"--cookie", "8899aabbccddeeff", "--peer-cookie", "00112233", "--interface", "cmd0", "--mtu", "1400", "--sequencing", "all", "--dataplane", "userspace"}
}

// TestL2TPv3StaticByCommand: a tunnel that commands have made carries frames, is shown, is
// not touched by a reload, stands against one that would need its numbers, and goes by
// command.
func TestL2TPv3StaticByCommand(t *testing.T) {
	t.Parallel()
	n := network(t)
	a, b := scenario.Adit(t, n.A, nothingYet), scenario.Adit(t, n.B, nothingYet)
	file := filepath.Join(b.Dir, "more.toml")
	if err := os.WriteFile(file, []byte(byFile(n.AddrB(), n.AddrA())), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(d *scenario.AditDaemon, want string, args ...string) {
		t.Helper()
		if out, err := d.Command(args...); err != nil || !strings.Contains(out, want) {
			t.Fatalf("%q: %v %q", args, err, out)
		}
	}
	refused := func(d *scenario.AditDaemon, want string, args ...string) {
		t.Helper()
		if out, err := d.Command(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%q: %v %q, want %q", args, err, out, want)
		}
	}
	command(b, "added until the daemon ends: by file", "static", "add", "-f", file)
	command(a, "added until the daemon ends: by flags", byFlags(n)...)
	scenario.WaitFor(t, upLimit, "the device", func() bool { d, err := n.A.Device("cmd0"); return err == nil && d.Up && d.MTU == 1400 })
	n.A.MustRun(t, "ip", "addr", "add", "10.94.0.1/30", "dev", "cmd0")
	far := netip.MustParseAddr("10.94.0.2")
	ping := func() {
		t.Helper()
		if err := scenario.AwaitPing(n.A, far, upLimit); err != nil {
			t.Fatal(err)
		}
	}
	ping()

	var all []control.Static
	a.JSON(t, &all, "static")
	if len(all) != 1 || all[0].Origin != control.OriginCommand || all[0].State != "up" || all[0].DataPlane != "userspace" || len(all[0].Sessions) != 1 {
		t.Fatalf("%+v", all)
	}
	if s := all[0].Sessions[0]; !s.Up || s.Interface != "cmd0" || s.ID != 4000000011 || s.CookieLength != 8 || s.PeerCookieLength != 4 || s.Traffic.RxPackets == 0 || s.Traffic.TxPackets == 0 {
		t.Errorf("%+v", s)
	}
	if s := status(t, a); s.Static == nil || *s.Static != (control.StaticCounts{Up: 1}) {
		t.Errorf("status: %+v", s.Static)
	}
	// The kernel knows nothing of it, and nobody else's tunnel is there.
	out, err := a.Command("show", "sessions")
	if err != nil || !strings.Contains(out, "by flags/1") || !strings.Contains(out, "4000000001/4000000011") || !strings.Contains(out, "userspace") {
		t.Errorf("show: %v %q", err, out)
	}

	// What is wrong is told all at once, and by flag.
	wrong := byFlags(n)
	wrong[slices.Index(wrong, "--mtu")+1] = "1"
	refused(a, "--tunnel-id: 4000000001 is that of static tunnel \"by flags\" already", wrong...)
	refused(a, "--mtu: ", wrong...)
	refused(a, "exit status 2", wrong...)

	before, err := n.A.Device("cmd0")
	if err != nil {
		t.Fatal(err)
	}
	command(a, "nothing has changed", "reload")
	a.WriteConfig(t, nothingYet+strings.NewReplacer("by file", "of the file", "cmd0", "cmd1", ":6001", ":6002", ":6000", ":6003").Replace(byFile(n.AddrA(), n.AddrB())))
	command(a, "1 added, 0 removed", "reload") // other numbers, beside it
	a.WriteConfig(t, nothingYet+strings.NewReplacer("by file", "of the file", "4000000002", "4000000001", ":6001", ":6002").Replace(byFile(n.AddrA(), n.AddrB())))
	refused(a, `adit static remove by flags`, "reload")
	refused(a, "it stands in the configuration", "static", "remove", "of the file")
	a.JSON(t, &all, "static")
	if len(all) != 2 || all[0].Origin != control.OriginConfiguration || all[1].Origin != control.OriginCommand {
		t.Errorf("%+v", all)
	}
	if after, err := n.A.Device("cmd0"); err != nil || after.Counts.RxPackets < before.Counts.RxPackets {
		t.Errorf("the device is another after a reload: %+v, %v", after, err)
	}
	ping()

	listens := func() bool { return strings.Contains(n.A.MustRun(t, "ss", "-Hlun"), ":6000 ") }
	if !listens() {
		t.Error("its socket is not to be seen")
	}
	command(a, "removed by flags with 1 session", "static", "remove", "by flags")
	scenario.WaitFor(t, upLimit, "the device to go", func() bool { return len(n.A.Interfaces(t, "cmd0")) == 0 })
	scenario.WaitFor(t, upLimit, "the socket to be closed", func() bool { return !listens() })
	refused(a, "not found", "static", "remove", "by flags")
	command(a, "1 replaced", "reload") // what stood against it is gone
	b.Stop(t)
	awaitNoDevice(t, n.B, "cmd0")
}
