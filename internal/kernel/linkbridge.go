package kernel

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoBridge says that there is no bridge of this name.
var ErrNoBridge = errors.New("no such bridge")

// SetBridge makes the interface a member of the bridge of that name, or of none if the
// name is empty. A bridge is not made; what is none, or not there, is ErrNoBridge.
func (l *Links) SetBridge(index int, bridge string) error {
	if bridge == "" {
		return l.do(fmt.Sprintf("take interface %d out of its bridge", index), func(h *netlink.Handle) error {
			return h.LinkSetNoMaster(link(index))
		})
	}
	op := fmt.Sprintf("make interface %d a member of the bridge %s", index, bridge)
	var refused *Error
	err := l.do(op, func(h *netlink.Handle) error {
		b, err := h.LinkByName(bridge)
		var none netlink.LinkNotFoundError
		switch {
		case errors.As(err, &none):
			refused = &Error{Op: op, Kind: ErrNoBridge, Err: unix.ENODEV,
				Advice: fmt.Sprintf("make it first, as by `ip link add %s type bridge`, or choose another with `bridge =`", bridge)}
			return nil
		case err != nil:
			return err
		case b.Type() != "bridge":
			refused = &Error{Op: op, Kind: ErrNoBridge, Err: unix.EINVAL,
				Advice: fmt.Sprintf("%s is there but is no bridge: `ip -d link show %s` tells what it is", bridge, bridge)}
			return nil
		}
		return h.LinkSetMasterByIndex(link(index), b.Attrs().Index)
	})
	if refused != nil {
		return refused
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ELOOP) {
		return &Error{Op: op, Err: err, Advice: "an interface without Ethernet frames cannot be a member of a bridge, nor can a bridge itself"}
	}
	return err
}

// LinkState is what an interface is.
type LinkState struct {
	Name   string
	MTU    int              // octets
	Up     bool             // somebody has set it up; whether it has a carrier is another matter
	Master int              // the index of the bridge that it is a member of; 0: none
	MAC    net.HardwareAddr // empty: it has none
}

// State asks for the interface's state. One that is gone is ErrNoLink.
func (l *Links) State(index int) (s LinkState, err error) {
	err = l.do(fmt.Sprintf("look for interface %d", index), func(h *netlink.Handle) error {
		a, problem := attrs(h.LinkByIndex(index))
		s = LinkState{Name: a.Name, MTU: a.MTU, Up: a.RawFlags&unix.IFF_UP != 0, Master: a.MasterIndex, MAC: a.HardwareAddr}
		return problem
	})
	return s, err
}

// AddVLAN makes an interface that is one VLAN of another: its frames have the 802.1Q tag
// id, 1 to 4094, on that. The name may have a %d for a free number. It is down, and goes
// with the other. ErrNotSupported: the module 8021q is not there.
func (l *Links) AddVLAN(parent int, id uint16, name string) (index int, err error) {
	op := fmt.Sprintf("make the interface %q of VLAN %d", name, id)
	v := &netlink.Vlan{
		LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: parent, TxQLen: -1},
		VlanId:    int(id), VlanProtocol: netlink.VLAN_PROTOCOL_8021Q,
	}
	err = l.do(op, func(h *netlink.Handle) error { return h.LinkAdd(v) })
	switch {
	case errors.Is(err, ErrNotSupported):
		return 0, &Error{Op: op, Kind: ErrNotSupported, Err: unix.EOPNOTSUPP, Advice: "load the module 8021q, or choose the userspace data plane"}
	case err != nil:
		return 0, err
	}
	return l.vlan(op, parent, id, v.Index)
}

// vlan finds the new interface: netlink does not tell its index if the name has a %d.
func (l *Links) vlan(op string, parent int, id uint16, told int) (index int, err error) {
	if told > 0 {
		return told, nil
	}
	err = l.do(op, func(h *netlink.Handle) error {
		all, problem := h.LinkList()
		for _, k := range all {
			if v, ok := k.(*netlink.Vlan); ok && v.ParentIndex == parent && v.VlanId == int(id) {
				index = v.Index
				return nil
			}
		}
		if problem == nil {
			problem = unix.ENODEV
		}
		return problem
	})
	return index, err
}

// Delete removes an interface.
func (l *Links) Delete(index int) error {
	return l.do(fmt.Sprintf("remove interface %d", index), func(h *netlink.Handle) error {
		return h.LinkDel(link(index))
	})
}
