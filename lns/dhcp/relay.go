package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Why a socket cannot be opened.
var (
	// ErrPortTaken: another program has the relay's address and port.
	ErrPortTaken = errors.New("dhcp: another program has UDP port 67 of the relay address: stop that DHCP server or relay, or give adit an address of its own")
	// ErrNotOurs: the relay's address is on no interface.
	ErrNotOurs = errors.New("dhcp: the relay address is on no interface of this machine: add it to one (ip addr add ADDRESS/32 dev lo), or correct relay")
	// ErrForbidden: the process lacks the right.
	ErrForbidden = errors.New("dhcp: adit may not open the socket: run it as root, or with the capabilities CAP_NET_BIND_SERVICE (relay) and CAP_NET_RAW (client)")
	// ErrNoInterface: there is no such interface.
	ErrNoInterface = errors.New("dhcp: there is no such interface: create it before adit starts, or correct interface")
)

// receiveBuffer is for the answers to a burst of logins, in octets.
const receiveBuffer = 2 << 20

// relayLink is the socket of a relay agent: both ports are 67. RFC 2131 section
// 4.1: "If the 'giaddr' field in a DHCP message from a client is non-zero, the
// server sends any return messages to the 'DHCP server' port on the BOOTP relay
// agent whose address appears in 'giaddr'."
type relayLink struct{ conn *net.UDPConn }

// openRelay binds a relay's address. A DHCP server on the same machine may have
// the port on all addresses (with SO_REUSEADDR, as dnsmasq has): answers to the
// relay's address still come to the socket that is bound to it. So the port is
// shared; but of two that are bound to the very same address only the later one
// would get anything.
func openRelay(relay netip.Addr) (link, error) {
	local := netip.AddrPortFrom(relay, serverPort)
	if boundTo(local) {
		return nil, fmt.Errorf("%w (%s)", ErrPortTaken, local)
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		}); e != nil {
			return e
		}
		return err
	}}
	conn, err := lc.ListenPacket(context.Background(), "udp4", local.String())
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("%w (%s): %w", ErrPortTaken, local, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w (%s): %w", ErrNotOurs, relay, err)
	case errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("%w: %w", ErrForbidden, err)
	case err != nil:
		return nil, fmt.Errorf("dhcp: the socket of relay address %s: %w", relay, err)
	}
	l := &relayLink{conn: conn.(*net.UDPConn)}
	_ = l.conn.SetReadBuffer(receiveBuffer) // a smaller one serves too
	return l, nil
}

// boundTo says whether a UDP socket of the network namespace is bound to the very
// address and port.
func boundTo(local netip.AddrPort) bool {
	// Not of the process, whose first thread may be in another namespace.
	table, err := os.ReadFile("/proc/thread-self/net/udp")
	if err != nil {
		return false // then the kernel alone is to judge
	}
	want := procAddress(local)
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == want {
			return true
		}
	}
	return false
}

// procAddress is an address and port as the kernel prints them: the address as a
// number of the machine's octet order, both in hexadecimal.
func procAddress(a netip.AddrPort) string {
	b := a.Addr().As4()
	text := strconv.FormatUint(uint64(nativeUint32(b)), 16)
	return strings.ToUpper(strings.Repeat("0", 8-len(text))+text) + fmt.Sprintf(":%04X", a.Port())
}

// Read is of a link.
func (l *relayLink) Read(b []byte) (int, sender, error) {
	n, from, err := l.conn.ReadFromUDPAddrPort(b)
	return n, sender{addr: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}, err
}

// Send is of a link.
func (l *relayLink) Send(b []byte, to destination) error {
	_, err := l.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(to.server, serverPort))
	return err
}

// Close is of a link.
func (l *relayLink) Close() error { return l.conn.Close() }
