package engine

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// reader is a goroutine that reads sockets, and the sessions whose reorder
// queues it has to empty in time.
type reader struct {
	engine *Engine
	poller *kernel.Poller
	batch  *kernel.RecvBatch
	// Sessions that hold frames, by when the first of them must go.
	holding deadlines[*dataSession]
}

func newReader(e *Engine) (*reader, error) {
	p, err := kernel.NewPoller()
	if err != nil {
		return nil, err
	}
	r := &reader{engine: e, poller: p, batch: kernel.NewRecvBatch(batchSize)}
	p.AddTimed(r)
	return r, nil
}

// Deadline is kernel.Timed.
func (r *reader) Deadline() time.Time { return r.holding.next() }

// Tick gives up the gaps that were held for reorder_timeout. It is kernel.Timed.
func (r *reader) Tick(now time.Time) {
	for {
		d, ok := r.holding.due(now)
		if !ok {
			return
		}
		d.sequence.Receiver.Expire(now)
		d.release(now)
		r.holding.set(&d.deadline, d.sequence.Receiver.Deadline())
	}
}

const (
	// batchSize is how many datagrams one system call moves at most.
	batchSize = 64
	// roundsPerWake bounds how long one busy socket keeps the others waiting.
	roundsPerWake = 8
)

// socket is a UDP socket: one that tunnels share, or the connected one of a
// kernel-plane tunnel, from which control messages are only read.
type socket struct {
	engine *Engine
	reader *reader
	fd     int
	local  netip.AddrPort
	handle kernel.Handle
	// shared is the socket whose address and port this one has too: itself, or
	// for a connected socket the one that the tunnel sends by.
	shared    *socket
	accepting atomic.Bool
	out       *kernel.SendBatch // data messages on their way out
}

// openSocket opens a shared socket.
func openSocket(e *Engine, r *reader, addr netip.AddrPort) (*socket, error) {
	fd, err := kernel.ListenUDP(addr, kernel.UDPOptions{})
	if err != nil {
		return nil, err
	}
	s := &socket{engine: e, reader: r, fd: fd, local: kernel.LocalAddr(fd), out: kernel.NewSendBatch(fd, batchSize)}
	s.shared = s
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
	c := &socket{engine: s.engine, reader: s.reader, fd: fd, local: kernel.LocalAddr(fd), shared: s}
	var err error
	c.handle, err = s.reader.poller.Add(fd, kernel.Readable, c)
	return c, err
}

// close closes a connected socket, in its reader so that no read is under way.
func (s *socket) close() {
	closed := s.reader.poller.Post(func(time.Time) {
		s.reader.poller.Remove(s.handle)
		s.free()
	})
	if !closed {
		s.free()
	}
}

func (s *socket) free() { closeFD(s.fd) }

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

// dispatch looks at a packet just far enough to know whose it is.
func (s *socket) dispatch(now time.Time, packet []byte, from netip.AddrPort, to netip.Addr) {
	e := s.engine
	control, version, tunnelID, sessionID, ok := l2tp.Peek(packet)
	switch {
	case !ok:
		e.counters.inc(DropShort)
	case version != l2tp.Version:
		e.counters.inc(DropVersion)
	case !control:
		s.data(now, packet, from, tunnelID, sessionID)
	default:
		e.counters.inc(ControlReceived)
		s.control(packet, tunnelID, Path{
			via: s.shared, Peer: from, Local: netip.AddrPortFrom(to, s.local.Port()),
		})
	}
}

// data hands a data message to its session.
func (s *socket) data(now time.Time, packet []byte, from netip.AddrPort, tunnelID, sessionID uint16) {
	e := s.engine
	e.counters.inc(DataReceived)
	slot := e.table.tunnel(tunnelID)
	if slot == nil {
		e.counters.inc(DropUnknownTunnel)
		return
	}
	if path := slot.path.Load(); path.Peer != from || path.via != transport(s.shared) {
		e.counters.inc(DropWrongPeer)
		return
	}
	d := slot.session(sessionID)
	if d == nil {
		e.counters.inc(DropUnknownSession)
		return
	}
	h, frame, err := l2tp.ParseHeader(packet)
	if err != nil {
		e.counters.inc(DropShort)
		return
	}
	d.receive(now, &h, frame)
	if at := d.sequence.Receiver.Deadline(); !at.IsZero() || d.deadline.index != 0 {
		s.reader.holding.set(&d.deadline, at)
	}
}

// control hands a copy of a control message to the shard that owns its tunnel.
func (s *socket) control(packet []byte, tunnelID uint16, path Path) {
	e := s.engine
	var inbox chan inbound
	if tunnelID != 0 {
		slot := e.table.tunnel(tunnelID)
		if slot == nil {
			e.counters.inc(DropUnknownTunnel)
			return
		}
		inbox = slot.owner.inbox
	} else {
		if !s.shared.accepting.Load() {
			e.counters.inc(DropNotSCCRQ)
			return
		}
		inbox = e.newcomerShard(packet, path.Peer).newcomers
	}
	select {
	case inbox <- inbound{packet: append([]byte(nil), packet...), path: path}:
	default:
		e.counters.inc(DropInboxFull)
	}
}

// newcomerShard chooses the shard of a packet with Tunnel ID 0 by the peer and
// its Assigned Tunnel ID, so that a retransmission meets its first copy.
func (e *Engine) newcomerShard(packet []byte, peer netip.AddrPort) *shard {
	_, payload, err := l2tp.ParseHeader(packet)
	if err != nil {
		return e.shards[0]
	}
	return e.shards[maphash.Comparable(hashSeed, originOf(peer, payload))&uint64(len(e.shards)-1)]
}

// send is transport.
func (s *socket) send(packet []byte, path *Path) error {
	return kernel.SendFrom(s.fd, packet, path.Local.Addr(), path.Peer)
}

// sendData is transport.
func (s *socket) sendData(packet []byte, path *Path) {
	if s.out.Add(packet, path.Local.Addr(), path.Peer) {
		s.flush()
	}
}

// flush is transport.
func (s *socket) flush() {
	sent, failed := s.out.Flush()
	s.engine.counters.add(DataSent, uint64(sent))
	s.engine.counters.add(SendFailed, uint64(failed))
}
