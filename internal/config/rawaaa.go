package config

import "time"

// The schema of what the AAA layer reads.

// rawUserKeys are the keys at the top of the file that say who the local users
// are. A users file knows the first of them alone.
type rawUserKeys struct {
	Users       []rawUser `toml:"users"`
	UsersFile   *string   `toml:"users_file"`
	ChapSecrets *string   `toml:"chap_secrets"`
}

type rawUsersFile struct {
	Users []rawUser `toml:"users"`
}

type rawUser struct {
	rawPassword

	NTHash          *string        `toml:"nt_hash"`
	Name            *string        `toml:"name"`
	Address         *string        `toml:"address"`
	IPv6Prefix      *string        `toml:"ipv6_prefix"`
	DelegatedPrefix *string        `toml:"delegated_prefix"`
	Routes          []string       `toml:"routes"`
	CallingNumbers  []string       `toml:"calling_numbers"`
	Profile         *string        `toml:"profile"`
	MaxSessions     *int64         `toml:"max_sessions"`
	SessionTimeout  *time.Duration `toml:"session_timeout"`
	IdleTimeout     *time.Duration `toml:"idle_timeout"`
}

// rawPassword is embedded where somebody's password is set.
type rawPassword struct {
	Password     *string `toml:"password"`
	PasswordFile *string `toml:"password_file"`
}

// rawAAA is the keys of a profile that the AAA layer reads.
type rawAAA struct {
	AAA           []string       `toml:"aaa"`
	Accounting    *string        `toml:"accounting"`
	MaxSessions   *int64         `toml:"max_sessions"`
	SecondLogin   *string        `toml:"second_login"`
	FailureDelay  *time.Duration `toml:"failure_delay"`
	IPv6Pool      *string        `toml:"ipv6_pool"`
	DelegatedPool *string        `toml:"delegated_pool"`
	DHCP          *string        `toml:"dhcp"`
	DNSv6         []string       `toml:"dns_ipv6"`
	Domain        *string        `toml:"domain"`
	PushRoutes    []string       `toml:"push_routes"`
}

type rawPool struct {
	Ranges   []string       `toml:"ranges"`
	Prefixes []string       `toml:"prefixes"`
	Length   *int64         `toml:"length"`
	Rest     *time.Duration `toml:"rest"`
}

type rawRealm struct {
	Name       *string  `toml:"name"`
	Strip      *bool    `toml:"strip"`
	AAA        []string `toml:"aaa"`
	Accounting *string  `toml:"accounting"`
	Profile    *string  `toml:"profile"`
}

type rawRADIUS struct {
	NASIdentifier    *string                    `toml:"nas_identifier"`
	NASAddress       *string                    `toml:"nas_address"`
	TunnelAccounting *bool                      `toml:"tunnel_accounting"`
	Servers          map[string]rawRADIUSServer `toml:"servers"`
	Groups           map[string]rawRADIUSGroup  `toml:"groups"`
	DynamicAuth      rawDynamicAuth             `toml:"dynamic_authorization"`
}

// rawShared is embedded where a secret is set.
type rawShared struct {
	Secret     *string `toml:"secret"`
	SecretFile *string `toml:"secret_file"`
}

type rawRADIUSServer struct {
	rawShared

	Address              *string        `toml:"address"`
	AuthPort             *int64         `toml:"auth_port"`
	AcctPort             *int64         `toml:"acct_port"`
	Source               *string        `toml:"source"`
	Timeout              *time.Duration `toml:"timeout"`
	Retries              *int64         `toml:"retries"`
	DeadTime             *time.Duration `toml:"dead_time"`
	MaxPending           *int64         `toml:"max_pending"`
	RequireAuthenticator *bool          `toml:"require_message_authenticator"`
}

type rawRADIUSGroup struct {
	Servers         []string       `toml:"servers"`
	InterimInterval *time.Duration `toml:"interim_interval"`
}

type rawDynamicAuth struct {
	Listen  *string                `toml:"listen"`
	Clients []rawDynamicAuthClient `toml:"clients"`
}

type rawDynamicAuthClient struct {
	rawShared

	Addresses []string `toml:"addresses"`
}

type rawDHCP struct {
	Mode      *string        `toml:"mode"`
	Servers   []string       `toml:"servers"`
	Relay     *string        `toml:"relay"`
	Interface *string        `toml:"interface"`
	Option82  *bool          `toml:"option82"`
	Timeout   *time.Duration `toml:"timeout"`
	OnLoss    *string        `toml:"on_loss"`
}

type rawHooks struct {
	Up          *string        `toml:"session_up"`
	Down        *string        `toml:"session_down"`
	Timeout     *time.Duration `toml:"timeout"`
	Concurrency *int64         `toml:"concurrency"`
	MaxWaiting  *int64         `toml:"max_waiting"`
}
