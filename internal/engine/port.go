package engine

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"adit/internal/circuit"
	"adit/internal/loop"
	"adit/proto/l2tp"
)

// port is a local address and port at which packets come in, and the way of
// each from there. It makes no system call: its socket, and for a kernel-plane
// tunnel a second one, read the packets. Data messages are dispatched by one
// goroutine at a time, control messages by any.
type port struct {
	engine    *Engine
	via       transport // what answers leave by
	local     netip.AddrPort
	accepting atomic.Bool // tunnels of peers
	holding   *holding
}

// dispatchMerged dispatches datagrams that the kernel has merged into one message:
// of one sender, to one address, each of size octets but for the last.
func (p *port) dispatchMerged(now time.Time, merged []byte, size int, from netip.AddrPort, to netip.Addr) {
	for len(merged) > size {
		packet := merged[:size:size]
		merged = merged[size:]
		if !p.again(now, packet) {
			p.dispatch(now, packet, from, to)
		}
	}
	if !p.again(now, merged) {
		p.dispatch(now, merged, from, to)
	}
	l := p.holding
	l.session = nil
	if l.repeated > 0 {
		p.engine.counters[DataReceived].Add(l.repeated)
		l.repeated = 0
	}
}

// again receives a data message with the same header as the one before it in a
// merged message, so that its session need not be looked for.
func (p *port) again(now time.Time, packet []byte) bool {
	l := p.holding
	if l.session == nil || len(packet) < 8 {
		return false
	}
	header := binary.BigEndian.Uint64(packet)
	if l.session.wire3.on {
		return header == l.header && p.again3(now, packet)
	}
	if header>>16 != l.header {
		return false
	}
	l.repeated++
	l.session.receive(l.burst, now, false, 0, packet[plainHeader:])
	l.update(l.session)
	return true
}

// dispatch looks at a packet just far enough to know whose it is. The packet is
// not kept beyond the next flush of the burst. to is the address of ours that it
// was sent to.
func (p *port) dispatch(now time.Time, packet []byte, from netip.AddrPort, to netip.Addr) {
	e := p.engine
	control, version, tunnelID, sessionID, ok := l2tp.Peek(packet)
	switch {
	case !ok:
		e.counters.inc(DropShort)
	case version != l2tp.Version && version != l2tp.Version3:
		e.counters.inc(DropVersion)
	case control:
		e.counters.inc(ControlReceived)
		p.control(packet, version, tunnelID, Path{via: p.via, Peer: from, Local: netip.AddrPortFrom(to, p.local.Port())})
	case version == l2tp.Version3:
		p.data3(now, packet, sessionID, from)
	default:
		p.data(now, packet, from, tunnelID, sessionID)
	}
}

// data hands a data message to its session.
func (p *port) data(now time.Time, packet []byte, from netip.AddrPort, tunnelID, sessionID uint32) {
	e := p.engine
	e.counters.inc(DataReceived)
	slot := e.table.tunnel(tunnelID)
	if slot == nil {
		e.counters.inc(DropUnknownTunnel)
		return
	}
	if path := slot.path.Load(); path.Peer != from || path.via != p.via {
		e.counters.inc(DropWrongPeer)
		return
	}
	d := slot.session(sessionID)
	if d == nil {
		if !slot.early(packet, tunnelID, sessionID) {
			e.counters.inc(DropUnknownSession)
		}
		return
	}
	slot.heard(now.Sub(e.epoch))
	l := p.holding
	l.session = nil
	if len(packet) >= 8 && binary.BigEndian.Uint16(packet) == l2tp.Version {
		l.session, l.header = d, binary.BigEndian.Uint64(packet)>>16
		d.receive(l.burst, now, false, 0, packet[plainHeader:])
	} else {
		h, frame, err := l2tp.ParseHeader(packet)
		if err != nil {
			e.counters.inc(DropShort)
			return
		}
		d.receive(l.burst, now, h.HasSequence, h.Ns, frame)
	}
	l.update(d)
}

// control hands a copy of a control message to the shard that owns its tunnel.
func (p *port) control(packet []byte, version uint8, tunnelID uint32, path Path) {
	e := p.engine
	var inbox chan inbound
	if tunnelID != 0 {
		slot := e.table.connection(version, tunnelID)
		if slot == nil {
			e.counters.inc(DropUnknownTunnel)
			return
		}
		inbox = slot.owner.inbox
	} else {
		if !p.accepting.Load() {
			e.counters.inc(DropNotSCCRQ)
			return
		}
		inbox = e.newcomerShard(packet, path.Peer).newcomers
	}
	select {
	case inbox <- inbound{packet: append([]byte(nil), packet...), path: path}:
	default:
		e.counters.inc(DropInboxFull)
	}
}

// newcomerShard chooses the shard of a packet with Tunnel ID 0 by the peer and
// its Assigned Tunnel ID, so that a retransmission meets its first copy.
func (e *Engine) newcomerShard(packet []byte, peer netip.AddrPort) *shard {
	h, payload, err := l2tp.ParseHeader(packet)
	if err != nil {
		return e.shards[0]
	}
	return e.shards[maphash.Comparable(hashSeed, originOf(peer, h.Version, payload))&uint64(len(e.shards)-1)]
}

// holding is what the goroutine that dispatches data messages has in its hands:
// the sessions that hold frames, by when the first of them must go, and what it
// has gathered of the others.
type holding struct {
	queue loop.Deadlines[*dataSession]
	burst *circuit.Burst

	// Of the merged message at hand: the session of the last datagram, if its
	// header was of the plain kind, this header, and how many more had the same. Of
	// version 3, the header is the first 8 octets, up to the Session ID.
	session  *dataSession
	header   uint64
	repeated uint64
}

// plainHeader is the octets of the header of a data message without optional
// fields: flags and version, Tunnel ID, Session ID.
const plainHeader = 6

// update notes what a frame has changed in the session's deadline.
func (l *holding) update(d *dataSession) {
	if d.deadline.Queued() || !d.sequence.Receiver.Idle() {
		l.queue.Set(&d.deadline, d.sequence.Receiver.Deadline())
	}
}

// Deadline is kernel.Timed.
func (l *holding) Deadline() time.Time { return l.queue.Next() }

// Tick gives up the gaps that were held for reorder_timeout. It is kernel.Timed.
func (l *holding) Tick(now time.Time) {
	for {
		d, ok := l.queue.Due(now)
		if !ok {
			return
		}
		d.sequence.Receiver.Expire(now)
		d.release(l.burst, now)
		l.queue.Set(&d.deadline, d.sequence.Receiver.Deadline())
	}
}
