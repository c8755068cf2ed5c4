package radius

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"adit/integration/scenario"
	"adit/internal/config"
	"adit/internal/need"
)

// realLimit is for what real servers do, on a machine that other tests keep busy.
const realLimit = 30 * time.Second

var loopback = netip.MustParseAddr("127.0.0.1")

// freeRADIUS starts a server that knows alice, whose password is "hers".
func freeRADIUS(t testing.TB, secret string) *scenario.FreeRADIUSServer {
	t.Helper()
	if os.Geteuid() != 0 {
		need.Lack(t, "needs root")
	}
	tree, err := scenario.UnpackFreeRADIUS(t.Context(), os.Stderr)
	if err != nil {
		need.Lack(t, "needs FreeRADIUS: %v", err)
	}
	return scenario.FreeRADIUS(t, nil, scenario.FreeRADIUSOptions{
		Tree: tree, Address: loopback, Secret: secret,
		Authorize: "update reply {\n Message-Authenticator := 0x00\n}\n", // 3.2.1 leaves it out otherwise, but for EAP
		Users:     "alice Cleartext-Password := \"hers\"\n\tFramed-IP-Address = 10.1.2.3,\n\tReply-Message = \"" + secret + "\"\n",
	})
}

// serverAt is the configuration of one that runs.
func serverAt(name string, s *scenario.FreeRADIUSServer) *config.RADIUSServer {
	return &config.RADIUSServer{
		Name: name, Address: s.Auth.Addr(), AuthPort: s.Auth.Port(), AcctPort: s.Acct.Port(), Secret: config.Secret(s.Secret),
		Timeout: time.Second, Retries: 2, DeadTime: time.Second, MaxPending: 256, RequireMessageAuthenticator: true,
	}
}

// realConfig is a group of servers that run.
func realConfig(servers ...*config.RADIUSServer) (*config.RADIUS, *config.RADIUSGroup) {
	g := &config.RADIUSGroup{Name: "group", Servers: servers}
	cfg := &config.RADIUS{Servers: map[string]*config.RADIUSServer{}, Groups: map[string]*config.RADIUSGroup{"group": g}}
	for _, s := range servers {
		cfg.Servers[s.Name] = s
	}
	return cfg, g
}

func realClient(t testing.TB, cfg *config.RADIUS, dir string) *Client {
	t.Helper()
	c, err := New(cfg, Options{Dir: dir, Encode: encodeForTest, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kill(c) })
	return c
}

func logIn(t testing.TB, c *Client, r Request, password string) outcome {
	t.Helper()
	r.Build = func(p *radius.Packet) error {
		return errors.Join(rfc2865.UserName_SetString(p, "alice"), rfc2865.UserPassword_SetString(p, password))
	}
	return exchange(t, c, r)
}

func exchange(t testing.TB, c *Client, r Request) outcome {
	t.Helper()
	got := make(chan outcome, 1)
	c.Authenticate(r, func(reply *Reply, err error) { got <- outcome{reply, err, time.Now()} })
	select {
	case o := <-got:
		return o
	case <-time.After(realLimit):
		t.Fatal("no outcome")
		return outcome{}
	}
}

func TestFreeRADIUS(t *testing.T) {
	s := freeRADIUS(t, "one secret")
	cfg, group := realConfig(serverAt("only", s))
	c := realClient(t, cfg, t.TempDir())
	o := logIn(t, c, Request{Group: group}, "hers")
	if o.err != nil || o.Packet.Code != radius.CodeAccessAccept || rfc2865.FramedIPAddress_Get(o.Packet).String() != "10.1.2.3" {
		t.Fatalf("%+v", o)
	}
	if o = logIn(t, c, Request{Group: group}, "wrong"); o.err != nil || o.Packet.Code != radius.CodeAccessReject {
		t.Fatalf("%+v", o)
	}

	// EAP-MD5, RFC 3748 section 5.4: an Access-Challenge, which the next request
	// answers with its State.
	eap := func(octets, state []byte) outcome {
		return exchange(t, c, Request{Group: group, Server: o.Server, Build: func(p *radius.Packet) error {
			if state != nil {
				p.Add(rfc2865.State_Type, state)
			}
			return errors.Join(rfc2865.UserName_SetString(p, "alice"), rfc2869.EAPMessage_Set(p, octets))
		}})
	}
	o = eap([]byte("\x02\x01\x00\x0a\x01alice"), nil)
	if o.err != nil || o.Packet.Code != radius.CodeAccessChallenge {
		t.Fatalf("%+v", o)
	}
	request := rfc2869.EAPMessage_Get(o.Packet)
	if len(request) < 22 || request[4] != 4 || request[5] != 16 {
		t.Fatalf("the challenge is %x", request)
	}
	sum := md5.Sum(bytes.Join([][]byte{request[1:2], []byte("hers"), request[6:22]}, nil))
	o = eap(append([]byte{2, request[1], 0, 22, 4, 16}, sum[:]...), rfc2865.State_Get(o.Packet))
	if o.err != nil || o.Packet.Code != radius.CodeAccessAccept {
		t.Fatalf("%+v", o)
	}
	if n := c.Servers()[0].Counters; n.Accepts != 2 || n.Rejects != 1 || n.Challenges != 1 || n.Retransmissions != 0 {
		t.Errorf("%+v", n)
	}
}

