package pppbridge

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/proto/l2tp"
)

// sink keeps the frames that a bridge sends.
type sink struct {
	mu      sync.Mutex
	frames  [][]byte
	flushes int
	rooms   [][]byte // since the last flush
	burst   *circuit.Burst
}

// Room is Frames'. What was written into it is looked at when it is flushed.
func (s *sink) Room(b *circuit.Burst, n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.burst != b {
		s.burst = b
		b.OnFlush(s.flush)
	}
	room := make([]byte, n)
	s.rooms = append(s.rooms, room)
	return room
}

func (s *sink) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = append(s.frames, s.rooms...)
	s.rooms = nil
	s.flushes++
}

func (s *sink) got() ([][]byte, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames, s.flushes
}

// run opens an asynchronous bridge to a fake pppd with a script.
func run(t *testing.T, f *Factory, log *testLog, frames circuit.Frames, script ...string) (circuit.Bridge, <-chan circuit.Exit) {
	t.Helper()
	return runSpec(t, f, Spec{Kind: circuit.PPPDAsync, Options: script, Log: log.entry}, frames)
}

func runSpec(t *testing.T, f *Factory, s Spec, frames circuit.Frames) (circuit.Bridge, <-chan circuit.Exit) {
	t.Helper()
	exits := make(chan circuit.Exit, 2)
	b, err := f.Open(s, frames, func(e circuit.Exit) { exits <- e })
	if err != nil {
		t.Fatal(err)
	}
	return b, exits
}

func waitExit(t *testing.T, c <-chan circuit.Exit, log *testLog) circuit.Exit {
	t.Helper()
	select {
	case e := <-c:
		return e
	case <-time.After(20 * time.Second):
		t.Fatalf("it does not end; log:\n%s", log)
		panic("not reached")
	}
}

func fakeFactory(t *testing.T, cfg Config) *Factory {
	t.Helper()
	cfg.Path = fakePath(t)
	return newTestFactory(t, cfg)
}

func TestEveryExitStatus(t *testing.T) {
	f := fakeFactory(t, Config{Starts: 4})
	for code := range len(pppdExits) + 2 {
		log := newTestLog()
		_, c := run(t, f, log, &sink{}, fmt.Sprintf("do=exit:%d", code))
		e := waitExit(t, c, log)
		if e.Code != code || e.Signal != "" || e.Closed || e.Text == "" || e.Err != nil || e.Result.Result == 0 {
			t.Errorf("status %d: %+v", code, e)
		}
		if len(c) != 0 {
			t.Errorf("status %d: OnExit came twice", code)
		}
	}
}

