package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hmacMD5(text, secret []byte) []byte {
	h := hmac.New(md5.New, secret)
	h.Write(text)
	return h.Sum(nil)
}

// The example of RFC 2865 section 7.1.
func TestResponseAuthenticator(t *testing.T) {
	s := &sent{authenticator: [16]byte(unhex(t, "0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a"))}
	answer := unhex(t, `02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf
		9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00
		0e 06 c0 a8 01 03`)
	p, err := open(bytes.Clone(answer), s, authentication, []byte("xyzzy5461"), false)
	if err != nil || p.Code != radius.CodeAccessAccept || rfc2865.LoginService_Get(p) != rfc2865.LoginService_Value_Telnet {
		t.Fatalf("%+v, %v", p, err)
	}
	if !bytes.Equal(p.Authenticator[:], answer[4:20]) {
		t.Error("the answer's authenticator was changed")
	}
	for i := range answer {
		for bit := range 8 {
			wrong := bytes.Clone(answer)
			wrong[i] ^= 1 << bit
			if _, err = open(wrong, s, authentication, []byte("xyzzy5461"), false); err == nil {
				t.Errorf("octet %d, bit %d changed: taken", i, bit)
			}
		}
	}
	if _, err = open(bytes.Clone(answer), s, authentication, []byte("xyzzy5461"), true); !errors.Is(err, errUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
}

// The request of RFC 5997 section 6.1, which has a Message-Authenticator only.
func TestSeal(t *testing.T) {
	want := unhex(t, `0c da 00 26 8a 54 f4 68 6f b3 94 c5 28 66 e3 02
		18 5d 06 23 50 12 5a 66 5e 2e 1e 84 11 f3 e2 43
		82 20 97 c8 4f a3`)
	p := &radius.Packet{Code: radius.CodeStatusServer, Identifier: 0xda, Secret: []byte("xyzzy5461")}
	copy(p.Authenticator[:], want[4:20])
	if got, err := seal(p); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
	// It is the first of several, and alone of its kind.
	p.Add(rfc2865.UserName_Type, radius.Attribute("alice"))
	p.Add(80, make([]byte, 16))
	got, err := seal(p)
	if err != nil || len(got) != len(want)+7 || got[20] != 80 || got[38] != 1 {
		t.Fatalf("%x, %v", got, err)
	}
	zero := bytes.Clone(got)
	clear(zero[22:38])
	if !bytes.Equal(got[22:38], hmacMD5(zero, p.Secret)) {
		t.Errorf("%x", got)
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		name   string
		length uint16
		octets int
		good   bool
	}{
		{"minimum", 20, 20, true}, {"padded", 20, 30, true}, {"maximum", 4096, 4096, true},
		{"below the minimum", 19, 20, false}, {"beyond the maximum", 4097, 5000, false},
		{"longer than it is", 21, 20, false}, {"no header", 20, 19, false}, {"nothing", 0, 0, false},
	} {
		b := make([]byte, c.octets)
		if len(b) > 4 {
			b[2], b[3] = byte(c.length>>8), byte(c.length)
		}
		got, err := cut(b)
		if (err == nil) != c.good || c.good && len(got) != int(c.length) {
			t.Errorf("%s: %d octets, %v", c.name, len(got), err)
		}
	}
}

// Whatever comes: no panic, and nothing is believed that is not proven.
func FuzzAnswer(f *testing.F) {
	s := &sent{authenticator: [16]byte{1, 2, 3}}
	request := make([]byte, 20)
	request[0], request[3] = 1, 20
	copy(request[4:], s.authenticator[:])
	f.Add(answerTo(f, request, "s", radius.CodeAccessAccept, true), true)
	f.Add(answerTo(f, request, "s", radius.CodeAccessChallenge, false), false)
	f.Fuzz(func(t *testing.T, datagram []byte, fix bool) {
		wire, err := cut(bytes.Clone(datagram))
		if err != nil {
			return
		}
		if fix { // so that what is behind the Response Authenticator is seen too
			copy(wire[4:], s.authenticator[:])
			sum := md5.Sum(append(bytes.Clone(wire), 's'))
			copy(wire[4:], sum[:])
		}
		whole := bytes.Clone(wire)
		p, err := open(wire, s, authentication, []byte("s"), true)
		if err != nil {
			return
		}
		if !bytes.Equal(wire, whole) {
			t.Fatal("the packet was changed")
		}
		if !radius.IsAuthenticResponse(whole, request, []byte("s")) || p.Get(80) == nil {
			t.Fatalf("%x was believed", whole)
		}
		if _, err = p.MarshalBinary(); err != nil {
			t.Fatal(err)
		}
	})
}
