package hooks

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"adit/lns/subscriber"
)

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// testFacts has every fact.
func testFacts() Facts {
	return Facts{
		Line: &subscriber.Line{
			ID: "65a1-7", Tunnel: 11, PeerTunnel: 12, Session: 13, PeerSession: 14,
			Peer:     netip.MustParseAddrPort("[::ffff:192.0.2.9]:1701"),
			PeerName: "lac1", PeerHostName: "lac1.example", CallingNumber: "+4930", CalledNumber: "0191", SubAddress: "7",
			Profile: "default", Engine: "builtin/tun",
		},
		Service: &subscriber.Service{
			User: "alice", Profile: "gold", Routes: prefixes("10.7.0.0/16", "2001:db8:7::/48"),
			FilterID: []string{"no spam", "web"}, Rates: []string{"Mikrotik-Rate-Limit=10M/20M 15M/30M"},
			Class: [][]byte{{0, 0xff}, []byte("x")},
			MPPE:  &subscriber.MPPE{Send: []byte("secretsecretsecr"), Recv: []byte("secretsecretsecr")},
		},
		Addresses: subscriber.Addresses{
			IPv4: netip.MustParseAddr("10.0.9.9"), Prefixes: prefixes("2001:db8:1::/64"),
			Delegated: prefixes("2001:db8:2::/56", "2001:db8:3::/56"), IPv6: netip.MustParseAddr("2001:db8::5"), InterfaceID: 0x0001_0000_abcd_0002,
		},
		LocalAddress: netip.MustParseAddr("10.0.0.1"),
		Interface:    "adit0",
	}
}

const wantUp = `ADIT_EVENT=session-up
ADIT_SESSION=65a1-7
ADIT_TUNNEL_ID=11
ADIT_SESSION_ID=13
ADIT_PEER=192.0.2.9
ADIT_PEER_NAME=lac1
ADIT_PEER_HOST_NAME=lac1.example
ADIT_CALLING_NUMBER=+4930
ADIT_CALLED_NUMBER=0191
ADIT_SUB_ADDRESS=7
ADIT_ENGINE=builtin/tun
ADIT_USER=alice
ADIT_PROFILE=gold
ADIT_INTERFACE=adit0
ADIT_ADDRESS=10.0.9.9
ADIT_LOCAL_ADDRESS=10.0.0.1
ADIT_INTERFACE_ID=1:0:abcd:2
ADIT_PREFIXES=2001:db8:1::/64
ADIT_IPV6_ADDRESS=2001:db8::5
ADIT_DELEGATED=2001:db8:2::/56 2001:db8:3::/56
ADIT_ROUTES=10.7.0.0/16 2001:db8:7::/48
ADIT_FILTER_ID=no spam
web
ADIT_RATES=Mikrotik-Rate-Limit=10M/20M 15M/30M
ADIT_CLASS=00ff 78`

func TestEnvironment(t *testing.T) {
	f := testFacts()
	if got := strings.Join(Environment(f), "\n"); got != wantUp {
		t.Errorf("up:\n%s\nwant:\n%s", got, wantUp)
	}
	f.Ended = &Ended{Duration: 90*time.Second + 900*time.Millisecond, Cause: subscriber.IdleTimeout,
		Counters: subscriber.Counters{OctetsIn: 1 << 40, OctetsOut: 2, PacketsIn: 3, PacketsOut: 4}}
	want := strings.Replace(wantUp, "session-up", "session-down", 1) +
		"\nADIT_SECONDS=90\nADIT_OCTETS_IN=1099511627776\nADIT_OCTETS_OUT=2\nADIT_PACKETS_IN=3\nADIT_PACKETS_OUT=4\nADIT_CAUSE=Idle-Timeout"
	if got := strings.Join(Environment(f), "\n"); got != want {
		t.Errorf("down:\n%s\nwant:\n%s", got, want)
	}
}

// Of a session of which nothing is known, every variable is there and empty, so
// that "set -u" holds.
func TestEnvironmentEmpty(t *testing.T) {
	full, empty := Environment(testFacts()), Environment(Facts{})
	if len(full) != len(empty) {
		t.Fatalf("%d variables, and %d", len(full), len(empty))
	}
	for i, v := range empty {
		name, value, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(full[i], name+"=") || value != "" && name != "ADIT_EVENT" {
			t.Errorf("%q beside %q", v, full[i])
		}
	}
	f := Facts{Line: &subscriber.Line{Profile: "default"}}
	if !slices.Contains(Environment(f), "ADIT_PROFILE=default") {
		t.Error("the call's own profile is not told")
	}
}

// What a peer chooses is one line without what a terminal obeys.
func TestEnvironmentNasty(t *testing.T) {
	nasty := "a\x00b\nADIT_USER=root\r\x1b[2J\x7f\u0085\u202e\xff'\"$(reboot)`x`; rm\t*"
	const want = "abADIT_USER=root[2J?'\"$(reboot)`x`; rm*"
	f := testFacts()
	f.Line = &subscriber.Line{ID: nasty, PeerName: nasty, PeerHostName: nasty, CallingNumber: nasty, CalledNumber: nasty,
		SubAddress: nasty, Profile: nasty, Engine: nasty}
	f.Service = &subscriber.Service{User: nasty, Profile: nasty, FilterID: []string{nasty, nasty}, Rates: []string{nasty}, Class: [][]byte{[]byte(nasty)}}
	f.Interface = nasty
	found := 0
	for _, v := range Environment(f) {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case name == "ADIT_FILTER_ID":
			if value != want+"\n"+want {
				t.Errorf("%q", v)
			}
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }):
			t.Errorf("%q", v)
		case value == want:
			found++
		}
	}
	if found != 11 {
		t.Errorf("%d values", found)
	}
}
