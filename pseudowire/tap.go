package pseudowire

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ip"
)

// framesPerEvent bounds how long one busy device keeps the poller's goroutine.
const framesPerEvent = 64

// reader is what the poller's goroutine reads devices with.
type reader struct {
	burst *circuit.Burst
	split ip.Splitter
	buf   []byte // made with the first frame
}

// tapBridge is a TAP of ours for an Ethernet pseudowire, or a TUN for one of IP. Frames
// of the peer go from the goroutine that received them into the device, frames out of
// it from the poller's to the peer.
type tapBridge struct {
	attachment
	kind   circuit.Kind
	frames circuit.Frames
	own    circuit.Recogniser // of frames; nil: they are none
	tag    int                // octets that the frames of the peer have and those of the device have not
	inlet  circuit.Inlet
	opened atomic.Pointer[circuit.Device] // nil: not yet, or no more
	silent atomic.Bool                    // nothing goes to the peer

	handleMu sync.Mutex // of handle: it is set while Ready may run already
	handle   kernel.Handle

	framesIn, bytesIn, framesOut, bytesOut                             atomic.Uint64
	vlan, notUp, malformed, tooLong, queueFull, closed, noReads, loops atomic.Uint64
}

func newTAPBridge(f *Factory, spec *Spec, frames circuit.Frames, onExit func(circuit.Exit)) *tapBridge {
	t := &tapBridge{kind: spec.Kind, frames: frames}
	t.attachment = attachment{factory: f, spec: *spec, device: t, onExit: onExit}
	t.own, _ = frames.(circuit.Recogniser)
	t.inlet = circuit.NewInlet(t)
	if spec.VLAN != 0 {
		t.tag = tagLen
	}
	return t
}

// Kind is circuit.Bridge's.
func (t *tapBridge) Kind() circuit.Kind { return t.kind }

// SetPeerActive is circuit.StatusReporter's.
func (t *tapBridge) SetPeerActive(active bool) {
	t.silent.Store(!active)
	t.attachment.SetPeerActive(active)
}

// Deliver is circuit.Bridge's.
func (t *tapBridge) Deliver(b *circuit.Burst, _ time.Time, frame []byte) {
	d := t.opened.Load()
	if d == nil {
		t.notUp.Add(1)
		return
	}
	if t.kind == circuit.IPTUN {
		var h ip.Header
		if h.Parse(frame) != nil {
			t.malformed.Add(1)
		} else if !b.In.Add(&t.inlet, d, frame, 0, &h) {
			t.closed.Add(1)
		}
		return
	}
	if len(frame) < headerLen+t.tag {
		t.malformed.Add(1)
		return
	}
	if t.tag > 0 {
		var ours bool
		if frame, ours = popTag(frame, t.spec.VLAN); !ours {
			t.vlan.Add(1)
			return
		}
	}
	// What is in an IP frame is the business of those who get it: one that is broken
	// goes as it is.
	var h ip.Header
	var added bool
	if prefix, version := packetOf(frame); version != 0 && h.Parse(frame[prefix:]) == nil && h.Version == version {
		added = b.In.Add(&t.inlet, d, frame, prefix, &h)
	} else {
		added = b.In.Add(&t.inlet, d, frame, 0, nil)
	}
	if !added {
		t.closed.Add(1)
	}
}

// Wrote is circuit.Session's.
func (t *tapBridge) Wrote(frames, octets uint64, err error) {
	switch {
	case err == nil:
		t.framesIn.Add(frames)
		t.bytesIn.Add(octets + frames*uint64(t.tag))
	case errors.Is(err, unix.EIO):
		t.notUp.Add(frames) // somebody has set it down
	case errors.Is(err, unix.EBADFD):
		t.closed.Add(frames) // deleted
	case errors.Is(err, unix.EINVAL):
		t.malformed.Add(frames)
	default:
		t.queueFull.Add(frames)
	}
}

// Ready is kernel.Handler's: there are frames for the peer.
func (t *tapBridge) Ready(time.Time, kernel.Events) {
	d, r := t.opened.Load(), &t.factory.reader
	if d == nil {
		return
	}
	if r.buf == nil {
		r.buf = make([]byte, kernel.MaxSuperFrame)
	}
	for range framesPerEvent {
		n, g, err := d.TUN.Queue(0).Read(r.buf)
		switch {
		case errors.Is(err, unix.EBADFD), errors.Is(err, unix.EBADF):
			t.detach()
			t.deleted()
			r.burst.Flush()
			return
		case err != nil:
			t.noReads.Add(1)
			continue
		case n == 0:
			r.burst.Flush()
			return
		}
		t.send(r, g, r.buf[:n])
	}
	r.burst.Flush()
}

// send cuts what came out of the device into messages to the peer, each made in its
// place.
func (t *tapBridge) send(r *reader, g ip.GSO, frame []byte) {
	prefix, version := 0, frame[0]>>4
	if t.kind != circuit.IPTUN {
		if prefix, version = packetOf(frame); len(frame) < headerLen || g.Type != ip.GSONone && version == 0 {
			t.malformed.Add(1)
			return
		}
	}
	if t.silent.Load() {
		t.notUp.Add(1)
		return
	}
	if version != 0 && t.own != nil && t.own.Recognise(frame[prefix:]) {
		t.looped()
		return
	}
	if r.split.BeginFrame(g, frame, prefix) != nil {
		t.malformed.Add(1)
		return
	}
	var frames, octets uint64
	for size := r.split.Next(); size > 0; size = r.split.Next() {
		if size += t.tag; size > circuit.MaxFrame {
			t.tooLong.Add(1)
			continue
		}
		room := t.frames.Room(r.burst, size)
		if room == nil {
			continue
		}
		r.split.Put(room[t.tag:])
		if t.tag > 0 {
			pushTag(room, t.spec.VLAN)
		}
		frames++
		octets += uint64(size)
	}
	if frames > 0 {
		t.framesOut.Add(frames)
		t.bytesOut.Add(octets)
	}
}

// looped counts a message of the session's own that a route has led into its device, and
// tells of the first one.
func (t *tapBridge) looped() {
	if t.loops.Add(1) == 1 {
		t.spec.Log.WithField("interface", t.Name()).Error("messages to the peer are routed into the pseudowire itself, or into another one that goes through it, and are dropped: give the peer's address a route by another interface")
	}
}

// Stats is circuit.Bridge's.
func (t *tapBridge) Stats() circuit.Stats {
	return circuit.Stats{
		FramesIn: t.framesIn.Load(), BytesIn: t.bytesIn.Load(), FramesOut: t.framesOut.Load(), BytesOut: t.bytesOut.Load(),
		DropVLAN: t.vlan.Load(), DropNotUp: t.notUp.Load(), DropMalformed: t.malformed.Load() + t.noReads.Load(),
		DropTooLong: t.tooLong.Load(), DropQueueFull: t.queueFull.Load(), DropClosed: t.closed.Load(),
		DropLoop: t.loops.Load(),
	}
}
