package pppbridge

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/ppp"
)

// ownInterface is a TUN for one session alone. The worker makes it with the
// first network protocol, and the poller reads it.
type ownInterface struct {
	name    string
	mu      sync.Mutex
	queued  bool
	closing bool
	// applied is what the worker has made. It alone changes it, under mu.
	applied [2]*linkNetwork

	// The worker's own.
	mtu    uint16
	broken bool

	handler *queueHandler // the worker's until closing, then the poller's
}

// changed has the worker look again.
func (o *ownInterface) changed(l *tunLink) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.queued {
		o.queued = true
		l.plane.work.add(l)
	}
}

func (o *ownInterface) close(l *tunLink) {
	o.mu.Lock()
	o.closing = true
	o.mu.Unlock()
	o.changed(l)
}

// work is job's.
func (l *tunLink) work(links *kernel.Links) {
	o := l.own
	o.mu.Lock()
	o.queued = false
	closing := o.closing
	o.mu.Unlock()
	if closing {
		// Nothing is made after this, and the end takes everything down.
		l.plane.outbox.add(outItem{link: l})
		return
	}
	n := l.network.Load()
	if n == nil || o.broken {
		return
	}
	if err := l.apply(links, n); err != nil {
		o.broken = true
		l.log.WithError(err).Warn("the session's interface cannot be made")
		l.fail(err)
		return
	}
	l.owner.Post(func(time.Time) { l.announce() })
}

// announce tells the endpoint what the worker has made and is still wanted, once.
// It runs on the owner's goroutine.
func (l *tunLink) announce() {
	n := l.network.Load()
	if n == nil {
		return
	}
	for _, f := range [...]ppp.Family{ppp.IPv4, ppp.IPv6} {
		l.own.mu.Lock()
		made := l.own.applied[f]
		l.own.mu.Unlock()
		if made != nil && n.up[f] && !l.told[f] && sameFamily(f, made, n) {
			l.told[f] = true
			l.events.Up(f, Attachment{Interface: l.Name()})
		}
	}
}

// sameFamily says whether two networks give an interface the same of a family.
func sameFamily(f ppp.Family, a, b *linkNetwork) bool {
	if f == ppp.IPv4 {
		return a.local == b.local && a.peer == b.peer && slices.Equal(a.routes, b.routes)
	}
	return a.localID == b.localID && a.peerID == b.peerID && slices.Equal(a.routes, b.routes)
}

// setApplied is the worker's way to change applied.
func (o *ownInterface) setApplied(f ppp.Family, n *linkNetwork) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.applied[f] = n
}

// apply makes the interface what n says.
func (l *tunLink) apply(links *kernel.Links, n *linkNetwork) error {
	o := l.own
	d := l.device.Load()
	if d == nil {
		tun, err := kernel.OpenTUN(kernel.TUNOptions{Name: o.name, MTU: int(n.mtu)})
		if err != nil {
			return err
		}
		d = circuit.NewDevice(tun)
		o.mtu = n.mtu
		if err = setUpShared(links, tun.Index(), &TUNConfig{}); err == nil {
			o.handler = &queueHandler{reader: l.plane.reader, device: d, queue: tun.Queue(0), link: l, poller: l.plane.poller}
			err = o.handler.watch()
		}
		if err != nil {
			d.Release()
			return err
		}
		l.device.Store(d)
	}
	if o.mtu != n.mtu {
		if err := links.SetMTU(d.TUN.Index(), int(n.mtu)); err != nil {
			return err
		}
		o.mtu = n.mtu
	}
	for _, f := range [...]ppp.Family{ppp.IPv4, ppp.IPv6} {
		if err := l.applyFamily(links, d.TUN.Index(), f, n); err != nil {
			return fmt.Errorf("set %v up: %w", f, err)
		}
	}
	return nil
}

func (l *tunLink) applyFamily(links *kernel.Links, index int, f ppp.Family, n *linkNetwork) error {
	o := l.own
	old := o.applied[f]
	if old != nil && n.up[f] && sameFamily(f, old, n) {
		return nil
	}
	if old != nil {
		o.setApplied(f, nil)
		local, peer := old.addresses(f)
		for _, r := range old.prefixes(f, false) {
			_ = links.RemoveRoute(index, r, kernel.RouteOptions{}) // gone with its address, perhaps
		}
		if err := links.RemoveAddress(index, local, peer); err != nil {
			return err
		}
	}
	if !n.up[f] {
		return nil
	}
	local, peer := n.addresses(f)
	if local.IsValid() {
		if err := links.AddAddress(index, local, peer); err != nil {
			return err
		}
	}
	for _, r := range n.prefixes(f, false) {
		if err := links.AddRoute(index, r, kernel.RouteOptions{}); err != nil {
			return err
		}
	}
	o.setApplied(f, n)
	return nil
}

// addresses are both ends' of a family.
func (n *linkNetwork) addresses(f ppp.Family) (local netip.Prefix, peer netip.Addr) {
	if f == ppp.IPv6 {
		return netip.PrefixFrom(linkLocal(n.localID), 128), linkLocal(n.peerID)
	}
	if n.local == [4]byte{} {
		return netip.Prefix{}, netip.Addr{}
	}
	if n.peer != [4]byte{} {
		peer = netip.AddrFrom4(n.peer)
	}
	return netip.PrefixFrom(netip.AddrFrom4(n.local), 32), peer
}
