package engine

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/ppp"
	"adit/proto/sequence"
	"adit/proto/tunnel"
)

// wire3 is what the data messages of a session of version 3 look like, both ways. It
// never changes after the session was entered in the table.
type wire3 struct {
	on       bool // the session is of version 3
	plain    bool // what we receive has no sublayer
	overIP   bool
	kind     l2tp.PseudowireType
	cookie   []byte // that the peer has to send
	sublayer l2tp.SublayerType
	level    l2tp.SequencingLevel // of what we receive
	// head is the header of what we send, without a number, and headLen its octets.
	head    l2tp.DataHeader3
	headLen int
}

// newWire3 puts what both ends want into the words of the data path.
func newWire3(kind l2tp.PseudowireType, overIP bool, peerID uint32, local, peer *tunnel.Wire) wire3 {
	w := wire3{
		on: true, overIP: overIP, kind: kind,
		cookie: bytes.Clone(local.Cookie), sublayer: processed(local.Sublayer), level: local.Sequencing,
		head: l2tp.DataHeader3{
			SessionID: peerID, Cookie: bytes.Clone(peer.Cookie), Sublayer: processed(peer.Sublayer), IP: overIP,
		},
	}
	if w.sublayer == l2tp.SublayerNone {
		w.plain, w.level = true, l2tp.SequencingNone
	}
	w.headLen = l2tp.DataHeader3Len(&w.head)
	return w
}

// processed is the sublayer as far as it is ours to write and read. The octets of an
// ATM-Specific Sublayer belong to the frame here: who made the frame has numbered it,
// and who is to look at the numbers is at the other end of the line.
func processed(s l2tp.SublayerType) l2tp.SublayerType {
	if s == l2tp.SublayerDefault {
		return s
	}
	return l2tp.SublayerNone
}

// data3 hands a data message of version 3 to its session.
//
// RFC 3931 section 4.5: "The peer LCCE receiving the L2TP data packet identifies the
// session with which the packet is associated by the Session ID in the data packet's
// header."
func (p *port) data3(now time.Time, packet []byte, id uint32, from netip.AddrPort) {
	e := p.engine
	e.counters.inc(DataReceived)
	slot, d := e.table.sessions.find(id)
	if slot == &e.outside {
		if from.Port() != 0 { // directly over IP it is a copy: the kernel has taken it too
			e.counters.inc(DropKernelPlane)
		}
		return
	}
	if slot == nil || d == nil && slot.owner == nil {
		e.counters.inc(DropUnknownSession)
		return
	}
	if path := slot.path.Load(); path.Peer != from || path.via != p.via {
		e.counters.inc(DropWrongPeer)
		return
	}
	if d == nil {
		if !slot.early3(packet, id) {
			e.counters.inc(DropUnknownSession)
		}
		return
	}
	l := p.holding
	l.session = nil
	if d.receive3(l.burst, now, packet) {
		slot.heard(now.Sub(e.epoch))
		if !d.wire3.overIP {
			l.session, l.header = d, binary.BigEndian.Uint64(packet)
		}
	}
	l.update(d)
}

// again3 is again of version 3: the message is to the same session as the one before
// it, and so far like it.
func (p *port) again3(now time.Time, packet []byte) bool {
	l := p.holding
	d, w := l.session, &l.session.wire3
	l.repeated++
	const header = 8 // over UDP, before the cookie
	if at := header + len(w.cookie); w.plain && len(packet) >= at && bytes.Equal(packet[header:at], w.cookie) {
		d.take3(l.burst, now, false, 0, packet[at:])
	} else {
		d.receive3(l.burst, now, packet)
	}
	l.update(d)
	return true
}

