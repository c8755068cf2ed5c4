package pppbridge

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/proto/ip"
	"adit/proto/ppp"
)

// Deliver takes a frame from the peer: a packet goes towards the TUN at once, a
// control frame to the owner. It is Link's.
func (l *tunLink) Deliver(b *circuit.Burst, now time.Time, frame []byte) {
	protocol, packet, err := ppp.Split(frame)
	switch {
	case err == nil && protocol == ppp.ProtocolIPv4:
		l.receive(b, now, ppp.IPv4, packet)
	case err == nil && protocol == ppp.ProtocolIPv6:
		l.receive(b, now, ppp.IPv6, packet)
	case errors.Is(err, ppp.ErrTruncated):
		l.count.malformed.Add(1)
	default:
		// The endpoint answers also what it does not know. Frames that the owner
		// cannot take, it counts.
		l.owner.Control(frame)
	}
}

// receive takes a packet of a network protocol.
func (l *tunLink) receive(b *circuit.Burst, now time.Time, f ppp.Family, packet []byte) {
	n, d := l.network.Load(), l.device.Load()
	if n == nil || d == nil || !n.up[f] {
		l.count.notUp.Add(1)
		return
	}
	var h ip.Header
	if err := h.Parse(packet); err != nil || (h.Version == 4) != (f == ppp.IPv4) {
		l.count.malformed.Add(1)
		return
	}
	packet = packet[:h.Length]
	if l.lns && l.own == nil && h.Protocol == ip.ProtocolUDP && f == ppp.IPv4 && isDHCP(n, packet, &h) {
		l.ask(now, packet)
		return
	}
	if f == ppp.IPv6 && (isLinkLocal(packet[8:]) || isLinkScope(packet[24:])) {
		if !l.receiveLink(b, now, n, packet, &h) {
			return
		}
	} else if l.lns && !l.isPeers(n, &h) {
		l.count.source.Add(1)
		return
	}
	if n.clamp > 0 && h.Protocol == ip.ProtocolTCP {
		ip.ClampMSS(packet, h, int(n.clamp))
	}
	if !b.In.Add(&l.inlet, d, packet, 0, &h) {
		l.count.closed.Add(1)
		return
	}
	if at := now.UnixNano(); l.last.Load() != at { // once in a batch
		l.last.Store(at)
	}
}

// isPeers says whether a packet's source address is the subscriber's: the
// address that IPCP gave, or one behind it that is nobody else's. Of an LNS a
// client takes what comes.
func (l *tunLink) isPeers(n *linkNetwork, h *ip.Header) bool {
	if h.Version == 4 && n.peer != [4]byte{} && h.Src == netip.AddrFrom4(n.peer) {
		return true
	}
	for _, r := range n.routes {
		if r.Contains(h.Src) {
			// Another subscriber may have a part of it.
			return l.plane.table.owner(h.Src) == &l.addressHolder
		}
	}
	return false
}

// receiveLink looks at a packet from or to an address of IPv6 that is good on
// the link alone, and reports whether it goes to the TUN. RFC 4291 section
// 2.5.6: "Routers must not forward any packets with Link-Local source or
// destination addresses to other links." The shared TUN is another link; on it we
// answer for our own address ourselves.
func (l *tunLink) receiveLink(b *circuit.Burst, now time.Time, n *linkNetwork, packet []byte, h *ip.Header) bool {
	if l.lns && l.own == nil && isLinkQuestion(n, packet, h) {
		l.ask(now, packet)
		return false
	}
	if isLinkLocal(packet[8:]) && !isInterface(packet[8:], n.peerID) || !isLinkLocal(packet[8:]) && l.lns {
		l.count.source.Add(1)
		return false
	}
	if l.own != nil {
		return true
	}
	if isInterface(packet[24:], n.localID) && isLinkLocal(packet[24:]) {
		if reply, ok := ip.AppendEchoReply(b.In.Scratch(), packet); ok && len(reply) <= int(n.mtu) {
			l.last.Store(now.UnixNano())
			l.count.framesIn.Add(1)
			l.count.bytesIn.Add(uint64(len(packet) + pppHeader))
			l.sendPacket(b, ppp.ProtocolIPv6, reply)
			return false
		}
	}
	l.count.notUp.Add(1)
	return false
}

// sendPacket makes a message of a packet of ours.
func (l *tunLink) sendPacket(b *circuit.Burst, p ppp.Protocol, packet []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	if room := l.frames.Room(b, pppHeader+len(packet)); room != nil {
		putHeader(room, p)
		copy(room[pppHeader:], packet)
		l.count.framesOut.Add(1)
		l.count.bytesOut.Add(uint64(len(room)))
	}
}

// putHeader writes the header of a frame, without compression: every peer takes
// it, and the two or three octets saved do not pay for a look at what the peer
// agreed to.
func putHeader(b []byte, p ppp.Protocol) {
	binary.BigEndian.PutUint32(b, uint32(ppp.AllStations)<<24|uint32(ppp.UnnumberedInformation)<<16|uint32(p))
}

// isLinkLocal: fe80::/10.
func isLinkLocal(a []byte) bool { return a[0] == 0xfe && a[1]&0xc0 == 0x80 }

// isLinkScope: fe80::/10, and multicast of interface-local and link-local scope.
func isLinkScope(a []byte) bool {
	return isLinkLocal(a) || a[0] == 0xff && a[1]&0x0f <= 2
}

// isInterface: the address ends with the interface identifier.
func isInterface(a []byte, id uint64) bool {
	return id != 0 && binary.BigEndian.Uint64(a[8:16]) == id && binary.BigEndian.Uint64(a[:8]) == 0xfe80<<48
}

// Wrote is circuit.Session: it counts what became of packets of the session.
func (l *tunLink) Wrote(frames, octets uint64, err error) {
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
