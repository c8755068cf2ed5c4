package aaa

import "adit/internal/config"

// routed is where the name of a peer leads.
type routed struct {
	name       string // to go on with
	sources    []string
	accounting *config.RADIUSGroup
	profile    *config.Profile
}

// route applies the first of the rules for realms that matches; where none does,
// the profile's hold.
func route(cfg *config.Config, profile *config.Profile, name string) routed {
	r := routed{name: name, sources: profile.AAA.Sources, accounting: profile.AAA.Accounting, profile: profile}
	if len(r.sources) == 0 {
		r.sources = []string{config.Local}
	}
	var rule *config.Realm
	if rule, r.name = cfg.RealmOf(name); rule == nil {
		return r
	}
	if len(rule.Sources) > 0 {
		r.sources = rule.Sources
	}
	if rule.Accounting != nil {
		r.accounting = rule.Accounting
	}
	if rule.Profile != nil {
		r.profile = rule.Profile
	}
	return r
}
