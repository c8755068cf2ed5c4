package main

import (
	"context"
	"maps"
	"slices"

	"adit/internal/control"
	"adit/lns"
	"adit/lns/aaa"
	"adit/lns/subscriber"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// admitted adds what the AAA layer knows of a session; nil: nobody was let in. The
// address of the link is PPP's to tell: what a peer may have, it need not take.
func admitted(s *control.Session, v *aaa.View) {
	if v == nil {
		return
	}
	if s.User == "" {
		s.User = v.User // a pppd does not tell
	}
	s.AcctSessionID, s.ServiceProfile, s.AuthMethod = v.ID, v.Profile, authMethod(v.Method)
	s.Leased, s.NetworkSince, s.Ends = v.Leased, v.Started.Round(0), v.Ends.Round(0)
	s.IPv6Prefixes, s.DelegatedPrefixes, s.IPv6Address = v.Addresses.Prefixes, v.Addresses.Delegated, v.Addresses.IPv6
	s.FilterIDs, s.Rates = v.FilterID, v.Rates
}

// authMethod is a Method in the words of RFC 2866 section 5.6.
func authMethod(m subscriber.Method) string {
	switch m {
	case subscriber.MethodRADIUS:
		return "radius"
	case subscriber.MethodLocal:
		return "local"
	case subscriber.MethodRemote:
		return "remote"
	}
	return ""
}

// subscribers adds to the status what an LNS lets people in with. The counters are
// there already.
func (d *daemon) subscribers(s *control.Status) {
	state := d.lns.State()
	s.LocalUsers = state.Users
	for _, name := range slices.Sorted(maps.Keys(state.Pools)) {
		p := state.Pools[name]
		s.Pools = append(s.Pools, control.Pool{Name: name, Size: p.Size, InUse: p.InUse, Resting: p.Resting, Quarantined: p.Quarantined})
	}
	for _, r := range state.RADIUS {
		server := control.RADIUSServer{
			Name: r.Name, Service: control.ServiceAuthentication, Address: r.Address,
			Alive: r.Alive, DeadUntil: r.DeadUntil.Round(0), Pending: r.Pending, Waiting: r.Waiting,
			Requests: r.Requests, Timeouts: r.Timeouts,
		}
		if r.Accounting {
			server.Service = control.ServiceAccounting
		}
		s.RADIUSServers = append(s.RADIUSServers, server)
	}
	if state.RADIUS != nil {
		s.Accounting = &control.Accounting{
			Backlog:      s.Counters["radius_accounting_backlog"],
			OpenSessions: s.Counters["radius_accounting_open_sessions"],
			DiskOctets:   s.Counters["radius_accounting_disk_octets"],
		}
	}
	if state.DHCP {
		s.DHCP = &control.DHCP{Leases: state.Leases}
	}
}

// disconnectUser ends every session of a user.
func (d *daemon) disconnectUser(ctx context.Context, sel control.Selector) (control.Disconnected, error) {
	var ended control.Disconnected
	snap, err := d.engine.Snapshot(ctx)
	if err != nil {
		return ended, err
	}
	cause := administrative(disconnectMessage(sel.Reason))
	for _, c := range snap.Calls {
		user := c.Bridge.User
		if v := lns.View(c.Session); v != nil && user == "" {
			user = v.User
		}
		if user != sel.User {
			continue
		}
		found, err := d.engine.CloseCall(ctx, c.Tunnel, c.ID, cause)
		if err != nil {
			return ended, err
		}
		if found {
			ended.Sessions++
		}
	}
	if ended.Sessions == 0 {
		return ended, notFound(sel, d.statics())
	}
	return ended, nil
}

// administrative is why a session ends that an operator disconnects.
func administrative(message string) tunnel.Cause {
	return tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative, Message: message}}
}
