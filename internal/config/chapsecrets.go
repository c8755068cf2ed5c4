package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// The format of a secrets file is of pppd(8), AUTHENTICATION: "A secrets file is
// parsed into words as for a options file, so the client name, server name and
// secrets fields must each be one word, with any embedded spaces or other special
// characters quoted or escaped."

// secretsLine is the words of a line, or of several that backslashes join.
type secretsLine struct {
	number int // from 1, of its first word
	words  []string
	// problem is what is wrong with it; empty: nothing.
	problem string
}

// secretsLines takes a secrets file apart. Lines without a word are left out.
func secretsLines(text string) []secretsLine {
	var all []secretsLine
	w := &words{in: text, line: 1}
	open := false // the last of all may get further words
	for {
		newline, more := w.space()
		if newline {
			open = false
		}
		if !more {
			return all
		}
		if !open {
			all = append(all, secretsLine{number: w.line})
			open = true
		}
		last := &all[len(all)-1]
		word, ok := w.word()
		last.words = append(last.words, word)
		if !ok {
			last.problem = "has a quote that is not closed; close it, or write a backslash before it"
		}
	}
}

// words walks over the words of a file.
type words struct {
	in   string
	pos  int
	line int
}

func (w *words) peek() byte {
	if w.pos < len(w.in) {
		return w.in[w.pos]
	}
	return 0
}

// space passes over what is between words. newline says that a line has ended,
// more that a word follows.
func (w *words) space() (newline, more bool) {
	for w.pos < len(w.in) {
		switch w.in[w.pos] {
		case '\n':
			newline = true
			w.line++
			w.pos++
		case ' ', '\t', '\r', '\v', '\f':
			w.pos++
		case '#':
			for w.pos < len(w.in) && w.in[w.pos] != '\n' {
				w.pos++
			}
		case '\\':
			if !strings.HasPrefix(w.in[w.pos:], "\\\n") {
				return newline, true
			}
			w.line++
			w.pos += 2
		default:
			return newline, true
		}
	}
	return newline, false
}

// word reads a word, of which any part may be in quotes; false: they are not
// closed in their line.
func (w *words) word() (string, bool) {
	var b strings.Builder
	var quote byte // that is open; 0: none
	for w.pos < len(w.in) {
		c := w.in[w.pos]
		switch {
		case c == '\\':
			w.pos++
			w.escape(&b)
			continue
		case quote != 0 && c == '\n':
			return b.String(), false
		case quote == 0 && strings.IndexByte(" \t\r\n\v\f#", c) >= 0:
			return b.String(), true
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			b.WriteByte(c)
		}
		w.pos++
	}
	return b.String(), quote == 0
}

// escape reads what follows a backslash: a character of C, up to three octal or
// two hexadecimal digits, the end of a line, which counts for nothing, or a
// character that stands for itself.
func (w *words) escape(b *strings.Builder) {
	if w.pos >= len(w.in) {
		return
	}
	c := w.in[w.pos]
	if c >= '0' && c <= '7' {
		b.WriteByte(byte(w.digits(8, 3)))
		return
	}
	w.pos++
	switch c {
	case '\n':
		w.line++
	case 'a':
		b.WriteByte('\a')
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 's':
		b.WriteByte(' ')
	case 't':
		b.WriteByte('\t')
	case 'x':
		b.WriteByte(byte(w.digits(16, 2)))
	default:
		b.WriteByte(c)
	}
}

// digits reads up to so many digits of a base.
func (w *words) digits(base, most int) (value int) {
	for range most {
		d := strings.IndexByte("0123456789abcdef", w.peek()|0x20)
		if w.pos >= len(w.in) || d < 0 || d >= base {
			break
		}
		value = value*base + d
		w.pos++
	}
	return value
}

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
