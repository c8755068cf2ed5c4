package aaa

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"adit/internal/config"
	"adit/lns/dhcp"
	"adit/lns/pool"
	"adit/lns/subscriber"
)

// Errors of addresses, for the log.
var (
	errNoPool  = errors.New("the configuration has no such pool")
	errFamily  = errors.New("the pool is one of the other family; name another")
	errNothing = errors.New("nobody gave it an IPv4 address: name a pool or a DHCP server in the profile, or an address of the user's own")
	errNobody  = errors.New("a DHCP server gives addresses to peers that show who they are: set auth in the profile, or name a pool instead of dhcp")
)

// takenError says that another session has a prefix.
type takenError struct{ prefix netip.Prefix }

func (e *takenError) Error() string { return fmt.Sprintf("another session has %v", e.prefix) }

// address finds the session's addresses, and then lets it in or refuses it.
func (a *attempt) address() {
	s := a.session
	g := s.grant
	err := s.pools(g, time.Now())
	var taken *takenError
	if errors.As(err, &taken) && a.replaceHolder(g, taken.prefix) {
		return
	}
	if err != nil {
		a.noAddress(err)
		return
	}
	s.hold()
	if ipv4, _ := s.families(); ipv4 && !g.addresses.IPv4.IsValid() {
		if g.profile.AAA.DHCP == nil || s.layer.acquire == nil {
			a.noAddress(errNothing)
			return
		}
		a.acquire(g)
		return
	}
	a.accept(g)
}

// noAddress refuses a peer for want of an address.
func (a *attempt) noAddress(err error) {
	s := a.session
	user := s.grant.service.User
	s.leave(time.Now())
	s.layer.count.noAddress(err)
	a.refuse(refusalOf(a.req, "no address is free for you"), fmt.Sprintf("no address for user %q: %v", user, err))
}

// replaceHolder looks who has a fixed address or prefix that the session is to get.
// Where it is an older session of the same user, the policy on second logins
// decides; it reports whether that is under way.
func (a *attempt) replaceHolder(g *grant, p netip.Prefix) bool {
	s := a.session
	holder := s.layer.holders[p]
	if g.profile.AAA.SecondLogin != config.SecondLoginReplace || holder == nil || holder.grant.service.User != g.service.User {
		return false
	}
	s.leave(time.Now())
	a.replace(holder)
	return true
}

// pools takes what the session gets by a fixed choice or from a pool: all but the
// lease of a DHCP server. Fixed choices come first, so that nothing is taken from a
// pool for a session that cannot have its own.
func (s *Session) pools(g *grant, now time.Time) error {
	ipv4, ipv6 := s.families()
	if ipv4 {
		if err := s.ipv4(g, now); err != nil {
			return fmt.Errorf("IPv4 address: %w", err)
		}
	}
	if !ipv6 {
		return nil
	}
	svc, l := &g.service, s.layer
	if err := s.fixedIPv6(g, now); err != nil {
		return err
	}
	var err error
	if g.addresses.Prefixes, err = l.prefixes(g, svc.IPv6Prefixes, svc.IPv6Pool, g.profile.AAA.IPv6Pool, now); err != nil {
		return fmt.Errorf("IPv6 prefix: %w", err)
	}
	if g.addresses.Delegated, err = l.prefixes(g, svc.Delegated, svc.DelegatedPool, g.profile.AAA.DelegatedPool, now); err != nil {
		return fmt.Errorf("delegated prefix: %w", err)
	}
	g.addresses.IPv6 = svc.IPv6Address
	return nil
}

