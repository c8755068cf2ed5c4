package l2tp

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dataSamples3 were written by hand from RFC 3931 figures 4.1.1.1, 4.1.2.1 and 4.6, and
// RFC 4454 figure 2.
var dataSamples3 = []struct {
	name, wire string
	want       DataHeader3
}{
	{"UDP", "0003 0000 01020304", DataHeader3{SessionID: 0x01020304}},
	{"UDP, cookie of 4", "0003 0000 01020304 aabbccdd", DataHeader3{SessionID: 0x01020304, Cookie: []byte{0xaa, 0xbb, 0xcc, 0xdd}}},
	{"UDP, cookie of 8, unsequenced", "0003 0000 ffffffff 0102030405060708 00000000",
		DataHeader3{SessionID: 0xffffffff, Cookie: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Sublayer: SublayerDefault}},
	{"UDP, sequenced", "0003 0000 00000001 40000000", DataHeader3{SessionID: 1, Sublayer: SublayerDefault, HasSequence: true}},
	{"IP", "01020304", DataHeader3{SessionID: 0x01020304, IP: true}},
	{"IP, cookie of 4, highest number", "00000001 aabbccdd 40ffffff",
		DataHeader3{SessionID: 1, Cookie: []byte{0xaa, 0xbb, 0xcc, 0xdd}, Sublayer: SublayerDefault, HasSequence: true, Sequence: MaxSequence3, IP: true}},
	{"IP, cookie of 8, ATM, T, G and C", "00000001 0102030405060708 4e123456",
		DataHeader3{SessionID: 1, Cookie: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Sublayer: SublayerATM, HasSequence: true, Sequence: 0x123456, Flags: 0x0e, IP: true}},
	{"IP, ATM, unsequenced, B, E and U", "00000001 31000000", DataHeader3{SessionID: 1, Sublayer: SublayerATM, Flags: 0x31, IP: true}},
}

func TestDataHeader3(t *testing.T) {
	for _, test := range dataSamples3 {
		t.Run(test.name, func(t *testing.T) {
			wire := octets(t, test.wire)
			packet := append(bytes.Clone(wire), "frame"...)
			h, frame, err := ParseDataHeader3(packet, test.want.IP, len(test.want.Cookie), test.want.Sublayer)
			if err != nil || cmp.Diff(test.want, h) != "" || string(frame) != "frame" {
				t.Fatalf("%q, %v: %s", frame, err, cmp.Diff(test.want, h))
			}
			out := append(bytes.Repeat([]byte{0xff}, len(wire)), "frame"...)
			if n := PutDataHeader3(out, &test.want); n != len(wire) || n != DataHeader3Len(&test.want) || !bytes.Equal(out, packet) {
				t.Errorf("put %d: %x", n, out)
			}
			for n := range wire {
				if _, _, err := ParseDataHeader3(wire[:n:n], test.want.IP, len(test.want.Cookie), test.want.Sublayer); !errors.Is(err, ErrShortHeader) {
					t.Errorf("cut at %d: %v", n, err)
				}
				if PutDataHeader3(out[:n:n], &test.want) != 0 {
					t.Errorf("put into %d octets", n)
				}
			}
			if !test.want.IP {
				if control, version, _, id, ok := Peek(packet); control || version != 3 || id != h.SessionID || !ok {
					t.Errorf("Peek: %v, %d, %d, %v", control, version, id, ok)
				}
			} else if id, _, ok := PeekIP(packet); id != h.SessionID || !ok {
				t.Errorf("PeekIP: %d, %v", id, ok)
			}
		})
	}
}

