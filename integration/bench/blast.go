package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	_   uint32
}

// blastCall is how many messages one system call sends.
const blastCall = 32

// blast sends the same messages over and over, made beforehand.
type blast struct {
	fd     int
	hdrs   []mmsghdr
	pinned runtime.Pinner // what the headers point to
	stop   atomic.Bool
	ended  chan error
}

// uplink prepares what a peer sends to the server: of each call burst packets of
// size octets one after the other, which leave as one message that the kernel
// cuts (UDP_SEGMENT) and the server's socket receives as one if it can.
func uplink(s *server, calls []call, size, burst int) (*blast, error) {
	b := &blast{}
	var err error
	if b.fd, err = s.peerSocket(); err != nil {
		return nil, err
	}
	segment := calls[0].headerLen() + size
	control := segmentControl(segment)
	for _, c := range calls {
		text := make([]byte, 0, burst*segment)
		for range burst {
			text = c.appendMessage(text, size)
		}
		b.add(text, nil, control, burst)
	}
	return b, nil
}

// downlink prepares what comes to the server out of the network: bursts of
// packets of size octets to each call's address.
func downlink(s *server, calls []call, size, burst int) (*blast, error) {
	b := &blast{}
	err := s.inside.Do(func() (err error) {
		b.fd, err = udpSocket(netip.AddrPortFrom(s.outer.Addr(), 0))
		return err
	})
	if err != nil {
		return nil, err
	}
	payload := size - udpHeaders
	text, control := make([]byte, burst*payload), segmentControl(payload)
	for _, c := range calls {
		to := &unix.RawSockaddrInet4{Family: unix.AF_INET, Port: 9 << 8, Addr: c.addr.As4()}
		b.add(text, to, control, burst)
	}
	return b, nil
}

// add appends a message of burst datagrams.
func (b *blast) add(text []byte, to *unix.RawSockaddrInet4, control []byte, burst int) {
	v := &unix.Iovec{Base: &text[0]}
	v.SetLen(len(text))
	var m mmsghdr
	m.hdr.Iov = v
	m.hdr.SetIovlen(1)
	b.pinned.Pin(v)
	b.pinned.Pin(&text[0])
	if to != nil {
		b.pinned.Pin(to)
		m.hdr.Name, m.hdr.Namelen = (*byte)(unsafe.Pointer(to)), unix.SizeofSockaddrInet4
	}
	if burst > 1 {
		b.pinned.Pin(&control[0])
		m.hdr.Control = &control[0]
		m.hdr.SetControllen(len(control))
	}
	b.hdrs = append(b.hdrs, m)
}

// segmentControl is the wish that the kernel cut a message into datagrams of
// size octets.
func segmentControl(size int) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&b[unix.CmsgLen(0)])) = uint16(size)
	return b
}

// send sends every message once.
func (b *blast) send() error {
	for at := 0; at < len(b.hdrs); {
		n := min(blastCall, len(b.hdrs)-at)
		r, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.hdrs[at])), uintptr(n), 0, 0, 0)
		switch errno {
		case 0:
			at += int(r)
		case unix.EINTR:
		case unix.ENOBUFS, unix.ECONNREFUSED:
			at++ // the queue is full, as it should be; or nobody listens for the moment
		default:
			return fmt.Errorf("generator: %w", errno)
		}
	}
	return nil
}

// start sends until halt, on a thread of its own.
func (b *blast) start() {
	b.ended = make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for !b.stop.Load() {
			if err := b.send(); err != nil {
				b.ended <- err
				return
			}
		}
		b.ended <- nil
	}()
}

// halt ends what start began.
func (b *blast) halt() error {
	b.stop.Store(true)
	err := <-b.ended
	b.stop.Store(false)
	return err
}

func (b *blast) close() {
	b.pinned.Unpin()
	_ = unix.Close(b.fd)
}

// udpSocket opens a socket that may share its address with another.
func udpSocket(at netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())})
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("socket of %s: %w", at, err)
	}
	return fd, nil
}

// peerSocket opens a socket with the peer's address and port, connected to the
// server: the kernel gives it what the server sends, rather than to the peer's
// own socket. It merges what it receives, so that a packet costs the server's
// processor as little as on its way into a network card.
func (s *server) peerSocket() (fd int, err error) {
	err = s.outside.Do(func() error {
		if fd, err = udpSocket(s.peer); err != nil {
			return err
		}
		err = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrInet4{Addr: s.outer.Addr().As4(), Port: int(s.outer.Port())})
		}
		if err != nil {
			_ = unix.Close(fd)
		}
		return err
	})
	return fd, err
}
