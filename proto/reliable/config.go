package reliable

import (
	"time"

	"adit/proto/l2tp"
)

// Config is what a Channel can be told. A zero or negative field has its
// default; AckDelay's default is 0.
type Config struct {
	// Version is the L2TP version of the headers: 2, which 0 stands for, or 3.
	Version uint8

	// Seal, if set, completes each packet before it leaves, which is where the
	// Message Digests of version 3 come from. It is called at each transmission,
	// as a message that is sent again has another Nr, and so another digest.
	Seal func(packet []byte)

	// Ack is the payload of an Explicit Acknowledgement, RFC 3931 section 6.15,
	// which is sent in place of a ZLB; version 3 only. Empty: ZLBs are sent.
	Ack []byte

	// ReceiveWindow is the Receive Window Size this end advertises in SCCRQ or
	// SCCRP, in messages, 1 to 32767: how far ahead of the next expected
	// message a received one may be. Default 64. Messages are delivered as
	// they come, so this bounds only what is kept out of order.
	ReceiveWindow uint16

	// RetransmitInitial is the time before the first retransmission. Default
	// 1 s, the RFC's.
	RetransmitInitial time.Duration

	// RetransmitCap bounds the interval as it doubles. Default 8 s. RFC 2661
	// section 5.8: "This cap MUST be no less than 8 seconds per
	// retransmission"; it is left to the caller to keep to that.
	RetransmitCap time.Duration

	// MaxRetransmits is how many retransmissions without an acknowledgement
	// are made before the peer is given up. Default 5 in version 2, as RFC 2661
	// section 5.8 has it: with the other defaults the peer is given up after
	// 31 s, which is the RFC's full retransmission cycle. Default 10 in version 3,
	// as RFC 3931 section 4.2 has it: 71 s.
	MaxRetransmits int

	// AckDelay is how long an acknowledgement waits for a message to ride on
	// before a ZLB is sent for it. 0 sends it with the next Transmit; 100 ms
	// is a good choice for tunnels that carry many calls. It should be well
	// below the peer's first retransmission. A second unacknowledged message
	// and any duplicate end the wait.
	AckDelay time.Duration

	// MaxQueue bounds the messages that are sent and not acknowledged or wait
	// for the window, together. Default 1024.
	MaxQueue int
}

// Defaults of Config.
const (
	DefaultReceiveWindow     = 64
	DefaultRetransmitInitial = time.Second
	DefaultRetransmitCap     = 8 * time.Second
	DefaultMaxRetransmits    = 5
	DefaultMaxRetransmits3   = 10 // of version 3
	DefaultMaxQueue          = 1024
)

// DefaultPeerWindow is the window of a peer that has not told its own.
//
// RFC 2661 section 4.4.3: "If absent, the peer must assume a Window Size of 4
// for its transmit window."
const DefaultPeerWindow = 4

func (cfg Config) withDefaults() Config {
	if cfg.ReceiveWindow == 0 {
		cfg.ReceiveWindow = DefaultReceiveWindow
	}
	cfg.ReceiveWindow = min(cfg.ReceiveWindow, maxWindow)
	if cfg.RetransmitInitial <= 0 {
		cfg.RetransmitInitial = DefaultRetransmitInitial
	}
	if cfg.RetransmitCap <= 0 {
		cfg.RetransmitCap = DefaultRetransmitCap
	}
	cfg.RetransmitCap = max(cfg.RetransmitCap, cfg.RetransmitInitial)
	if cfg.Version == 0 {
		cfg.Version = l2tp.Version
	}
	cfg.AckDelay = max(cfg.AckDelay, 0)
	if cfg.MaxQueue <= 0 {
		cfg.MaxQueue = DefaultMaxQueue
	}
	return cfg
}

// maxRetransmits is what MaxRetransmits says, or the default of the version that is
// spoken now, since that of an SCCRQ which offers both is not known before the answer.
//
// RFC 3931 section 4.2: "If no peer response is detected after several retransmissions (a
// recommended default is 10, but MUST be configurable), the control connection and all
// associated sessions MUST be cleared." RFC 2661 section 5.8 recommends 5.
func (cfg *Config) maxRetransmits() int {
	switch {
	case cfg.MaxRetransmits > 0:
		return cfg.MaxRetransmits
	case cfg.Version == l2tp.Version3:
		return DefaultMaxRetransmits3
	}
	return DefaultMaxRetransmits
}

// interval is the time from a message's transmission to its next: retransmits
// is how often it has been retransmitted by then.
//
// RFC 2661 section 5.8: "Each subsequent retransmission of a message MUST
// employ an exponential backoff interval. Thus, if the first retransmission
// occurred after 1 second, the next retransmission should occur after 2
// seconds has elapsed, then 4 seconds, etc."
func (cfg *Config) interval(retransmits int) time.Duration {
	d := cfg.RetransmitInitial
	for ; retransmits > 0 && d < cfg.RetransmitCap; retransmits-- {
		if d > cfg.RetransmitCap/2 {
			return cfg.RetransmitCap
		}
		d *= 2
	}
	return d
}

// RetransmissionCycle is the time from the first transmission of a message to
// giving the peer up: with the defaults 31 s (1 + 2 + 4 + 8 + 8 + 8), and 71 s in version
// 3, whose RFC 3931 section 3.3.2 wants "at least 31 seconds".
//
// RFC 2661 section 5.7: "The receiver of a StopCCN MUST [...] maintain enough
// control connection state to properly accept StopCCN retransmissions over at
// least a full retransmission cycle". "The recommended time for a full
// retransmission cycle is 31 seconds".
func (cfg Config) RetransmissionCycle() time.Duration {
	cfg = cfg.withDefaults()
	var sum time.Duration
	for i := range cfg.maxRetransmits() + 1 {
		sum += cfg.interval(i)
	}
	return sum
}
