package main

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/control"
	"adit/internal/engine"
	"adit/pppbridge"
)

// choosePlanes settles "auto" for every profile in use and says so, or lists
// what is missing.
func choosePlanes(cfg *config.Config, planes *engine.Planes, log *logrus.Entry) (map[*config.Profile]engine.Choice, error) {
	var missing []error
	choices := make(map[*config.Profile]engine.Choice)
	uses := cfg.Uses()
	for _, p := range usedProfiles(cfg) {
		choice, err := planes.Choose(p)
		if err == nil && uses[p].LNS {
			err = checkChoice(cfg, p, choice)
		}
		if err != nil {
			missing = append(missing, err)
			continue
		}
		choices[p] = choice
		log.WithFields(logrus.Fields{"profile": p.Name, "bridge": choice.Kind.String()}).Info("PPP frames: " + choice.Reason)
	}
	return choices, errors.Join(missing...)
}

// checkChoice has what Load asks of ppp = "builtin" and of "pppd" hold for an "auto"
// that became one of them.
func checkChoice(cfg *config.Config, p *config.Profile, choice engine.Choice) error {
	switch {
	case choice.Builtin():
		return cfg.CheckBuiltin(p)
	case choice.Kind == circuit.Discard:
		return nil
	}
	if p.AAA.Sources == nil {
		return nil // the plain mode
	}
	return errors.Join(cfg.CheckPPPD(p), pppbridge.CheckRADIUS(cfg.PPPD.Path))
}

// usedProfiles lists the profiles that a session may get, by name.
func usedProfiles(cfg *config.Config) []*config.Profile {
	var all []*config.Profile
	for p := range cfg.Uses() {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *config.Profile) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// tun is the TUN that sessions of some profile share; nil: there is none.
func (d *daemon) tun() *pppbridge.TUNConfig {
	uses := d.cfg.Uses()
	needed := false
	var aggregates []netip.Prefix
	var addresses []netip.Addr
	for _, p := range usedProfiles(d.cfg) {
		choice, ok := d.choices[p]
		if !ok || !choice.TUN(p) {
			continue
		}
		needed = true
		// The pool's addresses lead to the TUN all together, so that no session
		// needs a route of its own.
		if uses[p].LNS {
			aggregates = append(aggregates, poolPrefixes(p)...)
		}
		if uses[p].LNS && p.LocalAddress.IsValid() {
			addresses = append(addresses, p.LocalAddress)
		}
	}
	if !needed {
		return nil
	}
	slices.SortFunc(aggregates, netip.Prefix.Compare)
	slices.SortFunc(addresses, netip.Addr.Compare)
	return &pppbridge.TUNConfig{
		Name: d.cfg.TUN.Name, MTU: d.cfg.TUN.MTU, Queues: d.cfg.TUN.Queues,
		Aggregates: slices.Compact(aggregates), Addresses: slices.Compact(addresses),
	}
}

// poolPrefixes are what the pools of a profile give out.
func poolPrefixes(p *config.Profile) (all []netip.Prefix) {
	if p.Pool != nil {
		all = append(all, p.Pool.Prefixes()...)
	}
	for _, pool := range []*config.Pool{p.AAA.IPv6Pool, p.AAA.DelegatedPool} {
		if pool != nil {
			all = append(all, pool.IPv6...)
		}
	}
	return all
}

// plane is a Choice in the words of the control interface.
func plane(profile *config.Profile, choice engine.Choice) control.Plane {
	p := control.Plane{Profile: profile.Name, PPP: "pppd", DataPlane: "userspace", Reason: choice.Reason}
	switch {
	case choice.Kind == circuit.Discard:
		p.PPP = "discard"
	case choice.Builtin():
		p.PPP = "builtin"
	}
	if choice.Kind.KernelPlane() {
		p.DataPlane = "kernel"
	}
	return p
}
