package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rawFamilies are two addresses each, which rawNamespace gives to the loopback.
var rawFamilies = []struct {
	name     string
	wildcard netip.Addr
	a, b     netip.Addr
}{
	{"IPv4", netip.IPv4Unspecified(), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
	{"IPv6", netip.IPv6Unspecified(), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")},
}

// rawNamespace makes the thread's new namespace one with the addresses of rawFamilies.
func rawNamespace(t testing.TB) {
	t.Helper()
	for _, f := range rawFamilies {
		for _, a := range []netip.Addr{f.a, f.b} {
			args := []string{"address", "add", netip.PrefixFrom(a, a.BitLen()).String(), "dev", "lo"}
			if a.Is6() {
				args = append(args, "nodad") // otherwise it is there, but not to bind to yet
			}
			command(t, "ip", args...)
		}
	}
	// The kernel has its own time for the routes to IPv6 addresses.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		routes := command(t, "ip", "-6", "route", "show", "table", "local")
		if strings.Contains(routes, rawFamilies[1].a.String()+" ") && strings.Contains(routes, rawFamilies[1].b.String()+" ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no routes to the addresses of the loopback:\n%s", routes)
		}
	}
}

func listenRaw(t testing.TB, addr netip.Addr) int {
	t.Helper()
	fd, err := ListenIP115(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// rawPackets waits for so many packets, and returns what is there then: the loopback
// delivers in order, but not always before it returns.
func rawPackets(t testing.TB, fd int, b *RecvBatch, least int) (payloads [][]byte, from, to []netip.Addr) {
	t.Helper()
	for {
		if len(payloads) < least && !waitReadable(fd, 5000) {
			t.Errorf("%d of %d packets came", len(payloads), least)
			return payloads, from, to
		}
		n, err := b.Receive(fd)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 && len(payloads) >= least {
			return payloads, from, to
		}
		for i := range n {
			p, f, l := b.Packet(i)
			payloads, from, to = append(payloads, bytes.Clone(p)), append(from, f), append(to, l)
		}
	}
}

func wantPackets(t testing.TB, what string, got [][]byte, want ...string) {
	t.Helper()
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = string(got[i]) == want[i]
	}
	if !same {
		t.Errorf("%s: got %x, want %x", what, got, want)
	}
}

func TestRawSendsAndReceives(t *testing.T) {
	for _, f := range rawFamilies {
		t.Run(f.name, func(t *testing.T) {
			inNamespaces(t, func(enter func()) {
				enter()
				rawNamespace(t)
				any, b := listenRaw(t, f.wildcard), listenRaw(t, f.b)
				checkFlags(t, b)
				var counts SendCounts
				out, in := NewSendBatch(&counts), NewRecvBatch(2)
				peer := netip.AddrPortFrom(f.b, 0)
				d := NewDestination(any, f.a, peer)
				want := []string{"\x00\x00\x00\x07some", "\x00\x00\x00\x07same", "\x00\x00\x00\x08longer", "\x00\x00\x00\x00last"}
				for _, p := range want[:3] {
					put(t, out, d, []byte(p))
				}
				long := strings.Repeat("m", MaxDatagram) // a fragment or more, on other links
				put(t, out, d, []byte(long))
				out.Flush()
				wantCounts(t, &counts, 4, 0, 0, 0) // nothing is merged
				if err := SendFrom(any, []byte(want[3]), f.a, peer); err != nil {
					t.Fatal(err)
				}
				got, from, to := rawPackets(t, b, in, 5)
				wantPackets(t, "came", got, want[0], want[1], want[2], long, want[3])
				for i := range got {
					if from[i] != f.a || to[i] != f.b {
						t.Errorf("packet %d from %v to %v", i, from[i], to[i])
					}
				}
				// Nothing for another address comes to b.
				for i, dst := range []netip.Addr{f.a, f.b} {
					if err := SendFrom(any, fmt.Append(nil, i), netip.Addr{}, netip.AddrPortFrom(dst, 0)); err != nil {
						t.Fatal(err)
					}
				}
				got, _, _ = rawPackets(t, b, in, 1)
				wantPackets(t, "of b's", got, "1")
			})
		})
	}
}

// A datagram larger than the link's MTU comes whole.
func TestRawFragments(t *testing.T) {
	for _, f := range rawFamilies {
		t.Run(f.name, func(t *testing.T) {
			inNamespaces(t, func(enter func()) {
				enter()
				rawNamespace(t)
				command(t, "ip", "link", "set", "lo", "mtu", "1280")
				a, b := listenRaw(t, f.a), listenRaw(t, f.b)
				packet := bytes.Repeat([]byte{1, 2, 3, 4, 5}, 400)
				if err := SendFrom(a, packet, f.a, netip.AddrPortFrom(f.b, 0)); err != nil {
					t.Fatal(err)
				}
				got, _, _ := rawPackets(t, b, NewRecvBatch(2), 1)
				wantPackets(t, "came", got, string(packet))
			})
		})
	}
}

// RFC 3931 section 4.1.1.2: "The Session ID of zero indicates that this is a control
// message". An IPv4 header may have options, so that the message begins later.
func TestControlOnly(t *testing.T) {
	const control, data, low, short = "\x00\x00\x00\x00\xc8\x03control", "\x00\x00\x00\x01data", "\x80\x00\x00\x00data", "\x00\x00\x00"
	const end = "\x00\x00\x00\x00" // control too, and the last to come
	for _, f := range rawFamilies {
		for _, options := range []string{"", "\x01\x01\x01\x01\x01\x01\x01\x01"} {
			if options != "" && f.a.Is6() {
				continue
			}
			t.Run(f.name, func(t *testing.T) {
				inNamespaces(t, func(enter func()) {
					enter()
					rawNamespace(t)
					a, b, in := listenRaw(t, f.a), listenRaw(t, f.b), NewRecvBatch(8)
					if options != "" {
						if err := unix.SetsockoptString(a, unix.IPPROTO_IP, unix.IP_OPTIONS, options); err != nil {
							t.Fatal(err)
						}
					}
					pass := func(what string, want ...string) {
						t.Helper()
						for _, p := range []string{data, control, low, short, end} {
							if err := SendFrom(a, []byte(p), f.a, netip.AddrPortFrom(f.b, 0)); err != nil {
								t.Fatal(err)
							}
						}
						got, _, _ := rawPackets(t, b, in, len(want))
						wantPackets(t, what, got, want...)
					}
					set := func(on bool) {
						t.Helper()
						if err := SetControlOnly(b, on); err != nil {
							t.Fatal(err)
						}
					}
					pass("at first", data, control, low, short, end)
					set(false)
					pass("off before it was on", data, control, low, short, end)
					set(true)
					set(true)
					pass("on", control, end)
					set(false)
					pass("off", data, control, low, short, end)
				})
			})
		}
	}
	if err := SetControlOnly(-1, true); !errors.Is(err, unix.EBADF) {
		t.Errorf("of no socket: %v", err)
	}
}

func TestWithoutIPv4Header(t *testing.T) {
	packet := func(ihl byte, n int) []byte { return append([]byte{0x40 | ihl}, make([]byte, n-1)...) }
	for _, c := range []struct {
		packet []byte
		want   int // octets left; -1: nil
	}{
		{nil, -1}, {[]byte{}, -1}, {packet(5, 1), -1}, {packet(5, 19), -1}, {packet(5, 20), 0}, {packet(5, 21), 1},
		{packet(4, 40), -1}, {packet(0, 40), -1}, {packet(15, 59), -1}, {packet(15, 60), 0}, {packet(15, 100), 40},
	} {
		got := withoutIPv4(c.packet)
		if n := len(got); got == nil && c.want != -1 || got != nil && n != c.want {
			t.Errorf("%x: %d octets left (nil %v), want %d", c.packet, n, got == nil, c.want)
		}
	}
}

func TestRawErrors(t *testing.T) {
	inNamespaces(t, func(enter func()) {
		enter()
		for _, addr := range []string{"192.0.2.77", "2001:db8::77"} {
			fd, err := ListenIP115(netip.MustParseAddr(addr))
			if fd != -1 || !errors.Is(err, ErrNoAddress) || !strings.Contains(err.Error(), addr) {
				t.Errorf("%s: %d, %v", addr, fd, err)
			}
		}
		dropCapabilities(t)
		fd, err := ListenIP115(netip.IPv4Unspecified())
		if fd != -1 || !errors.Is(err, ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_RAW") {
			t.Errorf("without rights: %d, %v", fd, err)
		}
	})
}

// dropCapabilities takes all capabilities from this thread, which ends with the test.
func dropCapabilities(t testing.TB) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
}

