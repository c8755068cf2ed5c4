package chap

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"adit/proto/ppp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 2759 section 9.2.
const (
	rfcAuthenticatorChallenge = "5B 5D 7C 7D 7B 3F 2F 3E 3C 2C 60 21 32 26 26 28"
	rfcPeerChallenge          = "21 40 23 24 25 5E 26 2A 28 29 5F 2B 3A 33 7C 7E"
	rfcChallenge              = "D0 2E 43 86 BC E9 12 26"
	rfcPasswordHash           = "44 EB BA 8D 53 12 B8 D6 11 47 44 11 F5 69 89 AE"
	rfcNTResponse             = "82 30 9E CD 8D 70 8B 5E A0 8F AA 39 81 CD 83 54 42 33 11 4A 3D 85 D6 DF"
	rfcAuthenticatorResponse  = "S=407A5589115FD0D6209F510FE9C04566932CDA56"
)

// rfcRequest is the request of that example.
func rfcRequest(t testing.TB, name string) ppp.AuthRequest {
	return ppp.AuthRequest{Method: ppp.MethodMSCHAPv2, Name: name,
		Challenge: unhex(t, rfcAuthenticatorChallenge),
		Response:  unhex(t, rfcPeerChallenge+"0000000000000000"+rfcNTResponse+"00")}
}

func TestRFC2759(t *testing.T) {
	hash := HashNT([]byte("clientPass"))
	if !bytes.Equal(hash[:], unhex(t, rfcPasswordHash)) {
		t.Errorf("PasswordHash %x", hash)
	}
	// Section 9.3.
	if h := HashNT([]byte("MyPw")); !bytes.Equal(h[:], unhex(t, "FC156AF7EDCD6C0EDDE3337D427F4EAC")) {
		t.Errorf("PasswordHash of MyPw %x", h)
	}
	c := challengeHash(unhex(t, rfcPeerChallenge), unhex(t, rfcAuthenticatorChallenge), "User")
	if !bytes.Equal(c, unhex(t, rfcChallenge)) {
		t.Errorf("Challenge %x", c)
	}
	// "When computing the NT-Response field contents, only the user name is used,
	// without any associated Windows NT domain name."
	for _, name := range []string{"User", `BIGCO\User`, `A\B\User`} {
		message, ok := CheckMSCHAPv2(hash, name, rfcRequest(t, name))
		if !ok || message != rfcAuthenticatorResponse {
			t.Errorf("%s: %q, %t", name, message, ok)
		}
		value, proof := respondMSCHAPv2(name, []byte("clientPass"), unhex(t, rfcAuthenticatorChallenge), unhex(t, rfcPeerChallenge))
		if !bytes.Equal(value, rfcRequest(t, name).Response) || proof != rfcAuthenticatorResponse {
			t.Errorf("%s: value %x, proof %s", name, value, proof)
		}
	}
	for _, name := range []string{"user", "User ", "", `User\`} { // "case-sensitive"
		if message, ok := CheckMSCHAPv2(hash, name, rfcRequest(t, name)); ok || message != "" {
			t.Errorf("%q: %q, %t", name, message, ok)
		}
	}
}

// Every octet of the challenge, the peer challenge and the NT-Response counts;
// those of Reserved and Flag do not; other lengths are wrong.
func TestMSCHAPv2Corrupted(t *testing.T) {
	hash := HashNT([]byte("clientPass"))
	for i := range responseLen {
		r := rfcRequest(t, "User")
		r.Response[i] ^= 1
		_, ok := CheckMSCHAPv2(hash, "User", r)
		if want := i >= 16 && i < 24 || i == 48; ok != want {
			t.Errorf("octet %d of the response changed: %t", i, ok)
		}
	}
	for i := range challengeLen {
		r := rfcRequest(t, "User")
		r.Challenge[i] ^= 1
		if _, ok := CheckMSCHAPv2(hash, "User", r); ok {
			t.Errorf("octet %d of the challenge changed", i)
		}
	}
	for n := range 60 {
		r := rfcRequest(t, "User")
		r.Response = append(r.Response, make([]byte, 20)...)[:n]
		if _, ok := CheckMSCHAPv2(hash, "User", r); ok != (n == 49) {
			t.Errorf("a response of %d octets: %t", n, ok)
		}
		r = rfcRequest(t, "User")
		r.Challenge = append(r.Challenge, make([]byte, 60)...)[:n]
		if _, ok := CheckMSCHAPv2(hash, "User", r); ok != (n == 16) {
			t.Errorf("a challenge of %d octets: %t", n, ok)
		}
	}
}

// A password beyond ASCII is hashed as UTF-16, little end first: the hashes are
// MD4 as openssl makes them of these octets.
func TestHashNTUnicode(t *testing.T) {
	for _, c := range []struct{ password, want string }{
		{"", "31d6cfe0d16ae931b73c59d7e0c089c0"},
		{"password", "8846f7eaee8fb117ad06bdd830b7586c"},
		{"\u20ac\U0001f600", "612309ba9777a62d0820834058d3621f"},
	} {
		if h := HashNT([]byte(c.password)); hex.EncodeToString(h[:]) != c.want {
			t.Errorf("%q: %x", c.password, h)
		}
	}
	if HashNT([]byte("\xff")) != HashNT([]byte("\ufffd")) {
		t.Error("what is no UTF-8 is not hashed as U+FFFD")
	}
}

// RFC 1994: MD5 over Identifier, secret and challenge. The value was made with
// md5sum of the octets 07, "secret", 00 to 0f.
func TestCheckCHAP(t *testing.T) {
	r := ppp.AuthRequest{Method: ppp.MethodCHAP, ID: 7,
		Challenge: unhex(t, "000102030405060708090a0b0c0d0e0f"), Response: unhex(t, "821643665b430359e52ac524d29c8f95")}
	if !CheckCHAP([]byte("secret"), r) {
		t.Error("the right response is refused")
	}
	for i := range r.Response {
		r.Response[i] ^= 0x80
		if CheckCHAP([]byte("secret"), r) {
			t.Errorf("octet %d changed", i)
		}
		r.Response[i] ^= 0x80
	}
	for n := range 16 {
		short := r
		short.Response = r.Response[:n]
		if CheckCHAP([]byte("secret"), short) {
			t.Errorf("%d octets are enough", n)
		}
	}
	if CheckCHAP([]byte("Secret"), r) || CheckCHAP(nil, r) {
		t.Error("another password")
	}
	r.ID++
	if CheckCHAP([]byte("secret"), r) {
		t.Error("another Identifier")
	}
}

func TestCheckPAP(t *testing.T) {
	for _, c := range []struct {
		password, got string
		ok            bool
	}{
		{"secret", "secret", true}, {"secret", "secre", false}, {"secret", "secrett", false},
		{"secret", "", false}, {"secret", "secret\x00", false}, {"", "", true},
	} {
		if ok := CheckPAP([]byte(c.password), ppp.AuthRequest{Password: []byte(c.got)}); ok != c.ok {
			t.Errorf("%q, %q: %t", c.password, c.got, ok)
		}
	}
}

// RFC 2759 section 6.
func TestFailMSCHAPv2(t *testing.T) {
	c := unhex(t, "000102030405060708090a0b0c0d0e0f")
	if got := FailMSCHAPv2(true, c); got != "E=691 R=1 C=000102030405060708090A0B0C0D0E0F V=3 M=name or password is wrong" {
		t.Error(got)
	}
	if got := FailMSCHAPv2(false, c); got != "E=691 R=0 C=000102030405060708090A0B0C0D0E0F V=3 M=name or password is wrong" {
		t.Error(got)
	}
}
