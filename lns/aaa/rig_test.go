package aaa

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"

	"adit/internal/chap"
	"adit/internal/circuit"
	"adit/internal/config"
	"adit/lns/autoconf"
	"adit/lns/hooks"
	"adit/lns/pool"
	lnsradius "adit/lns/radius"
	"adit/lns/subscriber"
	"adit/lns/users"
	"adit/pppbridge"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// rig is a layer with real users and pools, and a RADIUS server and subscribers'
// services that are lists.
type rig struct {
	t       *testing.T
	cfg     *config.Config
	profile *config.Profile
	layer   *Layer
	pools   *pool.Set
	radius  *testRADIUS
	told    *testAutoconf
}

// addr and prefix read what a test writes down.
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// testConfig has a pool of four addresses and one each of 16 prefixes, two users
// and a RADIUS group; change may alter it.
func testConfig(change func(*config.Config, *config.Profile)) (*config.Config, *config.Profile) {
	v4 := &config.Pool{Name: "v4", Ranges: []config.Range{{First: addr("10.0.0.10"), Last: addr("10.0.0.13")}}, Rest: time.Hour}
	link := &config.Pool{Name: "link", IPv6: []netip.Prefix{prefix("2001:db8:1::/60")}, Length: 64, Rest: time.Hour}
	pd := &config.Pool{Name: "pd", IPv6: []netip.Prefix{prefix("2001:db8:2::/52")}, Length: 56, Rest: time.Hour}
	group := &config.RADIUSGroup{Name: "isp", InterimInterval: 10 * time.Minute}
	profile := &config.Profile{Name: "p", LocalAddress: addr("10.0.0.1"), Pool: v4,
		AAA:     config.AAA{Sources: []string{config.Local}, Accounting: group, IPv6Pool: link, DelegatedPool: pd},
		Builtin: config.Builtin{IPv4: true, IPv6: true, DNS: [2]netip.Addr{addr("192.0.2.53")}}}
	cfg := &config.Config{
		Users: []*config.User{
			{Name: "alice", Password: config.Secret("right"), Address: addr("10.9.9.9"), Routes: []netip.Prefix{prefix("10.7.0.0/16")}},
			{Name: "bob", Password: config.Secret("right")},
		},
		Pools:    map[string]*config.Pool{"v4": v4, "link": link, "pd": pd},
		Profiles: map[string]*config.Profile{"p": profile},
		RADIUS:   config.RADIUS{NASIdentifier: "lns.test", Groups: map[string]*config.RADIUSGroup{"isp": group}},
	}
	if change != nil {
		change(cfg, profile)
	}
	return cfg, profile
}

