package kernel

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	inet "adit/proto/ip"
)

// MaxSuperPacket is the longest packet that a TUN gives or takes, in octets: a
// buffer for Read has room for that. MaxSuperFrame is the same of a TAP: the header of
// Ethernet, with its tags, comes on top.
const (
	MaxSuperPacket = 64 << 10
	MaxSuperFrame  = MaxSuperPacket + 64
)

// struct virtio_net_hdr of <linux/virtio_net.h>, in host order: flags, gso_type,
// and 16 bits each of hdr_len, gso_size, csum_start, csum_offset.
const (
	vnetHeaderLen = 10

	vnetNeedsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	vnetDataValid     = 2 // VIRTIO_NET_HDR_F_DATA_VALID

	vnetNone  = 0    // VIRTIO_NET_HDR_GSO_NONE
	vnetTCPv4 = 1    // VIRTIO_NET_HDR_GSO_TCPV4
	vnetTCPv6 = 4    // VIRTIO_NET_HDR_GSO_TCPV6
	vnetUDP   = 5    // VIRTIO_NET_HDR_GSO_UDP_L4
	vnetECN   = 0x80 // VIRTIO_NET_HDR_GSO_ECN
)

// ErrSuperPacket says that the kernel gave a super packet of a kind that was not
// asked for, or that one to be written is no super packet.
var ErrSuperPacket = errors.New("unknown kind of super packet")

// maxParts is how many pieces a packet to be written may have: the kernel takes
// 1,024 (UIO_MAXIOV), and the virtio-net header is one.
const maxParts = 1023

// TUNQueue is one queue of a TUN: packets of some destinations come by it, and
// packets of any can be written to it. One goroutine at a time may read; any
// number may write, each by its own TUNWriter.
type TUNQueue struct {
	fd     int
	header [vnetHeaderLen]byte
	iov    [2]unix.Iovec
}

func newTUNQueue(fd int) *TUNQueue {
	q := &TUNQueue{fd: fd}
	q.iov[0].Base = &q.header[0]
	q.iov[0].SetLen(vnetHeaderLen)
	return q
}

// FD is the descriptor, to be watched for packets. It stays the queue's.
func (q *TUNQueue) FD() int { return q.fd }

// Read takes one packet or super packet, without waiting: n is its octets in
// buf, 0 if there is none. The kernel cuts one that is longer than buf (which
// has MaxSuperPacket octets therefore), and does not tell. The error is a
// unix.Errno, or ErrSuperPacket for a packet to be skipped. It allocates
// nothing.
func (q *TUNQueue) Read(buf []byte) (n int, g inet.GSO, err error) {
	q.iov[1].Base = unsafe.SliceData(buf)
	q.iov[1].SetLen(len(buf))
	for {
		r, _, errno := unix.Syscall(unix.SYS_READV, uintptr(q.fd), uintptr(unsafe.Pointer(&q.iov[0])), 2)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return 0, g, nil
		case errno != 0:
			return 0, g, errno
		case r < vnetHeaderLen:
			return 0, g, ErrSuperPacket
		}
		g, ok := parseVNet(&q.header)
		if !ok {
			return 0, g, ErrSuperPacket
		}
		return int(r) - vnetHeaderLen, g, nil
	}
}

// TUNWriter writes packets to queues of TUNs. One goroutine at a time may use
// it; the zero value is ready. It has 16 KiB.
type TUNWriter struct {
	header [vnetHeaderLen]byte
	iov    [maxParts + 1]unix.Iovec
}

// Write writes the packet or super packet that consists of parts, without
// waiting. It allocates nothing and keeps nothing. The error is a unix.Errno
// (EIO: the interface is down; EAGAIN and ENOBUFS: the kernel has no room;
// EINVAL: it takes no such packet), or ErrSuperPacket. A packet that was not
// written is lost; the queue stays usable.
func (w *TUNWriter) Write(q *TUNQueue, g inet.GSO, parts [][]byte) error {
	if len(parts) > maxParts || !putVNet(&w.header, g) {
		return ErrSuperPacket
	}
	w.iov[0].Base = &w.header[0]
	w.iov[0].SetLen(vnetHeaderLen)
	for i, p := range parts {
		w.iov[i+1].Base = unsafe.SliceData(p)
		w.iov[i+1].SetLen(len(p))
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(q.fd), uintptr(unsafe.Pointer(&w.iov[0])), uintptr(1+len(parts)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// parseVNet reads a virtio-net header.
func parseVNet(b *[vnetHeaderLen]byte) (g inet.GSO, ok bool) {
	switch b[1] &^ vnetECN {
	case vnetNone:
	case vnetTCPv4:
		g.Type = inet.GSOTCPv4
	case vnetTCPv6:
		g.Type = inet.GSOTCPv6
	case vnetUDP:
		g.Type = inet.GSOUDP
	default:
		return g, false
	}
	g.ECN = b[1]&vnetECN != 0
	g.NeedsChecksum = b[0]&vnetNeedsChecksum != 0
	g.DataValid = b[0]&vnetDataValid != 0
	g.HeaderLen = binary.NativeEndian.Uint16(b[2:])
	g.SegmentSize = binary.NativeEndian.Uint16(b[4:])
	g.ChecksumStart = binary.NativeEndian.Uint16(b[6:])
	g.ChecksumOffset = binary.NativeEndian.Uint16(b[8:])
	return g, true
}

// putVNet writes a virtio-net header.
func putVNet(b *[vnetHeaderLen]byte, g inet.GSO) (ok bool) {
	*b = [vnetHeaderLen]byte{}
	switch g.Type {
	case inet.GSONone:
		b[1] = vnetNone
	case inet.GSOTCPv4:
		b[1] = vnetTCPv4
	case inet.GSOTCPv6:
		b[1] = vnetTCPv6
	case inet.GSOUDP:
		b[1] = vnetUDP
	default:
		return false
	}
	if g.ECN && g.Type != inet.GSONone {
		b[1] |= vnetECN
	}
	if g.DataValid {
		b[0] |= vnetDataValid
	}
	if g.NeedsChecksum {
		b[0] |= vnetNeedsChecksum
		binary.NativeEndian.PutUint16(b[6:], g.ChecksumStart)
		binary.NativeEndian.PutUint16(b[8:], g.ChecksumOffset)
	}
	binary.NativeEndian.PutUint16(b[2:], g.HeaderLen)
	if g.Type != inet.GSONone {
		binary.NativeEndian.PutUint16(b[4:], g.SegmentSize)
	}
	return true
}
