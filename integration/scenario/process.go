package scenario

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs in a namespace, in a process group of its own.
// Its output goes to a log file.
type Process struct {
	// Name is what the log file is called after.
	Name string
	// LogFile holds its standard output and error.
	LogFile string

	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of Wait; read after exited is closed
}

// logNames makes the names of log files unique within a folder.
var (
	logMu    sync.Mutex
	logNames = map[string]int{}
)

func logFile(t TB, name string) string {
	t.Helper()
	base := filepath.Join(LogDir(t), cleanName(name))
	logMu.Lock()
	defer logMu.Unlock()
	logNames[base]++
	if n := logNames[base]; n > 1 {
		base = fmt.Sprintf("%s-%d", base, n)
	}
	return base + ".log"
}

// Start starts a program in the namespace. name is for the log file
// (NAME.log, then NAME-2.log ...); argv is the program and its arguments. It is
// killed at the end of the test if it still runs.
func (ns *NS) Start(t TB, name string, argv ...string) *Process {
	t.Helper()
	return ns.StartEnv(t, name, nil, argv...)
}

// StartEnv is Start with additional environment variables.
func (ns *NS) StartEnv(t TB, name string, env []string, argv ...string) *Process {
	t.Helper()
	p := &Process{Name: name, LogFile: logFile(t, name), exited: make(chan struct{})}
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer log.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := ns.Do(p.cmd.Start); err != nil {
		t.Fatalf("starting %s in %s: %v", argv[0], ns.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: the end of %s:\n%s", ns.Label, p.LogFile, p.tail(30))
		}
		p.KillHard()
	})
	return p
}

// Pid is the process's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited reports whether the program has ended, and how.
func (p *Process) Exited() (bool, error) {
	select {
	case <-p.exited:
		return true, p.err
	default:
		return false, nil
	}
}

// Wait waits for the program's end and returns how it ended: nil means exit
// status 0.
func (p *Process) Wait(timeout time.Duration) error {
	select {
	case <-p.exited:
		return p.err
	case <-time.After(timeout):
		return fmt.Errorf("%s (process %d) still runs after %s", p.Name, p.Pid(), timeout)
	}
}

// Signal sends a signal to the program only, not to its children.
func (p *Process) Signal(t TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %v to %s: %v", s, p.Name, err)
	}
}

// Stop asks the program to end (SIGTERM) and waits for that for 30 seconds, then
// fails the test and kills it.
func (p *Process) Stop(t TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("stopping %s: %v", p.Name, err)
	}
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		p.KillHard()
		t.Errorf("%s did not end within 30 s of SIGTERM", p.Name)
	}
}

// KillHard kills the program and its process group at once, as kill -9 does.
func (p *Process) KillHard() {
	if done, _ := p.Exited(); !done {
		_ = p.cmd.Process.Kill()
		// The group's number is the program's own, which is reserved until
		// the program is waited for.
		_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
	}
	<-p.exited
}

// Log is what the program has printed so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.LogFile)
	if err != nil {
		return ""
	}
	return string(text)
}

// WaitLog waits until the program has printed a text.
func (p *Process) WaitLog(t TB, timeout time.Duration, text string) {
	t.Helper()
	WaitFor(t, timeout, fmt.Sprintf("%q in the log of %s", text, p.Name), func() bool {
		return strings.Contains(p.Log(), text)
	})
}

func (p *Process) tail(n int) string { return tailLines(p.Log(), n) }

func tailLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return "    " + strings.Join(lines, "\n    ")
}
