// Package control is the daemon's control interface: HTTP and JSON over a unix
// socket, so that curl works as well as adit's own commands.
//
//	GET  /v1/status      Status
//	GET  /v1/tunnels     []Tunnel
//	GET  /v1/sessions    []Session
//	POST /v1/disconnect  Selector in, Disconnected out
//	POST /v1/reload      Reloaded
//	GET  /v1/static      []Static
//	POST /v1/static      StaticDocument in, StaticAdded out
//	DELETE /v1/static?name=NAME  StaticRemoved
//
// An answer that is not 200 has an Error as its body. The names in the JSON are
// stable: fields may be added, but none is renamed or taken away within /v1.
package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Daemon is what the server asks for answers. Its methods are called from
// several goroutines at once and must return soon after ctx ends. Slices may
// come in any order: the server sorts them.
type Daemon interface {
	Status(ctx context.Context) (Status, error)
	Tunnels(ctx context.Context) ([]Tunnel, error)
	Sessions(ctx context.Context) ([]Session, error)
	Disconnect(ctx context.Context, sel Selector) (Disconnected, error)
	// Reload reads the configuration again. Where it is wrong, nothing changes,
	// and the error is an *Error with what is wrong.
	Reload(ctx context.Context) (Reloaded, error)
	// Static are in the order of their configuration.
	Static(ctx context.Context) ([]Static, error)
	// AddStatic adds static tunnels. Where anything is wrong, nothing changes, and the
	// error is an *Error with what is wrong.
	AddStatic(ctx context.Context, doc StaticDocument) (StaticAdded, error)
	// RemoveStatic removes one that was added by AddStatic; ErrConfigured, ErrNotFound.
	RemoveStatic(ctx context.Context, name string) (StaticRemoved, error)
}

// ErrNotFound is to be wrapped by Daemon.Disconnect if nothing matches the
// selector; the client's error wraps it too.
var ErrNotFound = errors.New("not found")

// Status is the state of the whole daemon.
type Status struct {
	Version  string    `json:"version"`
	HostName string    `json:"host_name"` // in the Host Name AVP
	Started  time.Time `json:"started"`
	// UptimeSeconds is measured by the daemon's monotonic clock.
	UptimeSeconds int64    `json:"uptime_seconds"`
	Listeners     []string `json:"listeners"` // "address:port", UDP

	Tunnels  Counts `json:"tunnels"`
	Sessions Counts `json:"sessions"`

	// Counters by name; those that count drops are named for the reason
	// ("drop_unknown_tunnel").
	Counters map[string]uint64 `json:"counters"`

	Planes []Plane `json:"planes"`

	// What an LNS has to let people in with.
	LocalUsers    int            `json:"local_users,omitempty"` // of the configuration and its files
	Pools         []Pool         `json:"pools,omitempty"`
	RADIUSServers []RADIUSServer `json:"radius_servers,omitempty"`
	Accounting    *Accounting    `json:"accounting,omitempty"`
	DHCP          *DHCP          `json:"dhcp,omitempty"`

	Static *StaticCounts `json:"static,omitempty"` // nil: there are no static tunnels
}

// Pool is a pool of addresses, or of prefixes.
type Pool struct {
	Name        string `json:"name"`
	Size        uint64 `json:"size"` // at most 2^63, also where there are more
	InUse       int    `json:"in_use"`
	Resting     int    `json:"resting"`     // free, and kept for who had them while others can be served without
	Quarantined int    `json:"quarantined"` // of those: had at a kill of the daemon, and for who had them alone
}

// The services of a RADIUS server, RADIUSServer.Service.
const (
	ServiceAuthentication = "authentication"
	ServiceAccounting     = "accounting"
)

// RADIUSServer is one port of a RADIUS server.
type RADIUSServer struct {
	Name    string         `json:"name"`
	Service string         `json:"service"` // ServiceAuthentication or ServiceAccounting
	Address netip.AddrPort `json:"address"`
	// Alive: it is asked when its turn comes, also if it never was as yet.
	Alive     bool      `json:"alive"`
	DeadUntil time.Time `json:"dead_until,omitzero"`
	Pending   int64     `json:"pending"` // requests under way
	Waiting   int64     `json:"waiting"` // for one under way to end
	Requests  uint64    `json:"requests"`
	Timeouts  uint64    `json:"timeouts"` // requests that it left without an answer
}

// Accounting is about the records for RADIUS servers.
type Accounting struct {
	Backlog      uint64 `json:"backlog"` // records that no server has taken as yet
	OpenSessions uint64 `json:"open_sessions"`
	DiskOctets   uint64 `json:"disk_octets"`
}

// DHCP is about the leases of subscribers.
type DHCP struct {
	Leases int `json:"leases"` // held, or being acquired
}

// Counts are how many tunnels or sessions there are.
type Counts struct {
	Up        int `json:"up"`
	SettingUp int `json:"setting_up"`
	Closing   int `json:"closing"`
	Limit     int `json:"limit"` // from the configuration; 0: unknown
}

