package pppbridge

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ppp"
)

const (
	// queueSize bounds what waits for room in the PTY, in octets. The
	// terminal's own buffer is 8 KiB.
	queueSize = 32 << 10
	// readsPerEvent bounds how long one busy session keeps the poller.
	readsPerEvent = 8
)

// ptyBridge is pppd on the slave of a pseudo-terminal.
type ptyBridge struct {
	*pppd
	frames circuit.Frames
	pty    *kernel.PTY
	codec  ptyCodec

	// burst is the poller's, and out builds frames for the peer; poller only.
	burst *circuit.Burst
	out   []byte

	// mu is between the goroutine of Deliver and the poller, which takes it
	// only at the start, at the end and while the terminal is full.
	mu      sync.Mutex
	master  int           // -1: closed
	handle  kernel.Handle // of the master
	holding bool          // pppd does not listen yet
	armed   bool          // the terminal is full: the poller waits for room
	retry   bool          // the retry pacer will call tryAgain
	stirred time.Time     // last read of a synchronous master since its last kick
	queue   []byte        // cap queueSize, never reallocated
	sent    int           // octets of queue that are written
	paced   bool          // the pacer will call write
	written time.Time     // when the last whole frame was

	count ptyCounters
}

type ptyCounters struct {
	framesIn, bytesIn, framesOut, bytesOut atomic.Uint64
	queueFull, tooLong, closed             atomic.Uint64
}

// ptyCodec is what differs between asynchronous and synchronous terminals.
type ptyCodec interface {
	// append adds frame to the queue as it goes into the terminal; the caller
	// has made sure of room for room(len(frame)).
	append(dst, frame []byte) []byte
	room(n int) int
	// piece is the next write: skip octets are ours, n are for the terminal.
	piece(queue []byte) (skip, n int)
	maxFrame() int
	whole() bool // a write takes all of its piece or it is lost
	// decode takes what was read, and calls emit for each frame.
	decode(b *ptyBridge, in []byte)
	// kickWriter has the kernel try again to empty its queue towards pppd, and
	// kickReader has pppd's side try again to fill ours.
	kickWriter(master int)
	kickReader(master int)
	setACCM(send uint32)
	stats(*circuit.Stats)
}

func openPTY(f *Factory, spec Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	pty, err := kernel.OpenPTY()
	if err != nil {
		return nil, err
	}
	b := &ptyBridge{
		frames: frames, pty: pty, master: pty.Master, holding: true,
		burst: f.cfg.Burst,
		out:   make([]byte, MaxFrame+2),
		queue: make([]byte, 0, queueSize),
	}
	if err = f.needPacers(); err != nil {
		pty.Close()
		return nil, err
	}
	b.pppd = newPPPD(f, spec, b, onExit)
	if spec.Kind == circuit.PPPDSync {
		b.codec = &syncCodec{}
		err = pty.SetHDLC()
	} else {
		b.codec = newAsyncCodec(b.out)
	}
	if err == nil {
		b.handle, err = f.sup.poller.Add(pty.Master, 0, b)
	}
	if err == nil {
		err = b.launch()
	}
	if err != nil {
		f.sup.poller.Remove(b.handle)
		pty.Close()
		return nil, err
	}
	return b, nil
}

func (b *ptyBridge) Kind() circuit.Kind  { return b.spec.Kind }
func (b *ptyBridge) Info() circuit.Info  { return b.getInfo() }
func (b *ptyBridge) Close(reason string) { b.stop(reason) }

// SetACCM sets what is escaped towards pppd. What pppd escapes needs no map: a
// PTY inserts nothing, so every octet from it is data.
func (b *ptyBridge) SetACCM(send, _ uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.codec.setACCM(send)
}

func (b *ptyBridge) childFiles() (stdin, stdout int, extra []int) {
	return b.pty.Slave, b.pty.Slave, nil
}

// forked: our copy of the slave is closed, so that the master sees the hang-up
// when pppd is gone.
func (b *ptyBridge) forked() {
	b.pty.CloseSlave()
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.f.sup.poller.Modify(b.handle, kernel.Readable)
}

// settled: pppd has its line discipline on the slave, so what was held for it
// can go. Before that it would have been thrown away in the change.
func (b *ptyBridge) settled(time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holding = false
	b.write()
}

// Deliver frames and writes, or queues.
func (b *ptyBridge) Deliver(_ *circuit.Burst, _ time.Time, frame []byte) {
	if len(frame) > b.codec.maxFrame() || len(frame) == 0 {
		b.count.tooLong.Add(1)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.master < 0 {
		b.count.closed.Add(1)
		return
	}
	if len(b.queue)+b.codec.room(len(frame)) > cap(b.queue) && !b.compact(len(frame)) {
		b.count.queueFull.Add(1)
		return
	}
	b.queue = b.codec.append(b.queue, frame)
	b.count.framesIn.Add(1)
	b.count.bytesIn.Add(uint64(len(frame)))
	if !b.holding && !b.armed && !b.paced {
		b.write()
	}
}

// compact moves what is not written yet to the front.
func (b *ptyBridge) compact(n int) bool {
	if b.sent == 0 {
		return false
	}
	b.queue = b.queue[:copy(b.queue, b.queue[b.sent:])]
	b.sent = 0
	return len(b.queue)+b.codec.room(n) <= cap(b.queue)
}

// write puts into the terminal what it takes, and has the poller wait for room
// if that was not all.
func (b *ptyBridge) write() {
	if b.master < 0 {
		return
	}
	for b.sent < len(b.queue) {
		rest := b.queue[b.sent:]
		if b.codec.whole() && time.Since(b.written) < syncGap {
			if !b.paced {
				b.paced = true
				b.f.sup.pacer.add(b)
			}
			return
		}
		skip, size := b.codec.piece(rest)
		n, err := unix.Write(b.master, rest[skip:skip+size])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n > 0 {
			if b.codec.whole() {
				n, b.written = size, time.Now()
			}
			b.sent += skip + n
			continue
		}
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			// pppd is gone, and its exit is on its way.
			break
		}
		b.arm(true)
		b.tryLater()
		return
	}
	b.queue, b.sent = b.queue[:0], 0
	b.arm(false)
}