// What pppd 2.4.9 says before an exit of 16 is the reason; the rest of the table
// is RFC 3145's words for pppd(8)'s.
func TestExitMeanings(t *testing.T) {
	for _, c := range []struct {
		code   int
		lines  []string
		result uint16
		ppp    *l2tp.PPPDisconnect
	}{
		{0, nil, l2tp.CDNAdministrative, cause(l2tp.DisconnectNormal, 0, l2tp.DirectionPeer)},
		{1, nil, l2tp.CDNNoFacilitiesTemporary, cause(l2tp.DisconnectNoInformation, 0, 0)},
		{2, nil, l2tp.CDNNoFacilitiesPermanent, cause(l2tp.DisconnectNoInformation, 0, 0)},
		{5, nil, l2tp.CDNAdministrative, cause(l2tp.DisconnectAdministrative, 0, 0)},
		{10, nil, l2tp.CDNGeneralError, cause(l2tp.DisconnectNoNCP, 0, 0)},
		{10, []string{"LCP: timeout sending Config-Requests"}, l2tp.CDNGeneralError, cause(l2tp.DisconnectLCPTimeout, 0xc021, 0)},
		{10, []string{"IPCP: timeout sending Config-Requests"}, l2tp.CDNGeneralError, cause(l2tp.DisconnectNCPTimeout, 0x8021, 0)},
		{10, []string{"IPV6CP: timeout sending Config-Requests"}, l2tp.CDNGeneralError, cause(l2tp.DisconnectNCPTimeout, 0x8057, 0)},
		{11, nil, l2tp.CDNAdministrative, nil},
		{11, []string{"PAP peer authentication failed for joe"}, l2tp.CDNAdministrative, cause(l2tp.DisconnectAuthFailed, 0xc023, 1)},
		{11, []string{"Peer joe failed CHAP authentication"}, l2tp.CDNAdministrative, cause(l2tp.DisconnectAuthFailed, 0xc223, 1)},
		{11, []string{"peer refused to authenticate: terminating link"}, l2tp.CDNAdministrative, cause(l2tp.DisconnectAuthProtocol, 0, 1)},
		{12, nil, l2tp.CDNAdministrative, cause(l2tp.DisconnectNormal, 0, l2tp.DirectionLocal)},
		{15, nil, l2tp.CDNLossOfCarrier, cause(l2tp.DisconnectLCPEchoTimeout, 0xc021, 0)},
		{16, nil, l2tp.CDNLossOfCarrier, cause(l2tp.DisconnectNoInformation, 0, 0)},
		{16, []string{"LCP terminated by peer"}, l2tp.CDNAdministrative, cause(l2tp.DisconnectNormal, 0, l2tp.DirectionPeer)},
		{16, []string{"LCP: timeout sending Config-Requests"}, l2tp.CDNGeneralError, cause(l2tp.DisconnectLCPTimeout, 0xc021, 0)},
		{16, []string{"No response to 4 echo-requests", "Serial link appears to be disconnected."}, l2tp.CDNLossOfCarrier, cause(l2tp.DisconnectLCPEchoTimeout, 0xc021, 0)},
		{16, []string{`rcvd [LCP TermReq id=0x2 "LCP terminated by peer"]`}, l2tp.CDNLossOfCarrier, cause(l2tp.DisconnectNoInformation, 0, 0)},
		{19, []string{"CHAP authentication failed: bad"}, l2tp.CDNAdministrative, cause(l2tp.DisconnectAuthFailed, 0xc223, 2)},
		{19, nil, l2tp.CDNAdministrative, nil},
		// The peer's own words do not choose the cause.
		{16, []string{"LCP terminated by peer (peer refused to authenticate)"}, l2tp.CDNAdministrative, cause(l2tp.DisconnectNormal, 0, l2tp.DirectionPeer)},
		{11, []string{"Peer LCP: timeout sending Config-Requests failed CHAP authentication"}, l2tp.CDNAdministrative, cause(l2tp.DisconnectAuthFailed, 0xc223, 1)},
		{77, nil, l2tp.CDNGeneralError, cause(l2tp.DisconnectNoInformation, 0, 0)},
	} {
		var h hints
		for _, l := range c.lines {
			h.see(l)
		}
		e := exitOf(unix.WaitStatus(c.code<<8), h)
		if e.Code != c.code || e.Result.Result != c.result || (e.Result.Error != 0) != (c.result == l2tp.CDNGeneralError) {
			t.Errorf("%d %q: %+v", c.code, c.lines, e)
		}
		switch {
		case c.ppp == nil && e.PPP != nil, c.ppp != nil && (e.PPP == nil || *e.PPP != *c.ppp):
			t.Errorf("%d %q: PPP cause %+v, want %+v", c.code, c.lines, e.PPP, c.ppp)
		}
	}
	// The table itself is never changed by an exit.
	if pppdExits[11].ppp.Protocol != 0 {
		t.Error("an exit changed the table")
	}
	// RFC 3145 section 3.2: "The Control Protocol Number for these errors MUST
	// be set to C021 hexadecimal (LCP)."
	for code, row := range pppdExits {
		lcp := row.ppp.Code >= l2tp.DisconnectLCPTimeout && row.ppp.Code <= l2tp.DisconnectCallbackRefused
		if lcp && row.ppp.Protocol != 0xc021 || !lcp && row.ppp.Protocol != 0 {
			t.Errorf("status %d: %+v", code, row.ppp)
		}
	}
}

