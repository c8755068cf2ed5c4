// Package lac is the role of the end that dials: a LAC, or a client that is its
// own LAC. Its tunnels begin at start and are kept up for ever.
package lac

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/chap"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/lcce"
	"adit/proto/l2tp"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// lookupsAtATime bounds the name look-ups that wait for a DNS server at once.
const lookupsAtATime = 16

// Role keeps the configured tunnels up.
type Role struct {
	ctx      context.Context
	engine   dialler
	planes   *engine.Planes
	circuits *lcce.Circuits
	cfg      *config.Config
	log      *logrus.Entry
	resolver resolver
	lookups  chan struct{}
	server   Server
	secrets  map[*config.Session]ppp.Secrets // of the sessions that have a user

	mu      sync.Mutex
	pausing map[*line]*time.Timer // by the line that waits to dial again
}

// dialler is what the role needs of the engine.
type dialler interface {
	Dial(local, peer netip.AddrPort, spec *engine.TunnelSpec) error
	DialIP(local, peer netip.Addr, spec *engine.TunnelSpec) error
}

// Server is what the role needs for a call in which we are the LNS: addresses,
// and somebody who decides about the peer.
type Server interface {
	Serve(spec *engine.CallSpec, profile *config.Profile) error
}

// resolver is what the role needs of a *net.Resolver.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Start begins to dial. It ends when ctx does: then no new attempt is made and
// no timer is left; the tunnels are the engine's to close. The server is asked
// for the calls in which we are the LNS.
// The circuits are those of sessions that are not PPP.
func Start(ctx context.Context, cfg *config.Config, e *engine.Engine, planes *engine.Planes, circuits *lcce.Circuits, server Server, log *logrus.Entry) *Role {
	return start(ctx, cfg, e, planes, circuits, server, log, net.DefaultResolver)
}

func start(ctx context.Context, cfg *config.Config, e dialler, planes *engine.Planes, circuits *lcce.Circuits, server Server, log *logrus.Entry, names resolver) *Role {
	r := &Role{
		ctx: ctx, engine: e, planes: planes, circuits: circuits, cfg: cfg, server: server, log: log,
		secrets:  secrets(cfg.LAC.Tunnels),
		resolver: names,
		lookups:  make(chan struct{}, lookupsAtATime),
		pausing:  make(map[*line]*time.Timer),
	}
	context.AfterFunc(ctx, r.stop)
	for _, t := range cfg.LAC.Tunnels {
		l := &line{role: r, cfg: t, log: log.WithField("peer_name", t.Name)}
		go l.dial()
	}
	return r
}

// later dials l after a pause, unless the role has ended by then.
func (r *Role) later(l *line, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() == nil {
		r.pausing[l] = time.AfterFunc(pause, l.dial)
	}
}

// stop ends the pauses, so that nothing of the role is left but its tunnels.
func (r *Role) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, timer := range r.pausing {
		timer.Stop()
	}
	clear(r.pausing)
}

// lookup resolves a host to its addresses of a family. An address is its own.
func (r *Role) lookup(ctx context.Context, family config.Family, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	select {
	case r.lookups <- struct{}{}:
		defer func() { <-r.lookups }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	network := map[config.Family]string{
		config.FamilyAny: "ip", config.FamilyIPv4: "ip4", config.FamilyIPv6: "ip6",
	}[family]
	addrs, err := r.resolver.LookupNetIP(ctx, network, host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	return addrs, nil
}

// secrets are what answers an LNS that wants to know who we are, one for each
// session of the configuration, so that its calls share it.
func secrets(tunnels []*config.Tunnel) map[*config.Session]ppp.Secrets {
	all := make(map[*config.Session]ppp.Secrets)
	for _, t := range tunnels {
		for _, s := range t.Sessions {
			if s.User != "" {
				all[s] = &chap.Credentials{Name: s.User, Secret: s.Password}
			}
		}
	}
	return all
}

// end is who we are in the calls of a session.
func (r *Role) end(t *config.Tunnel, s *config.Session) engine.End {
	end := engine.End{LNS: s.Direction == config.Outgoing, Name: t.HostName, Secrets: r.secrets[s]}
	if s.User != "" {
		end.Name = s.User
	}
	return end
}

// accessLine is what we tell of a session's line. RFC 5515 section 3: "The LAC
// will only forward the Access Line Information AVPs that have populated values."
func accessLine(s *config.Session) (told []l2tp.AccessLineAVP) {
	if s.AgentCircuitID != "" {
		told = append(told, l2tp.AccessText(l2tp.AccessAgentCircuitID, s.AgentCircuitID))
	}
	if s.AgentRemoteID != "" {
		told = append(told, l2tp.AccessText(l2tp.AccessAgentRemoteID, s.AgentRemoteID))
	}
	if s.ActualDataRateUp != 0 {
		told = append(told, l2tp.AccessRate(l2tp.AccessActualDataRateUpstream, s.ActualDataRateUp))
	}
	if s.ActualDataRateDown != 0 {
		told = append(told, l2tp.AccessRate(l2tp.AccessActualDataRateDownstream, s.ActualDataRateDown))
	}
	return told
}

// wanted is the call of a configured session. The number tells apart the calls
// of a session with a count.
func (r *Role) wanted(t *config.Tunnel, s *config.Session, number int) engine.Wanted {
	if s.Pseudowire != nil {
		return r.wantedCircuit(t, s)
	}
	name := s.Name
	if s.Count > 1 {
		name = fmt.Sprintf("%s-%d", s.Name, number+1)
	}
	call := tunnel.Call{
		Direction:          tunnel.Incoming,
		SequencingRequired: s.Profile.Sequencing == config.SequencingRequired,
		BearerType:         l2tp.BearerDigital,
		CalledNumber:       s.CalledNumber,
		CallingNumber:      s.CallingNumber,
		SubAddress:         s.SubAddress,
		TxConnectSpeed:     s.TxSpeed,
		RxConnectSpeed:     s.RxSpeed,
		MinimumBPS:         s.MinimumBPS,
		MaximumBPS:         s.MaximumBPS,
		Access:             accessLine(s),
	}
	if s.Direction == config.Outgoing {
		call.Direction = tunnel.Outgoing
	}
	if s.PrivateGroupID != "" {
		call.PrivateGroupID = []byte(s.PrivateGroupID)
	}
	end := r.end(t, s)
	return engine.Wanted{Call: call, Spec: func() (*engine.CallSpec, error) {
		spec := r.planes.CallSpec(name, s.Profile, s.PPPDOptions, end)
		if end.LNS {
			return spec, r.server.Serve(spec, s.Profile)
		}
		return spec, nil
	}}
}
