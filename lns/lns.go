// Package lns is the LNS role: whom to let in, and with what address.
package lns

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// Role decides for the tunnels that peers set up to us. It is safe for use by
// every shard at once.
type Role struct {
	cfg    *config.Config
	planes *engine.Planes
	peers  map[*config.Peer]*peer
	pools  map[*config.Pool]*pool
	end    engine.End
	access *access
}

// peer is one [[lns.peers]] block with what it holds at present.
type peer struct {
	role     *Role
	cfg      *config.Peer
	tunnels  atomic.Int64
	sessions atomic.Int64
	outgoing []*config.OutgoingCall
}

// New makes the role from a validated configuration.
func New(cfg *config.Config, planes *engine.Planes) *Role {
	r := &Role{cfg: cfg, planes: planes,
		peers: make(map[*config.Peer]*peer), pools: make(map[*config.Pool]*pool),
		end: engine.End{LNS: true, Name: cfg.HostName}, access: newAccess(cfg)}
	for _, p := range cfg.LNS.Peers {
		r.peers[p] = &peer{role: r, cfg: p}
	}
	for _, o := range cfg.LNS.Outgoing {
		r.peers[o.Peer].outgoing = append(r.peers[o.Peer].outgoing, o)
	}
	for _, p := range cfg.Pools {
		r.pools[p] = newPool(p)
	}
	return r
}

// Counts are the role's own counters by name, for people and programs: how often
// a peer of the built-in endpoint showed who it is, and how often it did not.
func (r *Role) Counts() map[string]uint64 {
	return map[string]uint64{
		"auth_accepted": r.access.accepted.Load(),
		"auth_refused":  r.access.refused.Load(),
	}
}

// AcceptTunnel matches an SCCRQ with the [[lns.peers]] blocks.
func (r *Role) AcceptTunnel(from netip.AddrPort, hostName string) (*engine.TunnelSpec, *engine.Refusal) {
	cfg := r.cfg.LNS.Match(from.Addr(), hostName)
	if cfg == nil {
		return nil, &engine.Refusal{
			Why: "no [[lns.peers]] block admits this address and host name: add one, or correct its addresses or host_name",
			Result: l2tp.ResultCode{Result: l2tp.StopCCNNotAuthorized,
				Message: "this LNS has no peer of your address and host name"},
		}
	}
	p := r.peers[cfg]
	if p.tunnels.Add(1) > int64(cfg.MaxTunnels) {
		p.tunnels.Add(-1)
		return nil, &engine.Refusal{
			Why: "max_tunnels of this [[lns.peers]] block is reached", Name: cfg.Name,
			Result: l2tp.ResultCode{Result: l2tp.StopCCNGeneralError,
				Error: l2tp.ErrorInsufficientResources, Message: "no more tunnels are accepted from you at present"},
		}
	}
	return p.tunnelSpec(), nil
}

func (p *peer) tunnelSpec() *engine.TunnelSpec {
	c := p.cfg
	spec := &engine.TunnelSpec{
		Name:    c.Name,
		Handler: &handler{peer: p},
		Tunnel: engine.TunnelConfig(c.ControlChannel, engine.TunnelIdentity{
			HostName: p.role.cfg.HostName, VendorName: p.role.cfg.VendorName,
			Secret: c.Secret, Challenge: c.Challenge, HideAVPs: c.HideAVPs,
		}),
		KernelPlane: p.role.planes.Kernel(c.Profile),
	}
	spec.Tunnel.MaxSessions = min(p.role.cfg.Limits.SessionsPerTunnel, c.MaxSessions)
	spec.Tunnel.AllowIncoming, spec.Tunnel.AllowOutgoing = c.AllowIncoming, c.AllowOutgoing
	return spec
}

// handler handles one tunnel of a peer.
type handler struct {
	peer  *peer
	calls *engine.Keeper
}

// The pauses before an outgoing call that failed is asked for again.
const (
	outgoingRetryMin = time.Second
	outgoingRetryMax = time.Minute
)