// fixedIPv6 claims the prefixes and the address that were chosen for the
// subscriber, the largest first: one may lie in another.
func (s *Session) fixedIPv6(g *grant, now time.Time) error {
	all := slices.Concat(g.service.IPv6Prefixes, g.service.Delegated)
	if a := g.service.IPv6Address; a.IsValid() {
		all = append(all, netip.PrefixFrom(a, a.BitLen()))
	}
	slices.SortStableFunc(all, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	for _, p := range all {
		if err := g.claim(s.layer.parts.Pools, p, now); err != nil {
			return fmt.Errorf("IPv6 prefix %v: %w", p, err)
		}
	}
	return nil
}

func (s *Session) ipv4(g *grant, now time.Time) error {
	pools := s.layer.parts.Pools
	if a := g.service.Address; a.IsValid() {
		if err := g.claim(pools, netip.PrefixFrom(a, a.BitLen()), now); err != nil {
			return fmt.Errorf("%v: %w", a, err)
		}
		g.addresses.IPv4 = a
		return nil
	}
	from := g.profile.Pool
	if name := g.service.Pool; name != "" {
		if from = s.layer.cfg.Pools[name]; from == nil {
			return fmt.Errorf("%w: %q", errNoPool, name)
		}
	}
	if from == nil {
		return nil
	}
	p, err := g.take(pools, from, false, now)
	if err != nil {
		return poolError(from, err, "a range")
	}
	g.addresses.IPv4 = p.Addr()
	return nil
}

// prefixes are those that were chosen for the subscriber, or one of a pool.
func (l *Layer) prefixes(g *grant, fixed []netip.Prefix, name string, from *config.Pool, now time.Time) ([]netip.Prefix, error) {
	if len(fixed) > 0 {
		return fixed, nil
	}
	if name != "" {
		if from = l.cfg.Pools[name]; from == nil {
			return nil, fmt.Errorf("%w: %q", errNoPool, name)
		}
	}
	if from == nil {
		return nil, nil
	}
	p, err := g.take(l.parts.Pools, from, true, now)
	if err != nil {
		return nil, poolError(from, err, "a prefix")
	}
	return []netip.Prefix{p}, nil
}

// poolError says what to do about a pool that has nothing.
func poolError(of *config.Pool, err error, missing string) error {
	if errors.Is(err, pool.ErrExhausted) {
		return fmt.Errorf("pool %s: %w: add %s to it", of.Name, err, missing)
	}
	return fmt.Errorf("pool %s: %w", of.Name, err)
}

// acquire takes the IPv4 address from a DHCP server. The peer waits meanwhile.
func (a *attempt) acquire(g *grant) {
	s := a.session
	// The same user on the same line is the same client, also after a restart.
	req := dhcp.Request{Key: g.service.User + "\x00" + s.line.CallingNumber, Line: s.line}
	g.lease = s.layer.acquire(g.profile.AAA.DHCP, req, dhcp.Events{
		Acquired: func(lease dhcp.Lease, err error) { s.post(func() { a.leased(g, lease, err) }) },
		Lost:     func(err error) { s.post(func() { s.leaseLost(g, err) }) },
	})
}

// leased takes the lease. What PPP has given up meanwhile has been given back.
func (a *attempt) leased(g *grant, lease dhcp.Lease, err error) {
	s := a.session
	if s.grant != g || !a.live() {
		return
	}
	if err == nil {
		if err = g.claim(s.layer.parts.Pools, netip.PrefixFrom(lease.Address, lease.Address.BitLen()), time.Now()); err != nil {
			err = fmt.Errorf("the DHCP server %v gave %v: %w", lease.Server, lease.Address, err)
			g.lease.Decline()
			g.lease = nil
		}
	}
	if err != nil {
		a.noAddress(err)
		return
	}
	g.addresses.IPv4 = lease.Address
	s.hold()
	g.fromLease(&lease)
	a.accept(g)
}

// fromLease takes over what the server said besides the address, where neither
// RADIUS nor the user nor the profile said anything.
func (g *grant) fromLease(lease *dhcp.Lease) {
	s := &g.service
	if s.DNS == [2]netip.Addr{} {
		copy(s.DNS[:], lease.DNS)
	}
	if s.WINS == [2]netip.Addr{} {
		copy(s.WINS[:], lease.WINS)
	}
	if s.Domain == "" {
		s.Domain = lease.Domain
	}
	if s.PushRoutes == nil {
		for _, r := range lease.Routes {
			s.PushRoutes = append(s.PushRoutes, r.To)
		}
	}
}

// leaseLost does what the group says about a lease that ran out or was refused.
func (s *Session) leaseLost(g *grant, err error) {
	if s.grant != g {
		return
	}
	s.layer.count.leasesLost.Add(1)
	if g.profile.AAA.DHCP.OnLoss == config.DHCPLossKeep {
		s.log.WithError(err).Warn("the address of the session is no longer leased; the session keeps it, as on_loss says")
		return
	}
	s.end(subscriber.LostService, "the address is no longer leased")
}
