package coa

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"layeh.com/radius"

	"adit/internal/config"
	"adit/internal/sparing"
)

// ErrNoListener says that the configuration has no address to listen at.
var ErrNoListener = errors.New("coa: no dynamic_auth address is configured")

// Server answers the requests of one address. It has one goroutine.
type Server struct {
	handler Handler
	log     *logrus.Entry
	conn    *net.UDPConn
	cfg     atomic.Pointer[config.RADIUS]
	done    chan struct{}
	count   counters

	strangers, forged, stale, refused sparing.Lines

	mu      sync.Mutex
	answers answers
	closed  bool
}

// Listen serves requests to cfg.DynamicAuth from cfg.DynamicAuthClients. log is nil
// for none. The error is ErrNoListener, or why the address cannot be had.
func Listen(cfg *config.RADIUS, handler Handler, log *logrus.Entry) (*Server, error) {
	if !cfg.DynamicAuth.IsValid() {
		return nil, ErrNoListener
	}
	if log == nil {
		quiet := logrus.New()
		quiet.SetOutput(discard{})
		log = logrus.NewEntry(quiet)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(cfg.DynamicAuth))
	if err != nil {
		return nil, fmt.Errorf("coa: CoA-Request and Disconnect-Request cannot be listened for: %w", err)
	}
	if err = wantDestination(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("coa: setting up %s: %w", conn.LocalAddr(), err), conn.Close())
	}
	s := &Server{handler: handler, log: log, conn: conn, done: make(chan struct{})}
	s.answers.m = make(map[requestKey]*answer)
	s.cfg.Store(cfg)
	go s.serve()
	return s, nil
}

// discard is where the log goes that nobody wants.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// Addr is the address that is listened at.
func (s *Server) Addr() netip.AddrPort {
	a, _ := s.conn.LocalAddr().(*net.UDPAddr)
	return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
}

// Reload puts other clients, and other names of the NAS, in the place of the old.
// The address that is listened at stays.
func (s *Server) Reload(cfg *config.RADIUS) { s.cfg.Store(cfg) }

// Close ends the server. A Handler may still call its done functions; nobody hears
// of that.
func (s *Server) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	err := s.conn.Close()
	<-s.done
	return err
}

// serve reads requests until the socket is closed.
func (s *Server) serve() {
	defer close(s.done)
	buf, oob := make([]byte, radius.MaxPacketLength), make([]byte, maxControl)
	for {
		n, m, flags, from, err := s.conn.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.count.readErrors.Add(1)
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if flags&truncated != 0 {
			s.count.malformed.Add(1)
			continue
		}
		s.receive(buf[:n], from, destinationOf(oob[:m]), time.Now())
	}
}

// receive takes a datagram.
func (s *Server) receive(b []byte, from netip.AddrPort, at destination, now time.Time) {
	cfg := s.cfg.Load()
	// RFC 5176 section 2.3: "The Dynamic Authorization Server MUST use the source IP
	// address of the RADIUS UDP packet to decide which shared secret to use".
	client := clientOf(cfg, from.Addr())
	log := s.log.WithField("server", from.String())
	if client == nil {
		s.count.unknownClient.Add(1)
		s.strangers.Log(log, logrus.WarnLevel, "a request of RFC 5176 comes from who is not among the dynamic_auth clients: it is dropped; add the address there if it is one of yours")
		return
	}
	p, ok := open(b, client.Secret)
	switch {
	case p == nil:
		s.count.malformed.Add(1)
		return
	case !ok:
		s.count.badAuthenticator.Add(1)
		s.forged.Log(log, logrus.WarnLevel, "a request of RFC 5176 has another secret: it is dropped; make the secrets of both ends the same")
		return
	}
	r := &call{server: s, packet: p, from: from, at: at, log: log}
	r.key = requestKey{from, p.Identifier, p.Authenticator}
	s.requested(r, cfg, now)
}

// requested takes a request of somebody who knows the secret.
func (s *Server) requested(r *call, cfg *config.RADIUS, now time.Time) {
	s.count.requests.Add(1)
	stamp, stamped := timestampOf(r.packet)
	if stamped {
		// RFC 5176 section 6.3: "If the Event-Timestamp Attribute is not current,
		// then the packet MUST be silently discarded."
		if d := now.Sub(stamp); d > timestampWindow || d < -timestampWindow {
			s.count.stale.Add(1)
			s.stale.Log(r.log.WithField("off_by", d.Round(time.Second)), logrus.WarnLevel, "the Event-Timestamp of a request of RFC 5176 is not of now: it is dropped; set the clocks of both ends by NTP")
			return
		}
		r.key.from = netip.AddrPort{}
	}
	s.mu.Lock()
	if old := s.answers.find(r.key, now); old != nil {
		packet := old.packet
		s.mu.Unlock()
		s.count.duplicates.Add(1)
		if packet != nil {
			s.send(packet, r.from, r.at)
		}
		return
	}
	room := s.answers.add(r.key, stamp, now)
	s.mu.Unlock()
	if !room {
		s.count.overload.Add(1)
		r.sendOnce(Result{Cause: ResourcesUnavailable})
		return
	}
	reading := parser{code: r.packet.Code, identifier: cfg.NASIdentifier, addresses: []netip.Addr{cfg.NASAddress.Unmap(), r.at.addr}}
	if cause := reading.parse(r.packet.Attributes); cause != CauseNone {
		r.finish(Result{Cause: cause})
		return
	}
	if r.packet.Code == radius.CodeDisconnectRequest {
		s.handler.Disconnect(reading.r.sel, reading.r.class, r.finish)
		return
	}
	s.handler.Change(reading.r.sel, reading.r.change, r.finish)
}

// send sends an answer. One that is lost is sent again with the next copy of the
// request.
func (s *Server) send(b []byte, to netip.AddrPort, from destination) {
	if _, _, err := s.conn.WriteMsgUDPAddrPort(b, from.control, to); err != nil && !errors.Is(err, net.ErrClosed) {
		s.count.sendErrors.Add(1)
	}
}

// clientOf returns the client whose addresses have this one, the narrowest that
// there is; nil: none.
func clientOf(cfg *config.RADIUS, a netip.Addr) *config.DynamicAuthClient {
	var best *config.DynamicAuthClient
	width := -1
	a = a.WithZone("")
	for _, c := range cfg.DynamicAuthClients {
		for _, p := range c.Addresses {
			if p.Contains(a) && p.Bits() > width {
				best, width = c, p.Bits()
			}
		}
	}
	return best
}
