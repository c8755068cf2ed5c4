package kernel

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxDatagram is the longest datagram that a SendBatch takes, in octets: a jumbo frame
// of Ethernet with its tags, and the headers of L2TP.
const MaxDatagram = 9216

const (
	// sendArena is the room for the datagrams of a SendBatch, in octets: some
	// merged messages of the longest kind, and little enough to stay in a
	// core's cache between writing and sending.
	sendArena = 512 << 10
	// sendMessages is how many messages a SendBatch holds.
	sendMessages = 512
	// sendChunks is how many pieces its messages may consist of.
	sendChunks = 2048
)

// SendCounts is what became of the datagrams of SendBatches.
type SendCounts struct {
	Sent      atomic.Uint64 // taken by the kernel
	Failed    atomic.Uint64 // refused by the kernel, and lost
	TooLong   atomic.Uint64 // refused by Room: empty, or longer than MaxDatagram
	Segmented atomic.Uint64 // of those sent: handed over in merged messages
}

// outbound is one message: a datagram, or several of one size of which only the
// last may be shorter.
type outbound struct {
	control  [controlSize]byte // first, so that it is aligned
	dest     *Destination
	first    int32 // its chunks, a list
	last     int32
	segment  int32 // octets of a datagram
	segments int32 // how many
	total    int32 // octets of all
	closed   bool  // takes no more
}

// chunk is octets of one message that lie together in the arena.
type chunk struct {
	start, end int32
	next       int32 // index of the next of this message, or -1
}

// SendBatch gathers datagrams for any number of sockets and peers, and sends
// them with few system calls: those of one Destination and size as one message
// that the kernel cuts (UDP_SEGMENT), and several messages with one sendmmsg. It
// allocates nothing after it was made. One goroutine at a time may use it.
//
// What it gathers for one Destination leaves in the order of the calls of Room.
type SendBatch struct {
	counts *SendCounts
	now    func() time.Time
	most   int32 // datagrams that one message may have

	arena  []byte
	used   int // octets of the arena
	chunks []chunk
	msgs   []outbound // those in use
	hdrs   []mmsghdr
	iovs   []unix.Iovec
	// latest is the message that a Destination's slot has opened last. What it
	// says of another Destination, or of a batch sent before, is told from the
	// message.
	latest [256]uint16

	refused bool  // a datagram of this batch was not merged for a refusal
	clock   int64 // time of the last look at a refusal, Unix, nanoseconds

	single [128]mmsghdr // for datagrams that are sent one by one after all
	pieces [128]unix.Iovec
}

// NewSendBatch makes an empty batch, which counts in counts. It has some 700
// KiB: one for each sending goroutine is meant.
func NewSendBatch(counts *SendCounts) *SendBatch {
	b := &SendBatch{
		counts: counts,
		now:    time.Now,
		most:   int32(maxSegments()),
		arena:  make([]byte, sendArena),
		chunks: make([]chunk, 0, sendChunks),
		msgs:   make([]outbound, 0, sendMessages),
		hdrs:   make([]mmsghdr, sendMessages),
		iovs:   make([]unix.Iovec, sendChunks),
	}
	return b
}

// Room is room for one datagram of n octets to d, to be filled before the next
// call of Room or Flush: all of it, it is sent in any case. A full batch is
// flushed first. For n below 1 and above MaxDatagram it is nil, counted.
func (b *SendBatch) Room(d *Destination, n int) []byte {
	if n < 1 || n > MaxDatagram {
		b.counts.TooLong.Add(1)
		return nil
	}
	if len(b.arena)-b.used < n || len(b.chunks) == cap(b.chunks) {
		b.Flush()
	}
	start := b.used
	if i := int(b.latest[d.slot]); i >= len(b.msgs) || b.msgs[i].dest != d || !b.grow(&b.msgs[i], n) {
		if len(b.msgs) == cap(b.msgs) {
			b.Flush()
			start = 0
		}
		b.open(d, n)
	}
	b.used = start + n
	return b.arena[start:b.used:b.used]
}

// open begins a message with a datagram of n octets.
func (b *SendBatch) open(d *Destination, n int) {
	at := int32(len(b.chunks))
	b.chunks = append(b.chunks, chunk{int32(b.used), int32(b.used + n), -1})
	i := len(b.msgs)
	b.msgs = b.msgs[:i+1]
	m := &b.msgs[i]
	m.dest, m.first, m.last = d, at, at
	m.segment, m.segments, m.total = int32(n), 1, int32(n)
	m.closed = int32(n) >= d.limit.Load() && !b.mayMerge(d)
	b.latest[d.slot] = uint16(i)
}

func (b *SendBatch) mayMerge(d *Destination) bool {
	if !b.refused {
		b.refused, b.clock = true, b.now().UnixNano()
	}
	return d.mayMerge(b.clock)
}

