package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/config"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/lns/subscriber"
)

// A program has PATH, LC_ALL and the facts in its environment and nothing else,
// octet by octet, also where a peer would break out of a value.
func TestProgramEnvironment(t *testing.T) {
	t.Setenv("ADIT_SECRET", "of the daemon")
	r := newRig(t, config.Hooks{}, `cat /proc/$$/environ >"$DIR/env"; echo "$0 $*" >"$DIR/args"; pwd >"$DIR/pwd"`)
	f := testFacts()
	f.Line.CallingNumber = "$(touch /tmp/x)\n`id`\x00; () { :; }; exit 9"
	env := Environment(f)
	r.Run(SessionUp, f.Line.ID, env)
	r.wait()
	got := strings.Split(strings.TrimSuffix(r.read("env"), "\x00"), "\x00")
	want := append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}, env...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("environment %q, want %q", got, want)
	}
	if !slices.Contains(got, "ADIT_CALLING_NUMBER=$(touch /tmp/x)`id`; () { :; }; exit 9") {
		t.Errorf("environment %q", got)
	}
	if args := strings.TrimSpace(r.read("args")); args != r.script+" session-up" {
		t.Errorf("arguments %q", args)
	}
	if pwd := r.read("pwd"); pwd != "/\n" {
		t.Errorf("folder %q", pwd)
	}
	r.wantCounts(map[string]uint64{"hooks_started": 1})
	if r.log.String() != "" {
		t.Errorf("log %s", r.log)
	}
}

// A program that hangs is killed at its time, with all that it has started.
func TestHang(t *testing.T) {
	check := leaks(t)
	r := newRig(t, config.Hooks{Timeout: 2 * time.Second}, `
trap '' TERM HUP INT
sleep 1000 &
(sleep 1000 & echo $! >>"$DIR/pids") &
echo $! >>"$DIR/pids"
echo $$ >>"$DIR/pids"
echo hanging
wait; sleep 1000`)
	begin := time.Now()
	r.Run(SessionUp, "1", nil)
	pids := r.numbers("pids", 3)
	r.wait()
	if d := time.Since(begin); d < 2*time.Second {
		t.Errorf("killed after %v", d)
	}
	for _, pid := range pids {
		eventually(t, fmt.Sprintf("process %d has ended", pid), func() bool { return !alive(pid) })
	}
	r.wantCounts(map[string]uint64{"hooks_started": 1, "hooks_killed": 1})
	want := fmt.Sprintf("level=warning msg=\"the hook of session-up was killed after 2s, because it has no more time; "+
		"make it faster, or raise timeout of [hooks]\" output=hanging program=%s session=1\n", r.script)
	if r.log.String() != want {
		t.Errorf("log %swant %s", r.log, want)
	}
	check()
}

// What a program leaves behind in its group ends with it.
func TestLeftBehind(t *testing.T) {
	check := leaks(t)
	r := newRig(t, config.Hooks{}, `sleep 1000 & echo $! >"$DIR/pids"; echo done`)
	begin := time.Now()
	r.Run(SessionDown, "1", nil)
	r.wait()
	if d := time.Since(begin); d > patience/2 {
		t.Errorf("took %v", d)
	}
	pid := r.numbers("pids", 1)[0]
	eventually(t, "it has ended", func() bool { return !alive(pid) })
	r.wantCounts(map[string]uint64{"hooks_started": 1})
	if want := fmt.Sprintf("level=info msg=\"the hook of session-down has run\" output=done program=%s session=1\n", r.script); r.log.String() != want {
		t.Errorf("log %s", r.log)
	}
	check()
}

// One that goes away into a group of its own may live on, but its hold of the
// output does not keep a worker.
func TestEscaped(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		need.Lack(t, "no setsid: %v", err)
	}
	check := leaks(t)
	r := newRig(t, config.Hooks{}, `setsid sh -c 'echo $$ >"$DIR/pids"; exec sleep 1000' & echo done; until [ -s "$DIR/pids" ]; do sleep 0.01; done`)
	r.Run(SessionUp, "1", []string{"DIR=" + r.dir})
	r.wait()
	pid := r.numbers("pids", 1)[0]
	if !alive(pid) {
		t.Error("it has ended")
	}
	_ = unix.Kill(pid, unix.SIGKILL) // this test's own
	r.wantCounts(map[string]uint64{"hooks_started": 1})
	if !strings.Contains(r.log.String(), "output=done") {
		t.Errorf("log %s", r.log)
	}
	check()
}

func TestFailures(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"exit 3", `msg="the hook of session-up failed: exit status 3" program`},
		{"echo out; echo ' err ' >&2; exit 1", `failed: exit status 1" output="out; err" program`},
		{"kill -KILL $$", `failed: signal: killed" program`},
	} {
		r := newRig(t, config.Hooks{}, c.body)
		r.Run(SessionUp, "7", nil)
		r.wait()
		r.wantCounts(map[string]uint64{"hooks_started": 1, "hooks_failed": 1})
		if got := r.log.String(); !strings.HasPrefix(got, "level=warning") || !strings.Contains(got, c.want) || !strings.Contains(got, "session=7") {
			t.Errorf("%s: log %s", c.body, got)
		}
	}
}

