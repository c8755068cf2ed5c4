package ppp

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestParsePacket(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Packet
		ok   bool
	}{
		{"01 07 0004", Packet{ConfigureRequest, 7, nil}, true},
		{"09 02 0008 01020304", Packet{EchoRequest, 2, []byte{1, 2, 3, 4}}, true},
		// "Octets outside the range of the Length field are treated as padding
		// and are ignored on reception."
		{"09 02 0008 01020304 0000", Packet{EchoRequest, 2, []byte{1, 2, 3, 4}}, true},
		// "When a packet is received with an invalid Length field, the packet
		// is silently discarded without affecting the automaton."
		{"01 07 0003", Packet{}, false},
		{"01 07 0005", Packet{}, false},
		{"01 07 ffff 00", Packet{}, false},
		{"01 07 00", Packet{}, false},
		{"", Packet{}, false},
	} {
		got, err := ParsePacket(unhex(t, c.in))
		if got.Code != c.want.Code || got.Identifier != c.want.Identifier || !bytes.Equal(got.Data, c.want.Data) ||
			(err == nil) != c.ok || err != nil && !errors.Is(err, ErrTruncated) {
			t.Errorf("%s: %+v, %v", c.in, got, err)
		}
	}
}

// Configure-Requests of other stacks: see captures.
func TestLinkOptionsOfOtherStacks(t *testing.T) {
	for i, want := range []LinkOptions{
		{MRU: 1500, HasACCM: true, Magic: 0x0e791a59, PFC: true, ACFC: true},
		{MRU: 1500, ACCM: DefaultACCM, Auth: ProtocolPAP, AuthData: []byte{}},
		{MRU: 1500, HasACCM: true, PFC: true, ACFC: true, Auth: ProtocolPAP, AuthData: []byte{}},
		{MRU: 1500, HasACCM: true, Auth: ProtocolCHAP, AuthData: []byte{5}, Magic: 0xb901af08, PFC: true, ACFC: true},
		{MRU: 1500, HasACCM: true, PFC: true, ACFC: true},
		{MRU: 1500, HasACCM: true, ACCM: 0x000a0000, Auth: ProtocolCHAP, AuthData: []byte{0x80},
			Magic: 0x513deb12, PFC: true, ACFC: true},
	} {
		_, info, err := Split(unhex(t, captures[i].frame))
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePacket(info)
		if err != nil {
			t.Fatal(err)
		}
		if captures[i].reject {
			if p.Code != ConfigureReject {
				t.Errorf("%s: %v", captures[i].name, p.Code)
			}
		} else if p.Code != ConfigureRequest {
			t.Errorf("%s: %v", captures[i].name, p.Code)
		}
		if got, err := ParseLinkOptions(p.Data); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, %v\nwant %+v", captures[i].name, got, err, want)
		}
	}
}

func TestLinkOptions(t *testing.T) {
	none, err := ParseLinkOptions(nil)
	if err != nil || none.MRU != DefaultMRU || none.ACCM != DefaultACCM || none.HasACCM {
		t.Errorf("no options: %+v, %v", none, err)
	}
	// Ones that it does not know are passed over: Callback, MRRU.
	l, err := ParseLinkOptions(unhex(t, "0d0306 110405f4 010405d4"))
	if err != nil || l.MRU != 1492 {
		t.Errorf("%+v, %v", l, err)
	}
	for _, bad := range []string{"01", "0100", "0101", "010405", "01030a", "010505dc00", "02050000 00",
		"0303c0", "0505 000000", "070300", "080300", "0502 01"} {
		if l, err := ParseLinkOptions(unhex(t, bad)); !errors.Is(err, ErrOption) {
			t.Errorf("%s: %+v, %v", bad, l, err)
		}
	}
	whole := unhex(t, "010405d4 0206000a0000 0305c22305 050612345678 0702 0802")
	ends := map[int]bool{0: true, 4: true, 10: true, 15: true, 21: true, 23: true, 25: true}
	for n := range len(whole) + 1 {
		if _, err := ParseLinkOptions(whole[:n]); (err == nil) != ends[n] {
			t.Errorf("cut to %d octets: %v", n, err)
		}
	}
}

func TestCodeNames(t *testing.T) {
	seen := map[string]bool{}
	for c := ConfigureRequest; c <= TimeRemaining; c++ {
		if s := c.String(); seen[s] || s == "" || s[:4] == "Code" && c != CodeReject {
			t.Errorf("code %d is called %q", c, s)
		} else {
			seen[s] = true
		}
	}
	for _, c := range []Code{0, 14, 255} {
		if s := c.String(); s[:5] != "Code " {
			t.Error(s)
		}
	}
}

func FuzzLinkOptions(f *testing.F) {
	f.Add(unhex(f, "01010019 010405d4 0206000a0000 0305c22305 050612345678 0702 0802"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePacket(b)
		if err != nil {
			return
		}
		rest := p.Data
		n := 0
		for len(rest) > 0 {
			o, r, err := NextOption(rest)
			if err != nil {
				break
			}
			n += len(o.Data) + optionHeadsize
			rest = r
		}
		if n+len(rest) != len(p.Data) {
			t.Fatalf("%x: options of %d octets, %d left", p.Data, n, len(rest))
		}
		if _, err := ParseLinkOptions(p.Data); err == nil && len(rest) != 0 {
			t.Fatalf("%x: accepted with %x left over", p.Data, rest)
		}
	})
}