// Plane says what was chosen at start-up, for one profile, and why.
type Plane struct {
	Profile   string `json:"profile"`
	PPP       string `json:"ppp"`       // "pppd", "builtin" or "discard"
	DataPlane string `json:"dataplane"` // "kernel" or "userspace"
	Reason    string `json:"reason"`    // a sentence
}

// The roles in a tunnel, Tunnel.Role.
const (
	RoleInitiator = "initiator" // we sent the SCCRQ
	RoleAcceptor  = "acceptor"  // the peer did
)

// Tunnel is one control connection.
type Tunnel struct {
	ID     uint32 `json:"id"`      // ours, in packets to us
	PeerID uint32 `json:"peer_id"` // in packets to the peer; 0: not known yet

	Peer         string         `json:"peer"` // the block in the configuration
	PeerAddress  netip.AddrPort `json:"peer_address"`
	LocalAddress netip.AddrPort `json:"local_address"`
	PeerHostName string         `json:"peer_host_name"`
	PeerVendor   string         `json:"peer_vendor,omitempty"`

	Role  string    `json:"role"` // RoleInitiator or RoleAcceptor
	State string    `json:"state"`
	Since time.Time `json:"since"` // in this state

	Sessions  int    `json:"sessions"`
	DataPlane string `json:"dataplane"` // "kernel" or "userspace"

	Version       int    `json:"version"`       // of L2TP: 2 or 3
	Encapsulation string `json:"encapsulation"` // "udp", or "ip": protocol 115

	ControlChannel ControlChannel `json:"control_channel"`
}

// ControlChannel counts what a control connection has done.
type ControlChannel struct {
	Sent          uint64    `json:"sent"` // messages, with retransmissions, without ZLBs
	Received      uint64    `json:"received"`
	Retransmitted uint64    `json:"retransmitted"`
	Duplicates    uint64    `json:"duplicates"`
	OutOfOrder    uint64    `json:"out_of_order"`
	SendQueue     int       `json:"send_queue"`            // messages that wait for the window
	Window        int       `json:"window"`                // congestion window, in messages
	PeerWindow    int       `json:"peer_window,omitempty"` // the peer's Receive Window Size
	LastReceived  time.Time `json:"last_received,omitzero"`
}

// Session is one call.
type Session struct {
	ID     uint32 `json:"id"`      // ours, in packets to us; unique in its tunnel only
	PeerID uint32 `json:"peer_id"` // in packets to the peer; 0: not known yet

	Tunnel     uint32 `json:"tunnel"`      // our Tunnel ID
	TunnelPeer string `json:"tunnel_peer"` // Tunnel.Peer
	Name       string `json:"name"`        // of the block in the configuration, if it has one
	Profile    string `json:"profile,omitempty"`
	Direction  string `json:"direction"` // "incoming" or "outgoing"
	Role       string `json:"role"`      // "lns" or "lac": ours in this call

	State string    `json:"state"`
	Since time.Time `json:"since"`

	// Bridge says where the frames go: "pppd/kernel", "pppd/pty-async",
	// "pppd/pty-sync", "builtin/tun", "builtin/kernel", "discard"; of a pseudowire
	// "ethernet/kernel", "ethernet/tap", "ip/tun", "relay".
	Bridge    string `json:"bridge"`
	Interface string `json:"interface,omitempty"` // "ppp0"
	PPPDPID   int    `json:"pppd_pid,omitempty"`

	// The IP addresses of the PPP link, the zero Addr ("" in JSON) if not known.
	LocalAddress  netip.Addr `json:"local_address"`
	RemoteAddress netip.Addr `json:"remote_address"`

	User string `json:"user,omitempty"` // who the peer showed to be
	// What was found out and given when the peer was let in; an LNS knows it.
	AcctSessionID     string         `json:"acct_session_id,omitempty"`
	ServiceProfile    string         `json:"service_profile,omitempty"` // that it goes on with
	AuthMethod        string         `json:"auth_method,omitempty"`     // "local", "radius", or "remote": nobody asked us
	Leased            bool           `json:"leased,omitempty"`          // RemoteAddress, by DHCP
	IPv6Prefixes      []netip.Prefix `json:"ipv6_prefixes,omitempty"`   // of the link
	DelegatedPrefixes []netip.Prefix `json:"delegated_prefixes,omitempty"`
	IPv6Address       netip.Addr     `json:"ipv6_address,omitzero"` // by DHCPv6
	NetworkSince      time.Time      `json:"network_since,omitzero"`
	Ends              time.Time      `json:"ends,omitzero"` // by its session timeout
	FilterIDs         []string       `json:"filter_ids,omitempty"`
	Rates             []string       `json:"rates,omitempty"` // as "name=value"

	// What only the built-in PPP endpoint knows.
	Phase      string         `json:"phase,omitempty"` // of PPP, as "authenticate"
	LocalIPv6  netip.Addr     `json:"local_ipv6,omitzero"`
	RemoteIPv6 netip.Addr     `json:"remote_ipv6,omitzero"`
	Routes     []netip.Prefix `json:"routes,omitempty"` // networks behind the peer

	CalledNumber  string `json:"called_number,omitempty"`
	CallingNumber string `json:"calling_number,omitempty"`

	Traffic Traffic `json:"traffic"`
	// Drops counts frames that the bridge threw away, by the reason; only what
	// is not zero.
	Drops      map[string]uint64 `json:"drops,omitempty"`
	Sequencing Sequencing        `json:"sequencing"`

	// Version is that of L2TP: 2 or 3. What follows version 3 has alone.
	Version    int    `json:"version"`
	Pseudowire string `json:"pseudowire,omitempty"` // its type, as "ethernet" or "ppp"
	// RemoteEndID names the circuit: as it is if it can be printed, else as "0x" and
	// hexadecimal digits.
	RemoteEndID string `json:"remote_end_id,omitempty"`
	// ApplicationID is which of the circuits of that name is meant; nil: none was said.
	ApplicationID *uint16 `json:"application_id,omitempty"`
	// Octets of the cookies, in what comes and in what goes; they are secrets.
	CookieLength     int    `json:"cookie_length,omitempty"`
	PeerCookieLength int    `json:"peer_cookie_length,omitempty"`
	Sublayer         string `json:"sublayer,omitempty"`      // "none", "default" or "atm", of what comes
	PeerSublayer     string `json:"peer_sublayer,omitempty"` // and of what goes
	// CircuitStatus is that of our circuit and PeerCircuitStatus of the peer's, as
	// "active" or "inactive, circuit receive fault".
	CircuitStatus     string `json:"circuit_status,omitempty"`
	PeerCircuitStatus string `json:"peer_circuit_status,omitempty"`
}

