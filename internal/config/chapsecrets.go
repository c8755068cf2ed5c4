package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// wildcard is the name that matches every client or server.
const wildcard = "*"

// readChapSecrets reads the users of a file of pppd.
func (c *checker) readChapSecrets(text string) {
	c.keyless = true
	// "When selecting a secret, pppd takes the best match, i.e. the match with the
	// fewest wildcards." So a line that names us stands before one with a *.
	lines := secretsLines(text)
	named := map[string]bool{}
	for _, l := range lines {
		if len(l.words) > 2 && l.words[1] == c.cfg.HostName {
			named[l.words[0]] = true
		}
	}
	for _, l := range lines {
		at := lineKey(l.words[0], l.number, c.lines)
		if l.problem != "" {
			c.add(at, "%s", l.problem)
			continue
		}
		if len(l.words) < 3 {
			c.warn(at, "the line has no secret, so it counts for nothing; write client, server and secret, or take it away")
			continue
		}
		switch server := l.words[1]; {
		case server != wildcard && server != c.cfg.HostName:
		case server == wildcard && named[l.words[0]]:
		default:
			c.secretsUser(at, l.words)
		}
	}
}

// secretsUser reads a line that is about a client of ours.
func (c *checker) secretsUser(at string, words []string) {
	name, secret := words[0], words[2]
	switch {
	case name == wildcard:
		c.warn(at, "a client of any name cannot be a user of adit; write a line for each")
		return
	case name == "":
		c.warn(at, "a client without a name cannot be a user of adit; write the name")
		return
	case secret == "":
		c.warn(at, "has an empty secret, and adit lets nobody in by that; write a secret")
		return
	}
	u := &User{Name: c.pppName(at, &name)}
	if strings.HasPrefix(secret, "@") {
		u.Password = c.secretOfFile(at, secret)
	} else {
		u.Password = Secret(secret)
	}
	if len(u.Password) > maxPPPName {
		c.add(at, "the secret has %d octets; %d is the most that PAP carries", len(u.Password), maxPPPName)
	}
	if addr := c.secretsAddress(at, words[3:]); addr != "" {
		u.Address = c.userAddress(at, &addr)
	}
	c.own(at, u)
	c.cfg.Users = append(c.cfg.Users, u)
}

// secretOfFile reads the secret that a line refers to. "If the secret starts with
// an `@', what follows is assumed to be the name of a file from which to read the
// secret." What does not begin with a slash then is a file to the manual and a
// secret to pppd itself.
func (c *checker) secretOfFile(at, word string) Secret {
	path := word[1:]
	if !strings.HasPrefix(path, "/") {
		c.add(at, `the secret begins with "@", but no absolute path follows; write one, or put this user into [[users]] if it is the secret itself`)
		return nil
	}
	data, mode, err := readFile(c.sys.FS, path, maxSecretFile)
	if err != nil {
		c.addCause(at, err, "%s cannot be read: %v", path, pathCause(err))
		return nil
	}
	if mode.Perm()&0o004 != 0 {
		c.add(at, "%s can be read by everybody (mode %04o); chmod o-r %s", path, mode.Perm(), path)
	}
	lines := secretsLines(string(data))
	if len(lines) == 0 || lines[0].problem != "" || lines[0].words[0] == "" {
		c.add(at, "%s has no secret; write it into the file as one word, in quotes if need be", path)
		return nil
	}
	return Secret(lines[0].words[0])
}

// secretsAddress is the one address that a line allows its client. "Any following
// words on the same line are taken to be a list of acceptable IP addresses for
// that client. If there are only 3 words on the line, or if the first word is "-",
// then all IP addresses are disallowed. To allow any address, use "*"." Here a
// peer cannot choose, so a list of several says nothing.
func (c *checker) secretsAddress(at string, words []string) string {
	for i, word := range words {
		if word == "--" { // pppd's options follow
			c.warn(at, "adit does not read the options after --; write what they say into a profile, or into [[users]]")
			words = words[:i]
			break
		}
	}
	if len(words) == 0 || words[0] == "-" || len(words) == 1 && words[0] == wildcard {
		return ""
	}
	single := ""
	for _, word := range words {
		plain, problem := secretsWord(word)
		if problem != "" {
			c.add(at, "%s", problem)
			return ""
		}
		if plain && len(words) == 1 {
			single = word
		}
	}
	if single == "" {
		c.warn(at, "allows several addresses, and adit gives one of a pool instead; write one address, or none")
	}
	return single
}

// secretsWord judges a word of the list of addresses: plain, if it is one address
// that is allowed.
func secretsWord(word string) (plain bool, problem string) {
	rest, denied := strings.CutPrefix(word, "!")
	if rest == wildcard {
		return false, ""
	}
	rest, unit := strings.CutSuffix(rest, "+")
	bare, _, masked := strings.Cut(rest, "/")
	addr, err := netip.ParseAddr(bare)
	if err == nil && masked {
		_, err = netip.ParsePrefix(rest)
	}
	if err != nil || !addr.Is4() || unit && !masked {
		return false, fmt.Sprintf("%q is not an IPv4 address or network; adit asks no name server for it: write the address", word)
	}
	return !denied && !masked, ""
}
