package ip

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// gather starts with the first packet and adds the others; it returns how many
// the super packet has at the end.
func gather(s *Super, packets ...[]byte) int {
	s.Start(packets[0], mustParse(packets[0]), everything)
	for _, p := range packets[1:] {
		if !s.Add(p, mustParse(p)) {
			break
		}
	}
	return s.Segments()
}

func TestSuperDescription(t *testing.T) {
	for _, k := range kinds {
		packets := train(k.version, k.protocol, 3, 1400)
		ipLen := 20
		want := GSO{Type: GSOUDP, SegmentSize: 1372, HeaderLen: 28, NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 6}
		if k.protocol == ProtocolTCP {
			want.Type, want.SegmentSize, want.HeaderLen, want.ChecksumOffset = GSOTCPv4, 1360, 40, 16
		}
		if k.version == 6 {
			ipLen = 40
			want.ChecksumStart, want.HeaderLen, want.SegmentSize = 40, want.HeaderLen+20, want.SegmentSize-20
			if k.protocol == ProtocolTCP {
				want.Type = GSOTCPv6
			}
		}
		var s Super
		if n := gather(&s, packets...); n != 3 {
			t.Fatalf("%s: %d packets", k.name, n)
		}
		g, parts := s.Finish()
		if g != want {
			t.Errorf("%s: %+v, want %+v", k.name, g, want)
		}
		all := joined(parts)
		h := mustParse(all)
		if h.Length != len(all) || len(all) != int(want.HeaderLen)+3*int(want.SegmentSize) {
			t.Errorf("%s: %d octets, its header says %d", k.name, len(all), h.Length)
		}
		// With the field as it is, the sum over the rest and the pseudo-header must
		// come to what the kernel makes of it: the complete checksum.
		field := ipLen + int(want.ChecksumOffset)
		whole := bytes.Clone(all)
		binary.BigEndian.PutUint16(whole[field:], ^naive(all[ipLen:], 0))
		fixed := bytes.Clone(all)
		fixUpper(fixed)
		if !bytes.Equal(whole, fixed) {
			t.Errorf("%s: the checksum left to the kernel is not that of the pseudo-header", k.name)
		}
		if k.version == 4 && naive(all[:20], 0) != 0xffff {
			t.Errorf("%s: wrong header checksum", k.name)
		}
	}
}

func TestSingleStaysAsItIs(t *testing.T) {
	p := flowOf(4, ProtocolUDP).next([]byte("alone"))
	var s Super
	if g, parts := s.Finish(); g != (GSO{}) || len(parts) != 0 {
		t.Errorf("nothing: %+v, %d parts", g, len(parts))
	}
	gather(&s, p)
	g, parts := s.Finish()
	if g != (GSO{}) || len(parts) != 1 || &parts[0][0] != &p[0] || len(parts[0]) != len(p) {
		t.Errorf("%+v, %d parts", g, len(parts))
	}
	// Padding is cut off.
	padded := append(bytes.Clone(p), 0, 0, 0)
	gather(&s, padded)
	if _, parts := s.Finish(); !bytes.Equal(joined(parts), p) {
		t.Error("padding goes out")
	}
	s.Reset()
	if s.Segments() != 0 || s.Add(p, mustParse(p)) {
		t.Error("added to nothing")
	}
}

