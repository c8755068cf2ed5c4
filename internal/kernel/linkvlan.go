package kernel

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// VLAN says which VLAN an interface is, as AddVLAN makes it: the index of the interface
// that its frames pass through, and their tag. Parent 0: it is no VLAN.
func (l *Links) VLAN(index int) (parent int, id uint16, err error) {
	err = l.do(fmt.Sprintf("look for interface %d", index), func(h *netlink.Handle) error {
		k, problem := h.LinkByIndex(index)
		if problem != nil {
			return problem
		}
		if v, ok := k.(*netlink.Vlan); ok {
			parent, id = v.ParentIndex, uint16(v.VlanId)
		}
		return nil
	})
	return parent, id, err
}
