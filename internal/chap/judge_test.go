package chap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"adit/proto/ppp"
)

// request is what a peer with credentials says by a method that needs no
// exchange.
func request(t *testing.T, c Credentials, m ppp.Method) (ppp.AuthRequest, any) {
	t.Helper()
	if m == ppp.MethodPAP {
		name, password := c.Password()
		return ppp.AuthRequest{Method: m, Name: name, Password: password}, nil
	}
	challenge := random(challengeLen)
	value, name, state, err := c.Respond(m, 9, challenge, "lns")
	if err != nil {
		t.Fatal(err)
	}
	return ppp.AuthRequest{Method: m, Name: name, ID: 9, Challenge: challenge, Response: value}, state
}

func TestJudgeCredentials(t *testing.T) {
	for _, m := range []ppp.Method{ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2} {
		c := Credentials{Name: `BIGCO\user`, Secret: []byte("p\u00e4ss")}
		r, state := request(t, c, m)
		if r.Name != `BIGCO\user` {
			t.Errorf("method %d: name %q", m, r.Name)
		}
		v := Judge(c.Secret, r)
		if !v.Accept {
			t.Errorf("method %d: the right password is refused: %+v", m, v)
		}
		if m == ppp.MethodMSCHAPv2 {
			if err := c.Verify(state, v.Message+" M=Welcome"); err != nil {
				t.Error(err)
			}
			for _, bad := range []string{"", v.Message[:41], "S=" + strings.Repeat("0", 40), strings.ToLower(v.Message)} {
				if err := c.Verify(state, bad); !errors.Is(err, ErrNotVerified) {
					t.Errorf("%q: %v", bad, err)
				}
			}
			if err := c.Verify(nil, ""); !errors.Is(err, ErrNotVerified) {
				t.Errorf("without a response: %v", err)
			}
		}
		v = Judge([]byte("other"), r)
		if v.Accept || v.Retry != (m == ppp.MethodMSCHAPv2) || !strings.Contains(v.Message, refused) {
			t.Errorf("method %d: a wrong password: %+v", m, v)
		}
	}
	if v := Judge(nil, ppp.AuthRequest{}); v.Accept {
		t.Error("no method is let in")
	}
	// The challenge for a retry is another each time.
	r := rfcRequest(t, "User")
	a, _ := ppp.ParseMSCHAPFailure(Judge(nil, r).Message)
	b, ok := ppp.ParseMSCHAPFailure(Judge(nil, r).Message)
	if !ok || !a.Retry || len(a.Challenge) != 16 || bytes.Equal(a.Challenge, b.Challenge) {
		t.Errorf("%+v, %+v", a, b)
	}
}

// Identity, MD5-Challenge, Success, RFC 3748.
func TestJudgeEAP(t *testing.T) {
	c := Credentials{Name: "user", Secret: []byte("word")}
	identity := ppp.AuthRequest{Method: ppp.MethodEAP, Name: "user", EAP: unhex(t, "02 ff 0009 01 75736572")}
	for _, password := range []string{"word", "other"} {
		v := Judge([]byte(password), identity)
		if v.Accept || len(v.EAP) != 22 || !bytes.HasPrefix(v.EAP, unhex(t, "01 00 0016 04 10")) || v.State == nil {
			t.Fatalf("%+v", v)
		}
		answer := c.EAP(v.EAP)
		if !bytes.HasPrefix(answer, unhex(t, "02 00 001a 04 10")) || !bytes.HasSuffix(answer, []byte("user")) {
			t.Fatalf("%x", answer)
		}
		next := ppp.AuthRequest{Method: ppp.MethodEAP, Name: "user", EAP: answer, State: v.State}
		end := Judge([]byte(password), next)
		want := "03 00 0004"
		if password != "word" {
			want = "04 00 0004"
		}
		if end.Accept != (password == "word") || !bytes.Equal(end.EAP, unhex(t, want)) || end.Retry {
			t.Errorf("%s: %+v", password, end)
		}
	}
}

