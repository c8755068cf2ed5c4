package pppbridge

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
	"adit/proto/ppp"
)

// fakeKernel stands for the kernel under kernelLinks: it writes down what is
// asked of it, and each of these can be held up or fail. Its descriptors are
// real ones.
type fakeKernel struct {
	t     *testing.T
	plane *kernelPlane

	mu    sync.Mutex
	ops   []string
	fails map[string]error
	holds map[string]chan struct{}
	held  chan string // the names of those that are held up now
	now   int         // under way
	most  int
	files map[string]*fakeFile // the last of a kind
	open  int                  // descriptors

	filter []unix.SockFilter // the last
}

func newFakeKernel(t *testing.T) *fakeKernel {
	t.Helper()
	poller, err := kernel.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	k := &fakeKernel{t: t, fails: map[string]error{}, holds: map[string]chan struct{}{}, held: make(chan string, 100), files: map[string]*fakeFile{}}
	k.plane = &kernelPlane{
		poller: poller, links: k, workers: linkWorkers{limit: kernelWorkers}, table: new(addressTable), close: func() {},
		openSession: func(*Spec) (pppSession, error) { return k.file("session") },
		openChannel: func(pppSession) (pppChannel, error) { return k.file("channel") },
		openUnit:    func() (pppUnit, error) { return k.file("unit") },
	}
	done := make(chan error, 1)
	go func() { done <- poller.Run() }()
	t.Cleanup(func() {
		poller.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		poller.Close()
	})
	return k
}

func (k *fakeKernel) do(format string, args ...any) error {
	op := fmt.Sprintf(format, args...)
	k.mu.Lock()
	k.ops = append(k.ops, op)
	hold, err := k.holds[op], k.fails[op]
	if op != "open session" { // the owner's, not a worker's
		k.now++
		k.most = max(k.most, k.now)
	}
	k.mu.Unlock()
	if hold != nil {
		k.held <- op
		<-hold
	}
	if op != "open session" {
		k.mu.Lock()
		k.now--
		k.mu.Unlock()
	}
	return err
}

func (k *fakeKernel) setFail(op string, err error) { k.mu.Lock(); k.fails[op] = err; k.mu.Unlock() }

// hold holds an operation up until the function returned is called.
func (k *fakeKernel) hold(op string) (release func()) {
	c := make(chan struct{})
	k.mu.Lock()
	k.holds[op] = c
	k.mu.Unlock()
	return func() { close(c) }
}

// asked are the operations since the last time it was called.
func (k *fakeKernel) asked() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	ops := k.ops
	k.ops = nil
	return ops
}

// wantOps waits until these operations, and no others, were asked for.
func (k *fakeKernel) wantOps(t *testing.T, want ...string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; {
		k.mu.Lock()
		got := slices.Clone(k.ops)
		k.mu.Unlock()
		if len(got) >= len(want) || time.Now().After(end) {
			if !slices.Equal(got, want) {
				t.Errorf("asked\n%q, want\n%q", got, want)
			}
			k.asked()
			return
		}
		pollOnce()
	}
}

// pollOnce lets a moment go by.
func pollOnce() { <-time.After(time.Millisecond) }

// fakeFile is a session, a channel or a unit; peer is its far end.
type fakeFile struct {
	k    *fakeKernel
	kind string
	fd   int
	peer int
}

