package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"adit/internal/need"
)

var loopbacks = []struct {
	name string
	addr netip.Addr
}{
	{"IPv4", netip.MustParseAddr("127.0.0.1")},
	{"IPv6", netip.MustParseAddr("::1")},
}

// listen opens a listener on a free port of addr.
func listen(t testing.TB, addr netip.Addr) (fd int, local netip.AddrPort) {
	t.Helper()
	fd, err := ListenUDP(netip.AddrPortFrom(addr, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd, LocalAddr(fd)
}

func connected(t testing.TB, local, peer netip.AddrPort) int {
	t.Helper()
	fd, err := ConnectedUDP(local, peer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// waitReadable waits until fd has something, for at most ms milliseconds.
func waitReadable(fd, ms int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p, ms)
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

func TestListenUDPIsCloseOnExecAndNonBlocking(t *testing.T) {
	for _, lb := range loopbacks {
		fd, local := listen(t, lb.addr)
		if local.Port() == 0 || local.Addr() != lb.addr {
			t.Errorf("%s: bound to %v", lb.name, local)
		}
		checkFlags(t, fd)
		checkFlags(t, connected(t, local, netip.AddrPortFrom(lb.addr, 9)))
	}
}

func checkFlags(t *testing.T, fd int) {
	t.Helper()
	if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor is not close-on-exec: %x, %v", fl, err)
	}
	if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK == 0 {
		t.Errorf("descriptor is not non-blocking: %x, %v", fl, err)
	}
}

// Another daemon on the port, whether it has SO_REUSEADDR (as xl2tpd has) or
// not, has to be noticed.
func TestListenUDPNoticesAnotherProgram(t *testing.T) {
	for _, lb := range loopbacks {
		for _, reuse := range []int{0, 1} {
			family := unix.AF_INET6
			if lb.addr.Is4() {
				family = unix.AF_INET
			}
			other, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.SetsockoptInt(other, unix.SOL_SOCKET, unix.SO_REUSEADDR, reuse); err != nil {
				t.Fatal(err)
			}
			if err := unix.Bind(other, sockaddr(netip.AddrPortFrom(lb.addr, 0))); err != nil {
				t.Fatal(err)
			}
			addr := LocalAddr(other)
			_, err = ListenUDP(addr)
			if !errors.Is(err, ErrPortInUse) || !errors.Is(err, unix.EADDRINUSE) {
				t.Errorf("%s, reuse %d: %v", lb.name, reuse, err)
			} else if !strings.Contains(err.Error(), "another program holds UDP port") || !strings.Contains(err.Error(), "ss -lunp sport = :") {
				t.Errorf("the error does not help: %v", err)
			}
			_ = unix.Close(other)
			fd, err := ListenUDP(addr)
			if err != nil {
				t.Errorf("after the other has gone: %v", err)
				continue
			}
			_ = unix.Close(fd)
		}
	}
}

func TestListenUDPErrors(t *testing.T) {
	_, err := ListenUDP(netip.MustParseAddrPort("192.0.2.1:0"))
	if !errors.Is(err, ErrNoAddress) || !strings.Contains(err.Error(), "this machine has no address 192.0.2.1") {
		t.Errorf("foreign address: %v", err)
	}
	_, err = ConnectedUDP(netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("[::1]:1701"))
	if !errors.Is(err, ErrNoAddress) {
		t.Errorf("mixed families: %v", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.Op == "" {
		t.Errorf("not an *Error: %#v", err)
	}
}

// A socket of the tunnel's own on the listener's address and port gets the
// datagrams of its peer; the listener keeps those of all others, and what it
// had queued before.
func TestConnectedUDPTakesItsPeer(t *testing.T) {
	for _, lb := range loopbacks {
		t.Run(lb.name, func(t *testing.T) {
			listener, at := listen(t, lb.addr)
			peer1, addr1 := listen(t, lb.addr)
			peer2, _ := listen(t, lb.addr)
			send := func(fd int, text string) {
				t.Helper()
				if err := SendFrom(fd, []byte(text), netip.Addr{}, at); err != nil {
					t.Fatal(err)
				}
			}
			send(peer1, "early")
			own := connected(t, at, addr1)
			send(peer1, "to the tunnel")
			send(peer2, "stranger")

			if got := receiveAll(t, own, 1); got[0] != "to the tunnel" {
				t.Errorf("the tunnel's socket got %q", got)
			}
			if got := receiveAll(t, listener, 2); got[0] != "early" || got[1] != "stranger" {
				t.Errorf("the listener got %q", got)
			}
			// And what the tunnel's socket sends comes from the known port.
			if n, err := unix.Write(own, []byte("answer")); n != 6 || err != nil {
				t.Fatal(n, err)
			}
			b := NewRecvBatch(1)
			receive(t, peer1, b, 1)
			if _, _, from, _ := b.Datagram(0); from != at {
				t.Errorf("the answer came from %v", from)
			}
		})
	}
}

// receiveAll takes n datagrams.
func receiveAll(t *testing.T, fd, n int) (texts []string) {
	t.Helper()
	b := NewRecvBatch(1)
	for range n {
		receive(t, fd, b, 1)
		data, _, _, _ := b.Datagram(0)
		texts = append(texts, string(data))
	}
	return texts
}

// A connected peer's ICMP port unreachable is an error once, and the socket
// lives on.
func TestReceiveAfterConnectionRefused(t *testing.T) {
	gone, addr := listen(t, netip.MustParseAddr("127.0.0.1"))
	own := connected(t, netip.MustParseAddrPort("127.0.0.1:0"), addr)
	_ = unix.Close(gone)
	if _, err := unix.Write(own, []byte("x")); err != nil {
		t.Fatal(err)
	}
	b := NewRecvBatch(1)
	if _, err := b.Receive(own); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("first: %v", err)
	}
	if n, err := b.Receive(own); err != nil || n != 0 {
		t.Errorf("second: %v", err)
	}
}

// Ancillary data is the kernel's, and yet no length in it is trusted.
func TestControlOfGarbage(t *testing.T) {
	var good [controlSize]byte
	n := putPacketInfo(&good, netip.MustParseAddr("2001:db8::1"), true)
	if a := readControl(good[:n]); a.to != netip.MustParseAddr("2001:db8::1") || a.segment != 0 {
		t.Errorf("own encoding: %+v", a)
	}
	n = putPacketInfo(&good, netip.MustParseAddr("192.0.2.9"), false)
	if a := readControl(good[:n]); a.to != netip.MustParseAddr("192.0.2.9") || a.segment != 0 {
		t.Errorf("own encoding: %+v", a)
	}
	for cut := range n - 4 { // 28 octets are the message, the rest pads
		if a := readControl(good[:cut]); a.to.IsValid() {
			t.Errorf("%d octets gave %+v", cut, a)
		}
	}
	for _, length := range []uint64{0, 1, 15, 16, 17, 27, 33, 65, 1 << 40, 1 << 63} {
		c := good
		binary.NativeEndian.PutUint64(c[:], length)
		if a := readControl(c[:n]); a.to.IsValid() {
			t.Errorf("length %d gave %+v", length, a)
		}
	}
}

func TestIPv6ListenerTakesNoIPv4(t *testing.T) {
	fd, err := ListenUDP(netip.MustParseAddrPort("[::]:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// Both wildcards of one port can be had.
	fd4, err := ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), LocalAddr(fd).Port()))
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd4)
}

func TestWithNumericZone(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		need.Lack(t, "needs an interface lo: %v", err)
	}
	for in, want := range map[string]string{
		"fe80::1%lo":          fmt.Sprintf("fe80::1%%%d", lo.Index),
		"fe80::1%7":           "fe80::1%7",
		"fe80::1%nosuchiface": "fe80::1%nosuchiface",
		"fe80::1":             "fe80::1",
		"2001:db8::1":         "2001:db8::1",
		"192.0.2.1":           "192.0.2.1",
	} {
		if got := WithNumericZone(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if WithNumericZone(netip.Addr{}).IsValid() {
		t.Error("the zero Addr became an address")
	}
}
