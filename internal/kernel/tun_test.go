package kernel

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"adit/internal/need"
	inet "adit/proto/ip"
)

// inNamespaces runs f on a thread of its own. Each call of enter puts the thread
// into a new network namespace; what it opens there stays there. The thread ends
// with f, and the namespaces with what was opened in them.
//
// It stays on one processor. What it sends waits in that one's queue for the other end of
// lo or of a veth: after a move to another one Linux may serve the later packet first, and
// tests of what keeps its order would fail for that.
func inNamespaces(t testing.TB, f func(enter func())) {
	t.Helper()
	var lacking error
	done := make(chan struct{})
	body := func() {
		f(func() {
			if lacking = unix.Unshare(unix.CLONE_NEWNET); lacking != nil {
				runtime.Goexit()
			}
			command(t, "ip", "link", "set", "lo", "up")
		})
	}
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the runtime ends the thread
		if err := stayOnOneProcessor(); err != nil {
			t.Error(err)
			return
		}
		body()
	}()
	<-done
	if lacking != nil {
		lacks(t, "needs a network namespace: %v", lacking)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// stayOnOneProcessor binds the thread to the first of the processors that it may use.
func stayOnOneProcessor() error {
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return err
	}
	for cpu := range 8 * int(unsafe.Sizeof(may)) {
		if may.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	return unix.SchedSetaffinity(0, &one)
}

// lacks skips a test where it cannot run, which is a failure in CI.
func lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	need.Lack(t, format, args...)
}

// command runs a program in the namespace of the thread.
func command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// openTUNUp opens a TUN, brings it up and gives it addresses.
func openTUNUp(t testing.TB, o TUNOptions, addrs ...string) *TUN {
	t.Helper()
	tun, err := OpenTUN(o)
	if errors.Is(err, ErrNotSupported) {
		lacks(t, "needs %s: %v", tunDevice, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tun.Close)
	noRouterSolicitations(t)
	for _, a := range addrs {
		command(t, "ip", "address", "add", a, "dev", tun.Name(), "nodad")
	}
	command(t, "ip", "link", "set", tun.Name(), "up")
	waitLocal(t, addrs)
	return tun
}

// waitLocal waits until packets to the addresses are taken for ours: for IPv6,
// the kernel sees to that after the interface is up, in its own time.
func waitLocal(t testing.TB, prefixes []string) {
	t.Helper()
	for _, p := range prefixes {
		addr, _, _ := strings.Cut(p, "/")
		for end := time.Now().Add(5 * time.Second); ; {
			out, err := exec.Command("ip", "route", "get", addr).CombinedOutput()
			if err == nil && strings.HasPrefix(string(out), "local ") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s is not local: %s", addr, out)
			}
		}
	}
}

// noRouterSolicitations keeps the kernel's own IPv6 packets out of a TUN.
func noRouterSolicitations(t testing.TB) {
	t.Helper()
	for _, path := range []string{"all", "default"} {
		for _, setting := range []string{"router_solicitations", "accept_ra"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+path+"/"+setting, []byte("0"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
}

func TestOpenTUN(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		for _, queues := range []int{0, 1, 4} {
			tun := openTUNUp(t, TUNOptions{Name: "adit%d", Queues: queues, MTU: 1460})
			ifc, err := net.InterfaceByName(tun.Name())
			if err != nil {
				t.Fatal(err)
			}
			if tun.Name() != "adit0" || tun.Index() != ifc.Index || ifc.MTU != 1460 {
				t.Errorf("%s, index %d; the kernel has %+v", tun.Name(), tun.Index(), ifc)
			}
			if errors.Is(tun.SteeringError(), ErrPermission) {
				lacks(t, "needs CAP_BPF: %v", tun.SteeringError())
			}
			if tun.Queues() != max(queues, 1) || tun.SteeringError() != nil {
				t.Errorf("%d queues of %d: %v", tun.Queues(), queues, tun.SteeringError())
			}
			for i := range tun.Queues() {
				checkFlags(t, tun.Queue(i).FD())
			}
			tun.Close()
			tun.Close()
			if _, err := net.InterfaceByName("adit0"); err == nil {
				t.Error("the interface is there after Close")
			}
		}
	})
}

func TestTUNOffloads(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		for _, c := range []struct {
			sets []int
			want inet.Offloads
		}{
			{offloadSets[1:], inet.Offloads{TSO4: true, TSO6: true}},
			{offloadSets[2:], inet.Offloads{}},
			{offloadSets[3:], inet.Offloads{}},
			// What the kernel refuses makes room for the next.
			{append([]int{1 << 30}, offloadSets[1:]...), inet.Offloads{TSO4: true, TSO6: true}},
			{[]int{1 << 30}, inet.Offloads{}},
		} {
			tun := openTUNUp(t, TUNOptions{offloads: c.sets})
			if tun.Offloads() != c.want {
				t.Errorf("sets %#x gave %+v, want %+v", c.sets, tun.Offloads(), c.want)
			}
			tun.Close()
		}
		tun := openTUNUp(t, TUNOptions{})
		if o := tun.Offloads(); !o.TSO4 || !o.TSO6 {
			t.Errorf("the kernel offers %+v", o)
		}
	})
}

// threadNamespace is the network namespace of the thread, to join it again.
func threadNamespace(t testing.TB) int {
	t.Helper()
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func join(t testing.TB, namespace int) {
	t.Helper()
	if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// moveLink moves an interface of this namespace into another.
func moveLink(t testing.TB, name string, namespace int) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetNsFd(link, namespace)
	}
	if err != nil {
		t.Fatalf("move %s: %v", name, err)
	}
}
