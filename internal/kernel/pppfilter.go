package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrTooManySources says that a program for so many prefixes would be longer
// than the kernel takes: some 1,000 of IPv4, or 450 to 800 of IPv6.
var ErrTooManySources = errors.New("more source prefixes than a filter of the kernel can have")

// Where the pass filter of a unit finds what, in octets. The kernel puts two
// octets before the Protocol field: the first is 1 on the way out and 0 on the
// way in, the second means nothing. Only frames of network protocols that the
// kernel's PPP knows come to it.
const (
	filterDirection = 0
	filterProtocol  = 2
	filterIPv4Src   = 4 + 12
	filterIPv6Src   = 4 + 8

	filterPass = 0xffffffff
	filterDrop = 0
)

// SourceFilter is a pass filter that lets in packets of IPv4 and IPv6 from these
// prefixes alone, and everything else: what goes out, and packets of other
// protocols. What is too short to have a source address does not pass. A family
// without prefixes does not pass at all. Bits beyond a prefix do not matter.
func SourceFilter(sources []netip.Prefix) ([]unix.SockFilter, error) {
	const load8, load16 = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
	head := []unix.SockFilter{
		{Code: load8, K: filterDirection},
		{Code: filterJumpEqual, K: 0, Jt: 1},
		{Code: filterReturn, K: filterPass},
		{Code: load16, K: filterProtocol},
		{Code: filterJumpEqual, K: protocolIPv4, Jt: 3}, // over three, to IPv4's
		{Code: filterJumpEqual, K: protocolIPv6, Jt: 1},
		{Code: filterReturn, K: filterPass},
		{Code: unix.BPF_JMP | unix.BPF_JA}, // over IPv4's; conditional jumps reach 255
	}
	var ipv4, ipv6 []unix.SockFilter
	for _, p := range sources {
		switch {
		case !p.IsValid():
		case p.Addr().Is4():
			ipv4 = appendSource(ipv4, p, filterIPv4Src)
		default:
			ipv6 = appendSource(ipv6, p, filterIPv6Src)
		}
	}
	ipv4 = append(ipv4, unix.SockFilter{Code: filterReturn, K: filterDrop})
	ipv6 = append(ipv6, unix.SockFilter{Code: filterReturn, K: filterDrop})
	head[len(head)-1].K = uint32(len(ipv4))
	program := append(append(head, ipv4...), ipv6...)
	if len(program) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("%w: %d of them make %d instructions, of %d", ErrTooManySources, len(sources), len(program), unix.BPF_MAXINSNS)
	}
	return program, nil
}

const (
	protocolIPv4 = 0x0021
	protocolIPv6 = 0x0057

	filterLoad      = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	filterAnd       = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	filterJumpEqual = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	filterReturn    = unix.BPF_RET | unix.BPF_K
)

// appendSource appends instructions that pass a packet whose address at an offset
// is in the prefix, and go on to what follows if it is not.
func appendSource(program []unix.SockFilter, p netip.Prefix, offset uint32) []unix.SockFilter {
	p = p.Masked()
	address, start := p.Addr().AsSlice(), len(program)
	for bits := p.Bits(); bits > 0; bits -= 32 {
		program = append(program, unix.SockFilter{Code: filterLoad, K: offset})
		if bits < 32 {
			program = append(program, unix.SockFilter{Code: filterAnd, K: ^uint32(0) << (32 - bits)})
		}
		program = append(program, unix.SockFilter{Code: filterJumpEqual, K: binary.BigEndian.Uint32(address)})
		address, offset = address[4:], offset+4
	}
	program = append(program, unix.SockFilter{Code: filterReturn, K: filterPass})
	for i := start; i < len(program); i++ {
		if program[i].Code == filterJumpEqual {
			program[i].Jf = uint8(len(program) - i - 1)
		}
	}
	return program
}

// SetPassFilter sets the unit's pass filter, which takes the place of the one
// before, between one packet and the next; an empty one takes it away. What it
// does not pass is gone, and no counter of the kernel tells of it: an interface
// counts such packets as received. A kernel without CONFIG_PPP_FILTER is
// ErrNotSupported.
func (u *PPPUnit) SetPassFilter(program []unix.SockFilter) error {
	const op = "set the pass filter of a PPP unit"
	if len(program) > unix.BPF_MAXINSNS {
		return plainError(op, unix.EINVAL)
	}
	raw := unix.SockFprog{Len: uint16(len(program)), Filter: unsafe.SliceData(program)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(u.FD()), unix.PPPIOCSPASS, uintptr(unsafe.Pointer(&raw)))
	runtime.KeepAlive(program)
	if errno == 0 {
		return nil
	}
	if errno == unix.ENOTTY {
		return &Error{Op: op, Kind: ErrNotSupported, Err: errno, Advice: "the kernel was built without CONFIG_PPP_FILTER"}
	}
	return pppIoctlError(op, errno)
}
