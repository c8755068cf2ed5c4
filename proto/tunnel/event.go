package tunnel

import (
	"time"

	"adit/proto/l2tp"
)

// Event is something that happened to a tunnel: a message from the peer, the
// passing of time, or a wish of the tunnel's owner. Step takes one and returns
// what is to be done about it.
type Event interface{ event() }

type (
	// Receive is a control message that carries this tunnel's ID (or the SCCRQ
	// again). Payload is what follows the header; it is not kept.
	Receive struct {
		Header  l2tp.Header
		Payload []byte
		// Packet is the whole message from its control header on, which is what
		// the Message Digest of version 3 is calculated over; in version 2 it may
		// be nil. It is not kept either.
		Packet []byte
	}

	// Tick says that Deadline has passed. An early Tick does nothing.
	Tick struct{}

	// PlaceCall asks for a new call: an incoming call (ICRQ) if we are the LAC
	// of it, an outgoing call (OCRQ) if we are the LNS. Ref is the owner's word
	// for the call and comes back in every action about it. A call placed
	// before the tunnel is established waits for it.
	PlaceCall struct {
		Ref  any
		Call Call
	}

	// AcceptCall answers CallRequested: ICRP is sent, or OCRP.
	AcceptCall struct {
		Session uint32
		// Ref is the owner's word for the call, as in PlaceCall.
		Ref any
		// Connected is for an outgoing call whose line is up already: OCCN
		// follows OCRP at once. Otherwise ConnectCall sends it later.
		Connected bool
		Call      Call
	}

	// RejectCall answers CallRequested with a CDN.
	RejectCall struct {
		Session uint32
		Cause   Cause
	}

	// ConnectCall says that the line of an accepted outgoing call is up (OCCN).
	ConnectCall struct {
		Session uint32
		Call    Call
	}

	// CloseCall ends a call in any state with a CDN.
	CloseCall struct {
		Session uint32
		Cause   Cause
	}

	// SetLinkInfo is the LNS telling the LAC the negotiated ACCMs (SLI); version 2.
	SetLinkInfo struct {
		Session            uint32
		SendACCM, RecvACCM uint32
	}

	// ReportWANErrors is the LAC telling the LNS the line's error counts (WEN).
	ReportWANErrors struct {
		Session uint32
		Errors  l2tp.CallErrors
	}

	// SetCircuitStatus tells the peer the state of our circuit; version 3. Of a
	// call that is not up it goes with the next message, otherwise by an SLI.
	SetCircuitStatus struct {
		Session uint32
		Status  l2tp.CircuitStatus
	}

	// Stop ends the tunnel in any state with a StopCCN.
	Stop struct{ Cause Cause }

	// Lose says that the tie breaker of a peer's SCCRQ beat ours (see
	// ResolveTie): a tunnel that still waits for its SCCRP is discarded without
	// a word to the peer, and the calls placed on it come back as CallDown with
	// ErrTieLost, so that the owner can place them on the winning tunnel.
	Lose struct{}
)

func (Receive) event()          {}
func (Tick) event()             {}
func (PlaceCall) event()        {}
func (AcceptCall) event()       {}
func (RejectCall) event()       {}
func (ConnectCall) event()      {}
func (CloseCall) event()        {}
func (SetLinkInfo) event()      {}
func (ReportWANErrors) event()  {}
func (SetCircuitStatus) event() {}
func (Stop) event()             {}
func (Lose) event()             {}

// Direction of a call, seen from the network as RFC 2661 names them: an
// incoming call was received by the LAC from the telephone network (ICRQ goes
// LAC to LNS), an outgoing call is placed by the LAC on the LNS's behalf (OCRQ
// goes LNS to LAC).
type Direction uint8

// The directions of a call.
const (
	Incoming Direction = iota
	Outgoing
)

// Call is what the messages of a call say about it, from both ends. Fields that
// do not belong to the message being sent are ignored.
type Call struct {
	Direction Direction

	// SequencingRequired: the LAC insists on sequence numbers (AVP 39).
	SequencingRequired bool

	BearerType    l2tp.BearerType
	FramingType   l2tp.FramingType
	CallSerial    uint32
	CalledNumber  string
	CallingNumber string
	SubAddress    string

	PhysicalChannelID *uint32
	TxConnectSpeed    uint32 // bits per second
	RxConnectSpeed    uint32 // bits per second; 0: as TxConnectSpeed
	MinimumBPS        uint32 // outgoing calls
	MaximumBPS        uint32 // outgoing calls
	PrivateGroupID    []byte

	// What only version 3 has.
	Pseudowire    l2tp.PseudowireType // of the session; 0 in a call to be placed: PPP
	RemoteEndID   []byte              // which circuit is meant
	ApplicationID *uint16             // which of several that have this Remote End ID; nil: not said
	// Local is what we want in the data messages that we receive, Peer what the peer
	// wants in those that it receives.
	Local, Peer Wire
	// LocalStatus and PeerStatus are the Circuit Status of both ends. A session of
	// PPP has no circuit besides itself: its LocalStatus is active if it is left 0.
	LocalStatus, PeerStatus l2tp.CircuitStatus

	// Access is what the LAC of an incoming call tells of the access line, RFC
	// 5515; each type once at most.
	Access []l2tp.AccessLineAVP

	// What the LAC negotiated with the remote system before the LNS saw it,
	// RFC 2661 section 4.4.5; nil if it did not.
	ProxyLCP  *l2tp.ProxyLCP
	ProxyAuth *l2tp.ProxyAuth
}

