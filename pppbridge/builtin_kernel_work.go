package pppbridge

import (
	"errors"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/kernel"
	"adit/proto/ppp"
)

// npProtocols are the network protocols that the kernel's PPP knows: IPv4, IPv6,
// IPX, AppleTalk and MPLS. A new unit would pass them all.
var npProtocols = [...]uint16{0x0021, 0x0057, 0x002b, 0x0029, 0x0281, 0x0283}

// npProtocol is the PPP protocol number of a family's packets.
func npProtocol(f ppp.Family) uint16 {
	if f == ppp.IPv6 {
		return uint16(ppp.ProtocolIPv6)
	}
	return uint16(ppp.ProtocolIPv4)
}

// work brings the kernel to where the owner wants it, step by step, and looks
// again after each. It runs in a worker, of one link in one worker at a time.
func (l *kernelLink) work() {
	for {
		step := l.nextStep()
		if step == nil {
			return
		}
		if err := step(); err != nil {
			// What is up stays as it is until the owner closes it.
			l.broken = true
			l.fail(err)
		}
	}
}

// nextStep is what is to be done now; nil if there is nothing, and then the link
// is in no worker's hands any more.
func (l *kernelLink) nextStep() func() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.phase == linkReleased:
		return l.tearDown
	case l.phase != linkOpen || l.broken:
	case l.channel == nil:
		return l.bind
	default:
		for _, f := range [...]ppp.Family{ppp.IPv4, ppp.IPv6} {
			if old, n := l.applied[f], l.wanted[f]; old != n {
				l.applied[f] = n
				mtu := l.mtu()
				return func() error { return l.apply(f, old, n, mtu) }
			}
		}
	}
	l.queued = false
	return nil
}

// mtu is the interface's: what the peer takes, and no more than is configured.
// mu is held.
func (l *kernelLink) mtu() int {
	if l.maxMTU != 0 {
		return int(min(l.mru, l.maxMTU))
	}
	return int(l.mru)
}

// bind opens the channel: from now on it is where frames come from.
func (l *kernelLink) bind() error {
	drainSession(l.socket, l.deliver)
	c, err := l.plane.openChannel(l.socket)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.channel = c
	return l.watch(handleChannel, c.FD(), (*channelHandler)(l))
}

// watch has the poller read from a descriptor, unless it has let go of this link
// already. mu is held.
func (l *kernelLink) watch(handle, fd int, h kernel.Handler) (err error) {
	if l.phase < linkReleased {
		l.handles[handle], err = l.plane.poller.Add(fd, kernel.Readable, h)
	}
	return err
}

// apply takes what is up of a family down, and what is wanted of it up.
func (l *kernelLink) apply(f ppp.Family, old, n *ppp.Network, mtu int) error {
	if old != nil {
		l.takeDown(f, old)
		l.mu.Lock()
		l.disclaim(f, old)
		l.mu.Unlock()
	}
	if n == nil {
		return nil
	}
	if l.unit == nil {
		if err := l.makeUnit(); err != nil {
			return err
		}
	}
	up, err := l.bringUp(f, n, mtu)
	if up {
		_ = l.owner.Post(func(time.Time) { l.announce(f, n) }) // an owner that has ended needs no word
	}
	return err
}

// announce tells the endpoint that packets of a family flow, if they are still
// wanted to. It runs on the owner's goroutine.
func (l *kernelLink) announce(f ppp.Family, n *ppp.Network) {
	l.mu.Lock()
	wanted, name := l.phase == linkOpen && l.wanted[f] == n, l.name
	l.mu.Unlock()
	if wanted {
		l.events.Up(f, Attachment{Interface: name})
	}
}

