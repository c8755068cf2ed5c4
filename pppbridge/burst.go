package pppbridge

import "adit/internal/kernel"

// Burst is what one goroutine has gathered and not yet sent: L2TP messages to
// peers, and IP packets on their way into TUNs. A goroutine that works on
// batches (a socket's reader, the poller) has one, passes it to what it calls,
// and flushes it at the end of each batch. One goroutine at a time may use it.
type Burst struct {
	// Out gathers the messages to peers.
	Out *kernel.SendBatch

	packets packets
	flushed []func() // called by Flush; tests only
}

// NewBurst makes an empty Burst, whose messages are counted in counts. It has
// some hundred KiB: one for each goroutine is meant.
func NewBurst(counts *kernel.SendCounts) *Burst {
	return &Burst{Out: kernel.NewSendBatch(counts)}
}

// Flush sends all that was gathered. After it, the frames given to Deliver and
// the room got from Room belong to their owners again.
func (b *Burst) Flush() {
	b.packets.flush()
	b.Out.Flush()
	for _, f := range b.flushed {
		f()
	}
}
