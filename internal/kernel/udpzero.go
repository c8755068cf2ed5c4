package kernel

import "golang.org/x/sys/unix"

// TakeZeroChecksums has an IPv6 UDP socket take datagrams whose checksum is zero, which
// stands for none, RFC 6935; over IPv4 any socket does. What the socket sends has its
// checksums all the same: the kernel does not cut messages (UDP_SEGMENT) without, and
// who takes datagrams without takes those with. Without take, it drops them again.
func TakeZeroChecksums(fd int, take bool) error {
	on := 0
	if take {
		on = 1
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_NO_CHECK6_RX, on); err != nil {
		return plainError("take UDP messages without a checksum over IPv6", err)
	}
	return nil
}
