package chap

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"layeh.com/radius/rfc2759"

	"adit/proto/ppp"
)

// finish is the last verdict about a peer with credentials, by any method.
func finish(t *testing.T, s *Secret, c Credentials, m ppp.Method) (ppp.Verdict, error) {
	t.Helper()
	if m != ppp.MethodEAP {
		r, _ := request(t, c, m)
		return s.Judge(r)
	}
	r := ppp.AuthRequest{Method: m, Name: c.Name, EAP: append([]byte{2, 9, 0, byte(5 + len(c.Name)), eapIdentity}, c.Name...)}
	v, err := s.Judge(r)
	if err != nil || v.Accept || v.State == nil {
		t.Fatalf("to the identity: %+v, %v", v, err)
	}
	r.EAP, r.State = c.EAP(v.EAP), v.State
	return s.Judge(r)
}

var methods = []ppp.Method{ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2, ppp.MethodEAP}

func TestSecretJudge(t *testing.T) {
	const password = "p\u00e4ss"
	for _, c := range []struct {
		what   string
		secret *Secret
		shown  string
		want   map[ppp.Method]error // what is not there is let in
	}{
		{what: "password", secret: OfPassword([]byte(password)), shown: password},
		{what: "hash", secret: OfHash(HashNT([]byte(password))), shown: password,
			want: map[ppp.Method]error{ppp.MethodCHAP: ErrHash, ppp.MethodEAP: ErrHash}},
		{what: "another password", secret: OfPassword([]byte("other")), shown: password, want: all(ErrWrong)},
		{what: "another hash", secret: OfHash(HashNT([]byte("other"))), shown: password,
			want: map[ppp.Method]error{ppp.MethodPAP: ErrWrong, ppp.MethodCHAP: ErrHash,
				ppp.MethodMSCHAPv2: ErrWrong, ppp.MethodEAP: ErrHash}},
		{what: "nobody", secret: Nobody(), shown: password, want: all(ErrWrong)},
		{what: "nobody, no password shown", secret: Nobody(), want: all(ErrWrong)},
		{what: "the zero Secret", secret: &Secret{}, shown: password, want: all(ErrWrong)},
		{what: "the zero Secret, no password shown", secret: &Secret{}, want: all(ErrWrong)},
	} {
		for _, m := range methods {
			v, err := finish(t, c.secret, Credentials{Name: "user", Secret: []byte(c.shown)}, m)
			if want := c.want[m]; !errors.Is(err, want) || v.Accept != (want == nil) {
				t.Errorf("%s, method %d: %+v, %v", c.what, m, v, err)
			}
			checkRefusal(t, c.what, m, v)
		}
	}
}

func all(err error) map[ppp.Method]error {
	every := map[ppp.Method]error{}
	for _, m := range methods {
		every[m] = err
	}
	return every
}

// checkRefusal sees to it that a refusal tells nothing of its reason: all of one
// method look alike.
func checkRefusal(t *testing.T, what string, m ppp.Method, v ppp.Verdict) {
	t.Helper()
	if v.Accept {
		return
	}
	f, isFailure := ppp.ParseMSCHAPFailure(v.Message)
	switch m {
	case ppp.MethodMSCHAPv2:
		if !isFailure || f.Error != 691 || !f.Retry || !v.Retry || f.Message != refused || v.EAP != nil {
			t.Errorf("%s: %+v", what, v)
		}
	case ppp.MethodEAP:
		if v.Message != refused || v.Retry || len(v.EAP) != 4 || v.EAP[0] != eapFailure || v.State != nil {
			t.Errorf("%s: %+v", what, v)
		}
	default:
		if v.Message != refused || v.Retry || v.EAP != nil {
			t.Errorf("%s: %+v", what, v)
		}
	}
}

// Who showed the right password and is refused for another reason is told what a
// wrong password is told.
func TestRefuse(t *testing.T) {
	for _, m := range methods {
		r := ppp.AuthRequest{Method: m, EAP: []byte{2, 7, 0, 5, 1}}
		v := Refuse(r)
		checkRefusal(t, "refused", m, v)
		if m == ppp.MethodEAP && v.EAP[1] != 7 {
			t.Errorf("Identifier %d", v.EAP[1])
		}
		if v.Accept {
			t.Error("let in")
		}
	}
	if v := Refuse(ppp.AuthRequest{Method: ppp.MethodEAP, EAP: []byte{2, 7, 0, 4}}); v.EAP != nil || v.Accept {
		t.Errorf("to what is no EAP response: %+v", v)
	}
}

// Two passwords that are no text may have one NT hash; the whole password tells
// them apart.
func TestSecretPAPOctets(t *testing.T) {
	r := ppp.AuthRequest{Method: ppp.MethodPAP, Password: []byte("\xfe")}
	if v, err := OfPassword([]byte("\xff")).Judge(r); v.Accept || !errors.Is(err, ErrWrong) {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestSecretIsSecret(t *testing.T) {
	for _, s := range []*Secret{OfPassword([]byte("hunter2")), OfHash(HashNT([]byte("hunter2")))} {
		j, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %x %d", s, s, s, s), string(j)} {
			if !strings.Contains(text, "(secret)") || strings.Contains(text, "hunter2") || strings.Contains(text, "104") ||
				strings.Contains(text, "6875") || strings.Contains(text, fmt.Sprintf("%x", HashNT([]byte("hunter2")))) {
				t.Errorf("%q", text)
			}
		}
	}
}

// Nothing that a peer could make fits nobody's Secret, also not a response by the
// hash or password that a Secret without one has.
func TestNobodyIsNobody(t *testing.T) {
	r := rfcRequest(t, "User")
	c := challengeHash(r.Response[:challengeLen], r.Challenge, r.Name)
	for what, s := range map[string]*Secret{"nobody": Nobody(), "the zero Secret": {}} {
		copy(r.Response[ntResponseAt:], rfc2759.ChallengeResponse(c, s.hash[:]))
		pap := ppp.AuthRequest{Method: ppp.MethodPAP, Password: s.password}
		md5 := ppp.AuthRequest{Method: ppp.MethodCHAP, ID: 1, Challenge: r.Challenge, Response: md5Response(1, s.password, r.Challenge)}
		for _, req := range []ppp.AuthRequest{r, pap, md5} {
			if v, err := s.Judge(req); v.Accept || !errors.Is(err, ErrWrong) {
				t.Errorf("%s, method %d: %+v, %v", what, req.Method, v, err)
			}
		}
	}
	// The same requests are let in where the Secret is somebody's.
	s := OfPassword([]byte("clientPass"))
	copy(r.Response[ntResponseAt:], rfc2759.ChallengeResponse(c, s.hash[:]))
	if v, err := s.Judge(r); !v.Accept || err != nil {
		t.Errorf("%+v, %v", v, err)
	}
}
