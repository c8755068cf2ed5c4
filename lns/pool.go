package lns

import (
	"net/netip"
	"sync"

	"adit/internal/config"
)

// pool hands out the addresses of a configured pool, each to one call at a
// time. The lock is held for a few instructions, by any shard.
type pool struct {
	mu     sync.Mutex
	ranges []config.Range
	inUse  map[netip.Addr]bool
	// The walk goes on from here, so that a freed address rests for as long as
	// the pool is large before another peer gets it.
	current int
	next    netip.Addr
	size    uint64
}

func newPool(p *config.Pool) *pool {
	q := &pool{ranges: p.Ranges, inUse: make(map[netip.Addr]bool)}
	for _, r := range p.Ranges {
		q.size += addressCount(r)
	}
	if len(q.ranges) > 0 {
		q.next = q.ranges[0].First
	}
	return q
}

// take returns a free address, or false when all are in use. The address skip,
// our own end of the link, is never handed out.
func (p *pool) take(skip netip.Addr) (netip.Addr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for tried := uint64(0); tried < p.size; tried++ {
		addr := p.step()
		if addr != skip && !p.inUse[addr] {
			p.inUse[addr] = true
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// step returns the next address of the walk and moves on.
func (p *pool) step() netip.Addr {
	addr := p.next
	if addr == p.ranges[p.current].Last {
		p.current = (p.current + 1) % len(p.ranges)
		p.next = p.ranges[p.current].First
	} else {
		p.next = addr.Next()
	}
	return addr
}

func (p *pool) giveBack(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.inUse, addr)
}

// used returns how many addresses are taken, and of how many.
func (p *pool) used() (taken int, size uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.inUse), p.size
}

// addressCount is the number of addresses in r. Pools are IPv4, so it fits.
func addressCount(r config.Range) uint64 {
	first, last := r.First.As4(), r.Last.As4()
	number := func(b [4]byte) uint64 {
		return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	}
	return number(last) - number(first) + 1
}
