package sequence

import "time"

// resyncRun is how many frames with consecutive numbers, all far behind what is
// expected and none of them as expected in between, make us believe that the
// peer's numbering is what they say and ours is wrong. The Linux kernel takes
// over a new numbering after as many.
const resyncRun = 5

// history is how many of the last numbers passed are remembered one by one, to
// tell a duplicate from a late frame. Frames at most so far behind never make a
// run for resyncRun: a burst that took a slower path looks the same, and a peer
// that did start again is back in step after as many frames.
const history = 64

// Verdict is what became of a frame given to Receive.
type Verdict uint8

// The verdicts.
const (
	// Deliver: the frame is the next in order. Pass it on now, then Pop.
	Deliver Verdict = iota
	// Held: a copy of the frame was queued; Pop returns it when its turn comes,
	// which may be at once.
	Held
	// DropLate: frames sent after it have been passed on, or its gap given up.
	DropLate
	// DropDuplicate: the same number was received before.
	DropDuplicate
	// DropMissingNs: it has no sequence number in a session that requires them.
	// A peer that keeps on doing so may be disconnected.
	DropMissingNs
	// DropNoBuffer: it had to be held and no buffer was left.
	DropNoBuffer
)

// String returns the verdict in words fit for a label.
func (v Verdict) String() string {
	switch v {
	case Deliver:
		return "deliver"
	case Held:
		return "held"
	case DropLate:
		return "late"
	case DropDuplicate:
		return "duplicate"
	case DropMissingNs:
		return "missing-ns"
	case DropNoBuffer:
		return "no-buffer"
	}
	return "unknown"
}

// Receiver puts the frames that come in into order. One goroutine at a time may
// use it; Counters is for any.
//
// RFC 2661 section 5.4: "data messages may use sequence numbers to detect lost
// packets and/or restore the original sequence of packets that may have been
// reordered during transport."
type Receiver struct {
	buffers  *Buffers
	follower *Sender // on a LAC that follows its LNS, else nil
	timeout  time.Duration
	maxHeld  int
	required bool
	apart    bool  // frames without numbers have no place in the order
	shift    uint8 // of a number, into the top bits

	// Numbers are in the top bits, so that the difference of two is right modulo
	// 2^16 or 2^24 and, as a signed number, says which comes first.
	nr     uint32 // the number expected next
	seen   uint64 // bit i: the number i+1 before nr was passed on
	run    uint8  // frames of a consecutive run far behind nr
	runEnd uint32 // the number that would continue the run

	waiting  list // sorted; all of them ahead of nr
	ready    list // free to go
	popped   *held
	deadline time.Time // least until of waiting; zero if none

	count counters
}

// Receive takes a frame that arrived now, with its number if its header has one
// (the S bit); bits of ns above the size of a number are ignored. frame is not kept.
// On Deliver the caller passes frame on; in any case it then calls Pop until there is
// no more.
func (r *Receiver) Receive(now time.Time, hasNs bool, ns uint32, frame []byte) Verdict {
	r.recycle()
	ns <<= r.shift
	// The way of nearly every frame.
	if hasNs && ns == r.nr && r.waiting.head == nil && r.ready.head == nil {
		r.inOrder()
		return Deliver
	}
	if !hasNs {
		if r.Idle() && r.follower == nil && !r.required {
			r.count.unsequenced.Add(1)
			return Deliver
		}
		return r.unsequenced(now, frame)
	}
	v := r.sequenced(now, ns, frame)
	r.Expire(now)
	return v
}

// step is the distance of one number to the next.
func (r *Receiver) step() uint32 { return 1 << r.shift }

// inOrder passes the expected number.
func (r *Receiver) inOrder() {
	r.pass(r.nr)
	r.count.inOrder.Add(1)
	r.accepted()
}

// accepted notes that a frame's number made sense.
//
// RFC 2661 section 5.4: "If the LAC receives a data message with sequence
// numbers present, it MUST begin sending sequence numbers in future outgoing
// data messages." A late frame or a duplicate does not count: it tells what the
// LNS wanted before it sent the frames that we have had since.
func (r *Receiver) accepted() {
	r.run = 0
	if r.follower != nil {
		r.follower.follow(true)
	}
}

