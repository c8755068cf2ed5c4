package scenario

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestXL2TPDBothEnds proves the lab itself: two xl2tpd bring PPP up between two
// namespaces, through the kernel and through PTYs, and packets of all sizes go
// through.
func TestXL2TPDBothEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		o    XL2TPDOptions
	}{
		{"kernel", XL2TPDOptions{LengthBit: true}},
		{"userspace with secrets", XL2TPDOptions{Userspace: true, Secret: "s3cret", User: "miner", Password: "pick axe"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := NewNet(t)
			n.B.Capture(t, "wire", "eth0", "udp")
			// The left end dials its right end.
			lns := XL2TPD(t, n.B, LNS, c.o)
			lac := XL2TPD(t, n.A, LAC, c.o)
			if kernel := strings.Contains(lac.Log(), "Using l2tp kernel support"); kernel == c.o.Userspace {
				t.Errorf("xl2tpd uses the kernel's L2TP: %t, userspace was forced: %t", kernel, c.o.Userspace)
			}
			client := n.A.PPP(t, time.Minute, 1)[0]
			server := n.B.PPP(t, time.Minute, 1)[0]
			local, peer := client.IPv4()
			if !strings.HasPrefix(local.String(), "10.98.0.") || peer.String() != "10.98.0.1" {
				t.Fatalf("the client's addresses are %s and %s", local, peer)
			}
			if l, p := server.IPv4(); l != peer || p != local {
				t.Fatalf("the ends do not agree: client %s-%s, server %s-%s", local, peer, l, p)
			}
			if got := len(n.B.Pids("pppd")); got != 1 {
				t.Errorf("%d pppd at the LNS, want 1", got)
			}
			n.A.Ping(t, peer, 56, 3)
			n.B.Ping(t, local, 1300, 3)
			t.Logf("through the tunnel: %s", Transfer(t, n.A, n.B, peer, 256<<10))

			lac.HangUp(t)
			n.A.PPP(t, time.Minute, 0)
			n.B.PPP(t, time.Minute, 0)
			lac.Stop(t)
			lns.Stop(t)
		})
	}
}

func TestNet3RoutesThroughTheMiddle(t *testing.T) {
	n := NewNet3(t)
	far := n.Links[1].Right
	n.A.Ping(t, far.IPv4, 56, 2)
	n.A.Ping(t, far.IPv6, 56, 2)
	result := Transfer(t, n.A, n.C, far.IPv6, 1<<20)
	if result.Bytes != 1<<20 || result.MbitPerSecond() <= 0 {
		t.Errorf("transfer: %s", result)
	}
	if got := len(n.A.Interfaces(t, "eth")); got != 1 {
		t.Errorf("A has %d veths, want 1", got)
	}
	if got := len(n.B.Interfaces(t, "eth")); got != 2 {
		t.Errorf("B has %d veths, want 2", got)
	}
}

func TestNetemLoses(t *testing.T) {
	n := NewNet(t)
	n.A.Netem(t, "loss 100%")
	received, err := n.B.PingCount(n.AddrA(), 56, 2)
	if err != nil || received != 0 {
		t.Errorf("with all packets lost: %d answers, %v", received, err)
	}
	n.A.Netem(t, "loss 50% delay 20ms 10ms reorder 25%")
	received, err = n.B.PingCount(n.AddrA(), 56, 60)
	// Fewer than 6 or more than 54 of 60 at one half: once in 10^10.
	if err != nil || received < 6 || received > 54 {
		t.Errorf("with half the packets lost: %d answers of 60, %v", received, err)
	}
	n.A.Netem(t, "")
	n.B.Ping(t, n.AddrA(), 56, 2)
}

