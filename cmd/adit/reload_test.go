package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"adit/internal/control"
)

// reloadDocument is what the file of a daemon begins with, besides its sockets.
const reloadDocument = "[log]\nlevel = \"info\"\n" + discardProfile + `
[profiles.gold]
ppp = "discard"
[pools.homes]
ranges = ["10.0.0.2-10.0.0.9"]
[[listen]]
address = "127.0.0.1:0"
[[lns.peers]]
name = "pop"
no_secret = true
[[users]]
name = "alice"
password = "hers"
`

// rewrite changes the file of a daemon, at once.
func (p *process) rewrite(t *testing.T, change func(string) string) {
	t.Helper()
	old, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path+".new", []byte(change(string(old))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(p.path+".new", p.path); err != nil {
		t.Fatal(err)
	}
}

func bobToo(s string) string { return s + "[[users]]\nname = \"bob\"\npassword = \"his\"\n" }

// TestReload: what can change does, the rest is named, also the next time.
func TestReload(t *testing.T) {
	p := run(t, "lns", reloadDocument)
	reload := func(want control.Reloaded) {
		t.Helper()
		got, err := p.client.Reload(t.Context())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	users := func(n, added, removed, changed int) control.UsersChange {
		return control.UsersChange{Total: n, Added: added, Removed: removed, Changed: changed}
	}
	none := []string{}
	reload(control.Reloaded{Applied: none, NeedsRestart: none, Users: users(1, 0, 0, 0), Warnings: []control.Problem{}})
	p.await(t, "reload: nothing has changed")

	p.rewrite(t, bobToo)
	reload(control.Reloaded{Applied: []string{"users"}, NeedsRestart: none, Users: users(2, 1, 0, 0), Warnings: []control.Problem{}})
	p.await(t, "reload: applied: users (1 added, 0 removed, 0 changed; 2 now)")
	if s, err := p.client.Status(t.Context()); err != nil || s.LocalUsers != 2 || len(s.Pools) != 1 || s.Pools[0] != (control.Pool{Name: "homes", Size: 8}) {
		t.Errorf("%+v, %v", s, err)
	}

	p.rewrite(t, func(s string) string {
		s = strings.Replace(s, `level = "info"`, `level = "debug"`, 1)
		s = strings.Replace(s, `password = "his"`, `nt_hash = "0123456789abcdef0123456789abcdef"`, 1)
		return strings.Replace(s, "10.0.0.9", "10.0.0.19", 1) + "[hooks]\nsession_up = \"/bin/true\"\n"
	})
	reload(control.Reloaded{Applied: []string{"log.level", "hooks", "users"}, NeedsRestart: []string{"pools.homes"},
		Users: users(2, 0, 0, 1), Warnings: []control.Problem{}})
	p.await(t, "needs a restart: pools.homes")
	// What needs a restart is said until there is one.
	reload(control.Reloaded{Applied: none, NeedsRestart: []string{"pools.homes"}, Users: users(2, 0, 0, 0), Warnings: []control.Problem{}})
	if s, err := p.client.Status(t.Context()); err != nil || s.Pools[0].Size != 8 {
		t.Errorf("the pool changed: %+v, %v", s, err)
	}

	// And back again.
	p.rewrite(t, func(string) string { return strings.Replace(p.document, "alice", "carol", 1) })
	reload(control.Reloaded{Applied: []string{"log.level", "hooks", "users"}, NeedsRestart: none,
		Users: users(1, 1, 2, 0), Warnings: []control.Problem{}})
}

// TestReloadOfWrongConfiguration: nothing changes, and every error is told with
// its line.
func TestReloadOfWrongConfiguration(t *testing.T) {
	p := run(t, "lns", reloadDocument)
	for _, test := range []struct {
		name   string
		change func(string) string
		want   []string // of each problem, after "FILE:"
	}{
		{"two keys", func(s string) string {
			return strings.Replace(bobToo(s), "level = \"info\"", "level = \"loud\"\nhost = 1", 1)
		},
			[]string{`log.level: "loud"`, "log.host: unknown key"}},
		{"no TOML", func(s string) string { return bobToo(s) + "[[" }, []string{"not TOML"}},
		{"no file", nil, []string{"there is no such file"}},
		{"a user of a profile that there is not as yet", func(s string) string {
			return bobToo(s) + "profile = \"new\"\n[profiles.new]\nppp = \"discard\"\n"
		}, []string{`users[1].profile: there is no profile "new"`}},
	} {
		if test.change == nil {
			if err := os.Remove(p.path); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := os.WriteFile(p.path, []byte(test.change(p.document)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := p.client.Reload(t.Context())
		var wrong *control.Error
		if !errors.As(err, &wrong) || len(wrong.Problems) != len(test.want) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for i, w := range test.want {
			got := wrong.Problems[i]
			if !strings.HasPrefix(got.Error(), p.path+":") || !strings.Contains(got.Error(), w) || got.Line == 0 && test.change != nil {
				t.Errorf("%s: %q, want %q with its line", test.name, got.Error(), w)
			}
		}
		if !strings.HasSuffix(wrong.Message, "; nothing has changed") {
			t.Errorf("%s: %q", test.name, wrong.Message)
		}
		p.await(t, "reload: "+wrong.Message)
		if s, err := p.client.Status(t.Context()); err != nil || s.LocalUsers != 1 {
			t.Errorf("%s: %d users, %v", test.name, s.LocalUsers, err)
		}
	}
	if err := os.WriteFile(p.path, []byte(bobToo(p.document)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := p.client.Reload(t.Context()); err != nil || r.Users.Total != 2 {
		t.Errorf("after it was put right: %+v, %v", r, err)
	}
}

// TestConcurrentReloads: by signal and by request, while the file changes; each
// answer is of one file, and the last is of the last.
func TestConcurrentReloads(t *testing.T) {
	p := run(t, "lns", reloadDocument)
	if err := os.WriteFile(p.path+".a", []byte(p.document), 0o600); err != nil {
		t.Fatal(err)
	}
	const askers, each = 8, 20
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case p.hangup <- syscall.SIGHUP:
			}
			text := p.document
			if i%2 == 0 {
				text = bobToo(text)
			}
			if err := errors.Join(os.WriteFile(p.path+".b", []byte(text), 0o600), os.Rename(p.path+".b", p.path)); err != nil {
				t.Error(err)
			}
		}
	})
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			for range each {
				r, err := p.client.Reload(t.Context())
				if err != nil || r.Users.Total < 1 || r.Users.Total > 2 || r.Users.Added+r.Users.Removed > 1 || len(r.NeedsRestart) != 0 {
					t.Errorf("%+v, %v", r, err)
					return
				}
			}
		})
	}
	asking.Wait()
	close(stop)
	all.Wait()
	if err := os.Rename(p.path+".a", p.path); err != nil {
		t.Fatal(err)
	}
	if r, err := p.client.Reload(t.Context()); err != nil || r.Users.Total != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if s, err := p.client.Status(t.Context()); err != nil || s.LocalUsers != 1 {
		t.Errorf("%d users, %v", s.LocalUsers, err)
	}
}