// newRig makes it, inside a synctest bubble or not.
func newRig(t *testing.T, change func(*config.Config, *config.Profile)) *rig {
	t.Helper()
	r := &rig{t: t, radius: &testRADIUS{}, told: &testAutoconf{attached: map[string]autoconf.Subscriber{}}}
	r.cfg, r.profile = testConfig(change)
	var err error
	if r.pools, err = pool.Open(t.TempDir(), r.cfg.Pools, nil); err != nil {
		t.Fatal(err)
	}
	r.layer = New(r.cfg, Parts{
		Users: users.New(r.cfg.Users), Pools: r.pools, Hooks: hooks.New(config.Hooks{}, nil), RADIUS: r.radius, Autoconf: r.told,
	}, nil)
	t.Cleanup(func() {
		if err := r.layer.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := r.pools.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// settle waits until the loop has done what it was told.
func (r *rig) settle() { r.layer.ask(r.t.Context(), func() {}) }

// nothingLeft fails the test unless all is back: addresses, users, deadlines.
func (r *rig) nothingLeft() {
	r.t.Helper()
	r.settle()
	for name, s := range r.pools.Stats() {
		if s.InUse != 0 {
			r.t.Errorf("pool %s: %d in use", name, s.InUse)
		}
	}
	r.layer.ask(r.t.Context(), func() {
		l := r.layer
		if len(l.sessions)+len(l.byUser)+len(l.holders)+len(l.tunnels)+l.queue.Len() != 0 {
			r.t.Errorf("left: %d sessions, %d users, %d holders, %d tunnels, %d deadlines",
				len(l.sessions), len(l.byUser), len(l.holders), len(l.tunnels), l.queue.Len())
		}
	})
	r.told.mu.Lock()
	defer r.told.mu.Unlock()
	if len(r.told.attached) != 0 {
		r.t.Errorf("still told: %v", r.told.attached)
	}
}

// testCall is a call that notes its end.
type testCall struct {
	mu      sync.Mutex
	session *Session
	closed  string
	stats   circuit.Stats
	hangs   bool // it does not end when it is closed
}

func (c *testCall) Close(message string) {
	c.mu.Lock()
	c.closed = message
	hangs, stats := c.hangs, c.stats
	c.mu.Unlock()
	if !hangs {
		go c.session.Ended(tunnel.Cause{}, &circuit.Exit{Stats: stats})
	}
}

func (c *testCall) Stats() circuit.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

func (c *testCall) message() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// call is a session whose call is up.
func (r *rig) call(number string) (*Session, *testCall) {
	s := r.layer.NewSession(r.profile)
	c := &testCall{session: s}
	s.Established(&subscriber.Line{CallingNumber: number, Profile: r.profile.Name}, c, nil)
	return s, c
}

// login has a peer show who it is by PAP, and returns what it was told.
func (r *rig) login(s *Session, name, password string) ppp.Verdict {
	r.t.Helper()
	return r.show(s, ppp.AuthRequest{Method: ppp.MethodPAP, Name: name, Password: []byte(password)})
}

func (r *rig) show(s *Session, req ppp.AuthRequest) ppp.Verdict {
	r.t.Helper()
	answers := make(chan ppp.Verdict, 2)
	s.Authenticate(req, func(v ppp.Verdict) { answers <- v })
	select {
	case v := <-answers:
		return v
	case <-time.After(time.Minute):
		r.t.Fatal("no verdict within a minute")
	}
	return ppp.Verdict{}
}

// response is what a peer with a password answers to a challenge.
func response(t *testing.T, m ppp.Method, name, password string) ppp.AuthRequest {
	t.Helper()
	c := chap.Credentials{Name: name, Secret: []byte(password)}
	req := ppp.AuthRequest{Method: m, Name: name, ID: 5, Challenge: []byte("0123456789abcdef")}
	var err error
	if req.Response, _, _, err = c.Respond(m, req.ID, req.Challenge, ""); err != nil {
		t.Fatal(err)
	}
	return req
}

// up brings the networks up as a verdict says.
func (r *rig) up(s *Session, v ppp.Verdict) {
	n := ppp.Network{LocalIPv4: addr("10.0.0.1"), PeerIPv4: v.Grant.Peer, LocalID: 1, PeerID: 2, User: v.User}
	a := pppbridge.Attachment{Interface: "adit0", Send: func([]byte) {}}
	s.NetworkUp(ppp.IPv4, n, a)
	s.NetworkUp(ppp.IPv6, n, a)
	r.settle()
}

// testRADIUS answers by a function, and keeps the records.
type testRADIUS struct {
	mu      sync.Mutex
	answer  func(p *radius.Packet) (*radius.Packet, error) // nil: nobody answers
	delay   func() time.Duration                           // of an answer; nil: none
	records []subscriber.Record
}

func (c *testRADIUS) Authenticate(r lnsradius.Request, done func(*lnsradius.Reply, error)) {
	c.mu.Lock()
	answer, delay := c.answer, c.delay
	c.mu.Unlock()
	if delay != nil {
		after, tell := delay(), done
		done = func(reply *lnsradius.Reply, err error) {
			time.Sleep(after)
			tell(reply, err)
		}
	}
	p := radius.New(radius.CodeAccessRequest, []byte("secret"))
	if err := r.Build(p); err != nil {
		go done(nil, err)
		return
	}
	if answer == nil {
		go done(nil, lnsradius.ErrNoAnswer)
		return
	}
	reply, err := answer(p)
	go done(&lnsradius.Reply{Packet: reply, Request: p.Authenticator, Server: &config.RADIUSServer{Name: "one"}}, err)
}

func (c *testRADIUS) Account(_ *config.RADIUSGroup, r subscriber.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records = append(c.records, r)
}

// kinds are those of the records so far.
func (c *testRADIUS) kinds() (all []subscriber.RecordKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.records {
		all = append(all, r.Kind)
	}
	return all
}

func (c *testRADIUS) last() subscriber.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.records[len(c.records)-1]
}

// testAutoconf keeps what subscribers would be told.
type testAutoconf struct {
	mu       sync.Mutex
	attached map[string]autoconf.Subscriber
}

func (a *testAutoconf) Attach(id string, sub autoconf.Subscriber, _ string, _ func([]byte)) {
	a.Update(id, sub)
}

func (a *testAutoconf) Update(id string, sub autoconf.Subscriber) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.attached[id] = sub
}

func (a *testAutoconf) Detach(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.attached, id)
}

func (a *testAutoconf) Packet(string, []byte) {}
