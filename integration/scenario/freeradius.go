package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"adit/integration/lab"
)

// UnpackFreeRADIUS takes FreeRADIUS out of its Debian package into a tree, and
// installs its dictionaries and radclient, which start nothing.
func UnpackFreeRADIUS(ctx context.Context, log io.Writer) (tree string, err error) {
	if err = lab.InstallPrograms(ctx, log, "radclient"); err != nil {
		return "", err
	}
	return lab.Unpack(ctx, log, lab.Need{Program: "freeradius", Package: "freeradius"})
}

// FreeRADIUSOptions configure a FreeRADIUS.
type FreeRADIUSOptions struct {
	// Tree is of UnpackFreeRADIUS.
	Tree string
	// Address is where it listens, of the namespace.
	Address netip.Addr
	// Secret is for clients at every address.
	Secret string
	// Users is its file of users, in its own words.
	Users string
	// Modules and Authorize are further configuration, in its own words.
	Modules, Authorize string
	// RejectDelay is how long it waits before it rejects, in seconds.
	RejectDelay int
	// Threads are those that serve requests; 0: 2.
	Threads int
	// Debug: its log shows every packet, which costs a lot.
	Debug bool
}

// FreeRADIUSServer is a FreeRADIUS that runs, or can again.
type FreeRADIUSServer struct {
	*Process
	// Auth and Acct are its addresses, which stay over a restart.
	Auth, Acct netip.AddrPort
	// Secret is its clients'.
	Secret string

	ns   *NS
	dir  string
	argv []string
	env  []string
}

// freeRADIUSConfig is a server with what PPP needs, and nothing that is read from
// elsewhere. Its arguments are: 1 tree, 2 folder, 3 reject_delay, 4 threads, 5 secret,
// 6 modules, 7 address, 8 and 9 ports, 10 authorize.
const freeRADIUSConfig = `
prefix = /usr
libdir = %[1]s/usr/lib/freeradius
raddbdir = %[2]s
run_dir = %[2]s
logdir = %[2]s
pidfile = %[2]s/pid
max_request_time = 10
max_requests = 65536
log {
	destination = stdout
}
security {
	reject_delay = %[3]d
	status_server = yes
	allow_vulnerable_openssl = yes
}
client everybody {
	ipaddr = 0.0.0.0/0
	secret = "%[5]s"
	require_message_authenticator = yes
}
client everybody6 {
	ipv6addr = ::/0
	secret = "%[5]s"
	require_message_authenticator = yes
}
thread pool {
	start_servers = %[4]d
	max_servers = %[4]d
	min_spare_servers = 1
	max_spare_servers = %[4]d
	max_requests_per_server = 0
}
modules {
	files {
		filename = %[2]s/users
	}
	pap {
	}
	chap {
	}
	mschap {
		use_mppe = yes
		with_ntdomain_hack = yes
	}
	eap {
		default_eap_type = md5
		max_sessions = 65536
		md5 {
		}
	}
	detail {
		filename = %[2]s/detail
		permissions = 0600
		escape_filenames = no
	}
	%[6]s
}
server default {
	listen {
		type = auth
		ipaddr = %[7]s
		port = %[8]d
	}
	listen {
		type = acct
		ipaddr = %[7]s
		port = %[9]d
	}
	authorize {
		chap
		mschap
		eap {
			ok = return
		}
		files
		pap
		%[10]s
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
		Auth-Type CHAP {
			chap
		}
		Auth-Type MS-CHAP {
			mschap
		}
		eap
	}
	preacct {
	}
	accounting {
		detail
	}
}
`

// FreeRADIUS starts a server in a namespace, or where the test runs if that is
// nil, and waits until it answers.
func FreeRADIUS(t TB, ns *NS, o FreeRADIUSOptions) *FreeRADIUSServer {
	t.Helper()
	if ns == nil {
		ns = Here(t)
	}
	dir := t.TempDir()
	ports := freePorts(t, ns, o.Address, 2)
	s := &FreeRADIUSServer{
		Auth: netip.AddrPortFrom(o.Address, ports[0]), Acct: netip.AddrPortFrom(o.Address, ports[1]),
		Secret: o.Secret, ns: ns, dir: dir,
	}
	threads := max(o.Threads, 2)
	document := fmt.Sprintf(freeRADIUSConfig, o.Tree, dir, o.RejectDelay, threads, o.Secret, o.Modules, o.Address, ports[0], ports[1], o.Authorize)
	for name, text := range map[string]string{"radiusd.conf": document, "users": o.Users, "dictionary": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatalf("%v", err)
		}
	}
	libraries, err := filepath.Glob(filepath.Join(o.Tree, "usr/lib/*-linux-gnu*"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	libraries = append(libraries, filepath.Join(o.Tree, "usr/lib/freeradius"))
	s.env = []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}
	s.argv = []string{filepath.Join(o.Tree, "usr/sbin/freeradius"), "-f", "-d", dir, "-n", "radiusd", "-D", "/usr/share/freeradius"}
	if o.Debug {
		s.argv = append(s.argv, "-xx", "-l", "stdout")
	}
	s.Restart(t)
	return s
}

// Restart starts it, again if need be (after Stop or KillHard), at the addresses
// that it had.
func (s *FreeRADIUSServer) Restart(t TB) {
	t.Helper()
	if s.Process != nil {
		if done, _ := s.Exited(); !done {
			s.Stop(t)
		}
	}
	s.Process = s.ns.StartEnv(t, "freeradius", s.env, s.argv...)
	WaitFor(t, time.Minute, "FreeRADIUS to be ready", func() bool {
		if done, err := s.Exited(); done {
			t.Fatalf("FreeRADIUS ended at its start: %v\n%s", err, s.tail(20))
		}
		return strings.Contains(s.Log(), "Ready to process requests")
	})
}

// Records are the accounting records that it has taken, in their order: each has
// the attributes by name, the last one where there are several.
func (s *FreeRADIUSServer) Records(t TB) (all []map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "detail"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v", err)
	}
	var record map[string]string
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		switch {
		case !strings.HasPrefix(line, "\t"): // the time before each, or the empty line behind it
			record = nil
		case ok:
			if record == nil {
				record = map[string]string{}
				all = append(all, record)
			}
			record[name] = strings.Trim(value, `"`)
		}
	}
	return all
}

// Radclient runs radclient in the server's namespace: what is "auth", "acct",
// "coa" or "disconnect", and the attributes are one on each line.
func (s *FreeRADIUSServer) Radclient(to netip.AddrPort, what, secret, attributes string) (string, error) {
	file, err := os.CreateTemp(s.dir, "request-")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(attributes)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	return s.ns.Run("radclient", "-x", "-t", "5", "-r", "1", "-f", file.Name(), to.String(), what, secret)
}

// freePorts are UDP ports of an address that nobody has at present.
func freePorts(t TB, ns *NS, at netip.Addr, count int) (ports []uint16) {
	t.Helper()
	err := ns.Do(func() error {
		for range count {
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
			if err != nil {
				return err
			}
			defer c.Close()
			ports = append(ports, c.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		}
		return nil
	})
	if err != nil {
		t.Fatalf("ports of %v: %v", at, err)
	}
	return ports
}