// Packets that may not even begin a super packet.
func TestStartRefuses(t *testing.T) {
	tcp := func(change func(p []byte)) func(int) []byte {
		return func(version int) []byte {
			p := flowOf(version, ProtocolTCP).next(octets(100, 1))
			change(p[mustParse(p).HeaderLen:])
			fixUpper(p)
			return p
		}
	}
	udp := func(change func(p []byte)) func(int) []byte {
		return func(version int) []byte {
			p := flowOf(version, ProtocolUDP).next(octets(100, 1))
			change(p[mustParse(p).HeaderLen:])
			return p
		}
	}
	flag := func(f byte) func(int) []byte { return tcp(func(p []byte) { p[13] |= f }) }
	for name, make := range map[string]func(version int) []byte{
		"FIN": flag(1), "SYN": flag(2), "RST": flag(4), "PSH": flag(8), "URG": flag(0x20), "ECE": flag(0x40), "CWR": flag(0x80),
		"AE":             tcp(func(p []byte) { p[12] |= 1 }),
		"no ACK":         tcp(func(p []byte) { p[13] = 0 }),
		"data offset 4":  tcp(func(p []byte) { p[12] = 4 << 4 }),
		"no checksum":    udp(func(p []byte) { p[6], p[7] = 0, 0 }),
		"UDP length":     udp(func(p []byte) { p[5]-- }),
		"UDP length 0":   udp(func(p []byte) { p[4], p[5] = 0, 0 }),
		"no data in UDP": func(v int) []byte { return flowOf(v, ProtocolUDP).next(nil) },
		"no data in TCP": func(v int) []byte { return flowOf(v, ProtocolTCP).next(nil) },
		"ICMP":           func(v int) []byte { f := flowOf(v, 1); return append(f.ip(16), octets(16, 1)...) },
		"half a TCP":     func(v int) []byte { f := flowOf(v, 6); return append(f.ip(16), octets(16, 1)...) },
		"half a UDP":     func(v int) []byte { f := flowOf(v, 17); return append(f.ip(7), octets(7, 1)...) },
	} {
		for _, version := range []int{4, 6} {
			p := make(version)
			var s Super
			if s.Start(p, mustParse(p), everything) {
				t.Errorf("%s, IPv%d: started", name, version)
			}
			if g, parts := s.Finish(); g.Type != GSONone || !bytes.Equal(joined(parts), p) {
				t.Errorf("%s, IPv%d: does not go as it came", name, version)
			}
		}
	}
	option := flowOf(4, ProtocolUDP).next(octets(100, 1))
	option = append(append(bytes.Clone(option[:20]), 1, 1, 1, 1), option[20:]...)
	option[0], option[3] = 0x46, option[3]+4
	fixIP4(option)
	fragment := flowOf(4, ProtocolUDP).next(octets(100, 1))
	fragment[6] = 0x20
	fixIP4(fragment)
	evil := flowOf(4, ProtocolUDP).next(octets(100, 1))
	evil[6] = 0x80
	fixIP4(evil)
	for name, p := range map[string][]byte{"option": option, "fragment": fragment, "reserved flag": evil,
		"extension": with(0, []byte{17, 0, 1, 4, 0, 0, 0, 0})} {
		var s Super
		if s.Start(p, mustParse(p), everything) {
			t.Errorf("%s: started", name)
		}
	}
}

func TestStartByOffload(t *testing.T) {
	for i, o := range []Offloads{{USO: true}, {USO: true}, {TSO4: true}, {TSO6: true}} {
		for j, k := range kinds {
			p := train(k.version, k.protocol, 1, 200)[0]
			want := i == j || i < 2 && j < 2
			var s Super
			if got := s.Start(p, mustParse(p), o); got != want {
				t.Errorf("%s with %+v: %v", k.name, o, got)
			}
		}
	}
}

// Two packets of a flow that may not be joined, each for one reason; changed is
// the second, whose checksums are right again unless stated.
func TestAddRefuses(t *testing.T) {
	type change struct {
		name     string
		version  int // 0: both
		protocol uint8
		broken   bool // leave the checksums as they are
		make     func(p, upper []byte)
	}
	for _, c := range []change{
		{"TOS", 4, 0, false, func(p, _ []byte) { p[1] ^= 3 }},
		{"TTL", 4, 0, false, func(p, _ []byte) { p[8]-- }},
		{"DF", 4, 0, false, func(p, _ []byte) { p[6] = 0x40 }},
		{"MF", 4, 0, false, func(p, _ []byte) { p[6] = 0x20 }},
		{"ID not the next", 4, 0, false, func(p, _ []byte) { p[5]++ }},
		{"source", 4, 0, false, func(p, _ []byte) { p[12]++ }},
		{"destination", 4, 0, false, func(p, _ []byte) { p[19]++ }},
		{"class", 6, 0, false, func(p, _ []byte) { p[1] ^= 0x10 }},
		{"flow label", 6, 0, false, func(p, _ []byte) { p[3] ^= 1 }},
		{"hop limit", 6, 0, false, func(p, _ []byte) { p[7]-- }},
		{"source", 6, 0, false, func(p, _ []byte) { p[23]++ }},
		{"source prefix", 6, 0, false, func(p, _ []byte) { p[8]++ }},
		{"destination", 6, 0, false, func(p, _ []byte) { p[39]++ }},
		{"destination prefix", 6, 0, false, func(p, _ []byte) { p[24]++ }},
		{"source port", 0, 0, false, func(_, u []byte) { u[1]++ }},
		{"destination port", 0, 0, false, func(_, u []byte) { u[3]++ }},
		{"header checksum", 4, 0, true, func(p, _ []byte) { p[11] ^= 1 }},
		{"a bit of data", 0, 0, true, func(_, u []byte) { u[len(u)-1] ^= 1 }},
		{"checksum", 0, ProtocolUDP, true, func(_, u []byte) { u[7] ^= 1 }},
		{"no checksum", 0, ProtocolUDP, true, func(_, u []byte) { u[6], u[7] = 0, 0 }},
		{"UDP length", 0, ProtocolUDP, false, func(_, u []byte) { u[5]-- }},
		{"checksum", 0, ProtocolTCP, true, func(_, u []byte) { u[17] ^= 1 }},
		{"sequence gap", 0, ProtocolTCP, false, func(_, u []byte) { u[7]++ }},
		{"retransmission", 0, ProtocolTCP, false, func(_, u []byte) { u[6]-- }},
		{"acknowledgement", 0, ProtocolTCP, false, func(_, u []byte) { u[11]++ }},
		{"window", 0, ProtocolTCP, false, func(_, u []byte) { u[15]++ }},
		{"urgent pointer", 0, ProtocolTCP, false, func(_, u []byte) { u[19]++ }},
		{"timestamp", 0, ProtocolTCP, false, func(_, u []byte) { u[27]++ }},
		{"FIN", 0, ProtocolTCP, false, func(_, u []byte) { u[13] |= tcpFIN }},
		{"SYN", 0, ProtocolTCP, false, func(_, u []byte) { u[13] |= tcpSYN }},
		{"RST", 0, ProtocolTCP, false, func(_, u []byte) { u[13] |= 4 }},
		{"CWR", 0, ProtocolTCP, false, func(_, u []byte) { u[13] |= tcpCWR }},
		{"no ACK", 0, ProtocolTCP, false, func(_, u []byte) { u[13] = 0 }},
	} {
		for _, k := range kinds {
			if c.version != 0 && c.version != k.version || c.protocol != 0 && c.protocol != k.protocol {
				continue
			}
			f := flowOf(k.version, k.protocol)
			f.options = []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
			first, second := f.next(octets(300, 1)), f.next(octets(300, 2))
			var s Super
			if n := gather(&s, first, second); n != 2 {
				t.Fatalf("%s: %d unchanged packets join", k.name, n)
			}
			c.make(second, second[mustParse(second).HeaderLen:])
			if !c.broken {
				fixUpper(second)
				if k.version == 4 {
					fixIP4(second)
				}
			}
			if n := gather(&s, first, second); n != 1 {
				t.Errorf("%s, %s: joined", k.name, c.name)
			}
			if g, parts := s.Finish(); g.Type != GSONone || !bytes.Equal(joined(parts), first) {
				t.Errorf("%s, %s: the first does not go as it came", k.name, c.name)
			}
		}
	}
}

