package radattr

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"

	"adit/lns/subscriber"
	"adit/proto/l2tp"
	"adit/proto/ppp"
)

// TestUserPasswordRFC2865 is the example of RFC 2865 section 7.1.
func TestUserPasswordRFC2865(t *testing.T) {
	p := &radius.Packet{Code: radius.CodeAccessRequest, Secret: []byte("xyzzy5461")}
	copy(p.Authenticator[:], unhex(t, "0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a"))
	err := AccessRequest(p, ourNAS, aLine(), "nemo", ppp.AuthRequest{Method: ppp.MethodPAP, Password: []byte("arctangent")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, "0d be 70 8d 93 d4 13 ce 31 96 e4 3f 78 2a 0a ee")
	if got := p.Get(rfc2865.UserPassword_Type); !bytes.Equal(got, want) {
		t.Errorf("User-Password %x, want %x", []byte(got), want)
	}
}

// The Value field that a peer sends in the example of RFC 2759 section 9.2, and
// the challenge that it answers.
const (
	mschapChallenge = "5B5D7C7D7B3F2F3E3C2C602132262628"
	mschapPeer      = "21402324255E262A28295F2B3A337C7E"
	mschapNTResp    = "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF"
)

// TestMSCHAPRequest: RFC 2548 section 2.3.2 has Ident, Flags, Peer-Challenge,
// Reserved and Response, where PPP has the Flags at the end.
func TestMSCHAPRequest(t *testing.T) {
	p := radius.New(radius.CodeAccessRequest, []byte("secret"))
	value := unhex(t, mschapPeer+"ffffffffffffffff"+mschapNTResp+"01")
	req := ppp.AuthRequest{Method: ppp.MethodMSCHAPv2, ID: 9, Challenge: unhex(t, mschapChallenge), Response: value}
	if err := AccessRequest(p, ourNAS, aLine(), "User", req, nil); err != nil {
		t.Fatal(err)
	}
	want := unhex(t, "09 00"+mschapPeer+"0000000000000000"+mschapNTResp)
	if got := values(p, 311, 25); len(got) != 1 || !bytes.Equal(got[0], want) {
		t.Errorf("MS-CHAP2-Response %x, want %x", got, want)
	}
	if got := values(p, 311, 11); len(got) != 1 || !bytes.Equal(got[0], req.Challenge) {
		t.Errorf("MS-CHAP-Challenge %x", got)
	}
}

// TestEAPRequest: RFC 3579 section 3.1, in order and consecutive.
func TestEAPRequest(t *testing.T) {
	packet := bytes.Repeat([]byte{1, 2, 3}, 300) // 900 octets: 253 thrice, and 141
	p := radius.New(radius.CodeAccessRequest, []byte("secret"))
	if err := AccessRequest(p, ourNAS, aLine(), "alice", ppp.AuthRequest{Method: ppp.MethodEAP, EAP: packet}, []byte("state")); err != nil {
		t.Fatal(err)
	}
	first := -1
	var n int
	for i, a := range p.Attributes {
		if a.Type == rfc2869.EAPMessage_Type {
			if first < 0 {
				first = i
			}
			if i != first+n {
				t.Errorf("fragment %d is the attribute %d, the first was %d", n, i, first)
			}
			n++
		}
	}
	if got := eapMessage(p); n != 4 || !bytes.Equal(got, packet) {
		t.Errorf("%d fragments, %d octets", n, len(got))
	}
	if got := p.Get(rfc2865.FramedMTU_Type); !bytes.Equal(got, []byte{0, 0, 5, 0}) {
		t.Errorf("Framed-MTU %v", got)
	}
	if got := p.Get(rfc2865.State_Type); string(got) != "state" {
		t.Errorf("State %q", got)
	}
}

// TestRequestRefused: what cannot be said is not said in part.
func TestRequestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		user string
		req  ppp.AuthRequest
	}{
		"long name":       {strings.Repeat("n", 254), ppp.AuthRequest{Method: ppp.MethodPAP}},
		"long password":   {"u", ppp.AuthRequest{Method: ppp.MethodPAP, Password: make([]byte, 129)}},
		"no method":       {"u", ppp.AuthRequest{}},
		"short CHAP":      {"u", ppp.AuthRequest{Method: ppp.MethodCHAP, Challenge: make([]byte, 16), Response: make([]byte, 15)}},
		"no challenge":    {"u", ppp.AuthRequest{Method: ppp.MethodCHAP, Response: make([]byte, 16)}},
		"long challenge":  {"u", ppp.AuthRequest{Method: ppp.MethodCHAP, Challenge: make([]byte, 254), Response: make([]byte, 16)}},
		"short MS-CHAPv2": {"u", ppp.AuthRequest{Method: ppp.MethodMSCHAPv2, Challenge: make([]byte, 16), Response: make([]byte, 48)}},
		"no EAP":          {"u", ppp.AuthRequest{Method: ppp.MethodEAP}},
		"large EAP":       {"u", ppp.AuthRequest{Method: ppp.MethodEAP, EAP: make([]byte, 4050)}},
	} {
		p := radius.New(radius.CodeAccessRequest, []byte("secret"))
		if err := AccessRequest(p, ourNAS, aLine(), c.user, c.req, nil); !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLineBounds: a LAC that tells nothing, and one that tells too much. What is
// empty is left out, and nothing is longer than an attribute.
func TestLineBounds(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for name, line := range map[string]*subscriber.Line{
		"nothing": {},
		"much": {
			ID: long, HostName: long, PeerHostName: long, PeerName: long, CallingNumber: long, CalledNumber: long, PrivateGroupID: long,
			Access: []l2tp.AccessLineAVP{{Type: 1, Value: []byte(long)}, {Type: 2}, {Type: 129, Value: []byte{1}}, {Type: 254, Value: []byte{0, 0, 0, 0}}, {Type: 385, Value: []byte{1}}},
		},
	} {
		for _, fill := range []func(p *radius.Packet) error{
			func(p *radius.Packet) error {
				return AccessRequest(p, NAS{Identifier: long}, line, "u", ppp.AuthRequest{Method: ppp.MethodPAP, Password: []byte("p")}, nil)
			},
			func(p *radius.Packet) error {
				Accounting(p, NAS{}, &subscriber.Record{Kind: subscriber.RecordStop, Session: &subscriber.RecordSession{Line: *line, User: long}}, 0)
				return nil
			},
		} {
			p := radius.New(radius.CodeAccessRequest, []byte("secret"))
			if err := fill(p); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := p.Encode(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, a := range p.Attributes {
				if len(a.Attribute) == 0 || len(a.Attribute) > 253 {
					t.Errorf("%s: attribute %d has %d octets", name, a.Type, len(a.Attribute))
				}
			}
			if v := values(p, vendorADSLForum, 254); v != nil {
				t.Errorf("%s: IWF-Session where none was performed", name)
			}
		}
	}
}

// TestNASPort: no two sessions of a version have the same NAS-Port. RFC 2865 section 5.5:
// "This Attribute indicates the physical port number of the NAS which is authenticating the
// user." In version 3 the IDs have 32 bits, and would run into each other in one number.
func TestNASPort(t *testing.T) {
	for _, c := range []struct {
		line subscriber.Line
		want uint32
		id   string
	}{
		{subscriber.Line{Version: 2, Tunnel: 17, Session: 34}, 17<<16 | 34, "l2tp 17/34"},
		{subscriber.Line{Tunnel: 65535, Session: 65535}, 1<<32 - 1, "l2tp 65535/65535"},
		{subscriber.Line{Version: 3, Tunnel: 0x00020001, Session: 0x80000022}, 0x80000022, "l2tp 131073/2147483682"},
		{subscriber.Line{Version: 3, Tunnel: 0x00010001, Session: 0x00010022}, 0x00010022, "l2tp 65537/65570"},
		{subscriber.Line{Version: 3, Tunnel: 0x00010001, Session: 0x00000022}, 0x22, "l2tp 65537/34"},
	} {
		p := radius.New(radius.CodeAccessRequest, []byte("secret"))
		if err := AccessRequest(p, ourNAS, &c.line, "u", ppp.AuthRequest{Method: ppp.MethodPAP, Password: []byte("p")}, nil); err != nil {
			t.Fatal(err)
		}
		if port, id := rfc2865.NASPort_Get(p), rfc2869.NASPortID_GetString(p); uint32(port) != c.want || NASPort(&c.line) != c.want || id != c.id {
			t.Errorf("%+v: %d and %q, want %d and %q", c.line, uint32(port), id, c.want, c.id)
		}
	}
}

// TestTunnelEnds: the client is who began the tunnel, a LAC. As a LAC we are that.
func TestTunnelEnds(t *testing.T) {
	line := aLine()
	line.LNS = false
	line.Peer = netip.MustParseAddrPort("[2001:db8::7]:1701")
	line.Local = netip.MustParseAddrPort("[2001:db8::1]:1701")
	p := radius.New(radius.CodeAccountingRequest, []byte("secret"))
	Accounting(p, ourNAS, &subscriber.Record{Kind: subscriber.RecordTunnelLinkUp, Session: &subscriber.RecordSession{Line: *line}}, 0)
	for typ, want := range map[radius.Type]string{
		rfc2868.TunnelClientEndpoint_Type: "\x002001:db8::1",
		rfc2868.TunnelServerEndpoint_Type: "\x002001:db8::7",
		rfc2868.TunnelClientAuthID_Type:   "\x00lns1",
		rfc2868.TunnelServerAuthID_Type:   "\x00lac7",
		rfc2868.TunnelMediumType_Type:     "\x00\x00\x00\x02",
	} {
		if got := string(p.Get(typ)); got != want {
			t.Errorf("attribute %d is %q, want %q", typ, got, want)
		}
	}
}

// TestAccountingKinds: what each kind has, RFC 2866 section 5 and RFC 2867 section 3.
func TestAccountingKinds(t *testing.T) {
	const (
		used = 1 << iota
		ended
		port
		lost
		tunnel
	)
	for kind, want := range map[subscriber.RecordKind]int{
		subscriber.RecordStart:         port | tunnel,
		subscriber.RecordInterim:       port | tunnel | used,
		subscriber.RecordStop:          port | tunnel | used | ended,
		subscriber.RecordOn:            0,
		subscriber.RecordOff:           0,
		subscriber.RecordTunnelStart:   tunnel,
		subscriber.RecordTunnelStop:    tunnel | used | ended | lost,
		subscriber.RecordTunnelReject:  tunnel | ended,
		subscriber.RecordTunnelLinkUp:  port | tunnel,
		subscriber.RecordTunnelLinkEnd: port | tunnel | used | ended | lost,
		subscriber.RecordTunnelLinkNo:  port | tunnel | ended,
	} {
		r := &subscriber.Record{Kind: kind, Time: time.Unix(1e9, 0), Session: &subscriber.RecordSession{
			Line: *aLine(), User: "u", Cause: subscriber.UserRequest,
		}}
		if kind == subscriber.RecordOn || kind == subscriber.RecordOff {
			r.Session = nil
		}
		p := radius.New(radius.CodeAccountingRequest, []byte("secret"))
		Accounting(p, ourNAS, r, 3*time.Second)
		got := 0
		for typ, bit := range map[radius.Type]int{
			rfc2866.AcctSessionTime_Type: used, rfc2866.AcctInputOctets_Type: used, rfc2866.AcctOutputPackets_Type: used,
			rfc2866.AcctTerminateCause_Type: ended, rfc2865.NASPort_Type: port, 86: lost,
			68: tunnel, 64: tunnel, 65: tunnel, 66: tunnel, 67: tunnel,
		} {
			if _, ok := p.Lookup(typ); ok {
				got |= bit
			} else if want&bit != 0 {
				t.Errorf("kind %d has no attribute %d", kind, typ)
			}
		}
		if got != want {
			t.Errorf("kind %d has %b, want %b", kind, got, want)
		}
		if n, err := radius.Integer(p.Get(rfc2866.AcctStatusType_Type)); err != nil || n != uint32(kind) {
			t.Errorf("kind %d: Acct-Status-Type %d, %v", kind, n, err)
		}
		if n, _ := radius.Integer(p.Get(rfc2869.EventTimestamp_Type)); n != 1e9 {
			t.Errorf("kind %d: Event-Timestamp %d", kind, n)
		}
	}
}

// TestAccountingFits: a server may give as much Class as an Access-Accept holds. The
// record has room for the header and a Message-Authenticator, and says first what is
// billed.
func TestAccountingFits(t *testing.T) {
	s := &subscriber.RecordSession{Line: *aLine(), User: "u", Counters: subscriber.Counters{OctetsIn: 1}}
	for range 20 {
		s.Service.Class = append(s.Service.Class, bytes.Repeat([]byte{7}, 253))
	}
	p := radius.New(radius.CodeAccountingRequest, []byte("secret"))
	Accounting(p, ourNAS, &subscriber.Record{Kind: subscriber.RecordStop, Session: s}, 0)
	n, err := radius.AttributesEncodedLen(p.Attributes)
	if err != nil || 20+n+18 > radius.MaxPacketLength {
		t.Errorf("%d octets of attributes, %v", n, err)
	}
	if _, ok := p.Lookup(rfc2866.AcctInputOctets_Type); !ok {
		t.Error("no Acct-Input-Octets")
	}
}
