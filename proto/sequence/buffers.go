package sequence

import (
	"sync"
	"time"
)

const (
	// newBuffer is what a fresh buffer holds, in octets: any frame that fits an
	// Ethernet path.
	newBuffer = 2048
	// keepBuffer is the most a buffer may have grown to and still be kept.
	keepBuffer = 16 << 10
)

// Buffers is a store of buffers for held frames, for one session or for many.
// Buffers are made when first needed and kept for the next gap, so that memory
// follows how much reordering there is and not how many sessions there are.
// Its methods may be called by several goroutines; the lock is taken only for
// frames that are held, never for those in order.
type Buffers struct {
	limit int // 0: none

	mu   sync.Mutex
	free *held
	out  int
}

// NewBuffers returns a store that has at most limit buffers in use at a time;
// limit <= 0 sets no bound but the sessions' own.
func NewBuffers(limit int) *Buffers { return &Buffers{limit: max(limit, 0)} }

// InUse returns how many buffers hold a frame now.
func (b *Buffers) InUse() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out
}

// held is one frame that waits.
type held struct {
	next  *held
	until time.Time // when its wait is over
	data  []byte
	ns    uint32 // as Receiver.nr
}

// get returns a buffer with a copy of frame, or nil if the limit is reached.
func (b *Buffers) get(frame []byte) *held {
	b.mu.Lock()
	if b.limit > 0 && b.out >= b.limit {
		b.mu.Unlock()
		return nil
	}
	b.out++
	h := b.free
	if h != nil {
		b.free = h.next
	}
	b.mu.Unlock()
	if h == nil {
		h = &held{data: make([]byte, 0, max(newBuffer, len(frame)))}
	}
	h.next = nil
	h.data = append(h.data[:0], frame...)
	return h
}

// put takes a buffer back.
func (b *Buffers) put(h *held) {
	if cap(h.data) > keepBuffer {
		h.data = nil
	}
	b.mu.Lock()
	h.next = b.free
	b.free = h
	b.out--
	b.mu.Unlock()
}

// list is a queue of frames, in the order in which they are to go.
type list struct {
	head, tail *held
	n          int
}

func (l *list) push(h *held) {
	h.next = nil
	if l.tail == nil {
		l.head = h
	} else {
		l.tail.next = h
	}
	l.tail = h
	l.n++
}

func (l *list) pop() *held {
	h := l.head
	if h == nil {
		return nil
	}
	l.head = h.next
	if l.head == nil {
		l.tail = nil
	}
	h.next = nil
	l.n--
	return h
}

// insert puts h in its place by distance from nr. The list must not have that
// number already. Frames mostly come to the end.
func (l *list) insert(h *held, nr uint32) {
	if l.tail == nil || h.ns-nr > l.tail.ns-nr {
		l.push(h)
		return
	}
	at := &l.head
	for (*at).ns-nr < h.ns-nr {
		at = &(*at).next
	}
	h.next = *at
	*at = h
	l.n++
}

// has says whether the list has a frame with that number.
func (l *list) has(ns, nr uint32) bool {
	if l.tail == nil || ns-nr > l.tail.ns-nr {
		return false
	}
	for h := l.head; h != nil && h.ns-nr <= ns-nr; h = h.next {
		if h.ns == ns {
			return true
		}
	}
	return false
}
