package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// machine is a System with these files; a path is from the root, without the
// slash. Its host name is "host.example".
func machine(files fstest.MapFS) System {
	return System{FS: files, HostName: func() (string, error) { return "host.example", nil }}
}

// load loads a document as /cfg/adit.toml (mode 0600) beside further files.
func load(t *testing.T, document string, files fstest.MapFS) (*Config, error) {
	t.Helper()
	all := fstest.MapFS{"cfg/adit.toml": {Data: []byte(document), Mode: 0o600}}
	for name, f := range files {
		all[name] = f
	}
	return LoadFrom(machine(all), "/cfg/adit.toml")
}

// mustLoad is load for a document without a mistake.
func mustLoad(t *testing.T, document string, files fstest.MapFS) *Config {
	t.Helper()
	cfg, err := load(t, document, files)
	if err != nil {
		t.Fatalf("good configuration is refused:\n%v", err)
	}
	return cfg
}

// locked is a file system in which one file may not be read.
type locked struct {
	fstest.MapFS
	name string
}

func (l locked) Open(name string) (fs.File, error) {
	if name == l.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return l.MapFS.Open(name)
}

func TestBadFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(paths) < 10 {
		t.Fatalf("only %d bad files in testdata (%v)", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".toml"), func(t *testing.T) {
			document, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sys := machine(nil)
			sys.FS = locked{fstest.MapFS{
				"cfg/adit.toml":    {Data: document, Mode: 0o600},
				"cfg/open":         {Data: []byte("x\n"), Mode: 0o644},
				"secrets/good":     {Data: []byte("x\n"), Mode: 0o600},
				"secrets/password": {Data: make([]byte, maxPPPName+1), Mode: 0o600},
				"secrets/empty":    {Data: []byte("\n"), Mode: 0o600},
				"secrets/lines":    {Data: []byte("a\nb\n"), Mode: 0o600},
				"secrets/long":     {Data: make([]byte, maxSecretFile+1), Mode: 0o600},
				"secrets/locked":   {Data: []byte("x"), Mode: 0o600},
				"hooks/open":       {Mode: 0o757},
			}, "secrets/locked"}
			cfg, err := LoadFrom(sys, "/cfg/adit.toml")
			if err == nil {
				t.Fatal("no error")
			}
			if cfg != nil {
				t.Error("a configuration comes with the error")
			}
			got := strings.ReplaceAll(err.Error(), "/cfg/adit.toml:", filepath.Base(path)+":") + "\n"
			golden := strings.TrimSuffix(path, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("errors differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoFile(t *testing.T) {
	sys := machine(fstest.MapFS{"cfg/dir/x": {}})
	_, err := LoadFrom(sys, "/cfg/adit.toml")
	const want = "/cfg/adit.toml: there is no such file; write one (the reference is etc/adit.toml in the source) or name another with -c"
	if err == nil || err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err = LoadFrom(sys, "/cfg/dir"); !errors.Is(err, errNotRegular) {
		t.Errorf("a directory: %v", err)
	}
	sys.FS = locked{fstest.MapFS{"cfg/adit.toml": {Mode: 0o600}}, "cfg/adit.toml"}
	if _, err = LoadFrom(sys, "/cfg/adit.toml"); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "run as root") {
		t.Errorf("a locked file: %v", err)
	}
	sys = machine(fstest.MapFS{"cfg/adit.toml": {Data: make([]byte, maxFile+1), Mode: 0o600}})
	if _, err = LoadFrom(sys, "/cfg/adit.toml"); !errors.Is(err, errTooLong) {
		t.Errorf("a huge file: %v", err)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	_, err := load(t, "[log]\nlevel = \"x\"\nformat = \"y\"\n", nil)
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 2 {
		t.Fatalf("not two Errors: %v", err)
	}
	if e := errs[0]; e.File != "/cfg/adit.toml" || e.Line != 2 || e.Key != "log.level" {
		t.Errorf("first error is %+v", e)
	}
	_, err = load(t, "[[lns.peers]]\nname='a'\nsecret_file='nope'", nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the system's error is lost in %v", err)
	}
}

func TestDefaults(t *testing.T) {
	cfg := mustLoad(t, "", nil)
	def := &Profile{Name: "default", AAA: AAA{FailureDelay: time.Second}, Builtin: Builtin{IPv4: true, IPv6: true, MRU: 1400,
		EchoInterval: 30 * time.Second, EchoFailures: 4, ClampMSS: true}}
	want := &Config{
		Path:       "/cfg/adit.toml",
		HostName:   "host.example",
		VendorName: "adit",
		Log:        Log{LogInfo, LogText},
		Control:    Control{Socket: "/run/adit/adit.sock"},
		Limits: Limits{Tunnels: 4096, Sessions: 65535, HalfOpen: 256, TunnelsPerPeer: 256,
			SessionsPerTunnel: 65535, PPPDStarts: 16},
		// RFC 2661 section 5.8: "a recommended default is 1 second", "This cap
		// MUST be no less than 8 seconds", "a recommended default is 5"; section
		// 5.5: "a recommended default is 60 seconds".
		ControlChannel: ControlChannel{ReceiveWindowSize: 64, RetransmitInitial: time.Second,
			RetransmitCap: 8 * time.Second, AckDelay: 100 * time.Millisecond,
			HelloInterval: time.Minute, SetupTimeout: time.Minute},
		PPPD:     PPPD{Path: "/usr/sbin/pppd", StopTimeout: 5 * time.Second},
		TUN:      TUN{Name: "adit0", MTU: 1500, Queues: 1},
		StateDir: "/var/lib/adit",
		RADIUS: RADIUS{NASIdentifier: "host.example", Servers: map[string]*RADIUSServer{},
			Groups: map[string]*RADIUSGroup{}},
		DHCP:     map[string]*DHCP{},
		Hooks:    Hooks{Timeout: 10 * time.Second, Concurrency: 8, MaxWaiting: 4096},
		Pools:    map[string]*Pool{},
		Profiles: map[string]*Profile{"default": def},
		L2TPv3:   L2TPv3{RouterID: 1580254643}, // FNV-1a of "host.example"
		Warnings: Errors{{File: "/cfg/adit.toml", Text: "nobody may connect and nobody is dialled; add [[lns.peers]], [[lac.tunnels]] or [[l2tpv3.static]]"}},
	}
	if diff := cmp.Diff(want, cfg, comparers); diff != "" {
		t.Errorf("an empty file (-want +got):\n%s", diff)
	}
}

func TestHostNameUnknown(t *testing.T) {
	sys := machine(fstest.MapFS{"a.toml": {Mode: 0o600}})
	sys.HostName = func() (string, error) { return "", errors.New("no name") }
	_, err := LoadFrom(sys, "/a.toml")
	if err == nil || err.Error() != "/a.toml: host_name: is not set and the system has no name either; set it" {
		t.Errorf("got %v", err)
	}
}

func TestByteOrderMark(t *testing.T) {
	_, err := load(t, "\xef\xbb\xbfhost_name = 1\n", nil)
	if err == nil || !strings.HasPrefix(err.Error(), "/cfg/adit.toml:1: host_name: ") {
		t.Errorf("got %v", err)
	}
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		value string
		want  time.Duration // -1: refused
	}{
		{`"60s"`, time.Minute},
		{`"1m30s"`, 90 * time.Second},
		{`"1.5s"`, 1500 * time.Millisecond},
		{`"2h"`, 2 * time.Hour},
		{`"0s"`, 0},
		{`"0"`, 0},
		{`60`, -1},
		{`60.0`, -1},
		{`"60"`, -1},
		{`"60 s"`, -1},
		{`"1d"`, -1},
		{`""`, -1},
		{`"-1s"`, -1},
		{`"999999999h"`, -1},
		{`"25h"`, -1},
		{`"999ms"`, -1},
		{`true`, -1},
		{`12:00:00`, -1},
	} {
		cfg, err := load(t, "[control_channel]\nhello_interval = "+c.value, nil)
		switch {
		case c.want < 0 && err == nil:
			t.Errorf("%s is taken as %v", c.value, cfg.ControlChannel.HelloInterval)
		case c.want >= 0 && err != nil:
			t.Errorf("%s: %v", c.value, err)
		case c.want >= 0 && cfg.ControlChannel.HelloInterval != c.want:
			t.Errorf("%s is taken as %v", c.value, cfg.ControlChannel.HelloInterval)
		case err != nil && !strings.HasPrefix(err.Error(), "/cfg/adit.toml:2: control_channel.hello_interval: "):
			t.Errorf("%s: the error has another place: %v", c.value, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.toml")
	for _, path := range append(paths, "../../etc/adit.toml") {
		document, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(document))
	}
	f.Fuzz(func(t *testing.T, document string) {
		cfg, err := LoadFrom(machine(fstest.MapFS{"a.toml": {Data: []byte(document), Mode: 0o600}}), "/a.toml")
		if (cfg == nil) == (err == nil) {
			t.Fatalf("cfg %v with error %v", cfg, err)
		}
		if err == nil {
			return
		}
		var errs Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("not Errors: %#v", err)
		}
		lines := strings.Count(document, "\n") + 1
		for _, e := range errs {
			if e.Line < 0 || e.Line > lines || e.Text == "" {
				t.Errorf("of %d lines: %+v", lines, e)
			}
		}
	})
}
