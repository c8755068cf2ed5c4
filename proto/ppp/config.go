package ppp

import (
	"io"
	"net/netip"
	"time"
)

// Config is what an endpoint is to negotiate. It is immutable and shared by all
// endpoints of a kind, so that each needs little memory.
type Config struct {
	// Name is what we call ourselves in challenges, responses and requests.
	Name string

	// MRU is the longest Information field that we take, in octets, and the most
	// that we send whatever the peer takes; 0: DefaultMRU.
	MRU uint16

	// Compress: ask the peer to send frames with their Protocol, Address and
	// Control fields compressed, which who takes them must understand. What the
	// peer itself asks for is acknowledged either way, and is in Link.
	Compress bool

	// Authenticate are the protocols by which the peer may show who it is, the
	// one that we ask for first. Empty: the peer need not.
	Authenticate []Method
	// Answer are the protocols by which we show who we are when the peer asks,
	// the one that we ask for in a Configure-Nak first. Empty: we do not.
	Answer []Method
	// Secrets makes our answers; required if Answer is not empty.
	Secrets Secrets

	// IPv4 and IPv6 say which network protocols are opened.
	IPv4, IPv6 bool
	// RequestDNS and RequestWINS: ask the peer for name servers, RFC 1877.
	RequestDNS, RequestWINS bool

	// Proxy says what to do about what a LAC negotiated before us.
	Proxy ProxyPolicy

	// EchoInterval is how often an Echo-Request asks whether the peer is there;
	// 0: never. EchoFailures without any answer end the link; 0: they do not.
	EchoInterval time.Duration
	EchoFailures int
	// Rechallenge is how often the peer has to show again who it is, by a
	// protocol that can (CHAP, EAP); 0: never.
	Rechallenge time.Duration

	// Times and numbers of RFC 1661 section 4.6; 0: its defaults.
	RestartTimer  time.Duration // 3 s
	MaxConfigure  int           // 10
	MaxTerminate  int           // 2
	MaxFailure    int           // 5
	AuthTimeout   time.Duration // from the begin of authentication to its end; 30 s
	AuthAttempts  int           // of a peer in one link, however often LCP begins anew; 3
	SetupTimeout  time.Duration // from Start until a network protocol is up; 60 s
	MaxSetupParts int           // frames that a link may take to come up; 0: 256

	// Rand is the source of Magic-Numbers, challenges and interface identifiers.
	Rand io.Reader
}

// Method is an authentication protocol.
type Method uint8

// The methods.
const (
	MethodPAP      Method = iota + 1 // RFC 1334
	MethodCHAP                       // CHAP with MD5, RFC 1994
	MethodMSCHAPv2                   // RFC 2759
	MethodEAP                        // RFC 3748
)

// ProxyPolicy is what an LNS does about proxy LCP and proxy authentication.
type ProxyPolicy uint8

// The policies.
const (
	// ProxyAccept takes over what satisfies our own configuration and
	// negotiates what does not.
	ProxyAccept ProxyPolicy = iota
	// ProxyRenegotiate negotiates LCP and authenticates always.
	ProxyRenegotiate
)

// Proxy is what a LAC negotiated with the peer, RFC 2661 section 4.4.5.
type Proxy struct {
	// LCP options of Configure-Requests, without their packet header. Nil: absent.
	InitialReceived, LastSent, LastReceived []byte
	// Method is how the LAC authenticated the peer; 0: it did not, or not by a
	// method of ours.
	Method    Method
	Name      string
	ID        uint8
	Challenge []byte
	Response  []byte // the password for PAP
}

// AuthRequest is what a peer said to show who it is.
type AuthRequest struct {
	Method Method
	// Name is the peer's, as it came; for EAP that of its Identity response.
	Name string
	// Password is PAP's.
	Password []byte
	// ID, Challenge and Response are CHAP's and MS-CHAPv2's: ID is the packet's
	// Identifier, Response the Value field.
	ID        uint8
	Challenge []byte
	Response  []byte
	// EAP is a whole EAP packet, from Code on, to be relayed.
	EAP []byte
	// State is what the last Verdict of this exchange said, for EAP.
	State any
	// Proxied: the LAC asked, not we.
	Proxied bool
}

// Verdict is the answer to an AuthRequest.
type Verdict struct {
	// Accept lets the peer in. Without it and without EAP, it is refused.
	Accept bool
	// Message goes to the peer: PAP's Message, CHAP's Message (for MS-CHAPv2 the
	// whole of it, "S=... M=..." or "E=... R=... C=... V=3 M=...").
	Message string
	// Retry: the peer may try again on this link, within AuthAttempts.
	Retry bool
	// EAP is the packet to pass to the peer: a further request, or Success or
	// Failure with the end of the exchange.
	EAP   []byte
	State any
	// User is the name under which the session goes on; empty: that of the
	// request.
	User string
	// Grant is what the peer gets. Fields that are not set are those of the
	// endpoint's own Grant.
	Grant Grant
}

// Grant is what a peer is given, or what we ask for ourselves.
type Grant struct {
	// Local is our address on the link, Peer the peer's. The zero Addr: for
	// Local, we ask the peer to give us one; for Peer, the peer tells its own.
	Local, Peer netip.Addr
	// DNS and WINS are what we tell a peer that asks; the zero Addr: nothing.
	DNS, WINS [2]netip.Addr
	// LocalID and PeerID are interface identifiers; 0: made by chance, and the
	// peer's own choice.
	LocalID, PeerID uint64
	// Routes are the prefixes behind the peer, IPv4 and IPv6, besides Peer.
	Routes []netip.Prefix
	// SessionTimeout ends the link after this time, IdleTimeout after this time
	// without packets; 0: never.
	SessionTimeout, IdleTimeout time.Duration
}

// Network is what the network protocols agreed on.
type Network struct {
	LocalIPv4, PeerIPv4 netip.Addr
	DNS, WINS           [2]netip.Addr // what the peer told us
	LocalID, PeerID     uint64        // IPv6 interface identifiers
	Routes              []netip.Prefix
	User                string // who the peer showed to be; empty: nobody asked
}

// Secrets makes the answers by which we show who we are. Its methods must not
// block.
type Secrets interface {
	// Password is for PAP: our name and password.
	Password() (name string, password []byte)
	// Respond makes the Value field of a response to a challenge by CHAP or
	// MS-CHAPv2, and the name that goes with it. State comes back in Verify.
	Respond(method Method, id uint8, challenge []byte, peerName string) (value []byte, name string, state any, err error)
	// Verify looks at the Message of MS-CHAPv2's Success: the peer has to show
	// that it knows the password too.
	Verify(state any, message string) error
	// EAP makes the answer to an EAP request; nil: a Nak is sent.
	EAP(request []byte) (response []byte)
}
