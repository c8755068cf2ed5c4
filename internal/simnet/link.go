package simnet

import (
	"bytes"
	"time"
)

// Link says what happens to packets between two nodes, in each direction. The
// zero Link delivers everything, once, in order and without delay.
type Link struct {
	Loss      float64 // share of packets that never arrive, 0 to 1
	Duplicate float64 // share of the others that arrive twice, 0 to 1
	// Reorder is the share of packets, 0 to 1, that are held back so that later
	// ones can overtake them. The others keep their order whatever the Jitter.
	Reorder float64
	Delay   time.Duration // the least time under way
	Jitter  time.Duration // up to this much is added to Delay
}

// Fate is what became of a packet that was sent.
type Fate uint8

// What can become of a packet.
const (
	Sent        Fate = iota // is under way
	Lost                    // fell to the link's Loss
	Duplicated              // a second copy is under way
	Held                    // is under way and held back
	Delivered               // reached its node
	Unreachable             // reached an address with no node
)

// String is the fate in a word.
func (f Fate) String() string {
	switch f {
	case Sent:
		return "sent"
	case Lost:
		return "lost"
	case Duplicated:
		return "duplicated"
	case Held:
		return "held"
	case Delivered:
		return "delivered"
	case Unreachable:
		return "unreachable"
	}
	return "unknown"
}

// Tap sees each packet when its fate is decided: once when it is sent (Sent,
// Held or Lost, and Duplicated for a copy) and once on each arrival (Delivered
// or Unreachable). It must not keep or change packet.
type Tap func(now time.Time, from, to Addr, packet []byte, fate Fate)

// Stats counts packets by fate. Sent counts all calls of Send.
type Stats struct {
	Sent, Lost, Duplicated, Held, Delivered, Unreachable int
}

// Stats returns the counts so far.
func (n *Net) Stats() Stats { return n.stats }

// Tap adds an observer of all packets.
func (n *Net) Tap(t Tap) { n.taps = append(n.taps, t) }

// SetLink changes the link in the one direction from -> to, for packets sent
// from now on. The addresses are those of the nodes, behind any NAT.
func (n *Net) SetLink(from, to Addr, link Link) { n.links[route{from, to}] = &link }

// SetDefaultLink changes the link between all nodes that have none of their own.
func (n *Net) SetDefaultLink(link Link) { n.link = link }

// Rebind puts the node inside behind a NAT binding: the others see its packets
// come from outside, and reach it there. The binding replaces the node's former
// one, packets to which are dropped from then on, also those under way. With
// outside equal to inside the node has its own address again.
func (n *Net) Rebind(inside, outside Addr) {
	if old, ok := n.outside[inside]; ok {
		delete(n.inside, old)
		delete(n.outside, inside)
	}
	if inside != outside {
		n.outside[inside] = outside
		n.inside[outside] = inside
	}
}

// Send puts a copy of packet on the link from -> to.
func (n *Net) Send(from, to Addr, packet []byte) {
	n.stats.Sent++
	source, target := from, to
	if outside, ok := n.outside[from]; ok {
		source = outside
	}
	if inside, ok := n.inside[to]; ok {
		target = inside
	}
	r := route{from, target}
	link := &n.link
	if own, ok := n.links[r]; ok {
		link = own
	}
	if n.chance(link.Loss) {
		n.stats.Lost++
		n.observe(source, to, packet, Lost)
		return
	}
	n.carry(link, r, source, to, packet, Sent)
	if n.chance(link.Duplicate) {
		n.stats.Duplicated++
		n.carry(link, r, source, to, packet, Duplicated)
	}
}

func (n *Net) carry(link *Link, r route, source, to Addr, packet []byte, fate Fate) {
	at := n.now.Add(link.Delay + n.upTo(link.Jitter))
	if n.chance(link.Reorder) {
		n.stats.Held++
		if fate == Sent {
			fate = Held
		}
		at = at.Add(time.Millisecond + n.upTo(4*(link.Delay+link.Jitter)))
	} else {
		if last := n.lastArrival[r]; at.Before(last) {
			at = last
		}
		n.lastArrival[r] = at
	}
	n.observe(source, to, packet, fate)
	copied := bytes.Clone(packet)
	n.schedule(event{at: at, run: func(time.Time) { n.deliver(source, to, copied) }})
}

// deliver looks the node up on arrival, so that a node that moved, or came or
// went meanwhile, is treated as a real network would.
func (n *Net) deliver(source, to Addr, packet []byte) {
	target := to
	if inside, ok := n.inside[to]; ok {
		target = inside
	} else if outside, ok := n.outside[to]; ok && outside != to {
		// An address behind a NAT cannot be reached from without.
		n.unreachable(source, to, packet)
		return
	}
	h, ok := n.nodes[target]
	if !ok || h == nil {
		n.unreachable(source, to, packet)
		return
	}
	n.stats.Delivered++
	n.observe(source, to, packet, Delivered)
	h(n.now, source, packet)
}

func (n *Net) unreachable(source, to Addr, packet []byte) {
	n.stats.Unreachable++
	n.observe(source, to, packet, Unreachable)
}

func (n *Net) observe(from, to Addr, packet []byte, fate Fate) {
	for _, t := range n.taps {
		t(n.now, from, to, packet, fate)
	}
}

func (n *Net) chance(p float64) bool { return p > 0 && n.rand.Float64() < p }

func (n *Net) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(n.rand.Int64N(int64(d) + 1))
}
