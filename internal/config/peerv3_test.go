package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"adit/proto/l2tp"
)

func TestPeerV3(t *testing.T) {
	cfg := mustLoad(t, `
[[pseudowires]]
name = "w"
[[pseudowires]]
name = "z"
[[lns.peers]]
name = "all"
secret = "s"
versions = [3, 2]
digests = ["hmac-sha1", "hmac-md5"]
other_secret_file = "other"
pseudowires = ["z", "w"]
ppp = false
[[lns.peers]]
name = "least"
no_secret = true
versions = [2, 3]
[[lns.peers]]
name = "digests alone"
no_secret = true
versions = [3]
digests = ["hmac-sha1"]
[[lac.tunnels]]
name = "ip"
remote = "192.0.2.1"
local = "192.0.2.2"
secret = "s"
versions = [3]
encapsulation = "ip"
ppp = false
pseudowires = ["w"]
sessions = [{pseudowire = "z", rx_speed = 5}]
[[lac.tunnels]]
name = "udp"
remote = "lns:1702"
versions = [2, 3]
[[lac.tunnels]]
name = "waits"
remote = "lns"
versions = [3]
encapsulation = "ip"
ppp = false
`, fstest.MapFS{"cfg/other": {Data: []byte("old"), Mode: 0o600}})
	w, z := cfg.Pseudowires[0], cfg.Pseudowires[1]
	for i, want := range []PeerV3{
		{Versions: []uint8{3, 2}, Digests: []l2tp.DigestType{l2tp.DigestSHA1, l2tp.DigestMD5}, OtherSecret: Secret("old"), Pseudowires: []*Pseudowire{z, w}},
		{Versions: []uint8{2, 3}, AllowPPP: true},
		{Versions: []uint8{3}, AllowPPP: true, Digests: []l2tp.DigestType{l2tp.DigestSHA1}},
	} {
		if diff := cmp.Diff(want, cfg.LNS.Peers[i].V3, comparers); diff != "" {
			t.Errorf("peer %s (-want +got):\n%s", cfg.LNS.Peers[i].Name, diff)
		}
	}
	for i, want := range []PeerV3{
		{Versions: []uint8{3}, Encapsulation: EncapsulationIP, Digests: []l2tp.DigestType{l2tp.DigestMD5}, Pseudowires: []*Pseudowire{w}},
		{Versions: []uint8{2, 3}, AllowPPP: true},
		{Versions: []uint8{3}, Encapsulation: EncapsulationIP},
	} {
		if diff := cmp.Diff(want, cfg.LAC.Tunnels[i].V3, comparers); diff != "" {
			t.Errorf("tunnel %s (-want +got):\n%s", cfg.LAC.Tunnels[i].Name, diff)
		}
	}
	ip, udp, waits := cfg.LAC.Tunnels[0], cfg.LAC.Tunnels[1], cfg.LAC.Tunnels[2]
	if ip.RemotePort != 0 || ip.LocalPort != 0 || ip.LocalAddress != netip.MustParseAddr("192.0.2.2") || waits.RemotePort != 0 {
		t.Errorf("the ends over IP are %+v and %+v", ip, waits)
	}
	if udp.RemotePort != 1702 || len(udp.Sessions) != 1 || udp.Sessions[0].Pseudowire != nil {
		t.Errorf("over UDP it is %+v", udp)
	}
	if len(waits.Sessions) != 0 {
		t.Errorf("a tunnel without PPP calls all the same: %+v", waits.Sessions)
	}
	want := []*Session{{Name: "z", Count: 1, Profile: cfg.Profiles["default"], Pseudowire: z, RxSpeed: 5}}
	if diff := cmp.Diff(want, ip.Sessions, comparers); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
}

func TestVersionsOfPeer(t *testing.T) {
	for _, c := range []struct {
		v         PeerV3
		two, thre bool
		ppp       bool
	}{
		{PeerV3{}, true, false, true},
		{PeerV3{Versions: []uint8{2}}, true, false, true},
		{PeerV3{Versions: []uint8{3}}, false, true, false},
		{PeerV3{Versions: []uint8{3}, AllowPPP: true}, false, true, true},
		{PeerV3{Versions: []uint8{3, 2}}, true, true, true},
	} {
		if c.v.Has(2) != c.two || c.v.Has(3) != c.thre || c.v.MayPPP() != c.ppp {
			t.Errorf("%+v: 2 is %v, 3 is %v, PPP is %v", c.v, c.v.Has(2), c.v.Has(3), c.v.MayPPP())
		}
	}
}

