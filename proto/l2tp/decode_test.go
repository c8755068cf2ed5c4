package l2tp

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"adit/internal/simnet"
)

const (
	goodHELLO = "8008 0000 0000 0006"
	goodICRP  = "8008 0000 0000 000b 8008 0000 000e 0102"
	goodSCCRQ = "8008 0000 0000 0001 8008 0000 0002 0100 8007 0000 0007 61 800a 0000 0003 00000000 8008 0000 0009 0102"
)

// Each way in which a message can be bad, and how far it reaches.
func TestParseMessageErrors(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		kind       error
		scope      Scope
		code       ErrorCode
		avp        AVPType
	}{
		{"ZLB", "", ErrEmpty, ScopeMessage, 0, 0},

		// "The Message Type AVP MUST be the first AVP in a message".
		{"Host Name first", "8007 0000 0007 61" + goodHELLO, ErrNoMessageType, ScopeTunnel, ErrorValue, AVPHostName},
		{"vendor's type 0 first", "8008 0009 0000 0006", ErrNoMessageType, ScopeTunnel, ErrorValue, 0},
		{"Message Type of 1 octet", "8007 0000 0000 06", ErrNoMessageType, ScopeTunnel, ErrorLength, 0},
		{"Message Type of 3 octets", "8009 0000 0000 000600", ErrNoMessageType, ScopeTunnel, ErrorLength, 0},
		// "This AVP may not be hidden (the H-bit MUST be 0)."
		{"Message Type hidden", "c008 0000 0000 0006", ErrNoMessageType, ScopeTunnel, ErrorValue, 0},
		{"Message Type with reserved bit", "a008 0000 0000 0006", ErrNoMessageType, ScopeTunnel, ErrorValue, 0},

		// "if the M-bit is set within the Message Type AVP and the Message Type
		// is unknown to the implementation, the tunnel MUST be cleared."
		{"unknown message, M", "8008 0000 0000 0011", ErrUnknownMessage, ScopeTunnel, ErrorValue, 0},
		{"reserved message 13, M", "8008 0000 0000 000d", ErrUnknownMessage, ScopeTunnel, ErrorValue, 0},
		// "If the M-bit is not set, then the implementation may ignore an
		// unknown message type."
		{"unknown message, no M", "0008 0000 0000 0011", ErrUnknownMessage, ScopeMessage, 0, 0},
		{"largest message, no M", "0008 0000 0000 ffff", ErrUnknownMessage, ScopeMessage, 0, 0},

		// "The minimum Length of an AVP is 6."
		{"AVP Length 5", goodHELLO + "0005 0000 0008", ErrFraming, ScopeTunnel, ErrorLength, 0},
		{"AVP Length 0", goodHELLO + "0000 0000 0008", ErrFraming, ScopeTunnel, ErrorLength, 0},
		{"AVP past the end", goodHELLO + "0008 0000 0008 61", ErrFraming, ScopeTunnel, ErrorLength, 0},
		{"AVP past the end, session", goodICRP + "03ff 0000 0008 61", ErrFraming, ScopeSession, ErrorLength, 0},
		{"octets behind the last AVP", goodICRP + "00", ErrFraming, ScopeSession, ErrorLength, 0},
		{"first AVP too short", "8005 0000 0000 0006", ErrFraming, ScopeTunnel, ErrorLength, 0},

		// "If the M bit is set on an unrecognized AVP within a message
		// associated with a particular session, the session associated with this
		// message MUST be terminated."
		{"unknown AVP, M, session", goodICRP + "8006 0000 0063", ErrUnknownMandatory, ScopeSession, ErrorUnknownMandatoryAVP, 99},
		// "If the M bit is set on an unrecognized AVP within a message
		// associated with the overall tunnel, the entire tunnel (and all
		// sessions within) MUST be terminated."
		{"unknown AVP, M, tunnel", goodSCCRQ + "8006 0000 0063", ErrUnknownMandatory, ScopeTunnel, ErrorUnknownMandatoryAVP, 99},
		{"vendor AVP, M", goodSCCRQ + "8006 0009 0001", ErrUnknownMandatory, ScopeTunnel, ErrorUnknownMandatoryAVP, 1},
		{"AVP 20, M", goodICRP + "8006 0000 0014", ErrUnknownMandatory, ScopeSession, ErrorUnknownMandatoryAVP, 20},
		{"largest AVP, M", goodICRP + "8006 0000 ffff", ErrUnknownMandatory, ScopeSession, ErrorUnknownMandatoryAVP, 0xffff},
		// What the table only names is not recognised: Tunnel Recovery.
		{"extension, M", goodSCCRQ + "800c 0000 004d 000000010002", ErrUnknownMandatory, ScopeTunnel, ErrorUnknownMandatoryAVP, AVPTunnelRecovery},
		// "An AVP received with a reserved bit set to 1 MUST be treated as an
		// unrecognized AVP."
		{"reserved bit, M", goodSCCRQ + "9008 0000 000a 0004", ErrUnknownMandatory, ScopeTunnel, ErrorUnknownMandatoryAVP, AVPReceiveWindowSize},
		// Unhiding is not tried: it might need a secret, and would not help.
		{"hidden unknown AVP, M", goodICRP + "c006 0000 0063", ErrUnknownMandatory, ScopeSession, ErrorUnknownMandatoryAVP, 99},

		// "if a malformed AVP is received with the M-bit set, the session or
		// tunnel should be terminated with a proper Result or Error Code sent"
		{"window of 3 octets", goodSCCRQ + "8009 0000 000a 000400", ErrAVPLength, ScopeTunnel, ErrorLength, AVPReceiveWindowSize},
		{"empty challenge", goodSCCRQ + "8006 0000 000b", ErrAVPLength, ScopeTunnel, ErrorLength, AVPChallenge},
		{"half an Error Code", "8008 0000 0000 000e 8009 0000 0001 000100 8008 0000 000e 0001", ErrAVPLength, ScopeSession, ErrorLength, AVPResultCode},
		{"contradicting repetition", goodSCCRQ + "8008 0000 0009 0103", ErrAVPRepeated, ScopeTunnel, ErrorValue, AVPAssignedTunnelID},
		{"second Message Type", goodHELLO + "8008 0000 0000 0006 8008 0000 0000 0001", ErrAVPRepeated, ScopeTunnel, ErrorValue, 0},

		// "a message that is missing a required AVP"
		{"no session ID", "8008 0000 0000 000b", ErrMissingAVP, ScopeSession, ErrorValue, AVPAssignedSessionID},
		// Without M a malformed AVP is as if absent, and here that is too much.
		{"session ID of 4 octets, no M", "8008 0000 0000 000b 000a 0000 000e 00000001", ErrMissingAVP, ScopeSession, ErrorValue, AVPAssignedSessionID},
		{"session ID with reserved bit, no M", "8008 0000 0000 000b 0408 0000 000e 0001", ErrMissingAVP, ScopeSession, ErrorValue, AVPAssignedSessionID},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseMessage(Version, octets(t, test.wire), secret)
			if m != nil || !errors.Is(err, test.kind) {
				t.Fatalf("%+v, %v; want %v", m, err, test.kind)
			}
			e := checkTyped(t, err)
			if e.Scope != test.scope || e.Result.Error != test.code || e.AVP != test.avp {
				t.Errorf("scope %s, %v, %s; want %s, error %d, %s", e.Scope, e.Result, e.AVP, test.scope, test.code, test.avp)
			}
		})
	}
}

