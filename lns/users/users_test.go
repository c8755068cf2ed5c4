package users

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"adit/internal/chap"
	"adit/internal/config"
	"adit/proto/ppp"
)

var methods = []ppp.Method{ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2, ppp.MethodEAP}

func testUsers() []*config.User {
	hash := chap.HashNT([]byte("hers"))
	return []*config.User{
		{Name: "alice", Password: config.Secret("right")},
		{Name: "bob", NTHash: config.Secret(hash[:])},
		{Name: `CORP\carol`, Password: config.Secret("carol's")},
		{Name: "nothing"},
		{Name: "short", NTHash: config.Secret(hash[:15])},
	}
}

// show is the last word about a peer that says a name and shows a password by a
// method; the Set knows it by lookup.
func show(t testing.TB, s *Set, m ppp.Method, name, lookup, password string) (ppp.AuthRequest, *config.User, ppp.Verdict, bool, error) {
	t.Helper()
	c := chap.Credentials{Name: name, Secret: []byte(password)}
	req := ppp.AuthRequest{Method: m, Name: name, ID: 5}
	switch m {
	case ppp.MethodPAP:
		req.Password = []byte(password)
	case ppp.MethodCHAP, ppp.MethodMSCHAPv2:
		var err error
		req.Challenge = []byte("0123456789abcdef")
		if req.Response, _, _, err = c.Respond(m, req.ID, req.Challenge, ""); err != nil {
			t.Fatal(err)
		}
	case ppp.MethodEAP:
		req.EAP = append([]byte{2, 1, 0, byte(5 + len(name)), 1}, name...)
		_, v, keys, err := s.Judge(lookup, req)
		if err != nil || keys != nil || v.State == nil || v.Accept {
			t.Fatalf("EAP of %q: %+v, %v", name, v, err)
		}
		req.EAP, req.State = c.EAP(v.EAP), v.State
	}
	u, v, keys, err := s.Judge(lookup, req)
	if keys != nil && (len(keys.Send) != 16 || len(keys.Recv) != 16 || bytes.Equal(keys.Send, keys.Recv) || keys.Policy != 1 || keys.Types != 6) {
		t.Errorf("keys %+v", keys)
	}
	return req, u, v, keys != nil, err
}

func TestJudge(t *testing.T) {
	s := New(testUsers())
	for _, c := range []struct {
		name, password string
		lookup         string // empty: the name
		want           string // the user's name
		errs           [4]error
	}{
		{name: "alice", password: "right", want: "alice"},
		{name: "alice@isp.example", lookup: "alice", password: "right", want: "alice"},
		{name: "alice", password: "wrong", want: "alice", errs: each(ErrPassword)},
		{name: "alice", want: "alice", errs: each(ErrPassword)},
		{name: "bob", password: "hers", want: "bob", errs: [4]error{1: ErrHash, 3: ErrHash}},
		{name: "bob", password: "his", want: "bob", errs: [4]error{ErrPassword, ErrHash, ErrPassword, ErrHash}},
		{name: `CORP\carol`, password: "carol's", want: `CORP\carol`},
		{name: "nothing", want: "nothing", errs: each(ErrPassword)},
		{name: "short", password: "hers", want: "short", errs: each(ErrPassword)},
		{name: "Alice", password: "right", errs: each(ErrUnknown)},
		{name: "alice", lookup: "mallory", password: "right", errs: each(ErrUnknown)},
		{name: "", lookup: "", errs: each(ErrUnknown)},
	} {
		lookup := c.lookup
		if lookup == "" {
			lookup = c.name
		}
		for i, m := range methods {
			_, u, v, keys, err := show(t, s, m, c.name, lookup, c.password)
			want := c.errs[i]
			if !errors.Is(err, want) || v.Accept != (want == nil) {
				t.Errorf("%q, method %d: %+v, %v", c.name, m, v, err)
			}
			if got := nameOf(u); got != c.want {
				t.Errorf("%q, method %d: user %q", c.name, m, got)
			}
			if v.Accept && v.User != c.want || !v.Accept && v.User != "" || !reflect.DeepEqual(v.Grant, ppp.Grant{}) {
				t.Errorf("%q, method %d: %+v", c.name, m, v)
			}
			if keys != (v.Accept && m == ppp.MethodMSCHAPv2) {
				t.Errorf("%q, method %d: keys %v", c.name, m, keys)
			}
		}
	}
}

func each(err error) [4]error { return [4]error{err, err, err, err} }