// TestUsesOfPseudowires: no profile is made ready for what is no PPP session.
func TestUsesOfPseudowires(t *testing.T) {
	cfg := mustLoad(t, `
[profiles.a]
[profiles.b]
[profiles.c]
[profiles.d]
[[pseudowires]]
name = "w"
[[lns.peers]]
name = "p"
no_secret = true
versions = [3]
ppp = false
allow_outgoing = true
pseudowires = ["w"]
profile = "a"
[[lns.peers]]
name = "falls back"
no_secret = true
versions = [2, 3]
ppp = false
pseudowires = ["w"]
profile = "d"
[[lac.tunnels]]
name = "t"
remote = "192.0.2.1"
versions = [3]
profile = "b"
sessions = [{pseudowire = "w"}, {profile = "c"}]
[[lac.tunnels]]
name = "u"
remote = "192.0.2.1"
versions = [3]
ppp = false
allow_outgoing = true
profile = "a"
`, nil)
	got := map[string]Uses{}
	for p, u := range cfg.Uses() {
		got[p.Name] = u
	}
	if diff := cmp.Diff(map[string]Uses{"c": {Client: true}, "d": {LNS: true}}, got); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
}

func TestRouterID(t *testing.T) {
	for _, c := range []struct {
		document string
		want     uint32 // 0: refused
	}{
		{"", 1580254643}, // the FNV-1a hash of "host.example"
		{"host_name = 'host.example'", 1580254643},
		{"host_name = 'a'", 0xe40c292c}, // of the test vectors of FNV-1a
		{"l2tpv3.router_id = '192.0.2.1'", 0xc0000201},
		{"l2tpv3.router_id = 1", 1},
		{"l2tpv3.router_id = 4294967295", 4294967295},
		{"l2tpv3.router_id = 0", 0},
		{"l2tpv3.router_id = -1", 0},
		{"l2tpv3.router_id = 4294967296", 0},
		{"l2tpv3.router_id = '0.0.0.0'", 0},
		{"l2tpv3.router_id = '2001:db8::1'", 0},
		{"l2tpv3.router_id = '7'", 0},
		{"l2tpv3.router_id = 1.5", 0},
		{"l2tpv3.router_id = [1]", 0},
		{"l2tpv3.router_id = true", 0},
	} {
		cfg, err := load(t, c.document, nil)
		switch {
		case c.want == 0 && (err == nil || !strings.HasPrefix(err.Error(), "/cfg/adit.toml:1: l2tpv3.router_id: is not a Router ID;")):
			t.Errorf("%s: %v", c.document, err)
		case c.want != 0 && err != nil:
			t.Errorf("%s: %v", c.document, err)
		case c.want != 0 && cfg.L2TPv3.RouterID != c.want:
			t.Errorf("%s is %#x, want %#x", c.document, cfg.L2TPv3.RouterID, c.want)
		}
	}
	for i := range 1000 {
		if routerIDOf(fmt.Sprint(i)) == 0 {
			t.Errorf("%d has the Router ID 0", i)
		}
	}
}

func TestListenIP(t *testing.T) {
	cfg := mustLoad(t, `
[l2tpv3]
listen_ip = ["0.0.0.0", "2001:db8::1", "::ffff:0:0:0"]
[[lns.peers]]
name = "p"
no_secret = true
versions = [3]
`, nil)
	want := []netip.Addr{netip.IPv4Unspecified(), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:0:0:0")}
	if diff := cmp.Diff(want, cfg.L2TPv3.ListenIP, comparers); diff != "" {
		t.Errorf("listen_ip (-want +got):\n%s", diff)
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
}

func TestEncapsulationHasNames(t *testing.T) {
	for i, name := range encapsulationNames {
		if Encapsulation(i).String() != name {
			t.Errorf("%q is not the name of %v", name, Encapsulation(i))
		}
	}
}
