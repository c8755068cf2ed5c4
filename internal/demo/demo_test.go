package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"adit/internal/need"
)

// rooms makes two joined rooms, as root.
func rooms(t *testing.T) (lns, lac *room) {
	t.Helper()
	if os.Geteuid() != 0 {
		need.Lack(t, "needs root to make network namespaces")
	}
	var err error
	// Both fresh, for the machine's own network is none of a test's business.
	if lns, err = newRoom(true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lns.close)
	if lac, err = newRoom(true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lac.close)
	if err := join(lns, lac); err != nil {
		t.Fatal(err)
	}
	return lns, lac
}

func TestPing(t *testing.T) {
	_, lac := rooms(t)
	p, err := ping(t.Context(), lac, lnsOuter.Addr(), 5, time.Second)
	if err != nil || p.Sent != 5 || p.Received != 5 {
		t.Fatalf("%+v, %v", p, err)
	}
	if p.Least <= 0 || p.Least > p.Mean || p.Mean > p.Most {
		t.Errorf("times out of order: %s", p)
	}
	// Nobody has this address, on a wire that is there.
	p, err = ping(t.Context(), lac, netip.MustParseAddr("192.0.2.77"), 3, 50*time.Millisecond)
	if err == nil || p.Received != 0 {
		t.Errorf("an address that nobody has answers: %+v, %v", p, err)
	}
}

// RFC 1071 section 3 has a numerical example: 00 01 f2 03 f4 f5 f6 f7 sums to
// ddf2.
func TestChecksum(t *testing.T) {
	if got := checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != ^uint16(0xddf2) {
		t.Errorf("checksum %#04x", got)
	}
	if got := checksum([]byte{0x01}); got != ^uint16(0x0100) {
		t.Errorf("of one octet: %#04x", got)
	}
}

func TestEchoReply(t *testing.T) {
	request := echoRequest(7, 9)
	reply := bytes.Clone(request)
	reply[0] = icmpEchoReply
	// The type was 8 in the high octet of the first word.
	reply[2] += icmpEchoRequest
	if checksum(reply) != 0 {
		t.Fatal("the test's own reply is wrong")
	}
	if !isEchoReply(reply, request) {
		t.Error("a good reply is not taken")
	}
	for name, spoil := range map[string]func(p []byte) []byte{
		"the request itself": func([]byte) []byte { return request },
		"another data octet": func(p []byte) []byte { p[100] ^= 1; return p },
		"other data, good checksum": func(p []byte) []byte {
			p[100] ^= 1
			p[2], p[3] = 0, 0
			sum := checksum(p)
			p[2], p[3] = byte(sum>>8), byte(sum)
			return p
		},
		"short": func(p []byte) []byte { return p[:len(p)-2] },
		"empty": func([]byte) []byte { return nil },
	} {
		if isEchoReply(spoil(bytes.Clone(reply)), request) {
			t.Errorf("%s is taken for a reply", name)
		}
	}
}

