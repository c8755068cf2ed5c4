package sequence

import "sync/atomic"

// Counters says what became of the frames of one session. Every frame received
// is in exactly one of InOrder, Unsequenced, Held, Late, Duplicate, MissingNs
// and NoBuffer; every frame Held ends in Reordered, Released or Discarded.
type Counters struct {
	Received    uint64 // frames given to Receive
	InOrder     uint64 // with a number, passed on as they came
	Unsequenced uint64 // without a number, and free to be

	Held      uint64 // put into the reorder queue
	Reordered uint64 // left the queue because the gap before them was filled
	Released  uint64 // left the queue because a gap before them was given up
	Discarded uint64 // were in the queue when the session closed

	Late      uint64 // dropped: their turn had passed
	Duplicate uint64 // dropped: the same number had come before
	MissingNs uint64 // dropped: no number where numbers are required
	NoBuffer  uint64 // dropped: no memory left to hold them

	Lost     uint64 // numbers given up; some may still come, and then are Late
	TimedOut uint64 // gaps given up because the reorder timeout passed
	Overflow uint64 // gaps given up because the queue was full
	Resynced uint64 // times the peer's new numbering was taken over
}

// counters are written by the goroutine that owns the Receiver and read by any.
type counters struct {
	inOrder, unsequenced                 atomic.Uint64
	held, reordered, released, discarded atomic.Uint64
	late, duplicate, missingNs, noBuffer atomic.Uint64
	lost, timedOut, overflow, resynced   atomic.Uint64
}

// Counters returns what has been counted so far. Any goroutine may call it; the
// values are each right but not all of the same instant.
func (r *Receiver) Counters() Counters {
	c := Counters{
		InOrder:     r.count.inOrder.Load(),
		Unsequenced: r.count.unsequenced.Load(),
		Held:        r.count.held.Load(),
		Reordered:   r.count.reordered.Load(),
		Released:    r.count.released.Load(),
		Discarded:   r.count.discarded.Load(),
		Late:        r.count.late.Load(),
		Duplicate:   r.count.duplicate.Load(),
		MissingNs:   r.count.missingNs.Load(),
		NoBuffer:    r.count.noBuffer.Load(),
		Lost:        r.count.lost.Load(),
		TimedOut:    r.count.timedOut.Load(),
		Overflow:    r.count.overflow.Load(),
		Resynced:    r.count.resynced.Load(),
	}
	// A sum instead of one more atomic add for every frame.
	c.Received = c.InOrder + c.Unsequenced + c.Held + c.Late + c.Duplicate + c.MissingNs + c.NoBuffer
	return c
}
