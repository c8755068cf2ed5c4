package kernel

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// retryMerging is how long a refusal of the kernel to cut messages into
// datagrams is remembered: a path's MTU, an IPsec policy and a socket's options
// change rarely, but they do.
const retryMerging = time.Minute

// neverMerge is the end of a refusal that has none.
const neverMerge = int64(1<<63 - 1)

// Destination is where a SendBatch sends datagrams: a socket, the peer, and the
// local address they come from, in the form that system calls take. It does not
// change, but for what it learns of the path; any number of batches may use it
// at once. Order is kept for each Destination, not between two of the same peer.
type Destination struct {
	fd         int
	socket     *Socket // that fd is of; nil: fd stays open as long as this is in use
	slot       uint8   // where batches look for its latest message
	namelen    uint32
	controlLen int
	maxPayload int
	control    [controlSize]byte
	name       unix.RawSockaddrInet6

	// Datagrams of limit octets and more are not merged until the time
	// (Unix, in nanoseconds): the kernel has refused that.
	limit atomic.Int32
	until atomic.Int64
}

// slots numbers Destinations, to spread them over the slots of batches.
var slots atomic.Uint32

// NewDestination prepares sending to peer by the socket fd of ListenUDP, from
// the address local (the kernel's choice if it is unspecified or not valid).
func NewDestination(fd int, local netip.Addr, peer netip.AddrPort) *Destination {
	d := &Destination{fd: fd, slot: uint8(slots.Add(1))}
	v6 := peer.Addr().Is6() && !peer.Addr().Is4In6()
	d.namelen = putAddr(&d.name, peer, scopeID(peer.Addr()), v6)
	d.controlLen = putPacketInfo(&d.control, local, v6)
	// An IP packet has 65,535 octets at most, with 20 or 40 of IP header and 8
	// of UDP header.
	d.maxPayload = 65507
	if v6 {
		d.maxPayload = 65487
	}
	d.limit.Store(MaxDatagram + 1)
	if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT); err != nil {
		// Linux before 4.18 ignores the wish and would send one huge datagram.
		d.refuse(0, neverMerge)
	}
	return d
}

// refuse notes that datagrams of size octets and more are not to be merged.
func (d *Destination) refuse(size int, until int64) {
	d.until.Store(until)
	d.limit.Store(min(int32(size), d.limit.Load()))
}

// mayMerge reports whether datagrams of n octets may be merged; it is asked only
// for those that were refused once.
func (d *Destination) mayMerge(now int64) bool {
	if now < d.until.Load() {
		return false
	}
	d.limit.Store(MaxDatagram + 1)
	return true
}

// refusesMerging reports whether an error of a merged message may be about the
// merging: then its datagrams are worth another try, one by one.
//
//   - EINVAL: the datagrams do not fit into the path's MTU, or the socket has
//     SO_NO_CHECK; EMSGSIZE the former, in some versions;
//   - EIO: the route leads through IPsec, or the device computes no checksums;
//   - EOPNOTSUPP, ENOPROTOOPT: not Linux, but something that looks like it.
func refusesMerging(err unix.Errno) bool {
	switch err {
	case unix.EINVAL, unix.EMSGSIZE, unix.EIO, unix.EOPNOTSUPP, unix.ENOPROTOOPT:
		return true
	}
	return false
}

// refusedFrom is the size from which on merging is pointless after err for
// datagrams of size octets: all sizes, or those that do not fit the path's MTU.
func refusedFrom(fd int, err unix.Errno, size int) int {
	if err != unix.EINVAL && err != unix.EMSGSIZE {
		return 0
	}
	if off, e := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK); e != nil || off != 0 {
		return 0
	}
	return size
}

// maxSegments is UDP_MAX_SEGMENTS of the running kernel: how many datagrams a
// message may be cut into. It was 64 before Linux 6.9.
var maxSegments = sync.OnceValue(func() int {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 64
	}
	return segmentsOf(unix.ByteSliceToString(u.Release[:]))
})

func segmentsOf(release string) int {
	major, minor, ok := kernelVersion(release)
	if ok && (major > 6 || major == 6 && minor >= 9) {
		return 128
	}
	return 64
}

// kernelVersion reads the first two numbers of uname's release.
func kernelVersion(release string) (major, minor int, ok bool) {
	first, rest, ok := strings.Cut(release, ".")
	if !ok {
		return 0, 0, false
	}
	digits := func(s string) (n int, ok bool) {
		for i := 0; i < len(s) && i < 5 && '0' <= s[i] && s[i] <= '9'; i++ {
			n, ok = n*10+int(s[i]-'0'), true
		}
		return n, ok
	}
	major, ok = digits(first)
	if !ok {
		return 0, 0, false
	}
	minor, ok = digits(rest)
	return major, minor, ok
}