func TestTransfer(t *testing.T) {
	lns, lac := rooms(t)
	for _, fromServer := range []bool{false, true} {
		got, err := transfer(t.Context(), lns, lac, lnsOuter.Addr(), fromServer, 100*time.Millisecond)
		// The pattern is sent whole, however slow the machine is.
		if err != nil || got.Bytes < int64(len(pattern)) || got.Elapsed < 90*time.Millisecond {
			t.Errorf("from the server %t: %s, %v", fromServer, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := transfer(ctx, lns, lac, lnsOuter.Addr(), false, time.Minute); err == nil {
		t.Error("a cancelled transfer has no error")
	}
}

// TestReceiveSeesWhatIsWrong: an octet that changed on the way, and a piece that
// is missing.
func TestReceiveSeesWhatIsWrong(t *testing.T) {
	lns, lac := rooms(t)
	for name, data := range map[string][]byte{
		"changed": append(bytes.Clone(pattern[:5000]), ^pattern[5000]),
		"missing": append(bytes.Clone(pattern[:5000]), pattern[6400:9000]...),
	} {
		accepted, dialled, err := connect(t.Context(), lns, lac, lnsOuter.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = dialled.Write(data); err != nil {
			t.Fatal(err)
		}
		dialled.Close()
		if _, err := receive(accepted); err == nil || !strings.Contains(err.Error(), "not what was sent") {
			t.Errorf("%s: %v", name, err)
		}
		accepted.Close()
	}
}

func TestNamespaceError(t *testing.T) {
	for _, test := range []struct {
		name, file, value string
		err               error
		want              string
	}{
		{"off", "user/max_user_namespaces", "0\n", syscall.ENOSPC, "sysctl -w user.max_user_namespaces=10000"},
		{"Debian", "kernel/unprivileged_userns_clone", "0\n", syscall.EPERM, "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"AppArmor", "kernel/apparmor_restrict_unprivileged_userns", "1\n", syscall.EACCES, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		{"AppArmor off", "kernel/apparmor_restrict_unprivileged_userns", "0\n", syscall.EPERM, "--privileged"},
		{"container", "", "", syscall.EPERM, "--privileged"},
		{"old kernel", "", "", syscall.EINVAL, "CONFIG_USER_NS"},
		{"something else", "user/max_user_namespaces", "0\n", syscall.ENOEXEC, "starting the demo"},
	} {
		root := t.TempDir()
		if test.file != "" {
			path := filepath.Join(root, "proc/sys", test.file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(test.value), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := namespaceError(test.err, root)
		if !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", test.name, err, test.want)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %v", test.name, err)
		}
	}
}

func TestCheckTUN(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "tun")
	if err := checkTUN(missing); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "modprobe tun") {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(missing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkTUN(missing); err != nil {
		t.Errorf("one that opens: %v", err)
	}
	if os.Geteuid() == 0 {
		return // who may open everything
	}
	if err := os.Chmod(missing, 0); err != nil {
		t.Fatal(err)
	}
	if err := checkTUN(missing); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "chmod 0666") {
		t.Errorf("forbidden: %v", err)
	}
}

func TestReport(t *testing.T) {
	boom := errors.New("boom")
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		r := newReport(&out, asJSON)
		if err := r.step("first", func() (string, error) { return "fine", nil }); err != nil {
			t.Error(err)
		}
		if err := r.step("second", func() (string, error) { return "half", boom }); !errors.Is(err, boom) {
			t.Error(err)
		}
		if err := r.end(false); err != nil {
			t.Error(err)
		}
		if !asJSON {
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if len(lines) != 3 || !strings.HasPrefix(lines[0], "STEP") || !strings.Contains(lines[1], "fine") || !strings.Contains(lines[2], "FAILED: boom") {
				t.Errorf("%q", out.String())
			}
			continue
		}
		var got Result
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%v in %q", err, out.String())
		}
		if got.OK || got.Error != "second: boom" || len(got.Steps) != 2 || got.Steps[0].Failed || !got.Steps[1].Failed {
			t.Errorf("%+v", got)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 us", 999 * time.Microsecond: "999 us", 1500 * time.Microsecond: "1.5 ms",
		25*time.Millisecond + 400*time.Microsecond: "25 ms", 999 * time.Millisecond: "999 ms", 2346 * time.Millisecond: "2.35 s",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// TestRoomsAreApart: what is done in a room happens in its network, and the
// process's own stays as it was.
func TestRoomsAreApart(t *testing.T) {
	lns, lac := rooms(t)
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{own: true}
	for _, r := range []*room{lns, lac} {
		var name string
		if err := r.do(func() (err error) { name, err = os.Readlink("/proc/thread-self/ns/net"); return err }); err != nil {
			t.Fatal(err)
		}
		if seen[name] {
			t.Errorf("%s twice", name)
		}
		seen[name] = true
	}
}