// Wire is what one end of a session wants in the data messages that it receives, RFC
// 3931 section 5.4.4.
type Wire struct {
	// Cookie is 0, 4 or 8 octets. A placed or accepted call whose CookieLength is set
	// gets one at random.
	Cookie       []byte
	CookieLength int // octets, of our own wish: 0, 4 or 8
	Sublayer     l2tp.SublayerType
	Sequencing   l2tp.SequencingLevel
}

// Cause is why a call or a tunnel ended, in the words of CDN and StopCCN.
type Cause struct {
	Result l2tp.ResultCode     // RFC 2661 section 4.4.2
	Q931   *l2tp.Q931Cause     // CDN only
	PPP    *l2tp.PPPDisconnect // AVP 46, RFC 3145; CDN only
	Remote bool                // the peer said so; otherwise we did

	// Err tells apart, for programs, the ends that this package decided on:
	// ErrUnreachable, ErrCallTimeout, ErrTieLost and the other errors of this
	// package, or an *l2tp.Error. It is nil when the peer or the owner did it.
	Err error
}

// Action is something the tunnel's owner has to do or may want to know.
// The slice that Step returns, and the bytes in it, are valid until the next
// call of Step on that tunnel.
type Action interface{ action() }

type (
	// Send says: put Packet, a whole control message, on the wire to the peer.
	Send struct{ Packet []byte }

	// TunnelUp says that the control connection is established.
	TunnelUp struct{}

	// CallPlaced answers PlaceCall with the Session ID that we assigned, so that
	// the owner can close the call before it is up.
	CallPlaced struct {
		Ref     any
		Session uint32
	}

	// CallRequested says that the peer wants a call. The owner answers with
	// AcceptCall or RejectCall, now or later; the call waits, with a deadline.
	CallRequested struct {
		Session uint32
		Call    Call
	}

	// CallUp says that a call is established, so frames may flow.
	CallUp struct {
		Ref         any
		Session     uint32
		PeerSession uint32
		// LNS says which role this end has in this call.
		LNS  bool
		Call Call
	}

	// CallDown says that a call that was requested, placed or up is over. It
	// comes exactly once for each of them. Session is 0 for a call that was
	// placed and never got as far as an ID.
	CallDown struct {
		Ref     any
		Session uint32
		Cause   Cause
	}

	// LinkInfo is an SLI from the LNS.
	LinkInfo struct {
		Ref                any
		Session            uint32
		SendACCM, RecvACCM uint32
	}

	// CircuitStatus is the peer's, by an SLI of version 3. RFC 3931 section 5.4.5: while
	// it is not active, "all data traffic for that session MUST cease" towards the peer.
	CircuitStatus struct {
		Ref     any
		Session uint32
		Status  l2tp.CircuitStatus
	}

	// WANErrors is a WEN from the LAC.
	WANErrors struct {
		Ref     any
		Session uint32
		Errors  l2tp.CallErrors
	}

	// TunnelDown says that the control connection is over and why. Every call
	// has had its CallDown before. The tunnel still answers retransmissions
	// for a full retransmission cycle (RFC 2661 section 5.7), then Gone comes.
	TunnelDown struct{ Cause Cause }

	// Gone says that the tunnel needs no Step any more and its ID is free.
	Gone struct{}

	// Drop says that the input was ignored, and why. For counters and, at debug
	// level, for the log.
	Drop struct{ Reason error }
)

func (Send) action()          {}
func (TunnelUp) action()      {}
func (CallPlaced) action()    {}
func (CallRequested) action() {}
func (CallUp) action()        {}
func (CallDown) action()      {}
func (LinkInfo) action()      {}
func (WANErrors) action()     {}
func (CircuitStatus) action() {}
func (TunnelDown) action()    {}
func (Gone) action()          {}
func (Drop) action()          {}

// PeerInfo is what the peer told about itself in SCCRQ or SCCRP.
type PeerInfo struct {
	HostName         string
	VendorName       string
	FirmwareRevision uint16
	TunnelID         uint32 // its Assigned Tunnel ID
	ReceiveWindow    uint16
	Framing          l2tp.FramingType
	Bearer           l2tp.BearerType

	Version     uint8 // that the control connection has
	RouterID    uint32
	Pseudowires []l2tp.PseudowireType
}

// Stats counts what a control connection has done.
type Stats struct {
	Sent, Received uint64 // control messages, with retransmissions, without ZLBs
	Retransmitted  uint64
	Duplicates     uint64 // received again
	OutOfOrder     uint64 // received early and kept
	SendQueue      int    // messages waiting for the window
	Window         int    // congestion window, in messages
	LastReceived   time.Time
	EstablishedAt  time.Time

	AuthFailures   uint64 // challenge responses or Message Digests missing or wrong
	SessionsOpened uint64 // calls that reached the established state
	Refused        uint64 // calls of the peer refused without asking the owner
}