// grow appends a datagram of n octets to m, if it may.
func (b *SendBatch) grow(m *outbound, n int) bool {
	size := int32(n)
	if m.closed || size > m.segment || m.segments >= b.most || int(m.total)+n > m.dest.maxPayload {
		return false
	}
	c := &b.chunks[m.last]
	if int(c.end) == b.used {
		c.end += size
	} else {
		at := int32(len(b.chunks))
		b.chunks = append(b.chunks, chunk{int32(b.used), int32(b.used) + size, -1})
		c.next, m.last = at, at
	}
	m.segments++
	m.total += size
	m.closed = size < m.segment
	return true
}

// Flush sends what was gathered and never waits. What the kernel does not take
// is lost, and counted.
func (b *SendBatch) Flush() {
	b.prepare()
	for start := 0; start < len(b.msgs); {
		end := start + 1
		d := b.msgs[start].dest
		for end < len(b.msgs) && b.msgs[end].dest.fd == d.fd && b.msgs[end].dest.socket == d.socket {
			end++
		}
		if d.socket.enter() {
			b.send(start, end)
			d.socket.leave()
		} else {
			b.fail(start, end)
		}
		start = end
	}
	b.msgs, b.chunks, b.used, b.refused = b.msgs[:0], b.chunks[:0], 0, false
}

// prepare writes the headers of all messages.
func (b *SendBatch) prepare() {
	piece := 0
	for i := range b.msgs {
		m, h := &b.msgs[i], &b.hdrs[i].hdr
		first := piece
		for c := m.first; c >= 0; c = b.chunks[c].next {
			v := &b.iovs[piece]
			v.Base = &b.arena[b.chunks[c].start]
			v.SetLen(int(b.chunks[c].end - b.chunks[c].start))
			piece++
		}
		h.Iov = &b.iovs[first]
		h.SetIovlen(piece - first)
		m.dest.address(h)
		if m.segments > 1 {
			m.control = m.dest.control
			n := m.dest.controlLen
			h.Control = &m.control[0]
			h.SetControllen(n + putSegment(m.control[n:], int(m.segment)))
		}
	}
}

// address writes where to and where from into h.
func (d *Destination) address(h *unix.Msghdr) {
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&d.name)), d.namelen
	h.Control = nil
	if d.controlLen > 0 {
		h.Control = &d.control[0]
	}
	h.SetControllen(d.controlLen)
}

// send sends the messages from start to end, which have one socket.
func (b *SendBatch) send(start, end int) {
	for start < end {
		n, errno := sendmmsg(b.msgs[start].dest.fd, b.hdrs[start:end])
		for i := range b.msgs[start : start+n] {
			m := &b.msgs[start+i]
			b.counts.Sent.Add(uint64(m.segments))
			if m.segments > 1 {
				b.counts.Segmented.Add(uint64(m.segments))
			}
		}
		start += n
		if errno == 0 {
			continue
		}
		// The first of the rest was refused; the others may still go.
		m := &b.msgs[start]
		if m.segments > 1 && refusesMerging(errno) {
			b.oneByOne(m, errno)
		} else {
			b.counts.Failed.Add(uint64(m.segments))
		}
		start++
	}
}

// fail counts messages as lost.
func (b *SendBatch) fail(start, end int) {
	for i := range b.msgs[start:end] {
		b.counts.Failed.Add(uint64(b.msgs[start+i].segments))
	}
}

// oneByOne sends the datagrams of a message that the kernel has refused to cut,
// and has the Destination remember it if that was the reason.
func (b *SendBatch) oneByOne(m *outbound, errno unix.Errno) {
	n := 0
	for c := m.first; c >= 0; c = b.chunks[c].next {
		for at := b.chunks[c].start; at < b.chunks[c].end; n++ {
			size := min(m.segment, b.chunks[c].end-at)
			v, h := &b.pieces[n], &b.single[n].hdr
			v.Base = &b.arena[at]
			v.SetLen(int(size))
			h.Iov = v
			h.SetIovlen(1)
			m.dest.address(h)
			at += size
		}
	}
	sent := 0
	for i := 0; i < n; {
		k, e := sendmmsg(m.dest.fd, b.single[i:n])
		sent += k
		i += k
		if e != 0 {
			i++
		}
	}
	b.counts.Sent.Add(uint64(sent))
	b.counts.Failed.Add(uint64(n - sent))
	if sent > 0 {
		m.dest.refuse(refusedFrom(m.dest.fd, errno, int(m.segment)), b.now().Add(retryMerging).UnixNano())
	}
}

// sendmmsg returns how many messages went, and the error of the one after them
// if it was tried.
func sendmmsg(fd int, hdrs []mmsghdr) (int, unix.Errno) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&hdrs[0])), uintptr(len(hdrs)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