// receive3 takes a data message from the peer's address. False: the peer did not send
// it, or nobody can read it. It runs in the reader, whose burst b is, and neither
// allocates nor locks nor logs.
func (d *dataSession) receive3(b *circuit.Burst, now time.Time, packet []byte) bool {
	w := &d.wire3
	if d.kernel && w.overIP {
		return true // a copy: the kernel has taken it too
	}
	h, frame, err := l2tp.ParseDataHeader3(packet, w.overIP, len(w.cookie), w.sublayer)
	if err != nil {
		d.counters.inc(DropShort)
		return false
	}
	// RFC 3931 section 4.5: "Any received data packets that contain invalid Session IDs
	// or associated Cookie values MUST be dropped."
	if !bytes.Equal(h.Cookie, w.cookie) {
		d.counters.inc(DropCookie)
		return false
	}
	d.take3(b, now, h.HasSequence, h.Sequence, frame)
	return true
}

// take3 takes a frame of the peer's, with its number if it has one.
func (d *dataSession) take3(b *circuit.Burst, now time.Time, hasNumber bool, number uint32, frame []byte) {
	w := &d.wire3
	if d.kernel {
		d.counters.inc(DropKernelPlane)
		return
	}
	b.Count(&d.rx, len(frame))
	switch w.level {
	case l2tp.SequencingNone:
		hasNumber = false
	case l2tp.SequencingNonIP:
		if !hasNumber && !carriesIP(w.kind, frame) {
			d.counters.inc(DropUnnumbered)
			return
		}
	case l2tp.SequencingAll:
	}
	r := &d.sequence.Receiver
	if r.Receive(now, hasNumber, number, frame) == sequence.Deliver {
		d.bridge.Deliver(b, now, frame)
	}
	if !r.Idle() {
		d.release(b, now)
	}
}

// room3 makes a data message of version 3 to the peer.
func (d *dataSession) room3(b *circuit.Burst, n int) []byte {
	// RFC 3931 section 5.4.5: "If this AVP is received with a Not Active notification
	// for a given L2TP session, all data traffic for that session MUST cease (or not
	// begin) in the direction of the sender of the Circuit Status AVP until the circuit
	// is advertised as Active."
	if d.peerDown.Load() {
		d.counters.inc(DropCircuitDown)
		return nil
	}
	if n > circuit.MaxFrame {
		d.counters.inc(DropTooLong)
		return nil
	}
	w := &d.wire3
	path := d.slot.path.Load()
	packet := path.via.room(b, path, w.headLen+n)
	if packet == nil {
		return nil
	}
	h := w.head
	if h.Sublayer == l2tp.SublayerDefault {
		h.Sequence, h.HasSequence = d.sequence.Sender.Next()
	}
	l2tp.PutDataHeader3(packet, &h)
	b.Count(&d.tx, n)
	return packet[w.headLen:]
}

// carriesIP says whether a frame is one of those that a peer need not number when it
// was asked to number what is not IP, RFC 3931 section 5.4.4.
func carriesIP(kind l2tp.PseudowireType, frame []byte) bool {
	switch kind {
	case l2tp.PseudowireIP:
		return true
	case l2tp.PseudowirePPP:
		protocol, ok := ppp.FrameProtocol(frame)
		return ok && (protocol == ppp.ProtocolIPv4 || protocol == ppp.ProtocolIPv6)
	case l2tp.PseudowireEthernet, l2tp.PseudowireEthernetVLAN:
		return ethernetIP(frame)
	default:
		return false
	}
}

// The types of Ethernet frames that matter here.
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherTag  = 0x8100 // 802.1Q
	etherQinQ = 0x88a8 // 802.1ad
)

// ethernetIP says whether an Ethernet frame, tagged or not, has an IP packet in it.
func ethernetIP(frame []byte) bool {
	const addresses, tag = 12, 4
	for at := addresses; len(frame) >= at+2; at += tag {
		switch binary.BigEndian.Uint16(frame[at:]) {
		case etherIPv4, etherIPv6:
			return true
		case etherTag, etherQinQ:
		default:
			return false
		}
	}
	return false
}
