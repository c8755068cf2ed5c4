package kernel

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Events is what a descriptor is ready for, or is watched for.
type Events uint32

// The events. HangUp and Failure are always reported, watched for or not.
const (
	Readable Events = unix.EPOLLIN
	Writable Events = unix.EPOLLOUT
	HangUp   Events = unix.EPOLLHUP
	Failure  Events = unix.EPOLLERR
)

// String lists the events by name.
func (e Events) String() string {
	s := ""
	for _, n := range [...]struct {
		bit  Events
		name string
	}{{Readable, "readable"}, {Writable, "writable"}, {HangUp, "hang-up"}, {Failure, "failure"}} {
		if e&n.bit != 0 {
			if s != "" {
				s += "|"
			}
			s += n.name
		}
	}
	if s == "" {
		return fmt.Sprintf("events(%#x)", uint32(e))
	}
	return s
}

// Handler is told that its descriptor is ready. It is called in the goroutine
// of Run, must not block, and may add and remove any descriptor.
type Handler interface {
	Ready(now time.Time, ev Events)
}

// Timed is something with a next deadline, served by a Poller's loop. Deadline
// is asked before each wait (zero: none), Tick is called when it has passed.
// Both are called in the goroutine of Run.
type Timed interface {
	Deadline() time.Time
	Tick(now time.Time)
}

// Handle names one registration of a descriptor. A stale Handle (already
// removed) is harmless. The zero Handle is never given out.
type Handle struct {
	slot uint32
	gen  uint32
}

// ErrStaleHandle is returned by Modify for a registration that is gone.
var ErrStaleHandle = errors.New("descriptor is not registered any more")

// Poller waits for many descriptors in one goroutine: UDP sockets, PTY masters,
// log pipes and pidfds, so that no session costs a goroutine. Add, Modify,
// Remove, Wake, Post and Stop may be called from any goroutine; Handlers, Timed
// and posted functions run in the goroutine of Run.
type Poller struct {
	epfd, wakefd int
	woken        atomic.Bool // a wake-up is on its way

	mu      sync.Mutex
	slots   []slot // index 0 is the wake-up descriptor
	free    []uint32
	posted  []func(now time.Time)
	running []func(now time.Time) // spare, swapped with posted
	timed   []Timed
	stopped bool
	closed  bool

	dispatches atomic.Uint64
}

type slot struct {
	h   Handler
	fd  int
	gen uint32
}

// NewPoller makes a poller. The errors are those of epoll_create1 and eventfd.
func NewPoller() (*Poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, plainError("create an epoll descriptor", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd)
		return nil, plainError("create an eventfd", err)
	}
	p := &Poller{epfd: epfd, wakefd: wakefd, slots: []slot{{fd: wakefd, gen: 1}}}
	if err := p.ctl(unix.EPOLL_CTL_ADD, wakefd, Readable, Handle{0, 1}); err != nil {
		_ = unix.Close(epfd)
		_ = unix.Close(wakefd)
		return nil, plainError("watch the wake-up descriptor", err)
	}
	return p, nil
}

// ctl registers a descriptor; epoll's 64 bits of user data carry slot and
// generation, so an event that was collected before a removal is told apart.
func (p *Poller) ctl(op, fd int, ev Events, h Handle) error {
	e := unix.EpollEvent{Events: uint32(ev), Fd: int32(h.slot), Pad: int32(h.gen)}
	return unix.EpollCtl(p.epfd, op, fd, &e)
}

// Add watches fd for ev (level-triggered). The descriptor stays the caller's:
// it has to Remove it before it closes it.
func (p *Poller) Add(fd int, ev Events, h Handler) (Handle, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return Handle{}, ErrStaleHandle
	}
	var i uint32
	if n := len(p.free); n > 0 {
		i = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		i = uint32(len(p.slots))
		p.slots = append(p.slots, slot{})
	}
	s := &p.slots[i]
	s.gen++
	s.h, s.fd = h, fd
	handle := Handle{i, s.gen}
	if err := p.ctl(unix.EPOLL_CTL_ADD, fd, ev, handle); err != nil {
		p.release(i)
		return Handle{}, plainError("watch a descriptor", err)
	}
	return handle, nil
}

// Modify changes what the descriptor is watched for.
func (p *Poller) Modify(h Handle, ev Events) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.live(h) {
		return ErrStaleHandle
	}
	if err := p.ctl(unix.EPOLL_CTL_MOD, p.slots[h.slot].fd, ev, h); err != nil {
		return plainError("change what a descriptor is watched for", err)
	}
	return nil
}

// Remove ends a registration. After it returns in the goroutine of Run, the
// handler is not called again, not even for an event of the same wait. Removing
// twice, or the zero Handle, does nothing.
func (p *Poller) Remove(h Handle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.live(h) {
		return
	}
	// An error means that the descriptor was closed before: gone is gone.
	_ = p.ctl(unix.EPOLL_CTL_DEL, p.slots[h.slot].fd, 0, h)
	p.release(h.slot)
}

func (p *Poller) live(h Handle) bool {
	return h.slot != 0 && int(h.slot) < len(p.slots) && !p.closed &&
		p.slots[h.slot].gen == h.gen && p.slots[h.slot].h != nil
}

func (p *Poller) release(i uint32) {
	s := &p.slots[i]
	s.gen++
	s.h, s.fd = nil, -1
	p.free = append(p.free, i)
}

// Watched is the number of descriptors registered, for tests of leaks.
func (p *Poller) Watched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.slots) - 1 - len(p.free)
}

// AddTimed makes t part of the loop's deadlines. There are few of these (the
// shard's own heap, the pppd supervisor); each keeps its own order inside.
func (p *Poller) AddTimed(t Timed) {
	p.mu.Lock()
	p.timed = append(p.timed[:len(p.timed):len(p.timed)], t)
	p.mu.Unlock()
	p.Wake()
}

// Post has f called in the goroutine of Run, soon and in the order of posting.
// It never blocks. What is posted after the poller has ended is not called, and
// Post says so by false. The caller bounds how much it posts.
func (p *Poller) Post(f func(now time.Time)) bool {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	p.posted = append(p.posted, f)
	p.mu.Unlock()
	p.Wake()
	return true
}

// Wake makes Run go round once, to look at the deadlines again.
func (p *Poller) Wake() {
	if p.woken.Swap(true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		one := [8]byte{1: 0, 0: 1}
		_, _ = unix.Write(p.wakefd, one[:])
	}
}

// Stop makes Run return after what it is doing.
func (p *Poller) Stop() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.Wake()
}

// Close frees the poller's own descriptors, not those registered. Call it after
// Run has returned, or if Run is never called.
func (p *Poller) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.slots, p.free, p.posted, p.timed = p.slots[:1], nil, nil, nil
	_ = unix.Close(p.epfd)
	_ = unix.Close(p.wakefd)
}
