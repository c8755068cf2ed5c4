// Package config reads adit's configuration: a strict TOML document becomes a
// typed and validated Config, or a list of every error in it, each with the
// line it stands on and a sentence that says what to do.
//
// A Config is immutable after Load: readers share it without a lock, and a
// reload makes a new one.
package config

import (
	"net/netip"
	"time"
)

// Config is a whole, validated configuration. Defaults are filled in, names
// are resolved to what they name, and secrets are read from their files.
type Config struct {
	// Path is the file this was read from.
	Path string

	// HostName is what we call ourselves in the Host Name AVP (RFC 2661
	// section 4.4.3). Never empty: the system's name is the default.
	HostName string
	// VendorName goes into the Vendor Name AVP. Empty: the AVP is not sent.
	VendorName string

	Log     Log
	Control Control

	// Listen holds the addresses on which tunnels are accepted. Never empty
	// if LNS.Peers is not; empty for a pure client.
	Listen []Listen

	Limits Limits

	// ControlChannel holds the defaults. What counts for one tunnel is the
	// ControlChannel of its Peer or Tunnel, where these are filled in already.
	ControlChannel ControlChannel

	PPPD PPPD
	TUN  TUN

	// Users are those that the built-in PPP endpoint lets in, in the order of
	// the file. Their names are unique.
	Users []*User

	// UsersFile and ChapSecrets are files with further users, absolute; empty:
	// none. Their users are in Users too.
	UsersFile, ChapSecrets string
	// StateDir is where leases and accounting records outlive the daemon,
	// absolute.
	StateDir string

	Realms []*Realm
	RADIUS RADIUS
	DHCP   map[string]*DHCP
	Hooks  Hooks

	Pools    map[string]*Pool
	Profiles map[string]*Profile

	LNS LNS
	LAC LAC

	L2TPv3 L2TPv3
	// Pseudowires are in the order of the file.
	Pseudowires []*Pseudowire

	// Warnings are what looks wrong but is allowed; log them at start-up.
	Warnings Errors
}

// Log says how much is logged and how it looks.
type Log struct {
	Level  LogLevel
	Format LogFormat
}

// Control says where the control socket is.
type Control struct {
	// Socket is an absolute path.
	Socket string
	// Group is the name or the number of the group that may use the socket.
	// Empty: the daemon's own.
	Group string
}

// Listen is one address on which tunnels are accepted.
type Listen struct {
	Address netip.AddrPort
	// Default: nobody asked for the address, so a machine that has no IP of its
	// version may do without it.
	Default bool
}

// Limits bound what the whole daemon holds, so that nobody can make it eat all
// the memory. All are above 0.
type Limits struct {
	Tunnels  int // in any state
	Sessions int // in any state, over all tunnels
	// HalfOpen bounds the tunnels that a peer began and that are not
	// established yet.
	HalfOpen int
	// TunnelsPerPeer bounds the tunnels from one IP address. What one
	// [[lns.peers]] block may hold is its MaxTunnels.
	TunnelsPerPeer int
	// SessionsPerTunnel bounds the sessions of one tunnel, up to 65535, which
	// is all that a 16-bit Session ID can tell apart.
	SessionsPerTunnel int
	// PPPDStarts bounds the pppds that are starting at one time.
	PPPDStarts int
}

// ControlChannel holds the times and sizes of a control connection, RFC 2661
// sections 5.5 and 5.8.
type ControlChannel struct {
	ReceiveWindowSize uint16        // 1 to 1024 messages
	RetransmitInitial time.Duration // above 0, not above RetransmitCap
	RetransmitCap     time.Duration // at least 8 s
	MaxRetransmits    int           // 1 to 30; 0: as the version's RFC recommends, 5 or 10
	AckDelay          time.Duration // 0 (at once) to 500 ms
	HelloInterval     time.Duration // 0: no HELLO is ever sent
	SetupTimeout      time.Duration // above 0; from SCCRQ to established
}

// PPPD says which pppd is started and how it is ended.
type PPPD struct {
	Path        string        // absolute
	StopTimeout time.Duration // from SIGTERM to SIGKILL; above 0
}

// TUN is the interface that the sessions of the built-in PPP endpoint share on
// the userspace data plane.
type TUN struct {
	Name   string // of the interface; %d in it is a free number
	MTU    int    // octets; 1280 to 2000
	Queues int    // 1 to 64, each with a goroutine of its own beyond the first
}

