package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"adit/internal/need"
)

// linkNamespace runs f on a thread in a network namespace of its own, with a
// Links opened there. The thread ends with the test, and the namespace with it.
func linkNamespace(t *testing.T, f func(t *testing.T, l *Links)) {
	t.Helper()
	var lacking error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the runtime ends the thread
		if lacking = unix.Unshare(unix.CLONE_NEWNET); lacking != nil {
			return
		}
		l, err := OpenLinks()
		if err != nil {
			t.Errorf("open: %v", err)
			return
		}
		defer l.Close()
		f(t, l)
	}()
	<-done
	if lacking != nil {
		need.Lack(t, "needs a network namespace: %v", lacking)
	}
}

// newVeth makes a pair of interfaces and returns the index of both.
func newVeth(t *testing.T, l *Links, a, b string) (int, int) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a
	if err := l.h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: b}); err != nil {
		t.Errorf("make a veth: %v", err)
		runtime.Goexit()
	}
	ia, errA := l.Index(a)
	ib, errB := l.Index(b)
	if errA != nil || errB != nil || ia == ib || ia <= 0 {
		t.Errorf("indexes %d, %v, %d, %v", ia, errA, ib, errB)
		runtime.Goexit()
	}
	return ia, ib
}

// ip runs iproute2's ip in the namespace of the thread: somebody else's view of
// what we did.
func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// wantIP waits a moment: the routes of an IPv6 address are made after it, by a worker of
// the kernel's.
func wantIP(t *testing.T, args, want string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		got := ip(t, strings.Fields(args)...)
		if strings.Contains(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("ip %s lacks %q:\n%s", args, want, got)
			return
		}
	}
}

func lackIP(t *testing.T, args, lack string) {
	t.Helper()
	if got := ip(t, strings.Fields(args)...); strings.Contains(got, lack) {
		t.Errorf("ip %s has %q:\n%s", args, lack, got)
	}
}

func TestLinksNamesAndMTU(t *testing.T) {
	linkNamespace(t, func(t *testing.T, l *Links) {
		a, b := newVeth(t, l, "a", "b")
		for i, index := range []int{a, b} {
			if name, err := l.Rename(index, "sub%d"); name != fmt.Sprintf("sub%d", i) || err != nil {
				t.Errorf("pattern: %q, %v", name, err)
			}
		}
		if _, err := l.Rename(a, "sub1"); !errors.Is(err, ErrExists) {
			t.Errorf("a name that is taken: %v", err)
		}
		if name, err := l.Rename(a, "wan"); name != "wan" || err != nil {
			t.Errorf("a fixed name: %q, %v", name, err)
		}
		if i, err := l.Index("wan"); i != a || err != nil {
			t.Errorf("index %d, want %d, %v", i, a, err)
		}
		// The number of before is free again.
		if name, err := l.Rename(a, "sub%d"); name != "sub0" || err != nil {
			t.Errorf("pattern again: %q, %v", name, err)
		}
		if err := l.SetUp(a, 1400); err != nil {
			t.Error(err)
		}
		if err := l.SetUp(b, 0); err != nil {
			t.Error(err)
		}
		wantIP(t, "link show dev sub0", "mtu 1400")
		wantIP(t, "link show dev sub0", ",UP,")
		wantIP(t, "link show dev sub1", "mtu 1500")
		if err := l.SetMTU(a, 1<<20); !errors.Is(err, unix.EINVAL) {
			t.Errorf("an MTU of a million: %v", err)
		}
		if err := l.SetDown(a); err != nil {
			t.Error(err)
		}
		lackIP(t, "link show dev sub0", ",UP")
	})
}

