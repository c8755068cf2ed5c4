package pppbridge

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/kernel"
	"adit/proto/ip"
)

// openSupers is how many super packets a Burst has under way.
const openSupers = 64

// packets are the IP packets of a Burst on their way into TUNs, merged: packets
// of one flow that follow each other in their session become one super packet,
// which costs the kernel hardly more than one of them.
//
// Order: a session adds to its latest super packet only, so a packet of another
// of its flows closes it; and all are written in the order they were begun.
type packets struct {
	supers []super // made with the first packet
	open   int
	number uint32 // of this Burst, to spread them over the queues
	writer kernel.TUNWriter
	single [1][]byte
	// scratch is for one packet of our own making.
	scratch [MaxFrame]byte
}

// super is a super packet, and what is to be counted for it.
type super struct {
	ip.Super
	link   *tunLink // whose it is, and may add to it
	device *device  // held
	frames uint64
	octets uint64
}

// bursts numbers the Bursts.
var bursts atomic.Uint32

// add takes a packet of a session into the device. The packet stays as it is
// until flush.
func (p *packets) add(now time.Time, l *tunLink, d *device, packet []byte, h *ip.Header) {
	if i := int(l.super); i < p.open {
		if s := &p.supers[i]; s.link == l && s.device == d && s.Add(packet, h) {
			s.frames++
			s.octets += uint64(h.Length)
			return
		}
	}
	if p.open == openSupers {
		p.flush()
	}
	if p.supers == nil {
		p.supers, p.number = make([]super, openSupers), bursts.Add(1)
	}
	if !d.hold() {
		l.count.closed.Add(1)
		return
	}
	s := &p.supers[p.open]
	s.link, s.device, s.frames, s.octets = l, d, 1, uint64(h.Length)
	s.Start(packet, h, d.tun.Offloads())
	l.super = int32(p.open)
	p.open++
	l.last.Store(now.UnixNano())
}

// flush writes everything.
func (p *packets) flush() {
	for i := range p.supers[:p.open] {
		s := &p.supers[i]
		g, parts := s.Finish()
		err := p.write(s.device, g, parts)
		s.link.wrote(s.frames, s.octets, err)
		s.device.release()
		s.link, s.device = nil, nil
		s.Reset()
	}
	p.open = 0
}

// write writes a packet to one of the device's queues.
func (p *packets) write(d *device, g ip.GSO, parts [][]byte) error {
	return p.writer.Write(d.tun.Queue(int(p.number)%d.tun.Queues()), g, parts)
}

// writeOne writes one whole packet of our own making.
func (p *packets) writeOne(d *device, packet []byte) error {
	if !d.hold() {
		return unix.EIO
	}
	defer d.release()
	p.single[0] = packet
	return p.write(d, ip.GSO{}, p.single[:])
}

// wrote counts what became of packets of the session.
func (l *tunLink) wrote(frames, octets uint64, err error) {
	c := &l.count
	switch {
	case err == nil:
		c.framesIn.Add(frames)
		c.bytesIn.Add(octets + frames*pppHeader)
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EBADFD):
		c.closed.Add(frames) // the interface is down, or deleted
	case errors.Is(err, unix.EINVAL):
		c.malformed.Add(frames)
	default:
		c.queueFull.Add(frames)
	}
}
