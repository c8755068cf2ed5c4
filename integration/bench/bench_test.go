package main

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/integration/scenario"
	"adit/internal/kernel"
	"adit/proto/ip"
	"adit/proto/l2tp"
	"adit/proto/ppp"
)

// TestMain is also what the program becomes when it runs itself.
func TestMain(m *testing.M) {
	if status, child := runChild(os.Args); child {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// TestMessage: what the generator sends is a data message, with a packet that
// can be merged, so both its checksums are right.
func TestMessage(t *testing.T) {
	c := call{tunnel: 7, session: 9, addr: netip.MustParseAddr("10.64.16.1")}
	for _, size := range sizes {
		m := c.appendMessage(nil, size)
		h, payload, err := l2tp.ParseHeader(m)
		if err != nil || h.Control || h.TunnelID != 7 || h.SessionID != 9 {
			t.Fatalf("%+v, %v", h, err)
		}
		protocol, packet, err := ppp.Split(payload)
		if err != nil || protocol != ppp.ProtocolIPv4 || len(m)-len(packet) != headerLen {
			t.Fatalf("protocol %v, %d octets of headers, %v", protocol, len(m)-len(packet), err)
		}
		head, err := ip.Parse(packet)
		if err != nil || head.Src != c.addr || head.Dst != sink.Addr() || head.Length != size {
			t.Fatalf("%+v, %v", head, err)
		}
		var s ip.Super
		if !s.Start(packet, &head, ip.Offloads{USO: true}) || !s.Add(packet, &head) {
			t.Errorf("two packets of %d bytes are not merged", size)
		}
		packet[40]++
		if s.Add(packet, &head) {
			t.Error("a broken one is merged")
		}
	}
}

// TestCut: packets are told from octets, however they were merged.
func TestCut(t *testing.T) {
	// Three messages of 1, 5 and 10 datagrams with 1410 octets behind 42.
	got := traffic{4, 1000 + 16*1410 + 3*42}.since(traffic{1, 1000}).cut(42, 1410)
	if got != 16 {
		t.Errorf("%v datagrams, want 16", got)
	}
}

func TestLoads(t *testing.T) {
	names := map[string]bool{}
	for _, l := range loads(1000) {
		if names[l.name()] {
			t.Errorf("%s is there twice", l.name())
		}
		names[l.name()] = true
		if n := l.burst * (headerLen + l.size); n > longestUDP || l.burst > longest {
			t.Errorf("%s: a message has %d octets", l, n)
		}
	}
	for _, want := range []string{"up/100-bytes/1-sessions/bursts-of-64", "down/1400-bytes/1000-sessions/bursts-of-8"} {
		if !names[want] {
			t.Errorf("%s is not measured; there are %v", want, names)
		}
	}
}

func TestMedian(t *testing.T) {
	got := median([]sample{{perCPU: 9, busy: 1}, {perCPU: 1, busy: 2}, {perCPU: 5, busy: 3}})
	if got.perCPU != 5 || got.busy != 2 {
		t.Errorf("%+v", got)
	}
	// In each round half of the other's, but for one.
	if got := ratio([]float64{5, 1, 3, 9}, []float64{10, 2, 6, 9}); got != 0.5 {
		t.Errorf("ratio %v, want 0.5", got)
	}
	if got := ratio([]float64{5, 5}, []float64{0, 10}); got != 0.5 {
		t.Errorf("ratio %v, want 0.5 without the round in which the other did not run", got)
	}
	if m := newSample(100, 0.5, 0.25); m.delivered != 200 || m.perCPU != 400 || m.busy != 0.5 {
		t.Errorf("%+v", m)
	}
	if m := newSample(0, 0.5, 0); m.perCPU != 0 || m.delivered != 0 {
		t.Errorf("%+v", m)
	}
}

func TestMemoryLine(t *testing.T) {
	got, err := memoryLine("=== RUN\n    x_test.go:1: 100000 builtin sessions at each end: 3456 octets for one end of one\n--- PASS\n")
	if got != 3456 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := memoryLine("--- PASS\n"); err == nil {
		t.Error("no figure is no error")
	}
}

func testReport() *report {
	l := load{down: true, size: 1400, sessions: 1, burst: 46}
	return &report{
		sessions: 1000, memory: 2048,
		loads: []row{{l, map[string]sample{
			"adit": {9e5, 1e6, 0.9}, "floor": {1e6, 1.25e6, 0.8}, "l2tpns": {1e5, 1e5, 1},
		}, map[string]float64{"floor": 0.8, "l2tpns": 10}}},
		tcpRatio: map[string]float64{"floor": 0.9, unmerged: 5, oneByOne: 4},
		tcp:      map[string]float64{"adit": 5e9, "floor": 6e9, unmerged: 1e9, oneByOne: 1.25e9},
		setups:   map[string]float64{"adit": 300, "l2tpns": 100},
	}
}

// TestFigures: the names and the ratios of bench.json.
func TestFigures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	if err := testReport().write(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	ratio := func(name, unit, against string) float64 {
		for _, f := range all {
			if len(f) != 5 {
				t.Errorf("%v", f)
			}
			if f["name"] == name && f["unit"] == unit && f["against"] == against {
				return f["ratio"].(float64)
			}
		}
		return math.NaN()
	}
	const name = "down/1400-bytes/1-sessions/bursts-of-46"
	for _, want := range []struct {
		name, unit, against string
		ratio               float64
	}{
		{name, "packet/s", "floor", 0.8},
		{name, "Gbit/s", "l2tpns", 10},
		{name + "/delivered", "packet/s", "floor", 0.9},
		{name + "/floor", "packet/s", "", 0},
		{"tcp/1-session", "bit/s", "adit unmerged", 5},
		{"tcp/1-session", "bit/s", "one by one", 4},
		{"setup/1000-sessions", "session/s", "l2tpns", 3},
		{"memory/100000-sessions", "byte/session", "limit", 0.5},
	} {
		if got := ratio(want.name, want.unit, want.against); got != want.ratio {
			t.Errorf("%s in %s against %q: %v, want %v", want.name, want.unit, want.against, got, want.ratio)
		}
	}
}

// TestPrint: the table says what was reached and what was not.
func TestPrint(t *testing.T) {
	var out bytes.Buffer
	r := testReport()
	// Without figures of one that did not run.
	r.loads = append(r.loads, row{r.loads[0].load, map[string]sample{"adit": {1, 1, 1}, "floor": {}}, nil})
	r.print(&out)
	for _, want := range []string{"1.000", "11.20", "80 %  yes", "10.0  yes", "5.0 times the 1.00 of adit where nothing is merged (reached: NO)", "2048 bytes (reached: yes)"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "Inf") || strings.Contains(out.String(), "NaN") {
		t.Errorf("%s", out.String())
	}
}

// measuresBothWays: what goes up and down is seen, if not in the first window of a machine
// that is busy with something else.
func (b *bench) measuresBothWays(t *testing.T, s *server) {
	t.Helper()
	for _, l := range []load{{false, 1400, 8, 8}, {true, 100, 8, 8}} {
		var m sample
		scenario.WaitFor(t, 30*time.Second, l.String()+" to be measured", func() bool {
			var err error
			if m, err = b.measure(s, l); err != nil {
				t.Fatalf("%s: %v", l, err)
			}
			return m.delivered > 0 && m.perCPU > 0
		})
	}
}

// TestFloor: the floor forwards every packet both ways, and so does the path one
// by one for TCP; the counters see exactly that.
func TestFloor(t *testing.T) {
	scenario.NeedNative(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := processors()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{TB: t, self: self, sessions: 8, generator: cpus[0], measured: cpus[len(cpus)-1]}
	s := b.startFloor()
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	if s.messageLen != headerLen {
		t.Errorf("%d octets before a packet, want %d", s.messageLen, headerLen)
	}
	b.measuresBothWays(t, s)
	for _, single := range []bool{false, true} {
		bits, err := b.floorPath("path", single).transfer()
		if err != nil || bits < 1e6 {
			t.Errorf("TCP, one by one %t: %.0f bit/s, %v", single, bits, err)
		}
	}
}

// TestOldKernel: behind the filter the kernel has no TUN offloads, no UDP_GRO and
// no UDP_SEGMENT, and everything else.
func TestOldKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		scenario.NeedNative(t)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{self: self}
	argv := b.unmerging(self, "-test.run", "^TestBehindFilter$", "-test.v")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), behindFilter+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestBehindFilter") {
		t.Errorf("%v\n%s", err, out)
	}
}

const behindFilter = "ADIT_BENCH_BEHIND_FILTER"

func TestBehindFilter(t *testing.T) {
	if os.Getenv(behindFilter) == "" {
		t.Skip("runs as a child of TestOldKernel")
	}
	fd, err := kernel.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if kernel.GRO(fd) {
		t.Error("UDP_GRO is on")
	}
	for _, option := range []int{unix.UDP_GRO, unix.UDP_SEGMENT} {
		if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, option); err != unix.ENOPROTOOPT {
			t.Errorf("option %d: %v", option, err)
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_UDP, option, 1); err != unix.ENOPROTOOPT {
			t.Errorf("option %d: %v", option, err)
		}
	}
	if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_CORK); err != nil {
		t.Errorf("another option: %v", err)
	}
	tun, err := kernel.OpenTUN(kernel.TUNOptions{Name: "aditbench%d"})
	if err != nil {
		t.Fatal(err)
	}
	defer tun.Close()
	if o := tun.Offloads(); o != (ip.Offloads{}) {
		t.Errorf("offloads %+v", o)
	}
}
