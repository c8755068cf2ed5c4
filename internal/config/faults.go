package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// unused warns of keys that whoever speaks PPP in the profile does not read.
func (c *checker) unused(at string, raw rawProfile, p *Profile) {
	switch p.PPP {
	case PPPAuto:
	case PPPBuiltin:
		c.unusedKeys(at, "builtin", givenKeys(raw.rawPPPDOnly))
	case PPPPPPD:
		c.unusedKeys(at, "pppd", givenKeys(raw.rawBuiltin))
		if p.AAA.Sources == nil && raw.AAA == nil {
			for _, k := range append(givenKeys(raw.rawShown), givenKeys(raw.rawAAA)...) {
				c.warn(joinKey(at, k), `does nothing with ppp = "pppd" and no aaa, where pppd goes by its own files; take it away, or add aaa = ["local"]`)
			}
		}
	case PPPDiscard:
		c.unusedKeys(at, "discard", slices.Concat(givenKeys(raw.rawBuiltin), givenKeys(raw.rawShown), givenKeys(raw.rawAAA)))
	}
}

// givenKeys lists the keys of a raw struct that are in the file.
func givenKeys(raw any) []string { return givenIn(reflect.ValueOf(raw)) }

// givenIn takes a reflect.Value, since one of an embedded struct has no Interface.
func givenIn(v reflect.Value) []string {
	var keys []string
	for i := range v.NumField() {
		switch field := v.Type().Field(i); {
		case field.Anonymous:
			keys = append(keys, givenIn(v.Field(i))...)
		case !v.Field(i).IsNil():
			keys = append(keys, field.Tag.Get("toml"))
		}
	}
	return keys
}

func (c *checker) unusedKeys(at, ppp string, given []string) {
	for _, k := range given {
		c.warn(joinKey(at, k), "does nothing with ppp = %q; take it away", ppp)
	}
}

// fault is what a profile lacks for an LNS that lets peers in itself.
type fault struct{ key, text string }

// asksRADIUS says whether a RADIUS group may be asked about a user of the
// profile.
func (c *Config) asksRADIUS(p *Profile) bool {
	group := func(name string) bool { return name != Local }
	return slices.ContainsFunc(p.AAA.Sources, group) ||
		slices.ContainsFunc(c.Realms, func(r *Realm) bool { return slices.ContainsFunc(r.Sources, group) })
}

// asksLocal says whether the users of the configuration may come in.
func (c *Config) asksLocal(p *Profile) bool {
	return p.AAA.Sources == nil || slices.Contains(p.AAA.Sources, Local) ||
		slices.ContainsFunc(c.Realms, func(r *Realm) bool { return slices.Contains(r.Sources, Local) })
}

// faults are what the profile lacks to serve peers of an LNS by the built-in
// endpoint.
func (c *Config) faults(p *Profile) []fault {
	all := c.peerFaults(p)
	if p.Builtin.IPv4 && !p.LocalAddress.IsValid() {
		all = append(all, fault{"local_address", `is missing; write our own IPv4 address on the links, such as "10.0.0.1", or ipv4 = false`})
	}
	return all
}

// pppdFaults are what keeps a pppd that asks the AAA layer from serving the
// profile. In the plain mode it is pppd that knows.
func (c *Config) pppdFaults(p *Profile) []fault {
	if p.AAA.Sources == nil {
		return nil
	}
	all := c.peerFaults(p)
	if slices.Contains(p.Builtin.Demanded(), AuthEAP) {
		all = append(all, fault{"auth", `has "eap", which a pppd cannot hand on to adit; take it away, or write ppp = "builtin"`})
	}
	return all
}

// peerFaults are what the profile lacks whoever speaks PPP: somebody who may come
// in, and addresses for him.
func (c *Config) peerFaults(p *Profile) []fault {
	var all []fault
	demands := len(p.Builtin.Demanded()) > 0
	radius := demands && c.asksRADIUS(p)
	if demands && !radius && (len(c.Users) == 0 || !c.asksLocal(p)) {
		all = append(all, fault{"auth", "nobody could show who it is, because there are no [[users]]; add them or a RADIUS group in aaa, or write auth = [] to ask nobody"})
	}
	if !p.Builtin.IPv4 || p.Pool != nil || radius {
		return all
	}
	if p.AAA.DHCP != nil {
		if !demands {
			// A lease is a user's, and is taken when he has shown who he is.
			all = append(all, fault{"dhcp", "gives its addresses to users, and auth = [] asks nobody who he is; name a pool instead, or let peers authenticate"})
		}
		return all
	}
	// A peer without an address of ours would choose one for itself, and get the
	// packets of whoever has it.
	if !demands {
		return append(all, fault{"pool", "is missing; name the pool that peers get their addresses from, or write ipv4 = false"})
	}
	for _, u := range c.Users {
		if !u.Address.IsValid() && (u.Profile == nil || u.Profile.Pool == nil && u.Profile.AAA.DHCP == nil) {
			return append(all, fault{"pool", fmt.Sprintf("is missing, and user %q has no address; name a pool or dhcp, give every user an address, or write ipv4 = false", u.Name)})
		}
	}
	return all
}

