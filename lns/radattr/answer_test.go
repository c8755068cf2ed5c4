package radattr

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// TestParseAccessRFC2865 are the requests of RFC 2865 sections 7.1 and 7.2. The
// second has no CHAP-Challenge.
func TestParseAccessRFC2865(t *testing.T) {
	user, req, err := ParseAccess(parse(t, "xyzzy5461", `01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb
		98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d 93 d4 13 ce 31 96 e4 3f 78 2a 0a ee 04 06 c0 a8
		01 10 05 06 00 00 00 03`))
	want := ppp.AuthRequest{Method: ppp.MethodPAP, Name: "nemo", Password: []byte("arctangent")}
	if diff := cmp.Diff(want, req); diff != "" || user != "nemo" || err != nil {
		t.Errorf("%q, %v: %s", user, err, diff)
	}
	user, req, err = ParseAccess(parse(t, "xyzzy5461", `01 01 00 47 2a ee 86 f0 8d 0d 55 96 9c a5 97 8e
		0d 33 67 a2 01 08 66 6c 6f 70 73 79 03 13 16 e9 75 57 c3 16 18 58 95 f2 93 ff 63 44 07 72 75 04
		06 c0 a8 01 10 05 06 00 00 00 14 06 06 00 00 00 02 07 06 00 00 00 01`))
	want = ppp.AuthRequest{Method: ppp.MethodCHAP, Name: "flopsy", ID: 22,
		Challenge: unhex(t, "2aee86f08d0d55969ca5978e0d3367a2"), Response: unhex(t, "e97557c316185895f293ff6344077275")}
	if diff := cmp.Diff(want, req); diff != "" || user != "flopsy" || err != nil {
		t.Errorf("%q, %v: %s", user, err, diff)
	}
}

// TestParseAccessMSCHAP: the order of PPP again.
func TestParseAccessMSCHAP(t *testing.T) {
	p := radius.New(radius.CodeAccessRequest, []byte("secret"))
	p.Add(1, []byte("User"))
	a := vsa(311, 11, string(unhex(t, mschapChallenge)))
	p.Add(a.Type, a.Attribute)
	a = vsa(311, 25, string(unhex(t, "09 00"+mschapPeer+"0000000000000000"+mschapNTResp)))
	p.Add(a.Type, a.Attribute)
	_, req, err := ParseAccess(p)
	want := ppp.AuthRequest{Method: ppp.MethodMSCHAPv2, Name: "User", ID: 9,
		Challenge: unhex(t, mschapChallenge), Response: unhex(t, mschapPeer+"0000000000000000"+mschapNTResp+"00")}
	if diff := cmp.Diff(want, req); diff != "" || err != nil {
		t.Errorf("%v: %s", err, diff)
	}
}

func TestParseAccessRefused(t *testing.T) {
	for name, avps := range map[string][]radius.AVP{
		"nobody":          {avp(2, "0123456789abcdef")},
		"nothing":         {avp(1, "u")},
		"short password":  {avp(1, "u"), avp(2, "0123")},
		"short CHAP":      {avp(1, "u"), avp(3, "0123")},
		"empty challenge": {avp(1, "u"), avp(3, "00123456789abcdef"), avp(60, "")},
		"no challenge":    {avp(1, "u"), vsa(311, 25, string(make([]byte, 50)))},
		"short MS-CHAPv2": {avp(1, "u"), vsa(311, 11, string(make([]byte, 16))), vsa(311, 25, string(make([]byte, 49)))},
	} {
		if user, _, err := ParseAccess(with(avps...)); !errors.Is(err, ErrCredentials) || user != "" {
			t.Errorf("%s: %q, %v", name, user, err)
		}
	}
}

