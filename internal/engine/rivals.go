package engine

import "net/netip"

// remember notes an SCCRQ of ours for the tie breaker; forget drops it.
func (e *Engine) remember(t *Tunnel, tie []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dials[t] = dialled{peer: t.path.Peer.Addr(), tie: append([]byte(nil), tie...)}
}

func (e *Engine) forget(t *Tunnel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.dials, t)
}

// rivals returns the tunnels that we are dialling to peer, with their tie
// breakers.
func (e *Engine) rivals(peer netip.Addr) map[*Tunnel][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all map[*Tunnel][]byte
	for t, d := range e.dials {
		if d.peer == peer {
			if all == nil {
				all = make(map[*Tunnel][]byte)
			}
			all[t] = d.tie
		}
	}
	return all
}
