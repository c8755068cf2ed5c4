package config

import (
	"io/fs"
	"strings"
	"time"
)

func (c *checker) checkHooks(raw rawHooks) {
	c.cfg.Hooks = Hooks{
		Up:          c.program("hooks.session_up", raw.Up),
		Down:        c.program("hooks.session_down", raw.Down),
		Timeout:     c.duration("hooks.timeout", raw.Timeout, 10*time.Second, 100*time.Millisecond, 10*time.Minute),
		Concurrency: c.number("hooks.concurrency", raw.Concurrency, 8, 1, 256),
		MaxWaiting:  c.number("hooks.max_waiting", raw.MaxWaiting, 4096, 0, 1_000_000),
	}
	if raw.Up == nil && raw.Down == nil {
		for k, given := range map[string]bool{"timeout": raw.Timeout != nil, "concurrency": raw.Concurrency != nil, "max_waiting": raw.MaxWaiting != nil} {
			if given {
				c.warn(joinKey("hooks", k), "does nothing without session_up or session_down; take it away")
			}
		}
	}
}

// program reads the path of a program that we run as ourselves, so that nobody
// else may be able to put another in its place.
func (c *checker) program(key string, raw *string) string {
	path := c.absolutePath(key, raw, "")
	if path == "" {
		return ""
	}
	info, err := fs.Stat(c.sys.FS, strings.TrimPrefix(path, "/"))
	switch {
	case err != nil:
		c.addCause(key, err, "%s cannot be run: %v", path, pathCause(err))
	case !info.Mode().IsRegular():
		c.add(key, "%s is not a regular file; write the path of a program", path)
	case info.Mode().Perm()&0o111 == 0:
		c.add(key, "%s is not executable (mode %04o); chmod +x %s", path, info.Mode().Perm(), path)
	case info.Mode().Perm()&0o002 != 0:
		c.add(key, "%s can be written by everybody (mode %04o); chmod o-w %s", path, info.Mode().Perm(), path)
	}
	return path
}
