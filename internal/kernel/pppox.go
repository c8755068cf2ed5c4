package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"adit/proto/l2tp"
)

const (
	pppoxL2TP = 1 // PX_PROTO_OL2TP, the protocol of AF_PPPOX for L2TP

	// The options at level SOL_PPPOL2TP.
	optDebug     = 1
	optRecvSeq   = 2
	optSendSeq   = 3
	optLNSMode   = 4
	optReorderTo = 5

	// Sizes of the kernel's packed socket addresses, by which it tells them apart.
	sizeofPPPoL2TP      = 2 + 4 + 4 + 4 + 16 + 8
	sizeofPPPoL2TPin6   = 2 + 4 + 4 + 4 + 8 + 28
	sizeofPPPoL2TPv3    = 2 + 4 + 4 + 4 + 16 + 16
	sizeofPPPoL2TPv3in6 = 2 + 4 + 4 + 4 + 16 + 28
)

// PPPoX is a PPPoL2TP socket: the management socket of a tunnel, or the data
// socket of a session. Closing the management socket ends the tunnel's use of
// the kernel; closing every copy of a session's ends the session there.
// The methods may be used from any goroutine; Close once.
type PPPoX struct {
	fd atomic.Int32
	// Ours; the session is 0 for a management socket.
	localTunnel, localSession uint32
}

// OpenManagement makes the UDP socket udpFD, which has to be connected to peer
// and used for this one tunnel, an L2TP tunnel of the kernel, of that version (2 or 3): from now on the
// kernel keeps the data messages of the tunnel's sessions to itself, and
// everything else still comes out of the UDP socket. The socket returned has to
// stay open as long as the tunnel. The error is an *Error; ErrNotSupported and
// ErrPermission are told apart.
//
// A tunnel that CreateTunnel has made needs no management socket: one of it is for its
// statistics only. Over IP, only CreateTunnel can make one.
func OpenManagement(version uint8, udpFD int, peer netip.AddrPort, localTunnel, peerTunnel uint32) (*PPPoX, error) {
	return openPPPoX(version, udpFD, peer, localTunnel, peerTunnel, 0, 0)
}

// OpenSession opens a session of a tunnel that the kernel has already. Frames of the
// session are the kernel's from now on. Both session IDs are non-zero.
//
// A session of L2TPv3 that has a cookie or no L2-Specific Sublayer is to be made by
// CreateSession, and then opened here: by itself, OpenSession makes one without cookies
// and with the Default sublayer. udpFD is the tunnel's socket, also one of L2TPIPSocket;
// then peer has no port.
func OpenSession(version uint8, udpFD int, peer netip.AddrPort, localTunnel, peerTunnel, localSession, peerSession uint32) (*PPPoX, error) {
	if localSession == 0 || peerSession == 0 {
		return nil, &Error{Op: "open a PPPoL2TP session", Err: unix.EINVAL, Advice: "a session ID of 0 stands for the tunnel itself"}
	}
	return openPPPoX(version, udpFD, peer, localTunnel, peerTunnel, localSession, peerSession)
}

// Probe says whether the kernel's PPPoL2TP can be used here: nil, or an *Error
// that says which module or which permission is missing. Opening the socket
// makes the kernel load l2tp_ppp by itself where it may.
func Probe() error {
	fd, err := pppoxSocket()
	if err != nil {
		return err
	}
	_ = unix.Close(fd)
	return nil
}

func pppoxSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_PPPOX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, pppoxL2TP)
	if err != nil {
		return -1, pppoxError("open a PPPoL2TP socket", err)
	}
	return fd, nil
}

func pppoxError(op string, err error) error {
	switch {
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.ESOCKTNOSUPPORT):
		return &Error{Op: op, Kind: ErrNotSupported, Err: err,
			Advice: "the kernel has no PPP over L2TP: load it by `modprobe l2tp_ppp`, or use dataplane = \"userspace\""}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &Error{Op: op, Kind: ErrPermission, Err: err,
			Advice: "the kernel data plane needs root or the capability CAP_NET_ADMIN"}
	}
	return plainError(op, err)
}

