// Package lns is the LNS role: whom to let in, and with what address.
package lns

import (
	"context"
	"maps"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/lcce"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// Role decides for the tunnels that peers set up to us. It is safe for use by
// every shard at once.
type Role struct {
	cfg      *config.Config
	planes   *engine.Planes
	circuits *lcce.Circuits
	peers    map[*config.Peer]*peer
	end      engine.End
	parts    *parts
}

// peer is one [[lns.peers]] block with what it holds at present.
type peer struct {
	role     *Role
	cfg      *config.Peer
	tunnels  atomic.Int64
	sessions atomic.Int64
	outgoing []*config.OutgoingCall
}

// New makes the role from a validated configuration, with the AAA layer and what
// it needs: files in the state directory, sockets to and for RADIUS and DHCP. The
// circuits are those that peers may ask for by L2TPv3. The error is a sentence with
// what to do.
func New(cfg *config.Config, planes *engine.Planes, circuits *lcce.Circuits, log *logrus.Entry) (*Role, error) {
	parts := new(parts)
	if serves(cfg) {
		var err error
		if parts, err = open(cfg, planes, log); err != nil {
			return nil, err
		}
	}
	r := &Role{cfg: cfg, planes: planes, circuits: circuits, parts: parts,
		peers: make(map[*config.Peer]*peer), end: engine.End{LNS: true, Name: cfg.HostName}}
	for _, p := range cfg.LNS.Peers {
		r.peers[p] = &peer{role: r, cfg: p}
	}
	for _, o := range cfg.LNS.Outgoing {
		r.peers[o.Peer].outgoing = append(r.peers[o.Peer].outgoing, o)
	}
	return r, nil
}

// serves says whether we may be the LNS of a call. A mere client keeps no state.
func serves(cfg *config.Config) bool {
	for _, use := range cfg.Uses() {
		if use.LNS {
			return true
		}
	}
	return len(cfg.LNS.Peers) > 0
}

// Leave says that the daemon ends: it is why sessions end from now on.
func (r *Role) Leave() {
	if l := r.parts.layer; l != nil {
		l.Leave()
	}
}

// Close ends the AAA layer, when the engine has ended: what is to be written down
// and sent is, for as long as ctx lasts.
func (r *Role) Close(ctx context.Context) error { return r.parts.close(ctx) }

// Counts are the counters of the AAA layer and its parts by name, for people and
// programs.
func (r *Role) Counts() map[string]uint64 {
	p := r.parts
	if p.layer == nil {
		return nil
	}
	all := p.layer.Counts()
	maps.Copy(all, p.pools.Counts())
	maps.Copy(all, p.hooks.Counts())
	maps.Copy(all, p.autoconf.Counts())
	if p.radius != nil {
		maps.Copy(all, p.radius.Counts())
	}
	if p.dhcp != nil {
		maps.Copy(all, p.dhcp.Counts())
	}
	if p.companion != nil {
		maps.Copy(all, p.companion.Counts())
	}
	if p.coa != nil {
		maps.Copy(all, p.coa.Counts())
	}
	return all
}

// AcceptTunnel matches an SCCRQ with the [[lns.peers]] blocks.
func (r *Role) AcceptTunnel(req *engine.TunnelRequest) (*engine.TunnelSpec, *engine.Refusal) {
	cfg := r.cfg.LNS.Match(req.From.Addr(), req.HostName)
	if cfg == nil {
		return nil, &engine.Refusal{
			Why: "no [[lns.peers]] block admits this address and host name: add one, or correct its addresses or host_name",
			Result: l2tp.ResultCode{Result: l2tp.StopCCNNotAuthorized,
				Message: "this LNS has no peer of your address and host name"},
		}
	}
	version, ok := choose(&cfg.V3, req)
	if !ok {
		return nil, refusedVersion(cfg)
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
	return p.tunnelSpec(version), nil
}

func (p *peer) tunnelSpec(version uint8) *engine.TunnelSpec {
	c := p.cfg
	spec := &engine.TunnelSpec{
		Name:    c.Name,
		Handler: &handler{peer: p, version: version},
		Tunnel: engine.TunnelConfig(c.ControlChannel, engine.TunnelIdentity{
			HostName: p.role.cfg.HostName, VendorName: p.role.cfg.VendorName,
			Secret: c.Secret, Challenge: c.Challenge, HideAVPs: c.HideAVPs,
		}),
		KernelPlane: p.role.planes.Kernel(c.Profile),
	}
	spec.Tunnel.MaxSessions = min(p.role.cfg.Limits.SessionsPerTunnel, c.MaxSessions)
	spec.Tunnel.AllowIncoming, spec.Tunnel.AllowOutgoing = c.AllowIncoming, c.AllowOutgoing
	if version == l2tp.Version3 {
		p.version3(spec)
	}
	return spec
}

// handler handles one tunnel of a peer.
type handler struct {
	peer    *peer
	version uint8
	calls   *engine.Keeper
}

// The pauses before an outgoing call that failed is asked for again.
const (
	outgoingRetryMin = time.Second
	outgoingRetryMax = time.Minute
)

// TunnelUp asks the LAC for the configured outgoing calls.
func (h *handler) TunnelUp(t *engine.Tunnel) {
	h.peer.role.parts.layer.TunnelUp(tunnelLine(t), h.peer.cfg.Profile)
	var wanted []engine.Wanted
	for _, o := range h.peer.outgoing {
		for range o.Count {
			wanted = append(wanted, h.peer.outgoingCall(o))
		}
	}
	h.calls = engine.KeepCalls(t, wanted, outgoingRetryMin, outgoingRetryMax)
}

// TunnelDown counts the tunnel out.
func (h *handler) TunnelDown(t *engine.Tunnel, cause tunnel.Cause) {
	h.peer.role.parts.layer.TunnelDown(t.ID(), cause)
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
	if h.answered(c) {
		return
	}
	// Who asks for an incoming call is its LAC, and so we are its LNS.
	serving := c.Params.Direction == tunnel.Incoming
	spec := p.role.callSpec("", p.cfg.Profile, nil, serving)
	// A pppd gets its address whoever asks.
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

// Serve makes of a call one in which we are the LNS: its peer shows who it is, to
// our own endpoint or to a pppd that asks us, and is given its addresses by that;
// where nobody is asked, it gets them now. The other role asks for it too, because
// a tunnel that we dialled may have such calls. The error says which pool is
// exhausted.
func (r *Role) Serve(spec *engine.CallSpec, profile *config.Profile) error {
	s := &session{Session: r.parts.layer.NewSession(profile), role: r}
	b := &spec.Bridge
	b.Access = s.Session
	asked := b.Endpoint != nil && len(b.Endpoint.Authenticate) > 0
	if b.Endpoint == nil && profile.AAA.Sources != nil && r.parts.companion != nil {
		b.Options = append(b.Options, r.parts.companion.Words(s.ID(), profile)...)
		asked = len(profile.Builtin.Demanded()) > 0
	}
	if !asked {
		grant, err := s.Anonymous()
		if err != nil {
			s.Ended(tunnel.Cause{}, nil)
			return err
		}
		b.RemoteIP = grant.Peer
		if b.Grant != nil && len(grant.Routes) > 0 {
			own := *b.Grant
			own.Routes = grant.Routes
			b.Grant = &own
		}
	}
	spec.Session = s
	return nil
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
