package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"adit/integration/scenario"
	"adit/internal/control"
)

// nativeLimit is for PPP of a few sessions on a machine that is busy.
const nativeLimit = time.Minute

// rig is an LNS and a LAC of our own, as processes in two namespaces; the LAC
// has a call for each of alice and bob, which it places again and again.
type rig struct {
	lns, lac *scenario.AditDaemon
	config   func(users, pool string) string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	n := scenario.NewNativeNet(t)
	binary, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(scenario.BinaryVariable, binary)
	t.Setenv(asAdit, "1")
	r := &rig{config: func(users, pool string) string {
		return fmt.Sprintf(`
host_name = "lns.test"
[pppd]
path = "/nonexistent/pppd"
[[listen]]
address = "%s:1701"
[pools.homes]
ranges = ["10.64.1.1-%s"]
[pools.homes6]
prefixes = ["2001:db8:64::/48"]
length = 64
[profiles.default]
ppp = "auto"
dataplane = "userspace"
local_address = "10.64.0.1"
pool = "homes"
ipv6_pool = "homes6"
failure_delay = "0s"
[[lns.peers]]
name = "pop"
secret = "s3cret"
%s`, n.AddrB(), pool, users)
	}}
	r.lns = scenario.Adit(t, n.B, r.config(aliceUser, lastOfPool))
	calls := ""
	for _, who := range []string{"alice", "bob"} {
		calls += fmt.Sprintf("[[lac.tunnels]]\nname = %q\nremote = \"%s:1701\"\nsecret = \"s3cret\"\nretry_min = \"200ms\"\nretry_max = \"300ms\"\n[[lac.tunnels.sessions]]\nname = %q\nuser = %q\npassword = \"password of %s\"\n",
			who, n.AddrB(), who, who, who)
	}
	r.lac = scenario.Adit(t, n.A, "listen = []\n[profiles.default]\nppp = \"builtin\"\ndataplane = \"userspace\"\n"+calls)
	return r
}

const (
	aliceUser  = "[[users]]\nname = \"alice\"\npassword = \"password of alice\"\nsession_timeout = \"1h\"\n"
	bobUser    = "[[users]]\nname = \"bob\"\npassword = \"password of bob\"\n"
	lastOfPool = "10.64.1.9"
)

// session is the LNS's session of a user with an IPv4 address; nil: there is none.
func (r *rig) session(t *testing.T, user string) *control.Session {
	t.Helper()
	for _, s := range r.lns.Sessions(t) {
		if s.User == user && s.State == "up" && s.RemoteAddress.IsValid() && !s.NetworkSince.IsZero() {
			return &s
		}
	}
	return nil
}

func (r *rig) await(t *testing.T, user string) *control.Session {
	t.Helper()
	var s *control.Session
	scenario.WaitFor(t, nativeLimit, "a session of "+user, func() bool { s = r.session(t, user); return s != nil })
	return s
}

func (r *rig) refused(t *testing.T, user string) {
	t.Helper()
	r.lns.WaitLog(t, nativeLimit, fmt.Sprintf(`user \"%s\" is refused: there is no local user of this name`, user))
}

