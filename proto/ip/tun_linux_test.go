package ip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"adit/internal/need"
)

// A judge that is not ours: super packets written into a TUN must come out of a
// socket of the kernel as the data of the packets that they were made of, and
// what the kernel gives as super packets must be taken apart into packets that
// are right.

// What the standard library does not know, which is all that proto may import.
const (
	vnetLen = 10 // octets of struct virtio_net_hdr

	vnetNeedsChecksum = 1 // its flags
	vnetTCPv4         = 1 // its gso_type
	vnetTCPv6         = 4
	vnetUDP           = 5
	vnetECN           = 0x80

	tunTSO = 0x01 | 0x02 | 0x04 // TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6
	tunUSO = 0x20 | 0x40        // TUN_F_USO4, TUN_F_USO6

	udpSegment = 103 // UDP_SEGMENT
)

// ifreq is struct ifreq with flags in it.
type ifreq struct {
	name  [16]byte
	flags uint16
	_     [22]byte
}

func ioctl(fd int, request, argument uintptr) syscall.Errno {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, argument)
	return errno
}

// tun is a TUN interface in a network namespace of the test's thread, with the
// addresses 10.77.0.1/24 and fd77::1/64.
type tun struct {
	t    *testing.T
	file *os.File
	o    Offloads
}

// newTUN moves the test to a locked thread in a network namespace of its own;
// both end with the test. Without the permission the test is skipped, or fails
// if CI says that it must run.
func newTUN(t *testing.T) *tun {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		need.Lack(t, "needs root for a network namespace: %v", err)
	}
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		need.Lack(t, "needs /dev/net/tun: %v", err)
	}
	request := ifreq{flags: syscall.IFF_TUN | syscall.IFF_NO_PI | syscall.IFF_VNET_HDR}
	copy(request.name[:], "super0")
	if errno := ioctl(fd, syscall.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		syscall.Close(fd)
		need.Lack(t, "needs CAP_NET_ADMIN for a TUN: %v", errno)
	}
	u := &tun{t: t, file: os.NewFile(uintptr(fd), "tun"), o: everything}
	t.Cleanup(func() { u.file.Close() })
	if ioctl(fd, syscall.TUNSETOFFLOAD, tunTSO|tunUSO) != 0 {
		u.o.USO = false // before Linux 6.2
		if errno := ioctl(fd, syscall.TUNSETOFFLOAD, tunTSO); errno != 0 {
			t.Fatal(errno)
		}
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", "10.77.0.1/24", "dev", "super0"},
		{"addr", "add", "fd77::1/64", "dev", "super0", "nodad"},
		{"link", "set", "super0", "up"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			need.Lack(t, "ip %v: %v: %s", args, err, out)
		}
	}
	u.waitForAddress()
	return u
}

// waitForAddress waits until the kernel delivers to the IPv6 address: it makes
// it its own, and the route to it, from a work queue.
func (u *tun) waitForAddress() {
	u.t.Helper()
	local, _ := ends(6)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		err := toOneself(netip.AddrPortFrom(local, 0))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("no address: %v", err)
		}
	}
}

// toOneself sends a datagram from an address to itself.
func toOneself(local netip.AddrPort) error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(local))
	if err != nil {
		return err
	}
	defer c.Close()
	if err = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		return err
	}
	if _, err = c.WriteToUDP([]byte{1}, c.LocalAddr().(*net.UDPAddr)); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// write writes what Finish returned.
func (u *tun) write(g GSO, parts [][]byte) {
	u.t.Helper()
	if len(parts) == 0 {
		return
	}
	b := append(vnet(g), joined(parts)...)
	if _, err := u.file.Write(b); err != nil {
		u.t.Fatalf("write %+v, %d octets: %v", g, len(b), err)
	}
}

// vnet is the virtio_net_hdr of g.
func vnet(g GSO) []byte {
	var flags, kind byte
	if g.NeedsChecksum {
		flags = vnetNeedsChecksum
	}
	switch g.Type {
	case GSOTCPv4:
		kind = vnetTCPv4
	case GSOTCPv6:
		kind = vnetTCPv6
	case GSOUDP:
		kind = vnetUDP
	case GSONone:
	}
	b := []byte{flags, kind}
	for _, v := range []uint16{g.HeaderLen, g.SegmentSize, g.ChecksumStart, g.ChecksumOffset} {
		b = binary.NativeEndian.AppendUint16(b, v)
	}
	return b
}

// ofVnet is what the virtio_net_hdr at the start of b says.
func ofVnet(b []byte) GSO {
	word := func(at int) uint16 { return binary.NativeEndian.Uint16(b[at:]) }
	g := GSO{HeaderLen: word(2), SegmentSize: word(4), ChecksumStart: word(6), ChecksumOffset: word(8),
		NeedsChecksum: b[0]&vnetNeedsChecksum != 0}
	switch b[1] &^ vnetECN {
	case vnetTCPv4:
		g.Type = GSOTCPv4
	case vnetTCPv6:
		g.Type = GSOTCPv6
	case vnetUDP:
		g.Type = GSOUDP
	}
	return g
}

