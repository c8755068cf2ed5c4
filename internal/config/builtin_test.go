package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serving is the least of a builtin LNS, to which tests add.
const serving = `
[profiles.default]
ppp = "builtin"
local_address = "10.0.0.1"
pool = "p"
[pools.p]
ranges = ["10.1.0.0/24"]
[[lns.peers]]
name = "a"
no_secret = true
`

func TestUsers(t *testing.T) {
	cfg := mustLoad(t, `
[[users]]
name = "alice"
password_file = "alice"
address = "10.0.0.2"
routes = ["192.0.2.0/24", "2001:db8:7::/48", "198.51.100.1"]
[[users]]
name = "EXAMPLE\\bob"
password = "it's"
`, fstest.MapFS{"cfg/alice": {Data: []byte("s3cret \n"), Mode: 0o600}})
	want := []*User{{
		Name: "alice", Password: Secret("s3cret "), Address: netip.MustParseAddr("10.0.0.2"),
		Routes: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:7::/48"), netip.MustParsePrefix("198.51.100.1/32"),
		},
	}, {Name: `EXAMPLE\bob`, Password: Secret("it's")}}
	if diff := cmp.Diff(want, cfg.Users, comparers); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

func TestBuiltin(t *testing.T) {
	cfg := mustLoad(t, `
[tun]
name = "l2tp%d"
mtu = 2000
queues = 4
[profiles.p]
ppp = "builtin"
auth = ["eap", "pap"]
dns = ["192.0.2.53"]
wins = ["192.0.2.54", "192.0.2.55"]
ipv4 = false
mtu = 1500
mru = 1492
echo_interval = "0s"
echo_failures = 2
rechallenge = "1h"
session_timeout = "24h"
idle_timeout = "10m"
proxy = "renegotiate"
interface = "sub%d"
clamp_mss = false
routes = ["0.0.0.0/0", "::/0"]
[profiles.q]
ppp = "builtin"
auth = []
mtu = 1300
[[lac.tunnels]]
name = "t"
remote = "192.0.2.1"
profile = "p"
[[lac.tunnels.sessions]]
user = "alice"
password = "x"
`, nil)
	if want := (TUN{"l2tp%d", 2000, 4}); cfg.TUN != want {
		t.Errorf("[tun] is %+v, want %+v", cfg.TUN, want)
	}
	want := Builtin{
		Auth: []Auth{AuthEAP, AuthPAP},
		DNS:  [2]netip.Addr{netip.MustParseAddr("192.0.2.53")},
		WINS: [2]netip.Addr{netip.MustParseAddr("192.0.2.54"), netip.MustParseAddr("192.0.2.55")},
		IPv6: true, MRU: 1492, EchoFailures: 2, Rechallenge: time.Hour,
		SessionTimeout: 24 * time.Hour, IdleTimeout: 10 * time.Minute,
		Proxy: ProxyRenegotiate, Interface: "sub%d",
		Routes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
	}
	if diff := cmp.Diff(want, cfg.Profiles["p"].Builtin, comparers); diff != "" {
		t.Errorf("profile p (-want +got):\n%s", diff)
	}
	q := cfg.Profiles["q"].Builtin
	if q.MRU != 1300 || q.Auth == nil || len(q.Demanded())+len(q.Answered()) != 0 {
		t.Errorf("profile q is %+v", q)
	}
	if s := cfg.LAC.Tunnels[0].Sessions[0]; s.User != "alice" || string(s.Password) != "x" {
		t.Errorf("the session has user %q", s.User)
	}
	if len(cfg.Warnings) != 0 {
		t.Errorf("warnings:\n%v", cfg.Warnings)
	}
}

func TestAuthDefaults(t *testing.T) {
	b := &mustLoad(t, "", nil).Profiles["default"].Builtin
	if got := b.Demanded(); slices.Contains(got, AuthPAP) || got[0] != AuthMSCHAPv2 {
		t.Errorf("an LNS asks for %v", got)
	}
	if got := b.Answered(); len(got) != 4 {
		t.Errorf("a client answers %v", got)
	}
}