// reload reloads with another configuration, and returns what is printed.
func (r *rig) reload(t *testing.T, document string) string {
	t.Helper()
	r.lns.WriteConfig(t, document)
	out, err := r.lns.Command("reload")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// TestReloadNative: a user added can log in and a removed one cannot; a session
// that is up stays; what is wrong changes nothing.
func TestReloadNative(t *testing.T) {
	r := newRig(t)
	alice := r.await(t, "alice")
	r.refused(t, "bob")

	if got, want := r.reload(t, r.config(bobUser, lastOfPool)), "applied: users (1 added, 1 removed, 0 changed; 1 now)"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	bob := r.await(t, "bob")
	if s := r.session(t, "alice"); s == nil || s.ID != alice.ID || s.Tunnel != alice.Tunnel || s.AcctSessionID != alice.AcctSessionID {
		t.Errorf("the session of the user who was removed was %+v and is %+v", alice, s)
	}
	if out, err := r.lns.Command("disconnect", "user", "alice", "--reason", "moved away"); err != nil || out != "closing 0 tunnels and 1 session\n" {
		t.Errorf("%q, %v", out, err)
	}
	r.refused(t, "alice")
	r.lac.WaitLog(t, nativeLimit, "disconnected by the operator: moved away")
	if r.session(t, "bob") == nil {
		t.Error("bob went with alice")
	}
	if out, err := r.lns.Command("disconnect", "user", "alice"); err == nil || !strings.Contains(err.Error(), `user "alice": not found`) {
		t.Errorf("alice is still there: %q, %v", out, err)
	}

	// What is wrong changes nothing: bob can log in anew.
	for document, want := range map[string][]string{
		r.config(strings.Replace(bobUser, "password", "pasword", 1), lastOfPool): {"users[0].pasword: unknown key", "users[0].password: is missing", "the configuration has 2 errors; nothing has changed"},
		// The profile became the built-in endpoint by "auto", which load cannot know.
		r.config("", lastOfPool): {"because there are no [[users]]", "the users do not go with the rest of the running configuration"},
	} {
		r.lns.WriteConfig(t, document)
		_, err := r.lns.Command("reload")
		for _, w := range append(want, "exit status 2") {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("the reload says %v, want %q", err, w)
			}
		}
	}
	if _, err := r.lns.Command("disconnect", "user", "bob"); err != nil {
		t.Error(err)
	}
	scenario.WaitFor(t, nativeLimit, "bob to be back", func() bool {
		s := r.session(t, "bob")
		return s != nil && s.AcctSessionID != bob.AcctSessionID
	})

	// What needs a restart is said; by SIGHUP, too.
	if got, want := r.reload(t, r.config(bobUser, "10.64.1.99")), "nothing has changed; needs a restart: pools.homes"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	r.lns.WriteConfig(t, r.config(aliceUser+bobUser, "10.64.1.99"))
	r.lns.Signal(t, syscall.SIGHUP)
	r.lns.WaitLog(t, nativeLimit, "reload: applied: users (1 added, 0 removed, 0 changed; 2 now); needs a restart: pools.homes")
	r.await(t, "alice")
}

// TestViewsNative: what an LNS knows of a session and of its pools.
func TestViewsNative(t *testing.T) {
	r := newRig(t)
	s := r.await(t, "alice")
	scenario.WaitFor(t, nativeLimit, "IPv6", func() bool { s = r.await(t, "alice"); return s.RemoteIPv6.IsValid() })
	if s.AuthMethod != "local" || s.ServiceProfile != "default" || s.AcctSessionID == "" || s.Leased || len(s.IPv6Prefixes) != 1 ||
		s.IPv6Prefixes[0].Bits() != 64 || !strings.HasPrefix(s.IPv6Prefixes[0].String(), "2001:db8:64:") {
		t.Errorf("%+v", s)
	}
	if d := s.Ends.Sub(s.NetworkSince); d != time.Hour {
		t.Errorf("the session ends %v after its begin; want 1h", d)
	}
	status := r.lns.Status(t)
	want := []control.Pool{{Name: "homes", Size: 9, InUse: 1}, {Name: "homes6", Size: 1 << 16, InUse: 1}}
	if status.LocalUsers != 1 || len(status.Pools) != 2 || status.Pools[0] != want[0] || status.Pools[1] != want[1] {
		t.Errorf("%d users, pools %+v", status.LocalUsers, status.Pools)
	}
	if _, err := r.lns.Command("disconnect", "user", "alice"); err != nil {
		t.Error(err)
	}
	// Her call comes back, and has the same address.
	scenario.WaitFor(t, nativeLimit, "alice to be back", func() bool {
		again := r.session(t, "alice")
		return again != nil && again.AcctSessionID != s.AcctSessionID && again.RemoteAddress == s.RemoteAddress
	})
	out, err := r.lns.Command("sessions")
	if err != nil || !strings.Contains(out, "USER") || !strings.Contains(out, " alice ") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = r.lns.Command("status"); err != nil || !strings.Contains(out, "\nPOOL    SIZE   IN USE  RESTING  QUARANTINED\nhomes   9      1 ") {
		t.Errorf("%v\n%s", err, out)
	}
}
