package coa

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// maxControl bounds the control message that says where a datagram went, in
// octets.
const maxControl = 64

// truncated is the flag of a datagram that was longer than the buffer.
const truncated = unix.MSG_TRUNC

// destination is the address that a request was sent to. Its answer comes from
// there: a machine has many, and the client knows that one.
type destination struct {
	addr    netip.Addr // the zero Addr: not known
	control []byte     // for the answer; nil: the system's choice
}

// wantDestination has the kernel tell the destination of each datagram.
func wantDestination(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	local, _ := conn.LocalAddr().(*net.UDPAddr)
	var set error
	err = raw.Control(func(fd uintptr) {
		if local.IP.To4() != nil {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			return
		}
		set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	return errors.Join(err, set)
}

// destinationOf reads a control message.
func destinationOf(oob []byte) destination {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return destination{}
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			// The interface's index, our address and that of the datagram. The route
			// back says the interface.
			b := append([]byte(nil), m.Data[:unix.SizeofInet4Pktinfo]...)
			clear(b[:4])
			return destination{netip.AddrFrom4([4]byte(b[4:8])), control(unix.IPPROTO_IP, unix.IP_PKTINFO, b)}
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			b := append([]byte(nil), m.Data[:unix.SizeofInet6Pktinfo]...)
			a := netip.AddrFrom16([16]byte(b[:16])).Unmap()
			if !a.IsLinkLocalUnicast() || a.Is4() {
				clear(b[16:])
			}
			return destination{a, control(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, b)}
		}
	}
	return destination{}
}

// control makes a control message. Its header is a cmsghdr in the byte order of
// this machine.
func control(level, kind int32, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	if header := unix.CmsgLen(0); header == 16 {
		binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(data))))
		binary.NativeEndian.PutUint32(b[8:], uint32(level))
		binary.NativeEndian.PutUint32(b[12:], uint32(kind))
	} else {
		binary.NativeEndian.PutUint32(b, uint32(unix.CmsgLen(len(data))))
		binary.NativeEndian.PutUint32(b[4:], uint32(level))
		binary.NativeEndian.PutUint32(b[8:], uint32(kind))
	}
	copy(b[unix.CmsgLen(0):], data)
	return b
}
