package config

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// placedRange is a range and the key it stands at.
type placedRange struct {
	Range
	key string
}

func (c *checker) checkPools(raw map[string]rawPool) {
	c.cfg.Pools = map[string]*Pool{}
	var all []placedRange
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		at, r := joinKey("pools", name), raw[name]
		pool := &Pool{Name: name, Rest: c.duration(joinKey(at, "rest"), r.Rest, 24*time.Hour, 0, long)}
		c.cfg.Pools[name] = pool
		if r.Prefixes != nil || r.Length != nil {
			c.poolOfIPv6(at, r, pool)
			continue
		}
		all = append(all, c.poolOfIPv4(at, r, pool)...)
	}
	c.checkOverlaps(all)
}

func (c *checker) poolOfIPv4(at string, raw rawPool, pool *Pool) []placedRange {
	var all []placedRange
	key := joinKey(at, "ranges")
	if len(raw.Ranges) == 0 {
		c.missing(key, `is missing; write ranges = ["10.0.0.10-10.0.0.200"], or prefixes and length for IPv6`)
	}
	for i, text := range raw.Ranges {
		at := joinIndex(key, i)
		r, problem := parseRange(text)
		if problem != "" {
			c.missing(at, "%q %s", text, problem)
			continue
		}
		if !r.areHosts() {
			c.add(at, "%v has addresses of 0.0.0.0/8, of 127.0.0.0/8 or above 223.255.255.255, which no peer can have; take them out", r)
		}
		pool.Ranges = append(pool.Ranges, r)
		all = append(all, placedRange{r, at})
	}
	return all
}

// checkOverlaps finds addresses that would be given out twice.
func (c *checker) checkOverlaps(all []placedRange) {
	slices.SortStableFunc(all, func(a, b placedRange) int { return a.First.Compare(b.First) })
	var before placedRange // the one that reaches furthest so far
	for _, r := range all {
		if before.key != "" && r.First.Compare(before.Last) <= 0 {
			later, earlier := r, before
			if c.lines.find(later.key) < c.lines.find(earlier.key) {
				later, earlier = earlier, later
			}
			c.add(later.key, "%v overlaps with %v in %s; an address may be in one pool only", later.Range, earlier.Range, earlier.key)
		}
		if before.key == "" || r.Last.Compare(before.Last) > 0 {
			before = r
		}
	}
}

// notIPv4 ends the sentence about a range.
const notIPv4 = "is not IPv4; ranges hold the addresses that IPCP assigns, and prefixes those of IPv6"

// parseRange reads "first-last", "address/length" or "address". The second
// result says what is wrong.
func parseRange(s string) (Range, string) {
	const forms = `write "10.0.0.10-10.0.0.200", "10.1.0.0/24" or one address`
	if first, last, ok := strings.Cut(s, "-"); ok {
		a, errA := netip.ParseAddr(strings.TrimSpace(first))
		b, errB := netip.ParseAddr(strings.TrimSpace(last))
		switch {
		case errA != nil || errB != nil:
			return Range{}, "is not a range; " + forms
		case !a.Is4() || !b.Is4():
			return Range{}, notIPv4
		case b.Less(a):
			return Range{}, "ends before it begins; write the lower address first"
		}
		return Range{a, b}, ""
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		if !addr.Is4() {
			return Range{}, notIPv4
		}
		return Range{addr, addr}, ""
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return Range{}, "is not a range; " + forms
	case !prefix.Addr().Is4():
		return Range{}, notIPv4
	case prefix.Masked() != prefix:
		return Range{}, "has bits set beyond its length; write \"" + prefix.Masked().String() + "\""
	case prefix.Bits() < 8:
		return Range{}, "is larger than any network in use; write a length of 8 or more"
	}
	return prefixRange(prefix), ""
}

// prefixRange leaves out the first and the last address of a prefix, because
// many hosts take them for the network and its broadcast address. A /31 and a
// /32 have no such addresses.
func prefixRange(p netip.Prefix) Range {
	base := p.Addr().As4()
	first := binary.BigEndian.Uint32(base[:])
	last := first | uint32(1<<(32-p.Bits())-1)
	if p.Bits() < 31 {
		first++
		last--
	}
	return Range{addr4(first), addr4(last)}
}

func addr4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// Contains says whether an address is in the range.
func (r Range) Contains(a netip.Addr) bool {
	return r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
}

// areHosts says whether a peer can have any address of the range.
func (r Range) areHosts() bool {
	const loopback = 127
	return isHost(r.First) && isHost(r.Last) && (r.First.As4()[0] < loopback) == (r.Last.As4()[0] < loopback)
}

// Size is the number of addresses in the range.
func (r Range) Size() int {
	first, last := r.First.As4(), r.Last.As4()
	return int(binary.BigEndian.Uint32(last[:])-binary.BigEndian.Uint32(first[:])) + 1
}

// String is "first-last", or the one address.
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}
