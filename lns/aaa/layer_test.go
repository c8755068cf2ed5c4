package aaa

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/lns/subscriber"
	"adit/proto/ppp"
	"adit/proto/tunnel"
)

// A session from its begin to its end: what the peer is given, what is recorded,
// what comes back.
func TestSession(t *testing.T) { synctest.Test(t, testSession) }

func testSession(t *testing.T) {
	r := newRig(t, nil)
	s, c := r.call("4711")
	v := r.login(s, "alice", "right")
	want := ppp.Grant{Peer: addr("10.9.9.9"), DNS: [2]netip.Addr{addr("192.0.2.53")},
		Routes: []netip.Prefix{prefix("10.7.0.0/16"), prefix("2001:db8:1::/64"), prefix("2001:db8:2::/56")}}
	if !v.Accept || v.User != "alice" || !reflect.DeepEqual(v.Grant, want) {
		t.Fatalf("%+v", v)
	}
	r.up(s, v)
	if told := r.told.attached[s.ID()]; told.Local != addr("10.0.0.1") || told.LocalID != 1 || !slices.Equal(told.Delegated, []netip.Prefix{prefix("2001:db8:2::/56")}) {
		t.Errorf("told %+v", told)
	}
	if view := s.View(); view.User != "alice" || view.Addresses.IPv4 != addr("10.9.9.9") || view.Started.IsZero() {
		t.Errorf("%+v", view)
	}
	c.mu.Lock()
	c.stats = circuit.Stats{BytesIn: 1 << 33, BytesOut: 5, FramesIn: 3, FramesOut: 4}
	c.mu.Unlock()
	time.Sleep(10*time.Minute + time.Millisecond)
	s.Ended(tunnel.Cause{}, &circuit.Exit{Stats: c.Stats()})
	r.nothingLeft()
	if got := r.radius.kinds(); !slices.Equal(got, []subscriber.RecordKind{subscriber.RecordStart, subscriber.RecordInterim, subscriber.RecordStop}) {
		t.Fatalf("%v", got)
	}
	stop := r.radius.last().Session
	if stop.User != "alice" || stop.Counters != (subscriber.Counters{OctetsIn: 1 << 33, OctetsOut: 5, PacketsIn: 3, PacketsOut: 4}) ||
		stop.Line.CallingNumber != "4711" || stop.Line.ID != s.ID() || stop.Duration.Round(time.Second) != 10*time.Minute || stop.Addresses.IPv4 != addr("10.9.9.9") {
		t.Errorf("%+v", stop)
	}
}

// Who may not come in is refused, for the reason that the operator is told, and
// nothing is left.
func TestRefusals(t *testing.T) { synctest.Test(t, testRefusals) }

func testRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change         func(*config.Config, *config.Profile)
		user, password string
		counter        string
	}{
		"wrong password": {nil, "bob", "wrong", "auth_wrong_password"},
		"unknown user":   {nil, "nobody", "right", "auth_unknown_user"},
		"no name":        {nil, "", "", "auth_unknown_user"},
		"calling number": {func(c *config.Config, _ *config.Profile) { c.Users[1].CallingNumbers = []string{"49*"} }, "bob", "right", "auth_calling_number"},
		"exhausted": {func(c *config.Config, _ *config.Profile) {
			c.Pools["v4"].Ranges[0].Last = c.Pools["v4"].Ranges[0].First
		}, "bob", "right", "address_exhausted"},
		"no prefix":        {func(c *config.Config, _ *config.Profile) { c.Pools["pd"].IPv6[0] = prefix("2001:db8:2::/56") }, "bob", "right", "address_exhausted"},
		"no pool at all":   {func(_ *config.Config, p *config.Profile) { p.Pool = nil }, "bob", "right", "address_none"},
		"radius is silent": {func(_ *config.Config, p *config.Profile) { p.AAA.Sources = []string{"isp"} }, "bob", "right", "auth_radius_silent"},
		"local knows him":  {func(_ *config.Config, p *config.Profile) { p.AAA.Sources = []string{config.Local, "isp"} }, "bob", "wrong", "auth_wrong_password"},
		"radius is next":   {func(_ *config.Config, p *config.Profile) { p.AAA.Sources = []string{config.Local, "isp"} }, "carol", "right", "auth_radius_silent"},
	} {
		r := newRig(t, c.change)
		var first *Session
		if c.counter == "address_exhausted" {
			first, _ = r.call("")
			if v := r.login(first, "alice", "right"); name == "no prefix" && !v.Accept {
				t.Errorf("%s: the first is refused", name)
			} else if name != "no prefix" {
				first, _ = r.call("")
				r.cfg.Users[0].Address = netip.Addr{}
			}
		}
		_ = first
		r.layer.ask(t.Context(), func() {})
		before := r.layer.Counts()[c.counter]
		var all []*Session
		// The second of two finds the pool empty.
		for range 2 {
			s, _ := r.call("0815")
			all = append(all, s)
			r.login(s, c.user, c.password)
		}
		v := r.login(all[1], c.user, c.password)
		if c.counter != "address_exhausted" && v.Accept || r.layer.Counts()[c.counter] == before {
			t.Errorf("%s: %+v, %v", name, v, r.layer.Counts())
		}
		r.layer.ask(t.Context(), func() {
			for _, s := range r.layer.sessions {
				go s.Ended(tunnel.Cause{}, nil)
			}
		})
		synctest.Wait()
		r.nothingLeft()
		if len(r.radius.records) != 0 {
			t.Errorf("%s: %d records", name, len(r.radius.records))
		}
	}
}

