package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// comparers let cmp look at what hides itself.
var comparers = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b Secret) bool { return string(a) == string(b) }),
}

func TestPeer(t *testing.T) {
	cfg := mustLoad(t, `
[limits]
tunnels = 9
sessions = 99

[control_channel]
hello_interval = "20s"
max_retransmits = 7

[profiles.x]
mtu = 1300

[[lns.peers]]
name = "all"
addresses = ["192.0.2.0/24", "2001:db8::1", "::ffff:198.51.100.1"]
host_name = "lac*"
secret = "s3cret"
challenge = false
hide_avps = true
profile = "x"
max_tunnels = 3
max_sessions = 33
allow_incoming = false
allow_outgoing = true
hello_interval = "5s"

[[lns.peers]]
name = "least"
secret_file = "key"
`, fstest.MapFS{"cfg/key": {Data: []byte("from a file\r\n"), Mode: 0o640}})
	cc := cfg.ControlChannel
	mine := cc
	mine.HelloInterval = 5 * time.Second
	want := []*Peer{{
		Name: "all",
		Addresses: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.0/24"),
			netip.MustParsePrefix("2001:db8::1/128"),
			netip.MustParsePrefix("198.51.100.1/32"),
		},
		HostName: "lac*", Secret: Secret("s3cret"), HideAVPs: true, V3: PeerV3{Versions: []uint8{2}},
		Profile: cfg.Profiles["x"], MaxTunnels: 3, MaxSessions: 33,
		AllowOutgoing: true, ControlChannel: mine,
	}, {
		Name: "least", Secret: Secret("from a file"), Challenge: true, V3: PeerV3{Versions: []uint8{2}},
		Profile: cfg.Profiles["default"], MaxTunnels: 9, MaxSessions: 99,
		AllowIncoming: true, ControlChannel: cc,
	}}
	if diff := cmp.Diff(want, cfg.LNS.Peers, comparers); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
	if cc.MaxRetransmits != 7 || cc.HelloInterval != 20*time.Second {
		t.Errorf("the defaults are %+v", cc)
	}
	listen := []Listen{{netip.MustParseAddrPort("0.0.0.0:1701"), true}, {netip.MustParseAddrPort("[::]:1701"), true}}
	if diff := cmp.Diff(listen, cfg.Listen, comparers); diff != "" {
		t.Errorf("listen (-want +got):\n%s", diff)
	}
	if len(cfg.Warnings) != 1 || cfg.Warnings[0].Key != "lns.peers[0].challenge" {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
}

func TestMatch(t *testing.T) {
	cfg := mustLoad(t, `
[[lns.peers]]
name = "both"
addresses = ["192.0.2.0/24", "2001:db8::/32"]
host_name = "lac[0-9].example"
no_secret = true
[[lns.peers]]
name = "address"
addresses = ["192.0.2.0/25", "fe80::/10"]
no_secret = true
[[lns.peers]]
name = "name"
host_name = "l*"
no_secret = true
`, nil)
	for _, c := range []struct{ from, host, want string }{
		{"192.0.2.1", "lac1.example", "both"},
		{"::ffff:192.0.2.1", "lac1.example", "both"},
		{"2001:db8:ffff::1", "lac9.example", "both"},
		{"192.0.2.1", "LAC1.example", "address"},
		{"192.0.2.1", "lac10.example", "address"},
		{"fe80::1%eth0", "", "address"},
		{"192.0.2.200", "lac10.example", "name"},
		{"203.0.113.1", "lac1.example", "name"},
		{"203.0.113.1", "l/a/c", "name"},
		{"203.0.113.1", "xl", ""},
		{"203.0.113.1", "", ""},
	} {
		got := ""
		if p := cfg.LNS.Match(netip.MustParseAddr(c.from), c.host); p != nil {
			got = p.Name
		}
		if got != c.want {
			t.Errorf("%s %q is %q, want %q", c.from, c.host, got, c.want)
		}
	}
	if MatchHostName("[", "[") {
		t.Error("a malformed pattern matches")
	}
}

