package scenario

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443 section 4).
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// The headers of an echo request: IP's, and ICMP's.
const (
	ipHeader4, ipHeader6, echoHeader = 20, 40, 8
)

// Echo sends echo requests that are IP packets of size octets and may not be fragmented,
// each when the one before has its answer or has waited for it long enough, and says how
// many were answered. It starts no process, which on an emulated machine takes longer
// than the answers do.
func (ns *NS) Echo(dst netip.Addr, size, count int, wait time.Duration) (received int, err error) {
	e := &echoer{v6: dst.Is6(), id: uint16(rand.Uint32())}
	if err = ns.Do(func() error { return e.open(dst) }); err != nil {
		return 0, fmt.Errorf("echo from %s to %s: %w", ns.Name, dst, err)
	}
	defer unix.Close(e.fd)
	for i := range count {
		var ok bool
		if ok, err = e.exchange(uint16(i), size, wait); err != nil {
			return received, fmt.Errorf("echo from %s to %s: %w", ns.Name, dst, err)
		}
		if ok {
			received++
		}
	}
	return received, nil
}

type echoer struct {
	fd int
	v6 bool
	id uint16
}

func (e *echoer) open(dst netip.Addr) (err error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	level, option, value := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO
	var to unix.Sockaddr
	if !e.v6 {
		to = &unix.SockaddrInet4{Addr: dst.As4()}
	} else {
		family, protocol, to = unix.AF_INET6, unix.IPPROTO_ICMPV6, &unix.SockaddrInet6{Addr: dst.As16()}
		level, option, value = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO
	}
	if e.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol); err != nil {
		return err
	}
	if err = unix.SetsockoptInt(e.fd, level, option, value); err == nil {
		err = unix.Connect(e.fd, to)
	}
	if err != nil {
		_ = unix.Close(e.fd)
	}
	return err
}

// exchange sends one request. A request that the kernel will not send, such as one for
// which there is no neighbour, is one without an answer; one that is too long is an error.
func (e *echoer) exchange(sequence uint16, size int, wait time.Duration) (answered bool, err error) {
	request := e.request(sequence, size)
	if _, err := unix.Write(e.fd, request); err == unix.EMSGSIZE {
		return false, fmt.Errorf("a packet of %d octets: %w", size, err)
	}
	deadline := time.Now().Add(wait)
	buffer := make([]byte, 1<<16)
	for {
		left := time.Until(deadline)
		if left < time.Millisecond {
			return false, nil
		}
		tv := unix.NsecToTimeval(left.Nanoseconds())
		if err := unix.SetsockoptTimeval(e.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return false, err
		}
		n, err := unix.Read(e.fd, buffer)
		if err == nil && e.answers(buffer[:n], request) {
			return true, nil
		}
	}
}

func (e *echoer) request(sequence uint16, size int) []byte {
	kind, header := byte(echoRequest4), ipHeader4
	if e.v6 {
		kind, header = echoRequest6, ipHeader6
	}
	m := make([]byte, max(size-header, echoHeader))
	m[0] = kind
	binary.BigEndian.PutUint16(m[4:], e.id)
	binary.BigEndian.PutUint16(m[6:], sequence)
	for i := range m[echoHeader:] {
		m[echoHeader+i] = byte(i)
	}
	if !e.v6 { // else the kernel does it
		binary.BigEndian.PutUint16(m[2:], checksum(m))
	}
	return m
}

// answers says whether a packet is the answer to a request, with all of it.
func (e *echoer) answers(packet, request []byte) bool {
	kind := byte(echoReply6)
	if !e.v6 { // with its IP header
		if len(packet) < ipHeader4 {
			return false
		}
		kind, packet = echoReply4, packet[int(packet[0]&15)*4:]
	}
	return len(packet) == len(request) && packet[0] == kind && string(packet[4:]) == string(request[4:])
}

// checksum of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
