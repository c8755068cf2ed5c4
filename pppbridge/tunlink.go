package pppbridge

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/proto/ppp"
)

// pppHeader is the octets of Address, Control and Protocol before a packet.
const pppHeader = 4

// tunLink is the Link of the userspace plane. Packets of the peer go from the
// reader's goroutine into the TUN, packets out of the TUN from the goroutine of
// their queue to the peer; only control frames pass the owner.
type tunLink struct {
	plane  *tunPlane
	frames circuit.Frames
	known  circuit.Recogniser // frames; nil: they do not know their messages again
	events LinkEvents
	owner  Owner
	log    *logrus.Entry
	own    *ownInterface // nil: the shared TUN

	network atomic.Pointer[linkNetwork]    // nil: nothing is up
	device  atomic.Pointer[circuit.Device] // nil: not yet
	last    atomic.Int64                   // time of the last packet, Unix, nanoseconds; 0: none
	count   linkCounts

	mu    sync.Mutex // of Frames against the end, between the queues and the poller
	ended bool

	addressHolder
	inlet  circuit.Inlet
	asking asking
	mtu    uint16 // the most that the profile wants; 0: what the peer takes
	clamp  bool
	closed bool     // the owner's
	told   [2]bool  // the owner's: the endpoint has heard of Up
	agreed ppp.Link // the owner's
}

// linkCounts are a link's counters.
type linkCounts struct {
	framesIn, bytesIn, framesOut, bytesOut              atomic.Uint64
	source, notUp, malformed, tooBig, queueFull, closed atomic.Uint64
	loops                                               atomic.Uint64
}

// linkNetwork is what the data path needs of what was agreed. It is replaced,
// never changed.
type linkNetwork struct {
	routes          []netip.Prefix
	localID, peerID uint64
	local, peer     [4]byte
	mtu             uint16 // octets of the longest packet to the peer
	clamp           uint16 // octets of the longest packet both ways, for TCP's MSS; 0: as it is
	up              [2]bool
}

func newTUNLink(p *tunPlane, s *Spec, frames circuit.Frames, events LinkEvents) *tunLink {
	l := &tunLink{
		plane: p, frames: frames, events: events, owner: s.Owner, log: s.Log,
		addressHolder: addressHolder{tunnel: s.LocalTunnel, session: s.LocalSession, lns: s.LNS},
		mtu:           uint16(min(max(s.MTU, 0), MaxFrame-pppHeader)), clamp: s.ClampMSS,
	}
	l.known, _ = frames.(circuit.Recogniser)
	l.inlet = circuit.NewInlet(l)
	if s.Interface != "" {
		l.own = &ownInterface{name: s.Interface}
	} else {
		l.shared = l
	}
	l.agreed.PeerMRU, l.agreed.LocalMRU = ppp.DefaultMRU, ppp.DefaultMRU
	return l
}

// SendControl is Link's: the poller's goroutine makes the message.
func (l *tunLink) SendControl(frame []byte) {
	if !l.closed && len(frame) > 0 {
		l.plane.outbox.add(outItem{l, frame})
	}
}

// sendNow makes a message of a control frame.
func (l *tunLink) sendNow(b *circuit.Burst, frame []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	if room := l.frames.Room(b, len(frame)); room != nil {
		copy(room, frame)
		l.count.framesOut.Add(1)
		l.count.bytesOut.Add(uint64(len(frame)))
	}
}

// LCPUp is Link's.
func (l *tunLink) LCPUp(agreed ppp.Link) {
	l.agreed = agreed
	if n := l.network.Load(); n != nil {
		changed := *n
		l.publish(&changed)
	}
}

// Up is Link's.
func (l *tunLink) Up(f ppp.Family, agreed ppp.Network) {
	if l.closed {
		return
	}
	l.down(f)
	n := linkNetwork{}
	if old := l.network.Load(); old != nil {
		n = *old
	}
	n.up[f] = true
	n.routes = maskedRoutes(agreed.Routes)
	if f == ppp.IPv4 {
		n.local, n.peer = as4(agreed.LocalIPv4), as4(agreed.PeerIPv4)
	} else {
		n.localID, n.peerID = agreed.LocalID, agreed.PeerID
	}
	if err := l.claim(&n, f); err != nil {
		l.log.WithError(err).Warn("the session cannot have the address that it was given")
		l.fail(err)
		return
	}
	l.publish(&n)
	if l.own == nil {
		l.told[f] = true
		l.events.Up(f, Attachment{Interface: l.Name(), Send: l.sendOwn})
	}
}

// fail tells the builtin later, as Link wants it.
func (l *tunLink) fail(err error) {
	events := l.events
	l.owner.Post(func(now time.Time) { events.Failed(now, err) })
}

// publish fills in the sizes and lets the data path see n.
func (l *tunLink) publish(n *linkNetwork) {
	n.mtu = min(l.agreed.PeerMRU, MaxFrame-pppHeader)
	if l.mtu > 0 {
		n.mtu = min(n.mtu, l.mtu)
	}
	n.clamp = 0
	if l.clamp {
		n.clamp = min(n.mtu, l.agreed.LocalMRU)
	}
	l.network.Store(n)
	if l.own != nil {
		l.own.changed(l)
	}
}

// Down is Link's.
func (l *tunLink) Down(f ppp.Family) {
	if l.closed {
		return
	}
	if l.down(f) && l.own != nil {
		l.own.changed(l)
	}
}

func (l *tunLink) down(f ppp.Family) bool {
	old := l.network.Load()
	if old == nil || !old.up[f] {
		return false
	}
	n := *old
	n.up[f] = false
	l.told[f] = false
	l.network.Store(&n)
	l.disclaim(old, f)
	return true
}

