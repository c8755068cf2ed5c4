package lcce

import (
	"fmt"
	"strconv"
)

// onLink is the link of a tunnel between link-local addresses; empty: they are others.
func (t *static) onLink() string { return t.cfg.Local.Addr().Zone() }

// keepLink sees to it that a tunnel between link-local addresses is on the link of that
// name that there is now. Sockets are bound to the one that they were opened on, and do
// nothing any more when it is gone, even if another one gets its name and its addresses.
// The error is that there is none; kernel.ErrNoLink tells it.
func (t *static) keepLink() error {
	name := t.onLink()
	if name == "" {
		return nil
	}
	index, err := strconv.Atoi(name)
	if err != nil {
		if index, err = t.role.world.devices.Index(name); err != nil {
			return fmt.Errorf("the link %q of the tunnel's addresses is not there: %w", name, err)
		}
	}
	if t.link == index {
		return nil
	}
	before := t.link
	if t.link = index; before == 0 {
		return nil
	}
	t.log.WithField("link", name).Warn("the link of the tunnel's addresses was made again, and so the tunnel is")
	if !t.kernelPlane() {
		for _, s := range t.sessions {
			if s.user != nil {
				s.user.Close("its link was made again") // ended follows, and opens it again
			}
		}
		return nil
	}
	t.removeKernel()
	for _, s := range t.sessions {
		s.lost()
		s.forgetDevice()
	}
	t.ours, t.role.seen = false, nil
	t.again = true // the kernel may not be done with the old one
	return nil
}

// linkChanged says whether an event of the device of that index, 0: of any, may be about
// the link of the tunnel's addresses. One that comes has an index that nobody knows yet.
func (t *static) linkChanged(index int) bool {
	return t.onLink() != "" && (index == 0 || index == t.link || t.failures > 0)
}
