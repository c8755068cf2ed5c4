package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

// System is what Load asks the machine for.
type System struct {
	// FS is the file system from its root: "etc/adit/adit.toml".
	FS fs.FS
	// HostName is the default for host_name.
	HostName func() (string, error)
}

// Host is the machine we run on.
func Host() System { return System{FS: os.DirFS("/"), HostName: os.Hostname} }

// maxFile bounds a configuration file, in octets.
const maxFile = 4 << 20

// Load reads a configuration file and the secret files it names. The error is
// of type Errors and holds everything that is wrong with them.
func Load(path string) (*Config, error) { return LoadFrom(Host(), path) }

// LoadFrom is Load on another machine than this one.
func LoadFrom(sys System, path string) (*Config, error) {
	text, absolute, mode, err := readDocument(sys, path)
	if err != nil {
		return nil, err
	}
	return parse(sys, path, absolute, text, mode)
}

// readDocument reads a configuration file. The error is of type Errors.
func readDocument(sys System, path string) (text, absolute string, mode fs.FileMode, err error) {
	fail := func(cause error, sentence string) error {
		return Errors{{File: path, Text: sentence, Err: cause}}
	}
	if absolute, err = filepath.Abs(path); err != nil {
		return "", "", 0, fail(err, "cannot find the current directory; give the file's absolute path")
	}
	document, mode, err := readFile(sys.FS, absolute, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "", 0, fail(err, "there is no such file; write one (the reference is etc/adit.toml in the source) or name another with -c")
	case errors.Is(err, fs.ErrPermission):
		return "", "", 0, fail(err, "no permission to read it; run as root or as the daemon's user")
	case err != nil:
		return "", "", 0, fail(err, fmt.Sprintf("cannot be read: %v", err))
	}
	return strings.TrimPrefix(string(document), "\xef\xbb\xbf"), absolute, mode, nil
}

// parse makes a Config of a document. Secrets in it are safe only if mode does
// not let everybody read it.
func parse(sys System, path, absolute, text string, mode fs.FileMode) (*Config, error) {
	var tables map[string]any
	if _, err := toml.Decode(text, &tables); err != nil {
		return nil, Errors{syntaxError(path, err)}
	}
	c := newChecker(sys, path, absolute, text, mode)
	var raw rawConfig
	c.bind("", tables, reflect.ValueOf(&raw).Elem())
	c.check(&raw)
	if all := c.allErrors(); len(all) > 0 {
		return nil, all
	}
	c.cfg.Warnings = c.allWarnings()
	return c.cfg, nil
}

// syntaxError puts what the TOML decoder says into our form.
func syntaxError(path string, err error) *Error {
	e := &Error{File: path, Text: fmt.Sprintf("not TOML: %v", err), Err: err}
	var p toml.ParseError
	if !errors.As(err, &p) {
		return e
	}
	e.Line = p.Position.Line
	text := p.Message
	if text == "" {
		// The decoder keeps the message of a value's error in the error itself.
		text = p.Error()
		if _, after, ok := strings.Cut(text, ": "); ok {
			text = after
		}
	}
	e.Text = "not TOML: " + text
	return e
}

// readFile reads a regular file of a bounded size. The path is absolute.
func readFile(fsys fs.FS, path string, most int64) ([]byte, fs.FileMode, error) {
	name := strings.TrimPrefix(filepath.Clean(path), "/")
	// Opening a FIFO would wait for a writer, so look before.
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errNotRegular
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, 0, err
	case int64(len(data)) > most:
		return nil, 0, fmt.Errorf("%w: more than %d octets", errTooLong, most)
	}
	return data, info.Mode(), nil
}

var (
	errNotRegular = errors.New("it is not a regular file")
	errTooLong    = errors.New("it is too long")
)

// SocketOf reads nothing but control.socket from a file, for commands that ask
// a running daemon: they should work while the rest of the file is being
// edited, and for users who may not read the secret files that it names.
func SocketOf(path string) (string, error) {
	document, err := os.ReadFile(path)
	if err != nil {
		return "", Errors{{File: path, Text: fmt.Sprintf("cannot be read: %v; name another with -c, or the socket with --socket", pathCause(err)), Err: err}}
	}
	var raw struct {
		Control struct {
			Socket string `toml:"socket"`
		} `toml:"control"`
	}
	if _, err := toml.Decode(string(document), &raw); err != nil {
		return "", Errors{syntaxError(path, err)}
	}
	if raw.Control.Socket == "" {
		return DefaultSocket, nil
	}
	return raw.Control.Socket, nil
}
