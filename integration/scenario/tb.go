// Package scenario builds small networks out of network namespaces, starts
// L2TP daemons in them and looks at what they did. It is used inside the lab
// (package lab), as root, by tests and by the demonstration.
package scenario

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// TB is the part of testing.TB that this package needs. *testing.T has it, and
// so does what Main hands to a program that is no test.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
	TempDir() string
}

// skipper is what a testing.TB has beyond TB.
type skipper interface {
	Skipf(format string, args ...any)
}

// InLab reports whether this process runs inside the lab.
func InLab() bool { return os.Getenv("ADIT_LAB") == "1" }

// NeedLab skips a test that does not run inside the lab; what is no test fails.
// Every test that uses this package begins with it.
func NeedLab(t TB) {
	t.Helper()
	if InLab() && os.Geteuid() == 0 {
		return
	}
	const why = "needs the lab: go test ./integration/ -run TestLab, or go run ./integration/lab/cmd/vm"
	if s, ok := t.(skipper); ok {
		s.Skipf(why)
	}
	t.Fatalf(why)
}

// LogDir is the folder for the logs and captures of a test: it outlives the lab
// if ADIT_LAB_OUT is set, else it is a temporary one.
func LogDir(t TB) string {
	t.Helper()
	out := os.Getenv("ADIT_LAB_OUT")
	if out == "" {
		return t.TempDir()
	}
	dir := filepath.Join(out, filepath.FromSlash(cleanName(t.Name())))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("%v", err)
	}
	return dir
}

func cleanName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_./", r):
			return r
		}
		return '_'
	}, strings.ReplaceAll(name, "..", "_"))
}

// PollInterval is how often WaitFor looks.
const PollInterval = 100 * time.Millisecond

// WaitFor waits until a condition of the real world holds, and fails the test
// if it does not within the timeout. what completes "waiting for ...".
func WaitFor(t TB, timeout time.Duration, what string, condition func() bool) {
	t.Helper()
	if !Eventually(timeout, condition) {
		t.Fatalf("waited %s in vain for %s", timeout, what)
	}
}

// Eventually is WaitFor without the failure: it reports whether the condition
// came to hold. The condition is looked at once more after the timeout.
func Eventually(timeout time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(timeout)
	for {
		late := time.Now().After(deadline)
		if condition() {
			return true
		}
		if late {
			return false
		}
		time.Sleep(PollInterval)
	}
}

// Main runs a function that takes a TB as a program of its own. Logs go to w.
// It returns an exit status: 0, or 1 if the function failed.
func Main(name string, w io.Writer, f func(t TB)) (status int) {
	r := &runner{name: name, w: w}
	done := make(chan struct{})
	// In a goroutine of its own, because Fatalf ends it.
	go func() {
		defer close(done)
		defer r.cleanup()
		f(r)
		r.finished = true
	}()
	<-done
	if r.Failed() || !r.finished {
		return 1
	}
	return 0
}

// runner is the TB of Main.
type runner struct {
	name     string
	w        io.Writer
	finished bool

	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

func (r *runner) Helper()      {}
func (r *runner) Name() string { return r.name }

func (r *runner) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.w, format+"\n", args...)
}

func (r *runner) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *runner) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *runner) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *runner) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *runner) TempDir() string {
	dir, err := os.MkdirTemp("", "adit-scenario-")
	if err != nil {
		r.Fatalf("%v", err)
	}
	r.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			r.Errorf("%v", err)
		}
	})
	return dir
}

// cleanup runs the clean-up functions, last first, each even if one fails.
func (r *runner) cleanup() {
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		f := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
}
