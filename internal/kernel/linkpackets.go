package kernel

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// LinkPackets is a packet socket for what peers ask of the router itself: DHCP,
// DHCPv6 and Router Solicitations, in whole IP packets. One socket serves all the
// interfaces of a network namespace that have no Ethernet below: ppp interfaces and
// TUNs.
//
// The kernel's own stack gets the packets too. It has nobody for them.
type LinkPackets struct {
	file *os.File
	raw  syscall.RawConn
}

// OpenLinkPackets opens the socket, in the network namespace of now. It receives
// nothing, and costs nobody anything, until Start.
func OpenLinkPackets() (*LinkPackets, error) {
	const op = "open a packet socket"
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, packetError(op, err)
	}
	file := os.NewFile(uintptr(fd), "packet socket")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, plainError(op, err)
	}
	return &LinkPackets{file: file, raw: raw}, nil
}

func packetError(op string, err error) error {
	e := &Error{Op: op, Err: err}
	switch err {
	case unix.EPERM, unix.EACCES:
		e.Kind, e.Advice = ErrPermission, "run adit as root, or with the capability CAP_NET_RAW"
	case unix.EAFNOSUPPORT:
		e.Kind, e.Advice = ErrNotSupported, "load the module af_packet"
	}
	return e
}

// Start lets packets in.
func (p *LinkPackets) Start() error {
	const op = "receive from a packet socket"
	program := questionFilter()
	err := p.control(func(fd int) error {
		f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &f); err != nil {
			return err
		}
		// What we send ourselves is no question. An older kernel (before Linux 4.20)
		// refuses; there the filter is run for what goes out, too.
		_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: hton16(unix.ETH_P_ALL)})
	})
	if err != nil {
		return packetError(op, err)
	}
	return nil
}

func (p *LinkPackets) control(f func(fd int) error) error {
	var err error
	if e := p.raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

// Index is the index of an interface by its name, in the socket's namespace.
func (p *LinkPackets) Index(name string) (index int, err error) {
	request, err := unix.NewIfreq(name)
	if err == nil {
		err = p.control(func(fd int) error { return unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request) })
	}
	if err != nil {
		return 0, plainError(fmt.Sprintf("find the interface %q", name), err)
	}
	return int(request.Uint32()), nil
}

// Receive waits for a packet, and returns its octets and the interface's index.
// What does not fit into buf is cut. After Close it returns os.ErrClosed.
func (p *LinkPackets) Receive(buf []byte) (n, index int, err error) {
	var from unix.Sockaddr
	e := p.raw.Read(func(fd uintptr) bool {
		n, from, err = unix.Recvfrom(int(fd), buf, 0)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	switch {
	case e != nil: // of the runtime, which has one reason
		return 0, 0, os.ErrClosed
	case err != nil:
		return 0, 0, plainError("receive from a packet socket", err)
	}
	if l, ok := from.(*unix.SockaddrLinklayer); ok {
		index = l.Ifindex
	}
	return n, index, nil
}

// Send sends an IP packet on an interface. It does not block: an interface whose
// queue is full is an error.
func (p *LinkPackets) Send(index int, packet []byte) error {
	protocol := uint16(unix.ETH_P_IP)
	if len(packet) > 0 && packet[0]>>4 == 6 {
		protocol = unix.ETH_P_IPV6
	}
	err := p.control(func(fd int) error {
		return unix.Sendto(fd, packet, unix.MSG_DONTWAIT, &unix.SockaddrLinklayer{Protocol: hton16(protocol), Ifindex: index})
	})
	if err != nil {
		return plainError(fmt.Sprintf("send on interface %d", index), err)
	}
	return nil
}

// Close closes the socket. A Receive that waits returns.
func (p *LinkPackets) Close() { _ = p.file.Close() }

// hton16 is a number as it stands in memory in network order.
func hton16(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

// questionFilter passes IPv4's UDP to port 67 that is no fragment, and IPv6's UDP to
// port 547 and ICMPv6 of type 133 right after the header. It is run for every packet
// of the machine, so the kind of the interface comes first.
func questionFilter() []unix.SockFilter {
	const (
		load8, load16 = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		hardwareType  = 0xfffff000 + 28 // SKF_AD_OFF + SKF_AD_HATYPE, of linux/filter.h
		whole         = 0xffff          // octets to pass
	)
	drop := unix.SockFilter{Code: filterReturn, K: filterDrop}
	pass := unix.SockFilter{Code: filterReturn, K: whole}
	// Each of these goes on with what follows if the number is the one.
	is := func(k uint32) []unix.SockFilter {
		return []unix.SockFilter{{Code: filterJumpEqual, K: k, Jt: 1}, drop}
	}
	ipv4 := slices.Concat(
		[]unix.SockFilter{{Code: load8, K: 9}}, is(unix.IPPROTO_UDP),
		[]unix.SockFilter{
			{Code: load16, K: 6}, // the flag MF and the fragment offset
			{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x3fff, Jf: 1}, drop,
			{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH},      // X: the octets of the header
			{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2}, // the port
		}, is(67), []unix.SockFilter{pass},
	)
	udp := slices.Concat([]unix.SockFilter{{Code: load16, K: 40 + 2}}, is(547), []unix.SockFilter{pass})
	ipv6 := slices.Concat(
		[]unix.SockFilter{{Code: load8, K: 6}, {Code: filterJumpEqual, K: unix.IPPROTO_UDP, Jf: uint8(len(udp))}}, udp,
		is(unix.IPPROTO_ICMPV6), []unix.SockFilter{{Code: load8, K: 40}}, is(133), []unix.SockFilter{pass},
	)
	return slices.Concat(
		[]unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: hardwareType},
			{Code: filterJumpEqual, K: unix.ARPHRD_PPP, Jt: 2},
			{Code: filterJumpEqual, K: unix.ARPHRD_NONE, Jt: 1}, drop,
			{Code: load8},
			{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf0},
			{Code: filterJumpEqual, K: 0x40, Jf: uint8(len(ipv4))},
		}, ipv4, is(0x60), ipv6,
	)
}
