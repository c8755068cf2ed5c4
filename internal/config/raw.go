package config

import "time"

// The raw structs are the schema of the file; what the keys mean is written
// at the fields of the typed structs and in etc/adit.toml.

type rawConfig struct {
	rawUserKeys

	HostName   *string `toml:"host_name"`
	VendorName *string `toml:"vendor_name"`
	StateDir   *string `toml:"state_dir"`

	Log            rawLog                `toml:"log"`
	Control        rawControl            `toml:"control"`
	Listen         []rawListen           `toml:"listen"`
	Limits         rawLimits             `toml:"limits"`
	ControlChannel rawControlChannel     `toml:"control_channel"`
	PPPD           rawPPPD               `toml:"pppd"`
	TUN            rawTUN                `toml:"tun"`
	Realms         []rawRealm            `toml:"realms"`
	RADIUS         rawRADIUS             `toml:"radius"`
	DHCP           map[string]rawDHCP    `toml:"dhcp"`
	Hooks          rawHooks              `toml:"hooks"`
	Pools          map[string]rawPool    `toml:"pools"`
	Profiles       map[string]rawProfile `toml:"profiles"`
	LNS            rawLNS                `toml:"lns"`
	LAC            rawLAC                `toml:"lac"`
	L2TPv3         rawL2TPv3             `toml:"l2tpv3"`
	Pseudowires    []rawPseudowire       `toml:"pseudowires"`
}

type rawLog struct {
	Level  *string `toml:"level"`
	Format *string `toml:"format"`
}

type rawControl struct {
	Socket *string `toml:"socket"`
	Group  *string `toml:"group"`
}

type rawListen struct {
	Address *string `toml:"address"`
}

type rawLimits struct {
	Tunnels           *int64 `toml:"tunnels"`
	Sessions          *int64 `toml:"sessions"`
	HalfOpen          *int64 `toml:"half_open"`
	TunnelsPerPeer    *int64 `toml:"tunnels_per_peer"`
	SessionsPerTunnel *int64 `toml:"sessions_per_tunnel"`
	PPPDStarts        *int64 `toml:"pppd_starts"`
}

type rawControlChannel struct {
	ReceiveWindowSize *int64         `toml:"receive_window_size"`
	RetransmitInitial *time.Duration `toml:"retransmit_initial"`
	RetransmitCap     *time.Duration `toml:"retransmit_cap"`
	MaxRetransmits    *int64         `toml:"max_retransmits"`
	AckDelay          *time.Duration `toml:"ack_delay"`
	HelloInterval     *time.Duration `toml:"hello_interval"`
	SetupTimeout      *time.Duration `toml:"setup_timeout"`
}

type rawPPPD struct {
	Path        *string        `toml:"path"`
	StopTimeout *time.Duration `toml:"stop_timeout"`
}

type rawTUN struct {
	Name   *string `toml:"name"`
	MTU    *int64  `toml:"mtu"`
	Queues *int64  `toml:"queues"`
}

type rawProfile struct {
	rawAAA
	rawShown
	rawBuiltin
	rawPPPDOnly

	PPP            *string        `toml:"ppp"`
	DataPlane      *string        `toml:"dataplane"`
	LocalAddress   *string        `toml:"local_address"`
	Pool           *string        `toml:"pool"`
	Sequencing     *string        `toml:"sequencing"`
	ReorderTimeout *time.Duration `toml:"reorder_timeout"`
	MTU            *int64         `toml:"mtu"`
	KernelDebug    *int64         `toml:"kernel_debug"`
}

// rawPPPDOnly is the keys of a profile that count for pppd alone.
type rawPPPDOnly struct {
	PTY             *string  `toml:"pty"`
	PPPDOptionsFile *string  `toml:"pppd_options_file"`
	PPPDOptions     []string `toml:"pppd_options"`
	PPPDDebug       *bool    `toml:"pppd_debug"`
}

// rawShown is the keys of a profile that count for the built-in PPP endpoint, and
// for a pppd that asks the AAA layer.
type rawShown struct {
	Auth           []string       `toml:"auth"`
	DNS            []string       `toml:"dns"`
	WINS           []string       `toml:"wins"`
	IPv4           *bool          `toml:"ipv4"`
	IPv6           *bool          `toml:"ipv6"`
	EchoInterval   *time.Duration `toml:"echo_interval"`
	EchoFailures   *int64         `toml:"echo_failures"`
	Rechallenge    *time.Duration `toml:"rechallenge"`
	SessionTimeout *time.Duration `toml:"session_timeout"`
	IdleTimeout    *time.Duration `toml:"idle_timeout"`
}

