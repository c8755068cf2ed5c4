package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// filterRig runs a program in the kernel, as the filter of a socket: what passes
// can be read.
type filterRig struct {
	from, to int
}

func newFilterRig(t *testing.T, program []unix.SockFilter) *filterRig {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) })
	raw := unix.SockFprog{Len: uint16(len(program)), Filter: unsafe.SliceData(program)}
	if err := unix.SetsockoptSockFprog(fds[1], unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &raw); err != nil {
		t.Fatalf("the kernel does not take the program of %d instructions: %v", len(program), err)
	}
	return &filterRig{fds[0], fds[1]}
}

// passes says whether the whole frame passes.
func (r *filterRig) passes(t *testing.T, frame []byte) bool {
	t.Helper()
	// A socket says EPERM to who sends what its filter does not take.
	if _, err := unix.Write(r.from, frame); err != nil && err != unix.EPERM {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, err := unix.Read(r.to, buf)
	switch {
	case err == unix.EAGAIN:
		return false
	case err != nil || n != len(frame):
		t.Fatalf("read %d octets of %d, %v", n, len(frame), err)
	}
	return true
}

// filterFrame is a frame as the pass filter sees it. The octet after the direction
// means nothing.
func filterFrame(direction byte, protocol uint16, packet []byte) []byte {
	return append([]byte{direction, byte(rand.Uint32()), byte(protocol >> 8), byte(protocol)}, packet...)
}

func filterPacket(src netip.Addr) (protocol uint16, packet []byte) {
	fill := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		return b
	}
	if src.Is4() {
		return 0x21, slices.Concat([]byte{0x45}, fill(11), src.AsSlice(), fill(24))
	}
	return 0x57, slices.Concat([]byte{0x60}, fill(7), src.AsSlice(), fill(36))
}

