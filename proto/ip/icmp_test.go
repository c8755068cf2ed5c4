package ip

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	router4 = netip.MustParseAddr("198.51.100.1")
	router6 = netip.MustParseAddr("fe80::1")
)

// unhex reads octets with spaces between.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rightICMP checks the checksums and the lengths of an ICMP packet.
func rightICMP(t *testing.T, p []byte) Header {
	t.Helper()
	h := *mustParse(p)
	if h.Length != len(p) {
		t.Errorf("length %d of %d octets", h.Length, len(p))
	}
	var initial uint32
	if h.Version == 6 {
		upper := len(p) - 40
		initial = uint32(naive(append(bytes.Clone(p[8:40]), 0, 0, byte(upper>>8), byte(upper), 0, 0, 0, 58), 0))
	} else if naive(p[:h.HeaderLen], 0) != 0xffff {
		t.Error("wrong header checksum")
	}
	if naive(p[h.HeaderLen:], initial) != 0xffff {
		t.Error("wrong ICMP checksum")
	}
	return h
}

func TestErrorMessages(t *testing.T) {
	p4, p6 := train(4, ProtocolUDP, 1, 100)[0], train(6, ProtocolUDP, 1, 100)[0]
	type build func(dst, packet []byte, from netip.Addr) ([]byte, bool)
	unreachable := func(code Unreachable) build {
		return func(dst, packet []byte, from netip.Addr) ([]byte, bool) {
			return AppendUnreachable(dst, packet, from, code)
		}
	}
	tooBig := func(mtu int) build {
		return func(dst, packet []byte, from netip.Addr) ([]byte, bool) { return AppendTooBig(dst, packet, from, mtu) }
	}
	for _, c := range []struct {
		name       string
		build      build
		want, six  []byte // type, code
		word, six2 []byte
	}{
		{"no route", unreachable(UnreachableNoRoute), []byte{3, 0}, []byte{1, 0}, nil, nil},
		{"address", unreachable(UnreachableAddress), []byte{3, 1}, []byte{1, 3}, nil, nil},
		{"port", unreachable(UnreachablePort), []byte{3, 3}, []byte{1, 4}, nil, nil},
		{"prohibited", unreachable(UnreachableProhibited), []byte{3, 13}, []byte{1, 1}, nil, nil},
		{"source", unreachable(UnreachableSource), []byte{3, 13}, []byte{1, 5}, nil, nil},
		{"too big", tooBig(1400), []byte{3, 4}, []byte{2, 0}, []byte{0, 0, 5, 120}, []byte{0, 0, 5, 120}},
		{"too big for 576", tooBig(576), []byte{3, 4}, []byte{2, 0}, []byte{0, 0, 2, 64}, []byte{0, 0, 5, 0}},
	} {
		for _, packet := range [][]byte{p4, p6} {
			from, kind, word, size := router4, c.want, c.word, 20
			if packet[0]>>4 == 6 {
				from, kind, word, size = router6, c.six, c.six2, 40
			}
			if word == nil {
				word = make([]byte, 4)
			}
			got, ok := c.build([]byte("before"), packet, from)
			if !ok || string(got[:6]) != "before" {
				t.Fatalf("%s: refused", c.name)
			}
			got = got[6:]
			h := rightICMP(t, got)
			src, _ := Source(packet)
			if h.Src != from || h.Dst != src || h.HeaderLen != size {
				t.Errorf("%s: %+v", c.name, h)
			}
			m := got[size:]
			if !bytes.Equal(m[:2], kind) || !bytes.Equal(m[4:8], word) || !bytes.Equal(m[8:], packet) {
				t.Errorf("%s: %x", c.name, m)
			}
		}
	}
	if got, ok := AppendUnreachable(nil, p4, router4, 99); ok || got != nil {
		t.Error("an unknown reason")
	}
}

// "... without the length of the ICMP datagram exceeding 576 bytes", "... without
// making the error message packet exceed the minimum IPv6 MTU".
func TestErrorSize(t *testing.T) {
	for version, want := range map[int]int{4: 576, 6: 1280} {
		from := router4
		if version == 6 {
			from = router6
		}
		got, ok := AppendTooBig(nil, train(version, ProtocolUDP, 1, 1400)[0], from, 1300)
		if !ok || len(got) != want {
			t.Errorf("IPv%d: %d octets, want %d", version, len(got), want)
		}
		rightICMP(t, got)
	}
}

// RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e).
func TestErrorsNotSent(t *testing.T) {
	make4 := func(change func(f *flow), kind ...byte) []byte {
		f := flowOf(4, ProtocolICMP)
		change(f)
		return append(f.ip(8), append(kind, make([]byte, 8-len(kind))...)...)
	}
	make6 := func(change func(f *flow), kind byte) []byte {
		f := flowOf(6, ProtocolICMPv6)
		change(f)
		return append(f.ip(8), kind, 0, 0, 0, 0, 0, 0, 0)
	}
	none := func(*flow) {}
	src := func(a string) func(f *flow) { return func(f *flow) { f.src = netip.MustParseAddr(a) } }
	dst := func(a string) func(f *flow) { return func(f *flow) { f.dst = netip.MustParseAddr(a) } }
	broken := make4(none, 8)
	broken[10] ^= 1
	first, later := make4(none, 8), make4(none, 8)
	first[6], later[7] = 0x20, 9
	fixIP4(first)
	fixIP4(later)
	empty := flowOf(4, ProtocolICMP).ip(0)
	fragment := func(offset byte) []byte {
		return with(44, []byte{17, 0, 0, offset | 1, 0, 0, 0, 1})
	}
	for _, c := range []struct {
		name   string
		packet []byte
		send   bool
	}{
		{"echo request", make4(none, 8), true},
		{"echo reply", make4(none, 0), true},
		{"unreachable", make4(none, 3), false},
		{"quench", make4(none, 4), false},
		{"redirect", make4(none, 5), false},
		{"time exceeded", make4(none, 11), false},
		{"parameter problem", make4(none, 12), false},
		{"unknown ICMP", make4(none, 200), false},
		{"ICMP of no octets", empty, false},
		{"broken header", broken, false},
		{"first fragment", first, true},
		{"later fragment", later, false},
		{"source 0.0.0.0", make4(src("0.0.0.0"), 8), false},
		{"source 0.0.0.9", make4(src("0.0.0.9"), 8), false},
		{"source multicast", make4(src("224.0.0.1"), 8), false},
		{"source broadcast", make4(src("255.255.255.255"), 8), false},
		{"source class E", make4(src("240.0.0.1"), 8), false},
		{"source loopback", make4(src("127.0.0.1"), 8), false},
		{"to multicast", make4(dst("239.1.1.1"), 8), false},
		{"to broadcast", make4(dst("255.255.255.255"), 8), false},
		{"echo request", make6(none, 128), true},
		{"neighbor solicitation", make6(none, 135), true},
		{"unreachable", make6(none, 1), false},
		{"error 127", make6(none, 127), false},
		{"redirect", make6(none, 137), false},
		{"source ::", make6(src("::"), 128), false},
		{"source ::1", make6(src("::1"), 128), false},
		{"source multicast", make6(src("ff02::1"), 128), false},
		{"to multicast", make6(dst("ff02::1"), 128), false},
		{"first fragment", fragment(0), true},
		{"later fragment", fragment(8), false},
		{"routed by source", with(43, []byte{17, 0, 0, 1, 0, 0, 0, 0}), false},
		{"of no version", []byte{0x50, 0}, false},
		{"of no octets", nil, false},
	} {
		from := router6
		if len(c.packet) > 0 && c.packet[0]>>4 == 4 {
			from = router4
		}
		if got, ok := AppendUnreachable([]byte{1}, c.packet, from, UnreachableNoRoute); ok != c.send || ok != (len(got) > 1) {
			t.Errorf("%s (%x): %v", c.name, c.packet[:min(len(c.packet), 1)], ok)
		}
	}
	// "there are two exceptions to this rule: (1) the Packet Too Big Message"
	if _, ok := AppendTooBig(nil, make6(dst("ff02::1"), 128), router6, 1280); !ok {
		t.Error("no Packet Too Big about multicast")
	}
	if _, ok := AppendTooBig(nil, make4(dst("224.0.0.9"), 8), router4, 1280); ok {
		t.Error("an ICMP error about multicast")
	}
	for _, from := range []netip.Addr{{}, router6, netip.MustParseAddr("0.0.0.0")} {
		if _, ok := AppendUnreachable(nil, make4(none, 8), from, UnreachableNoRoute); ok {
			t.Errorf("sent from %v", from)
		}
	}
}

func TestEchoReply4(t *testing.T) {
	// The sum of the message is 0800 + 0001 + 0002 + 0102 + 0304 = 0c09.
	request := unhex(t, `45 00 00 20 12 34 40 00 40 01 00 00 c0 00 02 01 c0 00 02 02
		08 00 f3 f6 00 01 00 02 01 02 03 04`)
	fixIP4(request)
	got, ok := AppendEchoReply(nil, append(bytes.Clone(request), 0xff)) // with padding
	if !ok {
		t.Fatal("refused")
	}
	h := rightICMP(t, got)
	if h.Src.String() != "192.0.2.2" || h.Dst.String() != "192.0.2.1" {
		t.Errorf("%+v", h)
	}
	if want := unhex(t, "00 00 fb f6 00 01 00 02 01 02 03 04"); !bytes.Equal(got[20:], want) {
		t.Errorf("%x, want %x", got[20:], want)
	}
}