func openPPPoX(version uint8, udpFD int, peer netip.AddrPort, localTunnel, peerTunnel, localSession, peerSession uint32) (*PPPoX, error) {
	what := fmt.Sprintf("hand tunnel %d to the kernel", localTunnel)
	if localSession != 0 {
		what = fmt.Sprintf("hand session %d of tunnel %d to the kernel", localSession, localTunnel)
	}
	if localTunnel == 0 || peerTunnel == 0 || !peer.IsValid() {
		return nil, &Error{Op: what, Err: unix.EINVAL, Advice: "the tunnel IDs and the peer's address have to be known"}
	}
	switch {
	case version != l2tp.Version && version != l2tp.Version3:
		return nil, &Error{Op: what, Err: unix.EINVAL, Advice: fmt.Sprintf("there is no version %d of L2TP", version)}
	case version == l2tp.Version && max(localTunnel, peerTunnel, localSession, peerSession) > 0xffff:
		return nil, &Error{Op: what, Err: unix.EINVAL, Advice: "the IDs of L2TPv2 have 16 bits"}
	}
	fd, err := pppoxSocket()
	if err != nil {
		return nil, err
	}
	sa := pppol2tpAddr(version, udpFD, peer, localTunnel, localSession, peerTunnel, peerSession)
	if err := connectRaw(fd, sa); err != nil {
		_ = unix.Close(fd)
		return nil, pppoxError(what, err)
	}
	x := &PPPoX{localTunnel: localTunnel, localSession: localSession}
	x.fd.Store(int32(fd))
	return x, nil
}

// pppol2tpAddr builds sockaddr_pppol2tp or, for an IPv6 peer, sockaddr_pppol2tpin6; for
// L2TPv3 sockaddr_pppol2tpv3 and v3in6, whose IDs have 32 bits. All are packed, and
// their members come in different orders: the IPv4 address is before the IDs, the
// IPv6 address after them.
func pppol2tpAddr(version uint8, udpFD int, peer netip.AddrPort, sTunnel, sSession, dTunnel, dSession uint32) []byte {
	ne := binary.NativeEndian
	addr := peer.Addr().Unmap()
	b := make([]byte, 0, sizeofPPPoL2TPv3in6)
	b = ne.AppendUint16(b, unix.AF_PPPOX)
	b = ne.AppendUint32(b, pppoxL2TP)
	b = ne.AppendUint32(b, 0) // pid: ours
	b = ne.AppendUint32(b, uint32(udpFD))
	if addr.Is4() {
		b = append(b, rawInet4(netip.AddrPortFrom(addr, peer.Port()))...)
	}
	for _, id := range [...]uint32{sTunnel, sSession, dTunnel, dSession} {
		if version == l2tp.Version3 {
			b = ne.AppendUint32(b, id)
		} else {
			b = ne.AppendUint16(b, uint16(id))
		}
	}
	if addr.Is6() {
		b = append(b, rawInet6(netip.AddrPortFrom(addr, peer.Port()))...)
	}
	return b
}