func (k *fakeKernel) file(kind string) (*fakeFile, error) {
	if err := k.do("open %s", kind); err != nil {
		return nil, err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := &fakeFile{k: k, kind: kind, fd: fds[0], peer: fds[1]}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files[kind] = f
	k.open++
	return f, nil
}

// last is the last file of a kind that was opened; it waits for the first.
func (k *fakeKernel) last(kind string) *fakeFile {
	for end := time.Now().Add(5 * time.Second); ; pollOnce() {
		k.mu.Lock()
		f := k.files[kind]
		k.mu.Unlock()
		if f != nil || time.Now().After(end) {
			return f
		}
	}
}

func (k *fakeKernel) left() int { k.mu.Lock(); defer k.mu.Unlock(); return k.open }

func (f *fakeFile) FD() int { return f.fd }

func (f *fakeFile) Read(buf []byte) (int, error) {
	n, _, flags, _, err := unix.Recvmsg(f.fd, buf, nil, 0)
	switch {
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, err
	case flags&unix.MSG_TRUNC != 0:
		return 0, unix.EOVERFLOW
	case n == 0:
		return 0, kernel.ErrEnd
	}
	return n, nil
}

func (f *fakeFile) Write(frame []byte) error { _, err := unix.Write(f.fd, frame); return err }

func (f *fakeFile) Close() error {
	err := f.k.do("close %s", f.kind)
	_ = unix.Close(f.fd)
	_ = unix.Close(f.peer)
	f.k.mu.Lock()
	f.k.open--
	f.k.mu.Unlock()
	return err
}

func (f *fakeFile) Connect(unit int) error           { return f.k.do("connect %d", unit) }
func (f *fakeFile) Disconnect() error                { return f.k.do("disconnect") }
func (f *fakeFile) Number() int                      { return 7 }
func (f *fakeFile) Index() int                       { return 70 }
func (f *fakeFile) Name() string                     { return "ppp7" }
func (f *fakeFile) SetMRU(octets int) error          { return f.k.do("mru %d", octets) }
func (f *fakeFile) Stats() (kernel.L2TPStats, error) { return kernel.L2TPStats{RxPackets: 5}, nil }
func (f *fakeFile) Idle() (sent, received time.Duration, err error) {
	return 9 * time.Second, 4 * time.Second, nil
}

func (f *fakeFile) SetNPMode(protocol uint16, mode kernel.NPMode) error {
	return f.k.do("%#x %v", protocol, mode)
}

// SetPassFilter keeps the program, which tests of package kernel run.
func (f *fakeFile) SetPassFilter(program []unix.SockFilter) error {
	err := f.k.do("filter")
	f.k.mu.Lock()
	defer f.k.mu.Unlock()
	f.k.filter = program
	return err
}

func (k *fakeKernel) SetUp(index, mtu int) error { return k.do("up %d mtu %d", index, mtu) }
func (k *fakeKernel) Rename(index int, name string) (string, error) {
	return "sub4", k.do("rename %d %s", index, name)
}
func (k *fakeKernel) DisableIPv6AutoLinkLocal(index int) error {
	return k.do("no link-local %d", index)
}
func (k *fakeKernel) AddAddress(_ int, local netip.Prefix, peer netip.Addr) error {
	return k.do("+ %v %v", local, peer)
}
func (k *fakeKernel) RemoveAddress(_ int, local netip.Prefix, peer netip.Addr) error {
	return k.do("- %v %v", local, peer)
}
func (k *fakeKernel) AddRoute(_ int, dst netip.Prefix, _ kernel.RouteOptions) error {
	return k.do("+ route %v", dst)
}
func (k *fakeKernel) RemoveRoute(_ int, dst netip.Prefix, _ kernel.RouteOptions) error {
	return k.do("- route %v", dst)
}

// testOwner is a session's loop, with what came to it.
type testOwner struct {
	posts  chan func(now time.Time)
	frames chan []byte
	failed chan error
	closed chan struct{}
	ups    []testUp // the owner's goroutine's
}

// testUp is what LinkEvents.Up was told.
type testUp struct {
	family ppp.Family
	Attachment
}

func newTestOwner(t *testing.T) *testOwner {
	o := &testOwner{
		posts: make(chan func(time.Time), 10000), frames: make(chan []byte, 100),
		failed: make(chan error, 100), closed: make(chan struct{}, 100),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f := range o.posts {
			if f == nil {
				return
			}
			f(time.Now())
		}
	}()
	t.Cleanup(func() { o.posts <- nil; <-done })
	return o
}

func (o *testOwner) Control(frame []byte) bool {
	select {
	case o.frames <- slices.Clone(frame):
		return true
	default:
		return false
	}
}

func (o *testOwner) Post(f func(now time.Time)) bool { o.posts <- f; return true }
func (o *testOwner) LinkUp(ppp.Link)                 {}

// on runs f on the owner's goroutine and waits for it.
func (o *testOwner) on(f func()) {
	done := make(chan struct{})
	o.posts <- func(time.Time) { defer close(done); f() }
	<-done
}

func (o *testOwner) open(t *testing.T, p Plane, spec *Spec) *kernelLink {
	t.Helper()
	spec.Owner = o
	var l Link
	var err error
	o.on(func() {
		l, err = p.Open(spec, nil, testEvents{
			up:     func(f ppp.Family, a Attachment) { o.ups = append(o.ups, testUp{f, a}) },
			failed: func(err error) { o.failed <- err },
			closed: func() { o.closed <- struct{}{} },
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return l.(*kernelLink)
}

// close closes a link and waits for its end.
func (o *testOwner) close(t *testing.T, l *kernelLink) {
	t.Helper()
	o.on(func() { l.Close(); l.Close() })
	o.wantClosed(t)
}

// wantUps waits until the link has told of these families, in this order.
func (o *testOwner) wantUps(t *testing.T, families ...ppp.Family) {
	t.Helper()
	var got []testUp
	waitFor(t, 5*time.Second, "LinkEvents.Up", func() bool {
		o.on(func() { got = slices.Clone(o.ups) })
		return len(got) >= len(families)
	})
	for i, u := range got {
		if i >= len(families) || u.family != families[i] || u.Interface != "sub4" || u.Send != nil {
			t.Errorf("told of %+v, want %v", got, families)
			return
		}
	}
}

func (o *testOwner) wantClosed(t *testing.T) {
	t.Helper()
	select {
	case <-o.closed:
	case <-time.After(30 * time.Second):
		t.Fatal("the link does not close")
	}
}

func (o *testOwner) wantFrame(t *testing.T, what, want string) {
	t.Helper()
	select {
	case f := <-o.frames:
		if string(f) != want {
			t.Errorf("%s: %x, want %x", what, f, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: no frame", what)
	}
}

// readPeer reads what was written to the near end of a fake file.
func readPeer(t *testing.T, fd int) string {
	t.Helper()
	buf := make([]byte, 3000)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); pollOnce() {
		if n, err := unix.Read(fd, buf); err == nil {
			return string(buf[:n])
		}
	}
	t.Error("nothing to read")
	return ""
}

func writePeer(t *testing.T, fd int, frame string) {
	t.Helper()
	if _, err := unix.Write(fd, []byte(frame)); err != nil {
		t.Error(err)
	}
}

// openDescriptors counts those of this process.
func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

var testNetwork = ppp.Network{
	LocalIPv4: netip.MustParseAddr("10.0.0.1"), PeerIPv4: netip.MustParseAddr("10.0.0.2"),
	LocalID: 0x0102, PeerID: 0x0304,
	Routes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/56")},
}
