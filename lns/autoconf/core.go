package autoconf

import (
	"encoding/binary"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"adit/internal/sparing"
	"adit/proto/ip"
)

// asksAtOnce and asksPerSecond bound what one peer may ask. A dual-stack router
// asks some five things when its link comes up.
const asksAtOnce, asksPerSecond = 16, 4

// Core answers, and says when to advertise. It has no clock, socket or goroutine;
// one goroutine at a time uses it and its Links. All its packets are whole IP
// packets.
type Core struct {
	duid   dhcpv6.DUID
	random func(below time.Duration) time.Duration
	counts counts
}

// Link is one peer's link, as Core knows it. The zero Link with a Subscriber is
// ready for Begin.
type Link struct {
	Subscriber
	asking   sparing.Bucket
	schedule schedule
}

// NewCore makes a Core. random returns a time from 0 on that is less than below,
// which is more than 0. The error says that the DUID is none.
func NewCore(duid []byte, random func(below time.Duration) time.Duration) (*Core, error) {
	d, err := parseDUID(duid)
	if err != nil {
		return nil, err
	}
	return &Core{duid: d, random: random}, nil
}

// Begin says that the link is up, or that what is advertised on it has changed.
func (c *Core) Begin(now time.Time, l *Link) {
	l.schedule = schedule{last: l.schedule.last}
	if l.LocalID != 0 {
		l.schedule.begin(now)
	}
}

// Deadline is when Tick wants to be called; zero: not at all.
func (l *Link) Deadline() time.Time { return l.schedule.deadline() }

// Tick returns the advertisements that are due.
func (c *Core) Tick(now time.Time, l *Link) (packets [][]byte) {
	if l.LocalID == 0 {
		return nil
	}
	if to, ok := l.schedule.unicastDue(now); ok {
		packets = append(packets, advertisement(&l.Subscriber, linkLocal(to)))
	}
	if l.schedule.multicastDue(now, &l.Subscriber, c.random) {
		packets = append(packets, advertisement(&l.Subscriber, allNodes))
	}
	c.counts[countAdvertisements].Add(uint64(len(packets)))
	return packets
}

// Answer returns the answers to a packet of the peer's. That to a Router
// Solicitation comes by Tick: see Deadline.
func (c *Core) Answer(now time.Time, l *Link, packet []byte) [][]byte {
	if !l.asking.Take(now, asksAtOnce, asksPerSecond) {
		c.counts.add(dropRate)
		return nil
	}
	h, payload, ok := parse(packet)
	if !ok {
		c.counts.add(dropMalformed)
		return nil
	}
	var answer []byte
	var port uint16
	if h.Protocol == ip.ProtocolUDP {
		port = binary.BigEndian.Uint16(payload[2:])
	}
	switch {
	case h.Version == 4 && port == portDHCPServer && l.Local.Is4():
		answer = c.inform(&l.Subscriber, &h, payload[lengthUDP:])
	case h.Version == 6 && h.Protocol == ip.ProtocolICMPv6 && l.LocalID != 0:
		c.solicited(now, l, packet, &h, payload)
	case h.Version == 6 && port == portDHCPv6Server && l.LocalID != 0:
		answer = c.dhcpv6(&l.Subscriber, &h, payload[lengthUDP:])
	default:
		c.counts.add(dropAddress)
	}
	if answer == nil {
		return nil
	}
	return [][]byte{answer}
}