func TestProcess(t *testing.T) {
	n := NewNet(t)
	p := n.A.Start(t, "shell", "sh", "-c", "echo ready; sleep 1000 & wait")
	p.WaitLog(t, 30*time.Second, "ready")
	WaitFor(t, 30*time.Second, "the shell's child", func() bool { return len(n.A.Pids("sleep")) == 1 })
	if done, _ := p.Exited(); done {
		t.Fatal("a running process is said to have ended")
	}
	if got := n.B.Pids(""); len(got) != 0 {
		t.Errorf("processes %v are said to be in the other namespace", got)
	}
	p.KillHard()
	WaitFor(t, 30*time.Second, "the group to die", func() bool { return len(n.A.Pids("")) == 0 })

	q := n.A.Start(t, "shell", "sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
	if q.LogFile == p.LogFile {
		t.Error("two processes share a log file")
	}
	q.WaitLog(t, 30*time.Second, "ready")
	q.Signal(t, syscall.SIGTERM)
	if err := q.Wait(30 * time.Second); err == nil || err.Error() != "exit status 3" {
		t.Errorf("the end of the shell: %v", err)
	}
	if !strings.Contains(q.Log(), "bye") {
		t.Errorf("log %q", q.Log())
	}
}

func TestNamespacesAreRemoved(t *testing.T) {
	NeedLab(t)
	var name string
	t.Run("inner", func(t *testing.T) {
		n := NewNet(t)
		name = n.A.Name
		// In a session of its own, so that no process group leads to it.
		n.A.Start(t, "daemon", "setsid", "--fork", "sleep", "1000")
		WaitFor(t, 30*time.Second, "the daemon", func() bool { return len(n.A.Pids("sleep")) == 1 })
	})
	if _, err := os.Stat("/run/netns/" + name); !os.IsNotExist(err) {
		t.Errorf("namespace %s is still there: %v", name, err)
	}
}

func TestAditDemandsItsBinary(t *testing.T) {
	t.Setenv(BinaryVariable, "/nonexistent/adit")
	status := Main("inner", testWriter{t}, func(tb TB) {
		NewAdit(tb, &NS{Name: "none"}, "")
	})
	if status != 1 {
		t.Errorf("status %d without a binary", status)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("inner: %s", p)
	return len(p), nil
}

// TestInterfaces: what is told of the interfaces is what ip has set.
func TestInterfaces(t *testing.T) {
	n := NewNativeNet(t)
	n.A.batch(t,
		"link set eth0 mtu 1400",
		"addr add 10.98.0.10 peer 10.98.0.1/32 dev eth0",
		"addr add fe80::1/128 dev eth0 nodad",
		"link add other type veth peer name another")
	l := n.Links[0]
	all := n.A.Interfaces(t, "eth")
	if len(all) != 1 || all[0].Name != "eth0" || all[0].Index == 0 || all[0].MTU != 1400 || !all[0].Up {
		t.Fatalf("%+v", all)
	}
	for _, want := range []InterfaceAddr{
		{Local: netip.PrefixFrom(l.Left.IPv4, 30)},
		{Local: netip.MustParsePrefix("10.98.0.10/32"), Peer: netip.MustParseAddr("10.98.0.1")},
		{Local: netip.PrefixFrom(l.Left.IPv6, 64)},
		{Local: netip.MustParsePrefix("fe80::1/128"), LinkLocal: true},
	} {
		if !slices.Contains(all[0].Addrs, want) {
			t.Errorf("%+v is not among %+v", want, all[0].Addrs)
		}
	}
	if local, _ := all[0].IPv4(); local != l.Left.IPv4 {
		t.Errorf("the first address is %s", local)
	}
	if local, _ := (Interface{}).IPv4(); local.IsValid() {
		t.Errorf("an address out of nothing: %s", local)
	}
	for _, want := range []string{"another false", "eth0 true", "lo true", "other false"} {
		if !slices.ContainsFunc(n.A.Interfaces(t, ""), func(i Interface) bool { return fmt.Sprint(i.Name, " ", i.Up) == want }) {
			t.Errorf("no %s among all", want)
		}
	}
}

func TestMainReports(t *testing.T) {
	var order []string
	status := Main("good", testWriter{t}, func(t TB) {
		t.Cleanup(func() { order = append(order, "first") })
		t.Cleanup(func() { order = append(order, "second"); t.Fatalf("in a clean-up") })
	})
	if status != 1 || strings.Join(order, " ") != "second first" {
		t.Errorf("status %d, clean-ups %v", status, order)
	}
	if status := Main("good", testWriter{t}, func(TB) {}); status != 0 {
		t.Errorf("status %d of a function that did nothing wrong", status)
	}
	if status := Main("bad", testWriter{t}, func(t TB) { t.Errorf("wrong") }); status != 1 {
		t.Errorf("status %d after Errorf", status)
	}
}

func TestEventually(t *testing.T) {
	if Eventually(0, func() bool { return false }) {
		t.Error("what never held is said to hold")
	}
	calls := 0
	if !Eventually(time.Minute, func() bool { calls++; return calls == 2 }) || calls != 2 {
		t.Errorf("held after %d looks", calls)
	}
}

func TestLogDirStaysInside(t *testing.T) {
	out := t.TempDir()
	t.Setenv("ADIT_LAB_OUT", out)
	t.Run("../../weird name", func(t *testing.T) {
		if dir := LogDir(t); !strings.HasPrefix(dir, out+"/TestLogDirStaysInside/") || strings.ContainsAny(dir, " ") || strings.Contains(dir, "..") {
			t.Errorf("log folder %s", dir)
		}
	})
}

func TestXL2TPDFiles(t *testing.T) {
	o := XL2TPDOptions{
		Listen: netip.MustParseAddr("10.99.1.1"), Peer: netip.MustParseAddr("10.99.1.2"), Port: 1702, Secret: "s",
		User: "u", Password: "p", HiddenBit: true, FlowBit: true, Userspace: true, Manual: true, Redial: 5 * time.Second,
		Global: []string{"max retries = 3"}, Section: []string{"bps = 1000"}, PPP: []string{"lcp-max-configure 3"},
	}
	lac := xl2tpdConfig(LAC, o, "/o", "/s")
	for _, want := range []string{"port = 1702\n", "listen-addr = 10.99.1.1\n", "force userspace = yes\n", "max retries = 3\n[lac peer]\nlns = 10.99.1.2\n",
		"redial timeout = 5\n", "challenge = yes\n", "hidden bit = yes\n", "flow bit = yes\n", "pppoptfile = /o\n", "bps = 1000\n"} {
		if !strings.Contains(lac, want) {
			t.Errorf("LAC: no %q in\n%s", want, lac)
		}
	}
	for _, not := range []string{"autodial", "length bit", "refuse authentication", "[lns"} {
		if strings.Contains(lac, not) {
			t.Errorf("LAC: %q in\n%s", not, lac)
		}
	}
	if text := pppdOptions(LNS, o, "/l"); !strings.Contains(text, "\nrequire-chap\nlcp-max-configure 3\n") || strings.Contains(text, "noauth") {
		t.Errorf("options of the LNS:\n%s", text)
	}
	if text := xl2tpdConfig(LNS, XL2TPDOptions{}, "/o", "/s"); !strings.Contains(text, "refuse authentication = yes") || strings.Contains(text, "challenge") {
		t.Errorf("LNS without secrets:\n%s", text)
	}
}