func TestSignalDeath(t *testing.T) {
	f := fakeFactory(t, Config{})
	log := newTestLog()
	b, c := run(t, f, log, &sink{}, "do=wait")
	waitFor(t, 10*time.Second, "pppd", func() bool { return strings.Contains(log.String(), "waiting") }, log)
	if err := unix.Kill(b.Info().PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := waitExit(t, c, log); e.Code != -1 || e.Signal != "SIGKILL" || e.Closed || !strings.Contains(e.Text, "SIGKILL") {
		t.Errorf("%+v", e)
	}
	b.Close("late")
	if b.Info().PID != 0 {
		t.Error("a PID after the end")
	}
}

func TestCloseSendsSIGTERM(t *testing.T) {
	f := fakeFactory(t, Config{})
	log := newTestLog()
	b, c := run(t, f, log, &sink{}, "do=wait")
	waitFor(t, 10*time.Second, "pppd", func() bool { return strings.Contains(log.String(), "waiting") }, log)
	pid := b.Info().PID
	b.Close("over")
	b.Close("over")
	if e := waitExit(t, c, log); e.Code != 5 || !e.Closed {
		t.Errorf("%+v", e)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a zombie is left: %v", err)
	}
}

// A pppd that ignores SIGTERM is killed after StopTimeout, with its group.
func TestHungPPPDIsKilled(t *testing.T) {
	f := fakeFactory(t, Config{StopTimeout: 150 * time.Millisecond})
	log := newTestLog()
	b, c := run(t, f, log, &sink{}, "do=hang")
	waitFor(t, 10*time.Second, "pppd", func() bool { return strings.Contains(log.String(), "hanging") }, log)
	start := time.Now()
	b.Close("over")
	e := waitExit(t, c, log)
	if e.Signal != "SIGKILL" || !e.Closed || !strings.Contains(e.Text, "did not end in time") {
		t.Errorf("%+v", e)
	}
	if d := time.Since(start); d < 150*time.Millisecond {
		t.Errorf("killed after %v already", d)
	}
}

func TestStartFailures(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte("not a program"), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		path, want string
		is         error
	}{
		{filepath.Join(dir, "none"), "install the ppp package", unix.ENOENT},
		{write("plain", 0o600), "may not be executed", unix.EACCES},
		{write("text", 0o700), "is not a program", unix.ENOEXEC},
	} {
		f := newTestFactory(t, Config{Path: c.path})
		log := newTestLog()
		_, exits := run(t, f, log, &sink{})
		e := waitExit(t, exits, log)
		if !errors.Is(e.Err, c.is) || !strings.Contains(e.Text, c.want) || strings.Contains(e.Text, "\n") || e.Code != -1 {
			t.Errorf("%s: %+v", c.path, e)
		}
		if e.Result.Result != l2tp.CDNNoFacilitiesPermanent || e.Result.Message != "" {
			t.Errorf("%s: tells the peer %v", c.path, e.Result)
		}
	}
}