// near is an address that differs from the prefix's in one bit, or in none, or in
// many.
func near(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	switch rand.IntN(3) {
	case 0:
		i := rand.IntN(len(b) * 8)
		b[i/8] ^= 0x80 >> (i % 8)
	case 1:
		b[rand.IntN(len(b))] = byte(rand.Uint32())
		b[rand.IntN(len(b))] = byte(rand.Uint32())
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// The program decides as netip does, for prefixes of every length and sources on
// both sides of each bit.
func TestSourceFilter(t *testing.T) {
	sets := [][]netip.Prefix{
		nil,
		prefixes("10.0.0.2/32"),
		prefixes("fe80::1234:5678:9abc:def0/128"),
		prefixes("10.0.0.2/32", "192.0.2.77/24", "fe80::2/128", "2001:db8:7::1/48"), // not masked
		prefixes("0.0.0.0/0", "fe80::2/128"),
		prefixes("10.0.0.2/32", "::/0"),
	}
	for n := range 129 { // one of every length, and its like in IPv4
		six := netip.MustParsePrefix(fmt.Sprintf("2001:db8:a5a5:5a5a:c3c3:3c3c:9696:6969/%d", n))
		sets = append(sets, []netip.Prefix{six, netip.PrefixFrom(netip.MustParseAddr("172.165.90.195"), n%33)})
	}
	for _, set := range sets {
		program, err := SourceFilter(set)
		if err != nil {
			t.Fatal(err)
		}
		rig := newFilterRig(t, program)
		some := append(slices.Clone(set), prefixes("10.0.0.2/32", "2001:db8::2/128")...)
		for range 100 {
			src := near(some[rand.IntN(len(some))])
			protocol, packet := filterPacket(src)
			want := slices.ContainsFunc(set, func(p netip.Prefix) bool { return p.Contains(src) })
			if got := rig.passes(t, filterFrame(0, protocol, packet)); got != want {
				t.Fatalf("from %v with %v: passes %v, want %v", src, set, got, want)
			}
			if !rig.passes(t, filterFrame(byte(1+rand.IntN(255)), protocol, packet)) {
				t.Fatalf("from %v with %v: not let out", src, set)
			}
			if !rig.passes(t, filterFrame(0, uint16(0x281), packet)) {
				t.Fatalf("another protocol with %v: not let in", set)
			}
		}
	}
}

// A packet that ends before its source address does not pass, whatever follows
// it in memory; one that ends right behind it is the IP layer's.
func TestSourceFilterShort(t *testing.T) {
	set := prefixes("10.0.0.2/32", "fe80::2/128")
	program, err := SourceFilter(set)
	if err != nil {
		t.Fatal(err)
	}
	rig := newFilterRig(t, program)
	for _, p := range set {
		protocol, packet := filterPacket(p.Addr())
		enough := 16
		if p.Addr().Is6() {
			enough = 24
		}
		for n := range len(packet) + 1 {
			if got := rig.passes(t, filterFrame(0, protocol, packet[:n])); got != (n >= enough) {
				t.Errorf("%d octets of a packet from %v: passes %v", n, p.Addr(), got)
			}
		}
	}
}

// Many prefixes make a long program, over whose jumps every one is still found;
// more than the kernel takes are refused.
func TestSourceFilterBound(t *testing.T) {
	many := func(four, six int) (set []netip.Prefix) {
		var b [16]byte
		for i := range four {
			binary.BigEndian.PutUint32(b[:], 0x0a000000|uint32(i)<<8)
			set = append(set, netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), 24))
		}
		for i := range six {
			b = [16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 14: byte(i >> 8), 15: byte(i)}
			set = append(set, netip.PrefixFrom(netip.AddrFrom16(b), 128))
		}
		return set
	}
	// Long enough for a jump over more than the 255 instructions that a
	// conditional one can, and short enough for what net.core.optmem_max lets a
	// socket have in Linux 6.1 (20 KiB); a unit has no such bound.
	set := many(66, 4)
	program, err := SourceFilter(set)
	if err != nil {
		t.Fatal(err)
	}
	rig := newFilterRig(t, program)
	for _, p := range set {
		protocol, packet := filterPacket(p.Addr())
		if !rig.passes(t, filterFrame(0, protocol, packet)) {
			t.Fatalf("%v does not pass", p)
		}
	}
	for _, a := range []string{"10.0.66.0", "2001:db8::4"} { // the first after each
		protocol, packet := filterPacket(netip.MustParseAddr(a))
		if rig.passes(t, filterFrame(0, protocol, packet)) {
			t.Errorf("%s passes", a)
		}
	}
	// 10 instructions are not for prefixes; a /24 has 4, a /128 has 9.
	for _, c := range []struct {
		four, six int
		want      error
	}{
		{1021, 0, nil}, {1022, 0, ErrTooManySources},
		{0, 454, nil}, {0, 455, ErrTooManySources},
		{500, 240, ErrTooManySources}, {500, 230, nil}, {100000, 100000, ErrTooManySources},
	} {
		program, err := SourceFilter(many(c.four, c.six))
		if !errors.Is(err, c.want) || err == nil && len(program) > unix.BPF_MAXINSNS || err != nil && program != nil {
			t.Errorf("%d and %d: %d instructions, %v", c.four, c.six, len(program), err)
		}
	}
}

// Errors of the ioctl: a file that is no unit has the errno of a kernel without
// CONFIG_PPP_FILTER.
func TestSetPassFilterErrors(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	u := &PPPUnit{}
	u.fd.Store(int32(p[0]))
	if err := u.SetPassFilter(nil); !errors.Is(err, ErrNotSupported) || !errors.Is(err, unix.ENOTTY) {
		t.Errorf("no such ioctl: %v", err)
	}
	if err := u.SetPassFilter(make([]unix.SockFilter, unix.BPF_MAXINSNS+1)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("too long: %v", err)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if err := u.SetPassFilter(nil); errors.Is(err, ErrNotSupported) || !errors.Is(err, unix.EBADF) {
		t.Errorf("closed: %v", err)
	}
}