// Traffic counts data messages; rx is from the peer.
type Traffic struct {
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	RxErrors  uint64 `json:"rx_errors"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxErrors  uint64 `json:"tx_errors"`
}

// Sequencing counts what sequencing and reordering did to data messages from
// the peer.
type Sequencing struct {
	Send      bool   `json:"send"` // our data messages carry Ns now
	Required  bool   `json:"required"`
	Reordered uint64 `json:"reordered"` // came early, held, delivered in order
	Late      uint64 `json:"late"`      // came after their place was given up; dropped
	Duplicate uint64 `json:"duplicate"`
	Lost      uint64 `json:"lost"`     // gaps given up
	Overflow  uint64 `json:"overflow"` // the queue was full
	Missing   uint64 `json:"missing"`  // without Ns though required; dropped
	Held      int    `json:"held"`     // waiting now
}

// Selector says what to disconnect. Exactly one of these: All; Peer; User; Tunnel
// alone; or Tunnel and Session together, because a Session ID means something
// within its tunnel only.
type Selector struct {
	Tunnel  uint32 `json:"tunnel,omitempty"`  // our Tunnel ID
	Session uint32 `json:"session,omitempty"` // our Session ID in it
	Peer    string `json:"peer,omitempty"`    // name from the configuration: every tunnel of it
	User    string `json:"user,omitempty"`    // Session.User: every session of his
	All     bool   `json:"all,omitempty"`
	// Reason goes to the peer as the Error Message of CDN or StopCCN, and into
	// the log. Up to MaxReason octets of UTF-8.
	Reason string `json:"reason,omitempty"`
}

// Disconnected says what a Disconnect has begun to close.
type Disconnected struct {
	Tunnels  int `json:"tunnels"`
	Sessions int `json:"sessions"` // with those of the tunnels
}

// Reloaded says what a Reload did. Names are those of the configuration, as
// "hooks" or "pools.home".
type Reloaded struct {
	// Applied is what had changed in the configuration and counts from now on.
	Applied []string `json:"applied"`
	// NeedsRestart is what differs from that with which the daemon goes on.
	NeedsRestart []string    `json:"needs_restart"`
	Users        UsersChange `json:"users"`
	// Static is what became of static tunnels; nil: nothing has changed.
	Static   *StaticChange `json:"static,omitempty"`
	Warnings []Problem     `json:"warnings"`
}

// StaticChange names static tunnels, and sessions of those that stayed as
// "tunnel/session".
type StaticChange struct {
	Added    []string `json:"added,omitempty"`
	Removed  []string `json:"removed,omitempty"`
	Replaced []string `json:"replaced,omitempty"`
	// Adjusted are tunnels that go on with another keepalive, keep or link_down.
	Adjusted  []string `json:"adjusted,omitempty"`
	Untouched int      `json:"untouched"`
}

// UsersChange counts local users.
type UsersChange struct {
	Total   int `json:"total"` // there are now
	Added   int `json:"added"`
	Removed int `json:"removed"`
	Changed int `json:"changed"`
}

// Problem is an error or a warning about a file of the configuration.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Key  string `json:"key,omitempty"`
	Text string `json:"text"`
}

// Error is "file:line: key: text", which editors can jump to.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Error is the body of an answer that is not 200.
type Error struct {
	Message string `json:"error"` // one sentence
	// Problems are what is wrong with the configuration, of a Reload.
	Problems []Problem `json:"problems,omitempty"`
}

// Error makes it an error.
func (e *Error) Error() string { return e.Message }
