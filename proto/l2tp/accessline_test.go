package l2tp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The octets are from the figures of RFC 5515 section 5, by hand.
var accessSamples = []sample{
	{"ICRQ with an access line", `
		8008 0000 0000 000a
		8008 0000 000e 0001
		800a 0000 000f 00000007
		8007 0000 0016 31
		001c 0de9 0001 4e4f44452061746d20332f303a3130302e333320782e
		0008 0de9 0002 7237
		000e 0de9 0081 00000000 000fa000
		000e 0de9 0082 00000002 540be400
		000e 0de9 0083 00000000 00000001
		000e 0de9 0084 00000000 00000002
		000e 0de9 0085 00000000 00000003
		000e 0de9 0086 00000000 00000004
		000e 0de9 0087 00000000 00000005
		000e 0de9 0088 00000000 00000006
		000e 0de9 0089 00000000 00000007
		000e 0de9 008a 00000000 00000008
		000a 0de9 008b 00000010
		000a 0de9 008c 00000008
		000a 0de9 008d 00000011
		000a 0de9 008e 00000009
		0009 0de9 0090 000106
		000a 0de9 0091 05000000
		000a 0de9 00fe 00000001`,
		&ICRQ{AssignedSessionID: 1, CallSerialNumber: 7, CallingNumber: "1", AccessLine: []AccessLineAVP{
			AccessText(1, "NODE atm 3/0:100.33 x."), AccessText(2, "r7"),
			AccessRate(129, 1_024_000), AccessRate(130, 10_000_000_000),
			AccessRate(131, 1), AccessRate(132, 2), AccessRate(133, 3), AccessRate(134, 4),
			AccessRate(135, 5), AccessRate(136, 6), AccessRate(137, 7), AccessRate(138, 8),
			{139, []byte{0, 0, 0, 16}}, {140, []byte{0, 0, 0, 8}}, {141, []byte{0, 0, 0, 17}}, {142, []byte{0, 0, 0, 9}},
			{144, []byte{0, 1, 6}}, {145, []byte{5, 0, 0, 0}}, {254, []byte{0, 0, 0, 1}},
		}}},
}

// Other AVPs of the vendor are what any vendor's are.
var vendorSamples = []sample{
	{"ICRQ with AVPs that RFC 5515 does not have", `
		8008 0000 0000 000a
		8008 0000 000e 0001
		800a 0000 000f 00000007
		0008 0de9 0002 7237
		000a 0de9 008f 00000001
		0007 0009 0001 61`,
		&ICRQ{AssignedSessionID: 1, CallSerialNumber: 7, AccessLine: []AccessLineAVP{AccessText(2, "r7")},
			Unparsed: Unparsed{Extra: []AVP{
				{Vendor: 3561, Type: 143, Value: []byte{0, 0, 0, 1}}, {Vendor: 9, Type: 1, Value: []byte("a")},
			}}}},
}

func TestAccessLine(t *testing.T) { testSamples(t, append(accessSamples, vendorSamples...)) }

