package sequence

import "time"

// Pop returns the next frame whose turn has come, if there is one. The frame is
// valid until the next call of any method but Counters.
func (r *Receiver) Pop() (frame []byte, ok bool) {
	r.recycle()
	h := r.ready.pop()
	if h == nil {
		return nil, false
	}
	r.popped = h
	return h.data, true
}

// Idle says that nothing is held and nothing is free to go: Pop has nothing, and
// Deadline is zero.
func (r *Receiver) Idle() bool {
	return r.waiting.head == nil && r.ready.head == nil && r.popped == nil
}

// Deadline returns when Expire is due, or the zero time if nothing is held.
func (r *Receiver) Deadline() time.Time { return r.deadline }

// Expire gives up the gaps before frames that have been held for as long as the
// reorder timeout; Pop then returns them. Called early it does nothing.
func (r *Receiver) Expire(now time.Time) {
	r.recycle()
	if r.deadline.IsZero() || now.Before(r.deadline) {
		return
	}
	var last *held
	for h := r.waiting.head; h != nil; h = h.next {
		if !h.until.After(now) {
			last = h
		}
	}
	r.count.timedOut.Add(r.release(last))
}

// Flush gives up all gaps: Pop then returns everything that is held.
func (r *Receiver) Flush() {
	r.recycle()
	if r.waiting.tail != nil {
		r.release(r.waiting.tail)
	}
}

// Held returns how many frames wait for one before them.
func (r *Receiver) Held() int { return r.waiting.n }

// Close drops what is held and gives all buffers back. The Receiver may be used
// again, but a session that is over must call it for the sake of those that
// share its Buffers.
func (r *Receiver) Close() {
	r.recycle()
	r.count.discarded.Add(uint64(r.waiting.n))
	for h := r.waiting.pop(); h != nil; h = r.waiting.pop() {
		r.buffers.put(h)
	}
	for h := r.ready.pop(); h != nil; h = r.ready.pop() {
		r.buffers.put(h)
	}
	r.deadline = time.Time{}
}

// release moves frames from waiting to ready: all up to last, giving up the
// gaps between them, and then those that follow without a gap. It returns how
// many gaps were given up.
func (r *Receiver) release(last *held) (gaps uint64) {
	before := r.waiting.n
	for h := r.waiting.head; h != nil; h = r.waiting.head {
		if h.ns != r.nr {
			if last == nil {
				break
			}
			r.skip(h.ns)
			gaps++
		}
		if h == last {
			last = nil
		}
		if gaps == 0 {
			r.count.reordered.Add(1)
		} else {
			r.count.released.Add(1)
		}
		r.pass(h.ns)
		r.ready.push(r.waiting.pop())
	}
	if r.waiting.n != before {
		r.rearm()
	}
	return gaps
}

// rearm finds the deadline again. Frames wait in the order of their numbers and
// not of their coming, so any of them may be the first whose time is over.
func (r *Receiver) rearm() {
	r.deadline = time.Time{}
	for h := r.waiting.head; h != nil; h = h.next {
		if r.deadline.IsZero() || h.until.Before(r.deadline) {
			r.deadline = h.until
		}
	}
}

// pass notes that number ns, the expected one, was passed on.
func (r *Receiver) pass(ns uint32) {
	r.nr = ns + r.step()
	r.seen = r.seen<<1 | 1
}

// skip gives up the numbers before ns.
func (r *Receiver) skip(ns uint32) {
	d := (ns - r.nr) >> r.shift
	r.seen <<= d
	r.nr = ns
	r.count.lost.Add(uint64(d))
}

// get returns a buffer with a copy of frame, or nil if there is none to be had.
// A caller that never pops has no claim to more.
func (r *Receiver) get(frame []byte) *held {
	if r.ready.n > r.maxHeld {
		return nil
	}
	if r.buffers == nil {
		r.buffers = NewBuffers(0)
	}
	return r.buffers.get(frame)
}

// recycle gives back the buffer of the frame that Pop returned last.
func (r *Receiver) recycle() {
	if r.popped != nil {
		r.buffers.put(r.popped)
		r.popped = nil
	}
}
