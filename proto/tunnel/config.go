package tunnel

import (
	"io"
	"time"

	"adit/proto/l2tp"
	"adit/proto/reliable"
)

// Defaults of Config.
const (
	// DefaultHelloInterval is "a recommended default is 60 seconds" of RFC 2661
	// section 6.5.
	DefaultHelloInterval = 60 * time.Second
	// DefaultSetupTimeout bounds the time from the first SCCRQ to an
	// established tunnel.
	DefaultSetupTimeout = 60 * time.Second
	// DefaultCallTimeout bounds each wait of a call: for the peer's answer, for
	// the owner's, for the line of an outgoing call.
	DefaultCallTimeout = 60 * time.Second
	// MaxSessions is how many sessions the Session ID can tell apart; ID 0 is
	// reserved.
	MaxSessions = 65535
)

// Config is what a tunnel needs to know about this end and about what the peer
// is allowed to do. It is not changed, and must not be changed by the owner
// after it was handed to Dial or Accept.
type Config struct {
	// LocalID is our Assigned Tunnel ID: 1 to 65535, in version 3 without Fallback
	// any but 0; unique among the tunnels of this end.
	LocalID uint32

	// Version is the L2TP version of the control connection: l2tp.Version, which 0
	// stands for, or l2tp.Version3.
	Version uint8
	// Fallback has Dial send an SCCRQ that both versions understand, RFC 3931 section
	// 4.7.3; the peer's answer chooses. Version 3 only.
	Fallback bool

	// What only version 3 has: the Router ID AVP, the Pseudowire Capabilities List,
	// and the algorithms of the Message Digest AVPs, one or two. With a Secret and no
	// Digests it is HMAC-MD5, which every peer has; with Digests and no Secret, digests
	// are an integrity check alone (section 4.3).
	RouterID    uint32
	Pseudowires []l2tp.PseudowireType
	Digests     []l2tp.DigestType
	// OtherSecret is a second shared secret that counts too, while the secret is being
	// changed (section 5.4.1); version 3 only.
	OtherSecret []byte

	HostName         string // Host Name AVP; at least one octet
	VendorName       string // Vendor Name AVP; empty: not sent
	FirmwareRevision uint16 // Firmware Revision AVP; 0: not sent

	// Secret is shared with the peer for authentication and for hiding AVPs.
	// Nil means that there is none.
	Secret []byte
	// Challenge demands that the peer proves that it knows Secret. In version 3 any
	// Secret does: the two ends authenticate each message, or neither. So it does with
	// Fallback, lest who answers in version 2 get around it.
	Challenge bool
	// HideAVPs hides the values of the AVPs that RFC 2661 allows to hide, in
	// every message but SCCRQ and StopCCN, which a peer must be able to read
	// before it has found the secret. Without a Secret it does nothing.
	HideAVPs bool

	// ReceiveWindow is the Receive Window Size AVP; 0: what Reliable says.
	ReceiveWindow uint16
	// Framing is the Framing Capabilities AVP; 0: both kinds.
	Framing l2tp.FramingType
	// Bearer is the Bearer Capabilities AVP, the lines that this end has for
	// outgoing calls; 0: not sent, which says that we cannot place any.
	Bearer l2tp.BearerType

	// HelloInterval is the silence after which a HELLO is sent; 0: the default,
	// negative: never.
	HelloInterval time.Duration
	// SetupTimeout bounds the time to the established state; 0: the default,
	// negative: no bound.
	SetupTimeout time.Duration
	// CallTimeout bounds each wait of a call that is being set up; 0: the
	// default, negative: no bound.
	CallTimeout time.Duration
	// Reliable configures the control channel. Its ReceiveWindow gives way to
	// the field above. A MaxQueue of 0 is set by MaxSessions.
	Reliable reliable.Config

	// MaxSessions bounds the calls of this tunnel in any state; 0: 65535, which is
	// the most there can be.
	MaxSessions int
	// AllowIncoming lets the peer send ICRQ: it is a LAC and we are its LNS.
	AllowIncoming bool
	// AllowOutgoing lets the peer send OCRQ: it is an LNS and we are its LAC.
	AllowOutgoing bool
	// TieBreaker puts a Tie Breaker AVP in our SCCRQ.
	TieBreaker bool

	// Rand is where Session IDs, challenges, random vectors and the tie breaker
	// come from; crypto/rand outside tests. A read that fails ends the tunnel.
	Rand io.Reader
	// NewSessionID, if set, proposes local Session IDs in place of the built-in
	// choice. A proposal that is 0, in use or, in version 2, above 65535 counts
	// as "none is free".
	NewSessionID func() uint32
}

// withDefaults returns the configuration with every default filled in.
func (c Config) withDefaults() Config {
	if c.Version == 0 {
		c.Version = l2tp.Version
	}
	c.Reliable.Version = c.Version
	if c.ReceiveWindow != 0 {
		c.Reliable.ReceiveWindow = c.ReceiveWindow
	}
	if c.Framing == 0 {
		c.Framing = l2tp.FramingAsync | l2tp.FramingSync
	}
	if c.HelloInterval == 0 {
		c.HelloInterval = DefaultHelloInterval
	}
	if c.SetupTimeout == 0 {
		c.SetupTimeout = DefaultSetupTimeout
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = DefaultCallTimeout
	}
	if c.MaxSessions <= 0 || c.MaxSessions > MaxSessions {
		c.MaxSessions = MaxSessions
	}
	if c.Reliable.MaxQueue == 0 {
		c.Reliable.MaxQueue = defaultQueue(c.MaxSessions)
	}
	return c
}

// defaultQueue is how many control messages may wait for the window of the
// peer. Closing every call at once queues one CDN for each, and a peer with a
// small window may be answering the requests before; four messages a session
// leave room for that. What comes beyond ends the tunnel, so the memory that a
// peer which never acknowledges can tie up is bounded.
func defaultQueue(sessions int) int { return 4*sessions + 64 }
