package lns

import (
	"net/netip"
	"sync"

	"adit/internal/config"
)

// pool hands out the addresses of a configured pool, each to one call at a
// time: first those that nobody has had, then those that were given back, the
// one that has rested longest first. No call searches it, however large it is:
// the lock is held for a few instructions, by any shard.
type pool struct {
	mu     sync.Mutex
	ranges []config.Range // the rest of what nobody has had
	freed  []netip.Addr   // in the order of their coming back
	inUse  map[netip.Addr]bool
}

func newPool(p *config.Pool) *pool {
	return &pool{ranges: append([]config.Range(nil), p.Ranges...), inUse: make(map[netip.Addr]bool)}
}

// take returns a free address, or false when all are in use. Our own end of the
// link is not among them: the configuration may not have it in a pool.
func (p *pool) take() (addr netip.Addr, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.ranges) > 0:
		r := &p.ranges[0]
		addr = r.First
		if r.First = addr.Next(); addr == r.Last {
			p.ranges = p.ranges[1:]
		}
	case len(p.freed) > 0:
		addr = p.freed[0]
		p.freed = p.freed[1:]
	default:
		return addr, false
	}
	p.inUse[addr] = true
	return addr, true
}

// giveBack ends the use of an address. One that is not in use stays as it is.
func (p *pool) giveBack(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inUse[addr] {
		delete(p.inUse, addr)
		p.freed = append(p.freed, addr)
	}
}
