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
	*port
	reader *reader
	fd     int
	handle kernel.Handle
}

// openSocket opens a shared socket.
func openSocket(e *Engine, r *reader, addr netip.AddrPort) (*socket, error) {
	fd, err := kernel.ListenUDP(addr)
	if err != nil {
		return nil, err
	}
	s := &socket{reader: r, fd: fd}
	s.port = &port{engine: e, via: s, local: kernel.LocalAddr(fd), holding: &r.holding}
	if s.handle, err = r.poller.Add(fd, kernel.Readable, s); err != nil {
		closeFD(fd)
		return nil, err
	}
	return s, nil
}

// connected makes a socket of the descriptor of a kernel-plane tunnel. It is
// read by the same reader as s, because the packets of one tunnel may come by
// both.
func (s *socket) connected(fd int) (*socket, error) {
	c := &socket{port: s.port, reader: s.reader, fd: fd}
	var err error
	if c.handle, err = s.reader.poller.Add(fd, kernel.Readable, c); err != nil {
		return nil, err
	}
	s.engine.keep(c)
	return c, nil
}

// close closes a connected socket, in its reader so that no read is under way.
// What the reader does not come to any more is left to Engine.Close.
func (s *socket) close() {
	s.reader.poller.Post(func(time.Time) {
		s.reader.poller.Remove(s.handle)
		s.engine.free(s)
	})
}

func closeFD(fd int) { _ = unix.Close(fd) }

// Ready reads what has come. It is kernel.Handler.
func (s *socket) Ready(now time.Time, _ kernel.Events) {
	b := s.reader.batch
	for range roundsPerWake {
		n, err := b.Receive(s.fd)
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
	return kernel.SendFrom(s.fd, packet, path.Local.Addr(), path.Peer)
}

// room is transport.
func (s *socket) room(b *circuit.Burst, path *Path, n int) []byte {
	return b.Out.Room(path.destination, n)
}

// prepare is transport.
func (s *socket) prepare(path *Path) {
	path.destination = kernel.NewDestination(s.fd, path.Local.Addr(), path.Peer)
}