// Nothing of ours leaks into a pppd: the daemon's sockets, the files it
// inherited, other sessions' terminals.
func TestPPPDHasOnlyItsOwnDescriptors(t *testing.T) {
	// Inherited by us, so not close-on-exec.
	inherited, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	f := fakeFactory(t, Config{})
	log := newTestLog()
	other, c := run(t, f, log, &sink{}, "do=wait")
	_, exits := run(t, f, log, &sink{}, "do=fds", "do=ids", "do=env", "do=exit:0")
	waitExit(t, exits, log)
	text := log.String()
	// Go's runtime in the fake opens its epoll, eventfd and cgroup files itself,
	// numbered from 3 on; ours would be sockets, terminals, pipes.
	for _, l := range strings.Split(text, "\n") {
		_, fd, ok := strings.Cut(l, "pppd: fd ")
		if !ok {
			continue
		}
		num, to, _ := strings.Cut(strings.Trim(strings.Fields(fd)[0]+" "+strings.Fields(fd)[1], `"`), " ")
		switch to = strings.Trim(to, `"`); {
		case num == "0" || num == "1":
			if !strings.HasPrefix(to, "/dev/pts/") {
				t.Errorf("descriptor %s is %s", num, to)
			}
		case num == "2":
			if !strings.HasPrefix(to, "pipe:") {
				t.Errorf("descriptor 2 is %s", to)
			}
		case !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/proc/") && !strings.HasPrefix(to, "/sys/fs/cgroup"):
			t.Errorf("descriptor %s leaked: %s", num, to)
		}
	}
	if n := strings.Count(text, "pppd: fd "); n < 3 {
		t.Errorf("only %d descriptors listed:\n%s", n, text)
	}
	if !strings.Contains(text, "ids true") {
		t.Error("pppd has no process group of its own")
	}
	if !strings.Contains(text, `env [\"PATH=`) || strings.Contains(text, "HOME=") {
		t.Errorf("environment:\n%s", text)
	}
	other.Close("")
	waitExit(t, c, log)
}

