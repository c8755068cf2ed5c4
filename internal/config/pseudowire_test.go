package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"adit/proto/l2tp"
)

const everyPseudowire = `
[[pseudowires]]
name = "all"
remote_end_id = "circuit 1"
application_id = 65535
dataplane = "kernel"
interface = "all%d"
mtu = 65521
bridge = "br0"
vlan = 7
cookie_length = 4
sublayer = "default"
sequencing = "all"
reorder_timeout = "50ms"
[[pseudowires]]
name = "least"
remote_end_id = "circuit 1"
[[pseudowires]]
name = "ip"
type = "ip"
addresses = ["10.0.0.1/30", "2001:db8::1/64"]
sublayer = "none"
[[pseudowires]]
name = "one"
type = "atm-cell-port"
[[pseudowires]]
name = "other"
type = "atm-cell-port"
switch = "one"
[[lns.peers]]
name = "p"
no_secret = true
versions = [3]
pseudowires = ["all", "least", "ip", "one", "other"]
`

func TestPseudowires(t *testing.T) {
	cfg := mustLoad(t, everyPseudowire, nil)
	one := &Pseudowire{Name: "one", Type: l2tp.PseudowireATMCellPort, RemoteEndID: []byte("one"), DataPlane: DataPlaneUserspace,
		CookieLength: 8, Sublayer: l2tp.SublayerATM}
	other := &Pseudowire{Name: "other", Type: l2tp.PseudowireATMCellPort, RemoteEndID: []byte("other"), DataPlane: DataPlaneUserspace,
		CookieLength: 8, Sublayer: l2tp.SublayerATM, Switch: one}
	one.Switch = other
	want := []*Pseudowire{{
		Name: "all", Type: l2tp.PseudowireEthernet, RemoteEndID: []byte("circuit 1"), ApplicationID: new(uint16(65535)), DataPlane: DataPlaneKernel,
		Interface: "all%d", MTU: 65521, Bridge: "br0", VLAN: 7, CookieLength: 4,
		Sublayer: l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll, ReorderTimeout: 50 * time.Millisecond,
	}, {
		Name: "least", Type: l2tp.PseudowireEthernet, RemoteEndID: []byte("circuit 1"), CookieLength: 8, Sublayer: l2tp.SublayerDefault,
	}, {
		Name: "ip", Type: l2tp.PseudowireIP, RemoteEndID: []byte("ip"), DataPlane: DataPlaneUserspace, CookieLength: 8,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/30"), netip.MustParsePrefix("2001:db8::1/64")},
	}, one, other}
	if diff := cmp.Diff(want, cfg.Pseudowires, comparers); diff != "" {
		t.Errorf("pseudowires (-want +got):\n%s", diff)
	}
	if cfg.Pseudowires[3].Switch != cfg.Pseudowires[4] || cfg.LNS.Peers[0].V3.Pseudowires[4] != cfg.Pseudowires[4] {
		t.Error("there are several copies of a pseudowire")
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
}

func TestPseudowireTypes(t *testing.T) {
	for _, name := range pseudowireTypeNames() {
		cfg := mustLoad(t, fmt.Sprintf(`
[[pseudowires]]
name = "a"
type = %[1]q
switch = "b"
[[pseudowires]]
name = "b"
type = %[1]q
switch = "a"
`, name), nil)
		if got := cfg.Pseudowires[1].Type.String(); got != name || got == "ppp" {
			t.Errorf("type %q is understood as %q", name, got)
		}
		if cfg.Pseudowires[0].Switch != cfg.Pseudowires[1] || cfg.Pseudowires[1].Switch != cfg.Pseudowires[0] {
			t.Errorf("two of type %q are not switched", name)
		}
	}
}

func TestPseudowireWarnings(t *testing.T) {
	cfg := mustLoad(t, `
[l2tpv3]
listen_ip = ["0.0.0.0"]
[[pseudowires]]
name = "unused"
[[pseudowires]]
name = "static"
cookie_length = 4
application_id = 0
bridge = "br0"
addresses = ["10.0.0.1/24"]
sublayer = "none"
reorder_timeout = "1s"
[[l2tpv3.static]]
name = "t"
local = "192.0.2.1:1"
remote = "192.0.2.2:1"
tunnel_id = 1
peer_tunnel_id = 1
dead_after = 2
link_down = true
sessions = [{session_id = 1, peer_session_id = 1, pseudowire = "static"}]
[[l2tpv3.static]]
name = "empty"
local = "192.0.2.1:2"
remote = "192.0.2.2:1"
tunnel_id = 2
peer_tunnel_id = 2
[[lns.peers]]
name = "old"
secret = "s"
digests = ["hmac-sha1"]
ppp = true
other_secret = "o"
[[lac.tunnels]]
name = "new"
remote = "192.0.2.1"
secret = "s"
versions = [3]
challenge = true
`, nil)
	var got []string
	for _, w := range cfg.Warnings {
		got = append(got, fmt.Sprintf("%d %s", w.Line, w.Key))
	}
	want := []string{
		"3 l2tpv3.listen_ip", "4 pseudowires[0]", "8 pseudowires[1].cookie_length", "9 pseudowires[1].application_id",
		"11 pseudowires[1].addresses", "13 pseudowires[1].reorder_timeout", "20 l2tpv3.static[0].dead_after", "21 l2tpv3.static[0].link_down",
		"23 l2tpv3.static[1]", "32 lns.peers[0].digests", "33 lns.peers[0].ppp", "34 lns.peers[0].other_secret",
		"40 lac.tunnels[0].challenge",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s\n%v", diff, cfg.Warnings)
	}
}

func TestStatic(t *testing.T) {
	cfg := mustLoad(t, `
[[pseudowires]]
name = "named"
dataplane = "kernel"
[[l2tpv3.static]]
name = "all"
encapsulation = "ip"
local = "2001:db8::1"
remote = "2001:db8::2"
tunnel_id = 4294967295
peer_tunnel_id = 1
dataplane = "kernel"
keep = true
keepalive = "1s"
dead_after = 100
link_down = true
[[l2tpv3.static.sessions]]
name = "lan"
session_id = 4294967295
peer_session_id = 1
cookie = "aabbCCdd"
peer_cookie_file = "cookie"
type = "vlan"
vlan = 4094
interface = "lan0"
[[l2tpv3.static.sessions]]
session_id = 7
peer_session_id = 2
pseudowire = "named"
[[l2tpv3.static]]
name = "least"
local = "192.0.2.1:65535"
remote = "192.0.2.2:1"
tunnel_id = 1
peer_tunnel_id = 1
udp_checksum = false
sessions = [{session_id = 1, peer_session_id = 1, type = "ip"}]
[[l2tpv3.static]]
name = "second to one peer port, over IP"
encapsulation = "ip"
local = "192.0.2.1"
remote = "192.0.2.2"
tunnel_id = 2
peer_tunnel_id = 2
sessions = [{session_id = 2, peer_session_id = 2, mtu = 9000}]
`, fstest.MapFS{"cfg/cookie": {Data: []byte("0011223344556677\n"), Mode: 0o600}})
	lan := &Pseudowire{Name: "all/lan", Type: l2tp.PseudowireEthernetVLAN, DataPlane: DataPlaneKernel, VLAN: 4094, Interface: "lan0",
		CookieLength: 4, Sublayer: l2tp.SublayerDefault}
	named := &Pseudowire{Name: "named", Type: l2tp.PseudowireEthernet, RemoteEndID: []byte("named"), DataPlane: DataPlaneKernel,
		Sublayer: l2tp.SublayerDefault}
	ip := &Pseudowire{Name: "least/1", Type: l2tp.PseudowireIP, DataPlane: DataPlaneUserspace, Sublayer: l2tp.SublayerDefault}
	plain := &Pseudowire{Name: "second to one peer port, over IP/1", Type: l2tp.PseudowireEthernet, MTU: 9000, Sublayer: l2tp.SublayerDefault}
	want := []*StaticTunnel{{
		Name: "all", Encapsulation: EncapsulationIP,
		Local: netip.MustParseAddrPort("[2001:db8::1]:0"), Peer: netip.MustParseAddrPort("[2001:db8::2]:0"),
		ID: 4294967295, PeerID: 1, DataPlane: DataPlaneKernel, Checksum: true, Keep: true,
		Keepalive: time.Second, DeadAfter: 100, LinkDown: true,
		Sessions: []*StaticSession{
			{Name: "lan", Pseudowire: lan, ID: 4294967295, PeerID: 1, Cookie: Secret("\xaa\xbb\xcc\xdd"), PeerCookie: Secret("\x00\x11\x22\x33\x44\x55\x66\x77")},
			{Name: "2", Pseudowire: named, ID: 7, PeerID: 2},
		},
	}, {
		Name: "least", Local: netip.MustParseAddrPort("192.0.2.1:65535"), Peer: netip.MustParseAddrPort("192.0.2.2:1"),
		ID: 1, PeerID: 1, DataPlane: DataPlaneUserspace, DeadAfter: 3,
		Sessions: []*StaticSession{{Name: "1", Pseudowire: ip, ID: 1, PeerID: 1}},
	}, {
		Name: "second to one peer port, over IP", Encapsulation: EncapsulationIP,
		Local: netip.MustParseAddrPort("192.0.2.1:0"), Peer: netip.MustParseAddrPort("192.0.2.2:0"),
		ID: 2, PeerID: 2, Checksum: true, DeadAfter: 3,
		Sessions: []*StaticSession{{Name: "1", Pseudowire: plain, ID: 2, PeerID: 2}},
	}}
	if diff := cmp.Diff(want, cfg.L2TPv3.Static, comparers); diff != "" {
		t.Errorf("static tunnels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]*Pseudowire{named, lan, ip, plain}, cfg.Pseudowires, comparers); diff != "" {
		t.Errorf("pseudowires (-want +got):\n%s", diff)
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
}

// staticPair are two static tunnels from one port, and a listener.
func staticPair(first, second string) string {
	return fmt.Sprintf(`
[[listen]]
address = "127.0.0.1:1701"
[[lns.peers]]
name = "p"
no_secret = true
[[l2tpv3.static]]
name = "a"
remote = "192.0.2.2:1"
tunnel_id = 1
peer_tunnel_id = 1
sessions = [{session_id = 1, peer_session_id = 1}]
%s
[[l2tpv3.static]]
name = "b"
remote = "192.0.2.3:1"
tunnel_id = 2
peer_tunnel_id = 2
sessions = [{session_id = 2, peer_session_id = 2}]
%s
`, first, second)
}

// TestStaticPorts: a port is shared by tunnels of the userspace data plane only.
func TestStaticPorts(t *testing.T) {
	const userspace = "\ndataplane = 'userspace'"
	for _, c := range []struct {
		first, second string
		want          string // in the error; empty: none
	}{
		{"local = '192.0.2.1:1'", "local = '192.0.2.1:2'", ""},
		{"local = '192.0.2.1:1'", "local = '192.0.2.9:1'", ""},
		{"local = '192.0.2.1:1'", "local = '192.0.2.1:1'", "wants a port for each"},
		{"local = '192.0.2.1:1'" + userspace, "local = '192.0.2.1:1'", "wants a port for each"},
		{"local = '192.0.2.1:1'" + userspace, "local = '192.0.2.1:1'" + userspace, ""},
		{"local = '127.0.0.1:1701'", "local = '192.0.2.1:1'", "[[listen]]"},
		{"local = '127.0.0.1:1701'" + userspace, "local = '127.0.0.1:1701'" + userspace, ""},
		{"local = '127.0.0.2:1701'", "local = '192.0.2.1:1'", ""},
		{"local = '::1:1'", "local = '192.0.2.1:1'", "has no port"},
		{"local = '[::1]:1'", "local = '192.0.2.1:1'", "not of one IP version"},
	} {
		_, err := load(t, staticPair(c.first, c.second), nil)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s, %s: %v", c.first, c.second, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s, %s: got %v, want %q", c.first, c.second, err, c.want)
		}
	}
}

// TestCookiesAreSecret: who knows a cookie can send frames to the session.
func TestCookiesAreSecret(t *testing.T) {
	document := "[[l2tpv3.static]]\nname='a'\nlocal='192.0.2.1:1'\nremote='192.0.2.2:1'\ntunnel_id=1\npeer_tunnel_id=1\n" +
		"sessions=[{session_id=1,peer_session_id=1,cookie='deadbeef'}]\n"
	cfg, err := LoadFrom(machine(fstest.MapFS{"a.toml": {Data: []byte(document), Mode: 0o644}}), "/a.toml")
	if err != nil {
		t.Fatal(err)
	}
	const want = "/a.toml:7: l2tpv3.static[0].sessions[0].cookie: everybody may read this file; chmod o-r /a.toml, or use cookie_file"
	if got := cfg.Warnings.Error(); got != want {
		t.Errorf("warnings: %q, want %q", got, want)
	}
	if text := fmt.Sprintf("%+v %d %#v", *cfg.L2TPv3.Static[0].Sessions[0], cfg.L2TPv3.Static[0].Sessions[0].Cookie, *cfg.L2TPv3.Static[0].Sessions[0]); strings.Contains(text, "deadbeef") || strings.Contains(text, "222 173") || strings.Contains(text, "0xde") {
		t.Errorf("the cookie shows itself: %s", text)
	}
}

// TestStaticEqual: a reload touches what differs and nothing else.
func TestStaticEqual(t *testing.T) {
	const document = `
[[pseudowires]]
name = "x"
type = "hdlc"
switch = "y"
[[pseudowires]]
name = "y"
type = "hdlc"
sequencing = "none"
[[l2tpv3.static]]
name = "a"
local = "[2001:db8::1]:1"
remote = "[2001:db8::2]:1"
tunnel_id = 1
peer_tunnel_id = 1
[[l2tpv3.static.sessions]]
session_id = 1
peer_session_id = 1
cookie = "00000001"
pseudowire = "x"
[[l2tpv3.static.sessions]]
session_id = 2
peer_session_id = 2
mtu = 1400
[[l2tpv3.static]]
name = "b"
local = "[2001:db8::1]:2"
remote = "[2001:db8::2]:1"
tunnel_id = 2
peer_tunnel_id = 2
`
	tunnel := func(old, with string) []*StaticTunnel {
		if old != "" && strings.Count(document, old) != 1 {
			t.Fatalf("%q is not in the document once", old)
		}
		return mustLoad(t, strings.Replace(document, old, with, 1), nil).L2TPv3.Static
	}
	base := tunnel("", "")
	for _, c := range []struct {
		old, with string
		equal     bool
	}{
		{"", "host_name = 'other'\n", true},
		{"mtu = 1400", "mtu = 1401", false},
		{`cookie = "00000001"`, `cookie = "00000002"`, false},
		{"peer_session_id = 2", "peer_session_id = 3", false},
		{`"none"`, `"all"`, false},
		{`"[2001:db8::2]:1"` + "\ntunnel_id = 1", `"[2001:db8::3]:1"` + "\ntunnel_id = 1", false},
	} {
		other := tunnel(c.old, c.with)
		if got := base[0].Equal(other[0]); got != c.equal {
			t.Errorf("%q to %q: equal is %v", c.old, c.with, got)
		}
		if !base[1].Equal(other[1]) {
			t.Errorf("%q to %q: the other tunnel differs too", c.old, c.with)
		}
	}
	if p := base[0].Sessions[1].Pseudowire; !p.Equal(p) || p.Equal(base[0].Sessions[0].Pseudowire) {
		t.Error("pseudowires are compared wrongly")
	}
	if !reflect.DeepEqual(base, tunnel("", "")) {
		t.Error("two readings of one file differ")
	}
}
