package engine

import (
	"bytes"
	"net/netip"
)

// dialled is an SCCRQ of ours that has had no answer yet.
type dialled struct {
	peer netip.Addr
	spec *TunnelSpec
	tie  []byte
}

// PeerRouterID is the Router ID that the peer told, 0 in version 2. Only for use in a
// Handler's methods.
func (t *Tunnel) PeerRouterID() uint32 { return t.core.Peer().RouterID }

// remember notes an SCCRQ of ours for the tie breaker; forget drops it.
func (e *Engine) remember(t *Tunnel, tie []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dials[t] = dialled{peer: t.path.Peer.Addr(), spec: t.spec, tie: append([]byte(nil), tie...)}
}

func (e *Engine) forget(t *Tunnel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.dials, t)
}

// rivals returns the tunnels that we are dialling to the sender of a request, with their
// tie breakers.
func (e *Engine) rivals(peer netip.Addr, r *request, secret []byte) map[*Tunnel][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all map[*Tunnel][]byte
	for t, d := range e.dials {
		if d.isOf(peer, r, secret) {
			if all == nil {
				all = make(map[*Tunnel][]byte)
			}
			all[t] = d.tie
		}
	}
	return all
}

// isOf says whether who sent a request is whom we have dialled.
//
// RFC 3931 section 3.3: "LCCEs are identified during control connection establishment
// either by the Host Name AVP, the Router ID AVP, or a combination of the two". Section
// 5.4.3: "Applications that require tie breaking also require that an LCCE be uniquely
// identifiable upon receipt of an SCCRQ. For L2TP over IP, this MUST be accomplished via
// the Router ID AVP."
//
// So one whose Router ID or Host Name is not that of whom we have dialled is another one,
// also at the same address, as behind a NAT. Where neither is known of whom we have
// dialled, the address says who it is, as it has to in version 2. From another address a
// Router ID is believed only if the secret proves it that we share with whom we have
// dialled, or any peer could end our attempts to reach another.
func (d *dialled) isOf(peer netip.Addr, r *request, secret []byte) bool {
	known := d.spec.PeerRouterID != 0 && r.offers3 && r.routerID != 0
	switch {
	case known && d.spec.PeerRouterID != r.routerID,
		d.spec.RemoteHostName != nil && !d.spec.RemoteHostName(r.hostName):
		return false
	case d.peer == peer:
		return true
	}
	return known && len(secret) > 0 && bytes.Equal(d.spec.Tunnel.Secret, secret)
}