// Table 1 of RFC 5515 and "The Length (before hiding) of this AVP is" of each
// section.
func TestAccessTable(t *testing.T) {
	var got strings.Builder
	for _, info := range accessTable {
		length := fmt.Sprint(avpHeaderLen + info.Max)
		if info.Min != info.Max {
			length = fmt.Sprintf("6+%d..%d", info.Min, info.Max)
		}
		fmt.Fprintf(&got, "%d (0x%02X) %s %s\n", info.Type, uint16(info.Type), info.Name, length)
	}
	const want = `1 (0x01) Agent-Circuit-Id 6+2..63
2 (0x02) Agent-Remote-Id 6+2..63
129 (0x81) Actual-Data-Rate-Upstream 14
130 (0x82) Actual-Data-Rate-Downstream 14
131 (0x83) Minimum-Data-Rate-Upstream 14
132 (0x84) Minimum-Data-Rate-Downstream 14
133 (0x85) Attainable-Data-Rate-Upstream 14
134 (0x86) Attainable-Data-Rate-Downstream 14
135 (0x87) Maximum-Data-Rate-Upstream 14
136 (0x88) Maximum-Data-Rate-Downstream 14
137 (0x89) Minimum-Data-Rate-Upstream-Low-Power 14
138 (0x8A) Minimum-Data-Rate-Downstream-Low-Power 14
139 (0x8B) Maximum-Interleaving-Delay-Upstream 10
140 (0x8C) Actual-Interleaving-Delay-Upstream 10
141 (0x8D) Maximum-Interleaving-Delay-Downstream 10
142 (0x8E) Actual-Interleaving-Delay-Downstream 10
144 (0x90) Access-Loop-Encapsulation 9
145 (0x91) ANCP Access Line Type 10
254 (0xFE) IWF-Session 10
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("table (-RFC +ours):\n%s", diff)
	}
	for _, a := range []AVPType{0, 3, 128, 143, 146, 253, 255, 0xffff} {
		if info := lookupAccess(a); info != nil {
			t.Errorf("type %d is %s", a, info.Name)
		}
	}
}

const goodICRQ = "8008 0000 0000 000a 8008 0000 000e 0001 800a 0000 000f 00000007"

// RFC 2661 section 7.1: "If the M-bit is not set, the AVP should be ignored (with
// the exception of logging a local error message) and the message accepted." With
// it, the session ends.
func TestAccessLineBad(t *testing.T) {
	const good = "0008 0de9 0002 7237"
	text := func(n int) string { return hex.EncodeToString(bytes.Repeat([]byte{'x'}, n)) }
	for _, test := range []struct {
		name, wire string // without the word with the bits and the length
		kind       error
		code       ErrorCode
	}{
		{"text of 0 octets", "0006 0de9 0001", ErrAVPLength, ErrorLength},
		// "MUST be greater than 1 octet and not greater than 63 octets"
		{"text of 1 octet", "0007 0de9 0001 61", ErrAVPLength, ErrorLength},
		{"text of 64 octets", "0046 0de9 0001" + text(64), ErrAVPLength, ErrorLength},
		{"text of 1017 octets", "03ff 0de9 0001" + text(1017), ErrAVPLength, ErrorLength},
		{"rate of 4 octets", "000a 0de9 0081 00000001", ErrAVPLength, ErrorLength},
		{"rate of 9 octets", "000f 0de9 008a 000000000000000001", ErrAVPLength, ErrorLength},
		{"delay of 8 octets", "000e 0de9 008b 0000000000000001", ErrAVPLength, ErrorLength},
		{"encapsulation of 4 octets", "000a 0de9 0090 00000001", ErrAVPLength, ErrorLength},
		{"line type of 1 octet", "0007 0de9 0091 01", ErrAVPLength, ErrorLength},
		{"IWF session of 0 octets", "0006 0de9 00fe", ErrAVPLength, ErrorLength},
		{"another value of a type", "0008 0de9 0002 7238", ErrAVPRepeated, ErrorValue},
		{"hidden, no vector", "4016 0de9 0001 88ecdb71ad372d5302f75a1f687e13b4", ErrHiddenNoVector, ErrorValue},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire := octets(t, goodICRQ+good+test.wire)
			m, err := ParseMessage(Version, wire, secret)
			if err != nil {
				t.Fatal(err)
			}
			icrq := m.(*ICRQ)
			if len(icrq.AccessLine) != 1 || string(icrq.AccessLine[0].Value) != "r7" || icrq.Extra != nil ||
				len(icrq.Ignored) != 1 || !errors.Is(icrq.Ignored[0], test.kind) {
				t.Errorf("%+v", icrq)
			}
			wire[len(octets(t, goodICRQ+good))] |= 0x80
			m, err = ParseMessage(Version, wire, secret)
			if m != nil || !errors.Is(err, test.kind) {
				t.Fatalf("with M: %+v, %v; want %v", m, err, test.kind)
			}
			if e := checkTyped(t, err); e.Scope != ScopeSession || e.Result.Error != test.code || e.AssignedSessionID != 1 || e.Vendor != VendorADSLForum {
				t.Errorf("with M: %+v", e)
			}
		})
	}
}

// An AVP that says the same again, and one in another message than ICRQ, are left
// with a word for the log, whatever their M bit.
func TestAccessLineLeft(t *testing.T) {
	const line = "8008 0de9 0002 7237"
	for wire, want := range map[string]error{
		goodICRQ + line + line: ErrAVPRepeated,
		goodICRP + line:        ErrAVPMisplaced,
	} {
		m, err := ParseMessage(Version, octets(t, wire), nil)
		if err != nil {
			t.Fatal(err)
		}
		if rest := m.Rest(); len(rest.Ignored) != 1 || !errors.Is(rest.Ignored[0], want) || rest.Extra != nil {
			t.Errorf("%+v, want %v", rest, want)
		}
	}
}

// What is kept of an ICRQ is bounded by the RFC's types, not by the sender.
func TestAccessLineBounded(t *testing.T) {
	wire := octets(t, goodICRQ)
	for i := range 4000 {
		wire = append(wire, octets(t, fmt.Sprintf("000a 0de9 %04x %08x", 0x80+i%0x80, i))...)
	}
	m, err := ParseMessage(Version, wire, nil)
	if err != nil {
		t.Fatal(err)
	}
	if icrq := m.(*ICRQ); len(icrq.AccessLine) != 6 || len(icrq.Extra) > maxExtra || len(icrq.Ignored) > maxIgnored {
		t.Errorf("%d AVPs of the line, %d others, %d ignored", len(icrq.AccessLine), len(icrq.Extra), len(icrq.Ignored))
	}
}

// "All the AVPs defined in this document MAY be hidden (the H bit MAY be 0 or 1)."
func TestAccessLineHidden(t *testing.T) {
	want := accessSamples[0].msg.(*ICRQ)
	b, err := AppendMessage(nil, want, AppendOptions{Hide: true, Secret: secret, Rand: zeros{}})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("NODE")) || bytes.Contains(b, []byte("r7")) {
		t.Error("written in the clear")
	}
	hidden := 0
	for rest := b; len(rest) > 0; {
		var a rawAVP
		a, rest, _ = nextAVP(rest)
		if a.Vendor == VendorADSLForum && a.Hidden && !a.Mandatory {
			hidden++
		}
	}
	if hidden != len(accessTable) {
		t.Errorf("%d are hidden without the M bit, of %d", hidden, len(accessTable))
	}
	m, err := ParseMessage(Version, b, secret)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	// Without the secret the call comes in all the same, had the others been clear.
	clear := octets(t, goodICRQ+"4016 0de9 0001 88ecdb71ad372d5302f75a1f687e13b4")
	m, err = ParseMessage(Version, clear, nil)
	if err != nil || m.(*ICRQ).AccessLine != nil || !errors.Is(m.Rest().Ignored[0], ErrHiddenNoSecret) {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestAppendAccessLineErrors(t *testing.T) {
	for _, test := range []struct {
		avp  AccessLineAVP
		want error
	}{
		{AccessText(AccessAgentCircuitID, "x"), ErrValueMissing},
		{AccessText(AccessAgentRemoteID, strings.Repeat("x", 64)), ErrValueTooLong},
		{AccessLineAVP{AccessActualDataRateUpstream, make([]byte, 4)}, ErrValueMissing},
		{AccessLineAVP{AccessIWFSession, make([]byte, 8)}, ErrValueTooLong},
		{AccessLineAVP{143, make([]byte, 4)}, ErrValueTooLong},
	} {
		b, err := AppendMessage([]byte{1}, &ICRQ{AssignedSessionID: 1, AccessLine: []AccessLineAVP{test.avp}}, AppendOptions{})
		if !errors.Is(err, test.want) || !bytes.Equal(b, []byte{1}) {
			t.Errorf("%v: %x, %v; want %v", test.avp, b, err, test.want)
		}
	}
}

// The message keeps nothing of the packet, nor a copy of what it was copied from.
func TestAccessLineIsCopied(t *testing.T) {
	wire := octets(t, goodICRQ+"0008 0de9 0002 7237")
	m, err := ParseMessage(Version, wire, nil)
	if err != nil {
		t.Fatal(err)
	}
	line := m.(*ICRQ).AccessLine
	clone := CloneAccess(line)
	clear(wire)
	if string(line[0].Value) != "r7" {
		t.Errorf("%v changed with the packet", line)
	}
	line[0].Value[0] = 'x'
	if !slices.EqualFunc(clone, []AccessLineAVP{AccessText(2, "r7")}, func(a, b AccessLineAVP) bool { return a.String() == b.String() }) {
		t.Errorf("%v changed with what it was copied from", clone)
	}
	if CloneAccess(nil) != nil {
		t.Error("nothing became something")
	}
}
