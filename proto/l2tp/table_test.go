package l2tp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The headings of RFC 2661 sections 4.4.1 to 4.4.6, with the messages they name,
// and for each the M bit, whether it may be hidden, and the Length of the AVP
// ("6+" for 6 plus the length of something).
const rfcAVPs = `
0 Message Type|all|M|clear|8
1 Result Code|CDN, StopCCN|M|clear|8+
2 Protocol Version|SCCRP, SCCRQ|M|clear|8
3 Framing Capabilities|SCCRP, SCCRQ|M|hide|10
4 Bearer Capabilities|SCCRP, SCCRQ|M|hide|10
5 Tie Breaker|SCCRQ|-|clear|14
6 Firmware Revision|SCCRP, SCCRQ|-|hide|8
7 Host Name|SCCRP, SCCRQ|M|clear|7+
8 Vendor Name|SCCRP, SCCRQ|-|hide|6+
9 Assigned Tunnel ID|SCCRP, SCCRQ, StopCCN|M|hide|8
10 Receive Window Size|SCCRQ, SCCRP|M|clear|8
11 Challenge|SCCRP, SCCRQ|M|hide|7+
12 Q.931 Cause Code|CDN|M|clear|9+
13 Challenge Response|SCCCN, SCCRP|M|hide|22
14 Assigned Session ID|CDN, ICRP, ICRQ, OCRP, OCRQ|M|hide|8
15 Call Serial Number|ICRQ, OCRQ|M|hide|10
16 Minimum BPS|OCRQ|M|hide|10
17 Maximum BPS|OCRQ|M|hide|10
18 Bearer Type|ICRQ, OCRQ|M|hide|10
19 Framing Type|ICCN, OCCN, OCRQ|M|hide|10
21 Called Number|ICRQ, OCRQ|M|hide|6+
22 Calling Number|ICRQ|M|hide|6+
23 Sub-Address|ICRQ, OCRQ|M|hide|6+
24 (Tx) Connect Speed|ICCN, OCCN|M|hide|10
25 Physical Channel ID|ICRQ, OCRP|-|hide|10
26 Initial Received LCP CONFREQ|ICCN|-|hide|6+
27 Last Sent LCP CONFREQ|ICCN|-|hide|6+
28 Last Received LCP CONFREQ|ICCN|-|hide|6+
29 Proxy Authen Type|ICCN|-|hide|8
30 Proxy Authen Name|ICCN|-|hide|6+
31 Proxy Authen Challenge|ICCN|-|hide|7+
32 Proxy Authen ID|ICCN|-|hide|8
33 Proxy Authen Response|ICCN|-|hide|6+
34 Call Errors|WEN|M|hide|32
35 ACCM|SLI|M|hide|16
36 Random Vector|all|M|clear|6+
37 Private Group ID|ICCN|-|hide|6+
38 Rx Connect Speed|ICCN, OCCN|-|hide|10
39 Sequencing Required|ICCN, OCCN|M|clear|6
46 PPP Disconnect Cause Code|CDN|-|hide|11+
`

func TestTableAgainstRFC(t *testing.T) {
	table := avpTable
	for _, line := range strings.Split(strings.TrimSpace(rfcAVPs), "\n") {
		info := table[0]
		table = table[1:]
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
			if len(want) != 14 {
				t.Errorf("%s: in %d messages", info.Name, len(want))
			}
		}
		got := fmt.Sprintf("%d %s|%s|%s|%s|%d", info.Type, info.Name, part[1],
			map[bool]string{true: "M", false: "-"}[info.Mandatory],
			map[bool]string{true: "hide", false: "clear"}[info.MayHide], avpHeaderLen+info.Min)
		if info.Max == maxValueLen {
			got += "+"
		} else if info.Max != info.Min {
			t.Errorf("%s: %d to %d octets", info.Name, info.Min, info.Max)
		}
		if got != line || !slices.Equal(messages, want) {
			t.Errorf("table %s %v\nRFC   %s", got, messages, line)
		}
		if !info.Supported {
			t.Errorf("%s is not supported", info.Name)
		}
	}
	for _, info := range table {
		if info.Supported || info.RFC == 2661 || info.Required != 0 {
			t.Errorf("extension %+v", info)
		}
	}
}

// RFC 2661 sections 6.1 to 6.14: "The following AVPs MUST be present".
func TestTableRequired(t *testing.T) {
	for m, want := range map[MessageType][]AVPType{
		TypeSCCRQ:   {0, 2, 3, 7, 9},
		TypeSCCRP:   {0, 2, 3, 7, 9},
		TypeSCCCN:   {0},
		TypeStopCCN: {0, 1, 9},
		TypeHELLO:   {0},
		TypeICRQ:    {0, 14, 15},
		TypeICRP:    {0, 14},
		TypeICCN:    {0, 19, 24},
		TypeOCRQ:    {0, 14, 15, 16, 17, 18, 19, 21},
		TypeOCRP:    {0, 14},
		TypeOCCN:    {0, 19, 24},
		TypeCDN:     {0, 1, 14},
		TypeWEN:     {0, 34},
		TypeSLI:     {0, 35},
	} {
		var got []AVPType
		for _, info := range avpTable {
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

func TestTableKinds(t *testing.T) {
	size := map[kind]int{kindNone: 0, kindUint16: 2, kindUint32: 4, kindUint64: 8}
	for _, info := range avpTable {
		if n, ok := size[info.Kind]; ok && (info.Min != n || info.Max != n) {
			t.Errorf("%s is %s and has %d to %d octets", info.Name, info.Kind, info.Min, info.Max)
		}
		if lookupAVP(info.Type).Name != info.Name {
			t.Errorf("%s is not found", info.Name)
		}
	}
	for _, a := range []AVPType{20, 40, 45, 53, 102, 104, 0xffff} {
		if info := lookupAVP(a); info != nil {
			t.Errorf("AVP %d found: %s", a, info.Name)
		}
	}
	if messageSet(0xffffffff).Has(32) {
		t.Error("set of 32 has 32")
	}
}
