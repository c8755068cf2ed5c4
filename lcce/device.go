package lcce

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"adit/internal/kernel"
)

// defaultMTU is that of Ethernet, in octets of the payload.
const defaultMTU = 1500

// tagLength is what a 802.1Q tag adds to a frame, octets.
const tagLength = 4

// forgetDevice is for a device that is gone, or about to be made.
func (s *session) forgetDevice() {
	s.device, s.base, s.index, s.baseIndex, s.right = "", "", 0, 0, false
}

// keepDevice makes the session's network device what the configuration says, as far as
// it is not. kernel.ErrNoLink: it is not there at all.
func (s *session) keepDevice(now time.Time) error {
	if s.user != nil {
		// Empty: there is none, or it is still being made.
		if s.device = s.user.Info().Bridge.Interface; s.device == "" {
			return nil
		}
	}
	links := s.tunnel.role.world.devices
	made, err := s.keepVLAN(links)
	if err != nil {
		return err
	}
	if s.index, err = find(links, s.device, s.index); err != nil {
		return err
	}
	state, err := links.State(s.index)
	if err != nil {
		return err
	}
	did, err := s.adjust(links, &state)
	if err != nil {
		return err
	}
	if made {
		did = "the VLAN's device is made again"
	}
	if did != "" && s.right {
		s.tunnel.fixed(now, s.log.WithField("interface", s.device), did)
	}
	s.right = true
	return nil
}

// find is the index of the device of that name. The one that had it before may have been
// renamed, and the name be a stranger's now, who is left alone.
func find(links devices, name string, before int) (int, error) {
	index, err := links.Index(name)
	if err != nil || before == 0 || index == before {
		return index, err
	}
	if _, gone := links.State(before); gone == nil {
		return 0, fmt.Errorf("the device was renamed, and another is called %q now: %w", name, kernel.ErrNoLink)
	}
	return index, nil
}

// mtu is that of the device, octets.
func (s *session) mtu() int {
	if m := s.cfg.Pseudowire.MTU; m != 0 {
		return m
	}
	return defaultMTU
}

// adjust changes what is not right about the device, and says what it was.
func (s *session) adjust(links devices, d *kernel.LinkState) (did string, err error) {
	p := s.cfg.Pseudowire
	if s.user == nil && s.tunnel.linkIsDown() {
		if d.Up {
			err = links.SetDown(s.index)
		}
		return "", err // IPv6 addresses go with it, and come back with the link
	}
	if p.Bridge != "" {
		// A name of the bridge's that cannot be found is as good as another bridge.
		if master, _ := links.Name(d.Master); d.Master == 0 || master != p.Bridge {
			if err = links.SetBridge(s.index, p.Bridge); err != nil {
				return "", err
			}
			did = "the device is in its bridge again"
		}
	}
	if !d.Up || d.MTU != s.mtu() {
		if err = links.SetUp(s.index, s.mtu()); err != nil {
			return "", err
		}
		did = "the device is up with its MTU again"
	}
	for _, a := range p.Addresses {
		switch err = links.AddAddress(s.index, a, netip.Addr{}); {
		case errors.Is(err, kernel.ErrExists):
		case err != nil:
			return "", err
		default:
			did = "the device has its addresses again"
		}
	}
	return did, nil
}

// keepVLAN makes the device that pushes and pops the tag, above the session's own.
func (s *session) keepVLAN(links devices) (made bool, err error) {
	if s.base == "" {
		return false, nil
	}
	tag := s.cfg.Pseudowire.VLAN
	if s.baseIndex, err = find(links, s.base, s.baseIndex); err != nil {
		return false, err
	}
	base, err := links.State(s.baseIndex)
	if err != nil {
		return false, err
	}
	if mtu := s.mtu() + tagLength; !base.Up || base.MTU < mtu {
		if err = links.SetUp(s.baseIndex, mtu); err != nil {
			return false, err
		}
	}
	index, err := links.Index(s.device)
	if errors.Is(err, kernel.ErrNoLink) {
		_, err = links.AddVLAN(s.baseIndex, tag, s.device)
		return err == nil, err
	}
	if err != nil {
		return false, err
	}
	parent, is, err := links.VLAN(index)
	if err == nil && (parent != s.baseIndex || is != tag) {
		err = fmt.Errorf("there is a device %q that is not the VLAN %d of %q; remove it with \"ip link del %s\", or choose another interface",
			s.device, tag, s.base, s.device)
	}
	return false, err
}
