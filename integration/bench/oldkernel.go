package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// To see what merging brings, the same adit runs on a kernel that cannot: a
// filter of system calls (seccomp) refuses what adit probes for at its start, as
// Linux before 4.18 does, and adit takes its ways without. So nothing has to be
// switched in adit, and what is measured is what users of such kernels get.

// childOldKernel is the word by which this program sets the filter for the
// program that follows.
const childOldKernel = "old-kernel"

// unmerging is argv of a program on a kernel that merges nothing.
func (b *bench) unmerging(argv ...string) []string {
	return append([]string{b.self, childOldKernel}, argv...)
}

// oldKernelMain becomes the program argv, with the filter.
func oldKernelMain(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	// A filter is its thread's, which becomes the program.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	filter := oldKernelFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("filter of system calls: %w", err)
	}
	return unix.Exec(path, argv, os.Environ())
}

// Offsets in struct seccomp_data of <linux/seccomp.h>: the system call, and its
// second and third argument, lower half, on a processor with the low octets
// first as all that adit is built for.
const (
	seccompCall   = 0
	seccompSecond = 16 + 1*8
	seccompThird  = 16 + 2*8
)

// refusal is a system call that fails.
type refusal struct {
	call          uint32
	second, third uint32 // its arguments; a third of 0: any
	errno         unix.Errno
}

var oldKernelRefuses = []refusal{
	{unix.SYS_IOCTL, unix.TUNSETOFFLOAD, 0, unix.EINVAL},
	{unix.SYS_SETSOCKOPT, unix.SOL_UDP, unix.UDP_GRO, unix.ENOPROTOOPT},
	{unix.SYS_SETSOCKOPT, unix.SOL_UDP, unix.UDP_SEGMENT, unix.ENOPROTOOPT},
	{unix.SYS_GETSOCKOPT, unix.SOL_UDP, unix.UDP_GRO, unix.ENOPROTOOPT},
	{unix.SYS_GETSOCKOPT, unix.SOL_UDP, unix.UDP_SEGMENT, unix.ENOPROTOOPT},
}

// oldKernelFilter is the filter as a program of classic BPF.
func oldKernelFilter() (program []unix.SockFilter) {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	unless := func(value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: skip, K: value}
	}
	back := func(value uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
	}
	for _, r := range oldKernelRefuses {
		refuse := back(unix.SECCOMP_RET_ERRNO | uint32(r.errno))
		if r.third == 0 {
			program = append(program, load(seccompCall), unless(r.call, 3), load(seccompSecond), unless(r.second, 1), refuse)
			continue
		}
		program = append(program, load(seccompCall), unless(r.call, 5), load(seccompSecond), unless(r.second, 3),
			load(seccompThird), unless(r.third, 1), refuse)
	}
	return append(program, back(unix.SECCOMP_RET_ALLOW))
}
