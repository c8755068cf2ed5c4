package kernel

import (
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// Socket is a descriptor that goroutines send and receive by while another one closes
// it. None of them uses its number any more then, which may be another descriptor's at
// once: a message would leave by a socket of somebody else's.
//
// Each system call takes the lock for reading, which is an atomic addition for many
// messages. Who closes waits for the calls under way, and none of them waits for
// anything.
type Socket struct {
	mu sync.RWMutex
	fd int // -1: closed
}

// NewSocket takes a descriptor over: Close closes it, and nobody else does.
func NewSocket(fd int) *Socket { return &Socket{fd: fd} }

// Close closes the descriptor. When it returns, its number is free, and so is the port.
// Closing twice does nothing.
func (s *Socket) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}

// enter keeps the descriptor open until leave; false: it is closed. Of the nil Socket,
// somebody else sees to that.
func (s *Socket) enter() bool {
	if s == nil {
		return true
	}
	s.mu.RLock()
	if s.fd < 0 {
		s.mu.RUnlock()
		return false
	}
	return true
}

func (s *Socket) leave() {
	if s != nil {
		s.mu.RUnlock()
	}
}

// With calls f with the descriptor, for what has no method here. After Close it returns
// ErrClosed.
func (s *Socket) With(f func(fd int) error) error {
	if !s.enter() {
		return ErrClosed
	}
	defer s.leave()
	return f(s.fd)
}

// Receive is RecvBatch.Receive. After Close the error is ErrClosed.
func (s *Socket) Receive(b *RecvBatch) (int, error) {
	if !s.enter() {
		return 0, ErrClosed
	}
	defer s.leave()
	return b.Receive(s.fd)
}

// SendFrom is the function SendFrom. After Close the error is ErrClosed.
func (s *Socket) SendFrom(packet []byte, local netip.Addr, peer netip.AddrPort) error {
	if !s.enter() {
		return ErrClosed
	}
	defer s.leave()
	return SendFrom(s.fd, packet, local, peer)
}

// Destination is NewDestination. What a SendBatch has for it after Close is lost, and
// counted in Failed.
func (s *Socket) Destination(local netip.Addr, peer netip.AddrPort) *Destination {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := NewDestination(s.fd, local, peer)
	d.socket = s
	return d
}