// echo6 returns an echo request with right checksums.
func echo6(src, dst netip.Addr, data []byte) []byte {
	f := flowOf(6, ProtocolICMPv6)
	f.src, f.dst = src, dst
	p := append(f.ip(8+len(data)), 128, 0, 0, 0, 0, 1, 0, 2)
	p = append(p, data...)
	upper := len(p) - 40
	ps := append(bytes.Clone(p[8:40]), 0, 0, byte(upper>>8), byte(upper), 0, 0, 0, 58)
	sum := ^naive(p[40:], uint32(naive(ps, 0)))
	p[42], p[43] = byte(sum>>8), byte(sum)
	return p
}

func TestEchoReply6(t *testing.T) {
	for _, n := range []int{0, 1, 56, 1400} {
		request := echo6(b6, router6, octets(n, n))
		got, ok := AppendEchoReply([]byte("x"), request)
		if !ok {
			t.Fatalf("%d octets: refused", n)
		}
		h := rightICMP(t, got[1:])
		if h.Src != router6 || h.Dst != b6 || got[41] != 129 || !bytes.Equal(got[45:], request[44:]) {
			t.Errorf("%d octets: %x", n, got[1:])
		}
	}
}

func TestEchoReplyRefused(t *testing.T) {
	good := echo6(b6, router6, octets(20, 1))
	change := func(at int, v byte) []byte {
		p := bytes.Clone(good)
		p[at] = v
		return p
	}
	later := flowOf(4, ProtocolICMP)
	four := append(later.ip(8), 8, 0, 0xf7, 0xff, 0, 0, 0, 0)
	if _, ok := AppendEchoReply(nil, four); !ok {
		t.Fatal("an ICMP request of no data is refused")
	}
	fragment := bytes.Clone(four)
	fragment[6] = 0x20
	fixIP4(fragment)
	brokenHeader := bytes.Clone(four)
	brokenHeader[11] ^= 1
	for name, p := range map[string][]byte{
		"a reply":         change(40, 129),
		"code":            change(41, 1),
		"checksum":        change(42, good[42]^1),
		"data":            change(60, good[60]^1),
		"truncated":       good[:50],
		"to multicast":    echo6(b6, netip.MustParseAddr("ff02::1"), nil),
		"from nobody":     echo6(netip.IPv6Unspecified(), router6, nil),
		"fragment":        fragment,
		"broken header":   brokenHeader,
		"UDP":             train(4, ProtocolUDP, 1, 100)[0],
		"ICMPv6 in IPv4":  append(flowOf(4, 58).ip(8), 128, 0, 0x7f, 0xff, 0, 0, 0, 0),
		"seven octets":    append(flowOf(4, 1).ip(7), 8, 0, 0xf7, 0xff, 0, 0, 0),
		"nothing to read": nil,
	} {
		if got, ok := AppendEchoReply(nil, p); ok || got != nil {
			t.Errorf("%s: answered", name)
		}
	}
}

func TestLimiter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := NewLimiter(10, 3)
	count := func(n int) (allowed int) {
		for range n {
			if l.Allow(now) {
				allowed++
			}
		}
		return allowed
	}
	if n := count(10); n != 3 {
		t.Errorf("%d at once, want 3", n)
	}
	now = now.Add(99 * time.Millisecond)
	if n := count(10); n != 0 {
		t.Errorf("%d after 99 ms, want 0", n)
	}
	now = now.Add(time.Millisecond)
	if n := count(10); n != 1 {
		t.Errorf("%d after 100 ms, want 1", n)
	}
	now = now.Add(time.Hour)
	if n := count(10); n != 3 {
		t.Errorf("%d after an hour, want 3", n)
	}
	now = now.Add(-time.Minute)
	if n := count(10); n != 0 {
		t.Errorf("%d in the past, want 0", n)
	}
	n := 0
	now = now.Add(time.Hour)
	for range 10000 {
		now = now.Add(time.Millisecond)
		n += count(1)
	}
	if n < 100 || n > 103 {
		t.Errorf("%d in ten seconds, want 100 to 103", n)
	}
	var zero Limiter
	if zero.Allow(now) {
		t.Error("the zero value lets through")
	}
	every := NewLimiter(2_000_000_000, 1)
	if !every.Allow(now) {
		t.Error("the fastest lets nothing through")
	}
}

func TestStrings(t *testing.T) {
	for want, s := range map[string]interface{ String() string }{
		"none": GSONone, "TCPv4": GSOTCPv4, "TCPv6": GSOTCPv6, "UDP": GSOUDP, "GSOType(9)": GSOType(9),
		"no route": UnreachableNoRoute, "address unreachable": UnreachableAddress, "port unreachable": UnreachablePort,
		"administratively prohibited": UnreachableProhibited, "source address refused": UnreachableSource,
		"unknown": Unreachable(9),
	} {
		if s.String() != want {
			t.Errorf("%q, want %q", s, want)
		}
	}
}
