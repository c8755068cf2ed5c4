package l2tp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

var iccnSamples = []sample{
	{"ICCN with what it must have", `
		8008 0000 0000 000c
		800a 0000 0018 00989680
		800a 0000 0013 00000001`,
		&ICCN{TxConnectSpeed: 10000000, FramingType: FramingSync}},
	{"ICCN with everything", `
		8008 0000 0000 000c
		800a 0000 0018 0000fa00
		800a 0000 0013 00000002
		0010 0000 001a 0104 05d4 0506 1122 3344
		000a 0000 001b 0304 c023
		0006 0000 001c
		0008 0000 001d 0002
		000b 0000 001e 616c696365
		000a 0000 001f cafebabe
		0008 0000 0020 0007
		0016 0000 0021 101112131415161718191a1b1c1d1e1f
		000a 0000 0025 626c7565
		000a 0000 0026 0001f400
		8006 0000 0027`,
		&ICCN{
			TxConnectSpeed: 64000, FramingType: FramingAsync,
			ProxyLCP: &ProxyLCP{
				InitialReceived: []byte{1, 4, 5, 0xd4, 5, 6, 0x11, 0x22, 0x33, 0x44},
				LastSent:        []byte{3, 4, 0xc0, 0x23},
				LastReceived:    []byte{},
			},
			ProxyAuth: &ProxyAuth{
				Type: ProxyAuthCHAP, Name: "alice", Challenge: []byte{0xca, 0xfe, 0xba, 0xbe}, ID: 7,
				Response: []byte{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
			},
			PrivateGroupID: []byte("blue"), RxConnectSpeed: 128000, SequencingRequired: true,
		}},
	{"ICCN after no authentication", `
		8008 0000 0000 000c
		800a 0000 0018 00000000
		800a 0000 0013 00000000
		0008 0000 001d 0004`,
		&ICCN{ProxyAuth: &ProxyAuth{Type: ProxyAuthNone}}},
}

func TestICCN(t *testing.T) { testSamples(t, iccnSamples) }

// "This AVP MUST be present if proxy authentication is to be utilized."
func TestProxyAuthWithoutType(t *testing.T) {
	m, err := ParseMessage(Version, octets(t, `
		8008 0000 0000 000c 800a 0000 0018 00989680 800a 0000 0013 00000001
		000b 0000 001e 616c696365`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if auth := m.(*ICCN).ProxyAuth; auth != nil {
		t.Errorf("%+v without a Proxy Authen Type", auth)
	}
}

// Section 7.1: "one example of a recoverable, malformed AVP might be if the Rx
// Connect Speed AVP, attribute 38, is received with a length of 8 rather than
// 10 and the BPS given in 2 octets rather than 4 [...] the control message
// should be accepted as if the AVP had not been received (with the exception of
// a local error message being logged)."
func TestMalformedRxConnectSpeed(t *testing.T) {
	const start = "8008 0000 0000 000c 800a 0000 0018 00989680 800a 0000 0013 00000001"
	m, err := ParseMessage(Version, octets(t, start+"0008 0000 0026 fa00"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &ICCN{TxConnectSpeed: 10000000, FramingType: FramingSync}
	want.Ignored = []*Error{{
		Message: TypeICCN, HasAVP: true, AVP: AVPRxConnectSpeed, Err: ErrAVPLength,
	}}
	equal := cmp.Comparer(func(a, b error) bool { return a == b })
	if diff := cmp.Diff(want, m, cmp.FilterPath(func(p cmp.Path) bool {
		return p.Last().String() == ".Err"
	}, equal)); diff != "" {
		t.Error(diff)
	}
	// "if a malformed AVP is received with the M-bit set, the session or tunnel
	// should be terminated with a proper Result or Error Code sent."
	_, err = ParseMessage(Version, octets(t, start+"8008 0000 0026 fa00"), nil)
	e := checkTyped(t, err)
	if e.Scope != ScopeSession || e.Result.Error != ErrorLength || e.AVP != AVPRxConnectSpeed {
		t.Errorf("%+v", e)
	}
}

func TestProxyAuthComplete(t *testing.T) {
	response := []byte{1}
	for _, test := range []struct {
		name string
		auth ProxyAuth
		want bool
	}{
		{"none", ProxyAuth{Type: ProxyAuthNone}, true},
		{"reserved", ProxyAuth{Name: "a", Response: response}, false},
		{"PAP", ProxyAuth{Type: ProxyAuthPAP, Name: "a", Response: response}, true},
		{"PAP, empty password", ProxyAuth{Type: ProxyAuthPAP, Name: "a", Response: []byte{}}, true},
		{"PAP without response", ProxyAuth{Type: ProxyAuthPAP, Name: "a"}, false},
		{"text without name", ProxyAuth{Type: ProxyAuthText, Response: response}, false},
		{"CHAP", ProxyAuth{Type: ProxyAuthCHAP, Name: "a", Challenge: response, Response: response}, true},
		{"CHAP without challenge", ProxyAuth{Type: ProxyAuthCHAP, Name: "a", Response: response}, false},
		{"MS-CHAPv1 without challenge", ProxyAuth{Type: ProxyAuthMSCHAPv1, Name: "a", Response: response}, false},
	} {
		if got := test.auth.Complete(); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
