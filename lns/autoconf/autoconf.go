// Package autoconf answers what subscribers ask of the router at the other end of
// their PPP link: DHCPINFORM (RFC 2131), as Windows' VPN clients send it, Router
// Solicitations (RFC 4861) and DHCPv6 (RFC 8415), with prefix delegation. It sends
// Router Advertisements unasked, too.
//
// There is one subscriber on a link, and what he has was decided before he asks.
// So no answer makes a lease: each tells the facts, the same ones every time, and
// a Release or a Decline changes nothing.
//
// Core is the protocols and nothing else; Service is the goroutine around it, one
// for all links.
package autoconf

import (
	"net/netip"
	"time"
)

// Lifetimes, of all links.
const (
	// Advertisements without a solicitation are this far apart, by chance; the
	// defaults of RFC 4861 section 6.2.1.
	MaxAdvertisementInterval = 600 * time.Second
	MinAdvertisementInterval = 200 * time.Second
	// RouterLifetime is that of the default router, of routes and of name servers:
	// "3 * MaxRtrAdvInterval", RFC 4861 section 6.2.1 and RFC 8106 section 5.1.
	RouterLifetime = 3 * MaxAdvertisementInterval
	// PreferredLifetime and ValidLifetime are those of prefixes and addresses,
	// advertised or by DHCPv6. All of them end with the session, but a router
	// behind the link may not see its end, and what it told its own network stays
	// there for these times; RFC 8415's and RFC 4861's own defaults of days would
	// leave dead addresses there. An hour is six advertisements, or two renewals,
	// that may be lost.
	PreferredLifetime = time.Hour
	ValidLifetime     = 2 * time.Hour
	// RenewTime and RebindTime are T1 and T2. RFC 8415 section 21.4: "Recommended
	// values for T1 and T2 are 0.5 and 0.8 times the shortest preferred lifetime".
	RenewTime  = PreferredLifetime / 2
	RebindTime = PreferredLifetime * 8 / 10
)

// quietFactor is how many times further apart the advertisements of a Quiet
// subscriber are: two to six hours, and a RouterLifetime of 18 hours, which still
// fits its 16 bits.
const quietFactor = 36

// times stretches a time of advertisements.
func (s *Subscriber) times(d time.Duration) time.Duration {
	if s.Quiet {
		return d * quietFactor
	}
	return d
}

// seconds is a lifetime in an advertisement.
func (s *Subscriber) seconds(d time.Duration) uint32 { return uint32(s.times(d) / time.Second) }

// Subscriber is what is told to the peer of one link. The lists are only read, and
// may be shared.
type Subscriber struct {
	// Local and Peer are the addresses that IPCP agreed on; a Local that is not
	// valid: IPv4 is not up, or has no address that answers could come from.
	Local, Peer netip.Addr
	DNS, WINS   [2]netip.Addr
	PushRoutes  []netip.Prefix // IPv4, told by DHCPINFORM

	// LocalID is our interface identifier; 0: IPv6 is not up.
	LocalID uint64
	// Prefixes are those of the link. Those of 64 bits are advertised.
	Prefixes    []netip.Prefix
	IPv6        netip.Addr     // by DHCPv6 (IA_NA); the zero Addr: none
	Delegated   []netip.Prefix // by DHCPv6 (IA_PD)
	DNSv6       []netip.Addr
	PushRoutes6 []netip.Prefix // route information, RFC 4191
	MTU         int            // of the link, octets, advertised; below 1,280: not told

	Domain string // for both families

	// Quiet: the session ends when it is idle, and whoever watches that counts our
	// advertisements as traffic. After the first few they come hours apart, and what
	// they tell lasts so much longer.
	Quiet bool
}

// Config is what a Service and a Core need.
type Config struct {
	// DUID names the server in DHCPv6, RFC 8415 section 11. It has to be the same
	// after a restart. 3 to 130 octets; NewDUID makes one.
	DUID []byte
	// Queue bounds the packets that wait for the goroutine; 0: 4,096.
	Queue int
}
