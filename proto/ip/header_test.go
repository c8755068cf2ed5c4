package ip

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
)

func TestParse4(t *testing.T) {
	f := flowOf(4, ProtocolUDP)
	p := append(f.next([]byte("data")), 0, 0, 0) // three octets of padding
	h, err := Parse(p)
	want := Header{Version: 4, Protocol: ProtocolUDP, HeaderLen: 20, Length: 32, Src: a4, Dst: b4}
	if err != nil || h != want {
		t.Fatalf("%+v, %v, want %+v", h, err, want)
	}
	p[6], p[7] = 0x20, 0 // MF
	if h, _ := Parse(p); !h.Fragment || h.Offset != 0 {
		t.Errorf("first fragment: %+v", h)
	}
	p[6], p[7] = 0x1f, 0xff // the last offset there is
	if h, _ := Parse(p); !h.Fragment || h.Offset != 65528 {
		t.Errorf("last fragment: %+v", h)
	}
	p[6], p[7] = 0x40, 0 // DF
	if h, _ := Parse(p); h.Fragment {
		t.Errorf("DF: %+v", h)
	}
}

func TestParseErrors(t *testing.T) {
	good := flowOf(4, ProtocolUDP).next([]byte("data"))
	change := func(at int, v byte) []byte {
		p := bytes.Clone(good)
		p[at] = v
		return p
	}
	for _, c := range []struct {
		name   string
		packet []byte
		want   error
	}{
		{"empty", nil, ErrTruncated},
		{"version 5", change(0, 0x55), ErrVersion},
		{"version 0", change(0, 0x05), ErrVersion},
		{"IHL of 4 words", change(0, 0x44), ErrHeader},
		{"IHL longer than the packet", change(0, 0x4f), ErrHeader},
		{"total length less than the header", change(3, 19), ErrHeader},
		{"total length more than there is", change(3, 33), ErrTruncated},
		{"short", good[:19], ErrTruncated},
		{"IPv6 short", append([]byte{0x60}, make([]byte, 38)...), ErrTruncated},
		{"IPv6 payload length", append([]byte{0x60, 0, 0, 0, 0, 1}, make([]byte, 34)...), ErrTruncated},
	} {
		if h, err := Parse(c.packet); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v, want %v", c.name, h, err, c.want)
		}
	}
}

// with returns an IPv6 packet of these extension headers, the first of kind
// first, and four octets behind them.
func with(first uint8, extensions ...[]byte) []byte {
	body := append(bytes.Join(extensions, nil), 1, 2, 3, 4)
	p := append([]byte{0x60, 0, 0, 0, byte(len(body) >> 8), byte(len(body)), first, 9}, a6.AsSlice()...)
	return append(append(p, b6.AsSlice()...), body...)
}

func TestParse6Extensions(t *testing.T) {
	hop := func(next uint8) []byte { return []byte{next, 0, 5, 2, 0, 0, 1, 0} }
	long := func(next uint8) []byte { return append([]byte{next, 1, 1, 12}, make([]byte, 12)...) }
	route := func(next, left uint8) []byte { return append([]byte{next, 2, 0, left}, make([]byte, 20)...) }
	fragment := func(next uint8, a, b byte) []byte { return []byte{next, 0, a, b, 0, 0, 0, 1} }
	for _, c := range []struct {
		name      string
		packet    []byte
		protocol  uint8
		headerLen int
		fragment  bool
		offset    uint16
	}{
		{"none", with(ProtocolUDP), ProtocolUDP, 40, false, 0},
		{"no next header", with(ProtocolNoNext), ProtocolNoNext, 40, false, 0},
		{"hop by hop", with(0, hop(ProtocolTCP)), ProtocolTCP, 48, false, 0},
		{"hop by hop, destination", with(0, hop(60), long(ProtocolUDP)), ProtocolUDP, 64, false, 0},
		{"routing with none left", with(43, route(ProtocolUDP, 0)), ProtocolUDP, 64, false, 0},
		{"routing with one left", with(43, route(ProtocolUDP, 1)), 43, 40, false, 0},
		{"first fragment", with(44, fragment(ProtocolUDP, 0, 1)), ProtocolUDP, 48, true, 0},
		{"atomic fragment", with(44, fragment(ProtocolUDP, 0, 0)), ProtocolUDP, 48, true, 0},
		{"later fragment", with(44, fragment(ProtocolUDP, 1, 8)), 44, 40, true, 264},
		{"AH", with(51, hop(ProtocolUDP)), 51, 40, false, 0},
		{"nine", with(0, hop(60), hop(60), hop(60), hop(60), hop(60), hop(60), hop(60), hop(60), hop(17)), 60, 40 + 64, false, 0},
	} {
		h, err := Parse(c.packet)
		want := Header{Version: 6, Protocol: c.protocol, HeaderLen: c.headerLen, Length: len(c.packet),
			Fragment: c.fragment, Offset: c.offset, Src: a6, Dst: b6}
		if err != nil || h != want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, h, err, want)
		}
	}
	for name, p := range map[string][]byte{
		"hop by hop longer than the packet": with(0, []byte{17, 1, 0, 0, 0, 0, 0, 0}),
		"half a hop by hop":                 with(0),
		"half a fragment header":            with(44),
		"endless":                           with(0, []byte{0, 255, 0, 0, 0, 0, 0, 0}),
	} {
		if h, err := Parse(p); !errors.Is(err, ErrTruncated) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

func TestSourceDestination(t *testing.T) {
	for _, version := range []int{4, 6} {
		f := flowOf(version, ProtocolUDP)
		p := f.next([]byte("x"))
		if a, ok := Source(p); !ok || a != f.src {
			t.Errorf("source %v %v", a, ok)
		}
		if a, ok := Destination(p); !ok || a != f.dst {
			t.Errorf("destination %v %v", a, ok)
		}
		headerLen := mustParse(p).HeaderLen
		for n := range headerLen {
			if a, ok := Source(p[:n]); ok || a != (netip.Addr{}) {
				t.Fatalf("source of %d octets", n)
			}
			if a, ok := Destination(p[:n]); ok || a != (netip.Addr{}) {
				t.Fatalf("destination of %d octets", n)
			}
		}
	}
}
