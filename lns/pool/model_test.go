package pool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"adit/internal/config"
)

// model is the rules of Take, Claim and Give in the plainest form: a map that is
// searched from end to end.
type model struct {
	pools  map[string][]netip.Prefix
	had    map[netip.Prefix]*modelLease
	claims map[netip.Prefix]*modelLease // of what no pool gives out
	until  int64
	remain int
}

type modelLease struct {
	holder string
	since  int64
	state  state // inUse, resting or quarantined
}

func (m *model) poolOf(p netip.Prefix) string {
	for name, all := range m.pools {
		if slices.Contains(all, p) {
			return name
		}
	}
	return ""
}

// blocked says whether a claim has addresses of p.
func (m *model) blocked(p netip.Prefix, now int64) bool {
	for c, l := range m.claims {
		if c.Overlaps(p) && (l.state == inUse || now < m.until) {
			return true
		}
	}
	return false
}

func (m *model) expire(now int64) {
	for p, l := range m.claims {
		if l.state == quarantined && now >= m.until {
			delete(m.claims, p)
		}
	}
}

// take checks what Take gave.
func (m *model) take(name, holder string, now int64, got netip.Prefix, err error) error {
	m.expire(now)
	var best netip.Prefix
	var fresh, free []netip.Prefix
	for _, p := range m.pools[name] {
		l := m.had[p]
		if m.blocked(p, now) || l != nil && l.state == inUse {
			continue
		}
		switch {
		case l == nil:
			fresh = append(fresh, p)
			continue
		case holder != "" && l.holder == holder && (!best.IsValid() || m.had[best].since < l.since):
			best = p
		}
		if l.state == resting || now >= m.until {
			free = append(free, p)
		}
	}
	if !best.IsValid() && len(fresh) == 0 && len(free) > 0 {
		best = slices.MinFunc(free, func(a, b netip.Prefix) int { return int(m.had[a].since - m.had[b].since) })
	}
	switch {
	case best.IsValid():
		if err != nil || got != best {
			return fmt.Errorf("got %v, %v; want %v of %+v", got, err, best, m.had[best])
		}
	case len(fresh) > 0:
		if err != nil || !slices.Contains(fresh, got) {
			return fmt.Errorf("got %v, %v; want one of %v", got, err, fresh)
		}
	default:
		if !errors.Is(err, ErrExhausted) {
			return fmt.Errorf("got %v, %v; want %v", got, err, ErrExhausted)
		}
		return nil
	}
	m.had[got] = &modelLease{holder, now, inUse}
	return nil
}

func (m *model) claim(p netip.Prefix, holder string, now int64) error {
	m.expire(now)
	for q, l := range m.had {
		if l.state == inUse && q.Overlaps(p) {
			return ErrTaken
		}
	}
	for q, l := range m.claims {
		if q.Overlaps(p) && l.state == inUse {
			return ErrTaken
		}
	}
	for q := range m.claims {
		if q.Overlaps(p) {
			delete(m.claims, q)
		}
	}
	if m.poolOf(p) != "" {
		m.had[p] = &modelLease{holder, now, inUse}
	} else {
		m.claims[p] = &modelLease{holder, now, inUse}
	}
	return nil
}

func (m *model) give(p netip.Prefix, now int64) {
	if l := m.had[p]; l != nil && l.state == inUse {
		l.state, l.since = resting, now
	}
	if l := m.claims[p]; l != nil && l.state == inUse {
		delete(m.claims, p)
	}
	for {
		var rest []netip.Prefix
		free := 0
		for p, l := range m.had {
			if l.state != inUse {
				free++
			}
			if l.state == resting {
				rest = append(rest, p)
			}
		}
		if free <= m.remain || len(rest) == 0 {
			return
		}
		delete(m.had, slices.MinFunc(rest, func(a, b netip.Prefix) int { return int(m.had[a].since - m.had[b].since) }))
	}
}