func TestArguments(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name string
		spec Spec
		want string
	}{
		{"async", Spec{Kind: circuit.PPPDAsync, OptionsFile: "/etc/ppp/options.adit", Options: []string{"require-chap", "lcp-echo-interval", "30"},
			LocalIP: addr("10.0.0.1"), RemoteIP: addr("10.0.0.2"), MTU: 1400, MRU: 1410, CallingNumber: "555; rm -rf /", Debug: true,
			Peer: netip.MustParseAddrPort("192.0.2.1:1701")},
			"pppd|file|/etc/ppp/options.adit|require-chap|lcp-echo-interval|30|nodetach|nopersist|logfd|2|debug|10.0.0.1:10.0.0.2|mtu|1400|mru|1410|" +
				"ipparam|192.0.2.1|remotenumber|555; rm -rf /|local|nocrtscts|nolock"},
		{"only one address", Spec{Kind: circuit.PPPDAsync, LocalIP: addr("10.0.0.1")}, "pppd|nodetach|nopersist|logfd|2|10.0.0.1:|local|nocrtscts|nolock"},
		{"only the other", Spec{Kind: circuit.PPPDAsync, RemoteIP: addr("10.0.0.2")}, "pppd|nodetach|nopersist|logfd|2|:10.0.0.2|local|nocrtscts|nolock"},
		{"a number with a NUL", Spec{Kind: circuit.PPPDAsync, CallingNumber: "55\x005\n\u202e\xff"}, "pppd|nodetach|nopersist|logfd|2|remotenumber|555?|local|nocrtscts|nolock"},
		{"a number of nothing", Spec{Kind: circuit.PPPDAsync, CallingNumber: "\x00"}, "pppd|nodetach|nopersist|logfd|2|local|nocrtscts|nolock"},
		{"sync", Spec{Kind: circuit.PPPDSync}, "pppd|nodetach|nopersist|logfd|2|sync|novj|noccp|nopcomp|noaccomp|local|nocrtscts|nolock"},
		{"kernel LAC", Spec{Kind: circuit.PPPDKernel, LocalTunnel: 1, LocalSession: 2, PeerTunnel: 3, PeerSession: 4},
			"pppd|nodetach|nopersist|logfd|2|plugin|pppol2tp.so|pppol2tp|3|pppol2tp_tunnel_id|1|pppol2tp_session_id|2"},
		{"kernel LNS", Spec{Kind: circuit.PPPDKernel, LNS: true, LocalTunnel: 1, LocalSession: 2, SendSequence: true, RequireSequence: true,
			ReorderTimeout: 250 * time.Millisecond, KernelDebug: 7},
			"pppd|nodetach|nopersist|logfd|2|plugin|pppol2tp.so|pppol2tp|3|pppol2tp_tunnel_id|1|pppol2tp_session_id|2|" +
				"pppol2tp_lns_mode|pppol2tp_send_seq|pppol2tp_recv_seq|pppol2tp_reorderto|250|pppol2tp_debug_mask|7"},
	} {
		if got := strings.Join(arguments("pppd", &c.spec), "|"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// pppd gets its words as they are: no shell is between.
func TestArgumentsReachPPPD(t *testing.T) {
	f := fakeFactory(t, Config{})
	log := newTestLog()
	_, c := run(t, f, log, &sink{}, "do=argv", "$(id) `id`; * a  b", "password", "s3cret")
	waitExit(t, c, log)
	if !strings.Contains(log.String(), "$(id) `id`; * a  b") {
		t.Errorf("log:\n%s", log)
	}
	// Our own line about the start has no password in it.
	for _, l := range strings.Split(log.String(), "\n") {
		if strings.Contains(l, "starting pppd") && strings.Contains(l, "s3cret") {
			t.Error("the password is in the log")
		}
	}
}

func TestLogLines(t *testing.T) {
	f := fakeFactory(t, Config{})
	log := newTestLog()
	b, c := run(t, f, log, &sink{}, "do=say:Using interface ppp7", "do=say:local  IP address 10.1.1.1",
		"do=say:remote IP address 10.1.1.2", "do=say:sent [LCP EchoReq]", "do=spam:1000", "do=say:a\x1b[31mred\u009b2J\u202e\xff", "do=exit:0")
	waitExit(t, c, log)
	text := log.String()
	if i := b.Info(); i.Interface != "ppp7" || i.LocalIP != netip.MustParseAddr("10.1.1.1") || i.PeerIP != netip.MustParseAddr("10.1.1.2") {
		t.Errorf("info %+v", i)
	}
	for _, want := range []string{"Using interface ppp7", "session=9", "tunnel=7", `level=debug msg="pppd: sent [LCP EchoReq]"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the log", want)
		}
	}
	n := strings.Count(text, "pppd: line")
	if dropped := b.Stats().LogLinesDropped; n > logBurst+5*logRate || n < logBurst/2 || int(dropped)+n < 1000 {
		t.Errorf("%d lines logged, %d dropped", n, dropped)
	}
	for _, l := range strings.Split(text, "\n") {
		if len(l) > maxLine+200 {
			t.Errorf("a line of %d octets", len(l))
		}
		if strings.ContainsAny(l, "\x1b\x00\u009b\u202e") {
			t.Errorf("control characters in %q", l)
		}
	}
}

func TestLineCutting(t *testing.T) {
	now := time.Unix(0, 0)
	long := strings.Repeat("y", maxLine)
	var got []string
	for _, chunk := range []int{1, 2, 7, 100, 4096} {
		var l lines
		got = nil
		in := []byte("one\n\ntwo\r\n" + long + "tail\nthree\n" + long + "\nlast")
		for len(in) > 0 {
			n := min(chunk, len(in))
			l.feed(now, in[:n], func(string) {}, func(s string) { got = append(got, s) })
			in = in[n:]
		}
		l.end(now, func(string) {}, func(s string) { got = append(got, s) })
		want := []string{"one", "two", long + " ...", "three", long, "last"}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("chunks of %d: %q", chunk, got)
		}
	}
}

// At most Starts pppds are starting at one time; the others wait, and can be
// closed while they do.
func TestStartLimit(t *testing.T) {
	f := fakeFactory(t, Config{Starts: 1, MaxWaiting: 3})
	log := newTestLog()
	first, c1 := run(t, f, log, &sink{}, "do=wait")
	waitFor(t, 10*time.Second, "the first", func() bool { return first.Info().PID != 0 }, log)
	second, c2 := run(t, f, log, &sink{}, "do=wait")
	third, c3 := run(t, f, log, &sink{}, "do=exit:9")
	third.Close("changed my mind")
	if e := waitExit(t, c3, log); !e.Closed || e.Code != -1 {
		t.Errorf("third: %+v", e)
	}
	if second.Info().PID != 0 {
		t.Error("the second started beside the first")
	}
	_, c4 := run(t, f, log, &sink{}, "do=exit:9")
	if _, err := f.Open(Spec{Kind: circuit.PPPDAsync}, &sink{}, nil); !errors.Is(err, ErrTooManyStarts) {
		t.Errorf("a fourth in a queue of three: %v", err)
	}
	first.Close("")
	waitExit(t, c1, log)
	waitFor(t, 10*time.Second, "the second", func() bool { return second.Info().PID != 0 }, log)
	second.Close("")
	waitExit(t, c2, log)
	if e := waitExit(t, c4, log); e.Code != 9 {
		t.Errorf("fourth: %+v", e)
	}
}

func TestFactoryClosed(t *testing.T) {
	f := fakeFactory(t, Config{})
	f.Close()
	f.Close()
	for _, k := range []circuit.Kind{circuit.Discard, circuit.PPPDAsync} {
		if _, err := f.Open(Spec{Kind: k}, &sink{}, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("%v: %v", k, err)
		}
	}
	if _, err := f.Open(Spec{Kind: 99}, &sink{}, nil); err == nil || !strings.Contains(err.Error(), "kind(99)") {
		t.Errorf("an unknown kind: %v", err)
	}
}

func TestDiscard(t *testing.T) {
	f := newTestFactory(t, Config{Path: "/nonexistent"})
	b, c := runSpec(t, f, Spec{Kind: circuit.Discard}, nil)
	frame := make([]byte, 100)
	if n := testing.AllocsPerRun(1000, func() { b.Deliver(nil, time.Time{}, frame) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s := b.Stats(); s.FramesIn != 1001 || s.BytesIn != 100100 {
		t.Errorf("%+v", s)
	}
	b.Close("done")
	b.Close("done")
	if e := waitExit(t, c, newTestLog()); !e.Closed || e.Text != "done" {
		t.Errorf("%+v", e)
	}
}

// A daemon that is killed takes its pppds with it.
func TestOrphanGetsSIGTERM(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	script := filepath.Join(t.TempDir(), "pppd")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec sleep 600\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "ADIT_FAKE=daemon", "ADIT_FAKE_PPPD="+script)
	out := &syncBuffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	waitFor(t, 20*time.Second, "the daemon", func() bool {
		_, err := fmt.Sscanf(out.String(), "pppd %d\n", &pid)
		return err == nil
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	waitFor(t, 10*time.Second, "the orphan's end", func() bool {
		return errors.Is(unix.Kill(pid, 0), unix.ESRCH) || isZombie(pid)
	})
}

func TestKindString(t *testing.T) {
	for k, want := range map[circuit.Kind]string{circuit.Discard: "discard", circuit.PPPDKernel: "pppd/kernel", circuit.PPPDAsync: "pppd/pty-async", circuit.PPPDSync: "pppd/pty-sync", 200: "kind(200)"} {
		if k.String() != want {
			t.Errorf("%q, want %q", k, want)
		}
		if k.KernelPlane() != (k == circuit.PPPDKernel) {
			t.Errorf("%v on the kernel plane: %v", k, k.KernelPlane())
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"a\tb\r\n":                    "a b",
		"a\x1b[31mred\x00\x7f":        "a[31mred",
		"csi \u009b2J, c1 \u0085":     "csi 2J, c1",
		"right to left \u202egnorw":   "right to left gnorw",
		"not UTF-8 \xff\xfe":          "not UTF-8 ?",
		"Grüße \u2028 an alle \ufeff": "Grüße  an alle",
	} {
		if got := printable([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