// A refusal waits, and a session that ends meanwhile does not hang on it.
func TestFailureDelay(t *testing.T) { synctest.Test(t, testFailureDelay) }

func testFailureDelay(t *testing.T) {
	r := newRig(t, func(_ *config.Config, p *config.Profile) { p.AAA.FailureDelay = time.Second })
	s, _ := r.call("")
	began := time.Now()
	if v := r.login(s, "bob", "wrong"); v.Accept || time.Since(began) != time.Second {
		t.Errorf("%+v after %v", v, time.Since(began))
	}
	began = time.Now()
	if v := r.login(s, "bob", "right"); !v.Accept || time.Since(began) != 0 {
		t.Errorf("%+v after %v", v, time.Since(began))
	}
	other, _ := r.call("")
	other.Authenticate(ppp.AuthRequest{Method: ppp.MethodPAP, Name: "bob"}, func(ppp.Verdict) { t.Error("a verdict for a session that has ended") })
	other.Ended(tunnel.Cause{}, nil)
	s.Ended(tunnel.Cause{}, nil)
	r.nothingLeft()
	time.Sleep(2 * time.Second)
}

// Second logins: refused, or in place of the oldest session, also where it is the
// fixed address that allows one only.
func TestSecondLogin(t *testing.T) { synctest.Test(t, testSecondLogin) }

func testSecondLogin(t *testing.T) {
	for _, user := range []string{"alice", "bob"} {
		for _, policy := range []config.SecondLogin{config.SecondLoginRefuse, config.SecondLoginReplace} {
			r := newRig(t, func(_ *config.Config, p *config.Profile) {
				p.AAA.SecondLogin = policy
				if user == "bob" {
					p.AAA.MaxSessions = 1
				}
			})
			first, call := r.call("1")
			v := r.login(first, user, "right")
			r.up(first, v)
			second, _ := r.call("2")
			w := r.login(second, user, "right")
			if policy == config.SecondLoginRefuse {
				if w.Accept || call.message() != "" {
					t.Errorf("%s: %+v; the first was told %q", user, w, call.message())
				}
				first.Ended(tunnel.Cause{}, nil)
			} else {
				if !w.Accept || w.Grant.Peer != v.Grant.Peer || call.message() != "the user has logged in anew" {
					t.Errorf("%s: %+v; the first was told %q", user, w, call.message())
				}
				if c := r.radius.last(); c.Kind != subscriber.RecordStop || c.Session.Cause != subscriber.PortPreempted {
					t.Errorf("%s: %+v", user, c)
				}
			}
			second.Ended(tunnel.Cause{}, nil)
			r.nothingLeft()
		}
	}
}

// A session that does not end does not keep its successor for ever.
func TestSecondLoginOfAHangingSession(t *testing.T) {
	synctest.Test(t, testSecondLoginOfAHangingSession)
}

