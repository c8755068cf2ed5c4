package kernel

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
)

// LinkWatch hears of interfaces that changed or went, of the network namespace that it
// was opened in.
type LinkWatch struct {
	mu  sync.Mutex
	fd  int // -1: closed
	buf [16 << 10]byte
}

// OpenLinkWatch begins to listen.
func OpenLinkWatch() (*LinkWatch, error) {
	const op = "listen to changes of interfaces"
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, plainError(op, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.RTNLGRP_LINK - 1)}); err != nil {
		_ = unix.Close(fd)
		return nil, plainError(op, err)
	}
	return &LinkWatch{fd: fd}, nil
}

// FD is the descriptor, to be watched for reading.
func (w *LinkWatch) FD() int { return w.fd }

// Read calls changed with the index of each interface that something happened to since
// the last call, without waiting; which thing is for the caller to ask. An interface may
// be told several times. It returns true if the kernel had no room to tell of all of
// them: anything may have happened then. changed must not call the LinkWatch.
func (w *LinkWatch) Read(changed func(index int)) (lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.fd >= 0 {
		n, _, err := unix.Recvfrom(w.fd, w.buf[:], unix.MSG_DONTWAIT)
		switch err {
		case nil:
			readLinks(w.buf[:n], changed)
		case unix.EINTR:
		case unix.ENOBUFS:
			lost = true
		default:
			return lost
		}
	}
	return lost
}

// readLinks reads messages of rtnetlink(7): each begins with its length and type, in
// host order, and goes on with struct ifinfomsg.
func readLinks(b []byte, changed func(index int)) {
	native := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(native.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return
		}
		kind, info := native.Uint16(b[4:]), b[unix.SizeofNlMsghdr:n]
		// With another family it is about a port of a bridge.
		if (kind == unix.RTM_NEWLINK || kind == unix.RTM_DELLINK) && len(info) >= unix.SizeofIfInfomsg && info[0] == unix.AF_UNSPEC {
			changed(int(int32(native.Uint32(info[4:]))))
		}
		b = b[min((n+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
	}
}

// Close ends it. Closing again does nothing.
func (w *LinkWatch) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd >= 0 {
		_ = unix.Close(w.fd)
		w.fd = -1
	}
}