// TestHangup: SIGHUP has a process of its own read its file again, and does not
// end it; nohup has it ignored.
func TestHangup(t *testing.T) {
	t.Parallel()
	p := startProcess(t, "[log]\nlevel = \"info\"\n")
	client := control.NewClient(p.socket)
	defer client.Close()
	path := filepath.Join(filepath.Dir(p.socket), "adit.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(string(text)+"[limits]\ntunnels = 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.awaitLine(t, "reload: nothing has changed; needs a restart: limits")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.awaitLine(t, "reload: the configuration has 1 error; nothing has changed")
	if _, err := client.Status(t.Context()); err != nil {
		t.Errorf("after SIGHUP: %v", err)
	}
}

// TestLogLevelChanges: a lower level shows no more than it should, at once.
func TestLogLevelChanges(t *testing.T) {
	p := run(t, "lns", reloadDocument)
	p.rewrite(t, func(s string) string { return strings.Replace(s, `level = "info"`, `level = "error"`, 1) })
	r, err := p.client.Reload(t.Context())
	if err != nil || !slices.Equal(r.Applied, []string{"log.level"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, ok := p.log.find("reload: applied", "msg"); ok {
		t.Error("a line of level info is in the log of level error")
	}
	p.rewrite(t, func(string) string { return p.document })
	if _, err = p.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.await(t, "reload: applied: log.level")
}

// TestReloadOfManyUsers: a few thousand users are read again in moments.
func TestReloadOfManyUsers(t *testing.T) {
	p := run(t, "lns", reloadDocument)
	const n = 3000
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[[users]]\nname = \"user%d\"\npassword = \"secret%d\"\n", i, i)
	}
	p.rewrite(t, func(s string) string { return s + b.String() })
	began := time.Now()
	r, err := p.client.Reload(t.Context())
	if err != nil || r.Users.Added != n || r.Users.Total != n+1 {
		t.Errorf("%+v, %v", r.Users, err)
	}
	t.Logf("%d users in %v", n, time.Since(began))
}
