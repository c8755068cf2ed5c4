package scenario

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"adit/internal/config"
)

// paperNet has the addresses of a network, and nothing else.
func paperNet() *Net {
	return &Net{Links: []Link{{N: 1,
		Left:  End{Interface: "eth0", IPv4: netip.MustParseAddr("10.99.1.1"), IPv6: netip.MustParseAddr("fd99:1::1")},
		Right: End{Interface: "eth0", IPv4: netip.MustParseAddr("10.99.1.2"), IPv6: netip.MustParseAddr("fd99:1::2")},
	}}}
}

// TestDocumentsOfRows: what the tables write is what the configuration takes, without
// a warning, and both ends mean the same.
func TestDocumentsOfRows(t *testing.T) {
	n := paperNet()
	load := func(text string) *config.Config {
		t.Helper()
		file := filepath.Join(t.TempDir(), "adit.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file)
		if err != nil || len(cfg.Warnings) > 0 {
			t.Fatalf("%v %v in\n%s", err, cfg, text)
		}
		return cfg
	}
	rows := append(AllRows("kernel", "userspace", 1), CoveringRows("userspace", "userspace", 101)...)
	rows = append(rows, numbered(linkRows(), "kernel", "userspace", 111)...)
	a, b := load(StaticDocument(n, 1, rows)).L2TPv3.Static, load(StaticDocument(n, 2, rows)).L2TPv3.Static
	if len(a) != len(rows) || len(b) != len(rows) {
		t.Fatalf("%d and %d tunnels of %d rows", len(a), len(b), len(rows))
	}
	for i, r := range rows {
		x, y := a[i], b[i]
		if x.Local != y.Peer || x.Peer != y.Local || x.ID != y.PeerID || x.PeerID != y.ID || x.Checksum != y.Checksum {
			t.Errorf("%s: the tunnels are not each other's: %+v, %+v", r.Name(), x, y)
		}
		s, u := x.Sessions[0], y.Sessions[0]
		if s.ID != u.PeerID || s.PeerID != u.ID || string(s.Cookie) != string(u.PeerCookie) || string(s.PeerCookie) != string(u.Cookie) {
			t.Errorf("%s: the sessions are not each other's: %+v, %+v", r.Name(), s, u)
		}
		if r.Cookie > 0 && (len(s.Cookie) != r.Cookie || string(s.Cookie) == string(s.PeerCookie)) {
			t.Errorf("%s: cookies %x and %x", r.Name(), s.Cookie, s.PeerCookie)
		}
	}
	dial, accept := load(DialDocument(n, rows, "")), load(AcceptDocument(n, rows, ""))
	if len(dial.LAC.Tunnels) != len(rows) || len(accept.LNS.Peers) != len(rows) {
		t.Errorf("%d tunnels and %d peers of %d rows", len(dial.LAC.Tunnels), len(accept.LNS.Peers), len(rows))
	}
}

// TestCoveringRows: each two values of two properties meet in some row.
func TestCoveringRows(t *testing.T) {
	values := func(r Row) []int {
		number := map[bool]int{true: 1}
		return []int{number[r.OverIP], number[r.IPv6], r.Cookie / 4, number[r.Sequenced]}
	}
	counts := []int{2, 2, 3, 2}
	rows := CoveringRows("kernel", "", 1)
	for i := range counts {
		for j := range i {
			for x := range counts[i] {
				for y := range counts[j] {
					if !slices.ContainsFunc(rows, func(r Row) bool { v := values(r); return v[i] == x && v[j] == y }) {
						t.Errorf("no row has value %d of property %d with value %d of property %d", x, i, y, j)
					}
				}
			}
		}
	}
	if all := AllRows("kernel", "", 1); len(all) != 24 {
		t.Errorf("%d rows are not all", len(all))
	}
}
