package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/control"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

var now = time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// cannedDaemon answers with an ISP's evening. Its state is never changed.
type cannedDaemon struct{ empty bool }

func (d cannedDaemon) Status(context.Context) (control.Status, error) {
	s := control.Status{Version: "v1.0.0", HostName: "lns1.example.net", Started: ago(90061 * time.Second), UptimeSeconds: 90061}
	if d.empty {
		return s, nil
	}
	s.Listeners = []string{"0.0.0.0:1701", "[::]:1701"}
	s.Tunnels = control.Counts{Up: 2, SettingUp: 1, Limit: 4096}
	s.Sessions = control.Counts{Up: 2, Closing: 1, Limit: 65535}
	s.Counters = map[string]uint64{"drop_unknown_tunnel": 12, "drop_short": 0, "sccrq_refused": 3}
	s.Static = &control.StaticCounts{Up: 2, Dead: 1}
	s.LocalUsers, s.DHCP = 12, &control.DHCP{Leases: 7}
	s.Accounting = &control.Accounting{Backlog: 41, OpenSessions: 1, DiskOctets: 90000}
	s.Pools = []control.Pool{{Name: "homes", Size: 1 << 16, InUse: 1200, Resting: 31, Quarantined: 2}, {Name: "v6\x1b", Size: 1 << 63}}
	s.RADIUSServers = []control.RADIUSServer{
		{Name: "aaa1", Service: control.ServiceAuthentication, Address: netip.MustParseAddrPort("192.0.2.7:1812"), Alive: true, Pending: 3, Requests: 90, Timeouts: 1},
		{Name: "aaa1", Service: control.ServiceAccounting, Address: netip.MustParseAddrPort("192.0.2.7:1813"), DeadUntil: now.Add(61 * time.Second), Waiting: 2, Requests: 5, Timeouts: 5},
		{Name: "aaa2", Service: control.ServiceAuthentication, Address: netip.MustParseAddrPort("[2001:db8::7]:1812"), Alive: true},
		{Name: "aaa2", Service: control.ServiceAccounting, Address: netip.MustParseAddrPort("[2001:db8::7]:1813"), DeadUntil: ago(time.Second), Requests: 2},
	}
	s.Planes = []control.Plane{
		{Profile: "default", PPP: "pppd", DataPlane: "kernel", Reason: "l2tp_ppp can be opened"},
		{Profile: "test", PPP: "discard", DataPlane: "userspace", Reason: "the profile says so"},
	}
	return s, nil
}

func (d cannedDaemon) Tunnels(context.Context) ([]control.Tunnel, error) {
	if d.empty {
		return nil, nil
	}
	return []control.Tunnel{
		{ID: 4711, PeerID: 1, Peer: "pop-berlin", PeerAddress: netip.MustParseAddrPort("192.0.2.1:1701"), PeerHostName: "lac1\x1b[31m\n",
			Role: control.RoleAcceptor, State: "established", Since: ago(3 * time.Hour), Sessions: 1200, DataPlane: "kernel",
			ControlChannel: control.ControlChannel{Retransmitted: 3}},
		{ID: 12, PeerID: 60000, Peer: "pop-köln", PeerAddress: netip.MustParseAddrPort("[2001:db8::1]:1701"), PeerHostName: "lac2",
			Role: control.RoleAcceptor, State: "established", Since: ago(59 * time.Second), DataPlane: "userspace"},
		{ID: 7, Peer: "isp", PeerAddress: netip.MustParseAddrPort("198.51.100.1:1701"), Role: control.RoleInitiator, State: "wait-ctl-reply"},
	}, nil
}

func (d cannedDaemon) Sessions(context.Context) ([]control.Session, error) {
	if d.empty {
		return nil, nil
	}
	return []control.Session{
		{ID: 1, PeerID: 99, Tunnel: 4711, TunnelPeer: "pop-berlin", Direction: "incoming", Role: "lns", State: "established",
			Since: ago(26 * time.Hour), Bridge: "pppd/kernel", Interface: "ppp0", PPPDPID: 42,
			LocalAddress: netip.MustParseAddr("10.0.0.1"), RemoteAddress: netip.MustParseAddr("10.0.0.10"),
			Traffic: control.Traffic{RxBytes: 1 << 31, TxBytes: 10500}},
		{ID: 2, Tunnel: 4711, TunnelPeer: "pop-berlin", Name: "dial-back", Role: "lns", State: "wait-reply", Bridge: ""},
	}, nil
}