func TestRawAllocatesNothing(t *testing.T) {
	for _, f := range rawFamilies {
		inNamespaces(t, func(enter func()) {
			enter()
			rawNamespace(t)
			a, b := listenRaw(t, f.a), listenRaw(t, f.b)
			var counts SendCounts
			out, in := NewSendBatch(&counts), NewRecvBatch(64)
			d := NewDestination(a, f.a, netip.AddrPortFrom(f.b, 0))
			came := 0
			round := func() {
				for range 16 {
					binary.BigEndian.PutUint32(out.Room(d, 1400), 5)
				}
				out.Flush()
				for left := 16; left > 0 && waitReadable(b, 5000); {
					n, _ := in.Receive(b)
					for i := range n {
						if p, from, _ := in.Packet(i); len(p) == 1400 && from == f.a {
							came++
						}
					}
					left -= n
				}
			}
			if n := testing.AllocsPerRun(50, round); n != 0 {
				t.Errorf("%s: %v allocations", f.name, n)
			}
			if came != 51*16 {
				t.Errorf("%s: %d of %d came", f.name, came, 51*16)
			}
		})
	}
}

// BenchmarkRaw sends and receives packets of protocol 115 with 1,400 octets, one by
// one and in batches.
func BenchmarkRaw(b *testing.B) {
	for _, f := range rawFamilies {
		for _, single := range []bool{true, false} {
			name := f.name + " batched"
			if single {
				name = f.name + " one by one"
			}
			b.Run(name, func(b *testing.B) {
				inNamespaces(b, func(enter func()) {
					enter()
					rawNamespace(b)
					from, to := listenRaw(b, f.a), listenRaw(b, f.b)
					var counts SendCounts
					out, in := NewSendBatch(&counts), NewRecvBatch(64)
					if single {
						in = NewRecvBatch(1)
					}
					d := NewDestination(from, f.a, netip.AddrPortFrom(f.b, 0))
					packet := make([]byte, 1400)
					var sending, receiving time.Duration
					came := 0
					b.ReportAllocs()
					for b.Loop() {
						start := time.Now()
						for range benchmarkBurst {
							copy(out.Room(d, len(packet)), packet)
							if single {
								out.Flush()
							}
						}
						out.Flush()
						sent := time.Now()
						sending += sent.Sub(start)
						for n, _ := in.Receive(to); n > 0 || uint64(came) < counts.Sent.Load() && waitReadable(to, 5000); n, _ = in.Receive(to) {
							for i := range n {
								if p, _, _ := in.Packet(i); len(p) == len(packet) {
									came++
								}
							}
						}
						receiving += time.Since(sent)
					}
					if counts.Sent.Load() != uint64(came) {
						b.Errorf("%d sent, %d came", counts.Sent.Load(), came)
					}
					b.ReportMetric(float64(came)/sending.Seconds()/1e6, "Mpps-sent")
					b.ReportMetric(float64(came)/receiving.Seconds()/1e6, "Mpps-received")
				})
			})
		}
	}
}