// A broken packet that came first stays alone too, and as it is.
func TestBrokenFirst(t *testing.T) {
	for _, k := range kinds {
		packets := train(k.version, k.protocol, 3, 500)
		packets[0][499] ^= 4
		var s Super
		if n := gather(&s, packets...); n != 1 {
			t.Errorf("%s: %d packets", k.name, n)
		}
		if s.Add(packets[1], mustParse(packets[1])) {
			t.Errorf("%s: added after all", k.name)
		}
		if g, parts := s.Finish(); g.Type != GSONone || !bytes.Equal(joined(parts), packets[0]) {
			t.Errorf("%s: does not go as it came", k.name)
		}
	}
}

// "All devices that examine IPv4 headers MUST ignore the IPv4 ID field of
// atomic datagrams." (RFC 6864 section 4.1)
func TestAtomicDatagrams(t *testing.T) {
	f := flowOf(4, ProtocolUDP)
	f.df = true
	var packets [][]byte
	for i, id := range []uint16{5, 0, 0, 65535, 9} {
		f.id = id
		packets = append(packets, f.next(octets(200, i)))
	}
	var s Super
	if n := gather(&s, packets...); n != 5 {
		t.Fatalf("%d packets", n)
	}
	g, parts := s.Finish()
	got, err := cut(g, joined(parts))
	if err != nil || len(got) != 5 {
		t.Fatalf("%d packets, %v", len(got), err)
	}
	for i := range got {
		binary.BigEndian.PutUint16(packets[i][4:], uint16(5+i))
		fixIP4(packets[i])
		if !bytes.Equal(got[i], packets[i]) {
			t.Errorf("packet %d differs in more than its Identification", i)
		}
	}
}

func TestClosing(t *testing.T) {
	for _, k := range kinds {
		f := flowOf(k.version, k.protocol)
		a, short, b := f.next(octets(300, 1)), f.next(octets(299, 2)), f.next(octets(299, 3))
		var s Super
		if n := gather(&s, a, short, b); n != 2 {
			t.Errorf("%s: %d packets, want 2: the shorter one is the last", k.name, n)
		}
		f = flowOf(k.version, k.protocol)
		if n := gather(&s, f.next(octets(300, 1)), f.next(octets(301, 2))); n != 1 {
			t.Errorf("%s: a longer one joined", k.name)
		}
		f = flowOf(k.version, k.protocol)
		if n := gather(&s, f.next(octets(300, 1)), f.next(nil)); n != 1 {
			t.Errorf("%s: an empty one joined", k.name)
		}
	}
	f := flowOf(6, ProtocolTCP)
	a := f.next(octets(300, 1))
	f.flags |= tcpPSH
	b := f.next(octets(300, 2))
	f.flags = tcpACK
	c := f.next(octets(300, 3))
	var s Super
	if n := gather(&s, a, b, c); n != 2 {
		t.Errorf("%d packets, want 2: PSH ends a burst", n)
	}
	if _, parts := s.Finish(); parts[0][40+13] != tcpACK|tcpPSH {
		t.Error("PSH is lost")
	}
	if s.Add(c, mustParse(c)) {
		t.Error("added after Finish")
	}
}