// builtinSessions have what only the built-in endpoint knows.
func builtinSessions() []control.Session {
	return []control.Session{
		{ID: 3, PeerID: 7, Tunnel: 4711, TunnelPeer: "pop-berlin", Role: "lns", State: "up", Phase: "network", Since: ago(time.Minute),
			Bridge: "builtin/tun", Interface: "adit0", User: "alice\x1b[2J",
			LocalAddress: netip.MustParseAddr("10.0.0.1"), RemoteAddress: netip.MustParseAddr("10.0.0.11"),
			RemoteIPv6: netip.MustParseAddr("fe80::1"),
			Routes:     []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("2001:db8:7::/48")},
			Drops:      map[string]uint64{"source": 12, "not_up": 1}},
		{ID: 4, PeerID: 8, Tunnel: 4711, TunnelPeer: "pop-berlin", Role: "lns", State: "up", Phase: "authenticate", Since: ago(time.Second),
			Bridge: "builtin/tun"},
	}
}

func (d cannedDaemon) Reload(context.Context) (control.Reloaded, error) {
	if d.empty {
		return control.Reloaded{}, &control.Error{Message: "the configuration has 2 errors; nothing has changed", Problems: []control.Problem{
			{File: "/etc/a.toml", Line: 7, Key: "users[0].name", Text: "is missing"}, {File: "/etc/b", Text: "is a folder"}}}
	}
	return control.Reloaded{Applied: []string{"hooks", "users"}, NeedsRestart: []string{"listen", "pools.homes"},
		Users: control.UsersChange{Total: 12, Added: 3, Removed: 1}, Warnings: []control.Problem{{File: "/etc/a.toml", Line: 9, Text: "looks odd"}}}, nil
}

func (d cannedDaemon) Disconnect(_ context.Context, sel control.Selector) (control.Disconnected, error) {
	switch {
	case d.empty:
		return control.Disconnected{}, fmt.Errorf("%v: %w", sel, control.ErrNotFound)
	case sel.Session != 0:
		return control.Disconnected{Sessions: 1}, nil
	}
	return control.Disconnected{Tunnels: 2, Sessions: 1200}, nil
}