// makeUnit makes the interface and puts the session under it. Nothing passes it
// yet.
func (l *kernelLink) makeUnit() error {
	u, err := l.plane.openUnit()
	if err != nil {
		return err
	}
	name, err := l.prepareUnit(u)
	if err != nil {
		_ = u.Close()
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unit, l.name = u, name
	// Only now: a unit without a channel is always at its end.
	return l.watch(handleUnit, u.FD(), (*unitHandler)(l))
}

func (l *kernelLink) prepareUnit(u pppUnit) (name string, err error) {
	for _, p := range npProtocols {
		// A kernel that does not know a protocol does not pass it.
		err = u.SetNPMode(p, kernel.NPDrop)
		if err != nil && (p == uint16(ppp.ProtocolIPv4) || p == uint16(ppp.ProtocolIPv6)) {
			return "", err
		}
	}
	if l.localMRU != 0 {
		if err = u.SetMRU(int(l.localMRU)); err != nil {
			return "", err
		}
	}
	name = u.Name()
	if l.pattern != "" {
		if name, err = l.plane.links.Rename(u.Index(), l.pattern); err != nil {
			return "", err
		}
	}
	if err := l.plane.links.DisableIPv6AutoLinkLocal(u.Index()); err != nil && !errors.Is(err, kernel.ErrNotSupported) {
		return "", err
	}
	return name, l.channel.Connect(u.Number())
}

// bringUp gives the interface its addresses and routes of a family, and lets its
// packets pass. An address that cannot be given ends the session; so that a
// machine without IPv6 can still be talked to by IPv4, there IPv6 stays down. A
// route that cannot be added is for the operator to see.
func (l *kernelLink) bringUp(f ppp.Family, n *ppp.Network, mtu int) (up bool, err error) {
	if err = l.setSourceFilter(); err != nil {
		return false, err
	}
	index := l.unit.Index()
	if err = l.plane.links.SetUp(index, mtu); err != nil {
		return false, err
	}
	if local, peer := linkAddress(f, n); local.IsValid() {
		err = l.plane.links.AddAddress(index, local, peer)
		switch {
		case err == nil:
		case f == ppp.IPv6 && (errors.Is(err, kernel.ErrNotSupported) || errors.Is(err, kernel.ErrPermission)):
			l.log().WithError(err).Warn("IPv6 stays down on the session's interface")
			return false, nil
		default:
			return false, err
		}
	}
	for _, p := range n.Routes {
		if p.Addr().Is4() != (f == ppp.IPv4) {
			continue
		}
		if missing := l.plane.links.AddRoute(index, p, kernel.RouteOptions{}); missing != nil {
			l.log().WithError(missing).WithField("prefix", p).Warn("a route of the session is missing")
		}
	}
	err = l.unit.SetNPMode(npProtocol(f), kernel.NPPass)
	return err == nil, err
}

// takeDown undoes bringUp. The interface stays, for a family may come back.
func (l *kernelLink) takeDown(f ppp.Family, n *ppp.Network) {
	if l.unit == nil {
		return
	}
	index := l.unit.Index()
	err := l.unit.SetNPMode(npProtocol(f), kernel.NPDrop)
	for _, p := range n.Routes {
		if p.Addr().Is4() == (f == ppp.IPv4) {
			// It may never have been added, which was logged then.
			_ = l.plane.links.RemoveRoute(index, p, kernel.RouteOptions{})
		}
	}
	if local, peer := linkAddress(f, n); local.IsValid() {
		err = errors.Join(err, l.plane.links.RemoveAddress(index, local, peer))
	}
	if err != nil {
		l.log().WithError(err).Debug("taking a network protocol down")
	}
}

func (l *kernelLink) log() *logrus.Entry { return l.entry.WithField("interface", l.Name()) }

// linkAddress is the address of our end, with the peer's for IPv4. In IPv6 the
// link-local prefix is on the link, so the peer needs no word of its own.
//
// RFC 5072 section 5: "The interface identifier of IPv6 unicast addresses [5] of a
// PPP interface SHOULD be negotiated in the IPV6CP phase of the PPP connection
// setup".
func linkAddress(f ppp.Family, n *ppp.Network) (local netip.Prefix, peer netip.Addr) {
	if f == ppp.IPv4 {
		if !n.LocalIPv4.IsValid() {
			return netip.Prefix{}, netip.Addr{}
		}
		return netip.PrefixFrom(n.LocalIPv4, 32), n.PeerIPv4
	}
	if n.LocalID == 0 {
		return netip.Prefix{}, netip.Addr{}
	}
	return netip.PrefixFrom(linkLocal(n.LocalID), 64), netip.Addr{}
}

// tearDown closes everything, in the order in which nothing is left dangling:
// the session from under the unit, the unit with its interface, the channel, the
// session. Each may take a grace period of the kernel.
func (l *kernelLink) tearDown() error {
	l.mu.Lock()
	l.readStats()
	unit, channel, socket := l.unit, l.channel, l.socket
	l.unit, l.channel, l.socket = nil, nil, nil
	l.phase = linkGone
	l.mu.Unlock()
	var errs []error
	if unit != nil {
		errs = append(errs, channel.Disconnect(), unit.Close())
	}
	if channel != nil {
		errs = append(errs, channel.Close())
	}
	if socket != nil {
		errs = append(errs, socket.Close())
	}
	if err := errors.Join(errs...); err != nil {
		l.log().WithError(err).Warn("closing the session in the kernel")
	}
	l.disclaimAll()
	l.plane.poller.Post(l.events.Closed)
	return nil
}
