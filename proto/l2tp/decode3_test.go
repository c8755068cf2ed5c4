package l2tp

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	sccrq3 = "8008 0000 0000 0001 8009 0000 0007 6c6163 800a 0000 003c 0a000001 800a 0000 003d 12345678 8008 0000 003e 0005"
	icrp3  = "8008 0000 0000 000b 800a 0000 003f 00000002 800a 0000 0040 00010203 8008 0000 0047 0001"
	iccn3  = "8008 0000 0000 000c 800a 0000 003f 00010203 800a 0000 0040 00000002"
	icrq3  = "8008 0000 0000 000a 800a 0000 003f 00010203 800a 0000 0040 00000000 000a 0000 000f 00000001 8008 0000 0044 0005 800a 0000 0042 00000064 8008 0000 0047 0003"
)

// good3 is what the messages above say.
func good3(wire string) Message {
	switch wire {
	case sccrq3:
		return &SCCRQ{HostName: "lac", RouterID: 0x0a000001, AssignedTunnelID: 0x12345678, Pseudowires: []PseudowireType{PseudowireEthernet}}
	case icrp3:
		return &ICRP{AssignedSessionID: 2, RemoteSessionID: 0x00010203, Session3: Session3{CircuitStatus: CircuitActive}}
	case iccn3:
		return &ICCN{AssignedSessionID: 0x00010203, RemoteSessionID: 2}
	}
	return &ICRQ{
		AssignedSessionID: 0x00010203, CallSerialNumber: 1,
		Request3: Request3{PseudowireType: PseudowireEthernet, RemoteEndID: []byte{0, 0, 0, 100}},
		Session3: Session3{CircuitStatus: CircuitActive | CircuitNew},
	}
}

// What is let pass: the message means the same as without it.
func TestIgnored3(t *testing.T) {
	for _, test := range []struct {
		name, wire, extra string
		want              error
	}{
		// Section 4.7.3: "all L2TPv3 implementations over UDP be liberal in accepting an
		// SCCRQ control message with the Ver field set to 2 or 3 and the presence of
		// L2TPv2-specific AVPs."
		{"Protocol Version in SCCRQ", sccrq3, "8008 0000 0002 0100", ErrAVPMisplaced},
		{"Framing Capabilities in SCCRQ", sccrq3, "800a 0000 0003 00000003", ErrAVPMisplaced},
		{"Assigned Tunnel ID in SCCRQ", sccrq3, "8008 0000 0009 1234", ErrAVPMisplaced},
		{"Challenge in SCCRQ", sccrq3, "8016 0000 000b 000102030405060708090a0b0c0d0e0f", ErrAVPMisplaced},
		{"hidden Assigned Tunnel ID", sccrq3, "c008 0000 0009 1234", ErrAVPMisplaced},
		{"Tx Connect Speed of version 2", iccn3, "800a 0000 0018 00000001", ErrAVPMisplaced},
		{"Sequencing Required", iccn3, "8006 0000 0027", ErrAVPMisplaced},
		{"Remote End ID in ICRP", icrp3, "8008 0000 0042 6162", ErrAVPMisplaced},
		{"the same twice", icrp3, "8008 0000 0047 0001", ErrAVPRepeated},
		// Section 7.1: "One example of a malformed AVP situation that should be
		// recoverable is if the Rx Connect Speed AVP is received with a length of 10
		// rather than 14 [...] As such, the control message should be accepted as though
		// the AVP were not present".
		{"Rx Connect Speed of 4 octets", iccn3, "000a 0000 004b 00000001", ErrAVPLength},
		{"cookie of 5 octets, M clear", icrp3, "000b 0000 0041 0102030405", ErrAVPLength},
		{"unknown with a reserved bit", icrp3, "2006 0000 0063", ErrUnknownAVP},
		{"known with a reserved bit", icrp3, "200a 0000 0041 01020304", ErrUnknownAVP},
		// Verify looks where a digest has to be.
		{"digest", icrp3, "8017 0000 003b 00" + noMD5, nil},
		{"three digests", icrp3, "8017 0000 003b 00" + noMD5 + "801b 0000 003b 01" + noSHA1 + "8007 0000 003b 09", nil},
		// "A missing Assigned Cookie AVP or Assigned Cookie Value of zero length
		// indicates that the Cookie field should not be present".
		{"empty cookie", icrp3, "8006 0000 0041", nil},
		{"sublayer and sequencing of 0", icrp3, "8008 0000 0045 0000 8008 0000 0046 0000", nil},
	} {
		m, err := ParseMessage(Version3, octets(t, test.wire+test.extra), secret)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		ignored := m.Rest().Ignored
		m.Rest().Ignored = nil
		if diff := cmp.Diff(good3(test.wire), m); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if test.want == nil && len(ignored) != 0 || test.want != nil && (len(ignored) != 1 || !errors.Is(ignored[0], test.want)) {
			t.Errorf("%s: ignored %v, want %v", test.name, ignored, test.want)
		}
	}
}

