package kernel

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

const (
	eventsPerWait = 256
	// maxWait bounds one wait, so that a step of the clock cannot put a
	// deadline out of reach for long.
	maxWait = time.Minute
)

// Run serves the descriptors, the deadlines and what is posted until Stop. The
// error is that of epoll_wait, which has no ordinary cause.
func (p *Poller) Run() error {
	events := make([]unix.EpollEvent, eventsPerWait)
	for {
		if p.isStopped() {
			return nil
		}
		n, err := unix.EpollWait(p.epfd, events, p.timeout(time.Now()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return plainError("wait for descriptors", err)
		}
		now := time.Now()
		for i := range max(n, 0) {
			p.dispatch(now, &events[i])
		}
		p.runPosted(now)
		for _, t := range p.sources() {
			if d := t.Deadline(); !d.IsZero() && !d.After(now) {
				t.Tick(now)
			}
		}
	}
}

func (p *Poller) isStopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped || p.closed
}

// sources is a snapshot: AddTimed replaces the slice, so a Tick may add.
func (p *Poller) sources() []Timed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.timed
}

// timeout is how many milliseconds to wait: rounded up, because to wake a
// fraction early would make the loop spin until the deadline.
func (p *Poller) timeout(now time.Time) int {
	wait := maxWait
	for _, t := range p.sources() {
		if d := t.Deadline(); !d.IsZero() {
			wait = min(wait, max(d.Sub(now), 0))
		}
	}
	return int((wait + time.Millisecond - 1) / time.Millisecond)
}

// dispatch calls the handler of one event, unless the registration is gone: an
// earlier handler of the same wait may have removed it, and a new descriptor
// may live in its slot already.
func (p *Poller) dispatch(now time.Time, e *unix.EpollEvent) {
	h := Handle{uint32(e.Fd), uint32(e.Pad)}
	if h.slot == 0 {
		// The flag is cleared last: a Wake between the two need not write,
		// for this round looks at everything after this. The other way round
		// its write would be eaten with the flag left set, and every later
		// Wake be lost.
		var buf [8]byte
		_, _ = unix.Read(p.wakefd, buf[:])
		p.woken.Store(false)
		return
	}
	p.mu.Lock()
	var handler Handler
	if p.live(h) {
		handler = p.slots[h.slot].h
	}
	p.mu.Unlock()
	if handler != nil {
		p.dispatches.Add(1)
		handler.Ready(now, Events(e.Events))
	}
}

// runPosted calls what was posted up to now; what these post waits for the next
// round, so that descriptors are not starved.
func (p *Poller) runPosted(now time.Time) {
	p.mu.Lock()
	batch := p.posted
	p.posted = p.running[:0]
	p.running = nil
	p.mu.Unlock()
	for i, f := range batch {
		f(now)
		batch[i] = nil
	}
	p.mu.Lock()
	p.running = batch[:0]
	p.mu.Unlock()
}
