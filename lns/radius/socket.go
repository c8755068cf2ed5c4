package radius

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"layeh.com/radius"

	"adit/internal/config"
)

// identifiers is how many requests one source port has, RFC 2865 section 3.
const identifiers = 256

// maxSockets bounds the source ports for one port of a server.
const maxSockets = 256

// maxReadErrors is after how many errors in a row, that do not tell of the
// server, a socket is thought to be of no use.
const maxReadErrors = 16

// dialUDP is how servers are reached outside of tests.
func dialUDP(server *config.RADIUSServer, remote netip.AddrPort) (net.Conn, error) {
	var local *net.UDPAddr
	if server.Source.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(server.Source, 0))
	}
	return net.DialUDP("udp", local, net.UDPAddrFromAddrPort(remote))
}

// socket is one source port towards one port of a server. The loop owns it, but
// for slots, which its reader looks into.
type socket struct {
	peer  *peer
	conn  net.Conn
	slots [identifiers]atomic.Pointer[sent]
	// left has the authenticators of requests that were given up. An answer that
	// comes too late is no sign of a wrong secret or of a forger.
	left [identifiers]atomic.Pointer[[authenticatorLen]byte]
	// free has the identifiers that are not in use, that longest out of use first:
	// the server knows duplicates by them.
	free  [identifiers]byte
	first int // of free
	count int // of free
	lost  bool
}

func newSocket(p *peer, conn net.Conn) *socket {
	s := &socket{peer: p, conn: conn, count: identifiers}
	start := newAuthenticator()[0]
	for i := range s.free {
		s.free[i] = start + byte(i)
	}
	return s
}

// take returns an identifier; count is not 0.
func (s *socket) take() byte {
	identifier := s.free[s.first]
	s.first = (s.first + 1) % identifiers
	s.count--
	return identifier
}

func (s *socket) giveBack(identifier byte) {
	if given := s.slots[identifier].Swap(nil); given != nil {
		authenticator := given.authenticator
		s.left[identifier].Store(&authenticator)
	}
	s.free[(s.first+s.count)%identifiers] = identifier
	s.count++
}

// event is what a reader tells the loop.
type event struct {
	socket *socket
	sent   *sent          // what packet answers; nil: no answer, but
	packet *radius.Packet // an ICMP error, or the end of the socket
	lost   bool
}

// read takes answers until the socket is closed. What is no proven answer to a
// request under way goes no further than its counter.
func (s *socket) read(t *transport) {
	defer t.readers.Done()
	buf := make([]byte, radius.MaxPacketLength)
	errorsInRow := 0
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			e := event{socket: s}
			if !unreachable(err) {
				errorsInRow++
				e.lost = errorsInRow == maxReadErrors
			}
			if !t.tell(e) || e.lost {
				return
			}
			continue
		}
		errorsInRow = 0
		sent, packet := s.answer(buf[:n], t)
		if packet != nil && !t.tell(event{socket: s, sent: sent, packet: packet}) {
			return
		}
	}
}

// answer returns a proven answer, and what it answers.
func (s *socket) answer(datagram []byte, t *transport) (*sent, *radius.Packet) {
	count := &s.peer.count
	wire, err := cut(datagram)
	if err != nil {
		count.malformed.Add(1)
		return nil, nil
	}
	slot := &s.slots[wire[1]]
	sent := slot.Load()
	if sent == nil || s.late(wire) {
		count.unexpected.Add(1)
		return nil, nil
	}
	packet, err := open(wire, sent, s.peer.id.kind, []byte(s.peer.id.secret), sent.requireSigned)
	switch {
	case err == nil && slot.CompareAndSwap(sent, nil):
		return sent, packet
	case err == nil:
		count.unexpected.Add(1)
	case errors.Is(err, errAuthenticator):
		count.badAuthenticators.Add(1)
		t.warn(s.peer, "an answer of a RADIUS server was dropped because its authenticator is wrong: check that the secret is the server's own")
	case errors.Is(err, errUnsigned):
		count.unsigned.Add(1)
		t.warn(s.peer, "an answer of a RADIUS server was dropped because it has no Message-Authenticator: have the server send it, or set require_message_authenticator = false")
	default:
		count.malformed.Add(1)
	}
	return nil, nil
}

// late says whether an answer is one to the request that had its identifier
// before. wire stays as it is.
func (s *socket) late(wire []byte) bool {
	before := s.left[wire[1]].Load()
	if before == nil {
		return false
	}
	response := [authenticatorLen]byte(wire[authenticatorAt:headerLen])
	ok := proven(wire, *before, []byte(s.peer.id.secret))
	copy(wire[authenticatorAt:], response[:])
	return ok
}

// unreachable says whether an error of a socket tells that the server cannot be
// reached just now, by ICMP or by our own routes.
func unreachable(err error) bool {
	for _, e := range []error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
