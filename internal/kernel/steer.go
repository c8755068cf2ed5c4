package kernel

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// QueueOf is the queue by which packets to dst come: a hash of an IPv4 address,
// or of the first 64 bits of an IPv6 address, so that all packets of a
// subscriber's address or /64 come by one.
func (t *TUN) QueueOf(dst netip.Addr) int {
	return int(steeringHash(dst) % uint32(len(t.queues)))
}

// steeringMask is what of the hash counts: the kernel takes 16 bits of what the
// program returns, and then the remainder.
const steeringMask = 0xffff

// steeringHash is what steeringProgram computes, of the address as the packet
// has it.
func steeringHash(dst netip.Addr) uint32 {
	dst = dst.Unmap()
	if dst.Is4() {
		a := dst.As4()
		return mix(binary.BigEndian.Uint32(a[:])) & steeringMask
	}
	a := dst.As16()
	return mix(mix(binary.BigEndian.Uint32(a[:]))^binary.BigEndian.Uint32(a[4:])) & steeringMask
}

// The constants of mix: each is odd, so that no step loses a bit.
const (
	mixA = 0x7feb352d
	mixB = 0x846ca68b
)

// mix spreads each bit of x over all of the result, so that its remainder by any
// number of queues is even, whatever addresses a pool has.
func mix(x uint32) uint32 {
	x ^= x >> 16
	x *= mixA
	x ^= x >> 15
	x *= mixB
	x ^= x >> 16
	return x
}

// An instruction of eBPF, struct bpf_insn: 8 bits of operation, 4 each of source
// and destination register, 16 of offset, 32 of constant.
type instruction struct {
	op  uint8
	dst uint8
	src uint8
	off int16
	imm int32
}

// The operations used, of <linux/bpf.h>.
const (
	opLoadByte   = unix.BPF_LD | unix.BPF_ABS | unix.BPF_B // R0 = octet of the packet; R6 is the context
	opLoadWord   = unix.BPF_LD | unix.BPF_ABS | unix.BPF_W // R0 = 32 bits of it, in host order
	opMove64     = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X
	opMove32     = unix.BPF_ALU | unix.BPF_MOV | unix.BPF_X
	opAnd32      = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opXor32      = unix.BPF_ALU | unix.BPF_XOR | unix.BPF_X
	opShift32    = unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K
	opMultiply32 = unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K
	opJumpEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opExit       = unix.BPF_JMP | unix.BPF_EXIT
)

// mixSteps are the instructions of mix, of R0 by way of R1.
func mixSteps() []instruction {
	fold := func(shift int32) []instruction {
		return []instruction{
			{op: opMove32, dst: 1, src: 0},
			{op: opShift32, dst: 1, imm: shift},
			{op: opXor32, dst: 0, src: 1},
		}
	}
	b := int64(mixB)
	steps := fold(16)
	steps = append(steps, instruction{op: opMultiply32, imm: mixA})
	steps = append(steps, fold(15)...)
	steps = append(steps, instruction{op: opMultiply32, imm: int32(uint32(b))})
	return append(steps, fold(16)...)
}

// steeringProgram is a socket filter that returns the hash of a packet's
// destination; the kernel takes its remainder by the number of queues. What is neither
// IPv4 nor IPv6, or too short for a destination, goes to queue 0.
func steeringProgram() []instruction {
	mixing := mixSteps()
	v4 := append([]instruction{{op: opLoadWord, imm: 16}}, mixing...)
	end := []instruction{{op: opAnd32, imm: steeringMask}, {op: opExit}}
	v4 = append(v4, end...)
	p := []instruction{
		{op: opMove64, dst: 6, src: 1},
		{op: opLoadByte, imm: 0},
		{op: opShift32, dst: 0, imm: 4},
		{op: opJumpEqual, dst: 0, imm: 4, off: 3},
		{op: opJumpEqual, dst: 0, imm: 6, off: int16(2 + len(v4))},
		{op: opXor32, dst: 0, src: 0},
		{op: opExit},
	}
	p = append(p, v4...)
	// The second word waits in R7: loading clobbers R1 to R5.
	p = append(p, instruction{op: opLoadWord, imm: 28}, instruction{op: opMove32, dst: 7, src: 0}, instruction{op: opLoadWord, imm: 24})
	p = append(p, mixing...)
	p = append(p, instruction{op: opXor32, dst: 0, src: 7})
	p = append(p, mixing...)
	return append(p, end...)
}

// encode puts instructions into the form of the kernel.
func encode(program []instruction) []byte {
	var out []byte
	little := binary.NativeEndian.Uint16([]byte{1, 0}) == 1
	for _, i := range program {
		registers := i.src<<4 | i.dst
		if !little {
			registers = i.dst<<4 | i.src
		}
		out = append(out, i.op, registers)
		out = binary.NativeEndian.AppendUint16(out, uint16(i.off))
		out = binary.NativeEndian.AppendUint32(out, uint32(i.imm))
	}
	return out
}

// loadTries bounds the attempts to load a program that signals interrupt.
const loadTries = 20

// progLoad is the part of union bpf_attr that BPF_PROG_LOAD takes.
type progLoad struct {
	progType uint32
	insnCnt  uint32
	insns    uint64
	license  uint64
	logLevel uint32
	logSize  uint32
	logBuf   uint64
	version  uint32
	flags    uint32
}

// errNoSteering is for tests.
var errNoSteering = errors.New("switched off")

// loadSteering loads the program and returns its descriptor.
func loadSteering(refuse bool) (int, error) {
	op := "load the program that chooses the queue of a packet"
	if refuse {
		return -1, &Error{Op: op, Err: errNoSteering}
	}
	insns, license := encode(steeringProgram()), []byte("MIT\x00")
	// The kernel gets their addresses as numbers: they may not move.
	var pins runtime.Pinner
	defer pins.Unpin()
	pins.Pin(&insns[0])
	pins.Pin(&license[0])
	a := progLoad{
		progType: unix.BPF_PROG_TYPE_SOCKET_FILTER,
		insnCnt:  uint32(len(insns) / 8),
		insns:    uint64(uintptr(unsafe.Pointer(&insns[0]))),
		license:  uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	// The verifier gives up with EAGAIN when a signal comes, and the Go runtime
	// sends itself signals all the time: on a slow processor it needs several
	// attempts.
	fd, errno := uintptr(0), unix.EAGAIN
	for tries := 0; errno == unix.EAGAIN && tries < loadTries; tries++ {
		fd, _, errno = unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&a)), unsafe.Sizeof(a))
	}
	switch errno {
	case 0:
		return int(fd), nil
	case unix.EPERM, unix.EACCES:
		return -1, &Error{Op: op, Kind: ErrPermission, Err: errno,
			Advice: "several queues need root or CAP_BPF outside of user namespaces; one queue works without"}
	case unix.ENOSYS, unix.EINVAL:
		return -1, &Error{Op: op, Kind: ErrNotSupported, Err: errno,
			Advice: "the kernel has no eBPF; one queue works without"}
	default:
		return -1, plainError(op, errno)
	}
}