// What is not.
func TestRefused3(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		want       error
		scope      Scope
		code       ErrorCode
		avp        AVPType
	}{
		// Section 5.2: "a CDN with a Result Code of 2 and Error Code of 8", "StopCCN with
		// Result Code of 2 and Error Code of 8".
		{"unknown AVP in SCCRQ", sccrq3 + "8006 0000 0063", ErrUnknownMandatory, ScopeTunnel, ErrorUnknownMandatoryAVP, 99},
		{"unknown AVP in ICRP", icrp3 + "8006 0000 0063", ErrUnknownMandatory, ScopeSession, ErrorUnknownMandatoryAVP, 99},
		{"known AVP with a reserved bit", icrp3 + "a00a 0000 0041 01020304", ErrUnknownMandatory, ScopeSession, ErrorUnknownMandatoryAVP, AVPAssignedCookie},
		{"AVP of version 2 with a reserved bit", sccrq3 + "9008 0000 0009 1234", ErrUnknownMandatory, ScopeTunnel, ErrorUnknownMandatoryAVP, AVPAssignedTunnelID},
		{"an extension we do not have", icrp3 + "8008 0000 0055 0002", ErrUnknownMandatory, ScopeSession, ErrorUnknownMandatoryAVP, AVPFrameRelayHeaderLength},
		{"cookie of 5 octets", icrp3 + "800b 0000 0041 0102030405", ErrAVPLength, ScopeSession, ErrorLength, AVPAssignedCookie},
		{"cookie of 12 octets", icrp3 + "8012 0000 0041 0102030405060708090a0b0c", ErrAVPLength, ScopeSession, ErrorLength, AVPAssignedCookie},
		{"two cookies", icrp3 + "800a 0000 0041 01020304 800a 0000 0041 01020305", ErrAVPRepeated, ScopeSession, ErrorValue, AVPAssignedCookie},
		{"PW capabilities of 3 octets", strings.Replace(sccrq3, "8008 0000 003e 0005", "8009 0000 003e 000500", 1), ErrAVPLength, ScopeTunnel, ErrorLength, AVPPseudowireCapabilities},
		{"no PW capabilities", strings.Replace(sccrq3, "8008 0000 003e 0005", "8006 0000 003e", 1), ErrAVPLength, ScopeTunnel, ErrorLength, AVPPseudowireCapabilities},
		{"empty nonce", sccrq3 + "8006 0000 0049", ErrAVPLength, ScopeTunnel, ErrorLength, AVPNonce},
		{"Session ID of 2 octets", "8008 0000 0000 000b 8008 0000 003f 0002", ErrAVPLength, ScopeSession, ErrorLength, AVPLocalSessionID},
		// "the zero value MUST NOT be sent as an Assigned Control Connection ID value."
		{"Control Connection ID 0", strings.Replace(sccrq3, "12345678", "00000000", 1), ErrAVPValue, ScopeTunnel, ErrorValue, AVPAssignedControlConnectionID},
		// "The Local Session ID is a 4-octet non-zero unsigned integer."
		{"Local Session ID 0 in ICRQ", strings.Replace(icrq3, "003f 00010203", "003f 00000000", 1), ErrAVPValue, ScopeSession, ErrorValue, AVPLocalSessionID},
		{"Local Session ID 0 in ICCN", strings.Replace(iccn3, "003f 00010203", "003f 00000000", 1), ErrAVPValue, ScopeSession, ErrorValue, AVPLocalSessionID},
		{"circuit errors of 22 octets", "8008 0000 0000 000f 800a 0000 003f 00000001 800a 0000 0040 00000002 801c 0000 0022 0000 " + strings.Repeat("00000001", 5), ErrAVPLength, ScopeSession, ErrorLength, AVPCallErrors},
		{"hidden without a Random Vector", icrp3 + "c00a 0000 0041 01020304", ErrHiddenNoVector, ScopeSession, ErrorValue, AVPAssignedCookie},
		{"message of a vendor", "8008 0009 0000 0001", ErrUnknownMessage, ScopeTunnel, ErrorValue, AVPMessageType},
		{"message of a vendor, M clear", "0008 0009 0000 0001", ErrUnknownMessage, ScopeMessage, 0, AVPMessageType},
		{"unknown message", "8008 0000 0000 0015", ErrUnknownMessage, ScopeTunnel, ErrorValue, AVPMessageType},
		{"a digest first", "8017 0000 003b 00" + noMD5 + icrp3, ErrNoMessageType, ScopeTunnel, ErrorValue, AVPMessageDigest},
	} {
		m, err := ParseMessage(Version3, octets(t, test.wire), secret)
		if m != nil || !errors.Is(err, test.want) {
			t.Errorf("%s: %v, %v; want %v", test.name, m, err, test.want)
			continue
		}
		e := checkTyped(t, err)
		if e.Scope != test.scope || e.Result.Error != test.code || e.AVP != test.avp {
			t.Errorf("%s: %+v", test.name, e)
		}
	}
}