func TestUnusedKeysAreWarnings(t *testing.T) {
	for _, c := range []struct {
		name, document string
		keys           []string // of the profile that warnings are about
	}{
		{"builtin", "ppp = 'builtin'\npty = 'sync'\npppd_options = []\npppd_debug = false\npppd_options_file = 'o'\n",
			[]string{"pppd_debug", "pppd_options", "pppd_options_file", "pty"}},
		{"pppd", "ppp = 'pppd'\nauth = []\nmru = 1300\nroutes = ['10.0.0.0/8']\npty = 'sync'\nmtu = 1300\n",
			[]string{"auth", "mru", "routes"}},
		{"discard", "ppp = 'discard'\nclamp_mss = true\n", []string{"clamp_mss"}},
		{"auto", "auth = []\npty = 'sync'\npppd_debug = true\nclamp_mss = true\nmtu = 1000\n", nil},
		{"small", "ppp = 'builtin'\nmru = 1279\n", []string{"mru"}},
		{"small mtu", "ppp = 'builtin'\nmtu = 1000\n", []string{"mtu"}},
		{"small and IPv4", "ppp = 'builtin'\nmtu = 1000\nipv6 = false\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := mustLoad(t, "[[lac.tunnels]]\nname = 't'\nremote = '192.0.2.1'\n[profiles.default]\n"+c.document, fstest.MapFS{"cfg/o": {}})
			var keys []string
			for _, w := range cfg.Warnings {
				if w.Line < 5 {
					t.Errorf("%v has not its own line", w)
				}
				keys = append(keys, strings.TrimPrefix(w.Key, "profiles.default."))
			}
			slices.Sort(keys)
			if diff := cmp.Diff(c.keys, keys); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoutesOfAnLNSAreAWarning(t *testing.T) {
	document := strings.Replace(serving, "[pools.p]", "auth = []\nroutes = ['10.9.0.0/16']\n[pools.p]", 1)
	cfg := mustLoad(t, document, nil)
	if len(cfg.Warnings) != 1 || cfg.Warnings[0].Key != "profiles.default.routes" {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
	cfg = mustLoad(t, document+"[[lac.tunnels]]\nname = 't'\nremote = '192.0.2.1'\n", nil)
	if len(cfg.Warnings) != 0 {
		t.Errorf("a client has the profile too, but: %v", cfg.Warnings)
	}
}

// TestCheckBuiltin asks for "auto" what Load asks for "builtin".
func TestCheckBuiltin(t *testing.T) {
	auto := strings.Replace(serving, `"builtin"`, `"auto"`, 1)
	user := "[[users]]\nname = 'bob'\npassword = 'x'\n"
	for _, c := range []struct {
		name, document string
		lacking        []string
	}{
		{"nobody", auto, []string{"auth"}},
		{"a user", auto + user, nil},
		{"no local address", strings.Replace(auto, "local_address", "mtu = 1400 #", 1) + user, []string{"local_address"}},
		{"no pool", strings.Replace(auto, `pool = "p"`, "", 1) + user, []string{"pool"}},
		{"no pool, fixed addresses", strings.Replace(auto, `pool = "p"`, "", 1) + user + "address = '10.2.0.1'\n", nil},
		{"no pool, open", strings.Replace(auto, `pool = "p"`, "auth = []", 1), []string{"pool"}},
		{"IPv6 alone, open", "[profiles.default]\nipv4 = false\nauth = []\n", nil},
		{"nothing", "", []string{"auth", "local_address"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := mustLoad(t, c.document, nil)
			err := cfg.CheckBuiltin(cfg.Profiles["default"])
			var keys []string
			if err != nil {
				for line := range strings.Lines(err.Error()) {
					key, _, _ := strings.Cut(strings.TrimPrefix(line, "profiles.default."), ":")
					keys = append(keys, key)
				}
			}
			if diff := cmp.Diff(c.lacking, keys); diff != "" {
				t.Errorf("lacking (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUses(t *testing.T) {
	cfg := mustLoad(t, `
[profiles.a]
[profiles.b]
[profiles.c]
[profiles.d]
[profiles.e]
[profiles.f]
[[lns.peers]]
name = "a"
no_secret = true
profile = "a"
[[lns.peers]]
name = "b"
no_secret = true
profile = "b"
allow_outgoing = true
[[lns.peers]]
name = "c"
no_secret = true
profile = "c"
allow_incoming = false
allow_outgoing = true
[[lns.outgoing]]
peer = "b"
called_number = "1"
profile = "d"
[[lac.tunnels]]
name = "t"
remote = "192.0.2.1"
profile = "e"
sessions = [{profile = "d"}, {profile = "e", direction = "outgoing", called_number = "1"}]
`, nil)
	got := map[string]Uses{}
	for p, u := range cfg.Uses() {
		got[p.Name] = u
	}
	want := map[string]Uses{
		"a": {LNS: true}, "b": {true, true}, "c": {Client: true}, "d": {true, true}, "e": {LNS: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
}

func TestInterfaceNames(t *testing.T) {
	for name, good := range map[string]bool{
		"adit0": true, "sub%d": true, "%d": true, "a.b-c_d": true, "fifteen-octets0": true, "fourteen-oct%d": true,
		"": false, ".": false, "..": false, "a/b": false, "a b": false, "a:b": false, "a%s": false, "%d%d": false,
		"sixteen-octets-0": false, "é": false, "a\u00a0b": false, "100%": false,
	} {
		_, err := load(t, "[tun]\nname = '"+name+"'\n", nil)
		if (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}
