package aaa

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"layeh.com/radius"

	"adit/integration/scenario"
	"adit/internal/circuit"
	"adit/internal/config"
	"adit/lns/aaa"
	"adit/lns/autoconf"
	"adit/lns/dhcp"
	"adit/lns/hooks"
	"adit/lns/pool"
	"adit/lns/radattr"
	lnsradius "adit/lns/radius"
	"adit/lns/subscriber"
	"adit/lns/users"
	"adit/pppbridge"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// loginUsers are those whom FreeRADIUS knows. It gives one of them an address of
// its own, which he can have once at a time.
const loginUsers = `
radius-fixed Cleartext-Password := "right"
	Framed-IP-Address = 10.70.0.1, Class = "gold"
radius-limited Cleartext-Password := "right"
	Port-Limit = 2
radius-refused Auth-Type := Reject
	Reply-Message = "your account is closed"
DEFAULT User-Name =~ "^radius-[0-9]+$", Cleartext-Password := "right"
`

// loginConfig is of an LNS with profiles for each way to an address. Its arguments
// are the state directory, the ports of the RADIUS server, the address of the
// DHCP server, and the secret.
const loginConfig = `
host_name = "lns.test"
listen = []
state_dir = %q

[radius.servers.one]
address = "127.0.0.1"
auth_port = %d
acct_port = %d
secret = %q
[radius.groups.isp]
servers = ["one"]

[dhcp.campus]
servers = ["%s"]
relay = "10.65.0.1"

[hooks]
session_up = "/bin/true"
session_down = "/bin/true"

[pools.many]
ranges = ["10.64.1.0-10.64.40.255"]
rest = "1h"
[pools.few]
ranges = ["10.66.0.1-10.66.0.4"]
[pools.links]
prefixes = ["2001:db8:100::/48"]
length = 64
[pools.homes]
prefixes = ["2001:db8:200::/40"]
length = 56

[profiles.many]
aaa = ["local", "isp"]
pool = "many"
ipv6 = true
ipv6_pool = "links"
delegated_pool = "homes"
ppp = "builtin"
dataplane = "userspace"
local_address = "10.64.0.1"
failure_delay = "0s"
[profiles.few]
aaa = ["local", "isp"]
pool = "few"
ppp = "builtin"
dataplane = "userspace"
local_address = "10.64.0.1"
failure_delay = "10ms"
[profiles.campus]
aaa = ["local", "isp"]
dhcp = "campus"
ppp = "builtin"
dataplane = "userspace"
local_address = "10.64.0.1"
failure_delay = "0s"
[profiles.one]
aaa = ["local", "isp"]
pool = "many"
max_sessions = 1
second_login = "replace"
ppp = "builtin"
dataplane = "userspace"
local_address = "10.64.0.1"
failure_delay = "0s"

[[users]]
name = "local-fixed"
password = "right"
address = "10.71.0.1"
routes = ["10.72.0.0/16"]
[[users]]
name = "local-limited"
password = "right"
max_sessions = 1
[[users]]
name = "local-one"
password = "right"
[[users]]
name = "local-number"
password = "right"
calling_numbers = ["49*"]
`

// manyLocal are the names of further local users, and of ones of RADIUS.
const manyLocal = 500

// storm is the layer with all that it decides with, all of it real.
type storm struct {
	cfg      *config.Config
	radius   *scenario.FreeRADIUSServer
	kea      *scenario.DHCPServer
	users    *users.Set
	pools    *pool.Set
	client   *lnsradius.Client
	dhcp     *dhcp.Client
	hooks    *hooks.Runner
	autoconf *autoconf.Service
	layer    *aaa.Layer

	mu sync.Mutex
	up map[string]bool // IDs of sessions that had a network

	accepted, refused atomic.Uint64
	twice, silent     atomic.Uint64 // verdicts beyond the first, and none
}