// The answer to a message that cannot be used goes to the IDs in it.
func TestErrorIDs3(t *testing.T) {
	_, err := ParseMessage(Version3, octets(t, icrp3+"8006 0000 0063"), nil)
	if e := checkTyped(t, err); e.AssignedSessionID != 2 || e.RemoteSessionID != 0x00010203 {
		t.Errorf("%+v", e)
	}
	_, err = ParseMessage(Version3, octets(t, sccrq3+"8006 0000 0063"), nil)
	if e := checkTyped(t, err); e.AssignedTunnelID != 0x12345678 {
		t.Errorf("%+v", e)
	}
}

// "Reserved bits MUST be set to 0 when sending and ignored upon receipt."
func TestCircuitStatusReserved(t *testing.T) {
	m, err := ParseMessage(Version3, octets(t, strings.Replace(icrp3, "0047 0001", "0047 ff81", 1)), nil)
	if err != nil || m.(*ICRP).CircuitStatus != CircuitActive {
		t.Errorf("%+v, %v", m, err)
	}
	b, err := AppendMessage(nil, &ICRP{AssignedSessionID: 1, Session3: Session3{CircuitStatus: 0xff81}}, AppendOptions{Version: Version3})
	if err != nil || b[len(b)-2] != 0 || b[len(b)-1] != 1 {
		t.Errorf("%x, %v", b, err)
	}
}

