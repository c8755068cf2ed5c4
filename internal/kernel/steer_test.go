package kernel

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// steeringAddresses are addresses in a row, as pools give them, and any.
func steeringAddresses() (all []netip.Addr) {
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range uint32(1000) {
		var a4 [4]byte
		binary.BigEndian.PutUint32(a4[:], 10<<24|77<<16|i*4) // 10.77/16
		all = append(all, netip.AddrFrom4(a4))
		binary.BigEndian.PutUint32(a4[:], 10<<24|rng.Uint32()>>8)
		all = append(all, netip.AddrFrom4(a4))
		a16 := [16]byte{0xfd, 0x77, 0, 1, 0, 0, byte(i >> 8), byte(i), 15: 1}
		all = append(all, netip.AddrFrom16(a16))
		binary.BigEndian.PutUint64(a16[1:], rng.Uint64())
		all = append(all, netip.AddrFrom16(a16))
	}
	return all
}

// The program in the kernel and QueueOf choose the same queue for every address,
// and the addresses of a pool are spread.
func TestSteeringAgreesWithQueueOf(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		for _, queues := range []int{2, 3, 8} {
			tun := openTUNUp(t, TUNOptions{Queues: queues, offloads: []int{0}}, "10.0.0.1/8", "fd00::1/8")
			if tun.SteeringError() != nil {
				lacks(t, "needs CAP_BPF: %v", tun.SteeringError())
			}
			fd4, _ := listen(t, netip.MustParseAddr("10.0.0.1"))
			fd6, _ := listen(t, netip.MustParseAddr("fd00::1"))
			all := steeringAddresses()
			came := make([]int, queues)
			for at := 0; at < len(all); at += 100 { // fewer than a queue holds
				for _, a := range all[at : at+100] {
					fd := fd6
					if a.Is4() {
						fd = fd4
					}
					if err := SendFrom(fd, []byte("x"), netip.Addr{}, netip.AddrPortFrom(a, 9)); err != nil {
						t.Fatalf("%v: %v", a, err)
					}
				}
				drain(t, tun, came)
			}
			for i, n := range came {
				if share := len(all) / queues; n < share*8/10 || n > share*12/10 {
					t.Errorf("queue %d of %d got %d of %d packets", i, queues, n, len(all))
				}
			}
			if sum := total(came); sum != len(all) {
				t.Errorf("%d of %d packets came", sum, len(all))
			}
			tun.Close()
		}
	})
}

func total(counts []int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// drain reads all queues until they are empty, which they are at once: sending
// to a TUN puts the packet into its queue. It counts the packets to port 9.
func drain(t *testing.T, tun *TUN, came []int) {
	t.Helper()
	buf := make([]byte, MaxSuperPacket)
	for i := range came {
		for {
			n, _, err := tun.Queue(i).Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			var dst netip.Addr
			switch {
			case buf[0]>>4 == 4 && n > 28 && buf[23] == 9:
				dst = netip.AddrFrom4([4]byte(buf[16:]))
			case buf[0]>>4 == 6 && n > 48 && buf[6] == unix.IPPROTO_UDP && buf[43] == 9:
				dst = netip.AddrFrom16([16]byte(buf[24:]))
			default:
				continue
			}
			came[i]++
			if want := tun.QueueOf(dst); want != i {
				t.Fatalf("%v came by queue %d, QueueOf says %d of %d", dst, i, want, len(came))
			}
		}
	}
}

// A /64 is one subscriber: what follows it does not matter.
func TestQueueOfPrefix(t *testing.T) {
	tun := &TUN{queues: make([]*TUNQueue, 64)}
	want := tun.QueueOf(netip.MustParseAddr("2001:db8:1:2::"))
	for _, a := range []string{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"} {
		if got := tun.QueueOf(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: queue %d, want %d", a, got, want)
		}
	}
	if tun.QueueOf(netip.MustParseAddr("::ffff:192.0.2.1")) != tun.QueueOf(netip.MustParseAddr("192.0.2.1")) {
		t.Error("an IPv4-mapped address is another than the IPv4 address")
	}
	if one := (&TUN{queues: make([]*TUNQueue, 1)}); one.QueueOf(netip.MustParseAddr("192.0.2.1")) != 0 {
		t.Error("one queue, and a packet comes by another")
	}
}

// Where the program cannot be loaded there is one queue, which gets everything.
func TestSteeringFallsBackToOneQueue(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		tun := openTUNUp(t, TUNOptions{Name: "adit%d", Queues: 4, noSteering: true}, "10.0.0.1/8")
		if tun.Queues() != 1 || tun.Name() != "adit0" {
			t.Errorf("%d queues of %s", tun.Queues(), tun.Name())
		}
		if err := tun.SteeringError(); !errors.Is(err, errNoSteering) || !strings.Contains(err.Error(), "load the program that chooses the queue") {
			t.Errorf("the reason: %v", err)
		}
		fd, _ := listen(t, netip.MustParseAddr("10.0.0.1"))
		came := make([]int, 1)
		for i := range byte(100) {
			if err := SendFrom(fd, []byte("x"), netip.Addr{}, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 2, i}), 9)); err != nil {
				t.Fatal(err)
			}
		}
		if drain(t, tun, came); came[0] != 100 {
			t.Errorf("%d of 100 packets came", came[0])
		}
	})
}