// afterGap is called by the pacer, under mu.
func (b *ptyBridge) afterGap() {
	b.paced = false
	if !b.holding {
		b.write()
	}
}

// tryAgain is called by the retry pacer, under mu.
func (b *ptyBridge) tryAgain() {
	b.retry = false
	if b.master < 0 {
		return
	}
	if b.armed {
		b.codec.kickWriter(b.master)
		b.write()
	}
	if !b.stirred.IsZero() {
		if time.Since(b.stirred) < retryGap {
			b.tryLater()
			return
		}
		b.stirred = time.Time{}
		b.codec.kickReader(b.master)
	}
}

// tryLater asks for tryAgain, under mu.
func (b *ptyBridge) tryLater() {
	if !b.retry {
		b.retry = true
		b.f.sup.retry.add(b)
	}
}

func (b *ptyBridge) arm(on bool) {
	if b.armed == on {
		return
	}
	ev := kernel.Readable
	if on {
		ev |= kernel.Writable
	}
	if b.f.sup.poller.Modify(b.handle, ev) == nil {
		b.armed = on
	}
}

// Ready serves the master.
func (b *ptyBridge) Ready(now time.Time, ev kernel.Events) {
	if ev&kernel.Writable != 0 {
		b.mu.Lock()
		b.write()
		b.mu.Unlock()
	}
	if ev&^kernel.Writable == 0 {
		return
	}
	if b.state < stateRunning {
		return // nobody has opened the slave but us
	}
	if b.read(readsPerEvent) {
		b.settle(now)
	}
	if ev&kernel.HangUp != 0 && ev&kernel.Readable == 0 {
		// The last slave is closed: pppd is ending, or its end is on its way.
		// Not watched any more, or the hang-up would be reported for ever.
		b.f.sup.poller.Remove(b.handle)
		b.expectEnd(now)
	}
}

// read takes at most n pieces from the master and says whether a frame came.
func (b *ptyBridge) read(n int) (got bool) {
	before := b.count.framesOut.Load()
	pieces := 0
	for range n {
		k, err := unix.Read(b.pty.Master, b.f.sup.scratch[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || k <= 0 {
			break // empty, or EIO after the last slave was closed
		}
		pieces++
		b.codec.decode(b, b.f.sup.scratch[:k])
	}
	if pieces > 0 && b.codec.whole() {
		b.mu.Lock()
		b.stirred = time.Now()
		b.tryLater()
		b.mu.Unlock()
	}
	if b.count.framesOut.Load() == before {
		return false
	}
	b.burst.Flush()
	return true
}

// emit gathers a frame for the peer.
func (b *ptyBridge) emit(frame []byte) {
	b.count.framesOut.Add(1)
	b.count.bytesOut.Add(uint64(len(frame)))
	if room := b.frames.Room(b.burst, len(frame)); room != nil {
		copy(room, frame)
	}
}

func (b *ptyBridge) ended(time.Time) circuit.Stats {
	b.f.sup.poller.Remove(b.handle)
	if b.pid != 0 {
		b.read(64) // its last frames, as an LCP Terminate-Ack
	}
	b.mu.Lock()
	b.master = -1
	b.queue = nil
	b.pty.Close()
	b.mu.Unlock()
	return b.Stats()
}

func (b *ptyBridge) Stats() circuit.Stats {
	c := &b.count
	s := circuit.Stats{
		FramesIn: c.framesIn.Load(), BytesIn: c.bytesIn.Load(),
		FramesOut: c.framesOut.Load(), BytesOut: c.bytesOut.Load(),
		DropQueueFull: c.queueFull.Load(), DropTooLong: c.tooLong.Load(), DropClosed: c.closed.Load(),
		LogLinesDropped: b.logDrops.Load(),
	}
	b.codec.stats(&s)
	return s
}

// asyncCodec is RFC 1662's octet-stuffed framing.
type asyncCodec struct {
	enc ppp.Encoder
	dec *ppp.Decoder
}

func newAsyncCodec(buf []byte) *asyncCodec {
	c := &asyncCodec{dec: &ppp.Decoder{}}
	c.dec.SetBuffer(buf)
	c.dec.SetACCM(0)
	return c
}

func (c *asyncCodec) append(dst, frame []byte) []byte  { return c.enc.AppendFrame(dst, frame) }
func (c *asyncCodec) room(n int) int                   { return ppp.MaxEncodedLen(n) }
func (c *asyncCodec) piece(queue []byte) (skip, n int) { return 0, len(queue) }
func (c *asyncCodec) maxFrame() int                    { return MaxFrame }
func (c *asyncCodec) whole() bool                      { return false }
func (c *asyncCodec) kickWriter(int)                   {}
func (c *asyncCodec) kickReader(int)                   {}
func (c *asyncCodec) setACCM(send uint32)              { c.enc.SetACCM(send) }

// decode: the decoder builds frames in out.
func (c *asyncCodec) decode(b *ptyBridge, in []byte) {
	for len(in) > 0 {
		var frame []byte
		if frame, in = c.dec.Decode(in); frame != nil {
			b.emit(frame)
		}
	}
}

func (c *asyncCodec) stats(s *circuit.Stats) {
	k := c.dec.Counters()
	s.DropBadFCS = k.BadFCS + k.Aborted + k.TooShort
	s.DropTooLong += k.TooLong
}
