package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"adit/internal/control"
)

func (d cannedDaemon) Static(context.Context) ([]control.Static, error) {
	if d.empty {
		return nil, nil
	}
	return []control.Static{
		{Name: "branch", Origin: control.OriginConfiguration, DataPlane: "kernel", Encapsulation: "udp",
			LocalAddress: netip.MustParseAddrPort("192.0.2.1:5000"), PeerAddress: netip.MustParseAddrPort("198.51.100.7:5001"), ID: 1, PeerID: 1<<32 - 1,
			State: "up", Since: ago(time.Hour), Repairs: 2, Probes: 700, Answers: 699, LastHeard: ago(4 * time.Second),
			Sessions: []control.StaticSession{
				{Name: "lan", Pseudowire: "lan", Type: "ethernet", ID: 11, PeerID: 12, CookieLength: 8, PeerCookieLength: 4, Up: true, Bridge: "ethernet/kernel",
					Interface: "branch0", Sublayer: "default", Sequencing: "all", Traffic: control.Traffic{RxPackets: 5, RxBytes: 500, RxErrors: 3, TxBytes: 9}, RxOutOfOrder: 1},
				{Name: "1", Type: "ethernet", ID: 1 << 31, PeerID: 14, Sublayer: "none", Sequencing: "none", Problem: "there is no bridge \"br0\"\n"},
			}},
		{Name: "by-hand", Origin: control.OriginCommand, DataPlane: "userspace", Encapsulation: "ip",
			LocalAddress: netip.MustParseAddrPort("[2001:db8::1]:0"), PeerAddress: netip.MustParseAddrPort("[2001:db8::2]:0"), ID: 7, PeerID: 8,
			State: "down", Since: ago(time.Second), Problem: "no route", Sessions: []control.StaticSession{}},
	}, nil
}

func (d cannedDaemon) AddStatic(_ context.Context, doc control.StaticDocument) (control.StaticAdded, error) {
	if d.empty {
		return control.StaticAdded{}, &control.Error{Message: "the static tunnels have 2 errors; nothing has changed", Problems: []control.Problem{
			{File: doc.File, Line: 3, Key: "l2tpv3.static[0].sessions[0].peer_session_id", Text: "is missing"}, {File: doc.File, Text: doc.Document}}}
	}
	return control.StaticAdded{Names: []string{"a", "b"}, Warnings: []control.Problem{{File: doc.File, Text: "looks odd"}}}, nil
}

func (d cannedDaemon) RemoveStatic(_ context.Context, name string) (control.StaticRemoved, error) {
	if d.empty {
		return control.StaticRemoved{}, fmt.Errorf("static tunnel %q: %w", name, control.ErrNotFound)
	}
	return control.StaticRemoved{Name: name, Sessions: 3}, nil
}

func TestStaticTable(t *testing.T) {
	var out strings.Builder
	all, _ := cannedDaemon{}.Static(t.Context())
	if err := showStatic(&out, all, now); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out)
	if err := showStatic(&out, all[1:], now); err != nil { // one that carries nothing
		t.Fatal(err)
	}
	golden(t, "static.txt", out.String())
}

