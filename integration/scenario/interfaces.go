package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interface is a network interface with its addresses.
type Interface struct {
	Name  string
	Index int
	MTU   int
	Up    bool
	Addrs []InterfaceAddr
}

// InterfaceAddr is one address. Peer is valid on point-to-point interfaces.
type InterfaceAddr struct {
	Local netip.Prefix
	Peer  netip.Addr
	// LinkLocal says that the address is of IPv6 link scope.
	LinkLocal bool
}

// IPv4 is the first IPv4 address and its peer; invalid if there is none.
func (i Interface) IPv4() (local, peer netip.Addr) {
	for _, a := range i.Addrs {
		if a.Local.Addr().Is4() {
			return a.Local.Addr(), a.Peer
		}
	}
	return
}

// Interfaces lists the interfaces of the namespace whose names begin with
// prefix, sorted by name: "ppp" for PPP, "" for all.
func (ns *NS) Interfaces(t TB, prefix string) []Interface {
	t.Helper()
	var all []Interface
	var err error
	// When an interface comes or goes while the kernel tells, it says so: ask again.
	Eventually(20*time.Second, func() bool {
		all, err = ns.interfaces()
		return !errors.Is(err, netlink.ErrDumpInterrupted)
	})
	if err != nil {
		t.Fatalf("the interfaces of %s: %v", ns.Name, err)
	}
	all = slices.DeleteFunc(all, func(i Interface) bool { return !strings.HasPrefix(i.Name, prefix) })
	slices.SortFunc(all, func(a, b Interface) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// PPP waits for count PPP interfaces that are up and have an IPv4 address.
func (ns *NS) PPP(t TB, timeout time.Duration, count int) []Interface {
	t.Helper()
	var up []Interface
	WaitFor(t, timeout, fmt.Sprintf("%d PPP interfaces with an address in %s", count, ns.Name), func() bool {
		up = slices.DeleteFunc(ns.Interfaces(t, "ppp"), func(i Interface) bool {
			local, _ := i.IPv4()
			return !i.Up || !local.IsValid()
		})
		return len(up) == count
	})
	return up
}

// interfaces asks the kernel for all of them.
func (ns *NS) interfaces() (all []Interface, err error) {
	var links []netlink.Link
	var addrs []netlink.Addr
	if err = ns.rtnetlink(func(h *netlink.Handle) (err error) {
		if links, err = h.LinkList(); err == nil {
			addrs, err = h.AddrList(nil, netlink.FAMILY_ALL)
		}
		return err
	}); err != nil {
		return nil, err
	}
	for _, l := range links {
		a := l.Attrs()
		i := Interface{Name: a.Name, Index: a.Index, MTU: a.MTU, Up: a.RawFlags&unix.IFF_UP != 0}
		for _, x := range addrs {
			if x.LinkIndex == a.Index {
				i.Addrs = append(i.Addrs, interfaceAddr(x))
			}
		}
		all = append(all, i)
	}
	return all, nil
}

func interfaceAddr(x netlink.Addr) InterfaceAddr {
	local, _ := netip.AddrFromSlice(x.IP)
	bits, _ := x.Mask.Size()
	a := InterfaceAddr{Local: netip.PrefixFrom(local.Unmap(), bits)}
	a.LinkLocal = a.Local.Addr().Is6() && x.Scope == unix.RT_SCOPE_LINK
	if x.Peer != nil {
		peer, _ := netip.AddrFromSlice(x.Peer.IP)
		a.Peer = peer.Unmap()
	}
	return a
}