func TestTunnel(t *testing.T) {
	cfg := mustLoad(t, `
host_name = "us"
[profiles.x]
[profiles.y]
[[lac.tunnels]]
name = "least"
remote = "lns.example.net"
[[lac.tunnels]]
name = "all"
remote = "[2001:db8::1]:1702"
remote_host_name = "lns?"
local = "[2001:db8::2]:1701"
host_name = "me"
secret = "s"
hide_avps = true
accept_other_address = true
tie_breaker = true
allow_outgoing = true
retry_min = "3s"
retry_max = "3s"
profile = "x"
setup_timeout = "9s"
[[lac.tunnels.sessions]]
count = 3
called_number = "1"
calling_number = "2"
sub_address = "3"
private_group_id = "4"
tx_speed = 5
rx_speed = 6
agent_circuit_id = "node eth 1/2"
agent_remote_id = "r7"
actual_data_rate_up = 10000000000
actual_data_rate_down = 1
pppd_options = ["7", "8"]
[[lac.tunnels.sessions]]
name = "out"
direction = "outgoing"
profile = "y"
called_number = "9"
minimum_bps = 200000000
[[lac.tunnels]]
name = "none"
remote = "192.0.2.1:1"
sessions = []
`, nil)
	def := cfg.Profiles["default"]
	mine := cfg.ControlChannel
	mine.SetupTimeout = 9 * time.Second
	old := PeerV3{Versions: []uint8{2}}
	want := []*Tunnel{{
		Name: "least", RemoteHost: "lns.example.net", RemotePort: 1701, HostName: "us", V3: old,
		RetryMin: time.Second, RetryMax: time.Minute, Profile: def, ControlChannel: cfg.ControlChannel,
		Sessions: []*Session{{Name: "1", Count: 1, Profile: def, TxSpeed: 100_000_000}},
	}, {
		Name: "all", RemoteHost: "2001:db8::1", RemotePort: 1702, RemoteHostName: "lns?",
		LocalAddress: netip.MustParseAddr("2001:db8::2"), LocalPort: 1701, Family: FamilyIPv6,
		HostName: "me", V3: old, Secret: Secret("s"), Challenge: true, HideAVPs: true, AcceptOtherAddress: true, TieBreaker: true, AllowOutgoing: true,
		RetryMin: 3 * time.Second, RetryMax: 3 * time.Second, Profile: cfg.Profiles["x"], ControlChannel: mine,
		Sessions: []*Session{
			{Name: "1", Count: 3, Profile: cfg.Profiles["x"], CalledNumber: "1", CallingNumber: "2", SubAddress: "3",
				PrivateGroupID: "4", TxSpeed: 5, RxSpeed: 6,
				AgentCircuitID: "node eth 1/2", AgentRemoteID: "r7", ActualDataRateUp: 10_000_000_000, ActualDataRateDown: 1,
				PPPDOptions: []string{"7", "8"}},
			{Name: "out", Count: 1, Direction: Outgoing, Profile: cfg.Profiles["y"], CalledNumber: "9",
				MinimumBPS: 200_000_000, MaximumBPS: 200_000_000},
		},
	}, {
		Name: "none", RemoteHost: "192.0.2.1", RemotePort: 1, Family: FamilyIPv4, HostName: "us", V3: old,
		RetryMin: time.Second, RetryMax: time.Minute, Profile: def, ControlChannel: cfg.ControlChannel,
	}}
	if diff := cmp.Diff(want, cfg.LAC.Tunnels, comparers); diff != "" {
		t.Errorf("tunnels (-want +got):\n%s", diff)
	}
	if len(cfg.Listen) != 0 {
		t.Errorf("a pure client listens on %v", cfg.Listen)
	}
}

