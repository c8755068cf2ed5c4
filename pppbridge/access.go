package pppbridge

import (
	"net/netip"

	"adit/proto/ppp"
)

// Access is a role's side of one session: who decides about the peer, what it is
// given, and who is told of it. It is the same whoever speaks PPP. Its methods do
// not block. What a role is told of the begin and the end of the call, it is told
// by the engine.
type Access interface {
	// Authenticate judges what a peer said to show who it is. It is called on
	// the goroutine of the session's owner; answer is called at most once, at once
	// or later, from any goroutine. An answer that never comes ends the session by
	// its time limit. A pppd asks by its own way, not by this one.
	Authenticate(req ppp.AuthRequest, answer func(ppp.Verdict))
	// Routes are the networks behind the peer, beyond its address, that a bridge
	// with a pppd leads to its interface. (Our own endpoint has them by the
	// verdict.) Any goroutine.
	Routes() []netip.Prefix
	// NetworkUp says that packets of a family flow, and NetworkDown that they do
	// not any more. n has what was negotiated for both families so far. On the
	// owner's goroutine, or the poller's for a pppd.
	NetworkUp(f ppp.Family, n ppp.Network, a Attachment)
	NetworkDown(f ppp.Family)
	// Packet takes a copy of a packet that asks the router itself for something:
	// DHCP, DHCPv6 and Router Solicitations. Only where Attachment.Send is not
	// nil: elsewhere they come out of the interface. Any goroutine.
	Packet(packet []byte)
}

// Attachment is how a session's packets pass.
type Attachment struct {
	// Interface is the name of the network interface; that of the shared TUN too.
	Interface string
	// Send sends a packet of the router's own to the peer, from any goroutine. Nil:
	// the Interface is the session's own, and leads there.
	Send func(packet []byte)
}
