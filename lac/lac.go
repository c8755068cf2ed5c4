// Package lac is the role of the end that dials: a LAC, or a client that is its
// own LAC. Its tunnels begin at start and are kept up for ever.
package lac

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// lookupsAtATime bounds the name look-ups that wait for a DNS server at once.
const lookupsAtATime = 16

// Role keeps the configured tunnels up.
type Role struct {
	ctx      context.Context
	engine   *engine.Engine
	planes   *engine.Planes
	cfg      *config.Config
	log      *logrus.Entry
	resolver *net.Resolver
	lookups  chan struct{}
	serial   callSerial
}

// Start begins to dial. It ends when ctx does: then no new attempt is made; the
// tunnels are the engine's to close.
func Start(ctx context.Context, cfg *config.Config, e *engine.Engine, planes *engine.Planes, log *logrus.Entry) *Role {
	r := &Role{
		ctx: ctx, engine: e, planes: planes, cfg: cfg, log: log,
		resolver: net.DefaultResolver,
		lookups:  make(chan struct{}, lookupsAtATime),
	}
	for _, t := range cfg.LAC.Tunnels {
		l := &line{role: r, cfg: t, log: log.WithFields(logrus.Fields{"peer_name": t.Name})}
		go l.dial()
	}
	return r
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

// wanted is the call of a configured session. The number tells apart the calls
// of a session with a count.
func (r *Role) wanted(s *config.Session, number int) engine.Wanted {
	name := s.Name
	if s.Count > 1 {
		name = fmt.Sprintf("%s-%d", s.Name, number+1)
	}
	call := tunnel.Call{
		Direction:          tunnel.Incoming,
		CallSerial:         r.serial.next(),
		SequencingRequired: s.Profile.Sequencing == config.SequencingRequired,
		BearerType:         l2tp.BearerDigital,
		FramingType:        l2tp.FramingSync,
		CalledNumber:       s.CalledNumber,
		CallingNumber:      s.CallingNumber,
		SubAddress:         s.SubAddress,
		TxConnectSpeed:     s.TxSpeed,
		RxConnectSpeed:     s.RxSpeed,
		MinimumBPS:         s.MinimumBPS,
		MaximumBPS:         s.MaximumBPS,
	}
	if s.Direction == config.Outgoing {
		call.Direction = tunnel.Outgoing
	}
	if s.PrivateGroupID != "" {
		call.PrivateGroupID = []byte(s.PrivateGroupID)
	}
	return engine.Wanted{Call: call, Spec: func() (*engine.CallSpec, error) {
		return r.planes.CallSpec(name, s.Profile, s.PPPDOptions), nil
	}}
}
