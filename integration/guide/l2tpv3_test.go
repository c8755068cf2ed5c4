package guide

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"adit/integration/scenario"
	"adit/internal/config"
	"adit/internal/need"
	"adit/proto/l2tp"
)

// l2tpv3Page is the page of pseudowires.
const l2tpv3Page = "l2tpv3.md"

// TestL2TPv3 runs the page of pseudowires between two adits in userspace. What needs the
// kernel's L2TP at one end is not run here.
func TestL2TPv3(t *testing.T) {
	scenario.NeedNative(t)
	n := scenario.NewNativeNet(t)
	if _, err := n.A.Run("ip", "link", "add", "br9", "type", "bridge"); err != nil {
		need.Lack(t, "needs bridges: modprobe bridge: %v", err)
	}
	units := map[string]string{"adit.unit": aditUnit}
	berlin, hamburg := newMachine(t, "berlin", n.A, units), newMachine(t, "hamburg", n.B, units)
	connect(t, berlin, hamburg, "192.0.2.1", "198.51.100.1")

	p := open(t, l2tpv3Page, berlin, hamburg)
	p.section("A static tunnel")
	p.section("Managed pseudowires")
	p.done()
}

// tableRows are the rows of a table of the page, without their ends, that begin after a
// comment.
func tableRows(t *testing.T, comment string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "guide", l2tpv3Page))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "<!-- "+comment+" -->\n\n")
	if !found {
		t.Fatalf("the page has no comment %q", comment)
	}
	for line := range strings.Lines(rest) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "| ")
		if !ok && len(rows) > 0 && !strings.HasPrefix(line, "|-") {
			break
		}
		if !ok {
			continue
		}
		var row []string
		for cell := range strings.SplitSeq(strings.TrimSuffix(line, " |"), " | ") {
			row = append(row, strings.TrimSpace(cell))
		}
		rows = append(rows, row)
	}
	return rows[1:] // the first is the head
}

// The octets of the headers around those of L2TP, and of the path.
const (
	ipv4Octets, ipv6Octets, udpOctets, ethernetOctets = 20, 40, 8, 14
	pathMTU                                           = 1500
)

// TestL2TPv3Octets computes the page's table of octets from what writes the headers.
func TestL2TPv3Octets(t *testing.T) {
	rows := tableRows(t, "a test computes these")
	if len(rows) != 12 {
		t.Fatalf("the table has %d rows, want 12", len(rows))
	}
	for _, row := range rows {
		cookie, err := strconv.Atoi(row[1])
		if err != nil || len(row) != 7 {
			t.Fatalf("%q is no row of the table: %v", row, err)
		}
		h := l2tp.DataHeader3{SessionID: 1, Cookie: make([]byte, cookie), IP: strings.HasSuffix(row[0], ", IP")}
		if row[2] == "default" {
			h.Sublayer = l2tp.SublayerDefault
		}
		outside := l2tp.DataHeader3Len(&h) + ipv4Octets
		if strings.HasPrefix(row[0], "IPv6") {
			outside += ipv6Octets - ipv4Octets
		}
		if !h.IP {
			outside += udpOctets
		}
		ethernet := outside + ethernetOctets
		want := []string{fmt.Sprint(ethernet), fmt.Sprint(pathMTU - ethernet), fmt.Sprint(outside), fmt.Sprint(pathMTU - outside)}
		if got := row[3:]; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s, cookie %s, sublayer %s: the page has %q, want %q", row[0], row[1], row[2], got, want)
		}
	}
}

// TestL2TPv3Types holds the page's table of types against what a configuration may say.
func TestL2TPv3Types(t *testing.T) {
	rows := tableRows(t, "a test holds this table against the configuration")
	seen := map[string]bool{}
	for _, row := range rows {
		if len(row) != 6 {
			t.Fatalf("%q is no row of the table", row)
		}
		kind := strings.Trim(row[0], "`")
		seen[kind] = true
		vlan := "" // type vlan cannot do without
		if kind == `"vlan"` {
			vlan = "vlan = 5\n"
		}
		switched := "[[pseudowires]]\nname = \"b\"\ntype = " + kind + "\n[[pseudowires]]\nname = \"a\"\nswitch = \"b\"\ntype = " + kind
		alone := "[[pseudowires]]\nname = \"a\"\ntype = " + kind + "\n" + vlan
		for _, c := range []struct {
			what, text string
			may        bool
		}{
			{"kernel", alone + "dataplane = \"kernel\"", row[1] == "yes"},
			{"userspace", alone + "dataplane = \"userspace\"", row[2] == "yes"},
			{"switched in userspace", switched + "\ndataplane = \"userspace\"", true},
			{"switched in the kernel", switched + "\ndataplane = \"kernel\"", false},
			{"vlan", strings.Replace(alone, vlan, "", 1) + "vlan = 5", row[4] == "yes"},
			{"bridge", alone + "bridge = \"br0\"", row[5] == "yes"},
		} {
			path := filepath.Join(t.TempDir(), "adit.toml")
			if err := os.WriteFile(path, []byte(c.text+"\n[[lns.peers]]\nname = \"p\"\nsecret = \"s\"\nversions = [3]\npseudowires = [\"a\"]\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(path); (err == nil) != c.may {
				t.Errorf("%s, %s: may it be: %t; the configuration says: %v", kind, c.what, c.may, err)
			}
		}
	}
	const beyondAll = l2tp.PseudowireType(0x20)
	for kind := range beyondAll {
		if _, known := l2tp.ParsePseudowireType(kind.String()); known && kind != l2tp.PseudowirePPP && !seen[strconv.Quote(kind.String())] {
			t.Errorf("the table does not have type %v", kind)
		}
	}
}
