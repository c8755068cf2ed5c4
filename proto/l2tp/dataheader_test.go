package l2tp

import (
	"bytes"
	"testing"
)

func TestPutDataHeader(t *testing.T) {
	for _, test := range []struct {
		name, want string
		h          Header
	}{
		{"least", "0002 0001 0002", Header{TunnelID: 1, SessionID: 2}},
		{"length", "4002 000a 0001 0002", Header{HasLength: true, TunnelID: 1, SessionID: 2}},
		{"sequence", "0802 0001 0002 fffe 0000", Header{HasSequence: true, TunnelID: 1, SessionID: 2, Ns: 0xfffe, Nr: 7}},
		{"priority", "0102 0001 0002", Header{Priority: true, TunnelID: 1, SessionID: 2}},
		{"offset", "0202 0001 0002 0003 000000", Header{HasOffset: true, Offset: 3, TunnelID: 1, SessionID: 2}},
		{"all", "4b02 0011 0001 0002 0003 0000 0001 00", Header{
			HasLength: true, HasSequence: true, HasOffset: true, Priority: true,
			Offset: 1, TunnelID: 1, SessionID: 2, Ns: 3,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := octets(t, test.want)
			n := DataHeaderLen(&test.h)
			if n != len(want) {
				t.Fatalf("DataHeaderLen %d, want %d", n, len(want))
			}
			b := bytes.Repeat([]byte{0xee}, n)
			b = append(b, 0xff, 0x03)
			if got := PutDataHeader(b, &test.h); got != n {
				t.Fatalf("wrote %d, want %d", got, n)
			}
			if !bytes.Equal(b, append(want, 0xff, 0x03)) {
				t.Errorf("%x, want %x ff03", b, want)
			}
			_, frame, err := ParseHeader(b)
			if err != nil || !bytes.Equal(frame, []byte{0xff, 0x03}) {
				t.Errorf("%x, %v", frame, err)
			}
			if got := PutDataHeader(b[:n-1], &test.h); got != 0 {
				t.Errorf("wrote %d into too little", got)
			}
		})
	}
}

func TestPutDataHeaderTooLong(t *testing.T) {
	b := make([]byte, 0x10000)
	if n := PutDataHeader(b, &Header{HasLength: true}); n != 0 {
		t.Errorf("a Length of %d written", len(b))
	}
	if n := PutDataHeader(b[1:], &Header{HasLength: true}); n != 8 || b[3] != 0xff || b[4] != 0xff {
		t.Errorf("%d, %x", n, b[:9])
	}
}

func TestPeekShort(t *testing.T) {
	for _, test := range []struct {
		wire string
		ok   bool
	}{
		{"", false}, {"c8", false}, {"c802", false}, {"c802 000c 0001 00", false}, {"c802 000c 0001 0002", true},
		{"0002 0001 00", false}, {"0002 0001 0002", true}, {"0003", false}, {"0004", true}, {"0001", true},
	} {
		if _, _, _, _, ok := Peek(octets(t, test.wire)); ok != test.ok {
			t.Errorf("%q: %v", test.wire, ok)
		}
	}
	control, version, tunnelID, sessionID, ok := Peek(octets(t, "c804 0014 0102 0304 0000 0000"))
	if !control || version != 4 || tunnelID != 0 || sessionID != 0 || !ok {
		t.Errorf("%v %d %d %d %v", control, version, tunnelID, sessionID, ok)
	}
}

func TestDataHeaderAllocs(t *testing.T) {
	in := octets(t, "4b02 0012 0001 0002 0003 0004 0002 1122 ff03")
	bad := octets(t, "0004 0000 0000 0001")
	out := make([]byte, 1500)
	h := Header{HasLength: true, HasSequence: true, TunnelID: 1, SessionID: 2}
	var n int
	if allocs := testing.AllocsPerRun(100, func() {
		_, _, tunnelID, _, _ := Peek(in)
		got, frame, err := ParseHeader(in)
		if err != nil {
			t.Fatal(err)
		}
		n += len(frame) + int(tunnelID) + int(got.Ns)
		if _, _, err := ParseHeader(bad); err == nil {
			t.Fatal("version 4 taken")
		}
		h.Ns++
		n += PutDataHeader(out, &h)
	}); allocs != 0 {
		t.Errorf("%v allocations per frame", allocs)
	}
	if n == 0 {
		t.Error("nothing was done")
	}
}

func BenchmarkDataHeader(b *testing.B) {
	packet := make([]byte, 1458)
	h := Header{HasLength: true, HasSequence: true, TunnelID: 1, SessionID: 2}
	b.ReportAllocs()
	for b.Loop() {
		h.Ns++
		PutDataHeader(packet, &h)
		if _, _, err := ParseHeader(packet); err != nil {
			b.Fatal(err)
		}
	}
}