// serve answers on a socket until the test ends.
func serve(t *testing.T, d control.Daemon) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.NewServer(d, nil).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// adit runs a command line.
func adit(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = execute(t.Context(), args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestTables(t *testing.T) {
	var out strings.Builder
	tunnels, _ := cannedDaemon{}.Tunnels(t.Context())
	if err := showTunnels(&out, tunnels, now); err != nil {
		t.Fatal(err)
	}
	golden(t, "tunnels.txt", out.String())
	out.Reset()
	sessions, _ := cannedDaemon{}.Sessions(t.Context())
	if err := showSessions(&out, sessions, now); err != nil {
		t.Fatal(err)
	}
	golden(t, "sessions.txt", out.String())
	out.Reset()
	if err := showSessions(&out, append(builtinSessions(), sessions...), now); err != nil {
		t.Fatal(err)
	}
	golden(t, "sessions-builtin.txt", out.String())
	out.Reset()
	status, _ := cannedDaemon{}.Status(t.Context())
	if err := showStatus(&out, status, now); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.txt", out.String())
}

func TestAsking(t *testing.T) {
	full, empty := serve(t, cannedDaemon{}), serve(t, cannedDaemon{empty: true})
	for _, c := range []struct {
		args   []string
		status int
		want   string // in stdout, or in stderr if status is not 0
	}{
		{[]string{"status", "--socket", full}, 0, "2 up, 1 setting up (limit 4096)"},
		{[]string{"status", "--socket", empty}, 0, "counters: all are zero"},
		{[]string{"tunnels", "--socket", full}, 0, "4711"},
		{[]string{"tunnels", "--socket", empty}, 0, "There are no tunnels.\n"},
		{[]string{"sessions", "--socket", full}, 0, "4711/1 "},
		{[]string{"sessions", "--socket", empty}, 0, "There are no sessions.\n"},
		{[]string{"static", "--socket", full}, 0, "branch"},
		{[]string{"static", "--socket", empty}, 0, "There are no static tunnels.\n"},
		{[]string{"static", "show", "--socket", full}, 2, `there is no command "show"`},
		{[]string{"static", "remove", "branch", "--socket", full}, 0, "removed branch with 3 sessions\n"},
		{[]string{"static", "remove", "branch", "--socket", empty}, 1, "adit: static tunnel \"branch\": not found\n"},
		{[]string{"static", "remove", "--socket", full}, 2, "say the name of one"},
		{[]string{"static", "remove", "a", "b", "--socket", full}, 2, "say the name of one"},
		{[]string{"static", "add", "--socket", full}, 2, "nothing is to be added"},
		{[]string{"static", "add", "-f", "x", "--name", "y", "--socket", full}, 2, "a file and flags are too much"},
		{[]string{"static", "add", "-f", "/no/such/file", "--socket", full}, 2, "/no/such/file: there is no such file; name another with -f"},
		{[]string{"static", "add", "--tunnel-id", "x", "--mtu", "1e3", "--socket", full}, 2,
			`adit: --tunnel-id is "x", which is not a whole number, --mtu is "1e3", which is not a whole number; see adit static add --help`},
		{[]string{"static", "add", "all", "--socket", full}, 2, "takes no argument"},
		{[]string{"show", "peers", "--socket", full}, 2, "say tunnels, sessions"},
		{[]string{"show", "tunnels", "sessions", "--socket", full}, 2, "say tunnels, sessions"},
		{[]string{"disconnect", "all", "--socket", full}, 0, "closing 2 tunnels and 1200 sessions\n"},
		{[]string{"disconnect", "session", "4711/1", "--socket", full}, 0, "closing 0 tunnels and 1 session\n"},
		{[]string{"disconnect", "peer", "x", "--socket", empty}, 1, "adit: peer \"x\": not found\n"},
		{[]string{"disconnect", "user", "alice", "--socket", empty}, 1, "adit: user \"alice\": not found\n"},
		{[]string{"disconnect", "user", "", "--socket", full}, 2, "nothing is selected"},
		{[]string{"reload", "--socket", full}, 0, "warning: /etc/a.toml:9: looks odd\napplied: hooks, users (3 added, 1 removed, 0 changed; 12 now); needs a restart: listen, pools.homes\n"},
		{[]string{"reload", "--socket", empty}, 2, "/etc/a.toml:7: users[0].name: is missing\n/etc/b: is a folder\nadit: the configuration has 2 errors; nothing has changed\n"},
		{[]string{"reload", "now", "--socket", full}, 2, "takes no argument"},
		{[]string{"disconnect", "tunnel", "0", "--socket", full}, 2, "not an ID"},
		{[]string{"disconnect", "tunnel", "4294967296", "--socket", full}, 2, "not an ID"},
		{[]string{"disconnect", "session", "1", "--socket", full}, 2, "TUNNEL/ID"},
		{[]string{"disconnect", "session", "1/x", "--socket", full}, 2, "not an ID"},
		{[]string{"disconnect", "house", "1", "--socket", full}, 2, "cannot be disconnected"},
		{[]string{"disconnect", "peer", "", "--socket", full}, 2, "nothing is selected"},
		{[]string{"disconnect", "--socket", full}, 2, "say one of"},
		{[]string{"disconnect", "all", "x", "--socket", full}, 2, "adit: say one of"},
		{[]string{"disconnect", "all", "--reason", strings.Repeat("x", 999), "--socket", full}, 2, "999 octets"},
		{[]string{"tunnels", "--socket", full + "x"}, 1, "there is no control socket at " + full + "x; start the daemon"},
		{[]string{"tunnels", "7"}, 2, "takes no argument"},
		{[]string{"tunels"}, 2, `there is no command "tunels"`},
		{[]string{"tunnels", "--sockt", full}, 2, "unknown flag"},
		{[]string{"tunnels", "-c", "/no/such/file"}, 2, "/no/such/file: cannot be read: there is no such file"},
	} {
		status, stdout, stderr := adit(t, c.args...)
		got := stdout
		if c.status != 0 {
			got = stderr
			if stdout != "" {
				t.Errorf("%q writes %q to stdout", c.args, stdout)
			}
		}
		if status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%q: status %d, %q; want %d, %q", c.args, status, got, c.status, c.want)
		}
	}
}

func TestJSON(t *testing.T) {
	socket := serve(t, cannedDaemon{})
	for command, want := range map[string]any{
		"status":         must(cannedDaemon{}.Status(t.Context())),
		"tunnels":        nil,
		"sessions":       nil,
		"static":         nil,
		"reload":         must(cannedDaemon{}.Reload(t.Context())),
		"disconnect all": control.Disconnected{Tunnels: 2, Sessions: 1200},
	} {
		status, stdout, stderr := adit(t, append(strings.Fields(command), "--json", "--socket", socket)...)
		if status != 0 || stderr != "" {
			t.Errorf("%s: %d %s", command, status, stderr)
		}
		var got any
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Errorf("%s: %v in %s", command, err, stdout)
		}
		if want == nil {
			list, _ := got.([]any)
			if len(list) < 2 {
				t.Errorf("%s: not a list: %s", command, stdout)
			}
			continue
		}
		var same any
		if err := json.Unmarshal(must(json.Marshal(want)), &same); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(same, got); diff != "" {
			t.Errorf("%s:\n%s", command, diff)
		}
	}
	empty := serve(t, cannedDaemon{empty: true})
	var wrong control.Error
	status, stdout, stderr := adit(t, "reload", "--json", "--socket", empty)
	if err := json.Unmarshal([]byte(stdout), &wrong); err != nil || status != exitUsage || stderr != "" || len(wrong.Problems) != 2 || wrong.Problems[0].Line != 7 {
		t.Errorf("reload of a wrong configuration: %d %q %q (%v)", status, stdout, stderr, err)
	}
	if _, stdout, _ := adit(t, "sessions", "--json", "--socket", empty); stdout != "[]\n" {
		t.Errorf("no sessions are %q", stdout)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestSocketFromConfig: without --socket the configuration says, even one that
// has errors elsewhere.
func TestSocketFromConfig(t *testing.T) {
	socket := serve(t, cannedDaemon{})
	path := filepath.Join(t.TempDir(), "a.toml")
	if err := os.WriteFile(path, []byte("oops = 1\n[control]\nsocket = \""+socket+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := adit(t, "status", "-c", path); status != 0 || !strings.Contains(stdout, "lns1.example.net") {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
}

const goodConfig = `host_name = "lns"
[[lns.peers]]
name = "a"
no_secret = true
[[lns.peers]]
name = "b"
secret = "x"
challenge = false
`

const badConfig = `[log]
level = "loud"
[[lns.peers]]
name = "a"
hello_interval = 60
`

// goodStatic is a configuration of one static tunnel and one pseudowire besides.
const goodStatic = `host_name = "lns"
[[pseudowires]]
name = "spare"
[[l2tpv3.static]]
name = "a"
local = "192.0.2.1:5000"
remote = "192.0.2.2:5000"
tunnel_id = 1
peer_tunnel_id = 2
[[l2tpv3.static.sessions]]
session_id = 3
peer_session_id = 4
`

// configs writes the good ones and the bad one, and returns their directory.
func configs(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range map[string]string{"good.toml": goodConfig, "bad.toml": badConfig, "static.toml": goodStatic} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheck(t *testing.T) {
	dir := configs(t)
	var all strings.Builder
	for _, args := range [][]string{
		{"check", "-c", "good.toml"}, {"check", "-c", "bad.toml"}, {"check", "-c", "none.toml"}, {"check", "-c", "static.toml"},
		{"check", "--json", "-c", "good.toml"}, {"check", "--json", "-c", "bad.toml"},
	} {
		t.Chdir(dir)
		status, stdout, stderr := adit(t, args...)
		fmt.Fprintf(&all, "$ adit %s\n", strings.Join(args, " "))
		for _, s := range []string{stdout, stderr} {
			all.WriteString(s)
		}
		fmt.Fprintf(&all, "status %d\n\n", status)
	}
	t.Chdir(sourceDir)
	golden(t, "check.txt", all.String())
}

// sourceDir is where the tests begin.
var sourceDir = must(os.Getwd())

// TestRunRefusesBadConfig: every error is said, and nothing is started.
func TestRunRefusesBadConfig(t *testing.T) {
	bad := filepath.Join(configs(t), "bad.toml")
	status, stdout, stderr := adit(t, "run", "-c", bad)
	if status != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 3 ||
		!strings.HasPrefix(stderr, bad+`:2: log.level: "loud" is not known`) {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
}

func TestLoadConfigTakesFlags(t *testing.T) {
	f := &flags{config: filepath.Join(configs(t), "good.toml"), socket: "/tmp/other", json: true}
	cfg, err := loadConfig(f, t.Output())
	if err != nil || cfg.Control.Socket != "/tmp/other" || cfg.Log.Format != config.LogJSON {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestLog(t *testing.T) {
	for level, want := range map[config.LogLevel]logrus.Level{
		config.LogError: logrus.ErrorLevel, config.LogWarning: logrus.WarnLevel, config.LogInfo: logrus.InfoLevel,
		config.LogDebug: logrus.DebugLevel, config.LogTrace: logrus.TraceLevel,
	} {
		if got := newLog(config.Log{Level: level}, t.Output()).Logger.GetLevel(); got != want {
			t.Errorf("%v is %v", level, got)
		}
	}
	var out bytes.Buffer
	newLog(config.Log{Level: config.LogInfo, Format: config.LogJSON}, &out).WithField("tunnel", 7).Info("up")
	var line struct {
		Msg    string
		Tunnel int
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Msg != "up" || line.Tunnel != 7 {
		t.Errorf("%s: %v", out.String(), err)
	}
}

func TestVersion(t *testing.T) {
	platform := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"},
	}}
	info.Main.Version = "v0.1.0"
	for _, c := range []struct {
		linked string
		info   *debug.BuildInfo
		want   string
	}{
		{"v1.2.3", info, "adit v1.2.3 (0123456789ab, modified) " + platform},
		{"", info, "adit v0.1.0 (0123456789ab, modified) " + platform},
		{"v1.2.3", nil, "adit v1.2.3 " + platform},
		{"", nil, "adit unknown " + platform},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "adit unknown " + platform},
	} {
		if got := describeBuild(c.linked, c.info).String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	status, stdout, _ := adit(t, "version", "--json")
	var v buildVersion
	if err := json.Unmarshal([]byte(stdout), &v); status != 0 || err != nil || v.Go != runtime.Version() {
		t.Errorf("%d %q %v", status, stdout, err)
	}
}

func TestHelp(t *testing.T) {
	status, stdout, stderr := adit(t)
	if status != 0 || stderr != "" {
		t.Errorf("%d %q", status, stderr)
	}
	for _, command := range []string{"run", "check", "status", "tunnels", "sessions", "show", "static", "disconnect", "reload", "version"} {
		if !strings.Contains(stdout, "\n  "+command+" ") {
			t.Errorf("the help has no %s", command)
		}
	}
}

func TestSaidErrorKeepsTheCause(t *testing.T) {
	_, err := loadConfig(&flags{config: "/no/such/file"}, t.Output())
	var said *saidError
	if !errors.Is(err, os.ErrNotExist) || !errors.As(err, &said) || said.status != exitUsage {
		t.Errorf("got %v", err)
	}
}

func TestFormats(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m00s", 3599 * time.Second: "59m59s",
		time.Hour: "1h00m", 86399 * time.Second: "23h59m", 24 * time.Hour: "1d00h", 1000 * time.Hour: "41d16h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 10234: "9.99 KiB", 10240: "10.0 KiB", 102348: "99.9 KiB",
		102400: "100 KiB", 1023487: "999 KiB", 1048576: "1.00 MiB", 1023488: "0.98 MiB", 1 << 63: "8.00 EiB",
	} {
		if got := octets(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	if got := clean("a\x1b]0;x\x07\n\u009bé\ufffd\u202e"); got != "a?]0;x???é??" {
		t.Errorf("clean gives %q", got)
	}
}
