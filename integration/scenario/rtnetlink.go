package scenario

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rtnetlink calls f with a socket of the namespace. What is asked often goes this way, and
// not by ip, because to start a program takes an emulated machine a while.
func (ns *NS) rtnetlink(f func(h *netlink.Handle) error) error {
	var h *netlink.Handle
	if err := ns.Do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	}); err != nil {
		return err
	}
	defer h.Close()
	return f(h)
}

// setUp gives an interface its name and its end's addresses, and brings it up. The
// addresses are usable at once: duplicates are not looked for.
func (e *End) setUp(born string) error {
	return e.NS.rtnetlink(func(h *netlink.Handle) error {
		l, err := h.LinkByName(born)
		if err != nil {
			return err
		}
		return errors.Join(
			h.LinkSetName(l, e.Interface),
			h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(e.IPv4, 30))}),
			h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(e.IPv6, 64)), Flags: unix.IFA_F_NODAD}),
			h.LinkSetUp(l))
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// loopbackUp brings the loopback up.
func (ns *NS) loopbackUp() error {
	return ns.rtnetlink(func(h *netlink.Handle) error {
		l, err := h.LinkByName("lo")
		if err != nil {
			return err
		}
		return h.LinkSetUp(l)
	})
}
