package engine

import (
	"net/netip"
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
	"adit/pseudowire"
)

// Acceptor is the role that decides which SCCRQs are answered with SCCRP: the
// LNS. It is called on a shard's goroutine and must not block.
type Acceptor interface {
	// AcceptTunnel returns what the tunnel is to be like, or why there is none. The
	// spec's Tunnel.Version is one of those that the request offers.
	AcceptTunnel(r *TunnelRequest) (*TunnelSpec, *Refusal)
}

// TunnelRequest is what is known of the peer that sent an SCCRQ, before anything of it
// was verified.
type TunnelRequest struct {
	// From is the peer, Local the address that it sent to. The ports are 0 for
	// EncapsulationIP.
	From, Local   netip.AddrPort
	Encapsulation config.Encapsulation
	HostName      string
	RouterID      uint32 // 0: it said none, as in version 2
	// V2 and V3 are the versions that the SCCRQ can be answered in, RFC 3931 section
	// 4.7.3; one or both.
	V2, V3 bool
}

// Refusal is why a peer gets no tunnel. The role does not log it: the engine
// does, and sees to it that a flood of SCCRQs does not become one of log lines.
type Refusal struct {
	Why    string // for our log, with what the operator can do about it
	Name   string // the peer's name in the configuration; empty: it has none
	Result l2tp.ResultCode
}

// Handler is the role that a tunnel belongs to. Its methods are called on the
// goroutine of the tunnel's shard and must not block.
type Handler interface {
	// TunnelUp says that the control connection is established.
	TunnelUp(t *Tunnel)
	// TunnelDown comes once for each tunnel that was accepted or dialled. No
	// call of it is up then; CallDown may follow for those whose bridge still
	// has to end.
	TunnelDown(t *Tunnel, cause tunnel.Cause)
	// CallRequested says that the peer wants a call. The role answers with
	// Call.Accept or Call.Reject, now or later from any goroutine.
	CallRequested(c *Call)
	// CallUp says that the call is established and its bridge started.
	CallUp(c *Call)
	// CallDown comes once for each call that was requested or placed, when
	// nothing of it is left, so that its addresses may be given to another.
	CallDown(c *Call, cause tunnel.Cause)
}

// TunnelSpec is what a role wants a tunnel to be like.
type TunnelSpec struct {
	Name    string // the peer's name in the configuration, for people
	Handler Handler
	// Tunnel is the state machine's configuration; the engine adds the ID and
	// the source of randomness.
	Tunnel tunnel.Config
	// KernelPlane: most calls will be on the kernel plane, so give the tunnel
	// its own socket as soon as it is up.
	KernelPlane bool
	// AcceptOtherAddress: the reply to our SCCRQ may come from another address.
	AcceptOtherAddress bool
	// RemoteHostName tells whether the peer's Host Name is the expected one;
	// nil: any is.
	RemoteHostName func(string) bool
	// PeerRouterID is the peer's Router ID, if it is known before it answers; 0: it is
	// not. It counts for ties, and a peer that says another one is not refused.
	PeerRouterID uint32
}

// CallSpec is what a role wants to be done with a call.
type CallSpec struct {
	Name    string // the session's name in the configuration, if it has one
	Profile string // the profile's name
	// Bridge says where the PPP frames go. The engine fills in the IDs, the
	// tunnel's socket, what the peer said of the call, and the log entry.
	Bridge pppbridge.Spec
	// Pseudowire says where the frames of a session go that is not PPP, and Bridge
	// does not count; nil: it is PPP. The engine fills in the log entry, what is
	// reported of the circuit, and, on the kernel plane, the session.
	Pseudowire *pseudowire.Spec
	// Wire is what we want in the data messages that we receive, version 3 only. A
	// sublayer that sequence numbers need is added. A placed call may have it in its
	// parameters instead.
	Wire tunnel.Wire
	// CircuitDown says that our circuit is not active yet; see Call.SetCircuit.
	CircuitDown bool
	// Userspace is what serves the call where the Kind of Bridge or Pseudowire is of
	// the kernel plane and the kernel cannot serve the tunnel; nil: the call is
	// refused then.
	Userspace *circuit.Kind
	// Session is told what becomes of the call; nil: nobody is.
	Session Session
	// Sequencing of data messages, RFC 2661 section 5.4. In version 3 each end says what
	// it wants to receive: SequencingRequired asks for numbers in all messages, and
	// SendSequence means nothing.
	SendSequence       bool
	SequencingRequired bool
	ReorderTimeout     time.Duration // 0: late frames are dropped, none is held
}

// Session is a role's side of one call. Its methods must not block.
type Session interface {
	// Established says that the call is up and its bridge open, before the peer has
	// said anything. It is called on the goroutine of the tunnel's shard, once at
	// most.
	Established(c *Call)
	// Ended comes exactly once for each CallSpec that was given to Accept or
	// PlaceCall, when nothing of the call is left, so that its addresses may be
	// given to another. exit is nil if there was no bridge. Any goroutine.
	Ended(cause tunnel.Cause, exit *circuit.Exit)
}

// Limits bound what the engine holds. Zero means none is allowed, so fill in
// all of them.
type Limits struct {
	Tunnels, Sessions, HalfOpen, TunnelsPerPeer int
}

// ended tells the Session, once.
func (s *CallSpec) ended(cause tunnel.Cause, exit *circuit.Exit) {
	if s.Session != nil {
		s.Session.Ended(cause, exit)
		s.Session = nil
	}
}
