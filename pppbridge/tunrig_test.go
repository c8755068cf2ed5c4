package pppbridge

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/chap"
	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/internal/need"
	"adit/proto/ppp"
)

// namespace is a network namespace with a thread in it.
type namespace struct{ jobs chan func() }

// newNamespace makes one, or skips the test where that is forbidden.
func newNamespace(t testing.TB) *namespace {
	t.Helper()
	n := &namespace{jobs: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
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
	t.Cleanup(func() { close(n.jobs) })
	return n
}

// wholeNamespace runs a test again in a process that is in a namespace of its own
// as a whole, for what workers do. In the first process it returns nil, when that
// has passed.
func wholeNamespace(t *testing.T) *namespace {
	t.Helper()
	if os.Getenv("ADIT_NETNS") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "ADIT_NETNS=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		if err != nil && os.Geteuid() != 0 {
			need.Lack(t, "it may not make a network namespace: %v", err)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return nil
	}
	links, err := kernel.OpenLinks()
	if err != nil {
		t.Fatal(err)
	}
	defer links.Close()
	if err := links.SetUp(1, 0); err != nil { // the loopback
		t.Fatal(err)
	}
	self := &namespace{jobs: make(chan func())}
	go func() {
		for f := range self.jobs {
			f()
		}
	}()
	t.Cleanup(func() { close(self.jobs) })
	return self
}

// do runs f on the namespace's thread.
func (n *namespace) do(f func()) {
	done := make(chan struct{})
	n.jobs <- func() { defer close(done); f() }
	<-done
}

// links opens a kernel.Links in the namespace.
func (n *namespace) links(t testing.TB) (l *kernel.Links) {
	t.Helper()
	var err error
	n.do(func() { l, err = kernel.OpenLinks() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// testLoop is the loop that owns one session.
type testLoop struct {
	jobs    chan func(time.Time)
	bridge  Stepper
	refused atomic.Int64
	done    chan struct{}
}

func newTestLoop() *testLoop {
	return &testLoop{jobs: make(chan func(time.Time), 1024), done: make(chan struct{})}
}

// Control is Owner's.
func (l *testLoop) Control(frame []byte) bool {
	frame = bytes.Clone(frame)
	select {
	case l.jobs <- func(now time.Time) { l.bridge.Control(now, frame) }:
		return true
	default:
		l.refused.Add(1)
		return false
	}
}

// Post is Owner's.
func (l *testLoop) LinkUp(ppp.Link) {}

func (l *testLoop) Post(f func(time.Time)) bool {
	select {
	case <-l.done:
		return false
	default:
	}
	select {
	case <-l.done:
		return false
	case l.jobs <- f:
		return true
	}
}

func (l *testLoop) run(b Stepper) {
	l.bridge = b
	b.Begin(time.Now())
	for {
		var timer <-chan time.Time
		if d := b.Deadline(); !d.IsZero() {
			timer = time.After(time.Until(d))
		}
		select {
		case f := <-l.jobs:
			if f == nil {
				close(l.done)
				return
			}
			f(time.Now())
		case <-timer:
			b.Tick(time.Now())
		}
	}
}

// wire is one end of an L2TP that is a session number and a frame in a
// datagram, over UDP on the loopback.
type wire struct {
	fd      int
	dest    *kernel.Destination
	burst   *circuit.Burst
	mu      sync.Mutex
	bridges map[uint32]circuit.Bridge
}

type wireFrames struct {
	w  *wire
	id uint32
}

// Room is Frames'.
func (f wireFrames) Room(b *circuit.Burst, n int) []byte {
	room := b.Out.Room(f.w.dest, 2+n)
	if room == nil {
		return nil
	}
	binary.BigEndian.PutUint16(room, uint16(f.id))
	return room[2:]
}

// newWires makes both ends, which read until the test ends.
func newWires(t testing.TB) (a, b *wire) {
	t.Helper()
	open := func() (int, netip.AddrPort) {
		fd, err := kernel.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		sa, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		return fd, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port))
	}
	fdA, atA := open()
	fdB, atB := open()
	mk := func(fd int, peer netip.AddrPort) *wire {
		w := &wire{fd: fd, dest: kernel.NewDestination(fd, netip.Addr{}, peer), burst: circuit.NewBurst(new(kernel.SendCounts)), bridges: map[uint32]circuit.Bridge{}}
		var stop atomic.Bool
		done := make(chan struct{})
		go func() { defer close(done); w.read(&stop) }()
		t.Cleanup(func() { stop.Store(true); <-done; _ = unix.Close(fd) })
		return w
	}
	return mk(fdA, atB), mk(fdB, atA)
}

func (w *wire) read(stop *atomic.Bool) {
	in := kernel.NewRecvBatch(32)
	for !stop.Load() {
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, 50); n <= 0 {
			continue
		}
		n, err := in.Receive(w.fd)
		if err != nil {
			continue
		}
		now := time.Now()
		for i := range n {
			data, segment, _, _ := in.Datagram(i)
			for len(data) > 2 {
				d := data[:min(segment, len(data))]
				data = data[len(d):]
				w.mu.Lock()
				b := w.bridges[uint32(binary.BigEndian.Uint16(d))]
				w.mu.Unlock()
				if b != nil {
					b.Deliver(w.burst, now, d[2:])
				}
			}
		}
		w.burst.Flush()
	}
}

