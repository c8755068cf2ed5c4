package engine

import (
	"sync/atomic"
	"time"

	"adit/internal/circuit"
	"adit/internal/loop"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/sequence"
)

// dataSession is a session as the data path sees it. It never changes after the
// shard has entered it in the table; what does change belongs to one goroutine:
// the receiver and the deadline to the reader of the tunnel's socket.
type dataSession struct {
	slot *tunnelSlot

	peerTunnel uint32
	peerID     uint32
	sequence   *sequence.Session
	bridge     circuit.Bridge
	counters   *counters
	required   bool // sequence numbers, both ways
	kernel     bool // the kernel moves the data

	wire3 wire3
	// peerDown says that the peer's circuit is not active.
	peerDown atomic.Bool

	deadline loop.Deadline[*dataSession]

	rx, tx circuit.Traffic
}

// receive takes a data message from the peer, with its Ns if it is numbered. It runs in
// the reader, whose burst b is, and neither allocates nor locks nor logs.
func (d *dataSession) receive(b *circuit.Burst, now time.Time, numbered bool, ns uint16, frame []byte) {
	if d.kernel {
		d.counters.inc(DropKernelPlane)
		return
	}
	b.Count(&d.rx, len(frame))
	r := &d.sequence.Receiver
	if r.Receive(now, numbered, uint32(ns), frame) == sequence.Deliver {
		d.bridge.Deliver(b, now, frame)
	}
	if !r.Idle() {
		d.release(b, now)
	}
}

// release passes on the frames that need wait no longer. The next Pop takes the
// memory of a frame back, so each is flushed by itself.
func (d *dataSession) release(b *circuit.Burst, now time.Time) {
	r := &d.sequence.Receiver
	for {
		frame, ok := r.Pop()
		if !ok {
			return
		}
		d.bridge.Deliver(b, now, frame)
		b.Flush()
	}
}

// Room makes a data message to the peer. It is circuit.Frames.
func (d *dataSession) Room(b *circuit.Burst, n int) []byte {
	if d.wire3.on {
		return d.room3(b, n)
	}
	if n > pppbridge.MaxFrame {
		d.counters.inc(DropTooLong)
		return nil
	}
	h := l2tp.Header{TunnelID: d.peerTunnel, SessionID: d.peerID}
	ns, numbered := d.sequence.Sender.Next()
	h.Ns, h.HasSequence = uint16(ns), numbered
	path := d.slot.path.Load()
	size := l2tp.DataHeaderLen(&h)
	packet := path.via.room(b, path, size+n)
	if packet == nil {
		return nil
	}
	l2tp.PutDataHeader(packet, &h)
	b.Count(&d.tx, n)
	return packet[size:]
}
