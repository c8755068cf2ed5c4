package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// runningStatic is a configuration to which static tunnels are added.
const runningStatic = `
tun = {name = "adit0"}
[[listen]]
address = "0.0.0.0:1701"
[[lns.peers]]
name = "peer"
no_secret = true
versions = [3]
pseudowires = ["block", "by hand/1"]
[[pseudowires]]
name = "block"
interface = "blk0"
[[pseudowires]]
name = "by hand/1"
[[lac.tunnels]]
name = "dialled"
remote = "192.0.2.9"
versions = [3]
[[lac.tunnels.sessions]]
pseudowire = "session"
[[pseudowires]]
name = "session"
[[l2tpv3.static]]
name = "one"
local = "192.0.2.1:5000"
remote = "192.0.2.2:5000"
tunnel_id = 1
peer_tunnel_id = 2
[[l2tpv3.static.sessions]]
session_id = 11
peer_session_id = 12
interface = "one0"
`

// byHand is a tunnel to be added, with changes to it.
func byHand(changes ...string) string {
	text := `[[l2tpv3.static]]
name = "by command"
local = "192.0.2.1:6000"
remote = "192.0.2.2:6000"
tunnel_id = 3
peer_tunnel_id = 4
[[l2tpv3.static.sessions]]
session_id = 13
peer_session_id = 14
cookie_file = "cookie"
interface = "two%d"
mtu = 1400
`
	return strings.NewReplacer(changes...).Replace(text)
}

func parseStatic(t *testing.T, document string) (*Config, *Added, error) {
	t.Helper()
	running := mustLoad(t, runningStatic, nil)
	sys := machine(fstest.MapFS{"cfg/cookie": {Data: []byte("0011223344556677\n"), Mode: 0o600}})
	added, err := ParseStaticFrom(sys, running, "/cfg/more.toml", document)
	return running, added, err
}

// TestParseStatic: what is added is as it would be in the configuration itself, which
// stays as it was.
func TestParseStatic(t *testing.T) {
	running, added, err := parseStatic(t, byHand())
	if err != nil {
		t.Fatal(err)
	}
	same := mustLoad(t, byHand(), fstest.MapFS{"cfg/cookie": {Data: []byte("0011223344556677"), Mode: 0o600}})
	if diff := cmp.Diff(same.L2TPv3.Static, added.Static, comparers); diff != "" {
		t.Error(diff)
	}
	if len(added.Static[0].Sessions[0].Cookie) != 8 || added.Static[0].Sessions[0].Pseudowire.MTU != 1400 || len(added.Warnings) != 0 {
		t.Errorf("%+v %v", added.Static[0].Sessions[0], added.Warnings)
	}
	more := running.WithStatic(added)
	if len(more.L2TPv3.Static) != 2 || len(running.L2TPv3.Static) != 1 || more.L2TPv3.Static[0] != running.L2TPv3.Static[0] || more.L2TPv3.Static[1] != added.Static[0] {
		t.Errorf("%v beside %v", more.L2TPv3.Static, running.L2TPv3.Static)
	}
	if err := running.FitStatic(added); err != nil {
		t.Error(err)
	}
	// Twice is once too often, and every reason is told.
	if _, err = ParseStaticFrom(machine(fstest.MapFS{"cfg/cookie": {Data: []byte("00112233"), Mode: 0o600}}), more, "/cfg/more.toml", byHand()); err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("the same again: %v", err)
	}
	_, added, err = parseStatic(t, byHand("tunnel_id = 3", "tunnel_id = 3\nlink_down = true"))
	if err != nil || len(added.Warnings) != 1 || added.Warnings[0].Line != 6 {
		t.Errorf("a warning: %+v, %v", added, err)
	}
}

