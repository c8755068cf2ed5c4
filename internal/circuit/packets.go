package circuit

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
	"adit/proto/ip"
)

// openSupers is how many super packets a Burst has under way.
const openSupers = 64

// maxScratch is the octets of Packets.Scratch.
const maxScratch = 2048

// Packets are the frames of a Burst on their way into TUNs and TAPs, merged: IP packets
// of one flow that follow each other in their session become one super packet,
// which costs the kernel hardly more than one of them.
//
// Order: a session adds to its latest super packet only, so a packet of another
// of its flows closes it; and all are written in the order they were begun.
type Packets struct {
	supers []super // made with the first packet
	open   int
	number uint32 // of this Burst, to spread them over the queues
	writer kernel.TUNWriter
	single [1][]byte
	// scratch is for one packet of our own making.
	scratch [maxScratch]byte
}

// super is a super packet, and what is to be counted for it.
type super struct {
	ip.Super
	inlet  *Inlet  // whose it is, and may add to it
	device *Device // held
	frames uint64
	octets uint64
}

// Inlet is a session's way into devices, as Packets sees it. One goroutine at a time
// may use it, the Burst's.
type Inlet struct {
	session Session
	super   int32 // the latest of the Burst
}

// Session is told what became of the packets of its Inlet.
type Session interface {
	// Wrote tells of packets, with their octets, that were written, or were not.
	// The error is that of kernel.TUNWriter.Write.
	Wrote(packets, octets uint64, err error)
}

// NewInlet makes the inlet of a session.
func NewInlet(s Session) Inlet { return Inlet{session: s, super: openSupers} }

// bursts numbers the Bursts.
var bursts atomic.Uint32

// Add takes a frame of a session into the device. After prefix octets of it comes a
// packet of which h is the header; a TUN has no prefix. With h nil it is something else,
// and goes as it is. The frame stays as it is until Flush. False: the device is closed.
func (p *Packets) Add(in *Inlet, d *Device, frame []byte, prefix int, h *ip.Header) bool {
	if prefix == 0 && h != nil {
		frame = frame[:h.Length] // RFC 1661 section 2: the rest is padding
	}
	if i := int(in.super); i < p.open && h != nil {
		if s := &p.supers[i]; s.inlet == in && s.device == d && s.AddFrame(frame, prefix, h) {
			s.frames++
			s.octets += uint64(len(frame))
			return true
		}
	}
	if p.open == openSupers {
		p.flush()
	}
	if p.supers == nil {
		p.supers, p.number = make([]super, openSupers), bursts.Add(1)
	}
	if !d.Hold() {
		return false
	}
	s := &p.supers[p.open]
	s.inlet, s.device, s.frames, s.octets = in, d, 1, uint64(len(frame))
	if h == nil {
		s.StartAlone(frame)
	} else {
		s.StartFrame(frame, prefix, h, d.TUN.Offloads())
	}
	in.super = int32(p.open)
	p.open++
	return true
}

// flush writes everything.
func (p *Packets) flush() {
	for i := range p.supers[:p.open] {
		s := &p.supers[i]
		g, parts := s.Finish()
		err := p.write(s.device, g, parts)
		s.inlet.session.Wrote(s.frames, s.octets, err)
		s.device.Release()
		s.inlet, s.device = nil, nil
		s.Reset()
	}
	p.open = 0
}

// write writes a packet to one of the device's queues.
func (p *Packets) write(d *Device, g ip.GSO, parts [][]byte) error {
	return p.writer.Write(d.TUN.Queue(int(p.number)%d.TUN.Queues()), g, parts)
}

// Scratch is empty, with room for one packet of the session's own making, until
// the next call of Scratch.
func (p *Packets) Scratch() []byte { return p.scratch[:0] }

// WriteOne writes one whole packet of our own making. The error is EIO if the
// device is closed.
func (p *Packets) WriteOne(d *Device, packet []byte) error {
	if !d.Hold() {
		return unix.EIO
	}
	defer d.Release()
	p.single[0] = packet
	return p.write(d, ip.GSO{}, p.single[:])
}