// "The Error Message SHOULD contain the attribute of the offending AVP in
// (human readable) text form."
func TestUnknownMandatoryText(t *testing.T) {
	for wire, want := range map[string]string{
		"8006 0000 0063":              "AVP 99: unknown AVP with the M bit set",
		"8006 0009 0001":              "AVP 1 of vendor 9: unknown AVP with the M bit set",
		"800c 0000 004d 000000010002": "Tunnel Recovery (77): unknown AVP with the M bit set",
	} {
		_, err := ParseMessage(Version, octets(t, goodSCCRQ+wire), nil)
		if e := checkTyped(t, err); e.Result.Message != want || e.Error() != "l2tp: SCCRQ: "+want {
			t.Errorf("%q, %q; want %q", e.Result.Message, e.Error(), want)
		}
	}
}

// The answer to a request that cannot be used goes to the ID it assigned, also
// if that comes behind the fault.
func TestErrorIDs(t *testing.T) {
	const bad = "8006 0000 0063"
	for _, test := range []struct {
		wire            string
		tunnel, session uint32
	}{
		{goodSCCRQ + bad, 0x0102, 0},
		{typeAVP(TypeSCCRQ) + bad + "8008 0000 0009 0102", 0x0102, 0},
		{typeAVP(TypeSCCRQ) + "8008 0000 0009 0102", 0x0102, 0}, // others missing
		{typeAVP(TypeICRQ) + bad + "8008 0000 000e 0304", 0, 0x0304},
		{typeAVP(TypeICRQ) + bad, 0, 0},
	} {
		_, err := ParseMessage(Version, octets(t, test.wire), nil)
		if e := checkTyped(t, err); e.AssignedTunnelID != test.tunnel || e.AssignedSessionID != test.session {
			t.Errorf("%v: %d, %d; want %d, %d", e, e.AssignedTunnelID, e.AssignedSessionID, test.tunnel, test.session)
		}
	}
}

