package pppbridge

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ip"
	"adit/proto/ppp"
)

const (
	// packetsPerEvent bounds how long one busy TUN keeps a goroutine.
	packetsPerEvent = 64
	// icmpPerSecond and icmpBurst bound the ICMP errors that a goroutine sends.
	icmpPerSecond, icmpBurst = 200, 50
)

// tunReader is what a goroutine needs to read TUNs: one for all of its TUNs.
type tunReader struct {
	plane    *tunPlane
	burst    *circuit.Burst
	split    ip.Splitter
	fragment ip.Fragmenter
	limit    ip.Limiter
	buf      []byte // a super packet out of a TUN
	segment  []byte // one packet of it that needs more than copying
	icmp     []byte
}

func newTUNReader(p *tunPlane, b *circuit.Burst) *tunReader {
	return &tunReader{plane: p, burst: b, limit: ip.NewLimiter(icmpPerSecond, icmpBurst)}
}

// queueHandler reads one queue.
type queueHandler struct {
	reader *tunReader
	device *circuit.Device
	queue  *kernel.TUNQueue
	link   *tunLink // whose interface it is; nil: the shared TUN
	poller *kernel.Poller

	mu     sync.Mutex // of handle: it is set while Ready may run already
	handle kernel.Handle
}

func (q *queueHandler) watch() (err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.handle, err = q.poller.Add(q.queue.FD(), kernel.Readable, q)
	return err
}

func (q *queueHandler) unwatch() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.poller.Remove(q.handle)
}

// Ready is kernel.Handler's.
func (q *queueHandler) Ready(now time.Time, _ kernel.Events) {
	r := q.reader
	if !q.device.Hold() {
		return
	}
	defer q.device.Release()
	if r.buf == nil {
		r.buf, r.segment = make([]byte, kernel.MaxSuperPacket), make([]byte, kernel.MaxSuperPacket)
		r.icmp = make([]byte, 0, 1536)
	}
	for range packetsPerEvent {
		n, g, err := q.queue.Read(r.buf)
		if err != nil {
			r.plane.counts.ReadError.Add(1)
			if errors.Is(err, unix.EBADFD) || errors.Is(err, unix.EBADF) {
				q.lost(err)
				break
			}
			continue
		}
		if n == 0 {
			break
		}
		r.packet(now, q, g, r.buf[:n])
	}
	r.burst.Flush()
}

// lost: somebody has deleted the interface.
func (q *queueHandler) lost(err error) {
	q.unwatch()
	if l := q.link; l != nil {
		l.fail(&kernel.Error{Op: "read the session's interface", Err: err, Advice: "it was deleted"})
		return
	}
	q.reader.plane.log.WithError(err).Error("the TUN that sessions share was deleted: no packets pass until the daemon is started again")
}

// packet takes one packet or super packet to its session.
func (r *tunReader) packet(now time.Time, q *queueHandler, g ip.GSO, packet []byte) {
	var h ip.Header
	if err := h.Parse(packet); err != nil {
		r.plane.counts.Malformed.Add(1)
		return
	}
	l := q.link
	if l == nil {
		if h.Version == 6 && (isLinkLocal(packet[8:]) || isLinkScope(packet[24:])) || h.Dst.IsMulticast() {
			r.plane.counts.LinkScope.Add(1)
			return
		}
		if l = r.plane.table.find(h.Src, h.Dst); l == nil {
			r.plane.counts.NoSession.Add(1)
			r.unreachable(now, q.device, packet, h.Dst)
			return
		}
	}
	l.send(now, r, q.device, g, packet, &h)
}

