package lns

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/chap"
	"adit/internal/config"
	"adit/internal/sparing"
	"adit/pppbridge"
	"adit/proto/ppp"
)

// accessConfig has a user with an address and routes, and one without.
func accessConfig() *config.Config {
	return &config.Config{Users: []*config.User{
		{Name: "alice", Password: config.Secret("right"), Address: netip.MustParseAddr("10.0.9.9"),
			Routes: []netip.Prefix{netip.MustParsePrefix("10.7.0.0/16"), netip.MustParsePrefix("2001:db8:7::/48")}},
		{Name: "bob", Password: config.Secret("right too")},
		{Name: `CORP\carol`, Password: config.Secret("hers")},
	}}
}

// accessLog is an access whose log lines go to the buffer.
func accessLog() (*access, *pppbridge.Spec, *bytes.Buffer) {
	var out bytes.Buffer
	log := logrus.New()
	log.SetOutput(&out)
	log.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true, DisableColors: true})
	return newAccess(accessConfig()), &pppbridge.Spec{Log: logrus.NewEntry(log)}, &out
}

// ask returns the verdict, which must come at once and once.
func ask(t *testing.T, a *access, spec *pppbridge.Spec, req ppp.AuthRequest) ppp.Verdict {
	t.Helper()
	var got []ppp.Verdict
	a.Authenticate(spec, req, func(v ppp.Verdict) { got = append(got, v) })
	if len(got) != 1 {
		t.Fatalf("%d verdicts", len(got))
	}
	return got[0]
}

// show returns what a peer with this name and password says, in the end, by a
// method.
func show(t *testing.T, a *access, spec *pppbridge.Spec, m ppp.Method, name, password string) ppp.AuthRequest {
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
		n := byte(5 + len(name))
		req.EAP = append([]byte{2, 1, 0, n, 1}, name...)
		v := ask(t, a, spec, req)
		if v.Accept || v.State == nil || len(v.EAP) == 0 {
			t.Fatalf("identity %q: %+v", name, v)
		}
		req.EAP, req.State = c.EAP(v.EAP), v.State
	}
	return req
}

func TestAccess(t *testing.T) {
	for _, m := range []ppp.Method{ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2, ppp.MethodEAP} {
		for _, c := range []struct {
			name, password, user string // user "": refused
		}{
			{"alice", "right", "alice"},
			{"bob", "right too", "bob"},
			{"alice", "right too", ""},
			{"alice", "", ""},
			{"nobody", "right", ""},
			{"", "", ""},
			{"Alice", "right", ""},
			{`CORP\carol`, "hers", `CORP\carol`},
			{"carol", "hers", ""},
		} {
			a, spec, out := accessLog()
			v := ask(t, a, spec, show(t, a, spec, m, c.name, c.password))
			if v.Accept != (c.user != "") || v.User != c.user {
				t.Errorf("method %d, %q with %q: %+v", m, c.name, c.password, v)
			}
			if n := [2]uint64{a.accepted.Load(), a.refused.Load()}; n != map[bool][2]uint64{true: {1, 0}, false: {0, 1}}[v.Accept] {
				t.Errorf("method %d, %q: counted %v", m, c.name, n)
			}
			if v.Accept && out.Len() > 0 {
				t.Errorf("log of an accepted peer: %s", out)
			}
		}
	}
}

// What the peer gets: the user's own, or nothing, so that the session's holds.
func TestAccessGrant(t *testing.T) {
	a, spec, _ := accessLog()
	alice := accessConfig().Users[0]
	v := ask(t, a, spec, show(t, a, spec, ppp.MethodCHAP, "alice", "right"))
	if want := (ppp.Grant{Peer: alice.Address, Routes: alice.Routes}); !reflect.DeepEqual(v.Grant, want) {
		t.Errorf("%+v", v.Grant)
	}
	for _, r := range []ppp.AuthRequest{
		show(t, a, spec, ppp.MethodCHAP, "bob", "right too"),
		show(t, a, spec, ppp.MethodCHAP, "alice", "wrong"),
	} {
		if v := ask(t, a, spec, r); !reflect.DeepEqual(v.Grant, ppp.Grant{}) {
			t.Errorf("%s: %+v", r.Name, v.Grant)
		}
	}
}

