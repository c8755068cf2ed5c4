package main

import (
	"maps"
	"slices"

	"adit/internal/config"
)

// differingL2TPv3 is differing for what only version 3 has. Static tunnels are compared
// with the pseudowires that they carry, which change with them; those that peers may
// ask for, or nobody, are a part of their own.
func differingL2TPv3(a, b *config.Config) []string {
	var all []string
	static := !slices.EqualFunc(a.L2TPv3.Static, b.L2TPv3.Static, (*config.StaticTunnel).Equal)
	one, other := pseudowiresByName(a), pseudowiresByName(b)
	names := maps.Clone(one)
	maps.Copy(names, other)
	for name := range names {
		p, q := one[name], other[name]
		if p != nil && q != nil && p.Equal(q) || static && onlyStatic(a, name) && onlyStatic(b, name) {
			continue
		}
		all = append(all, "pseudowires")
		break
	}
	if a.L2TPv3.RouterID != b.L2TPv3.RouterID {
		all = append(all, "l2tpv3.router_id")
	}
	if !slices.Equal(a.L2TPv3.ListenIP, b.L2TPv3.ListenIP) {
		all = append(all, "l2tpv3.listen_ip")
	}
	if static {
		all = append(all, partStatic)
	}
	return all
}

func pseudowiresByName(cfg *config.Config) map[string]*config.Pseudowire {
	all := make(map[string]*config.Pseudowire, len(cfg.Pseudowires))
	for _, p := range cfg.Pseudowires {
		all[p.Name] = p
	}
	return all
}

// onlyStatic says that static sessions have the pseudowire of that name, directly or by
// a switch, and nothing else has; or that there is none.
func onlyStatic(cfg *config.Config, name string) bool {
	p := pseudowiresByName(cfg)[name]
	if p == nil {
		return true
	}
	static, dynamic := staticHas(cfg, name), dynamicHas(cfg, name)
	if p.Switch != nil {
		static = static || staticHas(cfg, p.Switch.Name)
		dynamic = dynamic || dynamicHas(cfg, p.Switch.Name)
	}
	return static && !dynamic
}

func staticHas(cfg *config.Config, name string) bool {
	return slices.ContainsFunc(cfg.L2TPv3.Static, func(t *config.StaticTunnel) bool {
		return slices.ContainsFunc(t.Sessions, func(s *config.StaticSession) bool { return s.Pseudowire.Name == name })
	})
}

func dynamicHas(cfg *config.Config, name string) bool {
	among := func(all []*config.Pseudowire) bool {
		return slices.ContainsFunc(all, func(p *config.Pseudowire) bool { return p.Name == name })
	}
	return slices.ContainsFunc(cfg.LNS.Peers, func(p *config.Peer) bool { return among(p.V3.Pseudowires) }) ||
		slices.ContainsFunc(cfg.LAC.Tunnels, func(t *config.Tunnel) bool {
			return among(t.V3.Pseudowires) || slices.ContainsFunc(t.Sessions, func(s *config.Session) bool {
				return s.Pseudowire != nil && s.Pseudowire.Name == name
			})
		})
}