// What belongs to no interface is told apart, and so is what is closed.
func TestLinksErrors(t *testing.T) {
	linkNamespace(t, func(t *testing.T, l *Links) {
		const none = 987654
		for name, err := range map[string]error{
			"SetUp":     l.SetUp(none, 0),
			"SetMTU":    l.SetMTU(none, 1400),
			"SetDown":   l.SetDown(none),
			"Rename":    second(l.Rename(none, "x")),
			"Name":      second(l.Name(none)),
			"Index":     second(l.Index("nobody")),
			"Counters":  second(l.Counters(none)),
			"AddrGen":   l.DisableIPv6AutoLinkLocal(none),
			"Address":   l.AddAddress(none, netip.MustParsePrefix("192.0.2.1/32"), netip.Addr{}),
			"Route":     l.AddRoute(none, netip.MustParsePrefix("192.0.2.0/24"), RouteOptions{}),
			"IPv6Route": l.AddRoute(none, netip.MustParsePrefix("2001:db8::/64"), RouteOptions{}),
		} {
			if !errors.Is(err, ErrNoLink) {
				t.Errorf("%s of an interface that is not there: %v", name, err)
			}
		}
		v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
		for name, err := range map[string]error{
			"peer of the other family":    l.AddAddress(1, netip.PrefixFrom(v4, 32), v6),
			"no address":                  l.AddAddress(1, netip.Prefix{}, v4),
			"gateway of the other family": l.AddRoute(1, netip.PrefixFrom(v4, 32), RouteOptions{Gateway: v6}),
			"source of the other family":  l.AddRoute(1, netip.PrefixFrom(v6, 128), RouteOptions{Source: v4}),
			"no destination":              l.AddRoute(1, netip.Prefix{}, RouteOptions{}),
		} {
			if !errors.Is(err, unix.EINVAL) {
				t.Errorf("%s: %v", name, err)
			}
		}
		l.Close()
		l.Close()
		if err := l.SetUp(1, 0); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestLinksAddresses(t *testing.T) {
	linkNamespace(t, func(t *testing.T, l *Links) {
		a, b := newVeth(t, l, "a", "b")
		if err := l.DisableIPv6AutoLinkLocal(a); err != nil {
			t.Error(err)
		}
		for _, i := range []int{a, b} {
			if err := l.SetUp(i, 0); err != nil {
				t.Error(err)
			}
		}
		// b shows that the kernel would have given a one.
		wantIP(t, "-6 addr show dev b", "fe80::")
		lackIP(t, "-6 addr show dev a", "fe80::")

		for _, c := range []struct{ local, peer, show, route string }{
			{"10.0.0.1/32", "10.9.9.9", "inet 10.0.0.1 peer 10.9.9.9/32", "10.9.9.9 dev a"},
			{"10.1.0.1/24", "", "inet 10.1.0.1/24", "10.1.0.0/24 dev a"},
			{"fe80::5/64", "", "inet6 fe80::5/64 scope link", "fe80::/64 dev a"},
			{"2001:db8::1/128", "2001:db8::2", "inet6 2001:db8::1 peer 2001:db8::2/128 scope global", "2001:db8::2 dev a"},
		} {
			local, family := netip.MustParsePrefix(c.local), "-4"
			if local.Addr().Is6() {
				family = "-6"
			}
			var peer netip.Addr
			if c.peer != "" {
				peer = netip.MustParseAddr(c.peer)
			}
			if err := l.AddAddress(a, local, peer); err != nil {
				t.Error(err)
			}
			if err := l.AddAddress(a, local, peer); !errors.Is(err, ErrExists) {
				t.Errorf("%s again: %v", c.local, err)
			}
			wantIP(t, family+" addr show dev a", c.show)
			wantIP(t, family+" route show dev a table all", strings.TrimSuffix(c.route, " dev a"))
			lackIP(t, family+" addr show dev a", "tentative")
			if err := l.RemoveAddress(a, local, peer); err != nil {
				t.Error(err)
			}
			lackIP(t, family+" addr show dev a", c.show)
			if err := l.RemoveAddress(a, local, peer); !errors.Is(err, unix.EADDRNOTAVAIL) {
				t.Errorf("%s removed again: %v", c.local, err)
			}
		}
	})
}

func TestLinksRoutes(t *testing.T) {
	linkNamespace(t, func(t *testing.T, l *Links) {
		a, b := newVeth(t, l, "a", "b")
		dst4, dst6 := netip.MustParsePrefix("198.51.100.77/24"), netip.MustParsePrefix("2001:db8:77::/48")
		if err := l.AddRoute(a, dst4, RouteOptions{}); !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("a route to an interface that is down: %v", err)
		}
		for _, i := range []int{a, b} {
			if err := l.SetUp(i, 0); err != nil {
				t.Error(err)
			}
		}
		if err := l.AddAddress(a, netip.MustParsePrefix("10.0.0.1/32"), netip.MustParseAddr("10.0.0.2")); err != nil {
			t.Error(err)
		}
		for _, c := range []struct {
			dst  netip.Prefix
			opts RouteOptions
			show string
		}{
			{dst4, RouteOptions{}, "198.51.100.0/24 proto static scope link"},
			{dst4, RouteOptions{Metric: 7, Gateway: netip.MustParseAddr("10.0.0.2"), MTU: 1300}, "198.51.100.0/24 via 10.0.0.2 proto static metric 7 mtu 1300"},
			{dst4, RouteOptions{Table: 1234, Source: netip.MustParseAddr("10.0.0.1")}, "198.51.100.0/24 table 1234 proto static scope link src 10.0.0.1"},
			{netip.MustParsePrefix("0.0.0.0/0"), RouteOptions{}, "default proto static scope link"},
			{dst6, RouteOptions{}, "2001:db8:77::/48 proto static metric 1024"},
			{netip.MustParsePrefix("::/0"), RouteOptions{Metric: 5}, "default proto static metric 5"},
		} {
			show := "-4 route show dev a table all"
			if c.dst.Addr().Is6() {
				show = "-6 route show dev a table all"
			}
			if err := l.AddRoute(a, c.dst, c.opts); err != nil {
				t.Error(err)
			}
			wantIP(t, show, c.show)
			if err := l.AddRoute(a, c.dst, c.opts); !errors.Is(err, ErrExists) {
				t.Errorf("%v again: %v", c.dst, err)
			}
			replace := c.opts
			replace.Replace = true
			if err := l.AddRoute(a, c.dst, replace); err != nil {
				t.Errorf("%v replaced: %v", c.dst, err)
			}
			if err := l.RemoveRoute(a, c.dst, c.opts); err != nil {
				t.Error(err)
			}
			lackIP(t, show, c.show)
			if err := l.RemoveRoute(a, c.dst, c.opts); !errors.Is(err, ErrNoRoute) {
				t.Errorf("%v removed again: %v", c.dst, err)
			}
		}
	})
}

// Links belongs to the namespace that it was opened in, from any goroutine; and
// the counters are those of that interface.
func TestLinksElsewhere(t *testing.T) {
	linkNamespace(t, func(t *testing.T, l *Links) {
		a, b := newVeth(t, l, "adittest0", "adittest1")
		for _, i := range []int{a, b} {
			if err := l.SetUp(i, 0); err != nil {
				t.Error(err)
			}
		}
		before, err := l.Counters(b)
		if err != nil {
			t.Error(err)
		}
		const packets, octets = 5, 60
		sendEthernet(t, a, packets, octets)
		done := make(chan struct{})
		go func() { // on a thread that is in the namespace of the process
			defer close(done)
			if got, err := l.Name(a); got != "adittest0" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			waitFor(t, func() bool { // the other end takes them in its own time
				after, err := l.Counters(b)
				if err != nil {
					t.Error(err)
				}
				return after.ReceivedPackets >= before.ReceivedPackets+packets && after.ReceivedBytes >= before.ReceivedBytes+packets*octets
			})
		}()
		<-done
		here, err := OpenLinks()
		if err != nil {
			t.Error(err)
			return
		}
		here.Close()
	})
	outside, err := OpenLinks()
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	if _, err := outside.Index("adittest0"); !errors.Is(err, ErrNoLink) {
		t.Errorf("the namespace leaks: %v", err)
	}
}

// sendEthernet sends frames of an experimental Ethertype out of an interface.
func sendEthernet(t *testing.T, index, n, octets int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Errorf("packet socket: %v", err)
		return
	}
	defer unix.Close(fd)
	frame := make([]byte, octets)
	copy(frame, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
	for range n {
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index, Halen: 6}); err != nil {
			t.Errorf("send: %v", err)
		}
	}
}

func BenchmarkLinksAddress(b *testing.B) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			b.Logf("needs a network namespace: %v", err)
			return
		}
		l, err := OpenLinks()
		if err != nil {
			b.Errorf("open: %v", err)
			return
		}
		defer l.Close()
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "bench0"
		if err := l.h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "bench1"}); err != nil {
			b.Errorf("veth: %v", err)
			return
		}
		i, err := l.Index("bench0")
		if err != nil {
			b.Errorf("index: %v", err)
			return
		}
		worker := make(chan struct{}) // as in use: a goroutine of no thread of its own
		go func() {
			defer close(worker)
			addr, peer := netip.MustParsePrefix("10.0.0.1/32"), netip.MustParseAddr("10.0.0.2")
			for b.Loop() {
				if err := errors.Join(l.AddAddress(i, addr, peer), l.RemoveAddress(i, addr, peer)); err != nil {
					b.Error(err)
					return
				}
			}
		}()
		<-worker
	}()
	<-done
}
