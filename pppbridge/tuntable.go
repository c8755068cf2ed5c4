package pppbridge

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"
)

// addressTable says which session an address belongs to, on whichever plane it
// is. Who looks up takes no lock and allocates nothing: a change makes a new
// table that has most of the old one in common (some microseconds each).
type addressTable struct {
	mu     sync.Mutex // of changes
	routes atomic.Pointer[bart.Table[*addressHolder]]
	// sources are the addresses that sessions of ours as a client have: a packet
	// from one of them goes by its session, whoever else has a route for it.
	sources atomic.Pointer[bart.Table[*addressHolder]]
}

// addressHolder is a session as the table knows it. It is not changed once the
// table has it.
type addressHolder struct {
	// shared is the link if its packets come out of the shared TUN; nil: it has
	// an interface of its own, to which the kernel's routes lead.
	shared          *tunLink
	tunnel, session uint32
	lns             bool
}

// find is the session of a packet out of the shared TUN; nil: there is none.
func (t *addressTable) find(src, dst netip.Addr) *tunLink {
	var l *tunLink
	if h := t.owner(dst); h != nil {
		l = h.shared
	}
	if l != nil && l.lns {
		return l
	}
	if s := t.sources.Load(); s != nil {
		if c, ok := s.Lookup(src); ok {
			return c.shared
		}
	}
	return l
}

// owner is the session that an address belongs to; nil: none.
func (t *addressTable) owner(a netip.Addr) *addressHolder {
	if r := t.routes.Load(); r != nil {
		h, _ := r.Lookup(a)
		return h
	}
	return nil
}

// has says whether exactly this prefix is the session's.
func (t *addressTable) has(h *addressHolder, p netip.Prefix) bool {
	r := t.routes.Load()
	if r == nil {
		return false
	}
	other, ok := r.Get(p)
	return ok && other == h
}

// claim gives prefixes to a session, all of them or, with ErrAddressTaken, none.
// Those of a client need not be its own alone: the first has them, and the
// others' packets go by their source.
func (t *addressTable) claim(h *addressHolder, prefixes []netip.Prefix) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	routes := t.routes.Load()
	if routes == nil {
		routes = new(bart.Table[*addressHolder])
	}
	for _, p := range prefixes {
		if other, ok := routes.Get(p); ok && other != h {
			if h.lns {
				return fmt.Errorf("%w: %v is that of session %d of tunnel %d", ErrAddressTaken, p, other.session, other.tunnel)
			}
			continue
		}
		routes = routes.InsertPersist(p, h)
	}
	t.routes.Store(routes)
	return nil
}

// disclaim takes a prefix from a session and reports whether it was its own.
func (t *addressTable) disclaim(h *addressHolder, p netip.Prefix) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	routes := t.routes.Load()
	if routes == nil {
		return false
	}
	if other, ok := routes.Get(p); !ok || other != h {
		return false
	}
	t.routes.Store(routes.DeletePersist(p))
	return true
}

// claimSource and disclaimSource are for the address that we have as a client.
func (t *addressTable) claimSource(h *addressHolder, a netip.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	sources := t.sources.Load()
	if sources == nil {
		sources = new(bart.Table[*addressHolder])
	}
	p := netip.PrefixFrom(a, a.BitLen())
	if other, ok := sources.Get(p); ok && other != h {
		return fmt.Errorf("%w: our own address %v is that of session %d of tunnel %d", ErrAddressTaken, a, other.session, other.tunnel)
	}
	t.sources.Store(sources.InsertPersist(p, h))
	return nil
}

func (t *addressTable) disclaimSource(h *addressHolder, a netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	sources := t.sources.Load()
	if sources == nil {
		return false
	}
	p := netip.PrefixFrom(a, a.BitLen())
	if other, ok := sources.Get(p); !ok || other != h {
		return false
	}
	t.sources.Store(sources.DeletePersist(p))
	return true
}

// len is how many prefixes and addresses sessions have.
func (t *addressTable) len() (n int) {
	if r := t.routes.Load(); r != nil {
		n += r.Size()
	}
	if s := t.sources.Load(); s != nil {
		n += s.Size()
	}
	return n
}