func TestLimits(t *testing.T) {
	for _, k := range kinds {
		var s Super
		if n := gather(&s, train(k.version, k.protocol, 200, 100)...); n != MaxSegments {
			t.Errorf("%s: %d packets of 100 octets, want %d", k.name, n, MaxSegments)
		}
		packets := train(k.version, k.protocol, 60, 1400)
		n := gather(&s, packets...)
		_, parts := s.Finish()
		all := joined(parts)
		size := len(parts[1])
		if len(all) > MaxLength || len(all)+size <= MaxLength || n != s.Segments() {
			t.Errorf("%s: %d packets of 1400 octets are %d octets", k.name, n, len(all))
		}
	}
	// Exactly 65,535 octets.
	f := flowOf(4, ProtocolUDP)
	var s Super
	p := [][]byte{f.next(octets(30000, 1)), f.next(octets(30000, 2)), f.next(octets(MaxLength-28-60000, 3))}
	if n := gather(&s, p...); n != 3 {
		t.Errorf("%d packets, want 3", n)
	}
	g, parts := s.Finish()
	if all := joined(parts); len(all) != MaxLength {
		t.Errorf("%d octets", len(all))
	} else if got, err := cut(g, all); err != nil || !bytes.Equal(joined(got), joined(p)) {
		t.Errorf("cut: %v", err)
	}
	f = flowOf(4, ProtocolUDP)
	if n := gather(&s, f.next(octets(30000, 1)), f.next(octets(30000, 2)), f.next(octets(MaxLength-28-60000+1, 3))); n != 2 {
		t.Errorf("%d packets, want 2", n)
	}
}

// Random flows, broken packets and all, through one Super as a reader uses it:
// what comes out is what went in, in order, octet for octet.
func TestMergeSplitProperty(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		packets := randomPackets(rnd, 120)
		var s Super
		var got [][]byte
		supers := 0
		flush := func() {
			g, parts := s.Finish()
			if len(parts) == 0 {
				return
			}
			if g.Type != GSONone {
				supers++
			}
			all, err := cut(g, joined(parts))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			got = append(got, all...)
		}
		for _, p := range packets {
			h := mustParse(p)
			if s.Segments() > 0 && s.Add(p, h) {
				continue
			}
			flush()
			s.Start(p, h, everything)
		}
		flush()
		if len(got) != len(packets) {
			t.Fatalf("seed %d: %d packets of %d", seed, len(got), len(packets))
		}
		for i := range got {
			if !bytes.Equal(got[i], packets[i]) {
				t.Fatalf("seed %d, packet %d:\ngot  %x\nwant %x", seed, i, got[i], packets[i])
			}
		}
		if supers == 0 {
			t.Fatalf("seed %d: nothing was joined", seed)
		}
	}
}

// randomPackets returns n packets of runs of random flows, some of them broken.
func randomPackets(rnd *rand.Rand, n int) [][]byte {
	var all [][]byte
	flows := make([]*flow, 4)
	for i := range flows {
		f := flowOf(4+2*rnd.IntN(2), []uint8{ProtocolTCP, ProtocolUDP}[rnd.IntN(2)])
		f.df = rnd.IntN(2) == 0
		f.id, f.seq = uint16(rnd.Uint32()), rnd.Uint32()
		if rnd.IntN(4) == 0 {
			f.id, f.seq = 0xfffe, 0xfffffff0 // about to wrap
		}
		f.sport = uint16(i)
		f.options = [][]byte{nil, {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, bytes.Repeat([]byte{1}, 40)}[rnd.IntN(3)]
		flows[i] = f
	}
	for len(all) < n {
		f := flows[rnd.IntN(len(flows))]
		size := 1 + rnd.IntN(1400)
		for range 1 + rnd.IntN(20) {
			this := size
			if rnd.IntN(8) == 0 {
				this = rnd.IntN(size + 10)
			}
			f.flags = tcpACK
			if rnd.IntN(8) == 0 {
				f.flags |= byte(rnd.Uint32())
			}
			f.noChecksum = rnd.IntN(20) == 0
			p := f.next(octets(this, int(rnd.Uint32())))
			if rnd.IntN(20) == 0 {
				p[mustParse(p).HeaderLen+rnd.IntN(len(p)-mustParse(p).HeaderLen)] ^= 1 << rnd.IntN(8)
			}
			all = append(all, p)
		}
	}
	return all
}