// RFC 2759 section 4: a Windows domain before the name.
func TestAccessWindowsDomain(t *testing.T) {
	a, spec, _ := accessLog()
	v := ask(t, a, spec, show(t, a, spec, ppp.MethodMSCHAPv2, `BIGCO\bob`, "right too"))
	if !v.Accept || v.User != "bob" || !strings.HasPrefix(v.Message, "S=") {
		t.Errorf("%+v", v)
	}
	if v := ask(t, a, spec, show(t, a, spec, ppp.MethodMSCHAPv2, `BIGCO\bob`, "wrong")); v.Accept {
		t.Error("a wrong password")
	}
	if v := ask(t, a, spec, show(t, a, spec, ppp.MethodPAP, `BIGCO\bob`, "right too")); v.Accept {
		t.Error("PAP has no domains")
	}
}

// A peer does not learn whether a name exists: but for what is made by chance, the
// verdicts are the same. The operator does.
func TestAccessUnknownUser(t *testing.T) {
	for _, m := range []ppp.Method{ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2, ppp.MethodEAP} {
		a, spec, out := accessLog()
		verdict := func(name string) ppp.Verdict {
			v := ask(t, a, spec, show(t, a, spec, m, name, "wrong"))
			if f, ok := ppp.ParseMSCHAPFailure(v.Message); ok {
				f.Challenge = nil
				v.Message = f.String()
			}
			return v
		}
		if known, unknown := verdict("alice"), verdict("nobody"); !reflect.DeepEqual(known, unknown) {
			t.Errorf("method %d: %+v, %+v", m, known, unknown)
		}
		want := `level=info msg="user \"alice\" is refused: what it showed does not fit the password"` + "\n" +
			`level=info msg="user \"nobody\" is refused: no [[users]] block has this name"` + "\n"
		if out.String() != want {
			t.Errorf("method %d: log %s", m, out)
		}
		if strings.Contains(out.String(), "wrong\"") {
			t.Error("the password is in the log")
		}
	}
}

// No name of a user opens the door by the decoy of those who do not exist.
func TestAccessDecoy(t *testing.T) {
	a, spec, _ := accessLog()
	if len(a.users.decoy) != 16 || bytes.Equal(a.users.decoy, newUsers(nil).decoy) {
		t.Fatalf("decoy %x", a.users.decoy)
	}
	for _, m := range []ppp.Method{ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2, ppp.MethodEAP} {
		v := ask(t, a, spec, show(t, a, spec, m, "nobody", string(a.users.decoy)))
		if v.Accept {
			t.Errorf("method %d: who knows the decoy is let in", m)
		}
	}
}

// The log takes a burst, then a line a second with the number of those left out.
func TestAccessLogIsSparing(t *testing.T) {
	synctest.Test(t, testAccessLogIsSparing)
}

func testAccessLogIsSparing(t *testing.T) {
	a, spec, out := accessLog()
	req := ppp.AuthRequest{Method: ppp.MethodPAP, Name: "nobody\n\x1b[2J"}
	for range 100 {
		ask(t, a, spec, req)
	}
	if n := strings.Count(out.String(), "\n"); n != sparing.Burst || a.refused.Load() != 100 {
		t.Errorf("%d lines, %d counted", n, a.refused.Load())
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("the log has the peer's control characters")
	}
	out.Reset()
	time.Sleep(time.Second)
	ask(t, a, spec, req)
	if !strings.Contains(out.String(), fmt.Sprintf("left_out=%d", 100-sparing.Burst)) {
		t.Errorf("log %s", out)
	}
	a.Authenticate(&pppbridge.Spec{}, req, func(ppp.Verdict) {}) // no log
	a.Authenticate(nil, req, func(ppp.Verdict) {})
}