// A secret that is not the server's own: it drops what is not signed with its own.
func TestFreeRADIUSWrongSecret(t *testing.T) {
	s := freeRADIUS(t, "one secret")
	wrong := serverAt("only", s)
	wrong.Secret, wrong.Timeout, wrong.Retries = config.Secret("another"), 200*time.Millisecond, 1
	cfg, group := realConfig(wrong)
	c := realClient(t, cfg, t.TempDir())
	if o := logIn(t, c, Request{Group: group}, "hers"); !errors.Is(o.err, ErrNoAnswer) {
		t.Errorf("%+v", o)
	}
	if n := c.Counts(); n["radius_timeouts"] != 1 || n["radius_retransmissions"] != 1 {
		t.Errorf("%v", n)
	}
}

// The first server ends: the second answers at once. It begins again: after its
// dead time it is asked.
func TestFreeRADIUSFailover(t *testing.T) {
	first, second := freeRADIUS(t, "the first's secret"), freeRADIUS(t, "the second's secret")
	cfg, group := realConfig(serverAt("first", first), serverAt("second", second))
	c := realClient(t, cfg, t.TempDir())
	want := func(server string) outcome {
		t.Helper()
		o := logIn(t, c, Request{Group: group}, "hers")
		if o.err != nil || o.Server.Name != server || rfc2865.ReplyMessage_GetString(o.Packet) != "the "+server+"'s secret" {
			t.Fatalf("%+v, want an answer of %s", o, server)
		}
		return o
	}
	want("first")
	first.Stop(t)
	began := time.Now()
	if o := want("second"); o.at.Sub(began) > group.Servers[0].Timeout {
		t.Errorf("it took %v to find out that nobody listens", o.at.Sub(began))
	}
	first.Restart(t)
	scenario.WaitFor(t, realLimit, "the first to be asked again", func() bool {
		o := logIn(t, c, Request{Group: group}, "hers")
		return o.err == nil && o.Server.Name == "first"
	})
	// One that hangs is as good as none, after its tries.
	first.Signal(t, 19) // SIGSTOP
	want("second")
	first.Signal(t, 18) // SIGCONT
	scenario.WaitFor(t, realLimit, "the first to be asked again", func() bool {
		o := logIn(t, c, Request{Group: group}, "hers")
		return o.err == nil && o.Server.Name == "first"
	})
	if n := c.Counts()["radius_dead_servers"]; n < 2 {
		t.Errorf("%d servers were given up", n)
	}
}

// kinds lists what a server has taken: the status and the session.
func kinds(t testing.TB, s *scenario.FreeRADIUSServer) (list []string) {
	t.Helper()
	for _, r := range s.Records(t) {
		what := r["Acct-Status-Type"] + " " + r["Acct-Session-Id"]
		if cause := r["Acct-Terminate-Cause"]; cause != "" {
			what += " " + cause + " " + r["Acct-Input-Octets"]
		}
		list = append(list, strings.TrimSpace(what))
	}
	return list
}

