package pppbridge

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/kernel"
	"adit/proto/ppp"
)

// Named is an Access that knows who the peer has shown to be. pppd tells that only
// where the peer did it by PAP.
type Named interface {
	// User may be called from any goroutine; empty: nobody as yet.
	User() string
}

// pppdNetworks tells a role's Access of the networks of a pppd, as its log lines
// give them away, and leads the routes behind the peer to its interface. It
// belongs to the poller's goroutine.
type pppdNetworks struct {
	p      *pppd
	routes pppdRoutes
	// state of each family, by ppp.Family.
	state [2]struct {
		begun bool
		told  bool   // Access knows it as up
		times uint32 // hints' at the time it began
	}
}

func newPPPDNetworks(p *pppd) *pppdNetworks {
	n := &pppdNetworks{p: p}
	n.routes = pppdRoutes{worker: &p.f.tun.work, log: p.spec.Log, done: n.routed}
	return n
}

// tell brings Access to what the lines say now.
func (n *pppdNetworks) tell() {
	h := &n.p.hints
	for _, f := range [...]ppp.Family{ppp.IPv4, ppp.IPv6} {
		s, hint := &n.state[f], h.networks[f]
		if s.begun && (!hint.up || s.times != hint.times) {
			n.down(f)
		}
		if !s.begun && hint.up && h.info.Interface != "" {
			s.begun, s.times = true, hint.times
			n.begin(f)
		}
	}
}

// begin has the routes made, and tells of the network when they are there: who is
// told may rely on them.
func (n *pppdNetworks) begin(f ppp.Family) {
	if a, ok := n.p.spec.Access.(Named); ok {
		if user := a.User(); user != "" {
			n.p.hints.info.User = user
		}
	}
	routes := ofFamily(n.p.spec.Access.Routes(), f)
	n.p.hints.info.Routes = append(otherFamily(n.p.hints.info.Routes, f), routes...)
	if len(routes) == 0 {
		n.up(f)
		return
	}
	n.routes.want(f, routeWish{name: n.p.hints.info.Interface, routes: routes, times: n.state[f].times})
}

// routed comes from the worker.
func (n *pppdNetworks) routed(f ppp.Family, times uint32) {
	n.p.post(func(time.Time) {
		if s := &n.state[f]; s.begun && !s.told && s.times == times {
			n.up(f)
		}
	})
}

func (n *pppdNetworks) up(f ppp.Family) {
	n.state[f].told = true
	n.p.spec.Access.NetworkUp(f, n.p.hints.network(), Attachment{Interface: n.p.hints.info.Interface})
}

func (n *pppdNetworks) down(f ppp.Family) {
	s := &n.state[f]
	s.begun = false
	if i := &n.p.hints.info; len(ofFamily(i.Routes, f)) > 0 {
		i.Routes = otherFamily(i.Routes, f)
		n.routes.want(f, routeWish{name: i.Interface, times: s.times})
	}
	if s.told {
		s.told = false
		n.p.spec.Access.NetworkDown(f)
	}
}

// end: pppd is gone, and its interface with it.
func (n *pppdNetworks) end() {
	n.routes.end()
	n.down(ppp.IPv4)
	n.down(ppp.IPv6)
}

func isOf(p netip.Prefix, f ppp.Family) bool { return p.Addr().Is4() == (f == ppp.IPv4) }

// ofFamily and otherFamily make new lists: the old one may be with a reader.
func ofFamily(list []netip.Prefix, f ppp.Family) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return !isOf(p, f) })
}

func otherFamily(list []netip.Prefix, f ppp.Family) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return isOf(p, f) })
}

// pppdRoutes are the routes to one pppd's interface. It is in the worker's queue
// once at most, however often a peer changes its mind.
type pppdRoutes struct {
	worker *tunWorker
	log    *logrus.Entry
	done   func(f ppp.Family, times uint32) // the worker's goroutine

	mu     sync.Mutex
	queued bool
	ended  bool
	wanted [2]routeWish // by ppp.Family

	// The worker's own.
	name  string
	index int
	there [2]routeWish
}

// routeWish is the routes of one family. Wishes with other times are another
// coming up: the kernel may have taken the routes of the last one away.
type routeWish struct {
	name   string // of the interface
	routes []netip.Prefix
	times  uint32
}

// want changes the wish for a family.
func (r *pppdRoutes) want(f ppp.Family, w routeWish) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted[f] = w
	if !r.queued && !r.ended {
		r.queued = true
		r.worker.add(r)
	}
}

// end: another interface may have the name soon. The kernel removes the routes
// with this one.
func (r *pppdRoutes) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// work is job's.
func (r *pppdRoutes) work(links *kernel.Links) {
	r.mu.Lock()
	r.queued = false
	wanted, ended := r.wanted, r.ended
	r.mu.Unlock()
	if ended {
		return
	}
	for f, w := range wanted {
		if have := &r.there[f]; have.times != w.times || len(have.routes) != len(w.routes) {
			r.change(links, have, w)
			if len(w.routes) > 0 {
				r.done(ppp.Family(f), w.times)
			}
		}
	}
}

// change removes the routes of before, and adds the new ones. What cannot be
// added is logged, and the session goes on without.
func (r *pppdRoutes) change(links *kernel.Links, have *routeWish, w routeWish) {
	if r.name != w.name {
		index, err := links.Index(w.name)
		if err != nil {
			if !errors.Is(err, kernel.ErrNoLink) { // pppd is ending
				r.log.WithError(err).Warn("the interface of pppd is not found, so the peer's networks have no route to it")
			}
			return
		}
		r.name, r.index = w.name, index
	}
	for _, p := range have.routes {
		err := links.RemoveRoute(r.index, p, kernel.RouteOptions{})
		if err != nil && !errors.Is(err, kernel.ErrNoRoute) && !errors.Is(err, kernel.ErrNoLink) {
			r.log.WithError(err).Warnf("the route %v to the peer cannot be removed", p)
		}
	}
	for _, p := range w.routes {
		err := links.AddRoute(r.index, p, kernel.RouteOptions{})
		switch {
		case err == nil, errors.Is(err, kernel.ErrNoLink):
		case errors.Is(err, kernel.ErrExists):
			r.log.Warnf("the network %v behind the peer is routed elsewhere already: give it to one subscriber, and remove other routes to it", p)
		default:
			r.log.WithError(err).Warnf("the network %v behind the peer cannot be routed to it", p)
		}
	}
	*have = w
}
