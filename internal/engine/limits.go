package engine

import "net/netip"

// enter counts a tunnel in. Errors: ErrLimit, ErrClosed.
func (e *Engine) enter(peer netip.Addr, accepted bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := &e.opt.Limits
	switch {
	case e.closing.Load():
		return ErrClosed
	case e.tunnels.Load() >= int64(l.Tunnels),
		e.perPeer[peer] >= l.TunnelsPerPeer,
		accepted && e.halfOpen.Load() >= int64(l.HalfOpen):
		return ErrLimit
	}
	e.tunnels.Add(1)
	e.perPeer[peer]++
	if accepted {
		e.halfOpen.Add(1)
	}
	return nil
}

// exit counts a tunnel out.
func (e *Engine) exit(peer netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tunnels.Add(-1)
	if e.perPeer[peer]--; e.perPeer[peer] <= 0 {
		delete(e.perPeer, peer)
	}
}

// settled says that a tunnel is half open no more: it is up, or over.
func (e *Engine) settled(t *Tunnel) {
	e.forget(t)
	if t.halfOpen {
		t.halfOpen = false
		e.halfOpen.Add(-1)
	}
}

func (e *Engine) takeSession() bool {
	if e.sessions.Add(1) > int64(e.opt.Limits.Sessions) {
		e.sessions.Add(-1)
		return false
	}
	return true
}

func (e *Engine) giveSession() { e.sessions.Add(-1) }