// TestStaticAdd: a document of a file goes as it is and what is wrong with it is told by
// line; one of flags is told by flag.
func TestStaticAdd(t *testing.T) {
	good, bad := serve(t, cannedDaemon{}), serve(t, cannedDaemon{empty: true})
	dir := t.TempDir()
	file := filepath.Join(dir, "x.toml")
	if err := os.WriteFile(file, []byte("\xef\xbb\xbfgiven = 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	status, stdout, stderr := adit(t, "static", "add", "-f", "x.toml", "--socket", good)
	if want := "warning: " + file + ": looks odd\nadded until the daemon ends: a, b\n"; status != 0 || stdout != want || stderr != "" {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
	status, stdout, stderr = adit(t, "static", "add", "-f", "x.toml", "--socket", bad)
	want := file + ":3: l2tpv3.static[0].sessions[0].peer_session_id: is missing\n" + file + ": given = 1\n" +
		"adit: the static tunnels have 2 errors; nothing has changed\n"
	if status != exitUsage || stdout != "" || stderr != want {
		t.Errorf("%d %q\n%s", status, stdout, cmp.Diff(want, stderr))
	}
	status, stdout, stderr = adit(t, "static", "add", "--name", "n\"", "--tunnel-id", "4294967295", "--cookie", "00112233", "--mtu", "-1", "--socket", bad)
	lines := strings.SplitN(stderr, "\n", 2)
	if status != exitUsage || stdout != "" || lines[0] != "--peer-session-id: is missing" {
		t.Fatalf("%d %q %q", status, stdout, stderr)
	}
	document, _, _ := strings.Cut(lines[1], "adit: ")
	var got any
	if _, err := toml.Decode(document, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"l2tpv3": map[string]any{"static": []map[string]any{{"name": "n\"", "tunnel_id": int64(4294967295),
		"sessions": []map[string]any{{"cookie": "00112233", "mtu": int64(-1)}}}}}}, got); diff != "" {
		t.Errorf("the document of flags:\n%s", diff)
	}
	var wrong control.Error
	status, stdout, stderr = adit(t, "static", "add", "-f", "x.toml", "--json", "--socket", bad)
	if err := json.Unmarshal([]byte(stdout), &wrong); err != nil || status != exitUsage || stderr != "" || len(wrong.Problems) != 2 {
		t.Errorf("%d %q %q (%v)", status, stdout, stderr, err)
	}
	var removed control.StaticRemoved
	status, stdout, _ = adit(t, "static", "remove", "x", "--json", "--socket", good)
	if err := json.Unmarshal([]byte(stdout), &removed); err != nil || status != 0 || removed != (control.StaticRemoved{Name: "x", Sessions: 3}) {
		t.Errorf("%d %q (%v)", status, stdout, err)
	}
}

// version3Sessions are of L2TPv3, one of them not set up yet.
func version3Sessions() []control.Session {
	return []control.Session{
		{ID: 1<<32 - 1, PeerID: 1 << 31, Tunnel: 4000000000, TunnelPeer: "pop", Name: "lan", Role: "lac", State: "up", Since: ago(time.Minute), Bridge: "ethernet/tap",
			Interface: "l2tpeth0", Version: 3, Pseudowire: "ethernet", RemoteEndID: "circuit \x1b", ApplicationID: new(uint16), CookieLength: 8, PeerCookieLength: 4, Sublayer: "default",
			PeerSublayer: "none", CircuitStatus: "active", PeerCircuitStatus: "inactive, circuit receive fault",
			Sequencing: control.Sequencing{Required: true, Late: 3, Lost: 1}},
		{ID: 5, Tunnel: 4000000000, TunnelPeer: "pop", Role: "lac", State: "setting up", Version: 3, Pseudowire: "ppp", Sublayer: "default", PeerSublayer: "default",
			CircuitStatus: "active, new", PeerCircuitStatus: "inactive"},
	}
}

func TestVersion3Tables(t *testing.T) {
	var out strings.Builder
	if err := showTunnels(&out, []control.Tunnel{
		{ID: 4000000000, PeerID: 4294967295, Peer: "pop", PeerAddress: netip.MustParseAddrPort("192.0.2.1:0"), PeerHostName: "pe1", Role: control.RoleInitiator,
			State: "established", Since: ago(time.Second), Sessions: 2, DataPlane: "userspace", Version: 3, Encapsulation: "ip"},
		{ID: 4, PeerID: 5, Peer: "old", PeerAddress: netip.MustParseAddrPort("192.0.2.1:1701"), State: "established", Version: 2, Encapsulation: "udp"},
	}, now); err != nil {
		t.Fatal(err)
	}
	golden(t, "tunnels3.txt", out.String())
	out.Reset()
	if err := showSessions(&out, version3Sessions(), now); err != nil {
		t.Fatal(err)
	}
	golden(t, "sessions3.txt", out.String())
}

// TestEndID: a Remote End ID that is text is told as it is, and every other one in a way
// that no text is.
func TestEndID(t *testing.T) {
	for octets, want := range map[string]string{
		"": "", "circuit 1": "circuit 1", "größe": "größe", "\x00\x00\x00\x07": "0x00000007", "\xff": "0xff", "a\n": "0x610a", "0x01": "0x30783031",
	} {
		if got := endID([]byte(octets)); got != want {
			t.Errorf("%q is %q, want %q", octets, got, want)
		}
	}
}
