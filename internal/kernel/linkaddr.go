package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddAddress gives the interface an address. With a valid peer the link is
// point-to-point: local's own prefix length is not used, and the kernel makes a
// route to peer alone. Without one, local's prefix becomes the route. IPv6
// addresses are used at once, without Duplicate Address Detection: on a PPP
// link IPv6CP has seen to it. An address that the interface has is ErrExists.
func (l *Links) AddAddress(index int, local netip.Prefix, peer netip.Addr) error {
	op := fmt.Sprintf("give interface %d the address %v", index, local)
	a, err := address(op, local, peer)
	if err != nil {
		return err
	}
	return l.do(op, func(h *netlink.Handle) error { return h.AddrAdd(link(index), a) })
}

// AddLANAddress gives the interface an address of a link that it shares with others.
// With IPv6 Duplicate Address Detection comes first, where the interface has
// neighbours. An address that the interface has is ErrExists.
func (l *Links) AddLANAddress(index int, local netip.Prefix) error {
	op := fmt.Sprintf("give interface %d the address %v", index, local)
	a, err := address(op, local, netip.Addr{})
	if err != nil {
		return err
	}
	a.Flags = 0
	if local.Addr().Is4() {
		a.Broadcast = nil // what the prefix makes it
	}
	return l.do(op, func(h *netlink.Handle) error { return h.AddrAdd(link(index), a) })
}

// RemoveAddress takes the address from the interface; local and peer are as for
// AddAddress. An address that it does not have is EADDRNOTAVAIL.
func (l *Links) RemoveAddress(index int, local netip.Prefix, peer netip.Addr) error {
	op := fmt.Sprintf("take the address %v from interface %d", local, index)
	a, err := address(op, local, peer)
	if err != nil {
		return err
	}
	return l.do(op, func(h *netlink.Handle) error { return h.AddrDel(link(index), a) })
}

func address(op string, local netip.Prefix, peer netip.Addr) (*netlink.Addr, error) {
	if !local.IsValid() || peer.IsValid() && peer.Is4() != local.Addr().Is4() {
		return nil, &Error{Op: op, Err: unix.EINVAL, Advice: "an address and its peer are of one family"}
	}
	a := &netlink.Addr{IPNet: ipNet(local), Broadcast: net.IPv4zero}
	if local.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if local.Addr().IsLinkLocalUnicast() && local.Addr().Is6() {
		a.Scope = int(netlink.SCOPE_LINK)
	}
	if peer.IsValid() {
		peer = peer.WithZone("")
		a.Peer = ipNet(netip.PrefixFrom(peer, peer.BitLen()))
	}
	return a, nil
}

// RouteOptions is what a route may have besides its destination.
type RouteOptions struct {
	Gateway netip.Addr // invalid: the destination is on the link
	Source  netip.Addr // preferred address of what this machine itself sends
	Metric  int        // 0: the kernel's default (IPv4 0, IPv6 1024)
	Table   int        // 0: the main table
	MTU     int        // octets; 0: the interface's
	// Replace takes the place of a route with the same destination, table and
	// metric; otherwise such a route is ErrExists.
	Replace bool
}

// AddRoute sends packets for dst to the interface, which has to be up. The
// kernel removes the route with the interface, or when it goes down.
func (l *Links) AddRoute(index int, dst netip.Prefix, opts RouteOptions) error {
	op := fmt.Sprintf("route %v to interface %d", dst, index)
	r, err := route(op, index, dst, opts)
	if err != nil {
		return err
	}
	return l.do(op, func(h *netlink.Handle) error {
		if opts.Replace {
			return h.RouteReplace(r)
		}
		return h.RouteAdd(r)
	})
}

// RemoveRoute removes what AddRoute with the same values added. A route that is
// not there is ErrNoRoute.
func (l *Links) RemoveRoute(index int, dst netip.Prefix, opts RouteOptions) error {
	op := fmt.Sprintf("remove the route %v from interface %d", dst, index)
	r, err := route(op, index, dst, opts)
	if err != nil {
		return err
	}
	err = l.do(op, func(h *netlink.Handle) error { return h.RouteDel(r) })
	if errors.Is(err, unix.ESRCH) {
		return &Error{Op: op, Kind: ErrNoRoute, Err: unix.ESRCH}
	}
	return err
}

// ErrNoRoute says that there is no such route (any more).
var ErrNoRoute = errors.New("no such route")

func route(op string, index int, dst netip.Prefix, opts RouteOptions) (*netlink.Route, error) {
	is4 := dst.Addr().Is4()
	for _, a := range [...]netip.Addr{opts.Gateway, opts.Source} {
		if a.IsValid() && a.Is4() != is4 {
			return nil, &Error{Op: op, Err: unix.EINVAL, Advice: "a route's addresses are of one family"}
		}
	}
	if !dst.IsValid() || index <= 0 {
		return nil, &Error{Op: op, Err: unix.EINVAL, Advice: "a route has a destination and an interface"}
	}
	r := &netlink.Route{
		LinkIndex: index, Dst: ipNet(dst.Masked()), Priority: opts.Metric, Table: opts.Table, MTU: opts.MTU,
		Protocol: unix.RTPROT_STATIC,
	}
	if opts.Gateway.IsValid() {
		r.Gw = opts.Gateway.WithZone("").AsSlice()
	} else if is4 {
		r.Scope = netlink.SCOPE_LINK
	}
	if opts.Source.IsValid() {
		r.Src = opts.Source.WithZone("").AsSlice()
	}
	return r, nil
}
