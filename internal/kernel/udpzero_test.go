package kernel

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/need"
)

// TestTakeZeroChecksums: a datagram without a checksum over IPv6 is dropped, RFC 8200
// section 8.1: "IPv6 receivers must discard UDP packets containing a zero checksum", and
// taken after that, as RFC 6935 lets tunnels do.
func TestTakeZeroChecksums(t *testing.T) {
	fd, err := ListenUDP(netip.MustParseAddrPort("[::1]:0"))
	if err != nil {
		need.Lack(t, "needs IPv6: %v", err)
	}
	defer unix.Close(fd)
	out, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(out)
	if err = unix.Connect(out, sockaddr(LocalAddr(fd))); err != nil {
		t.Fatal(err)
	}
	send := func(without int, text string) {
		t.Helper()
		if err := unix.SetsockoptInt(out, unix.SOL_UDP, unix.UDP_NO_CHECK6_TX, without); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(out, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	receive := func() string {
		t.Helper()
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(5*time.Second/time.Millisecond)); err != nil || n != 1 {
			t.Fatalf("nothing came: %d, %v", n, err)
		}
		buffer := make([]byte, 64)
		n, err := unix.Read(fd, buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
	send(1, "without")
	send(0, "with")
	if got := receive(); got != "with" {
		t.Errorf("the first that comes is the one %s a checksum", got)
	}
	if err := TakeZeroChecksums(fd, true); err != nil {
		t.Fatal(err)
	}
	send(1, "without")
	if got := receive(); got != "without" {
		t.Errorf("what comes is the one %s a checksum", got)
	}
	if err := TakeZeroChecksums(fd, false); err != nil {
		t.Fatal(err)
	}
	send(1, "without")
	send(0, "with")
	if got := receive(); got != "with" {
		t.Errorf("after it was taken back, the first that comes is the one %s a checksum", got)
	}
}