func testSecondLoginOfAHangingSession(t *testing.T) {
	r := newRig(t, func(_ *config.Config, p *config.Profile) {
		p.AAA.SecondLogin, p.AAA.MaxSessions = config.SecondLoginReplace, 1
	})
	first, call := r.call("1")
	call.hangs = true
	r.login(first, "bob", "right")
	second, _ := r.call("2")
	began := time.Now()
	if v := r.login(second, "bob", "right"); v.Accept || time.Since(began) != roomTimeout {
		t.Errorf("%+v after %v", v, time.Since(began))
	}
	first.Ended(tunnel.Cause{}, nil)
	second.Ended(tunnel.Cause{}, nil)
	r.nothingLeft()
}

// The time of a session is the layer's matter.
func TestSessionTimeout(t *testing.T) { synctest.Test(t, testSessionTimeout) }

func testSessionTimeout(t *testing.T) {
	r := newRig(t, func(c *config.Config, p *config.Profile) {
		p.Builtin.SessionTimeout = time.Hour
		c.Users[1].SessionTimeout = time.Minute
	})
	for user, after := range map[string]time.Duration{"alice": time.Hour, "bob": time.Minute} {
		s, call := r.call("")
		v := r.login(s, user, "right")
		if v.Grant.SessionTimeout != 0 {
			t.Errorf("%s: PPP is told %v", user, v.Grant.SessionTimeout)
		}
		r.up(s, v)
		time.Sleep(after - time.Second)
		if call.message() != "" {
			t.Errorf("%s: ended too early", user)
		}
		time.Sleep(2 * time.Second)
		if call.message() != "the session's time is over" || r.radius.last().Session.Cause != subscriber.SessionTimeout {
			t.Errorf("%s: %q, %v", user, call.message(), r.radius.last())
		}
	}
	r.nothingLeft()
}

// A peer that shows again who it is keeps what it has; another user does not come
// in by its session.
func TestRechallenge(t *testing.T) { synctest.Test(t, testRechallenge) }

func testRechallenge(t *testing.T) {
	r := newRig(t, nil)
	s, _ := r.call("")
	v := r.show(s, response(t, ppp.MethodCHAP, "bob", "right"))
	r.up(s, v)
	again := r.show(s, response(t, ppp.MethodCHAP, "bob", "right"))
	if !again.Accept || !reflect.DeepEqual(again.Grant, v.Grant) {
		t.Errorf("%+v, then %+v", v, again)
	}
	if w := r.show(s, response(t, ppp.MethodCHAP, "alice", "right")); w.Accept {
		t.Error("another user")
	}
	if w := r.show(s, response(t, ppp.MethodCHAP, "bob", "wrong")); w.Accept {
		t.Error("a wrong password")
	}
	s.Ended(tunnel.Cause{}, nil)
	r.nothingLeft()
}

// What a RADIUS server grants comes before what the profile says.
func TestRADIUSGrant(t *testing.T) { synctest.Test(t, testRADIUSGrant) }

func testRADIUSGrant(t *testing.T) {
	r := newRig(t, func(_ *config.Config, p *config.Profile) { p.AAA.Sources = []string{"isp"} })
	r.radius.answer = func(p *radius.Packet) (*radius.Packet, error) {
		if rfc2865.UserName_GetString(p) != "carol" || rfc2865.UserPassword_GetString(p) != "hers" || rfc2865.CallingStationID_GetString(p) != "4711" {
			return p.Response(radius.CodeAccessReject), nil
		}
		a := p.Response(radius.CodeAccessAccept)
		_ = rfc2865.FramedIPAddress_Set(a, []byte{10, 1, 2, 3})
		_ = rfc2865.SessionTimeout_Set(a, 120)
		_ = rfc2865.Class_AddString(a, "gold")
		_ = rfc2865.FilterID_AddString(a, "kids")
		return a, nil
	}
	s, call := r.call("4711")
	if v := r.login(s, "carol", "wrong"); v.Accept {
		t.Error("a wrong password")
	}
	v := r.login(s, "carol", "hers")
	if !v.Accept || v.Grant.Peer != addr("10.1.2.3") || v.Grant.DNS[0] != addr("192.0.2.53") {
		t.Fatalf("%+v", v)
	}
	// Its address is taken, for whoever the server gives it next.
	other, _ := r.call("4711")
	if w := r.login(other, "carol", "hers"); w.Accept || r.layer.Counts()["address_conflict"] != 1 {
		t.Errorf("one address twice: %+v", w)
	}
	r.up(s, v)
	time.Sleep(121 * time.Second)
	if call.message() == "" {
		t.Error("the Session-Timeout of the server did not count")
	}
	stop := r.radius.last()
	if stop.Kind != subscriber.RecordStop || len(stop.Session.Service.Class) != 1 || string(stop.Session.Service.Class[0]) != "gold" || stop.Session.Method != subscriber.MethodRADIUS {
		t.Errorf("%+v", stop.Session)
	}
	other.Ended(tunnel.Cause{}, nil)
	r.nothingLeft()
}