// CheckBuiltin says what the profile lacks to serve peers of an LNS by the
// built-in endpoint. Load has asked that already for profiles with ppp =
// "builtin"; for "auto" it is known at start-up only.
func (c *Config) CheckBuiltin(p *Profile) error { return joinFaults(p, c.faults(p)) }

// CheckPPPD says what keeps peers of an LNS from being served by pppd, if the
// profile has AAA.Sources. Load has asked that already for profiles with ppp =
// "pppd"; for "auto" it is known at start-up only.
func (c *Config) CheckPPPD(p *Profile) error { return joinFaults(p, c.pppdFaults(p)) }

func joinFaults(p *Profile, all []fault) error {
	var errs []error
	for _, f := range all {
		errs = append(errs, fmt.Errorf("profiles.%s.%s: %s", p.Name, f.key, f.text))
	}
	return errors.Join(errs...)
}

// Uses says which ends of calls a profile is for.
type Uses struct{ LNS, Client bool }

// Uses lists the profiles that a session may get: those that calls come with, and
// those that a realm or a user of an LNS is given. A session that is a pseudowire has
// none, and a peer that may have nothing else uses none.
func (c *Config) Uses() map[*Profile]Uses {
	uses := make(map[*Profile]Uses)
	serves := false
	use := func(p *Profile, lns bool) {
		u := uses[p]
		u.LNS, u.Client = u.LNS || lns, u.Client || !lns
		uses[p] = u
		serves = serves || lns
	}
	for _, p := range c.LNS.Peers {
		if p.AllowIncoming && p.V3.MayPPP() {
			use(p.Profile, true)
		}
		if p.AllowOutgoing && p.V3.MayPPP() {
			use(p.Profile, false)
		}
	}
	for _, o := range c.LNS.Outgoing {
		use(o.Profile, true)
	}
	for _, t := range c.LAC.Tunnels {
		if t.AllowOutgoing && t.V3.MayPPP() {
			use(t.Profile, false)
		}
		for _, s := range t.Sessions {
			if s.Pseudowire == nil {
				use(s.Profile, s.Direction == Outgoing)
			}
		}
	}
	if !serves {
		return uses
	}
	for _, r := range c.Realms {
		if r.Profile != nil {
			use(r.Profile, true)
		}
	}
	for _, u := range c.Users {
		if u.Profile != nil {
			use(u.Profile, true)
		}
	}
	return uses
}

// checkUse looks at the profiles by what they are used for.
func (c *checker) checkUse() {
	for p, use := range c.cfg.Uses() {
		if !use.LNS {
			continue
		}
		var faults []fault
		switch p.PPP {
		case PPPBuiltin:
			faults = c.cfg.faults(p)
		case PPPPPPD:
			faults = c.cfg.pppdFaults(p)
		case PPPAuto, PPPDiscard:
		}
		at := joinKey("profiles", p.Name)
		for _, f := range faults {
			c.missing(joinKey(at, f.key), "%s", f.text)
		}
		c.checkHashes(joinKey(at, "auth"), p)
	}
}

// checkHashes warns of users who cannot show who they are. RFC 1994 section 2.2:
// "CHAP requires that the secret be available in plaintext form."
func (c *checker) checkHashes(key string, p *Profile) {
	methods := p.Builtin.Demanded()
	plain := p.PPP == PPPPPPD && p.AAA.Sources == nil
	if p.PPP == PPPDiscard || plain || len(methods) == 0 || !c.cfg.asksLocal(p) ||
		slices.Contains(methods, AuthMSCHAPv2) || slices.Contains(methods, AuthPAP) {
		return
	}
	for _, u := range c.cfg.Users {
		if len(u.NTHash) > 0 {
			c.warn(key, `asks for the password itself, and user %q has nt_hash; add "mschapv2" or "pap", or give the user a password`, u.Name)
			return
		}
	}
}

// checkRoutesUse warns of a client's routes in a profile of an LNS.
func (c *checker) checkRoutesUse(raw map[string]rawProfile) {
	for p, use := range c.cfg.Uses() {
		if p.PPP == PPPBuiltin && use.LNS && !use.Client && raw[p.Name].Routes != nil {
			c.warn(joinKey(joinKey("profiles", p.Name), "routes"), "counts for the client's end of a call only; the networks behind a peer stand in [[users]]")
		}
	}
}
