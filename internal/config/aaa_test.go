package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// isp is a configuration with all of the AAA layer, to which tests add.
const isp = `
host_name = "lns1"
state_dir = "/var/spool/adit"
[radius]
nas_address = "192.0.2.1"
tunnel_accounting = true
[radius.servers.a]
address = "192.0.2.10"
secret = "sa"
[radius.servers.b]
address = "2001:db8::10"
auth_port = 1645
acct_port = 1646
source = "2001:db8::1"
secret_file = "b"
timeout = "1s"
retries = 0
dead_time = "0s"
max_pending = 65536
require_message_authenticator = false
[radius.groups.g]
servers = ["b", "a"]
[radius.groups.h]
servers = ["a"]
interim_interval = "0s"
[radius.dynamic_authorization]
listen = "[::1]"
[[radius.dynamic_authorization.clients]]
addresses = ["192.0.2.10", "2001:db8::/64"]
secret = "sc"
[pools.four]
ranges = ["10.1.0.0/24"]
rest = "0s"
[pools.links]
prefixes = ["2001:db8:100::/40", "2001:db8:4000::/34"]
length = 64
rest = "1h"
[pools.homes]
prefixes = ["2001:db8:200::/40"]
length = 56
[dhcp.r]
servers = ["192.0.2.20", "192.0.2.21"]
relay = "10.3.0.1"
on_loss = "keep"
[dhcp.c]
mode = "client"
interface = "eth1"
timeout = "3s"
[hooks]
session_up = "/hooks/up"
timeout = "1m"
concurrency = 1
max_waiting = 0
[profiles.default]
ppp = "builtin"
local_address = "10.3.0.1"
pool = "four"
aaa = ["local", "g"]
max_sessions = 2
second_login = "replace"
failure_delay = "0s"
ipv6_pool = "links"
delegated_pool = "homes"
dns_ipv6 = ["2001:db8::53"]
domain = "example.net"
push_routes = ["0.0.0.0/0", "10.0.0.0/8"]
[profiles.quiet]
ppp = "builtin"
local_address = "10.3.0.1"
aaa = ["h"]
accounting = "none"
dhcp = "r"
[profiles.other]
ppp = "builtin"
local_address = "10.3.0.1"
accounting = "h"
dhcp = "c"
[[realms]]
name = "*.Example.net"
strip = true
aaa = ["h"]
[[realms]]
name = ""
profile = "other"
[[realms]]
name = "corp"
aaa = ["local"]
accounting = "g"
profile = "quiet"
[[lns.peers]]
name = "p"
no_secret = true
[[users]]
name = "alice"
nt_hash = "44EBBA8D5312b8d611474411f56989ae"
ipv6_prefix = "2001:db8:8::/64"
delegated_prefix = "2001:db8:9::/56"
routes = ["2001:db8:9::/56", "192.0.2.128/25"]
calling_numbers = ["030*", "1"]
profile = "other"
max_sessions = 3
session_timeout = "1h"
idle_timeout = "1m"
`