func connectRaw(fd int, sa []byte) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa[0])), uintptr(len(sa)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// FD is the descriptor, to be given to a pppd or watched; -1 once closed.
func (x *PPPoX) FD() int { return int(x.fd.Load()) }

// Close closes this copy of the socket. Closing twice does nothing.
func (x *PPPoX) Close() error {
	if fd := x.fd.Swap(-1); fd >= 0 {
		return unix.Close(int(fd))
	}
	return nil
}

// SetSendSeq turns sequence numbers in the data messages we send on or off.
func (x *PPPoX) SetSendSeq(on bool) error { return x.set("SENDSEQ", optSendSeq, boolInt(on)) }

// SetRecvSeq has the kernel drop data messages without sequence numbers.
func (x *PPPoX) SetRecvSeq(on bool) error { return x.set("RECVSEQ", optRecvSeq, boolInt(on)) }

// SetLNSMode tells the kernel that we are the LNS of the session: then it is us
// who turn sequencing on and off, otherwise we follow the peer.
func (x *PPPoX) SetLNSMode(on bool) error { return x.set("LNSMODE", optLNSMode, boolInt(on)) }

// SetReorderTimeout sets how long a gap in the sequence is held open, in whole
// milliseconds; 0 turns the queue off.
func (x *PPPoX) SetReorderTimeout(d time.Duration) error {
	return x.set("REORDERTO", optReorderTo, int(d/time.Millisecond))
}

// SetDebug sets the mask of debug messages (1: general, 2: control, 4: sequence
// numbers, 8: data). Linux since 5.12 keeps the value and logs by dynamic debug.
func (x *PPPoX) SetDebug(mask uint32) error { return x.set("DEBUG", optDebug, int(mask)) }

// SendSeq reads back SENDSEQ.
func (x *PPPoX) SendSeq() (bool, error) { v, err := x.get("SENDSEQ", optSendSeq); return v != 0, err }

// RecvSeq reads back RECVSEQ.
func (x *PPPoX) RecvSeq() (bool, error) { v, err := x.get("RECVSEQ", optRecvSeq); return v != 0, err }

// LNSMode reads back LNSMODE.
func (x *PPPoX) LNSMode() (bool, error) { v, err := x.get("LNSMODE", optLNSMode); return v != 0, err }

// ReorderTimeout reads back REORDERTO, rounded to the kernel's clock tick.
func (x *PPPoX) ReorderTimeout() (time.Duration, error) {
	v, err := x.get("REORDERTO", optReorderTo)
	return time.Duration(v) * time.Millisecond, err
}

// Debug reads back the debug mask.
func (x *PPPoX) Debug() (uint32, error) { v, err := x.get("DEBUG", optDebug); return uint32(v), err }

func (x *PPPoX) set(name string, opt, value int) error {
	if err := unix.SetsockoptInt(x.FD(), unix.SOL_PPPOL2TP, opt, value); err != nil {
		return pppoxError("set "+name+" on a PPPoL2TP socket", err)
	}
	return nil
}

func (x *PPPoX) get(name string, opt int) (int, error) {
	v, err := unix.GetsockoptInt(x.FD(), unix.SOL_PPPOL2TP, opt)
	if err != nil {
		return 0, pppoxError("read "+name+" of a PPPoL2TP socket", err)
	}
	return v, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// L2TPStats is what the kernel counted for a tunnel or a session.
type L2TPStats struct {
	TunnelID, SessionID uint32 // SessionID 0: the tunnel
	UsingIPsec          bool
	TxPackets           uint64
	TxBytes             uint64
	TxErrors            uint64
	RxPackets           uint64
	RxBytes             uint64
	RxSeqDiscards       uint64 // dropped for their sequence number
	RxOOSPackets        uint64 // out of sequence
	RxErrors            uint64
}

// rawL2TPStats is struct pppol2tp_ioc_stats: the bit field takes 32 bits.
type rawL2TPStats struct {
	tunnelID, sessionID uint16
	flags               uint32
	counters            [8]uint64
}

// Stats reads PPPIOCGL2TPSTATS of the tunnel (management socket) or session. The call
// has 16 bits for an ID, so the IDs returned are those that the socket was opened with.
func (x *PPPoX) Stats() (L2TPStats, error) {
	var raw rawL2TPStats // of a management socket, session 0 stands for the tunnel
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(x.FD()), unix.PPPIOCGL2TPSTATS, uintptr(unsafe.Pointer(&raw)))
	if errno != 0 {
		return L2TPStats{}, pppoxError("read PPPIOCGL2TPSTATS", errno)
	}
	c := &raw.counters
	return L2TPStats{
		TunnelID: x.localTunnel, SessionID: x.localSession, UsingIPsec: raw.flags&1 != 0,
		TxPackets: c[0], TxBytes: c[1], TxErrors: c[2],
		RxPackets: c[3], RxBytes: c[4], RxSeqDiscards: c[5], RxOOSPackets: c[6], RxErrors: c[7],
	}, nil
}
