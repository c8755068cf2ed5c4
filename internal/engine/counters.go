package engine

import (
	"fmt"
	"sync/atomic"
)

// Counter names one of the engine's event counts. Packets are never logged one
// by one; each that is dropped is counted here under its reason.
type Counter uint8

// The counters.
const (
	ControlReceived    Counter = iota // control messages from the sockets
	ControlSent                       // control messages put on the wire
	DataReceived                      // data messages in the userspace plane
	DataSent                          // data messages out of the userspace plane
	DataMerged                        // of those: handed to the kernel several at once (UDP_SEGMENT)
	SendFailed                        // the kernel refused a packet (retransmission covers control)
	DropShort                         // shorter than its header, or a header no message may have
	DropVersion                       // L2F, no version that exists, or one that the tunnel does not have
	DropUnknownTunnel                 // no tunnel has that ID
	DropUnknownSession                // no session has that ID
	DropWrongPeer                     // the tunnel exists, the sender is not its peer
	DropInboxFull                     // more control messages than the shard could take
	DropNotSCCRQ                      // Tunnel ID 0, but no SCCRQ, or none whose host name can be read
	DropTooLong                       // a frame of the PPP side that is longer than any may be
	DropPPPInbox                      // more PPP control frames than the shard could take
	DropKernelPlane                   // a data message for the kernel plane that came to userspace
	DropCookie                        // a data message whose Cookie is not the session's
	DropDigest                        // a control message whose Message Digest is missing or wrong
	DropUnnumbered                    // a data message without the sequence number that its kind has to have
	DropCircuitDown                   // a frame to a peer whose circuit is not active
	DropControlState                  // ignored by the state machine (duplicate, wrong state, ...)
	RefusedPeer                       // SCCRQ of a peer that no configuration matches
	RefusedLimit                      // SCCRQ above a limit
	RefusedVersion                    // SCCRQ that can be answered in no version that its peer may speak
	RefusedParse                      // SCCRQ so malformed that not even a StopCCN can answer it
	TieLost                           // our SCCRQ withdrawn in favour of the peer's
	TieWon                            // the peer's SCCRQ ignored in favour of ours
	TunnelsAccepted                   // tunnels begun by a peer
	TunnelsDialled                    // tunnels begun by us
	TunnelsFailed                     // tunnels that ended before they were established
	CallsUp                           // sessions that were established
	CallsFailed                       // sessions that ended before they were established
	BridgeFailed                      // sessions whose pppd or kernel socket could not be started
	DropNoSession                     // a packet out of the shared TUN to an address that no session has
	DropTUNMalformed                  // what came out of the shared TUN is no IP packet
	DropLinkScope                     // a packet out of the shared TUN for the link only
	TUNReadFailed                     // the kernel refused a read of a TUN
	ICMPSent                          // ICMP errors about packets of subscribers or to them
	ICMPLimited                       // ICMP errors not sent, because they were too many
	numCounters
)

var counterNames = [numCounters]string{
	"control_received", "control_sent", "data_received", "data_sent", "data_merged", "send_failed",
	"drop_short", "drop_version", "drop_unknown_tunnel", "drop_unknown_session",
	"drop_wrong_peer", "drop_inbox_full", "drop_not_sccrq", "drop_too_long", "drop_ppp_inbox", "drop_kernel_plane",
	"drop_cookie", "drop_digest", "drop_unnumbered", "drop_circuit_down",
	"drop_control_state", "refused_peer", "refused_limit", "refused_version", "refused_parse", "tie_lost", "tie_won",
	"tunnels_accepted", "tunnels_dialled", "tunnels_failed", "calls_up", "calls_failed", "bridge_failed",
	"drop_no_session", "drop_tun_malformed", "drop_link_scope", "tun_read_failed", "icmp_sent", "icmp_limited",
}

func (c Counter) String() string {
	if c < numCounters {
		return counterNames[c]
	}
	return fmt.Sprintf("counter(%d)", uint8(c))
}

// counters are written by readers and shards and read by anybody.
type counters [numCounters]atomic.Uint64

func (c *counters) inc(n Counter) { c[n].Add(1) }

// byName is a copy for people and programs.
func (c *counters) byName() map[string]uint64 {
	m := make(map[string]uint64, numCounters)
	for i := range c {
		m[Counter(i).String()] = c[i].Load()
	}
	return m
}

// counts is what was counted anywhere. The bursts count what they send
// themselves, and the TUN that sessions share what it drops.
func (e *Engine) counts() map[string]uint64 {
	m := e.counters.byName()
	m[DataSent.String()] = e.sent.Sent.Load()
	m[DataMerged.String()] = e.sent.Segmented.Load()
	m[SendFailed.String()] += e.sent.Failed.Load()
	m[DropTooLong.String()] += e.sent.TooLong.Load()
	p := e.bridges.PlaneCounts()
	m[DropNoSession.String()] = p.NoSession.Load()
	m[DropTUNMalformed.String()] = p.Malformed.Load()
	m[DropLinkScope.String()] = p.LinkScope.Load()
	m[TUNReadFailed.String()] = p.ReadError.Load()
	m[ICMPSent.String()] = p.ICMP.Load()
	m[ICMPLimited.String()] = p.ICMPLimit.Load()
	return m
}
