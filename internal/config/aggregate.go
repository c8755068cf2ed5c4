package config

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Prefixes are the fewest prefixes that hold the addresses of the pool and no
// others.
func (p *Pool) Prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, r := range p.Ranges {
		all = append(all, r.prefixes()...)
	}
	return all
}

func (r Range) prefixes() []netip.Prefix {
	first, last := r.First.As4(), r.Last.As4()
	next, end := uint64(binary.BigEndian.Uint32(first[:])), uint64(binary.BigEndian.Uint32(last[:]))
	var all []netip.Prefix
	for next <= end {
		// The largest block that begins here and does not reach beyond the end.
		size := min(bits.TrailingZeros64(next|1<<32), bits.Len64(end-next+1)-1)
		all = append(all, netip.PrefixFrom(addr4(uint32(next)), 32-size))
		next += 1 << size
	}
	return all
}
