package engine

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
)

// reader is a goroutine that reads sockets, and the sessions whose reorder
// queues it has to empty in time.
type reader struct {
	poller  *kernel.Poller
	batch   *kernel.RecvBatch
	holding holding
}

func newReader() (*reader, error) {
	p, err := kernel.NewPoller()
	if err != nil {
		return nil, err
	}
	r := &reader{poller: p, batch: kernel.NewRecvBatch(batchSize)}
	p.AddTimed(&r.holding)
	return r, nil
}

const (
	// batchSize is how many datagrams one system call moves at most.
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
	// out is data messages on their way out. It has some 160 KiB, so it is made
	// with the first of them: a tunnel that we dial has a socket of its own, and
	// on the kernel plane nothing passes here. It belongs to the goroutine of
	// the bridges.
	out *kernel.SendBatch
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
			packet, from, to := b.Datagram(i)
			s.dispatch(now, packet, from, to)
		}
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

// sendData is transport.
func (s *socket) sendData(packet []byte, path *Path) {
	if s.out == nil {
		s.out = kernel.NewSendBatch(s.fd, batchSize)
	}
	if s.out.Add(packet, path.Local.Addr(), path.Peer) {
		s.flush()
	}
}

// flush is transport.
func (s *socket) flush() {
	if s.out == nil {
		return
	}
	sent, failed := s.out.Flush()
	s.engine.counters.add(DataSent, uint64(sent))
	s.engine.counters.add(SendFailed, uint64(failed))
}
