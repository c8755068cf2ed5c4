package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawInet4 is struct sockaddr_in.
func rawInet4(a netip.AddrPort) []byte {
	b := make([]byte, 16)
	binary.NativeEndian.PutUint16(b, unix.AF_INET)
	binary.BigEndian.PutUint16(b[2:], a.Port())
	ip := a.Addr().As4()
	copy(b[4:], ip[:])
	return b
}

// rawInet6 is struct sockaddr_in6.
func rawInet6(a netip.AddrPort) []byte {
	b := make([]byte, 28)
	binary.NativeEndian.PutUint16(b, unix.AF_INET6)
	binary.BigEndian.PutUint16(b[2:], a.Port())
	ip := a.Addr().As16()
	copy(b[8:], ip[:])
	binary.NativeEndian.PutUint32(b[24:], scopeID(a.Addr()))
	return b
}

// scopeID is the interface index of a link-local address's zone; 0 if it has
// none or the interface is gone.
func scopeID(a netip.Addr) uint32 {
	z := a.Zone()
	if z == "" {
		return 0
	}
	if n, err := strconv.ParseUint(z, 10, 32); err == nil {
		return uint32(n)
	}
	if ifc, err := net.InterfaceByName(z); err == nil {
		return uint32(ifc.Index)
	}
	return 0
}

// WithNumericZone returns a with its zone, if it has one, as a number: so it is
// in the addresses that Datagram and LocalAddr return, while people write an
// interface's name. An interface that does not exist leaves a as it is.
func WithNumericZone(a netip.Addr) netip.Addr {
	if n := scopeID(a); n != 0 {
		return a.WithZone(strconv.FormatUint(uint64(n), 10))
	}
	return a
}

// sockaddr is the address as x/sys takes it.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16(), ZoneId: scopeID(ip)}
}

// LocalAddr is the address a socket is bound to; the zero AddrPort if it cannot
// be read.
func LocalAddr(fd int) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	switch s := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(s.Addr)
		if s.ZoneId != 0 {
			a = a.WithZone(strconv.Itoa(int(s.ZoneId)))
		}
		return netip.AddrPortFrom(a, uint16(s.Port))
	}
	return netip.AddrPort{}
}

// addrOf reads a socket address that the kernel wrote, without allocating.
// IPv4-mapped IPv6 addresses come out as IPv4.
func addrOf(raw *unix.RawSockaddrInet6) netip.AddrPort {
	port := func(p *uint16) uint16 { b := (*[2]byte)(unsafe.Pointer(p)); return uint16(b[0])<<8 | uint16(b[1]) }
	switch raw.Family {
	case unix.AF_INET:
		r4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(r4.Addr), port(&r4.Port))
	case unix.AF_INET6:
		// A zone would be a string, so an allocation: Datagram adds it where
		// an address needs one.
		return netip.AddrPortFrom(netip.AddrFrom16(raw.Addr).Unmap(), port(&raw.Port))
	}
	return netip.AddrPort{}
}

// putAddr writes a into raw and returns its length, without allocating.
func putAddr(raw *unix.RawSockaddrInet6, a netip.AddrPort, scope uint32, v6 bool) uint32 {
	setPort := func(p *uint16) {
		b := (*[2]byte)(unsafe.Pointer(p))
		b[0], b[1] = byte(a.Port()>>8), byte(a.Port())
	}
	if !v6 {
		r4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		*r4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().Unmap().As4()}
		setPort(&r4.Port)
		return unix.SizeofSockaddrInet4
	}
	*raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.Addr().As16(), Scope_id: scope}
	setPort(&raw.Port)
	return unix.SizeofSockaddrInet6
}