// restart is a kill and a new start at the time now.
func (m *model) restart(now int64) {
	m.until = now + int64(Quarantine)
	for p, l := range m.claims {
		inPool := false
		for _, all := range m.pools {
			inPool = inPool || slices.ContainsFunc(all, p.Overlaps)
		}
		// One whose quarantine was over may still be in the file.
		if !inPool {
			delete(m.claims, p)
		}
		l.state = quarantined
	}
	var used []*modelLease
	for _, l := range m.had {
		if l.state != resting {
			used = append(used, l)
		}
	}
	slices.SortFunc(used, func(a, b *modelLease) int { return int(a.since - b.since) })
	for i, l := range used {
		l.state, l.since = quarantined, now-int64(len(used)-i)
	}
}

func testPools() map[string]*config.Pool {
	at := netip.MustParseAddr
	return map[string]*config.Pool{
		"four": {Name: "four", Rest: time.Hour, Ranges: []config.Range{
			{First: at("10.0.0.4"), Last: at("10.0.0.9")}, {First: at("10.0.0.1"), Last: at("10.0.0.2")}, {First: at("10.0.0.14"), Last: at("10.0.0.14")},
		}},
		"link": {Name: "link", IPv6: []netip.Prefix{netip.MustParsePrefix("2001:db8:0:10::/61")}, Length: 64},
		"home": {Name: "home", IPv6: []netip.Prefix{netip.MustParsePrefix("2001:db8:0:80::/58"), netip.MustParsePrefix("2001:db8::/62")}, Length: 60 + 2},
	}
}

// prefixes are all that a pool gives out.
func prefixes(p *config.Pool) (all []netip.Prefix) {
	for _, r := range p.Ranges {
		for a := r.First; a.Compare(r.Last) <= 0; a = a.Next() {
			all = append(all, netip.PrefixFrom(a, 32))
		}
	}
	for _, six := range p.IPv6 {
		for n := range 1 << (p.Length - six.Bits()) {
			b := six.Addr().As16()
			v := n << (64 - p.Length)
			b[6] |= byte(v >> 8)
			b[7] |= byte(v)
			all = append(all, netip.PrefixFrom(netip.AddrFrom16(b), p.Length))
		}
	}
	return all
}

// anyPrefix is one in or near the pools, of any length.
func anyPrefix(r *rand.Rand, m *model, exact bool) netip.Prefix {
	all := m.pools[[]string{"four", "link", "home"}[r.IntN(3)]]
	p := all[r.IntN(len(all))]
	switch {
	case exact || r.IntN(3) == 0:
		return p
	case p.Addr().Is4():
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))}), 29+r.IntN(4)).Masked()
	}
	b := p.Addr().As16()
	b[15] = byte(r.IntN(3))
	return netip.PrefixFrom(netip.AddrFrom16(b), []int{56, 58, 59, 60, 61, 62, 63, 64, 128}[r.IntN(9)]).Masked()
}