// The figure of the Circuit Errors AVP has four counters.
func TestCircuitErrorsOfTheFigure(t *testing.T) {
	m, err := ParseMessage(Version3, octets(t, `8008 0000 0000 000f 800a 0000 003f 00000001 800a 0000 0040 00000002
		0018 0000 0022 0000 00000003 00000004 00000005 00000006`), nil)
	want := &WEN{AssignedSessionID: 1, RemoteSessionID: 2, CallErrors: CallErrors{
		HardwareOverruns: 3, BufferOverruns: 4, TimeoutErrors: 5, AlignmentErrors: 6,
	}}
	if err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("%+v, %v", m, err)
	}
	// Version 2 has the six of its own alone.
	if _, err := ParseMessage(Version, octets(t, "8008 0000 0000 000f 8018 0000 0022 0000 00000003 00000004 00000005 00000006"), nil); !errors.Is(err, ErrAVPLength) {
		t.Error(err)
	}
}

// offer is an SCCRQ as section 4.7.3 wants it: "with its Ver field set to 2 (for
// L2TPv2), and ensuring that any L2TPv3-specific AVPs [...] in the message are sent with
// each M bit set to 0, and that all L2TPv2 AVPs are present as they would be for L2TPv2."
const offer = `
	8008 0000 0000 0001
	8008 0000 0002 0100
	8009 0000 0007 6c6163
	800a 0000 0003 00000003
	8008 0000 0009 1234
	8008 0000 000a 0008
	000a 0000 003c 0a000001
	0008 0000 0049 abcd
	000a 0000 003d 12345678
	000a 0000 003e 0005 0007`

func TestOffer(t *testing.T) {
	want := &SCCRQ{
		ProtocolVersion: ProtocolVersion1, HostName: "lac", FramingCapabilities: FramingSync | FramingAsync, AssignedTunnelID: 0x1234,
		ReceiveWindowSize: 8, RouterID: 0x0a000001, Nonce: []byte{0xab, 0xcd}, ControlConnectionID: 0x12345678,
		Pseudowires: []PseudowireType{PseudowireEthernet, PseudowirePPP},
	}
	testSamplesVersion(t, Version, []sample{{"SCCRQ of both versions", offer, want}})
	if !want.OffersV3() {
		t.Error("it does not offer version 3")
	}
	// With a digest, which version 2 ignores too.
	b, err := AppendMessage(nil, want, AppendOptions{Digests: []DigestType{DigestMD5}})
	if err != nil {
		t.Fatal(err)
	}
	if wantB := octets(t, "8008 0000 0000 0001 0017 0000 003b 00"+noMD5); string(b[:len(wantB)]) != string(wantB) {
		t.Errorf("%x", b)
	}
	packet := AppendControl(nil, 0, 0, 0, 0, b)
	if err := Sign(packet, [][]byte{SharedKey(secret)}, want.Nonce, nil); err != nil {
		t.Fatal(err)
	}
	if err := Verify(packet, [][]byte{SharedKey(secret)}, nil, want.Nonce); err != nil {
		t.Error(err)
	}
	if nonce, ok := FindNonce(b); !ok || string(nonce) != "\xab\xcd" {
		t.Errorf("nonce %x", nonce)
	}
	m, err := ParseMessage(Version, packet[ControlHeaderLen:], nil)
	if err != nil || cmp.Diff(want, m) != "" {
		t.Errorf("%v: %s", err, cmp.Diff(want, m))
	}
	// A part of what is needed is no offer.
	for _, part := range []string{"000a 0000 003c 0a000001", "000a 0000 003d 12345678", "000a 0000 003e 0005 0007"} {
		m, err := ParseMessage(Version, octets(t, strings.Replace(offer, part, "", 1)), nil)
		if err != nil || m.(*SCCRQ).OffersV3() || m.(*SCCRQ).Nonce != nil {
			t.Errorf("without %s: %+v, %v", part, m, err)
		}
	}
	m, err = ParseMessage(Version, octets(t, strings.Replace(offer, "12345678", "00000000", 1)), nil)
	if err != nil || m.(*SCCRQ).OffersV3() {
		t.Errorf("Control Connection ID 0: %+v, %v", m, err)
	}
	// With the M bit the peer does not want to be understood by version 2.
	_, err = ParseMessage(Version, octets(t, strings.Replace(offer, "000a 0000 003d", "800a 0000 003d", 1)), nil)
	if !errors.Is(err, ErrUnknownMandatory) {
		t.Errorf("M set: %v", err)
	}
}

