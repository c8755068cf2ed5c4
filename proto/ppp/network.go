package ppp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// ipv4 is an IPv4 address; 0: none.
type ipv4 uint32

func ipv4Of(a netip.Addr) ipv4 {
	if a = a.Unmap(); !a.Is4() {
		return 0
	}
	b := a.As4()
	return ipv4(binary.BigEndian.Uint32(b[:]))
}

// addr returns the address, or the zero Addr for none.
func (a ipv4) addr() netip.Addr {
	if a == 0 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func (a ipv4) octets() []byte { return octets4(uint32(a)) }

// UsableIPv4 says whether IPCP takes the address for that of a host.
func UsableIPv4(a netip.Addr) bool { return ipv4Of(a).usable() }

// usable says whether a host can have the address: it is not of 0/8 or 127/8, and
// neither multicast nor reserved nor broadcast.
func (a ipv4) usable() bool { return a>>24 != 0 && a>>24 != 127 && a>>24 < 224 }

// compactGrant is a Grant in a third of its memory.
type compactGrant struct {
	local, peer     ipv4
	dns, wins       [2]ipv4
	localID, peerID uint64
	routes          []netip.Prefix
	session, idle   time.Duration
}

func compact(g Grant) compactGrant {
	return compactGrant{
		local: ipv4Of(g.Local), peer: ipv4Of(g.Peer),
		dns:     [2]ipv4{ipv4Of(g.DNS[0]), ipv4Of(g.DNS[1])},
		wins:    [2]ipv4{ipv4Of(g.WINS[0]), ipv4Of(g.WINS[1])},
		localID: g.LocalID, peerID: g.PeerID,
		routes: g.Routes, session: max(g.SessionTimeout, 0), idle: max(g.IdleTimeout, 0),
	}
}

// over returns g where it is set, and below where it is not. Name servers are
// taken in pairs: a secondary of one and a primary of the other do not go
// together.
func (g compactGrant) over(below compactGrant) compactGrant {
	pick(&below.local, g.local)
	pick(&below.peer, g.peer)
	pick(&below.dns, g.dns)
	pick(&below.wins, g.wins)
	pick(&below.localID, g.localID)
	pick(&below.peerID, g.peerID)
	pick(&below.session, g.session)
	pick(&below.idle, g.idle)
	if g.routes != nil {
		below.routes = g.routes
	}
	return below
}

func pick[T comparable](to *T, v T) {
	if v != *new(T) {
		*to = v
	}
}

// Network returns what the network protocols agreed on so far.
func (e *Endpoint) Network() Network {
	n := Network{Routes: e.granted.routes}
	if e.has(flagAuthenticated) {
		n.User = e.user
	}
	if e.up[IPv4] {
		l := &e.ipcp
		n.LocalIPv4, n.PeerIPv4 = l.local.addr(), l.peer.addr()
		for i := range 2 {
			n.DNS[i], n.WINS[i] = l.servers[i].addr(), l.servers[2+i].addr()
		}
	}
	if e.up[IPv6] {
		n.LocalID, n.PeerID = e.ipv6cp.local, e.ipv6cp.peer
	}
	return n
}

// networkPhase opens the network protocols once nobody has to show any more who
// it is.
//
// RFC 1661 section 3.5: "Advancement from the Authentication phase to the
// Network-Layer Protocol phase MUST NOT occur until authentication has
// completed."
func (e *Endpoint) networkPhase() {
	if e.phase != PhaseAuthenticate || !e.has(flagAuthenticated) || !e.has(flagAnswered) {
		return
	}
	e.phase = PhaseNetwork
	e.authAt = 0
	for f := range Family(families) {
		if e.enabled(f) {
			e.run(e.ncp(f), evOpen)
			e.run(e.ncp(f), evUp)
		}
	}
	e.checkNetworks()
}

// enabled says whether a family is configured.
func (e *Endpoint) enabled(f Family) bool {
	switch f {
	case IPv4:
		return e.cfg.IPv4
	case IPv6:
		return e.cfg.IPv6
	}
	return false
}

// ncp returns the control protocol of a family.
func (e *Endpoint) ncp(f Family) layer {
	if f == IPv6 {
		return &e.ipv6cp
	}
	return &e.ipcp
}

// networkUp says that packets of a family may flow.
func (e *Endpoint) networkUp(f Family) {
	e.up[f] = true
	e.setupAt = 0
	// The session began with the first network. What a later verdict says can
	// shorten it, but a peer does not get more by negotiating anew.
	if s := e.granted.session; s > 0 && (e.sessionAt == 0 || e.now+s < e.sessionAt) {
		e.sessionAt = e.now + s
	}
	e.trafficAt = max(e.trafficAt, e.now)
	e.act(NetworkUp{Family: f, Network: e.Network()})
}

// networkDown says that they may not, if they might. A link that has to
// negotiate all its networks anew has the time of a new one for it.
func (e *Endpoint) networkDown(f Family) {
	if !e.up[f] {
		return
	}
	e.up[f] = false
	e.act(NetworkDown{Family: f})
	if !e.anyUp() && !e.has(flagClosing|flagFinished) {
		e.setupAt = e.now + e.cfg.setupTimeout()
	}
}

func (e *Endpoint) networksDown() {
	for f := range Family(families) {
		e.networkDown(f)
	}
}

func (e *Endpoint) anyUp() bool { return e.up[IPv4] || e.up[IPv6] }

// ncpGone takes the lower layer away from a network protocol: LCP is down, or
// the peer does not know the protocol.
func (e *Endpoint) ncpGone(l layer) {
	if l.automat().state >= stateClosed {
		e.run(l, evDown)
	}
}

// giveUp ends a layer that comes to no agreement.
func (e *Endpoint) giveUp(l layer, text string) {
	if l.protocol() == ProtocolLCP {
		e.fail(e.time(), CauseLCPFailed, CauseLCPFailed.String()+": "+text)
		return
	}
	e.run(l, evClose)
}

// checkNetworks ends the link when no network protocol is up, and none is under
// way.
func (e *Endpoint) checkNetworks() {
	if e.phase != PhaseNetwork || e.has(flagClosing) {
		return
	}
	for f := range Family(families) {
		if s := e.ncp(f).automat().state; e.enabled(f) && s > stateStopped {
			return
		}
	}
	c := CauseNoNetwork
	if e.cfg.IPv4 && e.ipcp.noAddress {
		c = CauseNoAddress
	}
	e.fail(e.time(), c, c.String())
}
