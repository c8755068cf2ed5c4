package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of sockaddr_l2tpip and sockaddr_l2tpip6 of <linux/l2tp.h>.
const (
	sizeofL2TPIP  = 16
	sizeofL2TPIP6 = 32
)

// L2TPIPSocket opens the socket of one L2TPv3 tunnel over IP protocol 115, to be given
// to CreateTunnel: bound to the local address and the tunnel's ID, connected to the
// peer and its ID. Local may be the unspecified address. The caller closes it, which
// ends the tunnel.
//
// The kernel takes data messages for its sessions out of it. The control messages
// that it would queue are dropped by a filter: they come by the socket of ListenIP115
// too, which has those before a tunnel too, and are read there.
//
// The error is an *Error: ErrNotSupported, ErrPermission, ErrNoAddress and ErrExists
// (another socket has the tunnel's ID) are told apart.
func L2TPIPSocket(local, peer netip.Addr, tunnelID, peerTunnelID uint32) (int, error) {
	local, peer = local.Unmap(), peer.Unmap()
	op := fmt.Sprintf("open an L2TP over IP socket from %v to %v", local, peer)
	if !local.IsValid() || !peer.IsValid() || local.Is4() != peer.Is4() {
		return -1, &Error{Op: op, Kind: ErrNoAddress, Err: unix.EAFNOSUPPORT, Advice: "both addresses have to be of one family"}
	}
	if tunnelID == 0 || peerTunnelID == 0 {
		return -1, &Error{Op: op, Err: unix.EINVAL, Advice: "a tunnel ID of 0 stands for no tunnel"}
	}
	family := unix.AF_INET
	if local.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_L2TP)
	if err != nil {
		return -1, l2tpIPError(op, err)
	}
	err = attachFilter(fd, dropAll)
	if err == nil {
		err = bindRaw(fd, l2tpIPAddr(local, tunnelID))
	}
	if err == nil {
		err = connectRaw(fd, l2tpIPAddr(peer, peerTunnelID))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, l2tpIPError(op, err)
	}
	return fd, nil
}

func l2tpIPError(op string, err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		return &Error{Op: op, Kind: ErrExists, Err: err, Advice: "another L2TP over IP socket has this tunnel ID; `ip l2tp show tunnel` lists the kernel's tunnels"}
	}
	return tunnelError(op, L2TPEncapIP, l2tpError(op, err))
}

// l2tpIPAddr builds sockaddr_l2tpip or sockaddr_l2tpip6.
func l2tpIPAddr(a netip.Addr, tunnelID uint32) []byte {
	ne := binary.NativeEndian
	if a.Is4() {
		b := make([]byte, sizeofL2TPIP)
		ne.PutUint16(b, unix.AF_INET)
		copy(b[4:8], a.AsSlice())
		ne.PutUint32(b[8:], tunnelID)
		return b
	}
	b := make([]byte, sizeofL2TPIP6)
	ne.PutUint16(b, unix.AF_INET6)
	copy(b[8:24], a.AsSlice())
	ne.PutUint32(b[24:], scopeID(a))
	ne.PutUint32(b[28:], tunnelID)
	return b
}

func bindRaw(fd int, sa []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&sa[0])), uintptr(len(sa)))
	if errno != 0 {
		return errno
	}
	return nil
}

// dropAll is a filter that lets nothing into a socket's queue.
var dropAll = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}

// attachFilter has the kernel ask a classic BPF program about each packet before it
// queues it.
func attachFilter(fd int, program []unix.SockFilter) error {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &p)
}
