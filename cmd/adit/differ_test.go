package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"adit/internal/config"
)

const differBase = `
host_name = "lns"
vendor_name = "v"
[log]
level = "info"
[limits]
tunnels = 100
[pools.a]
ranges = ["10.0.0.2-10.0.0.9"]
[pools.b]
ranges = ["10.0.1.2-10.0.1.9"]
[radius]
nas_identifier = "nas"
[radius.dynamic_authorization]
listen = "127.0.0.1:3799"
[[radius.dynamic_authorization.clients]]
addresses = ["192.0.2.7"]
secret = "coa-secret"
[radius.servers.one]
address = "192.0.2.7"
secret = "radius-secret"
[radius.groups.g]
servers = ["one"]
[dhcp.d]
servers = ["192.0.2.8"]
relay = "10.9.0.1"
[[realms]]
name = "example.net"
aaa = ["g"]
[profiles.p]
ppp = "discard"
local_address = "10.0.0.1"
pool = "a"
[profiles.q]
ppp = "discard"
[[users]]
name = "alice"
password = "alice-secret"
routes = ["192.168.7.0/24"]
[[lns.peers]]
name = "pop"
secret = "peer-secret"
profile = "p"
[[lns.outgoing]]
name = "back"
peer = "pop"
called_number = "030"
[[lac.tunnels]]
name = "up"
remote = "192.0.2.1"
secret = "tunnel-secret"
[[lac.tunnels.sessions]]
name = "s"
[[pseudowires]]
name = "one"
type = "hdlc"
switch = "other"
[[pseudowires]]
name = "other"
type = "hdlc"
[[l2tpv3.static]]
name = "branch"
local = "192.0.2.1:5000"
remote = "192.0.2.2:5000"
tunnel_id = 1
peer_tunnel_id = 2
[[l2tpv3.static.sessions]]
session_id = 3
peer_session_id = 4
cookie = "5ec4e700"
pseudowire = "one"
`

// TestDiffering: each part is named that differs, and none that only names it.
func TestDiffering(t *testing.T) {
	base := loadText(t, differBase)
	for _, test := range []struct {
		old, with string
		want      string
	}{
		{"", "", ""},
		{`host_name = "lns"`, `host_name = "lns2"`, "host_name lac.tunnels l2tpv3.router_id"}, // both are of it by default
		{`vendor_name = "v"`, `vendor_name = "w"`, "vendor_name"},
		{`host_name = "lns"`, "host_name = \"lns\"\nstate_dir = \"/var/other\"", "state_dir"},
		{`level = "info"`, `level = "debug"`, "log.level"},
		{`level = "info"`, `format = "json"`, "log.format"},
		{"[limits]", "[control]\ngroup = \"0\"\n[limits]", "control"},
		{"[limits]", "[[listen]]\naddress = \"127.0.0.1\"\n[limits]", "listen"},
		{"tunnels = 100", "tunnels = 99\nsessions_per_tunnel = 7", "limits lns.peers"}, // max_tunnels by default
		{"[limits]", "[control_channel]\nhello_interval = \"7s\"\n[limits]", "control_channel lns.peers lac.tunnels"},
		{"[limits]", "[pppd]\nstop_timeout = \"7s\"\n[limits]", "pppd"},
		{"[limits]", "[tun]\nmtu = 1400\n[limits]", "tun"},
		{"[limits]", "[hooks]\nsession_up = \"/bin/sh\"\n[limits]", "hooks"},
		{"10.0.0.9", "10.0.0.8", "pools.a"},
		{"[pools.b]", "[pools.c]", "pools.b pools.c"},
		{`servers = ["192.0.2.8"]`, `servers = ["192.0.2.9"]`, "dhcp.d"},
		{"radius-secret", "radius-other", "radius.servers.one"},
		{`servers = ["one"]`, "servers = [\"one\"]\ninterim_interval = \"5m\"", "radius.groups.g"},
		{"coa-secret", "coa-other", "radius.dynamic_authorization.clients"},
		{"127.0.0.1:3799", "127.0.0.1:3800", "radius.dynamic_authorization.listen"},
		{`nas_identifier = "nas"`, `nas_identifier = "other"`, "radius"},
		{`name = "example.net"`, `name = "example.com"`, "realms"},
		{`pool = "a"`, `pool = "b"`, "profiles.p"},
		{"[profiles.q]\nppp = \"discard\"", "[profiles.q]\nppp = \"discard\"\nauth = []", "profiles.q"},
		{"alice-secret", "alice-other", "users"},
		{"192.168.7.0/24", "192.168.8.0/24", "users"},
		{`profile = "p"`, `profile = "q"`, "lns.peers lns.outgoing"},
		{"peer-secret", "peer-other", "lns.peers"},
		{`called_number = "030"`, `called_number = "031"`, "lns.outgoing"},
		{"tunnel-secret", "tunnel-other", "lac.tunnels"},
		{`name = "s"`, `name = "t"`, "lac.tunnels"},
		{"[[pseudowires]]\nname = \"other\"", "[[pseudowires]]\nsequencing = \"all\"\nname = \"other\"", "l2tpv3.static"}, // whose session it is switched to
		{"peer_session_id = 4", "peer_session_id = 5", "l2tpv3.static"},
		{"5ec4e700", "5ec4e701", "l2tpv3.static"},
		{"[limits]", "[l2tpv3]\nrouter_id = 1\n[limits]", "l2tpv3.router_id"},
		{"[limits]", "[l2tpv3]\nlisten_ip = [\"::\"]\n[limits]", "l2tpv3.listen_ip"},
	} {
		text := strings.Replace(differBase, test.old, test.with, 1)
		if test.old != "" && text == differBase {
			t.Fatalf("%q is not in the base", test.old)
		}
		for i, got := range [][]string{differing(base, loadText(t, text)), differing(loadText(t, text), base)} {
			if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("%q for %q (%d):\n%s", test.with, test.old, i, diff)
			}
			if strings.Contains(fmt.Sprint(got), "secret") {
				t.Errorf("a secret is told: %v", got)
			}
		}
	}
}

// TestDifferingKnowsAll: whatever field of a configuration is another, some part
// is named; but for those that are none of the file.
func TestDifferingKnowsAll(t *testing.T) {
	none := map[string]bool{"Path": true, "Warnings": true, "UsersFile": true, "ChapSecrets": true}
	base := loadText(t, differBase)
	for i := range reflect.TypeFor[config.Config]().NumField() {
		field := reflect.TypeFor[config.Config]().Field(i)
		other := *base
		v := reflect.ValueOf(&other).Elem().Field(i)
		if none[field.Name] {
			continue
		}
		if v.IsZero() {
			if field.Name != "Hooks" && field.Name != "Listen" {
				t.Errorf("the base has no %s", field.Name)
			}
			continue
		}
		v.SetZero()
		if len(differing(base, &other)) == 0 {
			t.Errorf("nothing is said of another %s", field.Name)
		}
	}
}

// loadText loads a configuration.
func loadText(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "adit.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}
