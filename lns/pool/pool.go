// Package pool gives out the addresses and prefixes of the configured pools, and
// keeps account of those that others chose: a fixed address, or one of RADIUS or
// DHCP. The same holder gets what he had, also after a restart: who has what, and
// who had it last, is on disk before anybody is told.
//
// What was in use when the daemon was killed is in quarantine after the next
// start: nobody but its holder gets it, however short of addresses the pool is.
package pool

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gaissmai/bart"
	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/sparing"
)

// Errors of Take and Claim.
var (
	ErrExhausted = errors.New("every address is in use")
	ErrUnknown   = errors.New("no such pool")
	ErrTaken     = errors.New("the address is in use")
	ErrInvalid   = errors.New("pool: not an address")
)

// Quarantine is how long nobody but its holder gets an address that was in use
// when the daemon was killed. The ends of those sessions do not know yet that
// they are over: a LAC finds out by its HELLO and the retransmissions of it (60 s
// and some 30 s by default), a PPP peer by its Echo-Requests (often 3 to 5 of
// them, 30 s apart), and until then they send with the old address.
const Quarantine = 5 * time.Minute

// maxRemembered bounds the addresses that are kept for those who had them, of all
// pools together. What was given back longest ago is forgotten first.
const maxRemembered = 1_000_000

// Set is all pools. Any goroutine may use it; the lock is held for a few map
// accesses and one write to a file.
type Set struct {
	log    *logrus.Entry
	lines  sparing.Lines
	remain int // maxRemembered; less in a test
	slack  int // slackLines; less in a test

	mu         sync.Mutex
	pools      map[string]*pool
	blocks     []*block // of all pools, in the order of their addresses
	all        []*lease // what goes to disk, each at its slot
	remembered int      // leases in the lists of the pools

	used    bart.Lite          // prefixes of pools that are in use
	claims  bart.Table[*lease] // and others that are
	until   time.Time          // end of the quarantine, with its monotonic reading
	waiting []*lease           // claims in quarantine

	journal journal
	counts  counts
}

type counts struct {
	taken, claimed, given, exhausted, refused, forgotten uint64
	unreadable, outside, writeErrors, compactions        uint64
}

// Stats is the state of a pool.
type Stats struct {
	// Size is how many there are to be given out; at most 2^63, also where there
	// are more.
	Size  uint64
	InUse int
	// Resting are free, and were had by somebody; Quarantined are those of them
	// that only their last holder gets.
	Resting, Quarantined int
}

// Open reads who has and had what from dir, which it makes if need be. What
// cannot be read there, and what is in no pool any more, is logged and forgotten;
// an error says that dir cannot be written to or that pools overlap. Nobody else
// may use dir.
func Open(dir string, pools map[string]*config.Pool, log *logrus.Entry) (*Set, error) {
	return open(dir, pools, log, time.Now())
}

func open(dir string, pools map[string]*config.Pool, log *logrus.Entry, now time.Time) (*Set, error) {
	if log == nil {
		log = discard()
	}
	s := &Set{
		log: log, remain: maxRemembered, slack: slackLines,
		pools: make(map[string]*pool, len(pools)),
		until: now.Add(Quarantine),
	}
	if err := s.lay(pools); err != nil {
		return nil, err
	}
	if err := s.load(dir, now); err != nil {
		return nil, err
	}
	return s, nil
}

// Close closes the file. What is taken afterwards is not remembered.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.close()
}

