// Package subscriber has the words in which the parts of the AAA layer speak of
// a subscriber: what the line says of who calls, what he is given, and what is
// written down about his session. It is data and no code that decides.
package subscriber

import (
	"net/netip"
	"time"

	"adit/proto/l2tp"
)

// Line is what is known of a session before anybody shows who it is. It does not
// change while the session lives.
type Line struct {
	// ID is the Acct-Session-Id: printable, and never used again, also by a daemon
	// that was started anew.
	ID string

	// The tunnel: who speaks L2TP with whom, and in which version, 2 (or 0) or 3.
	Version              uint8
	Tunnel, PeerTunnel   uint32
	Session, PeerSession uint32
	Local, Peer          netip.AddrPort
	HostName             string // ours, as the peer knows us
	PeerHostName         string
	PeerName             string // of the [[lns.peers]] block
	LNS                  bool

	// The call.
	CallingNumber, CalledNumber, SubAddress string
	CallSerial                              uint32
	TxSpeed, RxSpeed                        uint32 // bits per second; 0: not told
	PhysicalChannel                         *uint32
	PrivateGroupID                          string
	Async                                   bool
	// Access is what the LAC told of the access line, RFC 5515 section 3.
	Access []l2tp.AccessLineAVP

	Profile string // the name of the profile that the call came with
	Engine  string // who speaks PPP and who moves the data, as "builtin/tun"
}

// Service is what a subscriber is given, by whoever knew him. A field that is
// not set leaves the matter to the next below: RADIUS, then the user, then the
// profile.
type Service struct {
	// User is the name under which the session goes on.
	User    string
	Profile string // the profile to go on with

	Address netip.Addr     // Framed-IP-Address
	Pool    string         // Framed-Pool
	Routes  []netip.Prefix // Framed-Route and Framed-IPv6-Route

	InterfaceID   uint64         // Framed-Interface-Id, of the peer
	IPv6Prefixes  []netip.Prefix // Framed-IPv6-Prefix: of the link, advertised
	IPv6Pool      string         // Framed-IPv6-Pool
	IPv6Address   netip.Addr     // Framed-IPv6-Address: by DHCPv6
	Delegated     []netip.Prefix // Delegated-IPv6-Prefix
	DelegatedPool string         // Delegated-IPv6-Prefix-Pool
	PushRoutes6   []netip.Prefix // Route-IPv6-Information: what the peer is to send here

	DNS, WINS  [2]netip.Addr // of IPCP
	DNSv6      []netip.Addr
	Domain     string
	PushRoutes []netip.Prefix // what DHCPINFORM tells

	SessionTimeout, IdleTimeout time.Duration
	InterimInterval             time.Duration
	MaxSessions                 int // Port-Limit

	// What adit knows no way to enforce; hooks and status get it as it came.
	FilterID []string
	Rates    []string // as "name=value", of rate attributes

	// Class is sent with every accounting record, RFC 2865 section 5.25: "The
	// client MUST NOT interpret the attribute locally."
	Class [][]byte
	MPPE  *MPPE
}

// MPPE is the keys of RFC 3079 and the policy of RFC 2548 section 2.4.
type MPPE struct {
	Policy, Types uint32 // MS-MPPE-Encryption-Policy and -Types
	Send, Recv    []byte // as the authenticator sends and receives, 16 octets
}

// Addresses is what a session has in the end.
type Addresses struct {
	IPv4      netip.Addr
	Prefixes  []netip.Prefix // of the link
	Delegated []netip.Prefix
	IPv6      netip.Addr // by DHCPv6
	// InterfaceID is the peer's; 0: IPv6 is not up.
	InterfaceID uint64
}

// RecordKind is the Acct-Status-Type.
type RecordKind uint8

// The kinds, with their numbers of RFC 2866 section 5.1 and RFC 2867 section 3.
const (
	RecordStart         RecordKind = 1
	RecordStop          RecordKind = 2
	RecordInterim       RecordKind = 3
	RecordOn            RecordKind = 7
	RecordOff           RecordKind = 8
	RecordTunnelStart   RecordKind = 9
	RecordTunnelStop    RecordKind = 10
	RecordTunnelReject  RecordKind = 11
	RecordTunnelLinkUp  RecordKind = 12 // Tunnel-Link-Start
	RecordTunnelLinkEnd RecordKind = 13 // Tunnel-Link-Stop
	RecordTunnelLinkNo  RecordKind = 14 // Tunnel-Link-Reject
)

// Record is an accounting record.
type Record struct {
	Kind RecordKind
	// Time is when it happened; what is sent later says how much later.
	Time time.Time
	// Session is nil for RecordOn and RecordOff.
	Session *RecordSession
}

// RecordSession is what a record says of a session, or of a tunnel.
type RecordSession struct {
	Line      Line
	User      string
	Service   Service // Class, FilterID and the like; MPPE is never written down
	Addresses Addresses
	Method    Method
	Duration  time.Duration
	Counters  Counters
	Cause     TerminateCause // RecordStop
	// Links is how many links a tunnel has had, RFC 2867 section 4.2.
	TunnelLost uint32 // Acct-Tunnel-Packets-Lost
}

// Counters count what passed. In is from the subscriber.
type Counters struct {
	OctetsIn, OctetsOut   uint64
	PacketsIn, PacketsOut uint64
}

// Method is Acct-Authentic, RFC 2866 section 5.6.
type Method uint8

// The methods.
const (
	MethodRADIUS Method = 1
	MethodLocal  Method = 2
	MethodRemote Method = 3
)

// TerminateCause is Acct-Terminate-Cause, RFC 2866 section 5.10.
type TerminateCause uint8

// The causes that adit has.
const (
	UserRequest        TerminateCause = 1
	LostCarrier        TerminateCause = 2
	LostService        TerminateCause = 3
	IdleTimeout        TerminateCause = 4
	SessionTimeout     TerminateCause = 5
	AdminReset         TerminateCause = 6
	AdminReboot        TerminateCause = 7
	PortError          TerminateCause = 8
	NASError           TerminateCause = 9
	NASRequest         TerminateCause = 10
	NASReboot          TerminateCause = 11
	ServiceUnavailable TerminateCause = 15
	PortPreempted      TerminateCause = 13
	UserError          TerminateCause = 17
)
