package radattr

import (
	"encoding/binary"
	"net/netip"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2867"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc4818"
	"layeh.com/radius/rfc6911"

	"adit/lns/subscriber"
)

// Accounting fills an Accounting-Request. delay is for how long the record has
// been waiting to be sent.
//
// RFC 2866 section 5.2: "This attribute indicates how many seconds the client has
// been trying to send this record for, and can be subtracted from the time of
// arrival on the server to find the approximate time of the event generating this
// Accounting-Request." The Event-Timestamp says that time itself and stays the
// same.
func Accounting(p *radius.Packet, nas NAS, r *subscriber.Record, delay time.Duration) {
	w := newWriter(p)
	w.number(rfc2866.AcctStatusType_Type, uint32(r.Kind))
	w.nas(nas)
	w.seconds(rfc2866.AcctDelayTime_Type, delay)
	if s := r.Time.Unix(); s > 0 && s < 1<<32 {
		w.number(rfc2869.EventTimestamp_Type, uint32(s))
	}
	s := r.Session
	if s == nil {
		return
	}
	w.text(rfc2866.AcctSessionID_Type, s.Line.ID)
	w.text(rfc2865.UserName_Type, s.User)
	if about(r.Kind).tunnel {
		w.wholeTunnel(r)
		return
	}
	if about(r.Kind).used {
		w.usage(r)
	} else {
		w.cause(r)
	}
	// RFC 2865 section 5.25: "It SHOULD be sent unmodified by the client to the
	// accounting server as part of the Accounting-Request packet if accounting is
	// supported."
	for _, c := range s.Service.Class {
		w.add(rfc2865.Class_Type, c)
	}
	if s.Method != 0 {
		w.number(rfc2866.AcctAuthentic_Type, uint32(s.Method))
	}
	w.number(rfc2865.ServiceType_Type, uint32(rfc2865.ServiceType_Value_FramedUser))
	w.number(rfc2865.FramedProtocol_Type, uint32(rfc2865.FramedProtocol_Value_PPP))
	w.addresses(&s.Addresses)
	w.text(rfc2867.AcctTunnelConnection_Type, callSerial(&s.Line))
	w.tagged(rfc2868.TunnelAssignmentID_Type, s.Line.PeerName)
	w.line(&s.Line)
	w.access(s.Line.Access, radius.CodeAccountingRequest)
}

// kind is what the records of a kind say.
type kind struct {
	used   bool // what passed and for how long: of something that was there
	ended  bool // why it ended
	tunnel bool // it is about a tunnel, and no session of it
}

// about returns what a record of a kind says. What RFC 2867 section 3 has for
// each of its own is all there.
func about(k subscriber.RecordKind) kind {
	switch k {
	case subscriber.RecordInterim:
		return kind{used: true}
	case subscriber.RecordStop, subscriber.RecordTunnelLinkEnd:
		return kind{used: true, ended: true}
	case subscriber.RecordTunnelLinkNo:
		return kind{ended: true}
	case subscriber.RecordTunnelStart:
		return kind{tunnel: true}
	case subscriber.RecordTunnelStop:
		return kind{used: true, ended: true, tunnel: true}
	case subscriber.RecordTunnelReject:
		return kind{ended: true, tunnel: true}
	case subscriber.RecordStart, subscriber.RecordTunnelLinkUp, subscriber.RecordOn, subscriber.RecordOff:
	}
	return kind{}
}

// wholeTunnel adds what a record of a tunnel says, and no more: there is no
// subscriber. The connection is our Tunnel ID: a tunnel has no serial number.
//
// RFC 2867 section 4.1: "to fully identify an L2TP tunnel connection, the L2TP
// Tunnel ID and Call ID might be encoded in this field. The exact encoding of this
// field is implementation dependent."
func (w *writer) wholeTunnel(r *subscriber.Record) {
	s := r.Session
	if about(r.Kind).used {
		w.usage(r)
	} else {
		w.cause(r)
	}
	w.text(rfc2867.AcctTunnelConnection_Type, tunnelName(&s.Line))
	w.tagged(rfc2868.TunnelAssignmentID_Type, s.Line.PeerName)
	w.tunnel(&s.Line)
}

// usage adds for how long a session was there, what passed, and why it ended.
func (w *writer) usage(r *subscriber.Record) {
	s := r.Session
	w.seconds(rfc2866.AcctSessionTime_Type, s.Duration)
	w.octets(rfc2866.AcctInputOctets_Type, rfc2869.AcctInputGigawords_Type, s.Counters.OctetsIn)
	w.octets(rfc2866.AcctOutputOctets_Type, rfc2869.AcctOutputGigawords_Type, s.Counters.OctetsOut)
	w.number(rfc2866.AcctInputPackets_Type, uint32(s.Counters.PacketsIn))
	w.number(rfc2866.AcctOutputPackets_Type, uint32(s.Counters.PacketsOut))
	w.cause(r)
	if r.Kind == subscriber.RecordTunnelStop || r.Kind == subscriber.RecordTunnelLinkEnd {
		w.number(rfc2867.AcctTunnelPacketsLost_Type, s.TunnelLost)
	}
}

// cause adds why something ended.
//
// RFC 2866 section 5.10: "This attribute indicates how the session was
// terminated, and can only be present in Accounting-Request records where the
// Acct-Status-Type is set to Stop." RFC 2867 sections 3.2, 3.3, 3.5 and 3.6 have it
// where a tunnel or link ends, or does not come to be.
func (w *writer) cause(r *subscriber.Record) {
	if about(r.Kind).ended && r.Session.Cause != 0 {
		w.number(rfc2866.AcctTerminateCause_Type, uint32(r.Session.Cause))
	}
}

// octets adds a number of octets.
//
// RFC 2869 section 5.1: "This attribute indicates how many times the Acct-Input-
// Octets counter has wrapped around 2^32 over the course of this service being
// provided".
func (w *writer) octets(low, high radius.Type, n uint64) {
	w.number(low, uint32(n))
	if n>>32 != 0 {
		w.number(high, uint32(n>>32))
	}
}

// addresses adds what the subscriber has.
func (w *writer) addresses(a *subscriber.Addresses) {
	if v4 := a.IPv4.Unmap(); v4.Is4() {
		w.add(rfc2865.FramedIPAddress_Type, v4.AsSlice())
	}
	for _, p := range a.Prefixes {
		w.prefix(rfc3162.FramedIPv6Prefix_Type, p)
	}
	for _, p := range a.Delegated {
		w.prefix(rfc4818.DelegatedIPv6Prefix_Type, p)
	}
	if a.InterfaceID != 0 {
		w.add(rfc3162.FramedInterfaceID_Type, binary.BigEndian.AppendUint64(nil, a.InterfaceID))
	}
	if a.IPv6.Is6() && a.IPv6 != netip.IPv6Unspecified() {
		w.add(rfc6911.FramedIPv6Address_Type, a.IPv6.AsSlice())
	}
}
