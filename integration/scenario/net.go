package scenario

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
)

// Net is a chain of network namespaces, each joined to the next by a veth pair.
//
//	A --(10.99.N.0/30, fd99:N::/64)-- B --(10.99.N+1.0/30, fd99:N+1::/64)-- C
//
// The left end of a link has address 1, the right end address 2. Each namespace
// has its loopback up. The middle one forwards, and the outer ones have routes
// to each other through it.
type Net struct {
	// A, B and C are the namespaces; C is nil with two.
	A, B, C *NS
	// Links from left to right.
	Links []Link
}

// Link is a veth pair between two namespaces.
type Link struct {
	// N is the number in the link's addresses, 1 to 254.
	N int
	// Left and Right hold the addresses of the ends.
	Left, Right End
}

// End is one side of a link.
type End struct {
	NS *NS
	// Interface is the veth's name inside the namespace.
	Interface string
	IPv4      netip.Addr
	IPv6      netip.Addr
}

var (
	netCount  atomic.Int32
	linkCount atomic.Int32
)

// NewNet makes two joined namespaces, A and B, that are removed with every
// process in them at the end of the test.
func NewNet(t TB) *Net {
	t.Helper()
	NeedLab(t)
	return newNet(t, 2)
}

// NewNet3 makes three namespaces in a chain: A, B, C.
func NewNet3(t TB) *Net {
	t.Helper()
	NeedLab(t)
	return newNet(t, 3)
}

func newNet(t TB, count int) *Net {
	t.Helper()
	n := &Net{}
	id := netCount.Add(1)
	all := make([]*NS, count)
	for i := range all {
		label := string(rune('a' + i))
		all[i] = newNS(t, fmt.Sprintf("adit-%d-%d%s", os.Getpid(), id, label), label)
	}
	for i := range count - 1 {
		n.Links = append(n.Links, Join(t, all[i], all[i+1]))
	}
	n.A, n.B = all[0], all[1]
	if count == 3 {
		n.C = all[2]
		Forward(t, n.B)
		left, right := n.Links[0], n.Links[1]
		n.A.Route(t, prefix4(right), left.Right.IPv4)
		n.A.Route(t, prefix6(right), left.Right.IPv6)
		n.C.Route(t, prefix4(left), right.Left.IPv4)
		n.C.Route(t, prefix6(left), right.Left.IPv6)
	}
	return n
}

func prefix4(l Link) netip.Prefix { return netip.PrefixFrom(l.Left.IPv4, 30).Masked() }
func prefix6(l Link) netip.Prefix { return netip.PrefixFrom(l.Left.IPv6, 64).Masked() }

// AddrA and AddrB are the ends of the first link, IPv4.
func (n *Net) AddrA() netip.Addr { return n.Links[0].Left.IPv4 }

// AddrB is the right end of the first link, IPv4.
func (n *Net) AddrB() netip.Addr { return n.Links[0].Right.IPv4 }

// Join makes one more link between two namespaces. Its interfaces are called
// eth0, eth1, ... in the order in which a namespace gets them.
func Join(t TB, left, right *NS) Link {
	t.Helper()
	n := int(linkCount.Add(1)-1)%254 + 1
	l := Link{N: n, Left: left.end(n, 1), Right: right.end(n, 2)}
	// Born with a name of its own, as the kernel looks for a name's double where
	// ip runs, too, and parallel tests all make an eth0.
	born := map[*NS]string{left: fmt.Sprintf("adit%dl", n), right: fmt.Sprintf("adit%dr", n)}
	host(t, "ip", "link", "add", born[left], "netns", left.Name, "type", "veth",
		"peer", "name", born[right], "netns", right.Name)
	for _, e := range []End{l.Left, l.Right} {
		if err := e.setUp(born[e.NS]); err != nil {
			t.Fatalf("%s of %s: %v", e.Interface, e.NS, err)
		}
	}
	return l
}

func (ns *NS) end(n, host int) End {
	e := End{
		NS:        ns,
		Interface: fmt.Sprintf("eth%d", len(ns.Ends)),
		IPv4:      netip.MustParseAddr(fmt.Sprintf("10.99.%d.%d", n, host)),
		IPv6:      netip.MustParseAddr(fmt.Sprintf("fd99:%x::%x", n, host)),
	}
	ns.Ends = append(ns.Ends, e)
	return e
}

// Forward makes a namespace a router, IPv4 and IPv6.
func Forward(t TB, ns *NS) {
	t.Helper()
	ns.Sysctl(t, "net/ipv4/ip_forward", "1")
	ns.Sysctl(t, "net/ipv6/conf/all/forwarding", "1")
}

// Route adds a route through a gateway.
func (ns *NS) Route(t TB, to netip.Prefix, via netip.Addr) {
	t.Helper()
	family := "-4"
	if to.Addr().Is6() {
		family = "-6"
	}
	ns.MustRun(t, "ip", family, "route", "add", to.String(), "via", via.String())
}

// Netem disturbs what a namespace sends on all its links: loss, delay, reorder,
// duplicate, rate, as in tc-netem(8). An empty string ends the disturbance.
func (ns *NS) Netem(t TB, disturbance string) {
	t.Helper()
	for _, e := range ns.Ends {
		if disturbance == "" {
			// There may be none.
			_, _ = ns.Run("tc", "qdisc", "del", "dev", e.Interface, "root")
			continue
		}
		args := []string{"qdisc", "replace", "dev", e.Interface, "root", "netem"}
		ns.MustRun(t, "tc", append(args, strings.Fields(disturbance)...)...)
	}
}
