package lns

import (
	"fmt"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/lcce"
	"adit/proto/l2tp"
)

// choose is the version in which an SCCRQ is answered: of those that it offers, the one
// that its peer's block prefers; false: the block has none of them.
//
// RFC 3931 section 4.7.3: "If the peer implementation is L2TPv3-capable, a control
// message with the Ver field set to 3 and an L2TPv3 header and message format will be
// sent in response to the SCCRQ." Which one is ours to say.
func choose(v *config.PeerV3, req *engine.TunnelRequest) (version uint8, ok bool) {
	offered := map[uint8]bool{l2tp.Version: req.V2, l2tp.Version3: req.V3}
	preferred := v.Versions
	if len(preferred) == 0 {
		preferred = []uint8{l2tp.Version}
	}
	for _, version := range preferred {
		if offered[version] {
			return version, true
		}
	}
	return 0, false
}

// refusedVersion is told a peer whose block has none of the versions that it speaks.
//
// RFC 3931 section 5.4.2: "5 - The protocol version of the requester is not supported,
// Error Code indicates highest version supported."
func refusedVersion(cfg *config.Peer) *engine.Refusal {
	ours, theirs := uint8(l2tp.Version), uint8(l2tp.Version3)
	if !cfg.V3.Has(l2tp.Version) {
		ours, theirs = theirs, ours
	}
	return &engine.Refusal{
		Why: fmt.Sprintf("the peer speaks only version %d of L2TP, which its block does not allow: add it to versions of this [[lns.peers]], or have the peer speak version %d",
			theirs, ours),
		Name: cfg.Name,
		Result: l2tp.ResultCode{Result: l2tp.StopCCNUnsupportedVersion, Error: l2tp.ErrorCode(ours),
			Message: fmt.Sprintf("only version %d is spoken with you", ours)},
	}
}

// version3 adds to a tunnel what version 3 has.
func (p *peer) version3(spec *engine.TunnelSpec) {
	c := p.cfg
	lcce.TunnelConfig(&spec.Tunnel, &p.role.cfg.L2TPv3, &c.V3)
	spec.KernelPlane = spec.KernelPlane && c.V3.AllowPPP
	for _, w := range c.V3.Pseudowires {
		spec.KernelPlane = spec.KernelPlane || p.role.circuits.KernelPlane(w)
	}
}

// answered answers a call that is no PPP session of version 2 or 3 that the peer may
// have; false: it is one.
func (h *handler) answered(c *engine.Call) bool {
	v := &h.peer.cfg.V3
	switch {
	case h.version != l2tp.Version3:
		return false
	case c.Params.Pseudowire == l2tp.PseudowirePPP && v.AllowPPP:
		return false
	case c.Params.Pseudowire == l2tp.PseudowirePPP:
		no := lcce.NotPPP()
		c.Reject(no.Why, no.Cause)
		return true
	}
	who := fmt.Sprintf("session %d of tunnel %d, of the peer %q", c.ID, c.Tunnel().ID(), h.peer.cfg.Name)
	spec, no := h.peer.role.circuits.Answer(v.Pseudowires, &c.Params, who)
	if no != nil {
		c.Reject(no.Why, no.Cause)
		return true
	}
	c.Accept(spec)
	return true
}