var ispFiles = fstest.MapFS{
	"cfg/b":    {Data: []byte("sb\n"), Mode: 0o600},
	"hooks/up": {Mode: 0o755},
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestRADIUS(t *testing.T) {
	cfg := mustLoad(t, isp, ispFiles)
	a := &RADIUSServer{Name: "a", Address: addr("192.0.2.10"), AuthPort: 1812, AcctPort: 1813, Secret: Secret("sa"),
		Timeout: 3 * time.Second, Retries: 2, DeadTime: time.Minute, MaxPending: 1024, RequireMessageAuthenticator: true}
	b := &RADIUSServer{Name: "b", Address: addr("2001:db8::10"), AuthPort: 1645, AcctPort: 1646, Source: addr("2001:db8::1"),
		Secret: Secret("sb"), Timeout: time.Second, MaxPending: 65536}
	want := RADIUS{
		NASIdentifier: "lns1", NASAddress: addr("192.0.2.1"), TunnelAccounting: true,
		Servers: map[string]*RADIUSServer{"a": a, "b": b},
		Groups: map[string]*RADIUSGroup{
			"g": {Name: "g", Servers: []*RADIUSServer{b, a}, InterimInterval: 10 * time.Minute},
			"h": {Name: "h", Servers: []*RADIUSServer{a}},
		},
		DynamicAuth: netip.MustParseAddrPort("[::1]:3799"),
		DynamicAuthClients: []*DynamicAuthClient{{
			Addresses: []netip.Prefix{prefix("192.0.2.10/32"), prefix("2001:db8::/64")}, Secret: Secret("sc"),
		}},
	}
	if diff := cmp.Diff(want, cfg.RADIUS, comparers); diff != "" {
		t.Errorf("[radius] (-want +got):\n%s", diff)
	}
	if cfg.RADIUS.Groups["g"].Servers[1] != cfg.RADIUS.Servers["a"] {
		t.Error("a group has another copy of its server")
	}
	if len(cfg.Warnings) != 0 {
		t.Errorf("warnings:\n%v", cfg.Warnings)
	}
	if cfg.StateDir != "/var/spool/adit" {
		t.Errorf("state_dir is %q", cfg.StateDir)
	}
}

func TestProfileAAA(t *testing.T) {
	cfg := mustLoad(t, isp, ispFiles)
	groups := cfg.RADIUS.Groups
	want := map[string]AAA{
		"default": {
			Sources: []string{Local, "g"}, Accounting: groups["g"], MaxSessions: 2, SecondLogin: SecondLoginReplace,
			IPv6Pool: cfg.Pools["links"], DelegatedPool: cfg.Pools["homes"], DNSv6: []netip.Addr{addr("2001:db8::53")},
			Domain: "example.net", PushRoutes: []netip.Prefix{prefix("0.0.0.0/0"), prefix("10.0.0.0/8")},
		},
		"quiet": {Sources: []string{"h"}, FailureDelay: time.Second, DHCP: cfg.DHCP["r"]},
		"other": {Accounting: groups["h"], FailureDelay: time.Second, DHCP: cfg.DHCP["c"]},
	}
	for name, aaa := range want {
		if diff := cmp.Diff(aaa, cfg.Profiles[name].AAA, comparers); diff != "" {
			t.Errorf("profile %s (-want +got):\n%s", name, diff)
		}
	}
	hooks := Hooks{Up: "/hooks/up", Timeout: time.Minute, Concurrency: 1}
	if cfg.Hooks != hooks {
		t.Errorf("[hooks] is %+v, want %+v", cfg.Hooks, hooks)
	}
	dhcp := map[string]*DHCP{
		"r": {Name: "r", Servers: []netip.Addr{addr("192.0.2.20"), addr("192.0.2.21")}, Relay: addr("10.3.0.1"),
			Option82: true, Timeout: 10 * time.Second, OnLoss: DHCPLossKeep},
		"c": {Name: "c", Mode: DHCPClient, Interface: "eth1", Timeout: 3 * time.Second},
	}
	if diff := cmp.Diff(dhcp, cfg.DHCP, comparers); diff != "" {
		t.Errorf("[dhcp] (-want +got):\n%s", diff)
	}
	links := &Pool{Name: "links", IPv6: []netip.Prefix{prefix("2001:db8:100::/40"), prefix("2001:db8:4000::/34")}, Length: 64, Rest: time.Hour}
	if diff := cmp.Diff(links, cfg.Pools["links"], comparers); diff != "" {
		t.Errorf("pool links (-want +got):\n%s", diff)
	}
	if four, homes := cfg.Pools["four"].Rest, cfg.Pools["homes"].Rest; four != 0 || homes != 24*time.Hour {
		t.Errorf("addresses rest for %v, prefixes for %v", four, homes)
	}
}

func TestUserKeys(t *testing.T) {
	cfg := mustLoad(t, isp, ispFiles)
	// RFC 2759 section 9.2, the NT hash of "clientPass".
	hash := Secret("\x44\xeb\xba\x8d\x53\x12\xb8\xd6\x11\x47\x44\x11\xf5\x69\x89\xae")
	want := []*User{{
		Name: "alice", NTHash: hash, IPv6Prefix: prefix("2001:db8:8::/64"), Delegated: prefix("2001:db8:9::/56"),
		Routes:         []netip.Prefix{prefix("2001:db8:9::/56"), prefix("192.0.2.128/25")},
		CallingNumbers: []string{"030*", "1"}, Profile: cfg.Profiles["other"], MaxSessions: 3,
		SessionTimeout: time.Hour, IdleTimeout: time.Minute,
	}}
	if diff := cmp.Diff(want, cfg.Users, comparers); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if cfg.Users[0].Profile != cfg.Profiles["other"] {
		t.Error("the user has another copy of the profile")
	}
}

func TestRealms(t *testing.T) {
	cfg := mustLoad(t, isp, ispFiles)
	want := []*Realm{
		// Accounting is that of the first group of its own list.
		{Name: "*.Example.net", Strip: true, Sources: []string{"h"}, Accounting: cfg.RADIUS.Groups["h"]},
		{Profile: cfg.Profiles["other"]},
		{Name: "corp", Sources: []string{Local}, Accounting: cfg.RADIUS.Groups["g"], Profile: cfg.Profiles["quiet"]},
	}
	if diff := cmp.Diff(want, cfg.Realms, comparers); diff != "" {
		t.Errorf("realms (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		name  string
		realm int // -1: none
		on    string
	}{
		{"alice", 1, "alice"},
		{"alice@a.example.NET", 0, "alice"},
		{`A.EXAMPLE.net\alice`, 0, "alice"},
		{"alice@example.net", -1, "alice@example.net"},
		{"a@b@x.example.net", 0, "a@b"},
		{`corp\alice`, 2, `corp\alice`},
		{`corp\alice@x.example.net`, 0, `corp\alice`},
		{`corp\a\b`, 2, `corp\a\b`},
		{"alice@", 1, "alice@"},
		{"", 1, ""},
	} {
		r, on := cfg.RealmOf(c.name)
		if got := slices.Index(cfg.Realms, r); got != c.realm || on != c.on {
			t.Errorf("%q is of realm %d and goes on as %q, want %d and %q", c.name, got, on, c.realm, c.on)
		}
	}
	if user, realm := SplitRealm(`corp\a\b`); user != `a\b` || realm != "corp" {
		t.Errorf("%q of %q", user, realm)
	}
}

// Profiles of realms and users are used where an LNS is.
func TestUsesOfRealmsAndUsers(t *testing.T) {
	cfg := mustLoad(t, isp, ispFiles)
	uses := cfg.Uses()
	for _, name := range []string{"default", "quiet", "other"} {
		if got := uses[cfg.Profiles[name]]; got != (Uses{LNS: true}) {
			t.Errorf("profile %s is used as %+v", name, got)
		}
	}
	client := strings.Replace(isp, "[[lns.peers]]\nname = \"p\"\nno_secret = true\n", "[[lac.tunnels]]\nname = 't'\nremote = '192.0.2.1'\n", 1)
	cfg = mustLoad(t, client, ispFiles)
	if uses = cfg.Uses(); len(uses) != 1 {
		t.Errorf("of a client, %d profiles are used", len(uses))
	}
}

func TestUnusedAAAKeysAreWarnings(t *testing.T) {
	const group = "[radius.servers.s]\naddress = '192.0.2.10'\nsecret = 'x'\n[radius.groups.g]\nservers = ['s']\n"
	all := "auth = ['pap']\ndns = ['192.0.2.53']\nipv4 = true\nrechallenge = '1h'\nidle_timeout = '1m'\nmax_sessions = 1\ndomain = 'example.net'\n"
	for _, c := range []struct {
		name, document string
		keys           []string
	}{
		{"pppd", "ppp = 'pppd'\n" + all, []string{"auth", "dns", "domain", "idle_timeout", "ipv4", "max_sessions", "rechallenge"}},
		{"pppd with accounting alone", "ppp = 'pppd'\naccounting = 'g'\n" + group, []string{"accounting"}},
		{"pppd with aaa", "ppp = 'pppd'\naaa = ['g']\n" + all + group, nil},
		{"pppd with aaa and more", "ppp = 'pppd'\naaa = ['g']\nproxy = 'accept'\nmru = 1400\n" + group, []string{"mru", "proxy"}},
		{"discard", "ppp = 'discard'\naaa = ['g']\nmax_sessions = 1\n" + group, []string{"aaa", "max_sessions"}},
		{"auto", all, nil},
		{"after a group", "aaa = ['g', 'local']\n" + group, []string{"aaa[1]"}},
		{"nobody asks", group, []string{"radius.groups.g"}},
		{"in no group", "[radius.servers.s]\naddress = '192.0.2.10'\nsecret = 'x'\n", []string{"radius.servers.s"}},
		{"no dhcp", "[dhcp.d]\nmode = 'client'\ninterface = 'eth0'\n", []string{"dhcp.d"}},
		{"no hook", "[hooks]\ntimeout = '1s'\n", []string{"hooks.timeout"}},
		{"nothing changed", "[[realms]]\nname = 'x'\n", []string{"realms[0]"}},
		{"two at one address", "[[users]]\nname = 'a'\npassword = 'x'\naddress = '10.0.0.2'\nmax_sessions = 2\n", []string{"users[0].max_sessions"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := mustLoad(t, "[[lac.tunnels]]\nname = 't'\nremote = '192.0.2.1'\n[profiles.default]\n"+c.document, nil)
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

// A profile lacks what nobody else gives.
func TestFaults(t *testing.T) {
	const group = "[radius.servers.s]\naddress = '192.0.2.10'\nsecret = 'x'\n[radius.groups.g]\nservers = ['s']\n"
	const dhcp = "[dhcp.d]\nmode = 'client'\ninterface = 'eth0'\n"
	const user = "[[users]]\nname = 'bob'\npassword = 'x'\n"
	const lns = "[[lns.peers]]\nname = 'p'\nno_secret = true\n"
	const builtin, pppd = "[profiles.default]\nppp = 'builtin'\nlocal_address = '10.0.0.1'\n", "[profiles.default]\nppp = 'pppd'\n"
	for _, c := range []struct {
		name, document string
		lacking        []string
	}{
		{"RADIUS knows users and addresses", builtin + "aaa = ['g']\n" + group, nil},
		{"after local too", builtin + "aaa = ['local', 'g']\n" + group, nil},
		{"a realm's RADIUS", builtin + group + "[[realms]]\nname = 'x'\naaa = ['g']\n", nil},
		{"RADIUS for nobody", builtin + "auth = []\naaa = ['g']\n" + group, []string{"pool"}},
		{"DHCP for nobody", builtin + "auth = []\ndhcp = 'd'\n" + dhcp, []string{"dhcp"}},
		{"DHCP, no users", builtin + "dhcp = 'd'\n" + dhcp, []string{"auth"}},
		{"DHCP, a user", builtin + "dhcp = 'd'\n" + dhcp + user, nil},
		{"a user, no pool", builtin + user, []string{"pool"}},
		{"a user with a profile that has one", builtin + "[profiles.x]\ndhcp = 'd'\n" + dhcp + user + "profile = 'x'\n", nil},
		{"users that are not asked for", builtin + "aaa = ['g']\n[[realms]]\nname = 'x'\naaa = ['local']\n" + group, nil},
		{"pppd alone", pppd, nil},
		{"pppd asks nobody there", pppd + "aaa = ['local']\n", []string{"auth"}},
		{"pppd, a user, no pool", pppd + "aaa = ['local']\n" + user, []string{"pool"}},
		{"pppd and RADIUS", pppd + "aaa = ['g']\n" + group, nil},
		{"pppd and EAP", pppd + "aaa = ['g']\nauth = ['eap', 'pap']\n" + group, []string{"auth"}},
		{"pppd, EAP, no aaa", pppd + "auth = ['eap', 'pap']\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.document+lns, nil)
			var keys []string
			if err != nil {
				for _, e := range err.(Errors) {
					keys = append(keys, strings.TrimPrefix(e.Key, "profiles.default."))
				}
			}
			if diff := cmp.Diff(c.lacking, keys); diff != "" {
				t.Errorf("lacking (-want +got):\n%s\n%v", diff, err)
			}
			// What Load asks where the profile says who speaks PPP, start-up asks
			// where it says "auto".
			auto := strings.NewReplacer("'pppd'", "'auto'", "'builtin'", "'auto'").Replace(c.document)
			cfg := mustLoad(t, auto+lns, nil)
			check := cfg.CheckBuiltin
			if strings.Contains(c.document, "'pppd'") {
				check = cfg.CheckPPPD
			}
			if err := check(cfg.Profiles["default"]); (err != nil) != (c.lacking != nil) {
				t.Errorf("with auto it lacks %v", err)
			}
		})
	}
}

func TestHashesNeedAMethod(t *testing.T) {
	for auth, warned := range map[string]bool{
		`"chap-md5"`: true, `"chap-md5", "eap"`: true, `"chap-md5", "mschapv2"`: false, `"pap"`: false, ``: false,
	} {
		cfg := mustLoad(t, strings.Replace(serving, "pool = ", "auth = ["+auth+"]\npool = ", 1)+
			"[[users]]\nname = 'a'\nnt_hash = '44ebba8d5312b8d611474411f56989ae'\n", nil)
		got := len(cfg.Warnings) == 1 && cfg.Warnings[0].Key == "profiles.default.auth"
		if got != warned || len(cfg.Warnings) > 1 {
			t.Errorf("auth = [%s]: warnings %v", auth, cfg.Warnings)
		}
	}
}

func TestNTHashInAnOpenFile(t *testing.T) {
	files := fstest.MapFS{"a.toml": {Data: []byte("[[users]]\nname = 'a'\nnt_hash = '44ebba8d5312b8d611474411f56989ae'\n"), Mode: 0o644}}
	cfg, err := LoadFrom(machine(files), "/a.toml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(cfg.Warnings.Error(), "/a.toml:3: users[0].nt_hash: everybody may read this file") {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
	if s := fmt.Sprintf("%v %x %+v", cfg.Users[0], cfg.Users[0].NTHash, *cfg.Users[0]); strings.Contains(s, "44eb") {
		t.Errorf("the hash shows itself: %s", s)
	}
}

func TestLoadUsers(t *testing.T) {
	files := fstest.MapFS{}
	for name, f := range ispFiles {
		files[name] = f
	}
	put := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o600} }
	put("cfg/adit.toml", isp)
	running, err := LoadFrom(machine(files), "/cfg/adit.toml")
	if err != nil {
		t.Fatal(err)
	}
	// Whatever else the file says now is for a full Load to judge.
	put("cfg/adit.toml", "users_file = 'u'\nchap_secrets = 's'\nnonsense = 1\n"+strings.Replace(isp, `name = "alice"`, `name = "alicia"`, 1))
	put("cfg/u", "[[users]]\nname = 'bob'\npassword = 'x'\nprofile = 'quiet'\n")
	put("cfg/s", "carol * y\n* * z\n")
	users, warnings, err := LoadUsersFrom(machine(files), running)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range users {
		names = append(names, u.Name)
	}
	if got := strings.Join(names, " "); got != "alicia bob carol" {
		t.Errorf("users: %s", got)
	}
	if users[0].Profile != running.Profiles["other"] || users[1].Profile != running.Profiles["quiet"] {
		t.Error("the users have other profiles than the running ones")
	}
	if len(warnings) != 1 || warnings[0].File != "/cfg/s" || warnings[0].Line != 2 {
		t.Errorf("warnings: %v", warnings)
	}
	if len(running.Users) != 1 || running.Users[0].Name != "alice" || running.UsersFile != "" {
		t.Errorf("the running configuration was changed: %+v", running)
	}
	if other := running.WithUsers(users); len(other.Users) != 3 || other.RADIUS.NASIdentifier != "lns1" || len(running.Users) != 1 {
		t.Error("WithUsers does not give what it says")
	}
	// All that Load would say of users, it says too.
	put("cfg/u", "[[users]]\nname = 'bob'\npassword = 'x'\nprofile = 'none'\naddress = '10.1.0.7'\nipv6_prefix = '2001:db8:100:1::/64'\nx = 1\n")
	_, _, err = LoadUsersFrom(machine(files), running)
	want := `/cfg/u:4: users[0].profile: there is no profile "none"; write [profiles.NAME] or name one of: default, other, quiet
/cfg/u:5: users[0].address: 10.1.0.7 is also in 10.1.0.1-10.1.0.254 of pool "four", which would give it to a peer; take it out of the pool
/cfg/u:6: users[0].ipv6_prefix: 2001:db8:100:1::/64 overlaps with 2001:db8:100::/40, which is pools.links.prefixes[0] in /cfg/adit.toml, line 38; a prefix may be given once only
/cfg/u:7: users[0].x: unknown key; the keys here are address, calling_numbers, delegated_prefix, idle_timeout, ipv6_prefix, max_sessions, name, nt_hash, password, password_file, profile, routes, session_timeout`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	put("cfg/adit.toml", "users = 7\n")
	if _, _, err = LoadUsersFrom(machine(files), running); err == nil || err.Error() != "/cfg/adit.toml:1: users: is a whole number; write a list of tables, each under its own [[users]]" {
		t.Errorf("users of a wrong type: %v", err)
	}
	put("cfg/adit.toml", "users = [\n")
	if _, _, err = LoadUsersFrom(machine(files), running); err == nil || !strings.Contains(err.Error(), "not TOML") {
		t.Errorf("a file that is not TOML: %v", err)
	}
	delete(files, "cfg/adit.toml")
	if _, _, err = LoadUsersFrom(machine(files), running); err == nil || !strings.Contains(err.Error(), "there is no such file") {
		t.Errorf("no file: %v", err)
	}
}

// A reload that leaves a profile without anybody who may come in is refused.
func TestLoadUsersChecksProfiles(t *testing.T) {
	files := fstest.MapFS{"a.toml": {Data: []byte(serving + "[[users]]\nname = 'a'\npassword = 'x'\n"), Mode: 0o600}}
	running, err := LoadFrom(machine(files), "/a.toml")
	if err != nil {
		t.Fatal(err)
	}
	files["a.toml"] = &fstest.MapFile{Data: []byte(serving), Mode: 0o600}
	_, _, err = LoadUsersFrom(machine(files), running)
	if err == nil || !strings.Contains(err.Error(), "profiles.default.auth: nobody could show who it is") {
		t.Errorf("got %v", err)
	}
}

// Many users are read in a time that does not grow with their square.
func TestManyUsers(t *testing.T) {
	var b strings.Builder
	const count = 20_000
	for i := range count {
		fmt.Fprintf(&b, "user%d * secret%d 10.%d.%d.%d\n", i, i, 1+i>>14, i>>7&127, 1+i&127)
	}
	began := time.Now()
	cfg := mustLoad(t, "chap_secrets = 's'\n[pools.p]\nprefixes = ['2001:db8::/32']\nlength = 64\n",
		fstest.MapFS{"cfg/s": {Data: []byte(b.String()), Mode: 0o600}})
	if len(cfg.Users) != count {
		t.Errorf("%d users", len(cfg.Users))
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%d users took %v", count, took)
	}
}
