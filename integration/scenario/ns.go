package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// NS is a network namespace.
type NS struct {
	// Name as in ip netns; Label is the last letter of it, for logs.
	Name, Label string
	// Ends of links in this namespace.
	Ends []End

	file *os.File // the namespace itself
	self *os.File // the namespace of this process
}

// runLimit ends a command that Run started and that hangs.
const runLimit = 2 * time.Minute

func newNS(t TB, name, label string) *NS {
	t.Helper()
	ns := &NS{Name: name, Label: label}
	host(t, "ip", "netns", "add", name)
	t.Cleanup(func() { ns.remove(t) })
	var err error
	if ns.file, err = os.Open("/run/netns/" + name); err != nil {
		t.Fatalf("%v", err)
	}
	if ns.self, err = os.Open("/proc/self/ns/net"); err != nil {
		t.Fatalf("%v", err)
	}
	if err = ns.loopbackUp(); err != nil {
		t.Fatalf("the loopback of %s: %v", name, err)
	}
	return ns
}

// Here is the namespace that the test is in, for what needs no other: servers on
// the loopback. It is not removed.
func Here(t TB) *NS {
	t.Helper()
	file, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return &NS{Name: "here", Label: "h", file: file, self: file}
}

func (ns *NS) String() string { return ns.Name }

// remove ends every process in the namespace and the namespace itself.
func (ns *NS) remove(t TB) {
	gone := func() bool {
		pids := ns.pids()
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
		}
		return len(pids) == 0
	}
	if !Eventually(20*time.Second, gone) {
		t.Errorf("processes %v of namespace %s do not die", ns.pids(), ns.Name)
	}
	for _, f := range []*os.File{ns.file, ns.self} {
		if f != nil {
			f.Close()
		}
	}
	// Once, on an emulated machine, this ip was killed, nobody knows by whom. What
	// counts is that the namespace goes.
	var failure error
	if !Eventually(5*time.Second, func() bool {
		out, err := exec.Command("ip", "netns", "del", ns.Name).CombinedOutput()
		if err != nil {
			failure = fmt.Errorf("ip netns del %s: %w: %s", ns.Name, err, out)
			t.Logf("%v", failure)
		}
		_, gone := os.Stat("/run/netns/" + ns.Name)
		return errors.Is(gone, os.ErrNotExist)
	}) {
		t.Errorf("%v", failure)
	}
}

// Pids lists the processes in the namespace that have the given program name
// (as in /proc/PID/comm), or all with "".
func (ns *NS) Pids(program string) []int {
	var pids []int
	for _, pid := range ns.pids() {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && (program == "" || strings.TrimSpace(string(comm)) == program) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (ns *NS) pids() []int {
	if ns.file == nil {
		return nil
	}
	var want unix.Stat_t
	if err := unix.Fstat(int(ns.file.Fd()), &want); err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st); err != nil {
			continue // gone, a kernel thread, or a zombie
		}
		if st.Ino == want.Ino && st.Dev == want.Dev {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Do runs a function on a thread that is in the namespace: sockets opened there
// and processes started there belong to it. The function must not start
// goroutines that rely on it.
func (ns *NS) Do(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("entering namespace %s: %w", ns.Name, err)
			return
		}
		err := f()
		if e := unix.Setns(int(ns.self.Fd()), unix.CLONE_NEWNET); e != nil {
			// The thread is not unlocked, so it ends with this goroutine.
			result <- errors.Join(err, fmt.Errorf("leaving namespace %s: %w", ns.Name, e))
			return
		}
		runtime.UnlockOSThread()
		result <- err
	}()
	return <-result
}

// Run runs a command in the namespace to its end, and returns its output of
// both kinds. It is killed after two minutes.
func (ns *NS) Run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := ns.Do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("%s in %s: %w: %s", strings.Join(cmd.Args, " "), ns.Name, err, strings.TrimSpace(out.String()))
	}
	return out.String(), err
}

// MustRun is Run that fails the test on an error.
func (ns *NS) MustRun(t TB, name string, args ...string) string {
	t.Helper()
	out, err := ns.Run(name, args...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return out
}

// batch runs several ip commands with one process.
func (ns *NS) batch(t TB, lines ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatalf("%v", err)
	}
	ns.MustRun(t, "ip", "-batch", file)
}

// Sysctl writes a setting under /proc/sys; those of net belong to the namespace.
func (ns *NS) Sysctl(t TB, name, value string) {
	t.Helper()
	err := ns.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0o644) })
	if err != nil {
		t.Fatalf("sysctl in %s: %v", ns.Name, err)
	}
}

var pingCounts = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// PingCount sends echo requests of size bytes of payload and returns how many
// were answered. The interval is 0.2 s, and the last answer is awaited for 5 s.
func (ns *NS) PingCount(dst netip.Addr, size, count int) (received int, err error) {
	out, err := ns.Run("ping", "-n", "-q", "-i", "0.2", "-W", "5", "-s", strconv.Itoa(size), "-c", strconv.Itoa(count), dst.String())
	m := pingCounts.FindStringSubmatch(out)
	if m == nil {
		if err == nil {
			err = fmt.Errorf("ping in %s printed no counts: %q", ns.Name, out)
		}
		return 0, err
	}
	// With counts printed, a loss is a result and not an error.
	return strconv.Atoi(m[2])
}

// Ping fails the test unless every echo request is answered.
func (ns *NS) Ping(t TB, dst netip.Addr, size, count int) {
	t.Helper()
	received, err := ns.PingCount(dst, size, count)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if received != count {
		t.Fatalf("ping from %s to %s with %d bytes: %d answers to %d requests", ns.Name, dst, size, received, count)
	}
}

// Capture writes the packets of an interface ("any" for all) to NAME.pcap in
// the test's log folder until the end of the test. It returns the file's name
// once the capture runs.
func (ns *NS) Capture(t TB, name, iface string, filter ...string) string {
	t.Helper()
	file := filepath.Join(LogDir(t), name+".pcap")
	args := append([]string{"tcpdump", "-U", "-n", "-i", iface, "-s", "0", "-Z", "root", "-w", file}, filter...)
	p := ns.Start(t, name+".tcpdump", args...)
	WaitFor(t, time.Minute, "tcpdump to listen", func() bool { return strings.Contains(p.Log(), "listening on") })
	return file
}

// host runs a command outside any namespace of the test.
func host(t TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
