package config

import "time"

// The schema of what only L2TPv3 has.

type rawL2TPv3 struct {
	RouterID *any        `toml:"router_id"` // a number or a dotted quad
	ListenIP []string    `toml:"listen_ip"`
	Static   []rawStatic `toml:"static"`
}

type rawPseudowire struct {
	rawWire

	Name          *string `toml:"name"`
	RemoteEndID   *string `toml:"remote_end_id"`
	ApplicationID *int64  `toml:"application_id"`
	DataPlane     *string `toml:"dataplane"`
	CookieLength  *int64  `toml:"cookie_length"`
}

// rawWire is the keys of a pseudowire that a static session may have itself.
type rawWire struct {
	Type           *string        `toml:"type"`
	Interface      *string        `toml:"interface"`
	MTU            *int64         `toml:"mtu"`
	Bridge         *string        `toml:"bridge"`
	Addresses      []string       `toml:"addresses"`
	VLAN           *int64         `toml:"vlan"`
	Switch         *string        `toml:"switch"`
	Sublayer       *string        `toml:"sublayer"`
	Sequencing     *string        `toml:"sequencing"`
	ReorderTimeout *time.Duration `toml:"reorder_timeout"`
}

type rawStatic struct {
	Name          *string            `toml:"name"`
	Encapsulation *string            `toml:"encapsulation"`
	Local         *string            `toml:"local"`
	Remote        *string            `toml:"remote"`
	TunnelID      *int64             `toml:"tunnel_id"`
	PeerTunnelID  *int64             `toml:"peer_tunnel_id"`
	DataPlane     *string            `toml:"dataplane"`
	UDPChecksum   *bool              `toml:"udp_checksum"`
	Keep          *bool              `toml:"keep"`
	Keepalive     *time.Duration     `toml:"keepalive"`
	DeadAfter     *int64             `toml:"dead_after"`
	LinkDown      *bool              `toml:"link_down"`
	Sessions      []rawStaticSession `toml:"sessions"`
}

type rawStaticSession struct {
	rawWire

	Name           *string `toml:"name"`
	Pseudowire     *string `toml:"pseudowire"`
	SessionID      *int64  `toml:"session_id"`
	PeerSessionID  *int64  `toml:"peer_session_id"`
	Cookie         *string `toml:"cookie"`
	CookieFile     *string `toml:"cookie_file"`
	PeerCookie     *string `toml:"peer_cookie"`
	PeerCookieFile *string `toml:"peer_cookie_file"`
}

// rawV3 is embedded where it is said which versions a peer may speak.
type rawV3 struct {
	Versions        []int64  `toml:"versions"`
	Digests         []string `toml:"digests"`
	OtherSecret     *string  `toml:"other_secret"`
	OtherSecretFile *string  `toml:"other_secret_file"`
	Pseudowires     []string `toml:"pseudowires"`
	PPP             *bool    `toml:"ppp"`
}
