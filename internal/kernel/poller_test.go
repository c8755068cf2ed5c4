package kernel

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

type handlerFunc func(now time.Time, ev Events)

func (f handlerFunc) Ready(now time.Time, ev Events) { f(now, ev) }

// startPoller runs a poller until the test ends.
func startPoller(t *testing.T) *Poller {
	t.Helper()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Run() }()
	t.Cleanup(func() {
		p.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.Close()
		p.Close()
	})
	return p
}

// onLoop runs f in the poller and waits for it.
func onLoop(t *testing.T, p *Poller, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !p.Post(func(time.Time) { f(); close(done) }) {
		t.Fatal("the poller is closed")
	}
	within(t, done)
}

func within(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing happened")
	}
}

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	})
	return fds[0], fds[1]
}

func write1(t *testing.T, fd int) {
	t.Helper()
	if n, err := unix.Write(fd, []byte{1}); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func TestPollerServes(t *testing.T) {
	p := startPoller(t)
	r, w := pipe(t)
	got := make(chan struct{})
	h, err := p.Add(r, Readable, handlerFunc(func(_ time.Time, ev Events) {
		if ev&Readable == 0 {
			t.Errorf("events %v", ev)
		}
		var b [8]byte
		_, _ = unix.Read(r, b[:])
		close(got)
	}))
	if err != nil {
		t.Fatal(err)
	}
	write1(t, w)
	within(t, got)
	p.Remove(h)
	p.Remove(h)
	p.Remove(Handle{})
	if err := p.Modify(h, Writable); err != ErrStaleHandle {
		t.Errorf("Modify after Remove: %v", err)
	}
	if p.Watched() != 0 {
		t.Errorf("%d still watched", p.Watched())
	}
}

// All descriptors are ready in one wait, and whichever handler is called first
// removes all others and itself: no other may be called.
func TestPollerRemoveDuringDispatch(t *testing.T) {
	p := startPoller(t)
	const n = 8
	var handles [n]Handle
	var calls atomic.Int32
	onLoop(t, p, func() {
		for i := range n {
			r, w := pipe(t)
			write1(t, w)
			var err error
			handles[i], err = p.Add(r, Readable, handlerFunc(func(time.Time, Events) {
				calls.Add(1)
				for _, h := range handles {
					p.Remove(h)
				}
			}))
			if err != nil {
				t.Error(err)
			}
		}
	})
	// Two rounds later the wait has been and gone.
	onLoop(t, p, func() {})
	onLoop(t, p, func() {})
	if calls.Load() != 1 || p.Watched() != 0 {
		t.Errorf("%d handlers were called, %d still watched", calls.Load(), p.Watched())
	}
}

// A handler removes another descriptor, and a new one takes its slot and even
// its number: the event collected for the old one must not reach the new one.
func TestPollerSlotReuseDuringDispatch(t *testing.T) {
	p := startPoller(t)
	var wrong, calls atomic.Int32
	onLoop(t, p, func() {
		const n = 4
		var fds [n]int
		var handles [n]Handle
		var once sync.Once
		for i := range n {
			r, w := pipe(t)
			write1(t, w)
			fds[i] = r
			handles[i], _ = p.Add(r, Readable, handlerFunc(func(time.Time, Events) {
				calls.Add(1)
				once.Do(func() {
					for j := range n {
						p.Remove(handles[j])
					}
					for range n { // the same slots, descriptors with nothing to read
						q, _ := pipe(t)
						if _, err := p.Add(q, Readable, handlerFunc(func(time.Time, Events) { wrong.Add(1) })); err != nil {
							t.Error(err)
						}
					}
				})
			}))
		}
	})
	onLoop(t, p, func() {})
	onLoop(t, p, func() {})
	if calls.Load() != 1 || wrong.Load() != 0 {
		t.Errorf("%d calls of the old handlers, %d of the new", calls.Load(), wrong.Load())
	}
}

type timer struct {
	mu    sync.Mutex
	at    time.Time
	ticks []time.Duration
	fired chan struct{}
}

func (s *timer) Deadline() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *timer) Tick(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ticks = append(s.ticks, now.Sub(s.at))
	s.at = time.Time{}
	close(s.fired)
}

func TestPollerDeadline(t *testing.T) {
	p := startPoller(t)
	s := &timer{at: time.Now().Add(20 * time.Millisecond), fired: make(chan struct{})}
	p.AddTimed(s)
	within(t, s.fired)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ticks) != 1 || s.ticks[0] < 0 {
		t.Errorf("ticks %v after the deadline", s.ticks)
	}
}

func TestPollerTimeoutRoundsUp(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	now := time.Now()
	s := &timer{}
	p.AddTimed(s)
	for _, c := range []struct {
		in   time.Duration
		want int
	}{{-time.Second, 0}, {0, 0}, {1, 1}, {time.Millisecond, 1}, {1500 * time.Microsecond, 2}, {time.Hour, 60000}} {
		s.at = now.Add(c.in)
		if got := p.timeout(now); got != c.want {
			t.Errorf("deadline in %v: waits %d ms, want %d", c.in, got, c.want)
		}
	}
	s.at = time.Time{}
	if got := p.timeout(now); got != 60000 {
		t.Errorf("no deadline: waits %d ms", got)
	}
}

// Many goroutines post at once: nothing is lost, each one's order is kept, and
// no wake-up is missed.
func TestPollerPost(t *testing.T) {
	p := startPoller(t)
	const posters, each = 8, 2000
	var wg sync.WaitGroup
	last := make([]int, posters)
	total := 0
	done := make(chan struct{})
	for i := range posters {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range each {
				p.Post(func(time.Time) {
					if last[i] != j {
						t.Errorf("poster %d: got %d, want %d", i, j, last[i])
					}
					last[i]++
					if total++; total == posters*each {
						close(done)
					}
				})
			}
		}()
	}
	wg.Wait()
	within(t, done)
	// After all that, a single post still wakes the loop.
	onLoop(t, p, func() {})
}

func TestPollerClosed(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if err := p.Run(); err != nil {
		t.Errorf("stopped before it ran: %v", err)
	}
	p.Close()
	if p.Post(func(time.Time) { t.Error("called") }) {
		t.Error("Post to a closed poller says yes")
	}
	p.Wake()
	p.Remove(Handle{1, 1})
	if _, err := p.Add(0, Readable, nil); err == nil {
		t.Error("Add to a closed poller")
	}
}

func TestPollerAddOfBadDescriptor(t *testing.T) {
	p := startPoller(t)
	if _, err := p.Add(1<<20, Readable, handlerFunc(func(time.Time, Events) {})); err == nil {
		t.Error("no error")
	}
	if p.Watched() != 0 {
		t.Error("the slot was not given back")
	}
}

func TestEventsString(t *testing.T) {
	for ev, want := range map[Events]string{
		Readable | HangUp: "readable|hang-up", Writable: "writable", Failure: "failure", 0: "events(0x0)",
	} {
		if got := ev.String(); got != want {
			t.Errorf("%#x: %q, want %q", uint32(ev), got, want)
		}
	}
}