func nameOf(u *config.User) string {
	if u == nil {
		return ""
	}
	return u.Name
}

// RFC 2759 section 4: "The Windows NT domain name may prefix the user's account
// name".
func TestWindowsDomain(t *testing.T) {
	s := New(testUsers())
	for _, c := range []struct {
		name string
		m    ppp.Method
		want string
	}{
		{`OFFICE\alice`, ppp.MethodMSCHAPv2, "alice"},
		{`OFFICE\alice`, ppp.MethodPAP, ""},
		{`OFFICE\alice`, ppp.MethodCHAP, ""},
		{`OFFICE\alice`, ppp.MethodEAP, ""},
		{`CORP\carol`, ppp.MethodMSCHAPv2, `CORP\carol`},
		{`CORP\carol`, ppp.MethodPAP, `CORP\carol`},
		{"carol", ppp.MethodMSCHAPv2, ""},
		{`OFFICE\`, ppp.MethodMSCHAPv2, ""},
		{`\alice`, ppp.MethodMSCHAPv2, "alice"},
	} {
		if got := nameOf(s.Find(c.name, c.m)); got != c.want {
			t.Errorf("%s, method %d: %q", c.name, c.m, got)
		}
	}
	// The response is over the name without its domain, and the session goes on
	// under the user's own.
	if _, _, v, keys, err := show(t, s, ppp.MethodMSCHAPv2, `OFFICE\alice`, `OFFICE\alice`, "right"); err != nil || v.User != "alice" || !keys {
		t.Errorf("%+v, %v", v, err)
	}
}

// What the peer is told is the same for a name that does not exist, for a wrong
// password and for a method that a hash does not do for: only chance (challenges)
// differs.
func TestAnswersTellNoNames(t *testing.T) {
	s := New(testUsers())
	for _, m := range methods {
		var shapes []string
		for _, name := range []string{"alice", "bob", "mallory", "nothing"} {
			_, _, v, _, _ := show(t, s, m, name, name, "wrong")
			message, _, _ := strings.Cut(v.Message, " C=")
			shapes = append(shapes, fmt.Sprintf("%v %v %x %s %d", v.Accept, v.Retry, v.EAP, message, len(v.Message)))
		}
		for _, shape := range shapes {
			if shape != shapes[0] {
				t.Errorf("method %d: %q", m, shapes)
				break
			}
		}
	}
}

// Nor does the time tell: the quickest of many answers takes as long, whatever is
// known of a name. An answer without arithmetic would take some 50 ns.
func TestTimeTellsNoNames(t *testing.T) {
	const slack = 100 * time.Nanosecond
	s := New(testUsers())
	for _, m := range methods[:3] {
		quickest := map[string]time.Duration{}
		reqs := map[string]ppp.AuthRequest{}
		for _, name := range []string{"alice", "bob", "mallory"} {
			reqs[name], _, _, _, _ = show(t, s, m, name, name, "wrong")
			quickest[name] = time.Hour
		}
		for range 500 {
			for name, req := range reqs { // by turns, so that the machine's moods meet all
				begin := time.Now()
				s.Judge(name, req)
				quickest[name] = min(quickest[name], time.Since(begin))
			}
		}
		t.Logf("method %d: %v", m, quickest)
		for name, d := range quickest {
			if nobody := quickest["mallory"]; d > nobody*3/2+slack || nobody > d*3/2+slack {
				t.Errorf("method %d: %s takes %v, nobody %v", m, name, d, quickest["mallory"])
			}
		}
	}
}

func TestReplace(t *testing.T) {
	s := New(nil)
	if s.Len() != 0 || s.Find("alice", ppp.MethodPAP) != nil {
		t.Error("somebody is there")
	}
	if _, _, v, _, err := show(t, s, ppp.MethodCHAP, "alice", "alice", "right"); v.Accept || !errors.Is(err, ErrUnknown) {
		t.Errorf("%+v, %v", v, err)
	}
	s.Replace(testUsers())
	if _, _, v, _, err := show(t, s, ppp.MethodCHAP, "alice", "alice", "right"); !v.Accept || err != nil || s.Len() != 5 {
		t.Errorf("%+v, %v, %d", v, err, s.Len())
	}
	s.Replace([]*config.User{{Name: "alice", Password: config.Secret("changed")}})
	if _, _, v, _, err := show(t, s, ppp.MethodCHAP, "alice", "alice", "right"); v.Accept || !errors.Is(err, ErrPassword) || s.Len() != 1 {
		t.Errorf("%+v, %v, %d", v, err, s.Len())
	}
}

// A user who is taken away in the middle of EAP is refused by its next step.
func TestReplaceDuringEAP(t *testing.T) {
	s := New(testUsers())
	c := chap.Credentials{Name: "alice", Secret: []byte("right")}
	req := ppp.AuthRequest{Method: ppp.MethodEAP, Name: "alice", EAP: []byte("\x02\x01\x00\x0a\x01alice")}
	_, v, _, err := s.Judge("alice", req)
	if err != nil {
		t.Fatal(err)
	}
	s.Replace(nil)
	req.EAP, req.State = c.EAP(v.EAP), v.State
	if u, v, _, err := s.Judge("alice", req); u != nil || v.Accept || !errors.Is(err, ErrUnknown) {
		t.Errorf("%+v, %v", v, err)
	}
}

// Judges and reloads at one time: each judgement is by one list or the other.
func TestReplaceRace(t *testing.T) {
	a, b := testUsers(), []*config.User{{Name: "alice", Password: config.Secret("right")}}
	s := New(a)
	req := ppp.AuthRequest{Method: ppp.MethodPAP, Name: "alice", Password: []byte("right")}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				if u, v, _, err := s.Judge("alice", req); !v.Accept || u != a[0] && u != b[0] {
					t.Errorf("%+v, %v", v, err)
					return
				}
			}
		})
	}
	for range 50 {
		s.Replace(b)
		s.Replace(a)
	}
	all.Wait()
}

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		number   string
		want     bool
	}{
		{nil, "", true}, {nil, "+491", true},
		{[]string{"+49*"}, "+491", true}, {[]string{"+49*"}, "+431", false}, {[]string{"+49*"}, "", false},
		{[]string{"1", "2"}, "2", true}, {[]string{"1", "2"}, "12", false},
		{[]string{"*"}, "", true}, {[]string{"?*"}, "", false}, {[]string{"?*"}, "x", true},
		{[]string{"atm */3"}, "atm 1/0/3", true}, {[]string{"atm 1/?/3"}, "atm 1/0/3", true},
		{[]string{"02:ab:*"}, "02:AB:01", false},
		{[]string{""}, "", true}, {[]string{""}, "1", false},
		{[]string{"[", "7"}, "7", true}, {[]string{"["}, "[", false},
	} {
		if got := Allowed(&config.User{CallingNumbers: c.patterns}, c.number); got != c.want {
			t.Errorf("%q, %q: %v", c.patterns, c.number, got)
		}
	}
}

func TestService(t *testing.T) {
	prefix := netip.MustParsePrefix
	routes := append(make([]netip.Prefix, 0, 4), prefix("10.7.0.0/16"))
	u := &config.User{
		Name: "alice", Password: config.Secret("right"), Address: netip.MustParseAddr("10.0.9.9"),
		IPv6Prefix: prefix("2001:db8:1::/64"), Delegated: prefix("2001:db8:2::/56"), Routes: routes,
		Profile: &config.Profile{Name: "gold"}, MaxSessions: 2, SessionTimeout: time.Hour, IdleTimeout: time.Minute,
	}
	got := Service(u)
	_ = append(got.Routes, prefix("192.0.2.0/24")) // what is added to it is not the user's
	if routes[:2][1].IsValid() {
		t.Error("an added route is in the user's")
	}
	if got.User != "alice" || got.Profile != "gold" || got.Address != u.Address || !reflect.DeepEqual(got.Routes, routes) ||
		!reflect.DeepEqual(got.IPv6Prefixes, []netip.Prefix{u.IPv6Prefix}) || !reflect.DeepEqual(got.Delegated, []netip.Prefix{u.Delegated}) ||
		got.MaxSessions != 2 || got.SessionTimeout != time.Hour || got.IdleTimeout != time.Minute {
		t.Errorf("%+v", got)
	}
	bare := Service(&config.User{Name: "bob"})
	if bare.User != "bob" {
		t.Errorf("user %q", bare.User)
	}
	bare.User = ""
	if !reflect.ValueOf(bare).IsZero() {
		t.Errorf("what the block does not say is set: %+v", bare)
	}
}

func BenchmarkJudge(b *testing.B) {
	s := New(testUsers())
	for i, m := range methods[:3] {
		req, _, _, _, _ := show(b, s, m, "alice", "alice", "right")
		b.Run([]string{"PAP", "CHAP", "MSCHAPv2"}[i], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, v, _, _ := s.Judge("alice", req); !v.Accept {
					b.Fatal(v)
				}
			}
		})
	}
}