// What must not harm: the message is used, the AVP is not.
func TestIgnored(t *testing.T) {
	for _, test := range []struct {
		name, avp string
		kind      error // nil: nothing to report
		extra     []AVP
	}{
		// "If the M bit is not set, an unrecognized AVP MUST be ignored."
		{"unknown", "0008 0000 0063 0001", nil, []AVP{{Type: 99, Value: []byte{0, 1}}}},
		{"vendor's", "0007 0009 000e 61", nil, []AVP{{Vendor: 9, Type: 14, Value: []byte("a")}}},
		{"vendor's, empty", "0006 0009 000e", nil, []AVP{{Vendor: 9, Type: 14, Value: []byte{}}}},
		{"extension", "0006 0000 0067", nil, []AVP{{Type: AVPECNCapability, Value: []byte{}}}},
		{"reserved bit", "0408 0000 0063 0001", ErrUnknownAVP, nil},
		{"known with reserved bit", "2008 0000 000e 0009", ErrUnknownAVP, nil},
		{"malformed", "0007 0000 000e 01", ErrAVPLength, nil},
		{"misplaced", "0008 0000 0006 0100", ErrAVPMisplaced, nil},
		{"hidden, no vector", "4008 0000 0063 0001", ErrHiddenNoVector, nil},
		{"repetition that says the same", "8008 0000 000e 0102", ErrAVPRepeated, nil},
		{"contradicting repetition, no M", "0008 0000 000e 0103", ErrAVPRepeated, nil},
		{"misplaced, M", "8007 0000 000b 61", ErrAVPMisplaced, nil},
		{"random vector for nothing", "8006 0000 0024", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseMessage(Version, octets(t, goodICRP+test.avp), secret)
			if err != nil {
				t.Fatal(err)
			}
			icrp := m.(*ICRP)
			if icrp.AssignedSessionID != 0x0102 {
				t.Errorf("session ID %#x", icrp.AssignedSessionID)
			}
			if diff := cmp.Diff(test.extra, icrp.Extra); diff != "" {
				t.Error(diff)
			}
			switch {
			case test.kind == nil && len(icrp.Ignored) == 0:
			case test.kind != nil && len(icrp.Ignored) == 1 && errors.Is(icrp.Ignored[0], test.kind):
				checkTyped(t, icrp.Ignored[0])
			default:
				t.Errorf("ignored %v, want %v", icrp.Ignored, test.kind)
			}
		})
	}
}

// The unknown AVP is stepped over by its own length, wherever it stands.
func TestUnknownAVPAnywhere(t *testing.T) {
	unknown := octets(t, "0009 0000 0063 8008 00")
	for _, s := range samples() {
		wire := octets(t, s.hex)
		for pos := 8; pos <= len(wire); {
			b := append(append(append([]byte{}, wire[:pos]...), unknown...), wire[pos:]...)
			m, err := ParseMessage(Version, b, nil)
			if err != nil {
				t.Fatalf("%s, at %d: %v", s.name, pos, err)
			}
			if a, ok := extraAVP(m.Rest(), 0, 99); !ok || !bytes.Equal(a.Value, unknown[6:]) {
				t.Fatalf("%s, at %d: extra %v", s.name, pos, m.Rest().Extra)
			}
			*m.Rest() = Unparsed{}
			if diff := cmp.Diff(s.msg, m); diff != "" {
				t.Fatalf("%s, at %d: %s", s.name, pos, diff)
			}
			if pos == len(wire) {
				break
			}
			_, rest, _ := nextAVP(wire[pos:])
			pos = len(wire) - len(rest)
		}
	}
}

