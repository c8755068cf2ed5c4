package hooks

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// rig is a Runner with a script for both events, and its log.
type rig struct {
	*Runner
	t      *testing.T
	dir    string
	script string
	log    *buffer
}

// buffer is a log that several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newRig writes the body as a shell script, in which $DIR is a folder of the test.
func newRig(t *testing.T, cfg config.Hooks, body string) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, dir: dir, script: filepath.Join(dir, "hook"), log: &buffer{}}
	text := fmt.Sprintf("#!/bin/sh\nDIR='%s'\n%s\n", dir, body)
	if err := os.WriteFile(r.script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = patience
	}
	if cfg.MaxWaiting == 0 {
		cfg.MaxWaiting = 1000
	}
	cfg.Up, cfg.Down = r.script, r.script
	log := logrus.New()
	log.SetOutput(r.log)
	log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true, DisableColors: true})
	r.Runner = New(cfg, logrus.NewEntry(log))
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.Close(over)
	})
	return r
}

// wait closes the Runner, which waits for all programs.
func (r *rig) wait() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// wantCounts are all counters that are not 0.
func (r *rig) wantCounts(want map[string]uint64) {
	r.t.Helper()
	got := r.Counts()
	if len(got) != 6 {
		r.t.Errorf("counters %v", got)
	}
	maps.DeleteFunc(got, func(_ string, n uint64) bool { return n == 0 })
	if !maps.Equal(got, want) {
		r.t.Errorf("counters %v, want %v", got, want)
	}
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) read(name string) string {
	r.t.Helper()
	b, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// create makes an empty file, which a script may wait for.
func (r *rig) create(name string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not so: %s", what)
		}
	}
}

// numbers are those that a script has written into a file, once there are n lines.
func (r *rig) numbers(name string, n int) []int {
	r.t.Helper()
	var all []int
	eventually(r.t, name+" is written", func() bool {
		b, _ := os.ReadFile(r.path(name))
		return bytes.Count(b, []byte{'\n'}) >= n
	})
	for line := range strings.Lines(r.read(name)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, pid)
	}
	return all
}

// alive says whether a process runs: one that nobody has reaped does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// leaks notes what there is, and returns what checks that there is no more.
func leaks(t *testing.T) func() {
	t.Helper()
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	return func() {
		t.Helper()
		eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
		if n := descriptors(t); n > fds {
			t.Errorf("%d descriptors, before %d", n, fds)
		}
	}
}