// What is not the answer to the challenge is refused, whatever it is.
func TestJudgeEAPRefuses(t *testing.T) {
	c := Credentials{Name: "user", Secret: []byte("word")}
	v := Judge(c.Secret, ppp.AuthRequest{Method: ppp.MethodEAP, EAP: unhex(t, "02 01 0009 01 75736572")})
	good := c.EAP(v.EAP)
	for name, r := range map[string]ppp.AuthRequest{
		"without a challenge":  {EAP: good},
		"a state of another":   {EAP: good, State: "x"},
		"a Nak":                {EAP: unhex(t, "02 02 0006 03 0d"), State: v.State},
		"no value":             {EAP: unhex(t, "02 02 0005 04"), State: v.State},
		"a value of no octets": {EAP: unhex(t, "02 02 0006 04 00"), State: v.State},
		"a value cut off":      {EAP: unhex(t, "02 02 0007 04 10 00"), State: v.State},
		"a request":            {EAP: append([]byte{1}, good[1:]...), State: v.State},
		"another Identifier":   {EAP: append([]byte{2, 3}, good[2:]...), State: v.State},
		"the identity again":   {EAP: unhex(t, "02 02 0009 01 75736572"), State: v.State},
		"cut off":              {EAP: good[:len(good)-1], State: v.State},
		"nothing":              {State: v.State},
		"no type":              {EAP: unhex(t, "02 02 0004"), State: v.State},
	} {
		r.Method = ppp.MethodEAP
		got := Judge(c.Secret, r)
		if got.Accept || got.State != nil || len(got.EAP) != 0 && got.EAP[0] != eapFailure {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestCredentialsEAP(t *testing.T) {
	c := Credentials{Name: "user", Secret: []byte("secret")}
	// MD5 of 07, "secret", 00 to 0f, see TestCheckCHAP.
	got := c.EAP(unhex(t, "01 07 0018 04 10 000102030405060708090a0b0c0d0e0f 6c6e"))
	if want := unhex(t, "02 07 001a 04 10 821643665b430359e52ac524d29c8f95 75736572"); !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
	// Another method: the desired one is told, RFC 3748 section 5.3.1.
	if got := c.EAP(unhex(t, "01 07 0006 0d 20")); !bytes.Equal(got, unhex(t, "02 07 0006 03 04")) {
		t.Errorf("%x", got)
	}
	for _, in := range []string{"", "01 07 0004", "02 07 0006 04 00", "01 07 0005 04", "01 07 0006 04 00", "01 07 0007 04 02 00"} {
		if got := c.EAP(unhex(t, in)); got != nil {
			t.Errorf("%s: %x", in, got)
		}
	}
}

func TestRespondRefuses(t *testing.T) {
	for _, c := range []struct {
		m ppp.Method
		n int
	}{{ppp.MethodPAP, 16}, {ppp.MethodEAP, 16}, {ppp.MethodMSCHAPv2, 15}, {ppp.MethodMSCHAPv2, 0}} {
		if _, _, _, err := (Credentials{}).Respond(c.m, 1, make([]byte, c.n), ""); !errors.Is(err, ErrMethod) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A response to the same challenge is never the same twice: the peer challenge is
// by chance.
func TestPeerChallengeChanges(t *testing.T) {
	c := Credentials{Name: "u", Secret: []byte("p")}
	a, _, _, _ := c.Respond(ppp.MethodMSCHAPv2, 1, make([]byte, 16), "")
	b, _, _, _ := c.Respond(ppp.MethodMSCHAPv2, 1, make([]byte, 16), "")
	if len(a) != 49 || bytes.Equal(a[:16], b[:16]) {
		t.Errorf("%x %x", a, b)
	}
}

func TestCredentialsAreSecret(t *testing.T) {
	c := Credentials{Name: "user", Secret: []byte("hunter2")}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %x %d %s", c, c, c, c, &c), string(j)} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, "104") || strings.Contains(s, "6875") {
			t.Errorf("the password is in %q", s)
		}
		if !strings.Contains(s, "user") {
			t.Errorf("no name in %q", s)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(byte(1), []byte("x"), []byte("y"), []byte{2, 1, 0, 5, 1})
	f.Add(byte(4), []byte("x"), []byte("y"), []byte{2, 1, 0, 7, 4, 1, 0})
	f.Fuzz(func(t *testing.T, m byte, challenge, response, eap []byte) {
		r := ppp.AuthRequest{Method: ppp.Method(m % 6), Challenge: challenge, Response: response, EAP: eap, Password: response}
		if v := Judge([]byte("no chance could make this"), r); v.Accept {
			t.Error("accepted")
		}
		r.State = &eapChallenge{value: challenge}
		if v := Judge([]byte("no chance could make this"), r); v.Accept {
			t.Error("accepted")
		}
		Credentials{Name: "u", Secret: response}.EAP(eap)
	})
}

func BenchmarkJudgeMSCHAPv2(b *testing.B) {
	r := rfcRequest(b, "User")
	b.ReportAllocs()
	for b.Loop() {
		if v := Judge([]byte("clientPass"), r); !v.Accept {
			b.Fatal(v)
		}
	}
}
