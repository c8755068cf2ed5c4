package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func bufferOf(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

func read(t *testing.T, r io.Reader) string {
	t.Helper()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "adit.sock")
	l, err := Listen(path, strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; int(gid) != os.Getgid() {
		t.Errorf("its group is %d", gid)
	}
	if _, err := Listen(path, ""); !errors.Is(err, ErrInUse) {
		t.Errorf("a second daemon on the same socket: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

// stale leaves a socket that nobody answers on, as a killed daemon does.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "adit.sock")
	stale(t, path)
	if _, err := NewClient(path).Status(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "nobody answers on "+path) {
		t.Errorf("asking a dead daemon: %v", err)
	}
	l, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestOtherFilesStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "adit.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Listen(path, "")
	if err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
		t.Errorf("the file is %q, %v", data, err)
	}
}

// TestCloseLeavesTheNextOnes: a daemon that ends late does not take away the
// socket of the one that follows it.
func TestCloseLeavesTheNextOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "adit.sock")
	first, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("it took the other's socket away: %v", err)
	}
}

func TestListenSaysWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "adit.sock")
	_, err := Listen(path, "no-such-group")
	if err == nil || !strings.Contains(err.Error(), `groupadd --system no-such-group`) || !strings.Contains(err.Error(), path) {
		t.Errorf("an unknown group: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(filepath.Join(file, "adit.sock"), ""); err == nil {
		t.Error("a socket was made in a file")
	}
	if _, err := Listen(filepath.Join(t.TempDir(), strings.Repeat("x", 120)), ""); err == nil {
		t.Error("a path was taken that the kernel cannot hold")
	}
}

func TestClientExplains(t *testing.T) {
	dir := t.TempDir()
	_, err := NewClient(filepath.Join(dir, "none")).Tunnels(t.Context())
	want := "there is no control socket at " + dir + "/none; start the daemon (adit run), or name its socket with --socket"
	if err == nil || err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	c := NewClient("/x")
	for _, k := range []struct {
		cause error
		want  string
	}{
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}, "no permission to use /x; run as root, or join the group that control.group names"},
		{context.DeadlineExceeded, "the daemon on /x did not answer in time; try again, and look into its log"},
		{context.Canceled, "context canceled"},
		{io.ErrUnexpectedEOF, "cannot talk to the daemon on /x: unexpected EOF"},
	} {
		if got := c.explain(k.cause); got.Error() != k.want {
			t.Errorf("got  %v\nwant %s", got, k.want)
		}
	}
}

// TestOtherServers: what answers on the socket need not be adit.
func TestOtherServers(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello": "does not speak adit's language",
		"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno":    "HTTP status 500",
		"SSH-2.0-OpenSSH\r\n":                               "cannot talk to the daemon",
	} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				_, _ = bufferOf(c).ReadString('\n')
				_, _ = io.WriteString(c, answer)
				c.Close()
			}
		}()
		_, err = NewClient(path).Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", answer, err, want)
		}
		l.Close()
	}
}
