package lns

import (
	"cmp"
	"net/netip"
	"slices"

	"adit/internal/config"
	"adit/lns/pool"
	"adit/lns/radius"
)

// State is what people are shown of what the LNS lets people in with.
type State struct {
	Users int // local ones
	Pools map[string]pool.Stats
	// RADIUS has every server, also those that were not asked as yet; nil: the
	// daemon asks none.
	RADIUS []radius.ServerState
	// DHCP: addresses are taken from DHCP servers, of which Leases are held now.
	DHCP   bool
	Leases int
}

// State is that of now; of a role that serves nobody it is empty.
func (r *Role) State() State {
	p := r.parts
	if p.layer == nil {
		return State{}
	}
	s := State{Users: p.users.Len(), Pools: p.pools.Stats()}
	if p.radius != nil {
		s.RADIUS = withUnasked(p.radius.Servers(), &r.cfg.RADIUS)
	}
	if p.dhcp != nil {
		s.DHCP, s.Leases = true, p.dhcp.Held()
	}
	return s
}

// withUnasked adds the servers that were not asked as yet: they count as alive.
// The order is by name, and authentication comes first.
func withUnasked(all []radius.ServerState, cfg *config.RADIUS) []radius.ServerState {
	for name, server := range cfg.Servers {
		for _, accounting := range []bool{false, true} {
			if slices.ContainsFunc(all, func(s radius.ServerState) bool { return s.Name == name && s.Accounting == accounting }) {
				continue
			}
			port := server.AuthPort
			if accounting {
				port = server.AcctPort
			}
			all = append(all, radius.ServerState{Name: name, Accounting: accounting, Alive: true,
				Address: netip.AddrPortFrom(server.Address, port)})
		}
	}
	slices.SortFunc(all, func(a, b radius.ServerState) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(order(a), order(b)), a.Address.Compare(b.Address))
	})
	return all
}

func order(s radius.ServerState) int {
	if s.Accounting {
		return 1
	}
	return 0
}

// Reload puts in place what can change while sessions are up: the users, the
// programs of hooks, and who may send CoA-Request and Disconnect-Request. All
// else of cfg is that of New. Sessions that are up stay as they are.
func (r *Role) Reload(cfg *config.Config) {
	p := r.parts
	if p.layer == nil {
		return
	}
	p.users.Replace(cfg.Users)
	p.hooks.Replace(cfg.Hooks)
	if p.coa != nil {
		p.coa.Reload(&cfg.RADIUS)
	}
}
