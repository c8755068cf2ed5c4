package kernel

import (
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// datagramSize is the room for one datagram: an Ethernet frame's worth with
// some to spare. A longer one is cut, and then its Length field or its PPP
// frame does not add up and it is dropped.
const datagramSize = 2304

// controlSize is the room for the packet information of either family.
const controlSize = 64

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// message is one datagram of a batch with what a system call needs around it.
type message struct {
	iov     unix.Iovec
	name    unix.RawSockaddrInet6
	control [controlSize]byte
	data    [datagramSize]byte
}

// batch is messages in the form that recvmmsg and sendmmsg take.
type batch struct {
	hdrs []mmsghdr
	msgs []message
}

func newBatch(size int) batch {
	b := batch{hdrs: make([]mmsghdr, size), msgs: make([]message, size)}
	for i := range b.msgs {
		m, h := &b.msgs[i], &b.hdrs[i].hdr
		m.iov.Base = &m.data[0]
		h.Iov, h.Iovlen = &m.iov, 1
		h.Name = (*byte)(unsafe.Pointer(&m.name))
		h.Control = &m.control[0]
	}
	return b
}

// RecvBatch receives datagrams, several with one system call. It allocates
// nothing after it was made. One goroutine at a time may use it.
type RecvBatch struct{ batch }

// NewRecvBatch makes room for size datagrams.
func NewRecvBatch(size int) *RecvBatch { return &RecvBatch{newBatch(size)} }

// Receive takes what the socket has, up to the size of the batch, and returns
// how many datagrams that is. No datagrams is no error; an error is what ICMP or
// the kernel said of the socket (unix.ECONNREFUSED, ...), and reading goes on
// after it.
func (b *RecvBatch) Receive(fd int) (int, error) {
	for i := range b.hdrs {
		h := &b.hdrs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
		b.msgs[i].iov.SetLen(datagramSize)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&b.hdrs[0])), uintptr(len(b.hdrs)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

// Datagram returns datagram i of the last Receive: its octets, which stay valid
// until the next Receive, its sender, and the local address it was sent to (not
// valid if the socket does not tell). Link-local addresses carry their zone.
func (b *RecvBatch) Datagram(i int) (data []byte, from netip.AddrPort, to netip.Addr) {
	m, h := &b.msgs[i], &b.hdrs[i]
	from = addrOf(&m.name)
	to, index := packetInfo(m.control[:h.hdr.Controllen])
	if from.Addr().Is6() && from.Addr().IsLinkLocalUnicast() {
		from = netip.AddrPortFrom(withScope(from.Addr(), m.name.Scope_id), from.Port())
	}
	if to.Is6() && to.IsLinkLocalUnicast() {
		to = withScope(to, index)
	}
	return m.data[:min(int(h.len), datagramSize)], from, to
}

// withScope is the rare case of an address that means nothing without its link;
// it allocates.
func withScope(a netip.Addr, index uint32) netip.Addr {
	return a.WithZone(strconv.FormatUint(uint64(index), 10))
}

// packetInfo finds the destination address in the ancillary data. For IPv4 it is
// the local address to answer from, which differs for a broadcast.
func packetInfo(control []byte) (to netip.Addr, index uint32) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		length := int(h.Len)
		if length < unix.SizeofCmsghdr || length > len(control) {
			return netip.Addr{}, 0
		}
		body := control[unix.CmsgLen(0):length]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(body) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&body[0]))
			return netip.AddrFrom4(info.Spec_dst), uint32(info.Ifindex)
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(body) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&body[0]))
			return netip.AddrFrom16(info.Addr).Unmap(), info.Ifindex
		}
		control = control[min(unix.CmsgSpace(length-unix.CmsgLen(0)), len(control)):]
	}
	return netip.Addr{}, 0
}

// SendBatch gathers datagrams and sends them with one system call. It allocates
// nothing after it was made. One goroutine at a time may use it.
type SendBatch struct {
	batch
	fd int
	n  int
}

// NewSendBatch makes a batch of size datagrams for a socket of ListenUDP.
func NewSendBatch(fd, size int) *SendBatch {
	return &SendBatch{batch: newBatch(size), fd: fd}
}

// Add copies a datagram into the batch, to be sent from the address local (the
// kernel's choice if it is unspecified) to peer. It reports true when the batch
// is full and must be flushed. A datagram that does not fit is cut away: the
// caller bounds its frames below 2,304 octets.
func (b *SendBatch) Add(packet []byte, local netip.Addr, peer netip.AddrPort) (full bool) {
	if b.n == len(b.msgs) {
		return true
	}
	b.put(b.n, packet, local, peer)
	b.n++
	return b.n == len(b.msgs)
}

func (b *batch) put(i int, packet []byte, local netip.Addr, peer netip.AddrPort) {
	m, h := &b.msgs[i], &b.hdrs[i].hdr
	m.iov.SetLen(copy(m.data[:], packet))
	v6 := peer.Addr().Is6() && !peer.Addr().Is4In6()
	h.Namelen = putAddr(&m.name, peer, scopeID(peer.Addr()), v6)
	h.SetControllen(putPacketInfo(&m.control, local, v6))
	h.Control = &m.control[0]
	if h.Controllen == 0 {
		h.Control = nil
	}
}

// putPacketInfo writes the wish for a source address and returns its length.
func putPacketInfo(control *[controlSize]byte, local netip.Addr, v6 bool) int {
	if !local.IsValid() || local.IsUnspecified() {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if v6 {
		h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&control[unix.CmsgLen(0)]))
		*info = unix.Inet6Pktinfo{Addr: local.As16(), Ifindex: scopeID(local)}
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&control[unix.CmsgLen(0)]))
	*info = unix.Inet4Pktinfo{Spec_dst: local.Unmap().As4()}
	return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
}

// Flush sends what was gathered, never waits, and returns how many datagrams
// the kernel took and how many it refused; those are lost.
func (b *SendBatch) Flush() (sent, failed int) {
	for done := 0; done < b.n; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b.fd),
			uintptr(unsafe.Pointer(&b.hdrs[done])), uintptr(b.n-done), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			// The first of them was refused; the others may still go.
			failed++
			done++
		default:
			sent += int(n)
			done += int(n)
		}
	}
	b.n = 0
	return sent, failed
}

// SendFrom sends one datagram from the address local (the kernel's choice if it
// is unspecified) to peer, never waiting. Any goroutine may call it.
func SendFrom(fd int, packet []byte, local netip.Addr, peer netip.AddrPort) error {
	var oob []byte
	v6 := peer.Addr().Is6() && !peer.Addr().Is4In6()
	var control [controlSize]byte
	if n := putPacketInfo(&control, local, v6); n > 0 {
		oob = control[:n]
	}
	for {
		_, err := unix.SendmsgN(fd, packet, oob, sockaddr(peer), unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return err
		}
	}
}
