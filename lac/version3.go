package lac

import (
	"fmt"
	"net/netip"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/lcce"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// reach dials the peer, by UDP or directly over IP.
func (l *line) reach(local, peer netip.AddrPort) error {
	spec := l.spec()
	if peer.Addr() == l.peer {
		// If the peer dials us at the same time, as after an outage that ended the
		// tunnel at both ends, it is known again. Other addresses of its name may be
		// those of other machines.
		spec.PeerRouterID = l.routerID
	}
	if l.cfg.V3.Encapsulation == config.EncapsulationIP {
		return l.role.engine.DialIP(local.Addr(), peer.Addr(), spec)
	}
	return l.role.engine.Dial(local, peer, spec)
}

// version3 has a tunnel speak version 3, or offer both versions, where the peer
// chooses.
func (l *line) version3(c *tunnel.Config) {
	v := &l.cfg.V3
	lcce.TunnelConfig(c, &l.role.cfg.L2TPv3, v)
	c.Fallback = v.Has(l2tp.Version)
	all := v.Pseudowires
	for _, s := range l.cfg.Sessions {
		if s.Pseudowire != nil {
			all = append(all[:len(all):len(all)], s.Pseudowire)
		}
	}
	c.Pseudowires = lcce.Capabilities(all, v.AllowPPP)
	// The two ends of a control connection are equal in version 3: either may ask for
	// sessions.
	c.AllowIncoming = len(v.Pseudowires) > 0
	c.AllowOutgoing = c.AllowOutgoing || len(v.Pseudowires) > 0
}

// kernelPlane says whether a session is on the kernel plane.
func (l *line) kernelPlane(s *config.Session) bool {
	if s.Pseudowire != nil {
		return l.role.circuits.KernelPlane(s.Pseudowire)
	}
	return l.role.planes.Kernel(s.Profile)
}

// served says that there is nothing to dial for: every session of the line is one of a
// pseudowire that somebody has already. So it is when both ends dial each other, and
// ours was not the tunnel that lived.
func (l *line) served() bool {
	if len(l.cfg.Sessions) == 0 || len(l.cfg.V3.Pseudowires) > 0 || l.cfg.AllowOutgoing {
		return false // the tunnel is wanted for what the peer asks
	}
	for _, s := range l.cfg.Sessions {
		if s.Pseudowire == nil || l.role.circuits.Holder(s.Pseudowire.Name) == "" {
			return false
		}
	}
	return true
}

// possible says whether a tunnel of this version can have the session, or logs what to
// do.
func (l *line) possible(s *config.Session, version uint8) bool {
	v := &l.cfg.V3
	switch {
	case s.Pseudowire != nil && version != l2tp.Version3:
		l.log.WithField("session_name", s.Name).Warn("the peer speaks version 2 of L2TP, which has no pseudowires: the session is not asked for; have the peer speak version 3, or write versions = [3] so that it is not tried otherwise")
		return false
	case s.Pseudowire == nil && version == l2tp.Version3 && !v.AllowPPP:
		l.log.WithField("session_name", s.Name).Warn("the tunnel is one of version 3, for which ppp is false: the session is not asked for; say ppp = true, or versions = [2]")
		return false
	}
	return true
}

// who is what others are told of a session of the line that holds a pseudowire.
func who(t *config.Tunnel, name string) string {
	return fmt.Sprintf("session %q of the tunnel %q", name, t.Name)
}

// wantedCircuit is the call of a session with a pseudowire.
func (r *Role) wantedCircuit(t *config.Tunnel, s *config.Session) engine.Wanted {
	direction := tunnel.Incoming
	if s.Direction == config.Outgoing {
		direction = tunnel.Outgoing
	}
	call := lcce.Call(s.Pseudowire, direction)
	call.TxConnectSpeed, call.RxConnectSpeed = s.TxSpeed, s.RxSpeed
	return engine.Wanted{Call: call, Spec: func() (*engine.CallSpec, error) {
		spec, err := r.circuits.CallSpec(s.Pseudowire, who(t, s.Name))
		if err != nil {
			return nil, err
		}
		spec.Name = s.Name
		return spec, nil
	}}
}

// answered answers a call that is none of PPP's that the peer may have; false: it is
// one.
func (l *line) answered(c *engine.Call) bool {
	version3, outgoing := c.Tunnel().Version() == l2tp.Version3, c.Params.Direction == tunnel.Outgoing
	switch {
	case version3 && c.Params.Pseudowire != l2tp.PseudowirePPP:
		l.answer(c)
	case outgoing && l.cfg.AllowOutgoing && (!version3 || l.cfg.V3.AllowPPP):
		return false
	default:
		c.Reject("the peer asks for a PPP session, which only allow_outgoing lets it ask for, and ppp in version 3", tunnel.Cause{
			Result: l2tp.ResultCode{Result: l2tp.CDNNoFacilitiesPermanent, Message: "no PPP sessions are offered to you"}})
	}
	return true
}

// answer gives the peer the circuit that it asks for, if it may have it.
func (l *line) answer(c *engine.Call) {
	spec, no := l.role.circuits.Answer(l.cfg.V3.Pseudowires, &c.Params, who(l.cfg, fmt.Sprint(c.ID)))
	if no != nil {
		c.Reject(no.Why, no.Cause)
		return
	}
	c.Accept(spec)
}