// What cannot be started is a line that says why, and the next one is tried.
func TestNotStarted(t *testing.T) {
	check := leaks(t)
	dir := t.TempDir()
	plain, garbage := filepath.Join(dir, "plain"), filepath.Join(dir, "garbage")
	if err := errors.Join(os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600), os.WriteFile(garbage, []byte("\x00\x01"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		program, want string
		env           []string
	}{
		{program: filepath.Join(dir, "none"), want: "no such file or directory"},
		{program: dir, want: "permission denied"},
		{program: plain, want: "permission denied"},
		{program: garbage, want: "exec format error"},
		{program: "/bin/true", want: "NUL", env: []string{"A=\x00"}},
		{program: "/bin/true", want: "argument list too long", env: []string{"A=" + strings.Repeat("x", 1<<20)}},
	} {
		r := newRig(t, config.Hooks{}, "")
		r.Replace(config.Hooks{Up: c.program, MaxWaiting: 1})
		r.Run(SessionUp, "1", c.env)
		r.Run(SessionUp, "1", c.env)
		r.wait()
		r.wantCounts(map[string]uint64{"hooks_failed": 2})
		got := r.log.String()
		if strings.Count(got, c.want) != 2 || !strings.Contains(got, "the hook of session-up cannot be started: ") || strings.Count(got, "\n") != 2 {
			t.Errorf("%s: log %s", c.program, got)
		}
	}
	check()
}

// A program that writes without end does not wait for anybody, and the log has the
// beginning, without what a terminal obeys.
func TestOutput(t *testing.T) {
	r := newRig(t, config.Hooks{}, `printf '\033[2Jred\r\nB\204\n\n'; i=0; while [ $i -lt 3000 ]; do echo "0123456789012345678901234567890123456789"; i=$((i+1)); done; echo >"$DIR/through"`)
	r.Run(SessionUp, "1", nil)
	r.wait()
	r.read("through")
	got := r.log.String()
	if !strings.Contains(got, `output="[2Jred; B?; 0123456789`) || !strings.Contains(got, ` ..." program`) || len(got) > 1400 || len(got) < 1000 {
		t.Errorf("log of %d octets: %s", len(got), got)
	}
	for n := range 3 * maxOutput {
		var o output
		for _, piece := range []int{n / 2, n - n/2} {
			if wrote, err := o.Write(make([]byte, piece)); wrote != piece || err != nil {
				t.Fatal(wrote, err)
			}
		}
		if len(o.kept) != min(n, maxOutput) || o.cut != (n > maxOutput) {
			t.Fatalf("of %d octets %d are kept, cut %v", n, len(o.kept), o.cut)
		}
	}
}

// A program has the three descriptors and none of ours.
func TestDescriptors(t *testing.T) {
	if err := kernel.SealDescriptors(); err != nil { // as the daemon does with what it inherited
		t.Fatal(err)
	}
	check := leaks(t)
	const n = 12
	r := newRig(t, config.Hooks{Concurrency: n}, `echo $$ >>"$DIR/pids"; exec sleep 1000`)
	for i := range n {
		r.Run(SessionUp, fmt.Sprint(i), nil)
	}
	outputs := map[string]bool{}
	for _, pid := range r.numbers("pids", n) {
		eventually(t, "the shell has become sleep", func() bool {
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			return err == nil && string(name) == "sleep\n"
		})
		fds := descriptorsOf(t, pid)
		if len(fds) != 3 || fds["0"] != "/dev/null" || !strings.HasPrefix(fds["1"], "pipe:") || fds["1"] != fds["2"] {
			t.Errorf("descriptors %v", fds)
		}
		outputs[fds["1"]] = true
	}
	if len(outputs) != n {
		t.Errorf("%d pipes for %d programs", len(outputs), n)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Close(over); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.wantCounts(map[string]uint64{"hooks_started": n, "hooks_killed": n})
	check()
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("a process is not reaped: %d, %v", pid, err)
	}
}

// descriptorsOf is what a process has open, by number.
func descriptorsOf(t *testing.T, pid int) map[string]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	fds := map[string]string{}
	for _, e := range all {
		if fds[e.Name()], err = os.Readlink(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return fds
}

// Every cause has a name in the environment.
func TestCauses(t *testing.T) {
	for c := subscriber.UserRequest; c <= subscriber.UserError; c++ {
		env := Environment(Facts{Ended: &Ended{Cause: c}})
		if want := "ADIT_CAUSE=" + c.String(); env[len(env)-1] != want {
			t.Errorf("%q, want %q", env[len(env)-1], want)
		}
	}
}