// User is a [[users]] block, a user of the users file or a line of chap-secrets:
// somebody who may come in.
type User struct {
	Name     string
	Password Secret // empty if NTHash is set
	NTHash   Secret // 16 octets: the MD4 of the password in UTF-16, RFC 2759 section 8.3; else empty
	// Address is what the user gets, IPv4; the zero Addr: one of the profile's
	// pool. No other user has it and it is in no pool.
	Address netip.Addr
	// IPv6Prefix is that of the link, Delegated what DHCPv6 delegates; the zero
	// Prefix: one of the profile's pool.
	IPv6Prefix, Delegated netip.Prefix
	// Routes are the networks behind the user, IPv4 and IPv6, masked.
	Routes []netip.Prefix
	// CallingNumbers are shell patterns for the Calling Number; empty: any.
	CallingNumbers []string
	Profile        *Profile // that the session goes on with; nil: its own
	MaxSessions    int      // 0: what the profile says
	SessionTimeout time.Duration
	IdleTimeout    time.Duration // 0: what the profile says, also above
}

// Pool is a set of addresses for peers: of IPv4, or prefixes of IPv6.
type Pool struct {
	Name string
	// Ranges of IPv4 do not overlap, neither here nor with another pool's, and are
	// in the order of the file.
	Ranges []Range
	// IPv6 are cut into prefixes of Length; not with Ranges.
	IPv6   []netip.Prefix
	Length int
	// Rest is how long what a user had is kept for him, if others can be served
	// without.
	Rest time.Duration
}

// Range is the addresses from First to Last, both included.
type Range struct {
	First, Last netip.Addr
}

// Profile says what is done with the PPP frames of a session. A session with
// no profile named has the profile "default", which exists always.
type Profile struct {
	Name      string
	PPP       PPP
	DataPlane DataPlane
	PTY       PTY

	PPPDOptionsFile string   // absolute, or empty
	PPPDOptions     []string // one pppd word each, in order
	PPPDDebug       bool

	LocalAddress netip.Addr // IPv4; the zero Addr if none is set
	Pool         *Pool      // nil: no address is assigned here

	Sequencing     Sequencing
	ReorderTimeout time.Duration // 0: late frames are dropped and none is held; at most 10 s
	MTU            int           // octets; 0: pppd's own choice; else 128 to 16384
	KernelDebug    uint32        // mask of the kernel's L2TP_MSG_* bits, 0 to 15

	AAA     AAA
	Builtin Builtin
}

// Builtin is what a profile says to the built-in PPP endpoint alone.
type Builtin struct {
	// Auth are the authentication protocols of the profile, the one that is
	// asked for first; nil: the file does not say, and Demanded and Answered
	// know the default. Empty, not nil: nobody has to show who it is.
	Auth []Auth

	// DNS and WINS are the servers that a peer is told; IPv4.
	DNS, WINS  [2]netip.Addr
	IPv4, IPv6 bool // the network protocols that are opened; one at least
	MRU        int  // octets, 128 to 2000

	EchoInterval   time.Duration // 0: no Echo-Request is sent
	EchoFailures   int           // 1 to 100
	Rechallenge    time.Duration // 0: never
	Proxy          Proxy
	Interface      string // of the session, with %d; empty: see etc/adit.toml
	ClampMSS       bool
	Routes         []netip.Prefix // sent through the session; the client's end only
	SessionTimeout time.Duration  // 0: never
	IdleTimeout    time.Duration  // 0: never
}

// Demanded are the protocols by which an LNS lets a peer show who it is, the
// one that it asks for first. PAP is not among the defaults, because it sends
// the password as it is to whoever asks for it.
func (b *Builtin) Demanded() []Auth {
	if b.Auth == nil {
		return []Auth{AuthMSCHAPv2, AuthCHAPMD5}
	}
	return b.Auth
}

// Answered are the protocols by which a client shows who it is.
func (b *Builtin) Answered() []Auth {
	if b.Auth == nil {
		return []Auth{AuthMSCHAPv2, AuthCHAPMD5, AuthEAP, AuthPAP}
	}
	return b.Auth
}

// LNS says whom we let in.
type LNS struct {
	// Peers are asked in this order; the first that matches counts.
	Peers []*Peer
	// Outgoing are calls that we ask a connected LAC to place (OCRQ).
	Outgoing []*OutgoingCall
}

