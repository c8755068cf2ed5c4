package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// ErrInUse says that another daemon answers on the socket.
var ErrInUse = errors.New("another daemon answers on it")

// probeTimeout bounds the question whether anybody answers on a socket.
const probeTimeout = time.Second

// Listen opens the control socket at path: its directory is made, a socket
// that nobody answers on is replaced, and only the owner and group, if one is
// named by name or number, may use it (mode 0660). The socket is removed when
// the listener is closed.
func Listen(path, group string) (net.Listener, error) {
	wrap := func(err error) error { return fmt.Errorf("control socket %s: %w", path, err) }
	gid := -1
	if group != "" {
		var err error
		if gid, err = groupID(group); err != nil {
			return nil, wrap(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, wrap(err)
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, wrap(err)
	}
	defer unlock()
	if err = removeStale(path); err != nil {
		return nil, wrap(err)
	}
	l, err := bindPrivate(path, gid)
	if err != nil {
		return nil, wrap(err)
	}
	return l, nil
}

// bindPrivate makes the socket so that there is no moment at which somebody may
// connect who may not later. Linux gives the file the mode that the unbound
// socket has (less the umask, which other threads share and we leave alone).
func bindPrivate(path string, gid int) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	s := &socket{UnixListener: l.(*net.UnixListener), path: path}
	if s.info, err = os.Lstat(path); err == nil && gid >= 0 {
		err = os.Lchown(path, -1, gid)
	}
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// socket takes its file away when it is closed, if it is still its own.
type socket struct {
	*net.UnixListener
	path string
	info fs.FileInfo
}

func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && s.info != nil && os.SameFile(now, s.info) {
		os.Remove(s.path)
	}
	return s.UnixListener.Close()
}

// removeStale takes away a socket that a dead daemon left. Anything else at
// the path stays, and so does a socket that somebody answers on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file there that is no socket; remove it, or set control.socket to another path")
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("%w; stop it first, or set control.socket to another path", ErrInUse)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, syscall.EAGAIN):
		// Its queue is full, so somebody holds it.
		return fmt.Errorf("%w; stop it first, or set control.socket to another path", ErrInUse)
	}
	return err
}

// lockDir keeps two daemons that start at once from taking each other's fresh
// socket for a stale one.
func lockDir(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("cannot lock its directory: %w", err)
	}
	return func() { d.Close() }, nil
}

func groupID(group string) (int, error) {
	if n, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q; make it (groupadd --system %s) or change control.group", group, group)
	}
	return strconv.Atoi(g.Gid)
}
