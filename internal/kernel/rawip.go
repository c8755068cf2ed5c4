package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ListenIP115 opens a raw socket for IP protocol 115, L2TPv3 over IP (RFC 3931
// section 4.1.1), and returns its descriptor: non-blocking, close-on-exec, with
// packet information and large buffers, for IPv4 or IPv6 as addr is. addr may be the
// unspecified address. The caller closes it.
//
// RecvBatch.Packet returns what it receives. SendFrom and SendBatch (NewDestination)
// send by it, to a peer with port 0. The kernel merges and cuts nothing there.
//
// Every raw socket of the address gets a copy of each packet: nothing tells that
// another program has one, and what the kernel's tunnels take comes here as well. See
// SetControlOnly.
//
// The error is an *Error: ErrNoAddress, ErrNotSupported and ErrPermission are told
// apart.
func ListenIP115(addr netip.Addr) (int, error) {
	addr = addr.Unmap()
	op := fmt.Sprintf("listen on IP protocol 115 at %v", addr)
	family := unix.AF_INET6
	if addr.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_L2TP)
	if err != nil {
		return -1, rawError(op, addr, err)
	}
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr, 0)))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, rawError(op, addr, err)
	}
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	return fd, nil
}

func rawError(op string, addr netip.Addr, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &Error{Op: op, Kind: ErrPermission, Err: err, Advice: "L2TP over IP needs root or the capability CAP_NET_RAW"}
	case errors.Is(err, unix.EAFNOSUPPORT):
		return &Error{Op: op, Kind: ErrNotSupported, Err: err, Advice: "this kernel has no IPv6; remove the address from the configuration"}
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENODEV):
		return &Error{Op: op, Kind: ErrNoAddress, Err: err,
			Advice: fmt.Sprintf("this machine has no address %v (`ip address` lists them)", addr)}
	}
	return plainError(op, err)
}

// Packet is Datagram for a socket of ListenIP115: payload is what follows the IP
// header, and begins with the Session ID. It is nil for a packet that is not whole.
func (b *RecvBatch) Packet(i int) (payload []byte, from, to netip.Addr) {
	data, _, sender, to := b.Datagram(i)
	from = sender.Addr()
	if from.Is6() {
		return data, from, to // IPv6 sockets do not give the header
	}
	return withoutIPv4(data), from, to
}

// withoutIPv4 is a packet without its IPv4 header, whose length the header says in
// words of 4 octets; nil if it is not that long.
func withoutIPv4(packet []byte) []byte {
	if len(packet) == 0 {
		return nil
	}
	n := int(packet[0]&15) * 4
	if n < 20 || len(packet) < n {
		return nil
	}
	return packet[n:]
}

// The filters of SetControlOnly: a control message has 0 in place of the Session
// ID (RFC 3931 section 4.1.1.2). A program sees an IPv4 packet from its IP header on,
// an IPv6 packet from behind it. A packet too short for what is read is dropped.
var (
	controlOnly4 = []unix.SockFilter{
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0}, // X = length of the IPv4 header
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_IND, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	controlOnly6 = append([]unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}, controlOnly4[2:]...)
)

// SetControlOnly has a socket of ListenIP115 queue control messages only, or all
// packets again: while the kernel moves the data, a copy of each data message would
// come here for nothing. What is queued already stays.
func SetControlOnly(fd int, on bool) error {
	const op = "set the filter of a socket for IP protocol 115"
	if !on {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return plainError(op, err)
		}
		return nil
	}
	program := controlOnly6
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return plainError(op, err)
	}
	if family == unix.AF_INET {
		program = controlOnly4
	}
	if err := attachFilter(fd, program); err != nil {
		return plainError(op, err)
	}
	return nil
}