// Without capabilities the kernel decides; what it decides is told.
func TestTUNWithoutCapabilities(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		keep := func(capabilities ...int) {
			var data [2]unix.CapUserData
			for _, c := range capabilities {
				data[c/32].Permitted |= 1 << (c % 32)
			}
			for i := range data {
				data[i].Effective = data[i].Permitted
			}
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			if err := unix.Capset(&header, &data[0]); err != nil {
				t.Fatalf("drop capabilities: %v", err)
			}
		}
		keep(unix.CAP_NET_ADMIN)
		tun, err := OpenTUN(TUNOptions{Queues: 2, MTU: 1400})
		if err != nil {
			t.Fatal(err)
		}
		switch reason := tun.SteeringError(); {
		case reason == nil && tun.Queues() == 2: // kernel.unprivileged_bpf_disabled is 0
		case tun.Queues() == 1 && errors.Is(reason, ErrPermission) && strings.Contains(reason.Error(), "CAP_BPF"):
		default:
			t.Errorf("%d queues: %v", tun.Queues(), reason)
		}
		tun.Close()
		keep()
		_, err = OpenTUN(TUNOptions{Name: "adit%d"})
		if !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN, or a user and network namespace") {
			t.Errorf("without CAP_NET_ADMIN: %v", err)
		}
	})
}

func TestOpenTUNErrors(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		single := openTUNUp(t, TUNOptions{Name: "single"})
		several := openTUNUp(t, TUNOptions{Name: "several", Queues: 2})
		if several.SteeringError() != nil {
			lacks(t, "needs CAP_BPF: %v", several.SteeringError())
		}
		command(t, "ip", "tuntap", "add", "mode", "tun", "name", "premade")
		for _, c := range []struct {
			options TUNOptions
			kind    error
			advice  string
		}{
			{TUNOptions{Name: single.Name()}, ErrNameTaken, "another program uses it"},
			{TUNOptions{Name: several.Name()}, ErrNameTaken, "one that is no TUN has it"},
			{TUNOptions{Name: several.Name(), Queues: 2}, ErrNameTaken, "choose another name than several"},
			{TUNOptions{Name: "premade", Queues: 2}, ErrNameTaken, "it was made before and with several queues it has to be new"},
			{TUNOptions{Name: "lo"}, ErrNameTaken, "`ip link show` lists them"},
			{TUNOptions{Name: "a/b"}, ErrNameTaken, "no name for an interface"},
			{TUNOptions{Name: "sixteen-letters-"}, unix.EINVAL, "at most 15 octets"},
			{TUNOptions{Queues: 257}, unix.EINVAL, "1 to 256 queues, not 257"},
			{TUNOptions{Queues: -1}, unix.EINVAL, "1 to 256 queues, not -1"},
			{TUNOptions{MTU: 67}, unix.EINVAL, "68 to 65,535"},
			{TUNOptions{MTU: 65536}, unix.EINVAL, "68 to 65,535"},
		} {
			tun, err := OpenTUN(c.options)
			if err == nil {
				t.Errorf("%+v: no error", c.options)
				tun.Close()
				continue
			}
			var e *Error
			if !errors.Is(err, c.kind) || !errors.As(err, &e) || !strings.Contains(err.Error(), c.advice) {
				t.Errorf("%+v: %v", c.options, err)
			}
		}
		// With one queue, the one that was made before is taken.
		tun, err := OpenTUN(TUNOptions{Name: "premade", Queues: 1})
		if err != nil {
			t.Fatal(err)
		}
		tun.Close()
	})
	for errno, want := range map[unix.Errno]struct {
		kind   error
		advice string
	}{
		unix.ENOENT: {ErrNotSupported, "/dev/net/tun: no such file or directory; load the module (`modprobe tun`), or give the container"},
		unix.ENODEV: {ErrNotSupported, "modprobe tun"},
		unix.EACCES: {ErrPermission, "readable and writable"},
		unix.EMFILE: {unix.EMFILE, "LimitNOFILE"},
	} {
		if err := tunOpenError("make a TUN interface", errno); !errors.Is(err, want.kind) || !errors.Is(err, errno) || !strings.Contains(err.Error(), want.advice) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}