// send cuts a super packet out of the TUN into messages to the peer, each made
// in its place.
func (l *tunLink) send(now time.Time, r *tunReader, d *circuit.Device, g ip.GSO, packet []byte, h *ip.Header) {
	n := l.network.Load()
	f, protocol := ppp.IPv4, ppp.ProtocolIPv4
	if h.Version == 6 {
		f, protocol = ppp.IPv6, ppp.ProtocolIPv6
	}
	if n == nil || !n.up[f] {
		l.count.notUp.Add(1)
		return
	}
	if l.known != nil && l.known.Recognise(packet[:h.Length]) {
		l.looped()
		return
	}
	if err := r.split.Begin(g, packet[:h.Length]); err != nil {
		r.plane.counts.Malformed.Add(1)
		return
	}
	clamp := n.clamp > 0 && g.Type == ip.GSONone && h.Protocol == ip.ProtocolTCP
	var frames, octets uint64
	l.mu.Lock()
	defer l.mu.Unlock()
	for size := r.split.Next(); size > 0 && !l.ended; size = r.split.Next() {
		if size > int(n.mtu) {
			sent := l.sendTooBig(now, r, d, n, protocol, size)
			frames += sent
			if sent == 0 {
				break // the others of this super packet are as long
			}
			continue
		}
		room := l.frames.Room(r.burst, pppHeader+size)
		if room == nil {
			continue
		}
		putHeader(room, protocol)
		r.split.Put(room[pppHeader:])
		if clamp {
			ip.ClampMSS(room[pppHeader:], *h, int(n.clamp))
		}
		frames++
		octets += uint64(len(room))
	}
	if frames > 0 {
		l.count.framesOut.Add(frames)
		l.count.bytesOut.Add(octets)
		if f == ppp.IPv4 || !isLinkLocal(packet[8:]) {
			// What the router itself says, unasked even, is no use of the link.
			l.last.Store(now.UnixNano())
		}
	}
}

// looped counts a message of the session's own that a route has led into its interface,
// and tells of the first one.
func (l *tunLink) looped() {
	if l.count.loops.Add(1) == 1 {
		l.log.WithField("interface", l.Name()).Error("messages to the peer are routed into the session itself, or into another one that goes through it, and are dropped: give the peer's address a route by another interface, and leave it out of the profile's routes")
	}
}

// sendTooBig deals with the segment at hand, which is longer than the peer
// takes: it goes in fragments, or its sender is told. It returns how many
// messages were made.
//
// The ICMP error comes from the address that the packet was for: that one is
// routed to the TUN, so that the kernel's filter of reverse paths lets it pass,
// and it is none of the kernel's own, which would make it a martian.
func (l *tunLink) sendTooBig(now time.Time, r *tunReader, d *circuit.Device, n *linkNetwork, p ppp.Protocol, size int) (made uint64) {
	packet := r.segment[:size]
	r.split.Put(packet)
	h, err := ip.Parse(packet)
	if err != nil {
		r.plane.counts.Malformed.Add(1)
		return 0
	}
	if err := r.fragment.Begin(packet, h, int(n.mtu)); err != nil {
		l.count.tooBig.Add(1)
		if r.limit.Allow(now) {
			if m, ok := ip.AppendTooBig(r.icmp[:0], packet, h.Dst, int(n.mtu)); ok {
				r.report(d, m)
			}
		} else {
			r.plane.counts.ICMPLimit.Add(1)
		}
		return 0
	}
	for size := r.fragment.Next(); size > 0; size = r.fragment.Next() {
		room := l.frames.Room(r.burst, pppHeader+size)
		if room == nil {
			continue
		}
		putHeader(room, p)
		r.fragment.Put(room[pppHeader:])
		l.count.bytesOut.Add(uint64(len(room)))
		made++
	}
	return made
}

// unreachable tells the sender that nobody has the address.
func (r *tunReader) unreachable(now time.Time, d *circuit.Device, packet []byte, from netip.Addr) {
	if !r.limit.Allow(now) {
		r.plane.counts.ICMPLimit.Add(1)
		return
	}
	if m, ok := ip.AppendUnreachable(r.icmp[:0], packet, from, ip.UnreachableAddress); ok {
		r.report(d, m)
	}
}

// report writes an ICMP error into the TUN.
func (r *tunReader) report(d *circuit.Device, message []byte) {
	if r.burst.In.WriteOne(d, message) == nil {
		r.plane.counts.ICMP.Add(1)
	}
}