// Random calls do what the model says, over restarts as by a kill, with claims
// of all sizes, and (in other runs) with more holders than are remembered.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(150) {
		runModel(t, seed, 400)
		if t.Failed() {
			return
		}
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 5))
	now := time.Unix(1_800_000_000, 0)
	cfg, dir := testPools(), t.TempDir()
	m := &model{pools: map[string][]netip.Prefix{}, had: map[netip.Prefix]*modelLease{}, claims: map[netip.Prefix]*modelLease{}, remain: maxRemembered}
	for name, p := range cfg {
		m.pools[name] = prefixes(p)
	}
	s := opened(t, dir, cfg, now)
	forgetful := seed%3 == 0
	if forgetful {
		m.remain = 5
		s.remain = 5
	}
	// What is written anew says of a quarantine that is over that it is over; the
	// model does not know when that happens, so there is no such time here.
	compacting := seed%3 == 1
	pause := int64(3 * time.Second)
	if compacting {
		pause = int64(300 * time.Millisecond)
	}
	holders := []string{"", "a", "b", "c", "d@example.net", "e \"\n"}
	for step := range steps {
		now = now.Add(time.Duration(1000 + r.Int64N(pause)))
		holder := holders[r.IntN(len(holders))]
		fail := func(format string, args ...any) {
			t.Errorf("seed %d, step %d: "+format, append([]any{seed, step}, args...)...)
		}
		if compacting {
			s.slack = 5
		}
		switch n := r.IntN(100); {
		case n < 45:
			name := []string{"four", "link", "home"}[r.IntN(3)]
			got, err := s.Take(cfg[name], holder, now)
			if err := m.take(name, holder, now.UnixNano(), got, err); err != nil {
				fail("Take %s %q: %v", name, holder, err)
			}
		case n < 60:
			p := anyPrefix(r, m, forgetful)
			err := s.Claim(p, holder, now)
			if want := m.claim(p, holder, now.UnixNano()); !errors.Is(err, want) {
				fail("Claim %v: %v, want %v", p, err, want)
			}
		case n < 97:
			p := anyPrefix(r, m, false)
			if r.IntN(4) > 0 {
				p = anyUsed(r, m, p)
			}
			s.Give(p, now)
			m.give(p, now.UnixNano())
		case n < 98 && !compacting:
			now = now.Add(Quarantine)
		case !forgetful:
			// No Close: as after a kill.
			s = opened(t, dir, cfg, now)
			m.restart(now.UnixNano())
		}
		if err := compare(s, m, forgetful); err != nil {
			fail("%v", err)
		}
		if t.Failed() {
			return
		}
	}
}

// anyUsed is a prefix in use; p if there is none.
func anyUsed(r *rand.Rand, m *model, p netip.Prefix) netip.Prefix {
	var used []netip.Prefix
	for _, all := range []map[netip.Prefix]*modelLease{m.had, m.claims} {
		for p, l := range all {
			if l.state == inUse {
				used = append(used, p)
			}
		}
	}
	if len(used) == 0 {
		return p
	}
	slices.SortFunc(used, netip.Prefix.Compare)
	return used[r.IntN(len(used))]
}

// compare looks at the numbers, and at the lists that hold the Set together.
func compare(s *Set, m *model, exact bool) error {
	want := map[string]Stats{}
	for name, all := range m.pools {
		st := Stats{Size: uint64(len(all))}
		for _, p := range all {
			switch l := m.had[p]; {
			case l == nil:
			case l.state == inUse:
				st.InUse++
			default:
				st.Resting++
			}
		}
		want[name] = st
	}
	for name, got := range s.Stats() {
		w := want[name]
		// What a claim sets aside is not counted as resting.
		if got.Size != w.Size || got.InUse != w.InUse || got.Resting > w.Resting || exact && got.Resting != w.Resting {
			return fmt.Errorf("pool %s: %+v, want %+v", name, got, w)
		}
	}
	n := 0
	for _, p := range s.pools {
		n += p.rest.n + p.quarantined.n
		for _, q := range []*list{&p.rest, &p.quarantined} {
			k := 0
			for l := q.head; l != nil; l = l.next {
				if l.next != nil && l.next.prev != l || l.next == nil && q.tail != l || l.next != nil && l.next.since < l.since {
					return fmt.Errorf("pool %s: the list is broken at %v", p.name, l.prefix())
				}
				k++
			}
			if k != q.n {
				return fmt.Errorf("pool %s: %d in a list of %d", p.name, k, q.n)
			}
		}
	}
	for i, l := range s.all {
		if int(l.slot) != i {
			return fmt.Errorf("%v at slot %d has %d", l.prefix(), i, l.slot)
		}
	}
	if n != s.remembered {
		return fmt.Errorf("%d remembered, counted %d", n, s.remembered)
	}
	return nil
}

func opened(t testing.TB, dir string, pools map[string]*config.Pool, now time.Time) *Set {
	t.Helper()
	s, err := open(dir, pools, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