// prefixes are what belongs to the peer in a family.
func (n *linkNetwork) prefixes(f ppp.Family, lns bool) []netip.Prefix {
	var all []netip.Prefix
	if f == ppp.IPv4 && lns && n.peer != [4]byte{} {
		// As a client we need no route to the peer: the packets for it have our
		// address as their source.
		all = append(all, netip.PrefixFrom(netip.AddrFrom4(n.peer), 32))
	}
	for _, r := range n.routes {
		if r.Addr().Is4() == (f == ppp.IPv4) {
			all = append(all, r)
		}
	}
	return all
}

// claim enters the session's addresses of a family, and has the kernel have what
// the shared TUN needs for them. Where a client has an interface of its own, it
// is the kernel's business alone.
func (l *tunLink) claim(n *linkNetwork, f ppp.Family) error {
	if l.own != nil && !l.lns {
		return nil
	}
	prefixes := n.prefixes(f, l.lns)
	if err := l.plane.table.claim(&l.addressHolder, prefixes); err != nil {
		return err
	}
	if l.own != nil {
		return nil
	}
	if f == ppp.IPv4 && !l.lns && n.local != [4]byte{} {
		if err := l.plane.table.claimSource(&l.addressHolder, netip.AddrFrom4(n.local)); err != nil {
			for _, p := range prefixes {
				l.plane.table.disclaim(&l.addressHolder, p)
			}
			return err
		}
	}
	for _, p := range prefixes {
		if l.plane.table.has(&l.addressHolder, p) {
			l.wantRoute(p, +1)
		}
	}
	l.wantAddress(n, f, +1)
	return nil
}

// disclaim undoes claim.
func (l *tunLink) disclaim(n *linkNetwork, f ppp.Family) {
	for _, p := range n.prefixes(f, l.lns) {
		if l.plane.table.disclaim(&l.addressHolder, p) && l.own == nil {
			l.wantRoute(p, -1)
		}
	}
	if l.own != nil {
		return
	}
	if f == ppp.IPv4 && !l.lns && n.local != [4]byte{} {
		l.plane.table.disclaimSource(&l.addressHolder, netip.AddrFrom4(n.local))
	}
	l.wantAddress(n, f, -1)
}

func (l *tunLink) wantRoute(p netip.Prefix, by int) {
	for _, a := range l.plane.aggregates {
		if a.Bits() <= p.Bits() && a.Contains(p.Addr()) {
			return
		}
	}
	l.want(kernelThing{prefix: p}, by)
}

// wantAddress: as an LNS our address is on the TUN once for all sessions; as a
// client each session has its own, and a route to the peer. The peer is not part
// of the address: addresses with one peer would be secondary ones of each other,
// and Linux takes those away with the first.
func (l *tunLink) wantAddress(n *linkNetwork, f ppp.Family, by int) {
	if f != ppp.IPv4 || n.local == [4]byte{} {
		return
	}
	address := func() { l.want(addressThing(netip.AddrFrom4(n.local)), by) }
	if by > 0 {
		address()
	}
	if !l.lns && n.peer != [4]byte{} {
		l.wantRoute(netip.PrefixFrom(netip.AddrFrom4(n.peer), 32), by)
	}
	if by < 0 {
		address()
	}
}

func (l *tunLink) want(thing kernelThing, by int) {
	if d := l.device.Load(); d != nil {
		l.plane.work.want(d.TUN.Index(), thing, by, l.plane.log)
	}
}

// Idle is Link's.
func (l *tunLink) Idle(now time.Time) (time.Duration, bool) {
	last := l.last.Load()
	return max(now.Sub(time.Unix(0, last)), 0), last != 0
}

// Close is Link's.
func (l *tunLink) Close() {
	if l.closed {
		return
	}
	l.down(ppp.IPv4)
	l.down(ppp.IPv6)
	l.closed = true
	l.network.Store(nil)
	if l.own != nil {
		l.own.close(l)
		return
	}
	l.plane.outbox.add(outItem{link: l})
}

// end is the last of a link, in the poller's goroutine.
func (l *tunLink) end(now time.Time) {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	if l.own != nil {
		if d := l.device.Swap(nil); d != nil {
			l.own.handler.unwatch()
			d.Release()
		}
	}
	l.events.Closed(now)
}

// Name is Link's.
func (l *tunLink) Name() string {
	if d := l.device.Load(); d != nil {
		return d.TUN.Name()
	}
	return ""
}

// Stats is Link's.
func (l *tunLink) Stats() circuit.Stats {
	c := &l.count
	return circuit.Stats{
		FramesIn: c.framesIn.Load(), BytesIn: c.bytesIn.Load(), FramesOut: c.framesOut.Load(), BytesOut: c.bytesOut.Load(),
		DropSource: c.source.Load(), DropNotUp: c.notUp.Load(), DropMalformed: c.malformed.Load(),
		DropTooBig: c.tooBig.Load(), DropQueueFull: c.queueFull.Load(), DropClosed: c.closed.Load(),
		DropLoop: c.loops.Load(),
	}
}

func maskedRoutes(routes []netip.Prefix) []netip.Prefix {
	for i, r := range routes {
		if r != r.Masked() {
			masked := append([]netip.Prefix(nil), routes...)
			for j := i; j < len(masked); j++ {
				masked[j] = masked[j].Masked()
			}
			return masked
		}
	}
	return routes
}

func as4(a netip.Addr) (b [4]byte) {
	if a = a.Unmap(); a.Is4() {
		b = a.As4()
	}
	return b
}
