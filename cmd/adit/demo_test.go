package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"adit/integration/lab"
	"adit/internal/demo"
	"adit/internal/need"
)

// demonstration makes "adit demo" with arguments, as root, with a folder of its
// own for temporary files.
func demonstration(t *testing.T, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer, tmp string) {
	t.Helper()
	lack := ""
	if err := lab.InstallPrograms(t.Context(), os.Stderr, "ping"); err != nil { // of what it advises
		lack = "needs ping: " + err.Error()
	} else if tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		lack = "needs a TUN: " + err.Error()
	} else {
		tun.Close()
		try := exec.Command("true")
		try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if err := try.Run(); err != nil {
			lack = "needs the right to make namespaces: " + err.Error()
		}
	}
	if lack != "" {
		need.Lack(t, "%s", lack)
	}
	tmp, err := os.MkdirTemp("/tmp", "adit-demo-test-") // short: sockets go there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	cmd = exec.Command(os.Args[0], append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), asAdit+"=1", "TMPDIR="+tmp)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr, tmp
}

// leavesNothing: no file, and no process that had the folder in its arguments.
func leavesNothing(t *testing.T, tmp string) {
	t.Helper()
	await(t, "the end of all that the demo made", func() bool {
		left, err := os.ReadDir(tmp)
		if err != nil {
			t.Fatal(err)
		}
		return len(left) == 0 && len(processesOf(t, tmp)) == 0
	})
}

// processesOf lists the processes with the folder in their command line.
func processesOf(t *testing.T, tmp string) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(line, []byte(tmp)) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(f, "/proc/%d/cmdline", &pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// TestDemo: everything works, also in a user namespace, and the table says so.
func TestDemo(t *testing.T) {
	for _, args := range [][]string{{"--transfer", "200ms"}, {"--user-namespace", "--transfer", "200ms"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			cmd, stdout, stderr, tmp := demonstration(t, args...)
			begin := time.Now()
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s\n%s", err, stdout, stderr)
			}
			t.Logf("%s\n%s", time.Since(begin), stdout)
			for _, want := range []string{"PPP session", "ping through", "TCP from LAC to LNS", "Gbit/s", "$ adit sessions", "goodbye", "Everything worked"} {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("%q is not said", want)
				}
			}
			if strings.Contains(stdout.String(), "FAILED") || stderr.Len() > 0 {
				t.Errorf("complaints: %s", stderr)
			}
			leavesNothing(t, tmp)
		})
	}
}

func TestDemoJSON(t *testing.T) {
	cmd, stdout, stderr, tmp := demonstration(t, "--json", "--transfer", "100ms")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout, stderr)
	}
	var got demo.Result
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if !got.OK || got.Error != "" || got.Ping == nil || got.Ping.Received != got.Ping.Sent || got.Ping.Sent == 0 {
		t.Errorf("%+v, ping %+v", got, got.Ping)
	}
	// A busy machine may send no more than one piece in that time, of some 192 KiB.
	if got.Up == nil || got.Down == nil || got.Up.Bytes < 1<<17 || got.Down.Bytes < 1<<17 {
		t.Errorf("transfers %v and %v", got.Up, got.Down)
	}
	if len(got.LNS) != 1 || len(got.LAC) != 1 || got.LNS[0].RemoteAddress != got.LAC[0].LocalAddress {
		t.Errorf("sessions %+v and %+v", got.LNS, got.LAC)
	}
	leavesNothing(t, tmp)
}

// TestDemoKeep: it stays until Ctrl-C, which is a good end; and when one of its
// processes is killed, the others and all files go.
func TestDemoKeep(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(cmd *exec.Cmd, tmp string) error
		good bool
	}{
		{"Ctrl-C", func(cmd *exec.Cmd, _ string) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }, true},
		{"SIGTERM", func(cmd *exec.Cmd, _ string) error { return cmd.Process.Signal(syscall.SIGTERM) }, true},
		{"the caller is killed", func(cmd *exec.Cmd, _ string) error { return cmd.Process.Kill() }, false},
		{"the inner process is killed", func(cmd *exec.Cmd, tmp string) error {
			for _, pid := range processesOf(t, tmp) {
				line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				if err == nil && bytes.Contains(line, []byte("--"+demo.InsideFlag)) {
					return syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			return errors.New("there is no inner process")
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd, _, stderr, tmp := demonstration(t, "--keep", "--transfer", "50ms")
			// A group of its own, for Ctrl-C goes to the whole group.
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			cmd.Stdout = out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			said := func() string {
				text, err := os.ReadFile(out.Name())
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			await(t, "the demo to stay up", func() bool {
				select {
				case err := <-ended:
					t.Fatalf("it ended: %v\n%s\n%s", err, said(), stderr)
				default:
				}
				return strings.Contains(said(), "Ctrl-C") && strings.Contains(said(), "ping -c 3")
			})
			if test.good {
				followAdvice(t, said())
			}
			if err := test.end(cmd, tmp); err != nil {
				t.Fatal(err)
			}
			select {
			case err = <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("it does not end")
			}
			if test.good != (err == nil) {
				t.Errorf("it ended with %v\n%s\n%s", err, said(), stderr)
			}
			leavesNothing(t, tmp)
		})
	}
}

// followAdvice runs the commands that --keep prints, as a reader would, except
// those that follow a log.
func followAdvice(t *testing.T, said string) {
	t.Helper()
	count := 0
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "nsenter") && !strings.Contains(line, " status --socket ") {
			continue
		}
		count++
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Env = append(os.Environ(), asAdit+"=1")
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	if count != 5 {
		t.Errorf("%d commands to look around, want 5:\n%s", count, said)
	}
}

// TestDemoForbidden: whoever may not open the TUN is told so in a sentence, with
// exit status 1.
func TestDemoForbidden(t *testing.T) {
	if os.Geteuid() != 0 {
		need.Lack(t, "needs root, to be somebody else")
	}
	cmd, stdout, stderr, tmp := demonstration(t)
	// The test program may be where only root can see it.
	open := filepath.Join(tmp, "adit")
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(open, program, 0o755), os.Chmod(tmp, 0o777)); err != nil {
		t.Fatal(err)
	}
	// Everybody may open the machine's own TUN, perhaps: in a mount namespace there is
	// one that only root may.
	forbidden := filepath.Join(tmp, "tun")
	if err := os.WriteFile(forbidden, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Path, cmd.Dir = "/bin/sh", "/"
	cmd.Args = []string{"sh", "-c", `mount --make-rprivate / && mount --bind "$1" /dev/net/tun && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$2" demo`, "sh", forbidden, open}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	err = cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Fatalf("%v, want exit status 1\n%s%s", err, stdout, stderr)
	}
	if said := stderr.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "chmod 0666 /dev/net/tun") {
		t.Errorf("it says %q", said)
	}
}
