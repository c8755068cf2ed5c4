package engine

import (
	"sync/atomic"
	"time"

	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/sequence"
)

// dataSession is a session as the data path sees it. It never changes after the
// shard has entered it in the table; what does change belongs to one goroutine:
// the receiver and the deadline to the reader of the tunnel's socket.
type dataSession struct {
	slot *tunnelSlot

	peerTunnel uint16
	peerID     uint16
	sequence   *sequence.Session
	bridge     pppbridge.Bridge
	counters   *counters
	required   bool // sequence numbers, both ways

	deadline deadline[*dataSession]

	rxPackets, rxBytes, txPackets, txBytes atomic.Uint64
}

// receive takes a data message from the peer. It runs in the reader, whose burst
// b is, and neither allocates nor locks nor logs.
func (d *dataSession) receive(b *pppbridge.Burst, now time.Time, h *l2tp.Header, frame []byte) {
	if d.bridge.Kind().KernelPlane() {
		d.counters.inc(DropKernelPlane)
		return
	}
	d.rxPackets.Add(1)
	d.rxBytes.Add(uint64(len(frame)))
	r := &d.sequence.Receiver
	if r.Receive(now, h.HasSequence, h.Ns, frame) == sequence.Deliver {
		d.bridge.Deliver(b, now, frame)
	}
	d.release(b, now)
}

// release passes on the frames that need wait no longer. The next Pop takes the
// memory of a frame back, so each is flushed by itself.
func (d *dataSession) release(b *pppbridge.Burst, now time.Time) {
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

// Room makes a data message to the peer. It is pppbridge.Frames.
func (d *dataSession) Room(b *pppbridge.Burst, n int) []byte {
	if n > pppbridge.MaxFrame {
		d.counters.inc(DropTooLong)
		return nil
	}
	h := l2tp.Header{TunnelID: d.peerTunnel, SessionID: d.peerID}
	h.Ns, h.HasSequence = d.sequence.Sender.Next()
	path := d.slot.path.Load()
	size := l2tp.DataHeaderLen(&h)
	packet := path.via.room(b, path, size+n)
	if packet == nil {
		return nil
	}
	l2tp.PutDataHeader(packet, &h)
	d.txPackets.Add(1)
	d.txBytes.Add(uint64(n))
	return packet[size:]
}