// TestAnswer: pppd's radius.so finds what it looks for, and the keys.
func TestAnswer(t *testing.T) {
	request := radius.New(radius.CodeAccessRequest, []byte("secret"))
	req := ppp.AuthRequest{Method: ppp.MethodMSCHAPv2, ID: 9}
	const proof = "S=407A5589115FD0D6209F510FE9C04566932CDA56"
	m := &subscriber.MPPE{Policy: 2, Types: 6, Send: bytes.Repeat([]byte{0x5e}, 16), Recv: bytes.Repeat([]byte{0xec}, 16)}
	p := request.Response(radius.CodeAccessReject)
	err := Answer(p, req, ppp.Verdict{Accept: true, Message: proof + " M=welcome", Grant: ppp.Grant{
		Peer: netip.MustParseAddr("10.0.0.7"), DNS: [2]netip.Addr{netip.MustParseAddr("10.0.0.1")}, IdleTimeout: 300 * time.Second,
	}}, &subscriber.Service{Address: netip.MustParseAddr("10.9.9.9"), WINS: [2]netip.Addr{{}, netip.MustParseAddr("10.0.0.4")}, MPPE: m})
	if err != nil || p.Code != radius.CodeAccessAccept {
		t.Fatalf("%v, %v", p.Code, err)
	}
	for typ, want := range map[radius.Type]string{
		rfc2865.ServiceType_Type: "\x00\x00\x00\x02", rfc2865.FramedProtocol_Type: "\x00\x00\x00\x01",
		rfc2865.FramedIPAddress_Type: "\x0a\x00\x00\x07", rfc2865.IdleTimeout_Type: "\x00\x00\x01\x2c",
		rfc2865.ReplyMessage_Type: "welcome",
	} {
		if got := string(p.Get(typ)); got != want {
			t.Errorf("attribute %d is %q", typ, got)
		}
	}
	for typ, want := range map[radius.Type]string{
		26: "\x09" + proof, 28: "\x0a\x00\x00\x01", 31: "\x0a\x00\x00\x04", 7: "\x00\x00\x00\x02", 8: "\x00\x00\x00\x06",
	} {
		if got := values(p, 311, typ); len(got) != 1 || string(got[0]) != want {
			t.Errorf("Microsoft's %d is %q", typ, got)
		}
	}
	send, recv := values(p, 311, 16), values(p, 311, 17)
	// RFC 2548 section 2.4.2: two octets of Salt, and two blocks: the length and 16
	// octets of key.
	if len(send) != 1 || len(recv) != 1 || len(send[0]) != 34 || len(recv[0]) != 34 {
		t.Fatalf("keys of %d and %d octets", len(send[0]), len(recv[0]))
	}
	if bytes.Equal(send[0][:2], recv[0][:2]) || send[0][0]&0x80 == 0 || recv[0][0]&0x80 == 0 {
		t.Errorf("salts %x and %x", send[0][:2], recv[0][:2])
	}
	s, _, _, err := Accept(p, request.Authenticator)
	if diff := cmp.Diff(m, s.MPPE); diff != "" || err != nil {
		t.Errorf("%v: %s", err, diff)
	}
}

// TestAnswerRefusal: nothing that is granted is said to who is refused.
func TestAnswerRefusal(t *testing.T) {
	const failure = "E=691 R=1 C=21402324255E262A28295F2B3A337C7E V=3 M=wrong"
	p := radius.New(radius.CodeAccessAccept, []byte("secret"))
	err := Answer(p, ppp.AuthRequest{Method: ppp.MethodMSCHAPv2, ID: 9}, ppp.Verdict{Message: failure},
		&subscriber.Service{Address: netip.MustParseAddr("10.9.9.9"), MPPE: &subscriber.MPPE{Send: make([]byte, 16)}})
	if err != nil || p.Code != radius.CodeAccessReject || len(p.Attributes) != 2 {
		t.Fatalf("%v, %v, %d attributes", p.Code, err, len(p.Attributes))
	}
	if got := values(p, 311, 2); len(got) != 1 || string(got[0]) != "\x09"+failure {
		t.Errorf("MS-CHAP-Error %q", got)
	}
	if got := p.Get(18); string(got) != "wrong" {
		t.Errorf("Reply-Message %q", got)
	}
	p = radius.New(radius.CodeAccessAccept, []byte("secret"))
	if err = Answer(p, ppp.AuthRequest{Method: ppp.MethodPAP}, ppp.Verdict{Message: "no"}, nil); err != nil || string(p.Get(18)) != "no" {
		t.Errorf("%v, %q", err, p.Get(18))
	}
}
