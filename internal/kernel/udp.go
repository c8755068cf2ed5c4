package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// socketBuffer is the size asked for of the receive and the send buffer, in
// octets. Without CAP_NET_ADMIN the kernel caps them at net.core.rmem_max and
// wmem_max, silently.
const socketBuffer = 4 << 20

// ListenUDP opens the UDP socket of a listener and returns its descriptor:
// non-blocking, close-on-exec, with packet information (the local address a
// datagram was sent to), large buffers; IPv6 sockets take no IPv4. The caller
// closes it. Port 0 takes a free port, see LocalAddr.
//
// Where the kernel can (Linux 5.0), it merges what it receives, see GRO and
// RecvBatch.Datagram.
//
// The error is an *Error: ErrPortInUse, ErrNoAddress and ErrPermission are told
// apart.
func ListenUDP(addr netip.AddrPort) (int, error) {
	op := fmt.Sprintf("listen on UDP %v", addr)
	fd, err := udpSocket(op, addr)
	if err != nil {
		return -1, err
	}
	// Bound without SO_REUSEADDR, another daemon on the port is noticed: with
	// it, both would bind and each would get some of the packets. Set after
	// that, it lets our own tunnels' sockets bind the same address and port.
	if err := unix.Bind(fd, sockaddr(addr)); err != nil {
		_ = unix.Close(fd)
		return -1, bindError(op, addr, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		_ = unix.Close(fd)
		return -1, plainError(op, err)
	}
	// An older kernel refuses, and each datagram comes by itself.
	_ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
	return fd, nil
}

// GRO reports whether the kernel merges the datagrams that the socket receives
// (UDP_GRO).
func GRO(fd int) bool {
	on, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO)
	return err == nil && on != 0
}

// ConnectedUDP opens a socket of one tunnel: bound to the local address and
// port (which a socket of ListenUDP may hold too) and connected to the peer, so
// that the kernel gives it the datagrams of that peer. Like ListenUDP's, it is
// non-blocking and close-on-exec, and it merges nothing: the kernel's L2TP driver
// takes the data messages before. Local may be the unspecified address, and its
// port may be 0.
//
// Datagrams that arrive between bind and connect may land here or at the
// listener; those that the listener's queue holds already stay there. Both have
// to be served. Datagrams of strangers that landed here in that moment are
// possible too, so the sender of the first ones has to be looked at.
func ConnectedUDP(local, peer netip.AddrPort) (int, error) {
	return connectedUDP(local, peer, true)
}

// connectedUDP is ConnectedUDP; not shared, the local address and port are nobody else's.
func connectedUDP(local, peer netip.AddrPort, shared bool) (int, error) {
	op := fmt.Sprintf("open a UDP socket from %v to %v", local, peer)
	if local.Addr().Unmap().Is4() != peer.Addr().Unmap().Is4() {
		return -1, &Error{Op: op, Kind: ErrNoAddress, Err: unix.EAFNOSUPPORT, Advice: "both addresses have to be of one family"}
	}
	fd, err := udpSocket(op, local)
	if err != nil {
		return -1, err
	}
	if shared {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			_ = unix.Close(fd)
			return -1, plainError(op, err)
		}
	}
	if err := unix.Bind(fd, sockaddr(local)); err != nil {
		_ = unix.Close(fd)
		return -1, bindError(op, local, err)
	}
	if err := unix.Connect(fd, sockaddr(peer)); err != nil {
		_ = unix.Close(fd)
		return -1, plainError(op, err)
	}
	return fd, nil
}

func udpSocket(op string, addr netip.AddrPort) (int, error) {
	family := unix.AF_INET6
	if addr.Addr().Unmap().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
	if err != nil {
		if errors.Is(err, unix.EAFNOSUPPORT) {
			return -1, &Error{Op: op, Kind: ErrNotSupported, Err: err, Advice: "this kernel has no IPv6; remove the address from the configuration"}
		}
		return -1, plainError(op, err)
	}
	if family == unix.AF_INET6 {
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, plainError(op, err)
	}
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	return fd, nil
}

// setBuffer asks for a buffer size, past the system's limit if we may. A
// smaller buffer is no reason to fail.
func setBuffer(fd, force, plain int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, socketBuffer)
	}
}

func bindError(op string, addr netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return &Error{Op: op, Kind: ErrPortInUse, Err: err,
			Advice: fmt.Sprintf("another program holds UDP port %d; `ss -lunp sport = :%d` shows it", addr.Port(), addr.Port())}
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return &Error{Op: op, Kind: ErrNoAddress, Err: err,
			Advice: fmt.Sprintf("this machine has no address %v (`ip address` lists them)", addr.Addr())}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return &Error{Op: op, Kind: ErrPermission, Err: err,
			Advice: "ports below 1024 need root or CAP_NET_BIND_SERVICE"}
	}
	return plainError(op, err)
}
