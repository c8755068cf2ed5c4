package config

import (
	"path"
	"strings"
)

func (c *checker) checkRealms(raw []rawRealm) {
	names := map[string]string{}
	for i, r := range raw {
		at := joinIndex("realms", i)
		key := func(k string) string { return joinKey(at, k) }
		realm := &Realm{
			Strip:   yes(r.Strip, false),
			Sources: c.sources(key("aaa"), r.AAA),
			Profile: c.profileNamed(key("profile"), r.Profile, nil),
		}
		if r.Name == nil {
			c.missing(key("name"), `is missing; write a realm or a shell pattern, or name = "" for names without a realm`)
		} else {
			realm.Name = c.realmName(key("name"), *r.Name)
			folded := strings.ToLower(realm.Name)
			if first, taken := names[folded]; taken {
				c.add(key("name"), "%q is the name of %s already, and the first that matches counts; take one away", *r.Name, first)
			}
			names[folded] = at
		}
		if r.Accounting != nil && *r.Accounting == noGroup {
			c.add(key("accounting"), `"none" is for profiles; name a group, or a profile that has accounting = "none"`)
		} else {
			realm.Accounting = c.accounting(key("accounting"), r.Accounting, realm.Sources)
		}
		if r.Strip == nil && r.AAA == nil && r.Accounting == nil && r.Profile == nil {
			c.warn(at, "changes nothing; add strip, aaa, accounting or profile")
		}
		c.cfg.Realms = append(c.cfg.Realms, realm)
	}
}

func (c *checker) realmName(key, name string) string {
	name = c.text(key, &name, "")
	if _, err := path.Match(noSlash(name), ""); err != nil {
		c.add(key, `%q is not a shell pattern; close every [ with a ], or write \[ for the character itself`, name)
	}
	if strings.HasPrefix(name, "@") {
		c.add(key, "%q begins with the character before a realm; write %q", name, name[1:])
	}
	return name
}

// Matches says whether the block is about a realm; case does not count.
func (r *Realm) Matches(realm string) bool {
	if r.Name == "" {
		return realm == ""
	}
	return MatchHostName(strings.ToLower(r.Name), strings.ToLower(realm))
}

// RealmOf is the first block that is about a user's name, nil if there is none,
// and the name to go on with.
func (c *Config) RealmOf(name string) (*Realm, string) {
	user, realm := SplitRealm(name)
	for _, r := range c.Realms {
		if r.Matches(realm) {
			if r.Strip {
				return r, user
			}
			return r, name
		}
	}
	return nil, name
}

// SplitRealm takes a name apart: what follows its last @ is the realm, or what
// precedes its first \ if it has no @.
func SplitRealm(name string) (user, realm string) {
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		return name[:i], name[i+1:]
	}
	if domain, user, ok := strings.Cut(name, `\`); ok {
		return user, domain
	}
	return name, ""
}
