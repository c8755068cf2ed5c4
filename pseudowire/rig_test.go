package pseudowire

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/internal/need"
)

// namespace is a network namespace with a thread in it.
type namespace struct {
	jobs chan func()
	fd   int
}

// newNamespace makes one, or skips the test where that is forbidden.
func newNamespace(t testing.TB) *namespace {
	t.Helper()
	n := &namespace{jobs: make(chan func()), fd: -1}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		if made <- err; err != nil {
			return
		}
		for f := range n.jobs {
			f()
		}
	}()
	if err := <-made; err != nil {
		need.Lack(t, "it may not make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.jobs); _ = unix.Close(n.fd) })
	n.ip(t, "link", "set", "lo", "up")
	for _, path := range []string{"all", "default"} { // no packets of the kernel's own
		for setting, value := range map[string]string{"router_solicitations": "0", "accept_ra": "0"} {
			n.do(func() {
				err := os.WriteFile("/proc/sys/net/ipv6/conf/"+path+"/"+setting, []byte(value), 0)
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Error(err)
				}
			})
		}
	}
	return n
}

// do runs f on the namespace's thread.
func (n *namespace) do(f func()) {
	done := make(chan struct{})
	n.jobs <- func() { defer close(done); f() }
	<-done
}

// enter puts a goroutine's thread into the namespace for good.
func (n *namespace) enter() {
	runtime.LockOSThread()
	if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
		panic(err)
	}
}

// try runs a program in the namespace.
func (n *namespace) try(name string, args ...string) (string, error) {
	var out []byte
	var err error
	n.do(func() { out, err = exec.Command(name, args...).CombinedOutput() })
	return string(out), err
}

func (n *namespace) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := n.try(name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (n *namespace) ip(t testing.TB, args ...string) string {
	t.Helper()
	return n.run(t, "ip", args...)
}

// moveLink puts an interface into another namespace.
func (n *namespace) moveLink(t testing.TB, name string, to *namespace) {
	t.Helper()
	var err error
	n.do(func() {
		var h *netlink.Handle
		var l netlink.Link
		if h, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return
		}
		defer h.Close()
		if l, err = h.LinkByName(name); err == nil {
			err = h.LinkSetNsFd(l, to.fd)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// end is one end of a pseudowire: a factory in a namespace, and its way to the other,
// which is memory.
type end struct {
	ns      *namespace
	factory *Factory
	poller  *kernel.Poller
	burst   *circuit.Burst // the poller's
}

// newEnd makes a factory whose workers are in a namespace of its own.
func newEnd(t testing.TB) *end {
	t.Helper()
	return newEndIn(t, newNamespace(t), nil)
}

func newEndIn(t testing.TB, ns *namespace, sessions Sessions) *end {
	t.Helper()
	poller, err := kernel.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	e := &end{ns: ns, poller: poller, burst: circuit.NewBurst(new(kernel.SendCounts))}
	e.factory = NewFactory(Config{Poller: poller, Burst: e.burst, Sessions: sessions})
	e.factory.workers.begin = ns.enter
	done := make(chan error, 1)
	go func() { done <- poller.Run() }()
	t.Cleanup(func() {
		e.factory.Close()
		waitFor(t, "the end of all bridges", func() bool { return e.factory.Running() == 0 })
		if n := poller.Watched(); n != 0 {
			t.Errorf("%d descriptors are watched at the end", n)
		}
		poller.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		poller.Close()
	})
	return e
}

// wire is circuit.Frames: it brings what one end sends to the other end's bridge, in
// the sender's goroutine when it flushes.
type wire struct {
	mu    sync.Mutex
	to    circuit.Bridge
	burst *circuit.Burst // of what goes into the other end
	queue [][]byte
	seen  func(frame []byte) // each frame on its way
}

func (w *wire) Room(_ *circuit.Burst, n int) []byte {
	frame := make([]byte, n)
	w.queue = append(w.queue, frame)
	return frame
}

func (w *wire) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, f := range w.queue {
		if w.seen != nil {
			w.seen(f)
		}
		if w.to != nil {
			w.to.Deliver(w.burst, now, f)
		}
	}
	w.queue = w.queue[:0]
	w.burst.Flush()
}

func (w *wire) lead(to circuit.Bridge) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

// bring delivers frames in one burst, as if the end had sent them.
func (w *wire) bring(frames ...[]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range frames {
		w.to.Deliver(w.burst, time.Now(), bytes.Clone(f))
	}
	w.burst.Flush()
}

// watch has f see each frame.
func (w *wire) watch(f func(frame []byte)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = f
}

// session is a bridge of a test.
type session struct {
	circuit.Bridge
	exits  chan circuit.Exit
	wire   *wire // from it to the other
	status chan bool
}

func (e *end) open(t testing.TB, s Spec) *session {
	t.Helper()
	c := &session{exits: make(chan circuit.Exit, 2), status: make(chan bool, 64), wire: &wire{burst: circuit.NewBurst(new(kernel.SendCounts))}}
	hooked := make(chan struct{})
	e.poller.Post(func(time.Time) { e.burst.OnFlush(c.wire.flush); close(hooked) })
	<-hooked
	s.CircuitChanged = func(active bool) { c.status <- active }
	b, err := e.factory.Open(s, c.wire, func(x circuit.Exit) { c.exits <- x })
	if err != nil {
		t.Fatal(err)
	}
	c.Bridge = b
	t.Cleanup(func() { b.Close("the test is over") })
	return c
}

// up waits for the device.
func (c *session) up(t testing.TB) string {
	t.Helper()
	waitFor(t, "the device", func() bool {
		select {
		case x := <-c.exits:
			if errors.Is(x.Err, kernel.ErrPermission) || errors.Is(x.Err, kernel.ErrNotSupported) {
				need.Lack(t, "%s", x.Text)
			}
			t.Fatalf("the bridge ended: %+v", x)
		default:
		}
		return isReady(c)
	})
	return c.Info().Interface
}

func isReady(c *session) bool {
	a := attachmentOf(c.Bridge)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.phase == phaseReady && !a.busy
}

func attachmentOf(b circuit.Bridge) *attachment {
	switch b := b.(type) {
	case *tapBridge:
		return &b.attachment
	case *kernelBridge:
		return &b.attachment
	}
	return nil
}

func (c *session) wait(t testing.TB) circuit.Exit {
	t.Helper()
	select {
	case x := <-c.exits:
		return x
	case <-time.After(20 * time.Second):
		t.Fatal("the bridge does not end")
		return circuit.Exit{}
	}
}

// changed waits for what CircuitChanged is told.
func (c *session) changed(t testing.TB, want bool) {
	t.Helper()
	select {
	case got := <-c.status:
		if got != want {
			t.Errorf("the circuit is active: %v, want %v", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was said of the circuit")
	}
}

// pair opens both ends of a pseudowire.
func pair(t testing.TB, x, y *end, sx, sy Spec) (a, b *session) {
	t.Helper()
	a, b = x.open(t, sx), y.open(t, sy)
	a.wire.lead(b)
	b.wire.lead(a)
	a.up(t)
	b.up(t)
	return a, b
}

func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !f(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("no %s after 20 s", what)
		}
	}
}