// Peer is a [[lns.peers]] block: those it matches may set up a tunnel to us.
type Peer struct {
	Name string // unique

	// Addresses that the peer may come from; empty: any.
	Addresses []netip.Prefix
	// HostName is a shell pattern for the peer's Host Name AVP; empty: any.
	HostName string

	Secret Secret // empty only where the file says no_secret = true
	// Challenge: the peer must prove that it has the secret.
	Challenge bool
	HideAVPs  bool // AVPs that may be hidden are sent hidden

	Profile *Profile // never nil

	MaxTunnels  int // 1 to Limits.Tunnels
	MaxSessions int // over all its tunnels; 1 to Limits.Sessions

	V3 PeerV3

	AllowIncoming bool // the peer may send ICRQ: it is the LAC
	AllowOutgoing bool // the peer may send OCRQ: we are the LAC

	ControlChannel ControlChannel
}

// OutgoingCall is a [[lns.outgoing]] block: on every tunnel that Peer sets up,
// we, the LNS, ask it for these calls (RFC 2661 section 5.2.2).
type OutgoingCall struct {
	Name  string // unique among the outgoing calls
	Peer  *Peer
	Count int // 1 or more calls, alike

	Profile *Profile // never nil; the peer's if none is named

	CalledNumber string
	SubAddress   string
	MinimumBPS   uint32 // not above MaximumBPS
	MaximumBPS   uint32

	PPPDOptions []string // after the profile's
}

// LAC says whom we dial.
type LAC struct {
	Tunnels []*Tunnel
}

// Tunnel is a [[lac.tunnels]] block: a tunnel that we set up and keep up.
type Tunnel struct {
	Name string // unique

	// RemoteHost is an IP address or a DNS name.
	RemoteHost string
	RemotePort uint16
	// RemoteHostName is a shell pattern that the peer's Host Name AVP must
	// match; empty: any.
	RemoteHostName string

	// LocalAddress is the address to send from; the zero Addr: the kernel's
	// choice. LocalPort 0: any free port.
	LocalAddress netip.Addr
	LocalPort    uint16
	Family       Family

	// HostName is what we call ourselves towards this peer.
	HostName string

	Secret    Secret // empty: no authentication
	Challenge bool   // the peer must prove that it has the secret
	HideAVPs  bool

	// TieBreaker puts a Tie Breaker AVP into our SCCRQ, so that of two tunnels
	// that both ends begin at one time only one lives, RFC 2661 section 4.4.3.
	TieBreaker bool

	// AcceptOtherAddress: the answer to our SCCRQ may come from another IP
	// address than the one that we sent it to. Another port is always let in.
	AcceptOtherAddress bool

	// AllowOutgoing: the peer, our LNS, may ask us to place calls (OCRQ).
	AllowOutgoing bool

	V3 PeerV3

	RetryMin, RetryMax time.Duration // after a failure; doubles from min to max

	Profile  *Profile // never nil; for sessions that name none, and calls of the LNS
	Sessions []*Session

	ControlChannel ControlChannel
}

// Session is a kind of call that is placed on a Tunnel, Count times.
type Session struct {
	Name  string // unique in its tunnel
	Count int    // 1 or more, alike

	// Direction: Incoming, we are the LAC and send ICRQ; Outgoing, we are the
	// LNS of this tunnel and send OCRQ.
	Direction Direction

	Profile *Profile // never nil; the tunnel's if none is named

	// Pseudowire is what the session carries instead of PPP, by version 3; nil: PPP.
	Pseudowire *Pseudowire

	CalledNumber   string
	CallingNumber  string
	SubAddress     string
	PrivateGroupID string

	TxSpeed uint32 // bits per second, (Tx) Connect Speed AVP
	RxSpeed uint32 // bits per second; 0: as TxSpeed

	// AgentCircuitID and AgentRemoteID name the access line, and the rates are
	// those at which it runs, in bits per second, RFC 5515 sections 5.1 to 5.4;
	// empty and 0: not told. Incoming only.
	AgentCircuitID, AgentRemoteID string
	ActualDataRateUp              uint64
	ActualDataRateDown            uint64

	MinimumBPS uint32 // outgoing only; not above MaximumBPS
	MaximumBPS uint32 // outgoing only

	// User and Password are who we are to an LNS, for the built-in PPP
	// endpoint, incoming calls only. Both are there or none.
	User     string
	Password Secret

	PPPDOptions []string // after the profile's
}

// Secret is a shared secret. It does not show itself when it is printed, in
// any verb, or when it is encoded as text or JSON.
type Secret []byte
