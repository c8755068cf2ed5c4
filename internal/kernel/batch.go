package kernel

import (
	"net/netip"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receiveRoom is the room for one message of a RecvBatch, in octets: no UDP
// payload is longer, merged or not. Pages of it are in memory once something
// that long has come, so an idle batch is small.
//
// It is somewhat more than the 64 KiB that are needed: at a distance of a power of
// two, the beginnings of all messages would share a few lines of the processor's
// caches.
const receiveRoom = 64<<10 + 1536

// controlSize is the room for the ancillary data of one message: the packet
// information of IPv6 (40 octets with its header) and the size of merged
// datagrams (24), with some to spare.
const controlSize = 96

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// inbound is what recvmmsg needs around one message.
type inbound struct {
	control [controlSize]byte // first, so that it is aligned
	iov     unix.Iovec
	name    unix.RawSockaddrInet6
}

// RecvBatch receives datagrams, several with one system call, and several in one
// message where the kernel has merged them (UDP_GRO). It allocates nothing after
// it was made. One goroutine at a time may use it, for any number of sockets.
type RecvBatch struct {
	hdrs []mmsghdr
	msgs []inbound
	data []byte
	room int // octets of data for each message
	used int // messages that the last call has written

	truncated atomic.Uint64
}

// NewRecvBatch makes room for size messages.
func NewRecvBatch(size int) *RecvBatch { return newRecvBatch(size, receiveRoom) }

func newRecvBatch(size, room int) *RecvBatch {
	b := &RecvBatch{
		hdrs: make([]mmsghdr, size), msgs: make([]inbound, size),
		data: make([]byte, size*room), room: room, used: size,
	}
	for i := range b.msgs {
		m, h := &b.msgs[i], &b.hdrs[i].hdr
		m.iov.Base = &b.data[i*room]
		m.iov.SetLen(room)
		h.Iov = &m.iov
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&m.name))
		h.Control = &m.control[0]
	}
	return b
}

// Receive takes what the socket has, up to the size of the batch, and returns
// how many messages that is. No messages is no error; an error is what ICMP or
// the kernel said of the socket (unix.ECONNREFUSED, ...), and reading goes on
// after it.
func (b *RecvBatch) Receive(fd int) (int, error) {
	for i := range b.hdrs[:b.used] {
		h := &b.hdrs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
	b.used = 0
	for {
		r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&b.hdrs[0])), uintptr(len(b.hdrs)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.took(int(r))
			return b.used, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

func (b *RecvBatch) took(n int) {
	b.used = n
	for i := range b.hdrs[:n] {
		if b.hdrs[i].hdr.Flags&unix.MSG_TRUNC != 0 {
			b.truncated.Add(1)
		}
	}
}

// Truncated is how many messages were longer than the room for them. Any
// goroutine may ask.
func (b *RecvBatch) Truncated() uint64 { return b.truncated.Load() }

// Datagram returns message i of the last Receive: its octets, which stay valid
// until the next Receive, the size of the datagrams in it, its sender, and the
// local address it was sent to (not valid if the socket does not tell).
// Link-local addresses carry their zone.
//
// The message is one datagram of segment = len(data) octets; or, from a socket
// with UDP_GRO, several of one flow in the order they came, segment octets each
// but for the last, which has 1 to segment octets.
func (b *RecvBatch) Datagram(i int) (data []byte, segment int, from netip.AddrPort, to netip.Addr) {
	m, h := &b.msgs[i], &b.hdrs[i]
	from = addrOf(&m.name)
	info := readControl(m.control[:h.hdr.Controllen])
	to = info.to
	if from.Addr().Is6() && from.Addr().IsLinkLocalUnicast() {
		from = netip.AddrPortFrom(withScope(from.Addr(), m.name.Scope_id), from.Port())
	}
	if to.Is6() && to.IsLinkLocalUnicast() {
		to = withScope(to, info.index)
	}
	n := min(int(h.len), b.room)
	if segment = info.segment; segment <= 0 || segment > n {
		segment = n
	}
	return b.data[i*b.room:][:n:n], segment, from, to
}

// withScope is the rare case of an address that means nothing without its link;
// it allocates.
func withScope(a netip.Addr, index uint32) netip.Addr {
	return a.WithZone(strconv.FormatUint(uint64(index), 10))
}

// ancillary is what the kernel tells beside a message.
type ancillary struct {
	to      netip.Addr // local address; not valid: unknown
	index   uint32     // interface it came by
	segment int        // octets of each merged datagram; 0: not merged
}

// readControl reads the ancillary data. For IPv4, to is the local address to
// answer from, which differs from the destination for a broadcast.
func readControl(control []byte) (a ancillary) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		length := int(h.Len)
		if length < unix.SizeofCmsghdr || length > len(control) {
			break
		}
		body := control[unix.CmsgLen(0):length]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(body) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&body[0]))
			a.to, a.index = netip.AddrFrom4(info.Spec_dst), uint32(info.Ifindex)
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(body) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&body[0]))
			a.to, a.index = netip.AddrFrom16(info.Addr).Unmap(), info.Ifindex
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(body) >= 4:
			a.segment = int(*(*int32)(unsafe.Pointer(&body[0])))
		}
		control = control[min(unix.CmsgSpace(length-unix.CmsgLen(0)), len(control)):]
	}
	return a
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

// putSegment writes the size that the kernel is to cut a message into, and
// returns its length.
func putSegment(control []byte, size int) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&control[unix.CmsgLen(0)])) = uint16(size)
	return unix.CmsgSpace(2)
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