// read returns the next packet that the kernel sends to the TUN, and skips
// those that want does not accept.
func (u *tun) read(want func(h Header, packet []byte) bool) (GSO, []byte) {
	u.t.Helper()
	b := make([]byte, 70000)
	if err := u.file.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		u.t.Fatal(err)
	}
	for {
		n, err := u.file.Read(b)
		if err != nil {
			u.t.Fatalf("nothing comes: %v", err)
		}
		g, packet := ofVnet(b), b[vnetLen:n]
		if h, err := Parse(packet); err == nil && want(h, packet) {
			return g, bytes.Clone(packet)
		}
	}
}

// ends are the TUN's address and one behind it, of a version.
func ends(version int) (local, remote netip.Addr) {
	if version == 4 {
		return netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
	}
	return netip.MustParseAddr("fd77::1"), netip.MustParseAddr("fd77::2")
}

// right tells whether a packet of TCP or UDP has the right checksums.
func right(packet []byte) bool {
	fixed := bytes.Clone(packet)
	if fixed[0]>>4 == 4 {
		fixIP4(fixed)
	}
	fixUpper(fixed)
	return bytes.Equal(fixed, packet)
}

func TestTUNUDP(t *testing.T) {
	u := newTUN(t)
	if !u.o.USO {
		need.Lack(t, "needs a TUN that takes merged datagrams (Linux 6.2)")
	}
	for _, version := range []int{4, 6} {
		local, remote := ends(version)
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetReadBuffer(4 << 20); err != nil {
			t.Fatal(err)
		}
		for _, sizes := range [][]int{{1, 1, 1}, {100, 100, 99}, {1372, 1372}, {1, 1}, same(400, 128), same(1300, 49), {512, 512, 1}, same(60, MaxSegments), {32000, 32000}} {
			f := flowOf(version, ProtocolUDP)
			f.src, f.dst, f.dport = remote, local, c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			var s Super
			var want [][]byte
			for i, n := range sizes {
				payload := octets(n, n+i)
				want = append(want, payload)
				p := f.next(payload)
				if i == 0 {
					s.Start(p, mustParse(p), u.o)
				} else if !s.Add(p, mustParse(p)) {
					t.Fatalf("IPv%d, %v: packet %d is not added", version, sizes, i)
				}
			}
			u.write(s.Finish())
			b := make([]byte, 65536)
			if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			for i, payload := range want {
				n, from, err := c.ReadFromUDPAddrPort(b)
				if err != nil {
					t.Fatalf("IPv%d, %d of %d octets: datagram %d: %v", version, len(sizes), sizes[0], i, err)
				}
				if !bytes.Equal(b[:n], payload) || from.Addr().Unmap() != remote {
					t.Fatalf("IPv%d: datagram %d of %d differs: %d octets from %v", version, i, len(want), n, from)
				}
			}
		}
	}
}

// same is n times size.
func same(size, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = size
	}
	return all
}

// The kernel's UDP_SEGMENT makes super packets for the TUN; each of them must
// come apart into the datagrams that were sent.
func TestTUNSplitUDP(t *testing.T) {
	u := newTUN(t)
	for _, version := range []int{4, 6} {
		_, remote := ends(version)
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{100, 999, 1400} {
			if err := raw.Control(func(fd uintptr) {
				if err := syscall.SetsockoptInt(int(fd), syscall.IPPROTO_UDP, udpSegment, size); err != nil {
					t.Fatal(err)
				}
			}); err != nil {
				t.Fatal(err)
			}
			data := octets(size*17+33, size)
			if _, err := c.Write(data); err != nil {
				t.Fatal(err)
			}
			var got []byte
			for len(got) < len(data) {
				g, packet := u.read(func(h Header, _ []byte) bool { return h.Protocol == ProtocolUDP && h.Dst == remote })
				if u.o.USO && g.Type != GSOUDP {
					t.Fatalf("IPv%d: the kernel gives %+v, want a super packet", version, g)
				}
				got = append(got, segments(t, g, packet, size)...)
			}
			if !bytes.Equal(got, data) {
				t.Errorf("IPv%d, %d octets: the data differ", version, size)
			}
		}
	}
}

// segments cuts a packet and returns the payloads, which must be right and, but
// for the last, of size octets.
func segments(t *testing.T, g GSO, packet []byte, size int) []byte {
	t.Helper()
	all, err := cut(g, packet)
	if err != nil {
		t.Fatalf("%+v: %v", g, err)
	}
	var data []byte
	for i, p := range all {
		h := mustParse(p)
		at := h.HeaderLen + udpLen
		if h.Protocol == ProtocolTCP {
			at = h.HeaderLen + int(p[h.HeaderLen+12]>>4)*4
		}
		if !right(p) || i < len(all)-1 && len(p)-at != size {
			t.Errorf("segment %d of %+v: %d octets, checksums right: %v", i, g, len(p), right(p))
		}
		data = append(data, p[at:]...)
	}
	return data
}

