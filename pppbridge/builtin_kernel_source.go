package pppbridge

import (
	"errors"
	"net/netip"
	"slices"

	"adit/internal/kernel"
	"adit/proto/ppp"
)

// peerPrefixes appends what belongs to the peer in a family: its address and the
// routes.
func peerPrefixes(all []netip.Prefix, f ppp.Family, n *ppp.Network) []netip.Prefix {
	if a := n.PeerIPv4.Unmap(); f == ppp.IPv4 && a.Is4() && !a.IsUnspecified() {
		all = append(all, netip.PrefixFrom(a, 32))
	}
	for _, r := range n.Routes {
		if r.IsValid() && r.Addr().Is4() == (f == ppp.IPv4) {
			all = append(all, r.Masked())
		}
	}
	return all
}

// claim enters the addresses of a family in the table, as an LNS: with
// ErrAddressTaken none of them. A client's are the kernel's business alone. mu is
// held.
func (l *kernelLink) claim(f ppp.Family, n *ppp.Network) error {
	if !l.lns || n == nil {
		return nil
	}
	return l.plane.table.claim(&l.addressHolder, peerPrefixes(nil, f, n))
}

// disclaim gives addresses of a family back that are neither wanted nor still in
// the kernel: who gets them next shall find no route of ours in his way. mu is
// held.
func (l *kernelLink) disclaim(f ppp.Family, n *ppp.Network) {
	if !l.lns || n == nil || n == l.applied[f] {
		return
	}
	var keep []netip.Prefix
	for _, other := range [...]*ppp.Network{l.wanted[f], l.applied[f]} {
		if other != nil {
			keep = peerPrefixes(keep, f, other)
		}
	}
	l.giveBack(f, n, keep)
}

// disclaimAll gives all addresses back, once the interface is gone.
func (l *kernelLink) disclaimAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range [...]ppp.Family{ppp.IPv4, ppp.IPv6} {
		for _, n := range [...]*ppp.Network{l.wanted[f], l.applied[f]} {
			if n != nil {
				l.giveBack(f, n, nil)
			}
		}
		l.wanted[f], l.applied[f] = nil, nil
	}
}

func (l *kernelLink) giveBack(f ppp.Family, n *ppp.Network, keep []netip.Prefix) {
	for _, p := range peerPrefixes(nil, f, n) {
		if !slices.Contains(keep, p) {
			l.plane.table.disclaim(&l.addressHolder, p)
		}
	}
}

// setSourceFilter has the interface take from the peer what it is to take now, as
// an LNS; of an LNS a client takes what comes. What goes out it lets be. A peer
// whose addresses do not go into a filter gets no interface.
//
// In IPv6 the peer's link-local address is its own too: RFC 5072 section 5 makes
// it of the interface identifier that IPv6CP agreed on.
func (l *kernelLink) setSourceFilter() error {
	if !l.lns {
		return nil
	}
	var sources []netip.Prefix
	for _, f := range [...]ppp.Family{ppp.IPv4, ppp.IPv6} {
		n := l.applied[f]
		if n == nil {
			continue
		}
		if sources = peerPrefixes(sources, f, n); f == ppp.IPv6 && n.PeerID != 0 {
			sources = append(sources, netip.PrefixFrom(linkLocal(n.PeerID), 128))
		}
	}
	program, err := kernel.SourceFilter(sources)
	if err != nil {
		l.log().WithError(err).Warn("the session cannot have all its routes on the kernel plane")
		return err
	}
	err = l.unit.SetPassFilter(program)
	if errors.Is(err, kernel.ErrNotSupported) {
		l.plane.unfiltered.Do(func() {
			l.log().WithError(err).Warn("the source addresses of subscribers on the kernel plane are not checked, " +
				"of this session nor of others; set rp_filter, or take dataplane = \"userspace\"")
		})
		return nil
	}
	return err
}