func waitKinds(t testing.TB, s *scenario.FreeRADIUSServer, want ...string) {
	t.Helper()
	var got []string
	if !scenario.Eventually(realLimit, func() bool {
		got = kinds(t, s)
		return strings.Join(got, "\n") == strings.Join(want, "\n")
	}) {
		t.Fatalf("the server has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Records of a time when no server was there arrive when one is.
func TestFreeRADIUSKeepsAccounting(t *testing.T) {
	first, second := freeRADIUS(t, "the first's secret"), freeRADIUS(t, "the second's secret")
	first.Stop(t)
	second.Stop(t)
	cfg, group := realConfig(serverAt("first", first), serverAt("second", second))
	c := realClient(t, cfg, t.TempDir())
	c.On(group)
	c.Account(group, record(start, "a", 0))
	c.Account(group, record(interim, "a", 7))
	c.Account(group, record(stop, "a", 8))
	scenario.WaitFor(t, realLimit, "both to be given up", func() bool { return c.Counts()["radius_dead_servers"] >= 2 })
	second.Restart(t)
	waitKinds(t, second, "Accounting-On", "Start a", "Interim-Update a", "Stop a")
	ctx, cancel := context.WithTimeout(t.Context(), realLimit)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
	waitKinds(t, second, "Accounting-On", "Start a", "Interim-Update a", "Stop a", "Accounting-Off")
	if got := kinds(t, first); len(got) != 0 {
		t.Errorf("the first has %q", got)
	}
}

const childVariable = "ADIT_RADIUS_CHILD"

// TestKilledChild is the process that TestFreeRADIUSKilled kills.
func TestKilledChild(t *testing.T) {
	what := strings.Fields(os.Getenv(childVariable))
	if len(what) != 3 {
		return // it is run by TestFreeRADIUSKilled only
	}
	var acct netip.AddrPort
	if err := acct.UnmarshalText([]byte(what[1])); err != nil {
		t.Fatal(err)
	}
	cfg, group := realConfig(&config.RADIUSServer{
		Name: "only", Address: acct.Addr(), AcctPort: acct.Port(), Secret: config.Secret(what[2]),
		Timeout: time.Second, Retries: 2, DeadTime: time.Second, MaxPending: 256,
	})
	c, err := New(cfg, Options{Dir: what[0], Encode: encodeForTest, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	c.On(group)
	for _, id := range []string{"a", "b", "c"} {
		c.Account(group, record(start, id, 0))
		c.Account(group, record(interim, id, 55))
	}
	c.Account(group, record(stop, "c", 66))
	if !scenario.Eventually(realLimit, func() bool { return c.Counts()["radius_accounting_records"] == 8 && c.books.queued.Load() == 0 }) {
		t.Fatal("the records were not taken")
	}
	// The write comes before the count of what is left to send.
	scenario.Eventually(realLimit, func() bool { return c.Counts()["radius_accounting_disk_octets"] > 8*40 })
	fmt.Println("child is ready")
	select {} // until it is killed
}

// A daemon is killed with -9, with a server and without: the next one closes what
// was open, and the server has all of it once.
func TestFreeRADIUSKilled(t *testing.T) {
	for _, up := range []bool{true, false} {
		t.Run(fmt.Sprintf("server is up: %v", up), func(t *testing.T) {
			s := freeRADIUS(t, "secret")
			if !up {
				s.Stop(t)
			}
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledChild$")
			cmd.Env = append(os.Environ(), childVariable+"="+strings.Join([]string{dir, s.Acct.String(), s.Secret}, " "))
			out := &logLines{}
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			scenario.WaitFor(t, realLimit, "the child", func() bool { return strings.Contains(strings.Join(out.all(), ""), "child is ready") })
			if up {
				scenario.WaitFor(t, realLimit, "the server to have all", func() bool { return len(kinds(t, s)) == 8 })
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			if !up {
				s.Restart(t)
			}
			cfg, group := realConfig(serverAt("only", s))
			c := realClient(t, cfg, dir)
			c.On(group)
			scenario.WaitFor(t, realLimit, "the server to have the second Accounting-On", func() bool {
				n := 0
				for _, k := range kinds(t, s) {
					if k == "Accounting-On" {
						n++
					}
				}
				return n == 2
			})
			got := kinds(t, s)
			seen := map[string]int{}
			for i, k := range got {
				seen[k]++
				if k == "Accounting-On" && i != 0 && i != len(got)-1 {
					t.Error("Accounting-On came before what was open was closed")
				}
			}
			for _, id := range []string{"a", "b", "c"} {
				for _, k := range []string{"Start ", "Interim-Update "} {
					if seen[k+id] != 1 {
						t.Errorf("%d times %q", seen[k+id], k+id)
					}
				}
			}
			if seen["Stop a NAS-Reboot 55"] != 1 || seen["Stop b NAS-Reboot 55"] != 1 || seen["Stop c"] != 1 || len(got) != 11 {
				t.Errorf("the server has %q", got)
			}
		})
	}
}
