package aaa

import (
	"cmp"
	"time"

	"adit/internal/circuit"
	"adit/lns/autoconf"
	"adit/lns/hooks"
	"adit/lns/subscriber"
	"adit/pppbridge"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// Autoconf is what the layer needs of lns/autoconf: its Service.
type Autoconf interface {
	Attach(id string, sub autoconf.Subscriber, iface string, send func(packet []byte))
	Update(id string, sub autoconf.Subscriber)
	Detach(id string)
	Packet(id string, packet []byte)
}

// networkUp says that packets of a family flow.
func (s *Session) networkUp(f ppp.Family, n ppp.Network, a pppbridge.Attachment) {
	g := s.grant
	if g == nil || !g.accepted || s.line == nil {
		return // it was refused, and ends; or LCP has begun anew meanwhile
	}
	net := &s.network
	net.up[f], net.agreed, net.attachment = true, n, a
	if f == ppp.IPv4 && (g.own || !g.addresses.IPv4.IsValid()) {
		g.own, g.addresses.IPv4 = true, n.PeerIPv4 // it told us its own
	}
	if f == ppp.IPv6 {
		g.addresses.InterfaceID = n.PeerID
	}
	if g.service.User == "" {
		g.service.User = n.User // a pppd has asked its own files, and says who it is
	}
	if net.started.IsZero() {
		s.started(time.Now())
	}
	if c := s.layer.parts.Autoconf; c != nil {
		if net.attached {
			c.Update(s.id, s.facts())
		} else {
			net.attached = true
			c.Attach(s.id, s.facts(), a.Interface, a.Send)
		}
	}
	s.show()
}

// networkDown says that they do not any more.
func (s *Session) networkDown(f ppp.Family) {
	net := &s.network
	net.up[f] = false
	s.detachUnless(net.up[ppp.IPv4] || net.up[ppp.IPv6])
	s.show()
}

// detachUnless has the subscriber told nothing more, unless a family is up.
func (s *Session) detachUnless(up bool) {
	c := s.layer.parts.Autoconf
	switch {
	case c == nil || !s.network.attached:
	case up:
		c.Update(s.id, s.facts())
	default:
		s.network.attached = false
		c.Detach(s.id)
	}
}

// facts are what the subscriber is told if he asks.
func (s *Session) facts() autoconf.Subscriber {
	g, n := s.grant, &s.network
	svc := &g.service
	sub := autoconf.Subscriber{
		DNS: svc.DNS, WINS: svc.WINS, PushRoutes: svc.PushRoutes, Domain: svc.Domain,
		DNSv6: svc.DNSv6, PushRoutes6: svc.PushRoutes6, Quiet: svc.IdleTimeout > 0,
		// What is not configured for the link is what our endpoint takes.
		MTU: cmp.Or(s.profile.MTU, s.profile.Builtin.MRU),
	}
	if n.up[ppp.IPv4] {
		sub.Local, sub.Peer = n.agreed.LocalIPv4, n.agreed.PeerIPv4
	}
	if n.up[ppp.IPv6] {
		sub.LocalID = n.agreed.LocalID
		sub.Prefixes, sub.IPv6, sub.Delegated = g.addresses.Prefixes, g.addresses.IPv6, g.addresses.Delegated
	}
	return sub
}

// started is the begin of the session for accounting: its first network is up.
func (s *Session) started(now time.Time) {
	s.network.started = now
	g := s.grant
	if t := g.service.SessionTimeout; t > 0 {
		s.due.session = now.Add(t)
	}
	s.account(subscriber.RecordStart, now, subscriber.Counters{}, 0)
	s.firstInterim(now)
	s.layer.count.started.Add(1)
	if h := s.layer.parts.Hooks; h.Wants(hooks.SessionUp) {
		h.Run(hooks.SessionUp, s.id, hooks.Environment(s.hookFacts(nil)))
	}
}

// stopped is its end, with what it has counted.
func (s *Session) stopped(now time.Time, cause subscriber.TerminateCause, c subscriber.Counters) {
	net := &s.network
	s.detachUnless(false)
	if net.started.IsZero() {
		return
	}
	s.account(subscriber.RecordStop, now, c, cause)
	s.layer.count.stopped.Add(1)
	if h := s.layer.parts.Hooks; h.Wants(hooks.SessionDown) {
		h.Run(hooks.SessionDown, s.id, hooks.Environment(s.hookFacts(&hooks.Ended{
			Duration: now.Sub(net.started), Counters: c, Cause: cause,
		})))
	}
}

func (s *Session) hookFacts(ended *hooks.Ended) hooks.Facts {
	return hooks.Facts{
		Line: s.line, Service: &s.grant.service, Addresses: s.grant.addresses,
		LocalAddress: s.network.agreed.LocalIPv4, Interface: s.network.attachment.Interface, Ended: ended,
	}
}

// counted is what a bridge has counted. The kernel's numbers come first where it
// moves the data.
func counted(b circuit.Stats) subscriber.Counters {
	c := subscriber.Counters{OctetsIn: b.BytesIn, OctetsOut: b.BytesOut, PacketsIn: b.FramesIn, PacketsOut: b.FramesOut}
	if k := b.Kernel; k != nil {
		c = subscriber.Counters{OctetsIn: k.RxBytes, OctetsOut: k.TxBytes, PacketsIn: k.RxPackets, PacketsOut: k.TxPackets}
	}
	return c
}

// finish is the end of the session in the loop, once.
func (s *Session) finish(cause tunnel.Cause, exit *circuit.Exit) {
	if s.ended {
		return
	}
	now := time.Now()
	s.attempt.cancel()
	s.attempt = nil
	why := s.terminateCause(cause, exit)
	var c subscriber.Counters
	if exit != nil {
		c = counted(exit.Stats)
	}
	s.stopped(now, why, c)
	s.linkDown(now, why, c)
	s.leave(now)
	s.ended = true
	delete(s.layer.sessions, s.id)
	s.due = due{}
	s.rearm()
	s.view.Store(nil)
	s.makeRoom()
	for _, f := range s.gone {
		f()
	}
	s.gone = nil
}
