package pppbridge

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
)

// syncGap is the least time between two writes to a synchronous terminal; 4,000
// frames a second for each session.
const syncGap = 250 * time.Microsecond

// retryGap is how often a full terminal is tried again. Being told that there is
// room is not enough: Linux wakes writers after a reader has taken a piece, but
// before the piece's memory is free, so that who looks then sees a full
// terminal still, and is not told again.
const retryGap = 5 * time.Millisecond

// pacer calls bridges back after a gap: finer than the poller's milliseconds,
// and with one timer for all of them.
type pacer struct {
	gap    time.Duration
	call   func(*ptyBridge) // in the poller's goroutine, under the bridge's mu
	fd     int
	handle kernel.Handle
	poller *kernel.Poller

	mu      sync.Mutex
	waiting []*ptyBridge
	spare   []*ptyBridge
}

// newPacer makes the timer. It lives as long as the poller.
func newPacer(p *kernel.Poller, gap time.Duration, call func(*ptyBridge)) (*pacer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	c := &pacer{fd: fd, poller: p, gap: gap, call: call}
	if c.handle, err = p.Add(fd, kernel.Readable, c); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return c, nil
}

func (c *pacer) close() {
	c.poller.Remove(c.handle)
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = unix.Close(c.fd)
	c.fd = -1
}

// add has b called after the gap. The caller holds b.mu and sees to it that no
// bridge is added twice.
func (c *pacer) add(b *ptyBridge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, b)
	if len(c.waiting) == 1 && c.fd >= 0 {
		t := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(c.gap))}
		_ = unix.TimerfdSettime(c.fd, 0, &t, nil)
	}
}

// Ready is the timer.
func (c *pacer) Ready(time.Time, kernel.Events) {
	var ticks [8]byte
	_, _ = unix.Read(c.fd, ticks[:])
	c.mu.Lock()
	due := c.waiting
	c.waiting = c.spare[:0]
	c.mu.Unlock()
	for i, b := range due {
		b.mu.Lock()
		c.call(b)
		b.mu.Unlock()
		due[i] = nil
	}
	c.mu.Lock()
	c.spare = due[:0]
	c.mu.Unlock()
}
