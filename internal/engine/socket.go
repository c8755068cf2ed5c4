package engine

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
)

// reader is a goroutine that reads sockets, and the sessions whose reorder
// queues it has to empty in time.
type reader struct {
	poller  *kernel.Poller
	batch   *kernel.RecvBatch
	holding holding
}

func newReader(counts *kernel.SendCounts) (*reader, error) {
	p, err := kernel.NewPoller()
	if err != nil {
		return nil, err
	}
	r := &reader{poller: p, batch: kernel.NewRecvBatch(batchSize)}
	r.holding.burst = circuit.NewBurst(counts)
	p.AddTimed(&r.holding)
	return r, nil
}

const (
	// batchSize is how many messages one system call takes at most, each one
	// datagram or several that the kernel has merged.
	batchSize = 64
	// roundsPerWake bounds how long one busy socket keeps the others waiting.
	roundsPerWake = 8
)

// socket is a UDP socket: one that tunnels share, or the connected one of a
// kernel-plane tunnel, from which control messages are only read. It has the
// port of the shared one then.
type socket struct {
	sharedSocket
	// zero are the static sessions that take messages without a checksum. Engine.mu.
	zero int
}

// openSocket opens a shared socket, for its first user.
func openSocket(e *Engine, r *reader, addr netip.AddrPort) (*socket, error) {
	fd, err := kernel.ListenUDP(addr)
	if err != nil {
		return nil, err
	}
	s := &socket{}
	s.reader, s.fd = r, kernel.NewSocket(fd)
	s.port = &port{engine: e, via: s, local: kernel.LocalAddr(fd), holding: &r.holding}
	return s, s.open(s)
}

// connected makes a socket of the descriptor of a kernel-plane tunnel, which alone uses
// it; on an error the descriptor is closed. It is read by the same reader as s, because the
// packets of one tunnel may come by both.
func (s *socket) connected(fd int) (*socket, error) {
	c := &socket{}
	c.port, c.reader, c.fd = s.port, s.reader, kernel.NewSocket(fd)
	if err := c.open(c); err != nil {
		return nil, err
	}
	s.engine.keep(&c.sharedSocket)
	return c, nil
}

func closeFD(fd int) { _ = unix.Close(fd) }

// Ready reads what has come. It is kernel.Handler.
func (s *socket) Ready(now time.Time, _ kernel.Events) {
	b := s.reader.batch
	for range roundsPerWake {
		n, err := s.fd.Receive(b)
		for i := range n {
			merged, size, from, to := b.Datagram(i)
			s.dispatchMerged(now, merged, size, from, to)
		}
		s.reader.holding.burst.Flush()
		// An error is one that ICMP brought (the peer's port is closed, say):
		// the control channel finds out by itself whether the peer is alive.
		if err != nil || n < batchSize {
			return
		}
	}
}

// send is transport.
func (s *socket) send(packet []byte, path *Path) error {
	return s.fd.SendFrom(packet, path.Local.Addr(), path.Peer)
}

// takeZero has the socket take messages without a checksum over IPv6, for one session
// more; refuseZero for one less.
func (s *socket) takeZero() error {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if s.zero == 0 {
		if err := s.setZero(true); err != nil {
			return err
		}
	}
	s.zero++
	return nil
}

func (s *socket) refuseZero() {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if s.zero--; s.zero == 0 {
		// It was done the other way round, and what may be dropped is no more.
		_ = s.setZero(false)
	}
}

func (s *socket) setZero(take bool) error {
	return s.fd.With(func(fd int) error { return kernel.TakeZeroChecksums(fd, take) })
}
