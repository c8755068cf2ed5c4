package kernel

import "golang.org/x/sys/unix"

// TakeZeroChecksums has an IPv6 UDP socket take datagrams whose checksum is zero, which
// stands for none, RFC 6935; over IPv4 any socket does. What the socket sends has its
// checksums all the same: the kernel does not cut messages (UDP_SEGMENT) without, and
// who takes datagrams without takes those with.
func TakeZeroChecksums(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_NO_CHECK6_RX, 1); err != nil {
		return plainError("take UDP messages without a checksum over IPv6", err)
	}
	return nil
}
