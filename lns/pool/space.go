package pool

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"adit/internal/config"
)

// pool is the state of one configured pool. What it has to give is numbered from
// 0, through its ranges or prefixes in the order of the file, so that nothing has
// to be made of what nobody has had: the /64s of a /32 are 2^32.
type pool struct {
	name   string
	length int      // of the prefixes given out; 32 for IPv4
	blocks []*block // in the order of the file, and so of base
	free   fresh
	leases map[uint64]*lease // in use, or had by somebody

	inUse             int
	rest, quarantined list
	had               map[string]*lease // by holder: the first of the chain of what is free
}

// block is a range of IPv4 addresses or a prefix of IPv6 of a pool.
type block struct {
	pool  *pool
	first netip.Addr
	last  netip.Addr // the last address of it all
	base  uint64     // number of first in the pool
	count uint64
}

// maxSize bounds a pool, so that numbers of its prefixes never overflow. More
// than that nobody will ever give out.
const maxSize = 1 << 63

// lay makes the pools of the configuration.
func (s *Set) lay(pools map[string]*config.Pool) error {
	for name, c := range pools {
		p := &pool{name: name, length: 32, leases: make(map[uint64]*lease), had: make(map[string]*lease)}
		for _, r := range c.Ranges {
			first, last := number(r.First.Unmap()), number(r.Last.Unmap())
			p.add(r.First.Unmap(), r.Last.Unmap(), last.lo-first.lo+1)
		}
		if len(c.IPv6) > 0 {
			p.length = c.Length
		}
		for _, prefix := range c.IPv6 {
			prefix = prefix.Masked()
			n := c.Length - prefix.Bits()
			if n < 0 {
				return fmt.Errorf("pool %s: %s cannot be cut into prefixes of length %d", name, prefix, c.Length)
			}
			count := uint64(maxSize)
			if n < 63 {
				count = 1 << n
			}
			p.add(prefix.Addr(), lastOf(prefix), count)
		}
		s.pools[name] = p
		s.blocks = append(s.blocks, p.blocks...)
	}
	slices.SortFunc(s.blocks, func(a, b *block) int { return a.first.Compare(b.first) })
	for i := 1; i < len(s.blocks); i++ {
		if a, b := s.blocks[i-1], s.blocks[i]; !a.last.Less(b.first) {
			return fmt.Errorf("pools %s and %s overlap at %s: an address may be in one pool only", a.pool.name, b.pool.name, b.first)
		}
	}
	return nil
}

func (p *pool) add(first, last netip.Addr, count uint64) {
	count = min(count, maxSize-p.free.size)
	p.blocks = append(p.blocks, &block{pool: p, first: first, last: last, base: p.free.size, count: count})
	p.free.size += count
}

// at is the prefix with number i.
func (p *pool) at(i uint64) netip.Prefix {
	n, ok := slices.BinarySearchFunc(p.blocks, i, func(b *block, i uint64) int { return cmp.Compare(b.base, i) })
	if !ok {
		n--
	}
	b := p.blocks[n]
	if b.first.Is4() {
		return netip.PrefixFrom(number(b.first).add(u128{0, i - b.base}).addr4(), 32)
	}
	return netip.PrefixFrom(number(b.first).add(shifted(i-b.base, 128-p.length)).addr6(), p.length)
}

// find is the block in which prefix is one of those given out, and its number;
// nil: there is none.
func (s *Set) find(prefix netip.Prefix) (*block, uint64) {
	b := s.before(prefix.Addr())
	if b == nil || b.pool.length != prefix.Bits() || b.first.Is4() != prefix.Addr().Is4() || b.last.Less(prefix.Addr()) {
		return nil, 0
	}
	offset, ok := b.offset(prefix.Addr())
	if !ok {
		return nil, 0
	}
	return b, b.base + offset
}

// before is the last block that begins at or before addr; nil: none does.
func (s *Set) before(addr netip.Addr) *block {
	n, ok := slices.BinarySearchFunc(s.blocks, addr, func(b *block, a netip.Addr) int { return b.first.Compare(a) })
	if !ok {
		n--
	}
	if n < 0 {
		return nil
	}
	return s.blocks[n]
}

// inPools says whether any address of prefix is in a pool.
func (s *Set) inPools(prefix netip.Prefix) bool {
	b := s.before(lastOf(prefix))
	return b != nil && b.first.Is4() == prefix.Addr().Is4() && !b.last.Less(prefix.Addr())
}

// offset is how many prefixes lie before the one with addr; false: addr is
// beyond those that are counted.
func (b *block) offset(addr netip.Addr) (uint64, bool) {
	d := number(addr).sub(number(b.first))
	if !addr.Is4() {
		d = d.shiftRight(128 - b.pool.length)
	}
	return d.lo, d.hi == 0 && d.lo < b.count
}

// lastIn is the number of the last prefix of the pool that lies in or has
// addresses of prefix, in the same block as number i.
func (p *pool) lastIn(prefix netip.Prefix, i uint64) uint64 {
	n, ok := slices.BinarySearchFunc(p.blocks, i, func(b *block, i uint64) int { return cmp.Compare(b.base, i) })
	if !ok {
		n--
	}
	b := p.blocks[n]
	last := lastOf(prefix)
	if last.Less(b.first) {
		return i
	}
	offset, ok := b.offset(last)
	if !ok {
		offset = b.count - 1
	}
	return max(i, b.base+offset)
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	if a := p.Addr(); a.Is4() {
		return number(a).add(u128{0, 1<<(32-p.Bits()) - 1}).addr4()
	}
	mask := u128{^uint64(0), ^uint64(0)}.shiftRight(p.Bits())
	n := number(p.Addr())
	return u128{n.hi | mask.hi, n.lo | mask.lo}.addr6()
}

// u128 is an address as a number.
type u128 struct{ hi, lo uint64 }

func number(a netip.Addr) u128 {
	if a.Is4() {
		b := a.As4()
		return u128{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return u128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// shifted is v times 2^n.
func shifted(v uint64, n int) u128 {
	if n >= 64 {
		return u128{v << (n - 64), 0}
	}
	return u128{v >> (64 - n), v << n}
}

func (a u128) add(b u128) u128 {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, carry)
	return u128{hi, lo}
}

func (a u128) sub(b u128) u128 {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, borrow)
	return u128{hi, lo}
}

func (a u128) shiftRight(n int) u128 {
	if n >= 64 {
		return u128{0, a.hi >> (n - 64)}
	}
	return u128{a.hi >> n, a.lo>>n | a.hi<<(64-n)}
}

func (a u128) addr4() netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(a.lo))
	return netip.AddrFrom4(b)
}

func (a u128) addr6() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}
