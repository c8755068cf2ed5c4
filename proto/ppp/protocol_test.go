package ppp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 1662 section 3.2 on Address and Control, RFC 1661 sections 2 and 6.5 on
// the Protocol field.
func TestSplit(t *testing.T) {
	for _, c := range []struct {
		in   string
		p    Protocol
		info string
		err  error
	}{
		{"ff03 c021 01020004", ProtocolLCP, "01020004", nil},
		{"ff03 0021 4500", ProtocolIPv4, "4500", nil},
		{"ff03 21 4500", ProtocolIPv4, "4500", nil}, // PFC
		{"0021 4500", ProtocolIPv4, "4500", nil},    // ACFC
		{"21 4500", ProtocolIPv4, "4500", nil},      // both
		{"57 60", ProtocolIPv6, "60", nil},
		{"c223 01", ProtocolCHAP, "01", nil},
		{"ff03 c021", ProtocolLCP, "", nil},
		{"21", ProtocolIPv4, "", nil},
		{"fd 9000 ff03", ProtocolCompressed, "9000ff03", nil},
		// 0x00ff is reserved, so that this is no Protocol field 0xff with 0x03.
		{"ff03 ff03 45", 0x00ff, "0345", nil},
		{"ff04 0021", 0x00ff, "040021", nil},
		// "Frames received which don't comply with these rules MUST be treated
		// as having an unrecognized Protocol."
		{"ff03 0022 45", 0x0022, "45", ErrProtocolField},
		{"c022", 0xc022, "", ErrProtocolField},
		{"", 0, "", ErrTruncated},
		{"00", 0, "", ErrTruncated},
		{"ff03", 0, "", ErrTruncated},
		{"ff03 c0", 0, "", ErrTruncated},
	} {
		in := unhex(t, c.in)
		p, info, err := Split(in)
		if p != c.p || !bytes.Equal(info, unhex(t, c.info)) || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, %x, %v", c.in, p, info, err)
		}
		p2, ok := FrameProtocol(in)
		if p2 != c.p || ok != (c.err == nil) {
			t.Errorf("%s: FrameProtocol %v, %v", c.in, p2, ok)
		}
	}
}

func TestIsControlFrame(t *testing.T) {
	for in, want := range map[string]bool{
		"ff03 c021 01": true, "c023 01": true, "ff03 c223 01": true, "c227 01": true,
		"8021 01": true, "8057 01": true, "80fd 01": true,
		"21 45": false, "ff03 0021 45": false, "0057 60": false, "fd 00": false, "003d 00": false,
		"": true, "ff03 0022 45": true,
	} {
		if got := IsControlFrame(unhex(t, in)); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
}

func TestAppendHeader(t *testing.T) {
	if got := AppendHeader([]byte{1}, ProtocolIPCP); !bytes.Equal(got, unhex(t, "01 ff03 8021")) {
		t.Errorf("%x", got)
	}
}

func TestProtocolNames(t *testing.T) {
	seen := map[string]Protocol{}
	for _, p := range []Protocol{ProtocolIPv4, ProtocolIPX, ProtocolVJC, ProtocolVJU, ProtocolBridging,
		ProtocolMultilink, ProtocolIPv6, ProtocolCompressed, ProtocolIPCP, ProtocolIPXCP, ProtocolBCP,
		ProtocolECP, ProtocolIPv6CP, ProtocolCCP, ProtocolLCP, ProtocolPAP, ProtocolLQR, ProtocolCHAP, ProtocolEAP} {
		s := p.String()
		if other, dup := seen[s]; dup || strings.HasPrefix(s, "0x") {
			t.Errorf("0x%04x is called %q, as is 0x%04x", uint16(p), s, uint16(other))
		}
		seen[s] = p
		// RFC 1661 section 2: "All Protocols MUST be odd", and the upper octet
		// even.
		if p&0x0101 != 1 {
			t.Errorf("%s: 0x%04x cannot be a protocol", s, uint16(p))
		}
	}
	if s := Protocol(0x1234).String(); s != "0x1234" {
		t.Error(s)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte{0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4})
	f.Add([]byte{0x21, 0x45})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, info, err := Split(b)
		if len(info) > len(b) || err == nil && p&1 == 0 || errors.Is(err, ErrTruncated) && info != nil {
			t.Fatalf("%x: %v, %x, %v", b, p, info, err)
		}
		if err != nil {
			return
		}
		q, again, err := Split(append(AppendHeader(nil, p), info...))
		if q != p || !bytes.Equal(again, info) || err != nil {
			t.Fatalf("%x: %v, %x, %v", b, q, again, err)
		}
	})
}