// newStorm starts the servers, and returns the namespace of the layer's sockets.
func newStorm(t *testing.T) (*storm, *scenario.NS) {
	t.Helper()
	s := &storm{up: map[string]bool{}}
	trees := dhcpTrees(t, scenario.Kea)
	n := scenario.NewNativeNet(t)
	n.A.MustRun(t, "ip", "addr", "add", "10.65.0.1/32", "dev", "lo")
	n.B.Route(t, netip.MustParsePrefix("10.65.0.0/16"), n.AddrA())
	s.radius = freeRADIUS(t, nil, loginUsers)
	awaitRunning(t, n.Links[0].Right)
	s.kea = scenario.DHCPD(t, n.B, scenario.DHCPOptions{
		Kind: scenario.Kea, Trees: trees, Interface: n.Links[0].Right.Interface, Address: n.AddrB(), Dir: t.TempDir(),
		Subnets: []scenario.DHCPSubnet{{
			Prefix: netip.MustParsePrefix("10.65.0.0/16"), Router: netip.MustParseAddr("10.65.0.1"),
			First: netip.MustParseAddr("10.65.1.0"), Last: netip.MustParseAddr("10.65.20.255"),
		}},
		Lease: time.Hour, Renew: time.Minute * 30, DNS: netip.MustParseAddr("192.0.2.53"), Domain: "subscribers.example",
	})
	dir := t.TempDir()
	text := fmt.Sprintf(loginConfig, filepath.Join(dir, "state"), s.radius.Auth.Port(), s.radius.Acct.Port(), secret, n.AddrB())
	for _, name := range names("local-", manyLocal) {
		text += fmt.Sprintf("[[users]]\nname = %q\npassword = \"right\"\n", name)
	}
	file := filepath.Join(dir, "adit.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.cfg, err = config.Load(file); err != nil {
		t.Fatal(err)
	}
	return s, n.A
}