// testAccess knows one password for every name, and grants what it is told to.
type testAccess struct {
	password string
	grant    func(name string) ppp.Grant
}

func (testAccess) Routes() []netip.Prefix                        { return nil }
func (testAccess) NetworkUp(ppp.Family, ppp.Network, Attachment) {}
func (testAccess) NetworkDown(ppp.Family)                        {}
func (testAccess) Packet([]byte)                                 {}

func (a testAccess) Authenticate(req ppp.AuthRequest, answer func(ppp.Verdict)) {
	v := chap.Judge([]byte(a.password), req)
	if v.Accept && a.grant != nil {
		v.Grant = a.grant(req.Name)
	}
	answer(v)
}

func lnsConfig() *ppp.Config {
	return &ppp.Config{
		Name: "lns", MRU: 1400, Authenticate: []ppp.Method{ppp.MethodCHAP}, IPv4: true, IPv6: true, Rand: rand.Reader,
		RestartTimer: time.Second,
	}
}

func clientConfig(name, password string) *ppp.Config {
	return &ppp.Config{
		Name: name, MRU: 1400, Answer: []ppp.Method{ppp.MethodCHAP}, IPv4: true, IPv6: true, Rand: rand.Reader,
		Secrets: chap.Credentials{Name: name, Secret: []byte(password)}, RestartTimer: time.Second,
	}
}

// session is one end of a session in a test.
type session struct {
	Stepper
	loop  *testLoop
	exits chan circuit.Exit
	log   *testLog
}

func openEnd(t testing.TB, f *Factory, w *wire, id uint32, s Spec) *session {
	t.Helper()
	e, err := tryEnd(f, w, id, s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func tryEnd(f *Factory, w *wire, id uint32, s Spec) (*session, error) {
	e := &session{loop: newTestLoop(), exits: make(chan circuit.Exit, 2), log: newTestLog()}
	s.Kind, s.Owner, s.Log, s.LocalSession = circuit.Builtin, e.loop, e.log.entry, id
	b, err := f.Open(s, wireFrames{w, id}, func(x circuit.Exit) { e.exits <- x })
	if err != nil {
		return nil, err
	}
	e.Stepper = b.(Stepper)
	w.mu.Lock()
	w.bridges[id] = b
	w.mu.Unlock()
	go e.loop.run(e.Stepper)
	return e, nil
}

func (e *session) end(t testing.TB) circuit.Exit {
	t.Helper()
	e.loop.Post(func(now time.Time) { e.Terminate(now, "the test is over") })
	return e.wait(t)
}

func (e *session) wait(t testing.TB) circuit.Exit {
	t.Helper()
	select {
	case x := <-e.exits:
		e.loop.jobs <- nil
		return x
	case <-time.After(20 * time.Second):
		t.Fatalf("the session does not end; log:\n%s", e.log)
		return circuit.Exit{}
	}
}

// rig is an LNS and a client with a TUN each, in a namespace each.
type rig struct {
	lnsNS, clientNS *namespace
	lns, client     *Factory
	lnsW, clientW   *wire
}

func newRig(t *testing.T, queues int) *rig {
	t.Helper()
	r := &rig{lnsNS: newNamespace(t), clientNS: newNamespace(t)}
	r.lns, r.client = newTestFactory(t, Config{}), newTestFactory(t, Config{})
	r.lnsW, r.clientW = newWires(t)
	r.openTUN(t, r.lnsNS, r.lns, TUNConfig{Name: "lns0", MTU: 1400, Queues: queues, Aggregates: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")}})
	r.openTUN(t, r.clientNS, r.client, TUNConfig{Name: "cli0", MTU: 1400})
	return r
}

func (r *rig) openTUN(t testing.TB, ns *namespace, f *Factory, c TUNConfig) {
	t.Helper()
	var err error
	ns.do(func() { err = f.OpenTUN(c) })
	if errors.Is(err, kernel.ErrNotSupported) || errors.Is(err, kernel.ErrPermission) {
		f.Close()
		need.Lack(t, "%s", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sourceTo is the address that the namespace sends from to another one. When an address
// is new, there is a moment in which sockets can be bound to it, but Linux does not take
// it as a source yet, and sends from 0.0.0.0.
func (n *namespace) sourceTo(to string) (source string) {
	n.do(func() {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), 9)))
		if err == nil {
			source = c.LocalAddr().(*net.UDPAddr).IP.String()
			_ = c.Close()
		}
	})
	return source
}

// hasAddress asks the namespace itself.
func (n *namespace) hasAddress(a string) (has bool) {
	n.do(func() {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(a), 0)))
		if has = err == nil; has {
			_ = c.Close()
		}
	})
	return has
}
