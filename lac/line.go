package lac

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/engine"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// line is one configured tunnel, kept up for ever: look up, dial, place the
// calls, and when it ends, wait and begin again. Each step starts the next, so
// no two run at once and no lock is needed: dial runs on a goroutine of its own
// because a look-up waits, the Handler's methods on the tunnel's shard. Dial,
// TunnelDown and the pause hand the line on.
type line struct {
	role *Role
	cfg  *config.Tunnel
	log  *logrus.Entry

	failures int // attempts in a row that did not last
	// peer is the address of the last tunnel of version 3 that was up, and routerID what
	// the peer's Router ID was.
	peer     netip.Addr
	routerID uint32
}

// attempt handles one tunnel of a line. It outlives its place in the line: the
// calls of a tunnel that is down may end later, on another shard than the next
// tunnel's.
type attempt struct {
	line    *line
	upSince time.Time
	calls   *engine.Keeper
}

// dial looks the peer's name up, again each time, and sends an SCCRQ.
func (l *line) dial() {
	ctx := l.role.ctx
	if ctx.Err() != nil {
		return
	}
	if l.served() {
		l.role.later(l, l.cfg.RetryMax)
		return
	}
	peer, err := l.resolve(ctx)
	if err != nil {
		if ctx.Err() == nil {
			l.log.WithError(err).Warn("cannot look up the LNS")
			l.again("the look-up failed")
		}
		return
	}
	local := netip.AddrPortFrom(l.cfg.LocalAddress, l.cfg.LocalPort)
	l.log.WithFields(logrus.Fields{"peer": peer.String(), "attempt": l.failures + 1}).Info("dialling")
	if err := l.reach(local, peer); err != nil {
		if ctx.Err() == nil {
			l.log.WithError(err).Error("cannot dial")
			l.again("the attempt failed")
		}
	}
}

// resolve returns one address of the LNS. Attempts go through all of them in
// turn, so that a dead address of a name does not keep us from the others.
func (l *line) resolve(ctx context.Context) (netip.AddrPort, error) {
	addrs, err := l.role.lookup(ctx, l.cfg.Family, l.cfg.RemoteHost)
	if err != nil {
		return netip.AddrPort{}, err
	}
	usable := addrs[:0:0]
	for _, a := range addrs {
		a = a.Unmap()
		if !l.cfg.LocalAddress.IsValid() || l.cfg.LocalAddress.Is4() == a.Is4() {
			usable = append(usable, a)
		}
	}
	if len(usable) == 0 {
		return netip.AddrPort{}, fmt.Errorf("%s has no address of the family that lac.tunnels.%s may use", l.cfg.RemoteHost, l.cfg.Name)
	}
	return netip.AddrPortFrom(usable[l.failures%len(usable)], l.cfg.RemotePort), nil
}

func (l *line) spec() *engine.TunnelSpec {
	spec := &engine.TunnelSpec{
		Name:    l.cfg.Name,
		Handler: &attempt{line: l},
		Tunnel: engine.TunnelConfig(l.cfg.ControlChannel, engine.TunnelIdentity{
			HostName: l.cfg.HostName, VendorName: l.role.cfg.VendorName,
			Secret: l.cfg.Secret, Challenge: l.cfg.Challenge, HideAVPs: l.cfg.HideAVPs,
		}),
		AcceptOtherAddress: l.cfg.AcceptOtherAddress,
	}
	spec.Tunnel.MaxSessions = l.role.cfg.Limits.SessionsPerTunnel
	spec.Tunnel.AllowOutgoing = l.cfg.AllowOutgoing
	spec.Tunnel.TieBreaker = l.cfg.TieBreaker
	spec.KernelPlane = l.cfg.AllowOutgoing && l.role.planes.Kernel(l.cfg.Profile)
	for _, s := range l.cfg.Sessions {
		spec.KernelPlane = spec.KernelPlane || l.kernelPlane(s)
	}
	if l.cfg.V3.Has(l2tp.Version3) {
		l.version3(&spec.Tunnel)
	}
	if l.cfg.RemoteHostName != "" {
		spec.RemoteHostName = func(name string) bool { return config.MatchHostName(l.cfg.RemoteHostName, name) }
	}
	return spec
}

// again dials after a pause that doubles with each failure, with a little
// chance in it so that a thousand lines do not come back in one instant.
func (l *line) again(why string) {
	l.failures++
	pause := engine.Backoff(l.failures, l.cfg.RetryMin, l.cfg.RetryMax)
	pause += rand.N(pause/4 + 1)
	l.log.WithField("pause", pause.Round(time.Millisecond).String()).Info(why + "; a LAC tunnel is kept up, so it is dialled again")
	l.role.later(l, pause)
}

// TunnelUp places the configured calls.
func (a *attempt) TunnelUp(t *engine.Tunnel) {
	a.upSince = time.Now()
	version := uint8(l2tp.Version)
	if a.line.cfg.V3.Has(l2tp.Version3) {
		version = t.Version() // the peer may have chosen
	}
	if version == l2tp.Version3 {
		a.line.peer, a.line.routerID = t.Peer().Addr(), t.PeerRouterID()
	}
	a.calls = engine.KeepCalls(t, a.line.wanted(version), a.line.cfg.RetryMin, a.line.cfg.RetryMax)
}

// TunnelDown dials again. A tunnel that lasted clears the count of failures;
// one that came up only to fall does not, so that we do not spin.
func (a *attempt) TunnelDown(*engine.Tunnel, tunnel.Cause) {
	if a.calls != nil {
		a.calls.Stop()
	}
	l := a.line
	if l.role.ctx.Err() != nil {
		return
	}
	if !a.upSince.IsZero() && time.Since(a.upSince) >= l.cfg.RetryMax {
		l.failures = 0
	}
	l.again("the tunnel ended")
}

// CallRequested accepts what the state machine let through: outgoing calls, if
// allow_outgoing says so. The line is the PPP service of the tunnel's profile,
// which answers every number at once.
func (a *attempt) CallRequested(c *engine.Call) {
	l := a.line
	if l.answered(c) {
		return
	}
	c.Accept(l.role.planes.CallSpec("", l.cfg.Profile, nil, engine.End{Name: l.cfg.HostName}))
}

// CallUp tells the keeper.
func (a *attempt) CallUp(c *engine.Call) {
	if a.calls != nil {
		a.calls.Up(c)
	}
}

// CallDown has the call placed again.
func (a *attempt) CallDown(c *engine.Call, _ tunnel.Cause) {
	if a.calls != nil {
		a.calls.Down(c)
	}
}

// wanted lists the calls of the configuration that a tunnel of this version can have.
func (l *line) wanted(version uint8) []engine.Wanted {
	var all []engine.Wanted
	for _, s := range l.cfg.Sessions {
		if !l.possible(s, version) {
			continue
		}
		for i := range s.Count {
			all = append(all, l.role.wanted(l.cfg, s, i))
		}
	}
	return all
}
