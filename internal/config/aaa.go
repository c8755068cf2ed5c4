package config

import (
	"net/netip"
	"time"
)

// Local is what Profile.AAA calls the users of the configuration, of its users
// file and of its chap-secrets file.
const Local = "local"

// AAA is what a profile says of who may come in and of what is written down
// about it, whoever speaks PPP.
type AAA struct {
	// Sources are asked in this order for who a user is: Local, or the name of a
	// RADIUS group. The next one is asked only where Local does not know the name;
	// a RADIUS group decides, and one that cannot be reached refuses. Nil: the
	// file does not say: Local for the built-in endpoint, and for pppd the plain
	// mode, in which it authenticates by its own files.
	Sources []string
	// Accounting is the group that gets accounting records; nil: none. Where the
	// file does not say, it is the first group of Sources.
	Accounting *RADIUSGroup

	MaxSessions int         // of one user name, in all profiles; 0: any number
	SecondLogin SecondLogin // when MaxSessions is reached
	// FailureDelay is how long a refusal waits, so that guessing is slow.
	FailureDelay time.Duration

	// IPv6Pool is for the prefix of the link, DelegatedPool for prefixes that a
	// subscriber asks for by DHCPv6; nil: none.
	IPv6Pool, DelegatedPool *Pool
	// DHCP gives the IPv4 address instead of a pool; nil: it does not.
	DHCP *DHCP
	// DNSv6 are the IPv6 name servers that subscribers are told, Domain their
	// domain, and PushRoutes the networks that DHCPINFORM tells them to send here.
	DNSv6      []netip.Addr
	Domain     string
	PushRoutes []netip.Prefix
}

// SecondLogin is what becomes of a user's login beyond the number that he may
// have.
type SecondLogin uint8

// The policies.
const (
	SecondLoginRefuse  SecondLogin = iota
	SecondLoginReplace             // the user's oldest session is ended for it
)

var secondLoginNames = []string{"refuse", "replace"}

func (s SecondLogin) String() string { return enumName(secondLoginNames, int(s)) }

// Realm is a [[realms]] block: what is done about users of one realm. The first
// block that matches counts.
type Realm struct {
	// Name is what follows the last @ of a user's name, or precedes its first \,
	// without regard to case; a shell pattern. Empty: names without a realm.
	Name string
	// Strip: the name goes on without its realm.
	Strip bool
	// Sources stand in for those of the profile; nil: they do not.
	Sources []string
	// Accounting stands in for that of the profile; nil: it does not.
	Accounting *RADIUSGroup
	// Profile is the one that the session goes on with: its addresses, servers,
	// limits and timeouts. Nil: its own.
	Profile *Profile
}

// RADIUS is the [radius] table.
type RADIUS struct {
	NASIdentifier string     // RFC 2865 section 5.32; never empty
	NASAddress    netip.Addr // NAS-IP-Address or NAS-IPv6-Address; the zero Addr: not sent
	Servers       map[string]*RADIUSServer
	Groups        map[string]*RADIUSGroup
	// DynamicAuth listens for CoA-Request and Disconnect-Request; the zero
	// AddrPort: it does not.
	DynamicAuth        netip.AddrPort
	DynamicAuthClients []*DynamicAuthClient
	// TunnelAccounting: Tunnel-Start and the other records of RFC 2867 too.
	TunnelAccounting bool
}

// RADIUSServer is a [radius.servers.NAME] table.
type RADIUSServer struct {
	Name       string
	Address    netip.Addr
	AuthPort   uint16
	AcctPort   uint16
	Source     netip.Addr // from which requests are sent; the zero Addr: the system's choice
	Secret     Secret
	Timeout    time.Duration // until a request is sent again
	Retries    int           // further tries before the next server is asked
	DeadTime   time.Duration // for which one that does not answer is not asked
	MaxPending int           // requests under way; what is more waits
	// RequireMessageAuthenticator: answers without it are dropped (BlastRADIUS).
	RequireMessageAuthenticator bool
}

// RADIUSGroup is a [radius.groups.NAME] table: servers for one purpose, the
// first that is alive is asked.
type RADIUSGroup struct {
	Name            string
	Servers         []*RADIUSServer
	InterimInterval time.Duration // 0: no interim records; a server's Acct-Interim-Interval counts first
}

// DynamicAuthClient may send CoA-Request and Disconnect-Request, RFC 5176.
type DynamicAuthClient struct {
	Addresses []netip.Prefix // never empty
	Secret    Secret
}

// DHCP is a [dhcp.NAME] table: where subscribers' IPv4 addresses come from.
type DHCP struct {
	Name string
	Mode DHCPMode
	// Servers are asked by a relay, all of them.
	Servers []netip.Addr
	// Relay is giaddr: an address of this machine, which names the subnet. A
	// relay's only.
	Relay netip.Addr
	// Interface is where a client broadcasts. A client's only.
	Interface string
	// Option82: the relay tells the Calling Number as Circuit ID and the Called
	// Number as Remote ID, or the line's own where the LAC told it (RFC 5515).
	Option82 bool
	Timeout  time.Duration // for a whole acquisition
	OnLoss   DHCPLoss
}

// DHCPMode is how adit speaks to DHCP servers.
type DHCPMode uint8

// The modes.
const (
	DHCPRelay  DHCPMode = iota // unicast, with giaddr
	DHCPClient                 // broadcast on an interface
)

var dhcpModeNames = []string{"relay", "client"}

func (m DHCPMode) String() string { return enumName(dhcpModeNames, int(m)) }

// DHCPLoss is what becomes of a session whose lease is lost or ran out.
type DHCPLoss uint8

// What may become of it.
const (
	DHCPLossDisconnect DHCPLoss = iota
	DHCPLossKeep                // the session keeps the address, with a warning
)

var dhcpLossNames = []string{"disconnect", "keep"}

func (l DHCPLoss) String() string { return enumName(dhcpLossNames, int(l)) }

// Hooks is the [hooks] table: programs that are run for sessions.
type Hooks struct {
	Up, Down    string // absolute paths; empty: none
	Timeout     time.Duration
	Concurrency int // programs at one time
	MaxWaiting  int // what is more is left out and counted
}