func TestOutgoing(t *testing.T) {
	cfg := mustLoad(t, `
[profiles.x]
[[lns.peers]]
name = "p"
no_secret = true
profile = "x"
allow_incoming = false
[[lns.outgoing]]
peer = "p"
called_number = "123"
count = 2
sub_address = "4"
maximum_bps = 64000
pppd_options = ["a"]
`, nil)
	want := []*OutgoingCall{{Name: "1", Peer: cfg.LNS.Peers[0], Count: 2, Profile: cfg.Profiles["x"],
		CalledNumber: "123", SubAddress: "4", MinimumBPS: 1, MaximumBPS: 64000, PPPDOptions: []string{"a"}}}
	if diff := cmp.Diff(want, cfg.LNS.Outgoing, comparers); diff != "" {
		t.Errorf("outgoing calls (-want +got):\n%s", diff)
	}
	if cfg.LNS.Outgoing[0].Peer != cfg.LNS.Peers[0] {
		t.Error("the call has another copy of its peer")
	}
}

func TestProfile(t *testing.T) {
	cfg := mustLoad(t, `
[pools.a]
ranges = ["10.1.0.0/30", "10.2.0.0/31", "10.3.0.7", "10.4.0.1 - 10.4.1.0", "10.5.0.5/32"]
[profiles.p]
ppp = "pppd"
dataplane = "userspace"
pty = "sync"
pppd_options_file = "../ppp/options"
pppd_options = ["ms-dns", "192.0.2.53"]
pppd_debug = true
local_address = "10.0.0.1"
pool = "a"
sequencing = "required"
reorder_timeout = "150ms"
mtu = 1400
kernel_debug = 15
`, fstest.MapFS{"ppp/options": {}})
	pool := cfg.Pools["a"]
	want := &Profile{Name: "p", PPP: PPPPPPD, DataPlane: DataPlaneUserspace, PTY: PTYSync,
		PPPDOptionsFile: "/ppp/options", PPPDOptions: []string{"ms-dns", "192.0.2.53"}, PPPDDebug: true,
		LocalAddress: netip.MustParseAddr("10.0.0.1"), Pool: pool, Sequencing: SequencingRequired,
		ReorderTimeout: 150 * time.Millisecond, MTU: 1400, KernelDebug: 15, AAA: AAA{FailureDelay: time.Second},
		Builtin: Builtin{IPv4: true, IPv6: true, MRU: 1400, EchoInterval: 30 * time.Second, EchoFailures: 4, ClampMSS: true}}
	if diff := cmp.Diff(want, cfg.Profiles["p"], comparers); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	got := fmt.Sprint(pool.Ranges)
	if want := "[10.1.0.1-10.1.0.2 10.2.0.0-10.2.0.1 10.3.0.7 10.4.0.1-10.4.1.0 10.5.0.5]"; got != want {
		t.Errorf("ranges are %s, want %s", got, want)
	}
	size := 0
	for _, r := range pool.Ranges {
		size += r.Size()
	}
	if size != 2+2+1+256+1 {
		t.Errorf("the pool has %d addresses", size)
	}
	if cfg.Profiles["default"] == nil {
		t.Error("there is no default profile")
	}
}

func TestSecretHidesItself(t *testing.T) {
	cfg := mustLoad(t, "[[lns.peers]]\nname = 'a'\nsecret = 'XYZZY'\n", nil)
	secret := cfg.LNS.Peers[0].Secret
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range []any{secret, &secret, *cfg.LNS.Peers[0], cfg.LNS.Peers[0]} {
			s := fmt.Sprintf(verb, value)
			if strings.Contains(s, "XYZZY") || strings.Contains(s, "58595a") || strings.Contains(s, "58595A") || strings.Contains(s, "88 89 90") {
				t.Errorf("%s of %T shows it: %s", verb, value, s)
			}
		}
	}
	encoded, err := json.Marshal(cfg.LNS.Peers[0])
	if err != nil || strings.Contains(string(encoded), "XYZZY") || strings.Contains(string(encoded), "WFlaWlk") {
		t.Errorf("JSON shows it (%v): %s", err, encoded)
	}
	if string(secret) != "XYZZY" || Secret(nil).String() != "(none)" {
		t.Error("the secret itself is wrong")
	}
}