func TestDataHeader3Reserved(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		ip         bool
		sublayer   SublayerType
		want       DataHeader3
	}{
		// "All reserved values MUST be set to 0 on outgoing messages and ignored on
		// incoming messages."
		{"header", "7ff3 ffff 00000001", false, SublayerNone, DataHeader3{SessionID: 1}},
		{"default sublayer", "00000001 ff000002", true, SublayerDefault, DataHeader3{SessionID: 1, Sublayer: SublayerDefault, HasSequence: true, Sequence: 2, IP: true}},
		{"ATM sublayer", "00000001 80000000", true, SublayerATM, DataHeader3{SessionID: 1, Sublayer: SublayerATM, IP: true}},
		// "If the S bit is set to zero, the Sequence Number contents are undefined and
		// MUST be ignored by the receiver."
		{"number without S", "00000001 00123456", true, SublayerDefault, DataHeader3{SessionID: 1, Sublayer: SublayerDefault, IP: true}},
	} {
		h, _, err := ParseDataHeader3(octets(t, test.wire), test.ip, 0, test.sublayer)
		if err != nil || cmp.Diff(test.want, h) != "" {
			t.Errorf("%s: %v: %s", test.name, err, cmp.Diff(test.want, h))
		}
	}
	// What is sent has them clear, and a number of 24 bits.
	out := make([]byte, 8)
	PutDataHeader3(out, &DataHeader3{SessionID: 1, Sublayer: SublayerDefault, HasSequence: true, Sequence: 0xff000003, Flags: 0xff, IP: true})
	if want := octets(t, "00000001 40000003"); !bytes.Equal(out, want) {
		t.Errorf("%x", out)
	}
	PutDataHeader3(out, &DataHeader3{SessionID: 1, Sublayer: SublayerATM, Sequence: 7, Flags: 0xff, IP: true})
	if want := octets(t, "00000001 3f000000"); !bytes.Equal(out, want) {
		t.Errorf("%x", out)
	}
}

func TestDataHeader3Errors(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		ip         bool
		cookie     int
		sublayer   SublayerType
		want       error
	}{
		{"control over UDP", "c803 000c 00000001 0000 0000", false, 0, 0, ErrNotData},
		{"control over IP", "00000000 c803 000c 00000001 0000 0000", true, 0, 0, ErrNotData},
		{"version 2", "0002 0001 0002 ff03", false, 0, 0, VersionError(2)},
		{"unknown sublayer", "00000001 00000000", true, 0, 3, ErrSublayer},
		{"cookie of 5", "00000001 0000000000", true, 5, 0, ErrCookieLength},
		{"cookie of -4", "00000001 0000000000", true, -4, 0, ErrCookieLength},
	} {
		if _, frame, err := ParseDataHeader3(octets(t, test.wire), test.ip, test.cookie, test.sublayer); !errors.Is(err, test.want) || frame != nil {
			t.Errorf("%s: %x, %v; want %v", test.name, frame, err, test.want)
		}
	}
	out := make([]byte, 100)
	for _, h := range []DataHeader3{{SessionID: 1, Cookie: []byte{1}}, {SessionID: 1, Sublayer: 3}} {
		if n := PutDataHeader3(out, &h); n != 0 {
			t.Errorf("%+v put as %d octets", h, n)
		}
	}
}

func TestDataHeader3Allocs(t *testing.T) {
	in := octets(t, "0003 0000 00000001 0102030405060708 40000000 6672616d65")
	out := make([]byte, 1500)
	h := DataHeader3{SessionID: 1, Cookie: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Sublayer: SublayerDefault, HasSequence: true}
	var n int
	if allocs := testing.AllocsPerRun(100, func() {
		got, frame, err := ParseDataHeader3(in, false, 8, SublayerDefault)
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, id, _ := Peek(in)
		n += len(frame) + len(got.Cookie) + int(id)
		h.Sequence++
		n += PutDataHeader3(out, &h)
		if _, _, err := ParseDataHeader3(in[:4], false, 8, SublayerDefault); err == nil {
			t.Fatal("taken")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations per frame", allocs)
	}
	if n == 0 {
		t.Error("nothing was done")
	}
}

func BenchmarkDataHeader3(b *testing.B) {
	packet := make([]byte, 1458)
	h := DataHeader3{SessionID: 1, Cookie: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Sublayer: SublayerDefault, HasSequence: true}
	b.ReportAllocs()
	for b.Loop() {
		h.Sequence++
		PutDataHeader3(packet, &h)
		if _, _, err := ParseDataHeader3(packet, false, 8, SublayerDefault); err != nil {
			b.Fatal(err)
		}
	}
}