// open makes the layer as the daemon does; what has sockets of its own from the
// begin is in a namespace.
func (s *storm) open(t *testing.T, ns *scenario.NS) {
	t.Helper()
	var err error
	s.users, s.hooks = users.New(s.cfg.Users), hooks.New(s.cfg.Hooks, nil)
	if s.pools, err = pool.Open(filepath.Join(s.cfg.StateDir, "leases"), s.cfg.Pools, nil); err != nil {
		t.Fatal(err)
	}
	nas := radattr.NAS{Identifier: s.cfg.RADIUS.NASIdentifier}
	s.client, err = lnsradius.New(&s.cfg.RADIUS, lnsradius.Options{
		Dir:    filepath.Join(s.cfg.StateDir, "accounting"),
		Encode: func(p *radius.Packet, r *subscriber.Record) { radattr.Accounting(p, nas, r, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.client.On(s.cfg.RADIUS.Groups["isp"])
	if err = ns.Do(func() error {
		if s.dhcp, err = dhcp.New(s.cfg.DHCP, nil); err != nil {
			return err
		}
		s.autoconf, err = autoconf.New(autoconf.Config{DUID: autoconf.NewDUID()}, nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.layer = aaa.New(s.cfg, aaa.Parts{Users: s.users, Pools: s.pools, Hooks: s.hooks, RADIUS: s.client, DHCP: s.dhcp, Autoconf: s.autoconf}, nil)
}

// close ends it as the daemon does.
func (s *storm) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := s.layer.Close(ctx); err != nil {
		t.Error(err)
	}
	s.autoconf.Close()
	for name, c := range map[string]func(context.Context) error{"hooks": s.hooks.Close, "dhcp": s.dhcp.Close, "radius": s.client.Close} {
		if err := c(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.pools.Close(); err != nil {
		t.Error(err)
	}
}

// stormCall is a session's call. Whoever ends it, the session hears of it once.
type stormCall struct {
	session *aaa.Session
	ended   chan struct{}

	mu   sync.Mutex
	over bool
}

func (c *stormCall) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.over = true
	close(c.ended)
	go c.session.Ended(tunnel.Cause{Remote: true}, &circuit.Exit{Closed: true, Stats: circuit.Stats{BytesIn: 1000, FramesIn: 1}})
}

// before does something unless the call has ended, and before it ends.
func (c *stormCall) before(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		f()
	}
}

func (c *stormCall) Close(string) { c.end() }

func (c *stormCall) Stats() circuit.Stats { return circuit.Stats{} }

// call is a call that is up, of a tunnel of 256.
func (s *storm) call(k *kind, serial int) *stormCall {
	session := s.layer.NewSession(s.cfg.Profiles[k.profile])
	c := &stormCall{session: session, ended: make(chan struct{})}
	number := k.number
	if number == "" {
		number = fmt.Sprintf("49%d", serial)
	}
	session.Established(&subscriber.Line{
		Tunnel: uint32(serial>>8 + 1), Session: uint32(serial + 1), LNS: true, CallingNumber: number, Profile: k.profile,
		Peer: netip.MustParseAddrPort("192.0.2.1:1701"), Local: netip.MustParseAddrPort("192.0.2.2:1701"),
	}, c, nil)
	return c
}

// kind is a way in which a login goes.
type kind struct {
	name          string
	profile       string
	user, secret  string // "%d" in user is a number
	number        string
	impatient     bool // the call ends while others decide, or just after it
	withoutUp     bool // it ends after the verdict
	refused       bool // always
	accepted      bool // always, unless impatient
	counter       string
	authenticates int // how often the peer shows who it is; 0: once
}

var kinds = []kind{
	{name: "good, local", profile: "many", user: "local-%d", secret: "right", accepted: true},
	{name: "good, RADIUS", profile: "many", user: "radius-%d", secret: "right", accepted: true},
	{name: "challenged twice", profile: "many", user: "radius-%d", secret: "right", accepted: true, authenticates: 2},
	{name: "good, DHCP", profile: "campus", user: "local-%d", secret: "right", accepted: true},
	{name: "wrong password", profile: "many", user: "local-%d", secret: "wrong", refused: true, counter: "auth_wrong_password"},
	{name: "wrong password, RADIUS", profile: "many", user: "radius-%d", secret: "wrong", refused: true, counter: "auth_radius_reject"},
	{name: "unknown", profile: "many", user: "stranger-%d", secret: "right", refused: true, counter: "auth_radius_reject"},
	{name: "closed account", profile: "campus", user: "radius-refused", secret: "right", refused: true, counter: "auth_radius_reject"},
	{name: "wrong number", profile: "many", user: "local-number", secret: "right", number: "33", refused: true, counter: "auth_calling_number"},
	{name: "over limit, local", profile: "many", user: "local-limited", secret: "right", counter: "auth_over_limit"},
	{name: "over limit, RADIUS", profile: "campus", user: "radius-limited", secret: "right", counter: "auth_over_limit"},
	{name: "fixed address", profile: "many", user: "local-fixed", secret: "right", counter: "address_conflict"},
	{name: "fixed address, RADIUS", profile: "many", user: "radius-fixed", secret: "right", counter: "address_conflict"},
	{name: "small pool", profile: "few", user: "local-%d", secret: "right", counter: "address_exhausted"},
	{name: "in place of an older one", profile: "one", user: "local-one", secret: "right", counter: "auth_replaced"},
	{name: "ends during RADIUS", profile: "many", user: "radius-%d", secret: "right", impatient: true},
	{name: "ends during a refusal", profile: "few", user: "stranger-%d", secret: "right", impatient: true},
	{name: "ends during DHCP", profile: "campus", user: "local-%d", secret: "right", impatient: true},
	{name: "ends after the verdict", profile: "many", user: "radius-%d", secret: "right", withoutUp: true, accepted: true},
	{name: "ends after the lease", profile: "campus", user: "local-%d", secret: "right", withoutUp: true, accepted: true},
}

// run is one call from its begin to its end.
func (s *storm) run(t *testing.T, k *kind, r *rand.Rand, serial int) {
	c := s.call(k, serial)
	defer c.end()
	user := k.user
	if strings.Contains(user, "%d") {
		user = fmt.Sprintf(user, r.IntN(manyLocal))
	}
	for range max(k.authenticates, 1) {
		v, ok := s.show(c, r, k, user)
		if !ok {
			return
		}
		if v.Accept && k.refused || !v.Accept && k.accepted {
			t.Errorf("%s: %s: %+v", k.name, user, v)
		}
		if !v.Accept || k.withoutUp {
			return
		}
		if !v.Grant.Peer.IsValid() || v.User != user {
			t.Errorf("%s: %+v", k.name, v)
		}
		c.before(func() { s.networkUp(c.session, v) })
	}
	if r.IntN(2) == 0 {
		c.session.NetworkDown(ppp.IPv4)
	}
}

// show has the peer show who it is. False: its call has ended before the verdict.
func (s *storm) show(c *stormCall, r *rand.Rand, k *kind, user string) (ppp.Verdict, bool) {
	answers := make(chan ppp.Verdict, 1)
	c.session.Authenticate(ppp.AuthRequest{Method: ppp.MethodPAP, Name: user, Password: []byte(k.secret)}, func(v ppp.Verdict) {
		select {
		case answers <- v:
		default:
			s.twice.Add(1)
		}
	})
	patience := limit
	if k.impatient {
		patience = time.Duration(r.IntN(4000)) * time.Microsecond
	}
	select {
	case v := <-answers:
		if v.Accept {
			s.accepted.Add(1)
		} else {
			s.refused.Add(1)
		}
		return v, true
	case <-c.ended:
	case <-time.After(patience):
		if !k.impatient {
			s.silent.Add(1)
		}
	}
	return ppp.Verdict{}, false
}

func (s *storm) networkUp(session *aaa.Session, v ppp.Verdict) {
	s.mu.Lock()
	s.up[session.ID()] = true
	s.mu.Unlock()
	n := ppp.Network{LocalIPv4: netip.MustParseAddr("10.64.0.1"), PeerIPv4: v.Grant.Peer, LocalID: 1, PeerID: 2, User: v.User}
	a := pppbridge.Attachment{Interface: "lo", Send: func([]byte) { /* nobody is there */ }}
	session.NetworkUp(ppp.IPv4, n, a)
	session.NetworkUp(ppp.IPv6, n, a)
	session.Packet([]byte{0x60, 0, 0, 0}) // no packet at all
}

// TestTenThousandLogins: after 10,000 logins of every kind in random order, good
// ones and such as fail or are given up at any time, every address, lease and
// counter is back, the RADIUS server has one Start and one Stop for each session
// that was up and none else, and there is no goroutine and no descriptor more
// than before.
func TestTenThousandLogins(t *testing.T) {
	const logins, drivers, seed = 10_000, 64, 4
	s, ns := newStorm(t)
	goroutines, open := runtime.NumGoroutine(), descriptors(t, os.Getpid())
	s.open(t, ns)
	begin := time.Now()
	var wg sync.WaitGroup
	queue := make(chan int)
	for range drivers {
		wg.Go(func() {
			for i := range queue {
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				s.run(t, &kinds[r.IntN(len(kinds))], r, i)
			}
		})
	}
	most := 0
	for i := range logins {
		queue <- i
		most = max(most, runtime.NumGoroutine())
	}
	close(queue)
	wg.Wait()
	t.Logf("%d logins in %.1f s, %d accepted and %d refused, %d were up; at most %d goroutines, where %d were without the layer and %d are the test's own",
		logins, time.Since(begin).Seconds(), s.accepted.Load(), s.refused.Load(), len(s.up), most, goroutines, drivers)
	if s.twice.Load() != 0 || s.silent.Load() != 0 {
		t.Errorf("%d verdicts came twice, %d not at all", s.twice.Load(), s.silent.Load())
	}
	s.everyKindHappened(t)
	s.nothingLeft(t)
	s.limitsAreFree(t)
	s.nothingLeft(t)
	s.close(t)
	s.books(t)
	if !scenario.Eventually(limit, func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors(t, os.Getpid()) <= open
	}) {
		t.Errorf("before there were %d goroutines and %d descriptors, and now %d and %d",
			goroutines, open, runtime.NumGoroutine(), descriptors(t, os.Getpid()))
	}
}

// everyKindHappened: what is to be refused for a reason of its own was, at least
// once, so that the test tests it.
func (s *storm) everyKindHappened(t *testing.T) {
	t.Helper()
	counts := s.layer.Counts()
	for _, k := range kinds {
		if k.counter != "" && counts[k.counter] == 0 {
			t.Errorf("%s: %s is 0", k.name, k.counter)
		}
	}
	if n := counts["auth_radius_silent"] + counts["auth_radius_unfit"] + counts["address_none"]; n != 0 {
		t.Errorf("the servers failed %d times: %v", n, counts)
	}
	t.Logf("the layer's counters: %v", counts)
}

// nothingLeft waits until all is back.
func (s *storm) nothingLeft(t *testing.T) {
	t.Helper()
	for what, is := range map[string]func() uint64{
		"addresses in use": func() (n uint64) {
			for _, p := range s.pools.Stats() {
				n += uint64(p.InUse)
			}
			c := s.pools.Counts()
			return n + c["pool_taken"] + c["pool_claimed"] - c["pool_given_back"]
		},
		"leases held":                 func() uint64 { return uint64(s.dhcp.Held()) },
		"leases in the server's file": func() uint64 { return uint64(len(s.kea.Leases(t))) },
		"records to be sent":          func() uint64 { return s.client.Counts()["radius_accounting_backlog"] },
		"open accounting":             func() uint64 { return s.client.Counts()["radius_accounting_open_sessions"] },
		"sessions":                    func() uint64 { c := s.layer.Counts(); return c["sessions_started"] - c["sessions_stopped"] },
		"hooks":                       func() uint64 { c := s.hooks.Counts(); return c["hooks_running"] + c["hooks_waiting"] },
		"requests": func() (n uint64) {
			for _, p := range s.client.Servers() {
				n += uint64(p.Pending + p.Waiting)
			}
			return n
		},
	} {
		var n uint64
		if !scenario.Eventually(limit, func() bool { n = is(); return n == 0 }) {
			t.Errorf("%s: %d are left", what, int64(n))
		}
	}
	c := s.hooks.Counts()
	if c["hooks_started"]+c["hooks_dropped"] != 2*uint64(len(s.up)) || c["hooks_failed"]+c["hooks_killed"] != 0 {
		t.Errorf("%d sessions were up, and of the programs: %v", len(s.up), c)
	}
}

// limitsAreFree: the layer counts none of the sessions any more. Whoever may have
// so many sessions, or has an address of his own, gets them.
func (s *storm) limitsAreFree(t *testing.T) {
	t.Helper()
	for user, count := range map[string]int{"local-limited": 1, "radius-limited": 2, "local-fixed": 1, "radius-fixed": 1} {
		k := &kind{profile: "many", user: user, secret: "right"}
		var calls []*stormCall
		for i := range count {
			c := s.call(k, i)
			calls = append(calls, c)
			if v, ok := s.show(c, nil, k, user); !ok || !v.Accept {
				t.Errorf("session %d of %s: %+v", i+1, user, v)
			}
		}
		for _, c := range calls {
			c.end()
		}
	}
}

// books compares the records that the server has taken with the sessions.
func (s *storm) books(t *testing.T) {
	t.Helper()
	starts, stops, others := map[string]int{}, map[string]int{}, map[string]int{}
	for _, r := range s.radius.Records(t) {
		id := r["Acct-Session-Id"]
		switch kind := r["Acct-Status-Type"]; kind {
		case "Start":
			starts[id]++
		case "Stop":
			stops[id]++
			if r["Acct-Input-Octets"] != "1000" || starts[id] != 1 {
				t.Errorf("session %s: %d Starts before the Stop %v", id, starts[id], r)
			}
		default:
			others[kind]++
		}
	}
	if len(starts) != len(s.up) || len(stops) != len(s.up) || others["Accounting-On"] != 1 || others["Accounting-Off"] != 1 || len(others) != 2 {
		t.Errorf("%d sessions were up; the server has Starts of %d, Stops of %d, and %v", len(s.up), len(starts), len(stops), others)
	}
	for id := range s.up {
		if starts[id] != 1 || stops[id] != 1 {
			t.Errorf("session %s: %d Starts, %d Stops", id, starts[id], stops[id])
		}
	}
}