// Take gives a prefix of the pool to holder: one that he had and that is free,
// what he gave back last first; else one that nobody has had; else the one that
// has rested longest, so that those whose rest is over go first. An empty holder
// is nobody in particular. IPv4 addresses are prefixes of 32 bits.
//
// The error is ErrExhausted or ErrUnknown.
func (s *Set) Take(of *config.Pool, holder string, now time.Time) (netip.Prefix, error) {
	if of == nil {
		return netip.Prefix{}, ErrUnknown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pools[of.Name]
	if p == nil {
		return netip.Prefix{}, fmt.Errorf("%w: %s", ErrUnknown, of.Name)
	}
	s.expire(now, expireAtOnce)
	l := s.choose(p, holder, now)
	if l == nil && len(s.waiting) > 0 && !now.Before(s.until) {
		s.expire(now, math.MaxInt)
		l = s.choose(p, holder, now)
	}
	if l == nil {
		s.counts.exhausted++
		return netip.Prefix{}, ErrExhausted
	}
	s.counts.taken++
	s.use(l, holder, now)
	return l.prefix(), nil
}

// choose finds a lease to use, which is in no list any more; nil: none is free.
func (s *Set) choose(p *pool, holder string, now time.Time) *lease {
	if l := s.hadBy(p, holder, now); l != nil {
		s.unlist(l)
		return l
	}
	if i, ok := s.fresh(p, now); ok {
		return s.newLease(p, i)
	}
	if l := s.rested(p, now); l != nil {
		s.unlist(l)
		return l
	}
	return nil
}

// use gives a lease that is in no list to holder.
func (s *Set) use(l *lease, holder string, now time.Time) {
	if l.holder != holder {
		l.holder = strings.Clone(holder)
	}
	l.since, l.state = now.UnixNano(), inUse
	if l.pool != nil {
		s.used.Insert(l.prefix())
		l.pool.inUse++
	}
	s.write(l, now)
}

// Claim takes a prefix that somebody else chose for holder, and takes it out of
// the pool in which it lies, if it lies in one. The error is ErrTaken if any
// address of it is in use by Take or Claim, or ErrInvalid. Neither rest nor
// quarantine stands against a Claim: they are about what is chosen here.
func (s *Set) Claim(prefix netip.Prefix, holder string, now time.Time) error {
	prefix, ok := canonical(prefix)
	if !ok {
		return ErrInvalid
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now, expireAtOnce)
	if s.used.OverlapsPrefix(prefix) || s.claimed(prefix, now) {
		s.counts.refused++
		return fmt.Errorf("%s: %w", prefix, ErrTaken)
	}
	s.counts.claimed++
	if b, i := s.find(prefix); b != nil {
		l := b.pool.leases[i]
		if l == nil {
			l = s.newLease(b.pool, i)
		} else {
			s.unlist(l)
		}
		s.use(l, holder, now)
		return nil
	}
	l := &lease{claim: &claim{prefix: prefix}}
	s.claims.Insert(prefix, l)
	if s.inPools(prefix) {
		s.keep(l)
	} else {
		l.slot = unkept
	}
	s.use(l, holder, now)
	return nil
}

// Give ends the use of what Take or Claim gave. What is not in use stays as it
// is.
func (s *Set) Give(prefix netip.Prefix, now time.Time) {
	prefix, ok := canonical(prefix)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, i := s.find(prefix); b != nil {
		if l := b.pool.leases[i]; l != nil && l.state == inUse {
			s.counts.given++
			s.giveLease(l, now)
		}
		return
	}
	if l, ok := s.claims.Get(prefix); ok && l.state == inUse {
		s.counts.given++
		s.drop(l, now)
	}
}

func (s *Set) giveLease(l *lease, now time.Time) {
	s.used.Delete(l.prefix())
	l.pool.inUse--
	l.since, l.state = now.UnixNano(), resting
	s.list(l)
	s.write(l, now)
	s.forget()
}

// canonical is the prefix with no bits beyond its length, and an IPv4 one as
// IPv4.
func canonical(p netip.Prefix) (netip.Prefix, bool) {
	if !p.IsValid() {
		return p, false
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return p, false
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// Stats is the state of every pool, by name.
func (s *Set) Stats() map[string]Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]Stats, len(s.pools))
	for name, p := range s.pools {
		all[name] = Stats{
			Size: p.free.size, InUse: p.inUse,
			Resting: p.rest.n + p.quarantined.n, Quarantined: p.quarantined.n,
		}
	}
	return all
}

// Counts are the counters since the start.
func (s *Set) Counts() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]uint64{
		"pool_taken":              s.counts.taken,
		"pool_claimed":            s.counts.claimed,
		"pool_given_back":         s.counts.given,
		"pool_exhausted":          s.counts.exhausted,
		"pool_claims_refused":     s.counts.refused,
		"pool_forgotten":          s.counts.forgotten,
		"pool_records_unreadable": s.counts.unreadable,
		"pool_records_outside":    s.counts.outside,
		"pool_write_errors":       s.counts.writeErrors,
		"pool_compactions":        s.counts.compactions,
	}
}