func TestOpenFileWithSecret(t *testing.T) {
	files := fstest.MapFS{"a.toml": {Data: []byte("[[lns.peers]]\nname = 'a'\nsecret = 'x'\n"), Mode: 0o644}}
	cfg, err := LoadFrom(machine(files), "/a.toml")
	if err != nil {
		t.Fatal(err)
	}
	const want = "/a.toml:3: lns.peers[0].secret: everybody may read this file; chmod o-r /a.toml, or use secret_file"
	if got := cfg.Warnings.Error(); got != want {
		t.Errorf("warnings: %q, want %q", got, want)
	}
}

func TestRemote(t *testing.T) {
	for _, c := range []struct {
		in, host string
		port     uint16 // 0: refused
	}{
		{"lns.example.net", "lns.example.net", 1701},
		{"lns.example.net:1", "lns.example.net", 1},
		{"lns.example.net.", "lns.example.net.", 1701},
		{"lns_1", "lns_1", 1701},
		{"192.0.2.1", "192.0.2.1", 1701},
		{"192.0.2.1:65535", "192.0.2.1", 65535},
		{"2001:db8::1", "2001:db8::1", 1701},
		{"[2001:db8::1]", "2001:db8::1", 1701},
		{"[2001:db8::1]:99", "2001:db8::1", 99},
		{"fe80::1%eth0", "fe80::1%eth0", 1701},
		{"::ffff:192.0.2.1", "192.0.2.1", 1701},
		{"", "", 0}, {".", "", 0}, {":1701", "", 0}, {"a..b", "", 0}, {"-a.b", "", 0}, {"a-.b", "", 0},
		{"lns:0", "", 0}, {"lns:65536", "", 0}, {"lns:", "", 0}, {"lns:x", "", 0}, {"192.0.2.1:0", "", 0},
		{"192.0.2.256", "", 0}, {"1.2.3", "", 0}, {"[192.0.2.1]", "", 0}, {"[::1", "", 0}, {"a b", "", 0},
		{strings.Repeat("a", 64), "", 0}, {strings.Repeat("a.", 127) + "b", "", 0},
	} {
		host, port, ok := parseHostPort(c.in, defaultPort)
		if ok != (c.port != 0) || ok && (host != c.host || port != c.port) {
			t.Errorf("%q is %q port %d (%v), want %q port %d", c.in, host, port, ok, c.host, c.port)
		}
	}
}

func TestEnumsHaveNames(t *testing.T) {
	for _, c := range []struct {
		got  fmt.Stringer
		want string
	}{
		{PPPAuto, "auto"}, {PPPPPPD, "pppd"}, {PPPBuiltin, "builtin"}, {PPPDiscard, "discard"},
		{DataPlaneAuto, "auto"}, {DataPlaneKernel, "kernel"}, {DataPlaneUserspace, "userspace"},
		{PTYAsync, "async"}, {PTYSync, "sync"},
		{AuthPAP, "pap"}, {AuthCHAPMD5, "chap-md5"}, {AuthMSCHAPv2, "mschapv2"}, {AuthEAP, "eap"},
		{ProxyAccept, "accept"}, {ProxyRenegotiate, "renegotiate"},
		{SequencingOff, "off"}, {SequencingOn, "on"}, {SequencingRequired, "required"},
		{FamilyAny, "any"}, {FamilyIPv4, "ipv4"}, {FamilyIPv6, "ipv6"},
		{Incoming, "incoming"}, {Outgoing, "outgoing"},
		{LogError, "error"}, {LogWarning, "warning"}, {LogInfo, "info"}, {LogDebug, "debug"}, {LogTrace, "trace"},
		{LogText, "text"}, {LogJSON, "json"}, {PPP(9), "unknown(9)"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%T is %q, want %q", c.got, c.got, c.want)
		}
	}
}
