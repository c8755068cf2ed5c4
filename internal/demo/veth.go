package demo

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// The outer addresses: of the wire between the LNS and the LAC.
var (
	lnsOuter = netip.MustParsePrefix("192.0.2.1/24")
	lacOuter = netip.MustParsePrefix("192.0.2.2/24")
)

// wireName is what the wire's interface is called in both namespaces.
const wireName = "wire0"

// join brings up the loopbacks of two rooms and a veth pair between them.
func join(lns, lac *room) error {
	err := lns.do(func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		pair := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: wireName}, PeerName: wireName,
			PeerNamespace: netlink.NsFd(int(lac.ns.Fd())),
		}
		if err := h.LinkAdd(pair); err != nil {
			return fmt.Errorf("making a veth pair: %w", err)
		}
		return bringUp(h, lnsOuter)
	})
	return errors.Join(err, lac.do(func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		return bringUp(h, lacOuter)
	}))
}

// bringUp gives the wire its address and brings it up, and the loopback.
func bringUp(h *netlink.Handle, address netip.Prefix) error {
	wire, err := h.LinkByName(wireName)
	if err != nil {
		return fmt.Errorf("%s: %w", wireName, err)
	}
	a, err := netlink.ParseAddr(address.String())
	if err != nil {
		return err
	}
	if err = h.AddrAdd(wire, a); err != nil {
		return fmt.Errorf("address %s of %s: %w", address, wireName, err)
	}
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	return errors.Join(h.LinkSetUp(wire), h.LinkSetUp(lo))
}