// rawBuiltin is the keys of a profile that count for the built-in PPP endpoint
// alone.
type rawBuiltin struct {
	MRU       *int64   `toml:"mru"`
	Proxy     *string  `toml:"proxy"`
	Interface *string  `toml:"interface"`
	ClampMSS  *bool    `toml:"clamp_mss"`
	Routes    []string `toml:"routes"`
}

// rawSecret is embedded where a tunnel's authentication is set.
type rawSecret struct {
	rawShared

	Challenge *bool `toml:"challenge"`
	HideAVPs  *bool `toml:"hide_avps"`
}

type rawLNS struct {
	Peers    []rawPeer     `toml:"peers"`
	Outgoing []rawOutgoing `toml:"outgoing"`
}

type rawPeer struct {
	rawSecret
	rawV3
	rawControlChannel

	Name          *string  `toml:"name"`
	Addresses     []string `toml:"addresses"`
	HostName      *string  `toml:"host_name"`
	NoSecret      *bool    `toml:"no_secret"`
	Profile       *string  `toml:"profile"`
	MaxTunnels    *int64   `toml:"max_tunnels"`
	MaxSessions   *int64   `toml:"max_sessions"`
	AllowIncoming *bool    `toml:"allow_incoming"`
	AllowOutgoing *bool    `toml:"allow_outgoing"`
}

type rawOutgoing struct {
	Name         *string  `toml:"name"`
	Peer         *string  `toml:"peer"`
	Count        *int64   `toml:"count"`
	Profile      *string  `toml:"profile"`
	CalledNumber *string  `toml:"called_number"`
	SubAddress   *string  `toml:"sub_address"`
	MinimumBPS   *int64   `toml:"minimum_bps"`
	MaximumBPS   *int64   `toml:"maximum_bps"`
	PPPDOptions  []string `toml:"pppd_options"`
}

type rawLAC struct {
	Tunnels []rawTunnel `toml:"tunnels"`
}

type rawTunnel struct {
	rawSecret
	rawV3
	rawControlChannel

	Name               *string        `toml:"name"`
	Remote             *string        `toml:"remote"`
	Encapsulation      *string        `toml:"encapsulation"`
	RemoteHostName     *string        `toml:"remote_host_name"`
	Local              *string        `toml:"local"`
	Family             *string        `toml:"family"`
	HostName           *string        `toml:"host_name"`
	TieBreaker         *bool          `toml:"tie_breaker"`
	AcceptOtherAddress *bool          `toml:"accept_other_address"`
	AllowOutgoing      *bool          `toml:"allow_outgoing"`
	RetryMin           *time.Duration `toml:"retry_min"`
	RetryMax           *time.Duration `toml:"retry_max"`
	Profile            *string        `toml:"profile"`
	Sessions           []rawSession   `toml:"sessions"`
}

type rawSession struct {
	rawPassword

	User           *string `toml:"user"`
	Name           *string `toml:"name"`
	Count          *int64  `toml:"count"`
	Direction      *string `toml:"direction"`
	Profile        *string `toml:"profile"`
	Pseudowire     *string `toml:"pseudowire"`
	CalledNumber   *string `toml:"called_number"`
	CallingNumber  *string `toml:"calling_number"`
	SubAddress     *string `toml:"sub_address"`
	PrivateGroupID *string `toml:"private_group_id"`
	TxSpeed        *int64  `toml:"tx_speed"`
	RxSpeed        *int64  `toml:"rx_speed"`

	AgentCircuitID     *string `toml:"agent_circuit_id"`
	AgentRemoteID      *string `toml:"agent_remote_id"`
	ActualDataRateUp   *int64  `toml:"actual_data_rate_up"`
	ActualDataRateDown *int64  `toml:"actual_data_rate_down"`

	MinimumBPS  *int64   `toml:"minimum_bps"`
	MaximumBPS  *int64   `toml:"maximum_bps"`
	PPPDOptions []string `toml:"pppd_options"`
}