// Version 2 knows no AVP of version 3 elsewhere, and no ACK.
func TestVersion2Keeps(t *testing.T) {
	m, err := ParseMessage(Version, octets(t, goodICRP+"000a 0000 003f 00000001"), nil)
	if err != nil || len(m.Rest().Extra) != 1 || m.Rest().Extra[0].Type != AVPLocalSessionID {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := ParseMessage(Version, octets(t, typeAVP(TypeACK)), nil); !errors.Is(err, ErrUnknownMessage) {
		t.Error(err)
	}
	if _, err := AppendMessage(nil, &ACK{}, AppendOptions{}); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	// A message with the fields of both is written with those of its version.
	scccn := &SCCCN{ChallengeResponse: make([]byte, 16)}
	if b, err := AppendMessage(nil, scccn, AppendOptions{Version: Version3}); err != nil || len(b) != 8 {
		t.Errorf("%x, %v", b, err)
	}
	icrp := &ICRP{AssignedSessionID: 0x0102, RemoteSessionID: 5, Session3: Session3{Cookie: []byte{1, 2, 3, 4}, CircuitStatus: CircuitActive}}
	if b, err := AppendMessage(nil, icrp, AppendOptions{}); err != nil || string(b) != string(octets(t, typeAVP(TypeICRP)+"8008 0000 000e 0102")) {
		t.Errorf("%x, %v", b, err)
	}
	// A speed that version 2 has no room for.
	b, err := AppendMessage(nil, &OCCN{TxConnectSpeed: 10_000_000_000, RxConnectSpeed: 1 << 40}, AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ParseMessage(Version, b, nil); err != nil || m.(*OCCN).TxConnectSpeed != 0xffffffff || m.(*OCCN).RxConnectSpeed != 0xffffffff {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestAppendErrors3(t *testing.T) {
	for _, test := range []struct {
		name string
		m    Message
		want error
	}{
		{"no host name", &SCCRQ{AssignedTunnelID: 1, Pseudowires: []PseudowireType{5}}, ErrValueMissing},
		{"no ID", &SCCRQ{HostName: "a", Pseudowires: []PseudowireType{5}}, ErrValueMissing},
		{"no pseudowires", &SCCRP{HostName: "a", AssignedTunnelID: 1}, ErrValueMissing},
		{"too many pseudowires", &SCCRP{HostName: "a", AssignedTunnelID: 1, Pseudowires: make([]PseudowireType, 509)}, ErrValueTooLong},
		{"no session ID", &ICRP{}, ErrValueMissing},
		{"no session ID in SLI", &SLI{}, ErrValueMissing},
		{"cookie of 3 octets", &ICRP{AssignedSessionID: 1, Session3: Session3{Cookie: []byte{1, 2, 3}}}, ErrValueTooLong},
		{"Remote End ID too long", &ICRQ{AssignedSessionID: 1, Request3: Request3{RemoteEndID: make([]byte, 1018)}}, ErrValueTooLong},
	} {
		b, err := AppendMessage([]byte{9}, test.m, AppendOptions{Version: Version3})
		if !errors.Is(err, test.want) || len(b) != 1 {
			t.Errorf("%s: %x, %v; want %v", test.name, b, err, test.want)
		}
	}
}

// hidden3 was made by a program of a few lines of Python from the formulas of RFC 3931
// section 5.3, with padding of 10, 0 and 3 octets and the key HMAC_MD5 ("sesame", 1).
const hidden3 = "8008 0000 0000 000a" + testVector + `
	c016 0000 003f 72b214c34ce6bf86fcff3f4b849f7806
	c00c 0000 0040 4172c995c740
	000a 0000 000f 00000001 8008 0000 0044 0005
	c028 0000 0042 e65cc9df9e32bbe90e1dcdf205a223a7cb69e9c4edb81dc337daab7f7138e647d295
	8008 0000 0047 0003`

func TestHidden3FromElsewhere(t *testing.T) {
	m, err := ParseMessage(Version3, octets(t, hidden3), secret)
	want := &ICRQ{
		AssignedSessionID: 0x7788aabb, CallSerialNumber: 1,
		Request3: Request3{PseudowireType: PseudowireEthernet, RemoteEndID: []byte("circuit-0123456789-0123456789")},
		Session3: Session3{CircuitStatus: CircuitActive | CircuitNew},
	}
	if err != nil || cmp.Diff(want, m) != "" {
		t.Errorf("%v: %s", err, cmp.Diff(want, m))
	}
}

// Every message of version 3, hidden as far as it may be, comes out as it went in; with
// the secret itself in the place of the key it does not.
func TestHideAll3(t *testing.T) {
	for _, s := range samples3 {
		b, err := AppendMessage(nil, s.msg, AppendOptions{Version: Version3, Hide: true, Secret: secret, Rand: seeded(1)})
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseMessage(Version3, b, secret)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		if diff := cmp.Diff(s.msg, m); diff != "" {
			t.Errorf("%s: %s", s.name, diff)
		}
		hidden := false
		for rest := b; len(rest) > 0; {
			var a rawAVP
			a, rest, _ = nextAVP(rest)
			if info := lookupAVP3(a.Type); a.Vendor == 0 && a.Hidden != info.MayHide {
				t.Errorf("%s: %s hidden: %v", s.name, info.Name, a.Hidden)
			}
			hidden = hidden || a.Hidden && a.Mandatory
		}
		if _, err := ParseMessage(Version3, b, nil); hidden != errors.Is(err, ErrHiddenNoSecret) {
			t.Errorf("%s: without a secret: %v", s.name, err)
		}
	}
	if _, err := AppendMessage(nil, &HELLO{}, AppendOptions{Version: Version3, Hide: true, Secret: secret, Rand: io.MultiReader()}); err != nil {
		t.Errorf("nothing to hide, and yet %v", err)
	}
}

func TestDescribeVersion(t *testing.T) {
	for _, test := range []struct {
		version uint8
		result  uint16
		in      MessageType
		want    string
	}{
		{Version, 1, TypeCDN, "result 1 (call disconnected due to loss of carrier)"},
		{Version3, 1, TypeCDN, "result 1 (session disconnected due to loss of carrier or circuit disconnect)"},
		{Version3, 13, TypeCDN, "result 13 (session not established due to losing tie breaker)"},
		{Version3, 22, TypeCDN, "result 22 (session not established, OAM cell emulation not supported)"},
		{Version3, 23, TypeCDN, "result 23"},
		{Version3, 6, TypeCDN, "result 6 (invalid destination)"},
		{Version, 13, TypeCDN, "result 13"},
		{Version3, 7, TypeStopCCN, "result 7 (finite state machine error or timeout)"},
		{Version, 7, TypeStopCCN, "result 7 (finite state machine error)"},
		{Version3, 13, TypeStopCCN, "result 13"},
	} {
		if got := (ResultCode{Result: test.result}).DescribeVersion(test.version, test.in); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	for s, want := range map[CircuitStatus]string{
		0: "inactive", CircuitActive: "active", CircuitActive | CircuitNew: "active, new",
		CircuitReceiveFault | PseudowireStandby: "inactive, circuit receive fault, standby",
	} {
		if s.String() != want {
			t.Errorf("%q, want %q", s.String(), want)
		}
	}
	if got := AVPLocalSessionID.String(); got != "Local Session ID (63)" {
		t.Error(got)
	}
}
