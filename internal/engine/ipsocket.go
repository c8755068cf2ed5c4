package engine

import (
	"errors"
	"net/netip"
	"time"

	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// ipSocket is a raw socket for L2TPv3 directly over IP, protocol 115, RFC 3931 section
// 4.1.1. All tunnels and static sessions of its address share it. Nobody needs the data
// messages of the kernel plane in it, of which it gets a copy: as long as it serves no
// session itself, a filter lets only control messages in.
type ipSocket struct {
	sharedSocket
	// sessions are those whose data comes by this socket. Engine.mu.
	sessions int
}

// ListenIP accepts L2TPv3 tunnels directly over IP, protocol 115, at an address of this
// machine or at all of a family. Errors: those of kernel.ListenIP115.
func (e *Engine) ListenIP(addr netip.Addr) error {
	s, err := e.ipSocketFor(kernel.WithNumericZone(addr))
	if err != nil {
		return err
	}
	if s.accepting.Swap(true) {
		s.release() // the first time holds it
	}
	return nil
}

// ListenersIP returns the addresses on which tunnels are accepted directly over IP.
func (e *Engine) ListenersIP() []netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []netip.Addr
	for addr, s := range e.ipSockets {
		if s.accepting.Load() {
			all = append(all, addr)
		}
	}
	return all
}

// ErrEncapsulation says that a tunnel directly over IP is not to be of version 3 alone.
var ErrEncapsulation = errors.New("only L2TPv3 travels directly over IP: set versions = [3], or encapsulation = \"udp\"")

// DialIP begins an L2TPv3 tunnel to peer directly over IP. The zero Addr for local is
// the kernel's choice. The outcome is told as by Dial. RFC 3931 section 4.7.1: "There
// is no deterministic method for automatic fallback from L2TPv3 over IP".
func (e *Engine) DialIP(local, peer netip.Addr, spec *TunnelSpec) error {
	if spec.Tunnel.Version != l2tp.Version3 || spec.Tunnel.Fallback {
		return ErrEncapsulation
	}
	path, err := e.ipPath(local, peer)
	if err != nil {
		return err
	}
	defer path.via.release()
	return e.dialPath(path, spec)
}

// ipPath is the way from local to peer directly over IP, whose socket is held for the
// caller.
func (e *Engine) ipPath(local, peer netip.Addr) (Path, error) {
	if !local.IsValid() {
		local = wildcard(peer)
	}
	local, peer = kernel.WithNumericZone(local), kernel.WithNumericZone(peer)
	s, err := e.ipSocketFor(local)
	if err != nil {
		return Path{}, err
	}
	return Path{via: s, Local: netip.AddrPortFrom(local, 0), Peer: netip.AddrPortFrom(peer, 0)}, nil
}

// ipSocketFor returns the raw socket of an address, made now if there is none, and held
// for the caller. That of the wildcard has every address.
func (e *Engine) ipSocketFor(addr netip.Addr) (*ipSocket, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, have := range []netip.Addr{addr, wildcard(addr)} {
		if s := e.ipSockets[have]; s != nil {
			s.users++
			return s, nil
		}
	}
	if e.closing.Load() {
		return nil, ErrClosed
	}
	s, err := openIPSocket(e, e.reader(), addr)
	if err != nil {
		return nil, err
	}
	e.ipSockets[addr], s.forget = s, func() { delete(e.ipSockets, addr) }
	e.open[&s.sharedSocket] = true
	return s, nil
}

func openIPSocket(e *Engine, r *reader, addr netip.Addr) (*ipSocket, error) {
	fd, err := kernel.ListenIP115(addr)
	if err != nil {
		return nil, err
	}
	if err = kernel.SetControlOnly(fd, true); err != nil {
		closeFD(fd)
		return nil, err
	}
	s := &ipSocket{}
	s.reader, s.fd = r, kernel.NewSocket(fd)
	s.port = &port{engine: e, via: s, local: netip.AddrPortFrom(addr, 0), holding: &r.holding}
	return s, s.open(s)
}

// Ready reads what has come. It is kernel.Handler.
func (s *ipSocket) Ready(now time.Time, _ kernel.Events) {
	b := s.reader.batch
	for range roundsPerWake {
		n, err := s.fd.Receive(b)
		for i := range n {
			packet, from, to := b.Packet(i)
			s.dispatchIP(now, packet, from, to)
		}
		s.reader.holding.burst.Flush()
		if err != nil || n < batchSize {
			return
		}
	}
}

// send is transport.
func (s *ipSocket) send(packet []byte, path *Path) error {
	return s.fd.SendFrom(l2tp.AppendIPControl(nil, packet), path.Local.Addr(), path.Peer)
}

// admitData is ipTransport: a session's data comes by the socket from now on.
func (s *ipSocket) admitData() {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if s.sessions++; s.sessions == 1 {
		s.filter(false)
	}
}

// refuseData is ipTransport: it does no more.
func (s *ipSocket) refuseData() {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if s.sessions--; s.sessions == 0 {
		s.filter(true)
	}
}

func (s *ipSocket) filter(controlOnly bool) {
	err := s.fd.With(func(fd int) error { return kernel.SetControlOnly(fd, controlOnly) })
	if err != nil && !s.engine.closing.Load() {
		s.engine.log.WithError(err).WithField("address", s.local.Addr().String()).
			Error("the filter of the socket for protocol 115 cannot be changed: restart adit if sessions get no data")
	}
}

// dispatchIP looks at a packet of protocol 115 just far enough to know whose it is.
func (p *port) dispatchIP(now time.Time, packet []byte, from, to netip.Addr) {
	e := p.engine
	peer := netip.AddrPortFrom(from, 0)
	id, message, ok := l2tp.PeekIP(packet)
	if !ok {
		e.counters.inc(DropShort)
		return
	}
	if id != 0 {
		p.data3(now, packet, id, peer)
		return
	}
	control, version, connection, _, ok := l2tp.Peek(message)
	switch {
	case !ok:
		e.counters.inc(DropShort)
	case version != l2tp.Version3 || !control:
		e.counters.inc(DropVersion)
	default:
		e.counters.inc(ControlReceived)
		p.control(message, version, connection, Path{via: p.via, Peer: peer, Local: netip.AddrPortFrom(to, 0)})
	}
}
