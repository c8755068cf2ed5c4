package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"adit/internal/config"
)

// kernelPath is what the kernel tells the socket of a kernel-plane tunnel by.
type kernelPath struct{ local, peer netip.AddrPort }

// pathUse is who has tunnels along one path. The kernel gives all packets of a
// path to one socket, and a socket belongs to one tunnel there; in it, the
// kernel (Linux 6.1) looks a data message up by its Session ID alone. So only
// one tunnel of a path can be on the kernel plane, and sessions of the others
// must not have the Session ID of one of its own.
type pathUse struct {
	owner  *tunnelSlot
	others []*tunnelSlot
}

// Why a call cannot be on the kernel plane, or nowhere.
var (
	errPathTaken = errors.New("another tunnel between the same addresses and ports is on the kernel data plane already")
	errIDTaken   = errors.New("a session of another tunnel between the same addresses and ports has this Session ID")
)

func (t *Tunnel) kernelPath() kernelPath { return kernelPath{t.path.Local, t.path.Peer} }

// takePath makes t the tunnel of its path on the kernel plane.
//
// Directly over IP, each tunnel has a socket of its own there, which is told by the
// Control Connection ID, so nothing is in short supply.
func (e *Engine) takePath(t *Tunnel) error {
	if t.path.encapsulation() == config.EncapsulationIP {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	use := e.pathUse(t)
	if use.owner != nil && use.owner != t.slot {
		return errPathTaken
	}
	use.owner = t.slot
	use.others = slices.DeleteFunc(use.others, func(s *tunnelSlot) bool { return s == t.slot })
	return nil
}

// yieldPath undoes takePath: the kernel did not take the tunnel, and may take
// another one.
func (e *Engine) yieldPath(t *Tunnel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if use := e.pathUse(t); use.owner == t.slot {
		use.owner = nil
		use.others = append(use.others, t.slot)
	}
}

// sharePath notes that t has sessions on its path without the kernel.
func (e *Engine) sharePath(t *Tunnel) {
	if t.path.encapsulation() == config.EncapsulationIP {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	use := e.pathUse(t)
	if use.owner != t.slot && !slices.Contains(use.others, t.slot) {
		use.others = append(use.others, t.slot)
	}
}

// pathUse returns the entry of t's path, made now if need be. e.mu is held.
func (e *Engine) pathUse(t *Tunnel) *pathUse {
	use := e.paths[t.kernelPath()]
	if use == nil {
		use = new(pathUse)
		e.paths[t.kernelPath()] = use
	}
	return use
}

// leavePath forgets t.
func (e *Engine) leavePath(t *Tunnel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	use := e.paths[t.kernelPath()]
	if use == nil {
		return
	}
	if use.owner == t.slot {
		use.owner = nil
	}
	use.others = slices.DeleteFunc(use.others, func(s *tunnelSlot) bool { return s == t.slot })
	if use.owner == nil && len(use.others) == 0 {
		delete(e.paths, t.kernelPath())
	}
}

// uniqueOnPath says whether the kernel can tell the session from those of other
// tunnels of its path. A call for which it cannot is refused, and gets another
// Session ID when it is placed again.
func (e *Engine) uniqueOnPath(t *Tunnel, sessionID uint32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	use := e.paths[t.kernelPath()]
	if use == nil || use.owner == nil {
		return nil
	}
	rivals := []*tunnelSlot{use.owner}
	if use.owner == t.slot {
		rivals = use.others
	}
	for _, s := range rivals {
		if s.session(sessionID) != nil {
			return fmt.Errorf("session %d: %w", sessionID, errIDTaken)
		}
	}
	return nil
}