// TunnelUp asks the LAC for the configured outgoing calls.
func (h *handler) TunnelUp(t *engine.Tunnel) {
	var wanted []engine.Wanted
	for _, o := range h.peer.outgoing {
		for range o.Count {
			wanted = append(wanted, h.peer.outgoingCall(o))
		}
	}
	h.calls = engine.KeepCalls(t, wanted, outgoingRetryMin, outgoingRetryMax)
}

// TunnelDown counts the tunnel out.
func (h *handler) TunnelDown(*engine.Tunnel, tunnel.Cause) {
	h.peer.tunnels.Add(-1)
	if h.calls != nil {
		h.calls.Stop()
	}
}

// CallRequested gives the call an address, if the profile has a pool.
func (h *handler) CallRequested(c *engine.Call) {
	p := h.peer
	if p.sessions.Add(1) > int64(p.cfg.MaxSessions) {
		refuse(c, "max_sessions of this [[lns.peers]] block is reached", "no more sessions are accepted from you at present")
		return
	}
	// Who asks for an incoming call is its LAC, and so we are its LNS.
	serving := c.Params.Direction == tunnel.Incoming
	spec := p.role.callSpec("", p.cfg.Profile, nil, serving)
	// A pppd gets its address from the pool whoever asks.
	if serving || spec.Bridge.Endpoint == nil {
		if err := p.role.Serve(spec, p.cfg.Profile); err != nil {
			refuse(c, err.Error(), "no address is free")
			return
		}
	}
	c.Accept(spec)
}

// refuse rejects a call for want of something that may be there later. CallDown
// follows and counts the call out.
func refuse(c *engine.Call, why, message string) {
	c.Reject(why, tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNNoFacilitiesTemporary, Message: message}})
}

// CallUp tells the keeper of outgoing calls.
func (h *handler) CallUp(c *engine.Call) { h.calls.Up(c) }

// CallDown counts the call out and, if it was ours, has it placed again.
func (h *handler) CallDown(c *engine.Call, _ tunnel.Cause) {
	if !c.Placed() {
		h.peer.sessions.Add(-1)
	}
	if h.calls != nil {
		h.calls.Down(c)
	}
}

// callSpec is what a profile says of a call. To our own PPP endpoint it matters
// whether we serve the peer, as its LNS, or are its client, as a LAC that places
// calls for it; a client has nobody to let in, and no name that it could prove.
func (r *Role) callSpec(name string, profile *config.Profile, options []string, serving bool) *engine.CallSpec {
	end := r.end
	end.LNS = serving
	return r.planes.CallSpec(name, profile, options, end)
}

// Serve makes of a call one in which we are the LNS: its peer gets an address of
// the profile's pool, and shows the built-in endpoint who it is. The other role
// asks for it too, because a tunnel that we dialled may have such calls. The error
// says that the pool is exhausted.
func (r *Role) Serve(spec *engine.CallSpec, profile *config.Profile) error {
	s := &session{access: r.access}
	spec.Bridge.Access, spec.Session = s, s
	if !r.assign(s, spec, profile) {
		return fmt.Errorf("pool %s is exhausted: add a range to it", profile.Pool.Name)
	}
	return nil
}

// assign gives a call its address from the profile's pool, and sees to it that
// the address comes back. It reports false when the pool is exhausted.
func (r *Role) assign(s *session, spec *engine.CallSpec, profile *config.Profile) bool {
	if profile.Pool == nil {
		return true
	}
	pool := r.pools[profile.Pool]
	addr, ok := pool.take()
	if !ok {
		return false
	}
	spec.Bridge.RemoteIP = addr
	s.back = func() { pool.giveBack(addr) }
	return true
}

// outgoingCall is a call that we ask the LAC to place (OCRQ).
func (p *peer) outgoingCall(o *config.OutgoingCall) engine.Wanted {
	return engine.Wanted{
		Call: tunnel.Call{
			Direction:    tunnel.Outgoing,
			BearerType:   l2tp.BearerDigital,
			CalledNumber: o.CalledNumber,
			SubAddress:   o.SubAddress,
			MinimumBPS:   o.MinimumBPS,
			MaximumBPS:   o.MaximumBPS,
		},
		Spec: func() (*engine.CallSpec, error) {
			spec := p.role.callSpec(o.Name, o.Profile, o.PPPDOptions, true)
			return spec, p.role.Serve(spec, o.Profile)
		},
	}
}
