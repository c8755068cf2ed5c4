package main

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"adit/integration/scenario"
	"adit/internal/config"
	"adit/proto/ip"
)

// TestEthernetMessage: what the generator sends is a data message of the static session
// that adit's configuration has.
func TestEthernetMessage(t *testing.T) {
	mac := net.HardwareAddr{2, 1, 2, 3, 4, 5}
	c := call{session: 7, addr: netip.MustParseAddr("10.65.6.2"), mac: mac}
	file := filepath.Join(t.TempDir(), "adit.toml")
	document := ethernetDocument(netip.MustParseAddrPort("10.0.0.2:5000"), netip.MustParseAddrPort("10.0.0.1:6000"), 8)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	session := cfg.L2TPv3.Static[0].Sessions[6]
	for _, size := range sizes {
		m := c.appendMessage(nil, size)
		// RFC 3931 section 4.1.2.1: T is 0, the version 3, the rest reserved.
		if !bytes.HasPrefix(m, []byte{0, 3, 0, 0, 0, 0, 0, byte(session.ID)}) || !bytes.Equal(m[8:16], session.Cookie) {
			t.Errorf("the header is % x", m[:20])
		}
		if frame := m[frameAt:]; !bytes.HasPrefix(frame, mac) || len(m) != ethernetHeaderLen+size {
			t.Errorf("a message of %d octets with the frame % x", len(m), frame[:14])
		}
		packet := m[ethernetHeaderLen:]
		head, err := ip.Parse(packet)
		if err != nil || head.Src != c.addr || head.Length != size {
			t.Fatalf("%+v, %v", head, err)
		}
		var s ip.Super
		if !s.StartFrame(m[frameAt:], framePrefix, &head, ip.Offloads{USO: true}) || !s.AddFrame(m[frameAt:], framePrefix, &head) {
			t.Errorf("two frames of %d octets are not merged", size)
		}
	}
}

func TestEthernetLoads(t *testing.T) {
	names := map[string]bool{}
	for _, l := range ethernetLoads() {
		names[l.name()] = true
		if n := l.burst * (ethernetHeaderLen + l.size); n > longestUDP || l.burst > longest {
			t.Errorf("%s: a message has %d octets", l, n)
		}
	}
	if len(names) != 8 {
		t.Errorf("the loads are %v", names)
	}
}

// TestEthernetFigures: the figures of pseudowires have names of their own.
func TestEthernetFigures(t *testing.T) {
	r := testReport()
	r.ethernet = r.loads[:1]
	r.tcp[ethernetTCP], r.tcp[ethernetFloor], r.tcpRatio[ethernetFloor] = 3e9, 4e9, 0.75
	seen := map[string]float64{}
	for _, f := range r.figures() {
		if strings.HasPrefix(f.Name, ethernetName) && f.Against == "floor" {
			seen[f.Name+" "+f.Unit] = f.Ratio
		}
	}
	if seen["ethernet/tcp/1-session bit/s"] != 0.75 || seen["ethernet/down/1400-bytes/1-sessions/bursts-of-46 packet/s"] != 0.8 {
		t.Errorf("%v", seen)
	}
	var out bytes.Buffer
	r.print(&out)
	if !strings.Contains(out.String(), "between two TAPs: 3.00 Gbit/s; 75 % of the floor's 4.00") {
		t.Errorf("%s", out.String())
	}
}

// TestEthernetFloor: the floor forwards every packet both ways, and TCP.
func TestEthernetFloor(t *testing.T) {
	scenario.NeedNative(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := processors()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{TB: t, self: self, generator: cpus[0], measured: cpus[len(cpus)-1]}
	s := b.ethernetServer("floor", 8)
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	if s.messageLen != ethernetHeaderLen {
		t.Errorf("%d octets before a packet, want %d", s.messageLen, ethernetHeaderLen)
	}
	b.measuresBothWays(t, s)
	if bits, err := b.ethernetPath("path", false).transfer(); err != nil || bits < 1e6 {
		t.Errorf("TCP: %.0f bit/s, %v", bits, err)
	}
}