// The M bit as the RFC has it or not, a message of known AVPs reads the same.
func TestWrongMBits(t *testing.T) {
	for _, s := range samples() {
		for _, set := range []bool{false, true} {
			wire := octets(t, s.hex)
			for rest := wire; len(rest) > 0; {
				rest[0] &^= 0x80
				if set {
					rest[0] |= 0x80
				}
				_, rest, _ = nextAVP(rest)
			}
			m, err := ParseMessage(Version, wire, nil)
			if err != nil {
				t.Fatalf("%s, M %v: %v", s.name, set, err)
			}
			if diff := cmp.Diff(s.msg, m); diff != "" {
				t.Errorf("%s, M %v: %s", s.name, set, diff)
			}
		}
	}
}

// isGoodbyeID names the two AVPs that a message must have and that we do without:
// what a StopCCN or CDN says about the reason is worth more than the ID of what
// its header may name already.
func isGoodbyeID(m MessageType, t AVPType) bool {
	return m == TypeStopCCN && t == AVPAssignedTunnelID || m == TypeCDN && t == AVPAssignedSessionID
}

// Each AVP that a message must have, taken away.
func TestMissing(t *testing.T) {
	tried := 0
	for _, s := range samples() {
		wire := octets(t, s.hex)
		for pos := 8; pos < len(wire); {
			a, rest, _ := nextAVP(wire[pos:])
			next := len(wire) - len(rest)
			b := append(append([]byte{}, wire[:pos]...), wire[next:]...)
			pos = next
			m, err := ParseMessage(Version, b, nil)
			required := a.Vendor == 0 && lookupAVP(a.Type).Required.Has(s.msg.Type())
			if required && isGoodbyeID(s.msg.Type(), a.Type) {
				if m == nil || len(m.Rest().Ignored) != 1 || !errors.Is(m.Rest().Ignored[0], ErrMissingAVP) {
					t.Errorf("%s without %s: %+v, %v", s.name, a.Type, m, err)
				}
				continue
			}
			if required != errors.Is(err, ErrMissingAVP) {
				t.Errorf("%s without %s: %v", s.name, a.Type, err)
			}
			if !required {
				continue
			}
			tried++
			if e := checkTyped(t, err); e.AVP != a.Type || e.Scope == ScopeMessage {
				t.Errorf("%s without %s: %+v", s.name, a.Type, e)
			}
		}
	}
	if tried < 30 {
		t.Errorf("only %d AVPs tried", tried)
	}
}

// Every octet of every message with every value: no panic, typed errors, and
// what is accepted can be written and means the same again.
func TestCorrupted(t *testing.T) {
	longest := map[MessageType]string{0: hiddenICRQ}
	for _, s := range samples() {
		if typ := s.msg.Type(); len(octets(t, s.hex)) > len(octets(t, longest[typ])) {
			longest[typ] = s.hex
		}
	}
	if len(longest) != 15 {
		t.Errorf("%d kinds of message", len(longest))
	}
	for _, hex := range longest {
		wire := octets(t, hex)
		for i := range wire {
			old := wire[i]
			// Every value of every octet, or evenly spread ones.
			n := simnet.Rounds(256)
			for v := range n {
				wire[i] = old + byte(v*256/n)
				checkMessage(t, wire)
			}
			wire[i] = old
		}
	}
}

// checkMessage parses b; if that goes well, it writes and parses the message.
func checkMessage(t testing.TB, b []byte) {
	t.Helper()
	checkMessageVersion(t, Version, b)
}

