package dhcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// broadcastLink is the socket of a client, on one interface. It is a packet
// socket and no UDP socket: this machine may have a DHCP client of its own on
// port 68, and answers may be sent to addresses that are not this machine's.
type broadcastLink struct {
	file  *os.File
	raw   syscall.RawConn
	index int
	oob   []byte // of Read
	in    []byte
}

var everybody = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// fromServers lets UDP from a server's port to a client's pass, and nothing else:
// the socket would see every IPv4 packet of the interface otherwise.
var fromServers = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9}, // protocol
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: protoUDP, Jf: 8},
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6}, // more fragments, offset
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 0x3fff, Jt: 6},
	{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0}, // header length
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 0},  // source port
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: serverPort, Jf: 3},
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2}, // destination port
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: clientPort, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// openBroadcast opens the socket of an interface.
func openBroadcast(name string) (link, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("%w (%s): %w", ErrNoInterface, name, err)
	}
	// Protocol 0: nothing comes in before the filter is there.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	if err != nil {
		return nil, fmt.Errorf("dhcp: the packet socket of %s: %w", name, err)
	}
	if err = setUpBroadcast(fd, iface.Index); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("dhcp: the packet socket of %s: %w", name, err)
	}
	l := &broadcastLink{file: os.NewFile(uintptr(fd), "packet "+name), index: iface.Index, oob: make([]byte, 128), in: make([]byte, 4096)}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil, fmt.Errorf("dhcp: the packet socket of %s: %w", name, err)
	}
	return l, nil
}

func setUpBroadcast(fd, index int) error {
	filter := unix.SockFprog{Len: uint16(len(fromServers)), Filter: &fromServers[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		return fmt.Errorf("SO_ATTACH_FILTER: %w", err)
	}
	// It says of each packet whether its checksum counts.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return fmt.Errorf("PACKET_AUXDATA: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // a smaller one serves too
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IP), Ifindex: index}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// networkOrder is a number in network octet order, as the kernel wants it here.
func networkOrder(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

// Read is of a link. Packets that are none of a server's are passed over.
func (l *broadcastLink) Read(b []byte) (int, sender, error) {
	for {
		var n, oobn int
		var peer unix.Sockaddr
		var err error
		if e := l.raw.Read(func(fd uintptr) bool {
			n, oobn, _, peer, err = unix.Recvmsg(int(fd), l.in, l.oob, 0)
			return !errors.Is(err, unix.EAGAIN)
		}); e != nil {
			if errors.Is(e, os.ErrClosed) {
				e = net.ErrClosed
			}
			return 0, sender{}, e
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, sender{}, os.NewSyscallError("recvmsg", err)
		}
		from, payload, ok := parsePacket(l.in[:n], unsummed(l.oob[:oobn]))
		if !ok {
			continue
		}
		s := sender{addr: from}
		if ll, isLink := peer.(*unix.SockaddrLinklayer); isLink && ll.Halen == 6 {
			s.mac = [6]byte(ll.Addr[:6])
		}
		return copy(b, payload), s, nil
	}
}

// unsummed says by the control messages of a packet that its checksum is not
// computed yet: it comes from this machine.
func unsummed(oob []byte) bool {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for _, m := range messages {
		// struct tpacket_auxdata begins with tp_status.
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 4 {
			return binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_CSUMNOTREADY != 0
		}
	}
	return false
}

// Send is of a link. What goes to the server alone goes from the address of the
// lease, and to where the server's answer came from: the interface need have no
// address.
func (l *broadcastLink) Send(b []byte, to destination) error {
	from, target := netip.AddrPortFrom(netip.IPv4Unspecified(), clientPort), netip.AddrPortFrom(everybody, serverPort)
	peer := unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IP), Ifindex: l.index, Halen: 6}
	if to.broadcast || to.mac == [6]byte{} {
		copy(peer.Addr[:], []byte{255, 255, 255, 255, 255, 255})
	} else {
		from, target = netip.AddrPortFrom(to.source, clientPort), netip.AddrPortFrom(to.server, serverPort)
		copy(peer.Addr[:], to.mac[:])
	}
	packet := buildPacket(from, target, b)
	var err error
	if e := l.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), packet, 0, &peer)
		return !errors.Is(err, unix.EAGAIN)
	}); e != nil {
		return e
	}
	return os.NewSyscallError("sendto", err)
}

// Close is of a link.
func (l *broadcastLink) Close() error { return l.file.Close() }