// The kernel believes the ICMP messages: a connected socket gets the error of
// the packet that it sent.
func TestTUNErrors(t *testing.T) {
	u := newTUN(t)
	for _, version := range []int{4, 6} {
		_, remote := ends(version)
		refused := map[Unreachable]error{
			UnreachablePort: syscall.ECONNREFUSED, UnreachableAddress: syscall.EHOSTUNREACH,
			UnreachableNoRoute: syscall.ENETUNREACH, UnreachableProhibited: syscall.EHOSTUNREACH,
		}
		if version == 6 {
			refused[UnreachableProhibited], refused[UnreachableSource] = syscall.EACCES, syscall.EACCES
		}
		for code, want := range refused {
			err := u.provoke(remote, 100, func(packet []byte) ([]byte, bool) {
				return AppendUnreachable(nil, packet, remote, code)
			})
			if !errors.Is(err, want) {
				t.Errorf("IPv%d, %v: %v, want %v", version, code, err, want)
			}
		}
		err := u.provoke(remote, 1400, func(packet []byte) ([]byte, bool) {
			return AppendTooBig(nil, packet, remote, 1300)
		})
		if !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("IPv%d, too big: %v, want %v", version, err, syscall.EMSGSIZE)
		}
	}
}

// provoke sends a datagram, answers it with what build makes of it, and returns
// the error that the socket has then.
func (u *tun) provoke(remote netip.Addr, size int, build func(packet []byte) ([]byte, bool)) error {
	u.t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
	if err != nil {
		u.t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		u.t.Fatal(err)
	}
	control := func(f func(fd int) error) (result error) {
		if failed := raw.Control(func(fd uintptr) { result = f(int(fd)) }); failed != nil {
			u.t.Fatal(failed)
		}
		return result
	}
	if err = control(func(fd int) error {
		if remote.Is4() { // soft errors too, and DF
			return errors.Join(syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_RECVERR, 1),
				syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DO))
		}
		return errors.Join(syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, 1),
			syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_MTU_DISCOVER, syscall.IPV6_PMTUDISC_DO))
	}); err != nil {
		u.t.Fatal(err)
	}
	if _, err = c.Write(octets(size, size)); err != nil {
		u.t.Fatal(err)
	}
	g, packet := u.read(func(h Header, _ []byte) bool { return h.Protocol == ProtocolUDP && h.Dst == remote })
	whole, err := cut(g, packet)
	if err != nil {
		u.t.Fatal(err)
	}
	answer, ok := build(whole[0])
	if !ok {
		u.t.Fatal("no ICMP message")
	}
	u.write(GSO{}, [][]byte{answer})
	// A write to a TUN is through the stack when it returns.
	var pending int
	if err = control(func(fd int) (failed error) {
		pending, failed = syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR)
		return failed
	}); err != nil {
		u.t.Fatal(err)
	}
	return syscall.Errno(pending)
}

// A request that goes out by the kernel is answered, and the kernel takes the
// answer.
func TestTUNEcho(t *testing.T) {
	u := newTUN(t)
	for _, version := range []int{4, 6} {
		_, remote := ends(version)
		family, protocol, request, reply := syscall.AF_INET, syscall.IPPROTO_ICMP, byte(icmp4Echo), byte(icmp4EchoReply)
		address := syscall.Sockaddr(&syscall.SockaddrInet4{Addr: [4]byte(remote.AsSlice())})
		if version == 6 {
			family, protocol, request, reply = syscall.AF_INET6, syscall.IPPROTO_ICMPV6, icmp6Echo, icmp6EchoReply
			address = &syscall.SockaddrInet6{Addr: remote.As16()}
		}
		fd, err := syscall.Socket(family, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, protocol)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
		message := append([]byte{request, 0, 0, 0, 1, 2, 0, 3}, octets(101, 1)...)
		if version == 4 { // of a raw socket of ICMPv6 the kernel makes the checksum
			binary.BigEndian.PutUint16(message[2:], ^naive(message, 0))
		}
		if err = syscall.Sendto(fd, message, 0, address); err != nil {
			t.Fatal(err)
		}
		g, packet := u.read(func(h Header, p []byte) bool { return h.Dst == remote && p[h.HeaderLen] == request })
		whole, err := cut(g, packet)
		if err != nil {
			t.Fatal(err)
		}
		answer, ok := AppendEchoReply(nil, whole[0])
		if !ok {
			t.Fatalf("IPv%d: no answer to %x", version, whole[0])
		}
		u.write(GSO{}, [][]byte{answer})
		b := make([]byte, 2000)
		n, _, err := syscall.Recvfrom(fd, b, 0)
		if err != nil {
			t.Fatalf("IPv%d: the kernel drops the answer: %v", version, err)
		}
		got := b[:n]
		if version == 4 {
			got = got[20:]
		}
		if got[0] != reply || !bytes.Equal(got[4:], message[4:]) {
			t.Errorf("IPv%d: %x", version, got)
		}
	}
}