// unsequenced takes a frame without a number.
//
// RFC 2661 section 5.4: "if the LAC receives a data message without sequence
// numbers present, it MUST stop sending sequence numbers in future data
// messages." What is held was sent before it, so that goes first.
//
// Of L2TPv3, RFC 3931 appendix C: "Utilization of a Data Sequencing Level [...] of 1
// [...] allows IP data packets being tunneled by L2TP to not utilize sequence numbers,
// while utilizing sequence numbers and enforcing packet order for any remaining non-IP
// data packets." So what is held goes on waiting.
func (r *Receiver) unsequenced(now time.Time, frame []byte) Verdict {
	if r.required {
		r.count.missingNs.Add(1)
		return DropMissingNs
	}
	if r.follower != nil {
		r.follower.follow(false)
	}
	r.count.unsequenced.Add(1)
	if r.apart {
		r.Expire(now)
		return Deliver
	}
	r.Flush()
	return r.next(frame)
}

// sequenced takes a frame with a number, other than the plainest.
//
// RFC 3931 section 4.6: "The sequence number in the header of a received message is
// considered less than or equal to the last received number if its value lies in the
// range of the last received number and the preceding (2^23-1) values, inclusive." RFC
// 2661 says as much of 2^15-1 values.
func (r *Receiver) sequenced(now time.Time, ns uint32, frame []byte) Verdict {
	switch d := int32(ns - r.nr); {
	case d < 0:
		return r.behind(ns, frame)
	case d == 0:
		v := r.next(frame)
		r.inOrder()
		r.release(nil)
		return v
	case r.waiting.has(ns, r.nr):
		r.count.duplicate.Add(1)
		return DropDuplicate
	case r.timeout == 0:
		r.skip(ns)
		v := r.next(frame)
		r.inOrder()
		return v
	}
	return r.hold(now, ns, frame)
}

// next passes on a frame after those that are ready.
func (r *Receiver) next(frame []byte) Verdict {
	if r.ready.head == nil {
		return Deliver
	}
	h := r.get(frame)
	if h == nil {
		return Deliver // before its turn, which beats never
	}
	r.ready.push(h)
	return Held
}

// behind takes a frame whose turn has passed.
//
// RFC 3931 appendix C: "one MUST inspect the sequence numbers of packets dropped due to
// being classified as "old" and reset the expected sequence number accordingly. This may
// be accomplished by counting the number of "old" packets dropped that were in sequence
// among themselves and, upon reaching a threshold, resetting the next expected sequence
// number to that seen in the arriving data packets."
func (r *Receiver) behind(ns uint32, frame []byte) Verdict {
	if back := (r.nr - ns) >> r.shift; back <= history {
		if r.seen&(1<<(back-1)) != 0 {
			r.count.duplicate.Add(1)
			return DropDuplicate
		}
		r.count.late.Add(1)
		return DropLate
	}
	if !r.runs(ns) {
		r.count.late.Add(1)
		return DropLate
	}
	r.Flush()
	r.count.resynced.Add(1)
	r.nr, r.seen = ns, 0
	v := r.next(frame)
	r.inOrder()
	return v
}

// runs notes a number far behind and says whether the run is long enough.
func (r *Receiver) runs(ns uint32) bool {
	switch {
	case r.run == 0 || ns != r.runEnd && ns != r.runEnd-r.step():
		r.run, r.runEnd = 1, ns+r.step()
	case ns == r.runEnd:
		r.run++
		r.runEnd += r.step()
	}
	// Otherwise the path doubled the last one, which proves nothing either way.
	return r.run >= resyncRun
}

// hold queues a frame that came before its turn.
func (r *Receiver) hold(now time.Time, ns uint32, frame []byte) Verdict {
	h := r.get(frame)
	if h == nil {
		return r.noBuffer(ns, frame)
	}
	h.ns, h.until = ns, now.Add(r.timeout)
	if r.waiting.n == 0 {
		r.deadline = h.until
	}
	r.waiting.insert(h, r.nr)
	r.count.held.Add(1)
	r.accepted()
	if r.waiting.n > r.maxHeld {
		r.count.overflow.Add(1)
		r.release(r.waiting.head)
	}
	return Held
}

// noBuffer takes a frame that came before its turn when there is no memory to
// hold it. The gap before it is given up, so that it and the frames held can go.
func (r *Receiver) noBuffer(ns uint32, frame []byte) Verdict {
	r.count.overflow.Add(1)
	if h := r.waiting.head; h != nil && h.ns-r.nr < ns-r.nr {
		// Frames that are held go before it, and it cannot wait even for them.
		r.count.noBuffer.Add(1)
		r.Flush()
		return DropNoBuffer
	}
	r.skip(ns)
	v := r.next(frame)
	r.inOrder()
	r.release(nil)
	return v
}
