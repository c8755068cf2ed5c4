package circuit

import (
	"sync/atomic"

	"adit/internal/kernel"
)

// Burst is what one goroutine has gathered and not yet sent: L2TP messages to
// peers, and IP packets on their way into TUNs. A goroutine that works on
// batches (a socket's reader, the poller) has one, passes it to what it calls,
// and flushes it at the end of each batch. One goroutine at a time may use it.
type Burst struct {
	// Out gathers the messages to peers.
	Out *kernel.SendBatch

	// In gathers what goes into TUNs.
	In      Packets
	count   counting
	flushed []func()
}

// Traffic counts the data messages of a session in one direction.
type Traffic struct{ Frames, Octets atomic.Uint64 }

// counting is what was counted of the session at hand and not yet written down:
// messages of one session often follow each other, and an atomic addition for
// each costs as much as the rest of its header.
type counting struct {
	of             *Traffic
	frames, octets uint64
}

// Count counts a frame. It is in t after the next Flush at the latest.
func (b *Burst) Count(t *Traffic, octets int) {
	c := &b.count
	if c.of != t {
		c.write()
		c.of = t
	}
	c.frames++
	c.octets += uint64(octets)
}

func (c *counting) write() {
	if c.of != nil {
		c.of.Frames.Add(c.frames)
		c.of.Octets.Add(c.octets)
	}
	*c = counting{}
}

// NewBurst makes an empty Burst, whose messages are counted in counts. It has
// some hundred KiB: one for each goroutine is meant.
func NewBurst(counts *kernel.SendCounts) *Burst {
	return &Burst{Out: kernel.NewSendBatch(counts)}
}

// Flush sends all that was gathered. After it, the frames given to Deliver and
// the room got from Room belong to their owners again.
func (b *Burst) Flush() {
	b.In.flush()
	b.Out.Flush()
	b.count.write()
	for _, f := range b.flushed {
		f()
	}
}

// OnFlush has f called at the end of each Flush. It is for tests.
func (b *Burst) OnFlush(f func()) { b.flushed = append(b.flushed, f) }