func checkMessageVersion(t testing.TB, version uint8, b []byte) {
	t.Helper()
	m, err := ParseMessage(version, b, secret)
	if err != nil {
		checkTyped(t, err)
		return
	}
	for _, e := range m.Rest().Ignored {
		if checkTyped(t, e).Scope != ScopeMessage {
			t.Fatalf("%x: ignored, but %s: %v", b, e.Scope, e)
		}
	}
	m.Rest().Ignored = nil
	out, err := AppendMessage(nil, m, AppendOptions{Version: version})
	if errors.Is(err, ErrMessageTooLong) {
		return
	}
	if err != nil {
		t.Fatalf("%x: %+v is not written: %v", b, m, err)
	}
	for i := range m.Rest().Extra {
		m.Rest().Extra[i].Hidden = false // written in the clear
	}
	again, err := ParseMessage(version, out, nil)
	if err != nil {
		t.Fatalf("%x, written %x: %v", b, out, err)
	}
	// A long text is cut when it is written; that is the one thing lost.
	if !reflect.DeepEqual(m, again) && len(b) < maxHiddenLen {
		t.Fatalf("%x, written %x: %s", b, out, cmp.Diff(m, again))
	}
}

// A message of 64 KiB in the smallest AVPs does not make us keep them all.
func TestManyExtra(t *testing.T) {
	for _, avp := range []string{"0006 0009 0001", "0006 0000 0063", "8008 0000 000e 0102"} {
		wire := octets(t, goodICRP+strings.Repeat(avp, 10000))
		m, err := ParseMessage(Version, wire, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(m.Rest().Extra); n > maxExtra {
			t.Errorf("%d extra AVPs kept", n)
		}
		if n := len(m.Rest().Ignored); n > maxIgnored {
			t.Errorf("%d ignored AVPs kept", n)
		}
	}
}

// The caller may use its buffer again.
func TestNothingKept(t *testing.T) {
	for _, s := range samples() {
		wire := octets(t, s.hex+"0008 0009 0001 6162")
		m, err := ParseMessage(Version, wire, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range wire {
			wire[i] = 0xee
		}
		if a, ok := extraAVP(m.Rest(), 9, 1); !ok || string(a.Value) != "ab" {
			t.Errorf("%s: extra AVP %v", s.name, a)
		}
		*m.Rest() = Unparsed{}
		if diff := cmp.Diff(s.msg, m); diff != "" {
			t.Errorf("%s: %s", s.name, diff)
		}
	}
}

func TestPeekPayload(t *testing.T) {
	for _, test := range []struct {
		wire string
		typ  MessageType
		ok   bool
		name string
	}{
		{goodSCCRQ, TypeSCCRQ, true, "a"},
		{goodICRP, TypeICRP, true, ""},
		{"", 0, false, ""},
		{"0008 0000 0000 0011", 17, false, ""},
		{"8008 0000 0009 0001", 0, false, ""},
		{typeAVP(TypeSCCRP) + "8006 0000 0007", TypeSCCRP, true, ""},
		{typeAVP(TypeSCCRP) + "c007 0000 0007 61", TypeSCCRP, true, ""},
		{typeAVP(TypeSCCRP) + "8007 0009 0007 61 8008 0000 0007 6263", TypeSCCRP, true, "bc"},
		{typeAVP(TypeSCCRP) + "8005 0000 0007 61", TypeSCCRP, true, ""},
	} {
		b := octets(t, test.wire)
		if typ, ok := PeekMessageType(b); typ != test.typ || ok != test.ok {
			t.Errorf("%s: %s, %v", test.wire, typ, ok)
		}
		if name, ok := PeekHostName(b); name != test.name || ok != (name != "") {
			t.Errorf("%s: host name %q, %v", test.wire, name, ok)
		}
	}
}

func TestScopeOfEveryMessage(t *testing.T) {
	for n := range MessageType(40) {
		if !n.knownIn(Version) {
			continue
		}
		_, err := ParseMessage(Version, octets(t, typeAVP(n)+"8006 0000 0063"), nil)
		e := checkTyped(t, err)
		want := ScopeTunnel
		if n >= TypeOCRQ {
			want = ScopeSession
		}
		if e.Scope != want || e.Message != n {
			t.Errorf("%s: %s, want %s", n, e.Scope, want)
		}
	}
	if got := fmt.Sprint(ScopeMessage, ScopeSession, ScopeTunnel, Scope(9)); got != "message session tunnel scope 9" {
		t.Error(got)
	}
}
