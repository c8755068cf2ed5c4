package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/need"
)

func TestQuote(t *testing.T) {
	for _, s := range []string{"", "plain", "two words", "it's", "$HOME `x` \\ \" ; & \n*", "'"} {
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("quote(%q): the shell made %q of it, %v", s, out, err)
		}
	}
}

func TestRunWithoutCommand(t *testing.T) {
	if _, err := Run(t.Context(), Options{}); err == nil {
		t.Error("no error without a command")
	}
}

// The archive is read by the tool that others use for it.
func TestArchiveIsCPIO(t *testing.T) {
	cache, err := CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cpio, err := staticBusybox(t.Context(), os.Stderr, cache)
	unlock()
	if err != nil {
		need.Lack(t, "needs busybox to read the archive with: %v", err)
	}
	var b bytes.Buffer
	w := cpioWriter{w: &b}
	w.dir("d")
	w.file("d/odd name", 0o755, []byte("12345"))
	w.file("empty", 0o644, nil)
	w.close()
	if b.Len()%4 != 0 {
		t.Errorf("the archive has %d octets, not a multiple of 4", b.Len())
	}
	dir := t.TempDir()
	cmd := exec.Command(cpio, "cpio", "-i", "-d")
	cmd.Dir = dir
	cmd.Stdin = &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "d", "odd name"))
	if err != nil || string(text) != "12345" {
		t.Errorf("%q, %v", text, err)
	}
	info, err := os.Stat(filepath.Join(dir, "d", "odd name"))
	if err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("mode %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "empty")); err != nil || info.Size() != 0 {
		t.Errorf("the empty file: %v, %v", info, err)
	}
}

func TestGuestScriptIsShell(t *testing.T) {
	o := Options{Dir: "/a dir", Out: "/o'ut", Env: []string{"X=1 2"}}
	if err := o.defaults(); err != nil {
		t.Fatal(err)
	}
	image := &Image{Tree: "/tree", Tools: []string{"/tools"}}
	for name, script := range map[string]string{
		"guest":  guestScript(image, &o, []string{"cmd", "a b", "it's"}),
		"native": nativeScript(&o, nil, []string{"cmd", "a b", "it's"}),
		"boot":   bootScript,
		"tests":  testScript([]builtPackage{{path: "adit/x", dir: "/a b", binary: "/c d"}}, TestOptions{Options: o, Run: "a|b"}),
	} {
		cmd := exec.Command("/bin/bash", "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s\n%s", name, err, out, script)
		}
	}
	script := guestScript(image, &o, []string{"cmd"})
	for _, want := range []string{"'X=1 2'", "'PATH=/tools:/usr/local/go/bin", "cd '/a dir'", "l2tp_ppp"} {
		if !strings.Contains(script, want) {
			t.Errorf("no %s in\n%s", want, script)
		}
	}
}

func TestQemuArgsEscapeCommas(t *testing.T) {
	o := Options{Out: "/tmp/a,b", CPUs: 3, Memory: 99}
	args := strings.Join(qemuArgs(&o, &Image{Kernel: "/k", Initrd: "/i"}, emulated), " ")
	for _, want := range []string{"path=/tmp/a,,b,security", "-smp 3", "-m 99", "-kernel /k", "readonly=on", "tcg,thread=multi"} {
		if !strings.Contains(args, want) {
			t.Errorf("no %q in %s", want, args)
		}
	}
	if args := strings.Join(kvm.args(), " "); !strings.Contains(args, "-accel kvm") {
		t.Errorf("KVM: %s", args)
	}
}

func TestNewestTree(t *testing.T) {
	cache := t.TempDir()
	if tree, err := newestTree(cache); tree != "" || err != nil {
		t.Errorf("an empty cache: %q, %v", tree, err)
	}
	make := func(name string, age time.Duration, ready bool) string {
		tree := filepath.Join(cache, name)
		if err := os.Mkdir(tree, 0o755); err != nil {
			t.Fatal(err)
		}
		if ready {
			file := filepath.Join(tree, "ready")
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			when := time.Now().Add(-age)
			if err := os.Chtimes(file, when, when); err != nil {
				t.Fatal(err)
			}
		}
		return tree
	}
	make("linux-image-9", time.Hour, true)
	want := make("linux-image-10", time.Minute, true)
	make("linux-image-11", 0, false)
	if tree, err := newestTree(cache); tree != want || err != nil {
		t.Errorf("newest %q, %v, want %q", tree, err, want)
	}
}

func TestLockExcludes(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	unlock, err := lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	again, err := lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestModeFromEnvironment(t *testing.T) {
	for value, want := range map[string]Mode{"1": Native, "0": VM} {
		t.Setenv(NativeVariable, value)
		if got := (&Options{}).resolveMode(); got != want {
			t.Errorf("%s=%s: %s, want %s", NativeVariable, value, got, want)
		}
	}
	t.Setenv(NativeVariable, "1")
	if got := (&Options{Mode: VM}).resolveMode(); got != VM {
		t.Errorf("the option is overruled by the environment: %s", got)
	}
}

func TestFollowerCopiesWhatIsNew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	var b bytes.Buffer
	f := &follower{path: file, to: &b}
	f.copy()
	appendTo := func(text string) {
		w, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if _, err := w.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"one\n", "two", strings.Repeat("x", 200_000)} {
		b.Reset()
		appendTo(text)
		f.copy()
		if b.String() != text {
			t.Errorf("copied %d octets of %d", b.Len(), len(text))
		}
	}
	f.close()
}

