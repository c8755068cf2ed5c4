package config

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxUsersFile bounds a file of users, in octets.
const maxUsersFile = 64 << 20

// checkAllUsers reads the users of the file itself and of the files that it names.
func (c *checker) checkAllUsers(raw rawUserKeys) {
	c.checkUsers(raw.Users)
	if raw.UsersFile != nil {
		c.cfg.UsersFile = c.otherFile("users_file", *raw.UsersFile, 1, (*checker).readUsersFile)
	}
	if raw.ChapSecrets != nil {
		c.cfg.ChapSecrets = c.otherFile("chap_secrets", *raw.ChapSecrets, 2, (*checker).readChapSecrets)
	}
	c.checkPrefixes()
	for _, other := range c.others {
		c.more = append(c.more, other.errs.sorted()...)
		c.wary = append(c.wary, other.warnings.sorted()...)
	}
}

// otherFile reads a further file of users, which has lines and errors of its own.
func (c *checker) otherFile(key, path string, order int, read func(*checker, string)) string {
	if path == "" {
		c.add(key, "is empty; write a path, or take the key away")
		return ""
	}
	path = c.relativePath(path)
	data, mode, err := readFile(c.sys.FS, path, maxUsersFile)
	if err != nil {
		c.addCause(key, err, "%s cannot be read: %v", path, pathCause(err))
		return path
	}
	if mode.Perm()&0o004 != 0 {
		c.add(key, "%s can be read by everybody (mode %04o); chmod o-r %s", path, mode.Perm(), path)
	}
	other := *c
	other.collector = &collector{file: path, lines: lineIndex{}}
	other.dir, other.open, other.order = filepath.Dir(path), false, order
	c.others = append(c.others, other.collector)
	read(&other, strings.TrimPrefix(string(data), "\xef\xbb\xbf"))
	return path
}

// readUsersFile reads a TOML file that holds [[users]] and nothing else.
func (c *checker) readUsersFile(text string) {
	var tables map[string]any
	if _, err := toml.Decode(text, &tables); err != nil {
		c.errs = append(c.errs, syntaxError(c.file, err))
		return
	}
	c.lines = indexLines(text)
	var raw rawUsersFile
	c.bind("", tables, reflect.ValueOf(&raw).Elem())
	c.checkUsers(raw.Users)
}

// LoadUsers reads the users of a running configuration again: [[users]] of its
// file, and the files that users_file and chap_secrets name there now. All else
// is that of the running one, also the profiles that users name. The result is
// what its Users would be, with what looks wrong but is allowed; the error is of
// type Errors and holds everything that is wrong with the users.
func LoadUsers(running *Config) ([]*User, Errors, error) { return LoadUsersFrom(Host(), running) }

// LoadUsersFrom is LoadUsers on another machine than this one.
func LoadUsersFrom(sys System, running *Config) ([]*User, Errors, error) {
	text, absolute, mode, err := readDocument(sys, running.Path)
	if err != nil {
		return nil, nil, err
	}
	var tables map[string]any
	if _, err := toml.Decode(text, &tables); err != nil {
		return nil, nil, Errors{syntaxError(running.Path, err)}
	}
	c := newChecker(sys, running.Path, absolute, text, mode)
	*c.cfg = *running.WithUsers(nil)
	var raw rawUserKeys
	fields := map[string]reflect.Value{}
	rawFields(reflect.ValueOf(&raw).Elem(), fields)
	for key, field := range fields {
		if value, ok := tables[key]; ok {
			c.bindValue(key, value, field)
		}
	}
	c.runningPools()
	c.checkAllUsers(raw)
	c.checkUse()
	if all := c.allErrors(); len(all) > 0 {
		return nil, nil, all
	}
	return c.cfg.Users, c.allWarnings(), nil
}

// runningPools notes the prefixes of pools that were read before.
func (c *checker) runningPools() {
	for name, pool := range c.cfg.Pools {
		for i, p := range pool.IPv6 {
			key := joinIndex(joinKey(joinKey("pools", name), "prefixes"), i)
			c.given.prefixes = append(c.given.prefixes, placedPrefix{p, c.place(key, 0)})
		}
	}
}

// WithUsers is the configuration with other users, which LoadUsers has read. Both
// share all else.
func (c *Config) WithUsers(users []*User) *Config {
	other := *c
	other.Users = users
	return &other
}

// newChecker is for a document; mode is that of its file.
func newChecker(sys System, path, absolute, text string, mode fs.FileMode) *checker {
	return &checker{
		collector: &collector{file: path, lines: indexLines(text)},
		sys:       sys,
		dir:       filepath.Dir(absolute),
		open:      mode.Perm()&0o004 != 0,
		cfg:       &Config{Path: path},
		given:     newGiven(),
	}
}

// allErrors are those of the document, and after them those of the other files.
func (c *checker) allErrors() Errors { return append(c.errs.sorted(), c.more...) }

func (c *checker) allWarnings() Errors { return append(c.warnings.sorted(), c.wary...) }

// lineKey is how a line without a key of its own is called in lineIndex.
func lineKey(name string, n int, lines lineIndex) string {
	key := joinKey("", name)
	if name == "" {
		key = fmt.Sprintf("line%d", n)
	}
	lines[key] = n
	return key
}