// A realm is taken off for the server, but not where the name is in the hash: RFC
// 2759 section 8.2, ChallengeHash, has "UserName" among what is hashed.
func TestStrippedRealm(t *testing.T) { synctest.Test(t, testStrippedRealm) }

func testStrippedRealm(t *testing.T) {
	r := newRig(t, func(c *config.Config, p *config.Profile) {
		p.AAA.Sources = []string{"isp"}
		c.Realms = []*config.Realm{{Name: "example.net", Strip: true}}
	})
	var asked []string
	r.radius.answer = func(p *radius.Packet) (*radius.Packet, error) {
		asked = append(asked, rfc2865.UserName_GetString(p))
		return p.Response(radius.CodeAccessReject), nil
	}
	s, _ := r.call("")
	r.login(s, "carol@example.net", "hers")
	r.show(s, response(t, ppp.MethodMSCHAPv2, "carol@example.net", "hers"))
	if !slices.Equal(asked, []string{"carol", "carol@example.net"}) {
		t.Errorf("asked about %q", asked)
	}
	s.Ended(tunnel.Cause{}, nil)
	r.nothingLeft()
}

// A session that nobody is asked about has its addresses before its call.
func TestAnonymous(t *testing.T) { synctest.Test(t, testAnonymous) }

func testAnonymous(t *testing.T) {
	r := newRig(t, nil)
	var all []*Session
	for i := range 5 {
		s := r.layer.NewSession(r.profile)
		g, err := s.Anonymous()
		switch {
		case i < 4 && (err != nil || g.Peer != addr("10.0.0.10").Next().Prev() && !prefix("10.0.0.8/29").Contains(g.Peer) || len(g.Routes) != 2):
			t.Errorf("%d: %+v, %v", i, g, err)
		case i == 4 && (err == nil || !strings.Contains(err.Error(), "pool v4")):
			t.Errorf("the fifth of four: %+v, %v", g, err)
		}
		all = append(all, s)
	}
	for _, s := range all {
		s.Ended(tunnel.Cause{}, nil)
	}
	r.nothingLeft()
}

func TestRoute(t *testing.T) {
	gold, isp := &config.Profile{Name: "gold"}, &config.RADIUSGroup{Name: "isp"}
	rules := []*config.Realm{
		{Name: "example.net", Strip: true, Sources: []string{"isp"}, Accounting: isp},
		{Name: "*.example.net", Profile: gold},
		{Name: "", Sources: []string{config.Local}},
	}
	p := &config.Profile{Name: "p", AAA: config.AAA{Sources: []string{"x"}}}
	for name, want := range map[string]routed{
		"u@example.net":     {"u", []string{"isp"}, isp, p},
		"u@EXAMPLE.net":     {"u", []string{"isp"}, isp, p},
		`Example.NET\u`:     {"u", []string{"isp"}, isp, p},
		"a@b@example.net":   {"a@b", []string{"isp"}, isp, p},
		"u@sub.example.net": {"u@sub.example.net", []string{"x"}, nil, gold},
		"u":                 {"u", []string{config.Local}, nil, p},
		"u@elsewhere":       {"u@elsewhere", []string{"x"}, nil, p},
		"@example.net":      {"", []string{"isp"}, isp, p},
	} {
		if got := route(&config.Config{Realms: rules}, p, name); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", name, got)
		}
	}
	if got := route(&config.Config{}, &config.Profile{}, "u"); !slices.Equal(got.sources, []string{config.Local}) {
		t.Errorf("without anything: %+v", got)
	}
}