func TestFollowGuestNoticesALostFolder(t *testing.T) {
	o := Options{Out: t.TempDir()}
	if err := o.defaults(); err != nil {
		t.Fatal(err)
	}
	// Without the private folder, as if somebody had cleaned up.
	out := &follower{path: o.privatePath("stdout"), to: &bytes.Buffer{}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := followGuest(ctx, &o, emulated, time.Now(), make(chan error), out, out)
	if !errors.Is(err, ErrGuest) || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("error %v", err)
	}
}

func TestConsoleKeepsTheTail(t *testing.T) {
	c := &console{}
	if got := c.tail(); !strings.Contains(got, "silent") {
		t.Errorf("nothing said: %q", got)
	}
	for i := range 100 {
		c.Write([]byte("line " + strconv.Itoa(i) + "\r\n"))
	}
	c.Write([]byte("no end"))
	got := c.tail()
	if strings.Contains(got, "line 59\n") || !strings.Contains(got, "line 60\n") || !strings.HasSuffix(got, "console| line 99\nconsole| no end") {
		t.Errorf("tail: %q", got)
	}
}

func TestWordWatcher(t *testing.T) {
	found := 0
	w := &wordWatcher{word: []byte("needle"), found: func() { found++ }}
	for _, s := range []string{"hay nee", "d", "l", "e hay", "needle"} {
		w.Write([]byte(s))
	}
	if !w.ok || found != 1 {
		t.Errorf("ok %t, found called %d times", w.ok, found)
	}
	w = &wordWatcher{word: []byte("needle"), found: func() {}}
	w.Write([]byte("need le"))
	if w.ok {
		t.Error("seen what was not there")
	}
}

// TestBoundProcessDiesWithUs runs this test binary again, which starts a sleep
// and is then killed hard.
func TestBoundProcessDiesWithUs(t *testing.T) {
	if os.Getenv("LAB_TEST_PARENT") == "1" {
		cmd := exec.Command("sleep", "600")
		if err := startBound(cmd); err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString(strconv.Itoa(cmd.Process.Pid) + "\n")
		select {}
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestBoundProcessDiesWithUs$")
	parent.Env = append(os.Environ(), "LAB_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 32)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err)
	}
	// A handle of the process becomes readable when it ends.
	handle, err := unix.PidfdOpen(child, 0)
	if err != nil {
		t.Fatalf("the child does not run: %v", err)
	}
	defer unix.Close(handle)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err == nil {
		t.Error("a killed parent ended well")
	}
	poll := []unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 10_000); n != 1 || err != nil {
		syscall.Kill(child, syscall.SIGKILL)
		t.Fatalf("the child outlived its parent (%v)", err)
	}
}

// A command under this kernel, in namespaces of its own. What it needs of PPP
// is tested elsewhere; here only that the isolation, the status, the output and
// the time limit are right.
func TestNativeRun(t *testing.T) {
	if os.Geteuid() != 0 || !canIsolate() {
		need.Lack(t, "needs root and the right to make namespaces")
	}
	if err := Install(t.Context(), os.Stderr, false); err != nil {
		need.Lack(t, "needs programs: %v", err)
	}
	var out, diag bytes.Buffer
	o := Options{Mode: Native, Stdout: &out, Stderr: &diag, Env: []string{"X=a b"}, Dir: t.TempDir(), Out: t.TempDir()}
	status, err := Run(t.Context(), o, "/bin/sh", "-c", `echo "$X $ADIT_LAB $$"; ls /sys/class/net >/dev/null; ip -o link | wc -l; pwd; echo secret >/etc/ppp/chap-secrets; echo kept >$ADIT_LAB_OUT/file; echo oops >&2; exit 7`)
	if status != 7 || err != nil {
		t.Fatalf("status %d, %v; %s", status, err, diag.String())
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.HasPrefix(lines[0], "a b 1 ") || lines[1] != "1" || lines[2] != o.Dir {
		t.Errorf("output %q", lines)
	}
	if !strings.HasSuffix(diag.String(), "oops\n") {
		t.Errorf("standard error %q", diag.String())
	}
	if text, _ := os.ReadFile("/etc/ppp/chap-secrets"); strings.Contains(string(text), "secret\n") {
		t.Error("the command wrote into this machine's /etc/ppp")
	}
	if text, err := os.ReadFile(filepath.Join(o.Out, "file")); string(text) != "kept\n" || err != nil {
		t.Errorf("the folder that outlives the run: %q, %v", text, err)
	}
	if exists(filepath.Join(o.Out, private)) {
		t.Error("the lab's private folder is left")
	}
	o.Timeout = 500 * time.Millisecond
	begin := time.Now()
	_, err = Run(t.Context(), o, "/bin/sh", "-c", "setsid --fork sleep 600; sleep 600")
	if !errors.Is(err, ErrTimeout) || time.Since(begin) > 20*time.Second {
		t.Errorf("a command that hangs: %v after %s", err, time.Since(begin))
	}
}

func TestPackagesAreKnown(t *testing.T) {
	for _, program := range slices.Concat(guestPrograms, machinePrograms) {
		if packageOf[program] == "" {
			t.Errorf("no package for %s", program)
		}
	}
	if err := InstallPrograms(t.Context(), io.Discard, "nobody-has-this"); err == nil {
		t.Error("a program that no package brings was installed")
	}
}
