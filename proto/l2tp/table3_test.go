package l2tp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The headings of RFC 3931 sections 5.4.1 to 5.4.5 in the order of their types, with the
// messages they name (sections 6.1 to 6.15), what the M bit SHOULD be, whether it may be
// hidden, and the Length of the AVP ("6+" for 6 plus the length of something). Of
// Circuit Errors the figure and the text contradict each other: 24 and 32.
const rfcAVPs3 = `
0 Message Type|all|M|clear|8
1 Result Code|CDN, StopCCN|M|clear|8+
5 Tie Breaker|SCCRQ, ICRQ, OCRQ|M|clear|14
7 Host Name|SCCRP, SCCRQ|M|clear|7+
8 Vendor Name|SCCRP, SCCRQ|-|hide|6+
10 Receive Window Size|SCCRQ, SCCRP|M|clear|8
15 Serial Number|ICRQ, OCRQ|-|hide|10
25 Physical Channel ID|ICRQ, ICRP, OCRP|-|hide|10
34 Circuit Errors|WEN|-|hide|24-32
36 Random Vector|all|M|clear|6+
59 Message Digest|all|M|clear|7+
60 Router ID|SCCRQ, SCCRP|M|clear|10
61 Assigned Control Connection ID|SCCRQ, SCCRP, StopCCN|M|hide|10
62 Pseudowire Capabilities List|SCCRQ, SCCRP|M|hide|8+
63 Local Session ID|ICRQ, ICRP, ICCN, OCRQ, OCRP, OCCN, CDN, WEN, SLI|M|hide|10
64 Remote Session ID|ICRQ, ICRP, ICCN, OCRQ, OCRP, OCCN, CDN, WEN, SLI|M|hide|10
65 Assigned Cookie|ICRQ, ICRP, OCRQ, OCRP|M|hide|6-14
66 Remote End ID|ICRQ, OCRQ|M|hide|6+
68 Pseudowire Type|ICRQ, OCRQ|M|hide|8
69 L2-Specific Sublayer|ICRQ, ICRP, ICCN, OCRQ, OCRP, OCCN|M|hide|8
70 Data Sequencing|ICRQ, ICRP, ICCN, OCRQ, OCRP, OCCN|M|hide|8
71 Circuit Status|ICRQ, ICRP, ICCN, OCRQ, OCRP, OCCN, SLI|M|hide|8
72 Preferred Language|SCCRQ, SCCRP|-|hide|6+
73 Control Message Authentication Nonce|SCCRQ, SCCRP|M|clear|7+
74 Tx Connect Speed|ICRQ, ICRP, ICCN, OCRQ, OCRP, OCCN|-|hide|14
75 Rx Connect Speed|ICRQ, ICRP, ICCN, OCRQ, OCRP, OCCN|-|hide|14
`

func TestTable3AgainstRFC(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(rfcAVPs3), "\n")
	for _, info := range avpTable3 {
		if info.RFC != 3931 || !info.Supported || info.Type == AVPApplicationID {
			if info.Mandatory && info.Supported || info.Required != 0 {
				t.Errorf("%s is not of RFC 3931, and a peer need not know it: %+v", info.Name, info)
			}
			continue
		}
		if len(lines) == 0 {
			t.Fatalf("%s is not in the RFC", info.Name)
		}
		line := lines[0]
		lines = lines[1:]
		var messages []string
		for m := range MessageType(32) {
			if info.Allowed.Has(m) {
				messages = append(messages, m.String())
			}
		}
		part := strings.Split(line, "|")
		want := strings.Split(part[1], ", ")
		slices.Sort(want)
		slices.Sort(messages)
		if part[1] == "all" {
			want = messages
			if len(want) != 15 {
				t.Errorf("%s: in %d messages", info.Name, len(want))
			}
		}
		got := fmt.Sprintf("%d %s|%s|%s|%s|%d", info.Type, info.Name, part[1],
			map[bool]string{true: "M", false: "-"}[info.Mandatory],
			map[bool]string{true: "hide", false: "clear"}[info.MayHide], avpHeaderLen+info.Min)
		if info.Max == maxValueLen {
			got += "+"
		} else if info.Max != info.Min {
			got += fmt.Sprintf("-%d", avpHeaderLen+info.Max)
		}
		if got != line || !slices.Equal(messages, want) {
			t.Errorf("table %s %v\nRFC   %s", got, messages, line)
		}
	}
	if len(lines) != 0 {
		t.Errorf("missing: %q", lines)
	}
}

// RFC 3931 sections 6.1 to 6.15: "The following AVPs MUST be present".
func TestTable3Required(t *testing.T) {
	for m, want := range map[MessageType][]AVPType{
		TypeSCCRQ:   {0, 7, 60, 61, 62},
		TypeSCCRP:   {0, 7, 60, 61, 62},
		TypeSCCCN:   {0},
		TypeStopCCN: {0, 1},
		TypeHELLO:   {0},
		TypeICRQ:    {0, 15, 63, 64, 66, 68, 71},
		TypeICRP:    {0, 63, 64, 71},
		TypeICCN:    {0, 63, 64},
		TypeOCRQ:    {0, 15, 63, 64, 66, 68, 71},
		TypeOCRP:    {0, 63, 64, 71},
		TypeOCCN:    {0, 63, 64},
		TypeCDN:     {0, 1, 63, 64},
		TypeWEN:     {0, 34, 63, 64},
		TypeSLI:     {0, 63, 64},
		TypeACK:     {0},
	} {
		var got []AVPType
		for _, info := range avpTable3 {
			if info.Required.Has(m) {
				got = append(got, info.Type)
				if !info.Allowed.Has(m) {
					t.Errorf("%s is required in %s and not allowed", info.Name, m)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s requires %v, want %v", m, got, want)
		}
	}
}

// Each AVP that a message must have, taken away; a CDN does without its IDs.
func TestMissing3(t *testing.T) {
	tried := 0
	for _, s := range samples3 {
		wire := octets(t, s.hex)
		for pos := 8; pos < len(wire); {
			a, rest, _ := nextAVP(wire[pos:])
			next := len(wire) - len(rest)
			b := append(append([]byte{}, wire[:pos]...), wire[next:]...)
			pos = next
			m, err := ParseMessage(Version3, b, nil)
			required := a.Vendor == 0 && lookupAVP3(a.Type).Required.Has(s.msg.Type())
			if required && s.msg.Type() == TypeCDN && a.Type != AVPResultCode {
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
	if tried < 50 {
		t.Errorf("only %d AVPs tried", tried)
	}
}

func TestTable3Kinds(t *testing.T) {
	size := map[kind]int{kindNone: 0, kindUint16: 2, kindUint32: 4, kindUint64: 8}
	last := -1
	for _, info := range avpTable3 {
		if int(info.Type) <= last {
			t.Errorf("%s is out of order", info.Name)
		}
		last = int(info.Type)
		if n, ok := size[info.Kind]; ok && (info.Min != n || info.Max != n) {
			t.Errorf("%s is %s and has %d to %d octets", info.Name, info.Kind, info.Min, info.Max)
		}
		if lookupAVP3(info.Type).Name != info.Name {
			t.Errorf("%s is not found", info.Name)
		}
		if info.Supported && int(info.Type) >= len(values{}.raw) {
			t.Errorf("%s has no place in values", info.Name)
		}
	}
	for _, a := range []AVPType{2, 9, 14, 20, 24, 38, 39, 104, 0xffff} {
		if info := lookupAVP3(a); info != nil {
			t.Errorf("AVP %d found: %s", a, info.Name)
		}
	}
}
