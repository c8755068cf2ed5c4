package aaa

import (
	"errors"
	"net/netip"
	"time"

	"adit/internal/config"
	"adit/lns/pool"
	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// grant is what a session has been let in with.
type grant struct {
	profile    *config.Profile // that it goes on with
	accounting *config.RADIUSGroup
	service    subscriber.Service
	method     subscriber.Method
	addresses  subscriber.Addresses
	held       []netip.Prefix // of the pools' bookkeeping, to be given back
	lease      lease
	asked      string // the name that was asked about
	accepted   bool   // the peer was told
	own        bool   // the peer told its own IPv4 address
}

// lease is dhcp.Handle.
type lease interface {
	Release()
	Decline()
}

// complete fills in what the profile says where nobody above it said anything.
// Name servers are taken in pairs: a secondary of one and a primary of the other
// do not go together.
func complete(s *subscriber.Service, p *config.Profile) {
	b, a := &p.Builtin, &p.AAA
	if s.DNS == [2]netip.Addr{} {
		s.DNS = b.DNS
	}
	if s.WINS == [2]netip.Addr{} {
		s.WINS = b.WINS
	}
	if s.DNSv6 == nil {
		s.DNSv6 = a.DNSv6
	}
	if s.Domain == "" {
		s.Domain = a.Domain
	}
	if s.PushRoutes == nil {
		s.PushRoutes = a.PushRoutes
	}
	if s.SessionTimeout == 0 {
		s.SessionTimeout = b.SessionTimeout
	}
	if s.IdleTimeout == 0 {
		s.IdleTimeout = b.IdleTimeout
	}
	if s.MaxSessions == 0 {
		s.MaxSessions = a.MaxSessions
	}
	s.Profile = p.Name
}

// routesOf are the networks behind the peer besides its IPv4 address: what it was
// said to have, the prefixes of its link, and those that it is delegated.
func (g *grant) routesOf() []netip.Prefix {
	all := append([]netip.Prefix(nil), g.service.Routes...)
	all = append(all, g.addresses.Prefixes...)
	all = append(all, g.addresses.Delegated...)
	if a := g.addresses.IPv6; a.IsValid() {
		all = append(all, netip.PrefixFrom(a, 128))
	}
	return all
}

// ppp is what our own endpoint, or pppd, is told. The layer itself looks after
// the session's time, because a server may change it while the session lives.
func (g *grant) ppp() ppp.Grant {
	s := &g.service
	return ppp.Grant{
		Peer: g.addresses.IPv4, DNS: s.DNS, WINS: s.WINS, PeerID: s.InterfaceID,
		Routes: g.routesOf(), IdleTimeout: s.IdleTimeout,
	}
}

// claim enters a prefix that somebody else chose. What lies in a prefix that the
// session has by claim is its own already: RFC 6911 section 2.1 has the address of
// DHCPv6 beside a prefix of the link, and most servers take the one from the other.
func (g *grant) claim(pools *pool.Set, p netip.Prefix, now time.Time) error {
	p = p.Masked()
	for _, h := range g.held {
		if h.Bits() <= p.Bits() && h.Contains(p.Addr()) {
			return nil
		}
	}
	err := pools.Claim(p, g.service.User, now)
	if err == nil {
		g.held = append(g.held, p)
	}
	if errors.Is(err, pool.ErrTaken) {
		return &takenError{p}
	}
	return err
}

// take takes a prefix of a pool, which is to be one of IPv4 or of IPv6: who names a
// pool in RADIUS may confuse them.
func (g *grant) take(pools *pool.Set, of *config.Pool, ipv6 bool, now time.Time) (netip.Prefix, error) {
	if (len(of.IPv6) > 0) != ipv6 {
		return netip.Prefix{}, errFamily
	}
	p, err := pools.Take(of, g.service.User, now)
	if err == nil {
		g.held = append(g.held, p)
	}
	return p, err
}

// giveBack ends the use of all that the session has.
func (g *grant) giveBack(pools *pool.Set, now time.Time) {
	for _, p := range g.held {
		pools.Give(p, now)
	}
	g.held = nil
	if g.lease != nil {
		g.lease.Release()
		g.lease = nil
	}
}