// TestParseStaticErrors: one mistake at a time, with its line, and nothing of it in the
// text that belongs to a secret.
func TestParseStaticErrors(t *testing.T) {
	for _, c := range []struct {
		change []string
		want   []string // "line key: text" begins so
	}{
		{[]string{"tunnel_id = 3", "tunnel_id = 1"}, []string{`5 l2tpv3.static[0].tunnel_id: 1 is that of static tunnel "one" already`}},
		{[]string{`"by command"`, `"one"`}, []string{`2 l2tpv3.static[0].name: "one" is the name of a static tunnel already`}},
		{[]string{`"by command"`, `"peer"`}, []string{`2 l2tpv3.static[0].name: "peer" is the name of an [[lns.peers]] block`}},
		{[]string{`"by command"`, `"dialled"`}, []string{`2 l2tpv3.static[0].name: "dialled" is the name of a [[lac.tunnels]] block`}},
		{[]string{"session_id = 13", "name = \"1\"\nsession_id = 13", `"by command"`, `"by hand"`}, []string{`8 l2tpv3.static[0].sessions[0].name: makes a pseudowire "by hand/1"`}},
		{[]string{"\nsession_id = 13", "\nsession_id = 11"}, []string{`8 l2tpv3.static[0].sessions[0].session_id: 11 is that of session "1" of static tunnel "one"`}},
		{[]string{"peer_session_id = 14", "peer_session_id = 12", "192.0.2.2:6000", "192.0.2.2:5000"},
			[]string{`9 l2tpv3.static[0].sessions[0].peer_session_id: 12 is that of session "1" of static tunnel "one"`}},
		{[]string{"192.0.2.1:6000", "192.0.2.1:5000"}, []string{"3 l2tpv3.static[0].local: 192.0.2.1:5000 is that of static tunnel \"one\" already, and the kernel"}},
		{[]string{":6000", ":5000"}, []string{`3 l2tpv3.static[0].local: 192.0.2.1:5000 to 192.0.2.2:5000 is the way of static tunnel "one"`}},
		{[]string{"192.0.2.1:6000", "192.0.2.1:1701"}, []string{"3 l2tpv3.static[0].local: 192.0.2.1:1701 is listened on by 0.0.0.0:1701"}},
		{[]string{"two%d", "one0"}, []string{`11 l2tpv3.static[0].sessions[0].interface: "one0" is the interface of pseudowire "one/1"`}},
		{[]string{"two%d", "blk0"}, []string{`11 l2tpv3.static[0].sessions[0].interface: "blk0" is the interface of pseudowire "block"`}},
		{[]string{"two%d", "adit0"}, []string{`11 l2tpv3.static[0].sessions[0].interface: "adit0" is the interface of tun`}},
		{[]string{"tunnel_id = 3", "tunnel_id = 3\nkeep = true"}, []string{"6 l2tpv3.static[0].keep: is true, but a tunnel that is added by command"}},
		{[]string{"mtu = 1400", "mtu = 1400\npseudowire = \"block\""}, []string{"13 l2tpv3.static[0].sessions[0].pseudowire: names a [[pseudowires]] block"}},
		{[]string{"mtu = 1400", "mtu = \"big\"\ncolour = 1"}, []string{"12 l2tpv3.static[0].sessions[0].mtu: ", "13 l2tpv3.static[0].sessions[0].colour: unknown key"}},
		{[]string{"tunnel_id = 3", "", "peer_tunnel_id = 4", ""}, []string{"1 l2tpv3.static[0].peer_tunnel_id: is missing", "1 l2tpv3.static[0].tunnel_id: is missing"}},
		{[]string{`"cookie"`, `"secret of another"`}, []string{"10 l2tpv3.static[0].sessions[0].cookie_file: /cfg/secret of another cannot be read"}},
		{[]string{"[[l2tpv3.static]]", "host_name = \"x\"\n[[l2tpv3.static]]"}, []string{"1 host_name: unknown key; "}},
		{[]string{"[[l2tpv3.static]]", "l2tpv3.router_id = 7\n[[l2tpv3.static]]"}, []string{"1 l2tpv3.router_id: unknown key"}},
	} {
		_, added, err := parseStatic(t, byHand(c.change...))
		errs, ok := err.(Errors)
		if !ok || added != nil || len(errs) != len(c.want) {
			t.Errorf("%q: %v, %v; want %q", c.change, added, err, c.want)
			continue
		}
		for i, e := range errs {
			if got := fmt.Sprintf("%d %s: %s", e.Line, e.Key, e.Text); !strings.HasPrefix(got, c.want[i]) || e.File != "/cfg/more.toml" {
				t.Errorf("%q: %q in %s; want %q", c.change, got, e.File, c.want[i])
			}
		}
	}
	for _, document := range []string{"", "[l2tpv3]\nstatic = []", "x", "[[l2tpv3.static]]\n[[l2tpv3.static]]"} {
		if _, added, err := parseStatic(t, document); err == nil || added != nil {
			t.Errorf("%q is good: %v", document, added)
		}
	}
	// What the other plane can share it may.
	plane := []string{"tunnel_id = 3", "tunnel_id = 3\ndataplane = \"userspace\""}
	if _, _, err := parseStatic(t, byHand(append(plane, "192.0.2.1:6000", "192.0.2.1:1701")...)); err != nil {
		t.Error(err)
	}
}

// TestFitStatic: a reload may bring what was added by command already.
func TestFitStatic(t *testing.T) {
	_, added, err := parseStatic(t, byHand())
	if err != nil {
		t.Fatal(err)
	}
	next := mustLoad(t, strings.Replace(runningStatic, "session_id = 11", "session_id = 13", 1), nil)
	next.L2TPv3.Static[0].Local = netip.MustParseAddrPort("192.0.2.7:5000")
	err = next.FitStatic(added)
	const want = `/cfg/adit.toml: the static tunnel "by command", which was added by command, does not go with it: its sessions[0].session_id 13 is that of session "1" of static tunnel "one" already, and data messages tell sessions of all tunnels apart by it alone; choose another; or remove the tunnel with "adit static remove by command"`
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}
