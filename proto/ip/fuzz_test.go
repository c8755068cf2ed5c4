package ip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
)

// samples are packets of every kind that is looked into.
func samples() [][]byte {
	var all [][]byte
	for _, k := range kinds {
		f := flowOf(k.version, k.protocol)
		f.options = []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
		all = append(all, f.next(octets(40, 1)), f.next(nil))
	}
	for _, version := range []int{4, 6} {
		p, _ := syn(version, tcpSYN, 1, 2, 4, 5, 180, 3, 3, 7)
		all = append(all, p)
	}
	option := flowOf(4, ProtocolUDP).next(octets(40, 1))
	option = append(append(bytes.Clone(option[:20]), 7, 7, 4, 0, 0, 0, 0, 0), option[20:]...)
	option[0], option[3] = 0x47, option[3]+8
	fixIP4(option)
	return append(all, option, echo6(b6, router6, octets(9, 1)),
		append(flowOf(4, ProtocolICMP).ip(8), 8, 0, 0xf7, 0xff, 0, 0, 0, 0),
		with(0, []byte{60, 0, 1, 4, 0, 0, 0, 0}, []byte{43, 0, 1, 4, 0, 0, 0, 0}, []byte{44, 0, 1, 0, 0, 0, 0, 0}, []byte{17, 0, 0, 1, 0, 0, 0, 1}),
		with(44, []byte{17, 0, 1, 8, 0, 0, 0, 1}))
}

// everyUse puts packet through every function there is.
func everyUse(t *testing.T, packet []byte) {
	h, err := Parse(packet)
	Source(packet)
	Destination(packet)
	for _, from := range []netip.Addr{router4, router6} {
		for _, build := range []func() ([]byte, bool){
			func() ([]byte, bool) { return AppendUnreachable(nil, packet, from, UnreachableSource) },
			func() ([]byte, bool) { return AppendTooBig(nil, packet, from, 1300) },
		} {
			if got, ok := build(); ok {
				if rightICMP(t, got); err != nil || len(got) > minMTU6 {
					t.Errorf("%d octets about %x", len(got), packet)
				}
			}
		}
	}
	if got, ok := AppendEchoReply(nil, packet); ok {
		rightICMP(t, got)
	}
	if err != nil {
		h = Header{}
	} else if h.HeaderLen < 20 || h.Length < h.HeaderLen || h.Length > len(packet) {
		t.Fatalf("%+v of %d octets", h, len(packet))
	}
	ClampMSS(bytes.Clone(packet), h, 576)
	everySplit(t, packet)
	for _, mtu := range []int{0, 28, 68, 576} {
		var f Fragmenter
		if f.Begin(packet, h, mtu) == nil {
			data := 0
			for n := f.Next(); n > 0; n = f.Next() {
				b := make([]byte, n)
				if f.Put(b) != n || n > max(mtu, len(packet)) {
					t.Fatalf("%d octets of fragment", n)
				}
				data += n - h.HeaderLen
			}
			if data != h.Length-h.HeaderLen {
				t.Fatalf("%d octets in fragments of %d", data, h.Length-h.HeaderLen)
			}
		}
	}
	var s Super
	s.Start(packet, &h, everything)
	s.Add(packet, &h)
	if _, parts := s.Finish(); !bytes.HasPrefix(packet, joined(parts)) && len(parts) < 2 {
		t.Fatal("a single packet changed")
	}
}

// everySplit cuts packet by every description that a kernel could give of it.
func everySplit(t *testing.T, packet []byte) {
	for kind := range GSOType(6) {
		for _, size := range []uint16{0, 1, 17, 65535} {
			for _, at := range [][2]uint16{{0, 0}, {20, 6}, {20, 16}, {40, 6}, {40, 16}, {65535, 65535}} {
				splitOf(t, GSO{Type: kind, SegmentSize: size, NeedsChecksum: at[0] != 0, ChecksumStart: at[0], ChecksumOffset: at[1]}, packet)
			}
		}
	}
}

// splitOf cuts packet and checks what holds of any segments.
func splitOf(t *testing.T, g GSO, packet []byte) {
	got, err := cut(g, packet)
	if err != nil {
		if len(got) != 0 {
			t.Fatal("segments of an error")
		}
		if !errors.Is(err, ErrGSO) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrHeader) {
			t.Fatalf("error %v", err)
		}
		return
	}
	if g.Type == GSONone {
		if len(got) != 1 || len(got[0]) != len(packet) {
			t.Fatalf("%d packets of one", len(got))
		}
		return
	}
	for _, p := range got {
		h, err := Parse(p)
		if err != nil || h.Length != len(p) {
			t.Fatalf("a segment's header: %+v, %v", h, err)
		}
		upper := p[h.HeaderLen:]
		if Fold(Sum(upper, pseudo(p, h.Version, h.Protocol)+uint64(len(upper)))) != 0xffff {
			t.Fatalf("a segment's checksum: %x", p)
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	for _, p := range samples() {
		for n := range len(p) + 1 {
			cutOff := bytes.Clone(p[:n])
			everyUse(t, cutOff)
			// The same with lengths that agree, so that more is looked into.
			if n >= 20 && p[0]>>4 == 4 {
				binary.BigEndian.PutUint16(cutOff[2:], uint16(n))
				fixIP4Safe(cutOff)
				everyUse(t, cutOff)
			} else if n >= 40 && p[0]>>4 == 6 {
				binary.BigEndian.PutUint16(cutOff[4:], uint16(n-40))
				everyUse(t, cutOff)
			}
		}
	}
}

// fixIP4Safe is fixIP4 for what may be no whole header.
func fixIP4Safe(p []byte) {
	if len(p) >= int(p[0]&0xf)*4 && p[0]&0xf >= 5 {
		fixIP4(p)
	}
}

func FuzzParse(f *testing.F) {
	for _, p := range samples() {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < 4096 {
			everyUse(t, p)
		}
	})
}

func FuzzICMP(f *testing.F) {
	for _, p := range samples() {
		f.Add(p, 1400)
	}
	f.Fuzz(func(t *testing.T, p []byte, mtu int) {
		for _, from := range []netip.Addr{router4, router6} {
			got, ok := AppendTooBig(nil, p, from, mtu)
			if !ok {
				continue
			}
			rightICMP(t, got)
			// An error is never answered by an error.
			if again, ok := AppendTooBig(nil, got, from, mtu); ok {
				t.Fatalf("an error about an error: %x", again)
			}
		}
		if got, ok := AppendEchoReply(nil, p); ok {
			if h := rightICMP(t, got); h.Dst != mustParse(p).Src {
				t.Fatalf("answer to %v", h.Dst)
			}
		}
	})
}

func FuzzSplit(f *testing.F) {
	g, p := superTCP(octets(350, 1))
	f.Add(uint8(g.Type), g.SegmentSize, g.ChecksumStart, g.ChecksumOffset, p)
	for _, p := range samples() {
		f.Add(uint8(GSOUDP), uint16(9), uint16(20), uint16(6), p)
		f.Add(uint8(GSOTCPv6), uint16(9), uint16(40), uint16(16), p)
		f.Add(uint8(GSONone), uint16(0), uint16(20), uint16(2), p)
	}
	f.Fuzz(func(t *testing.T, kind uint8, size, start, offset uint16, p []byte) {
		if size == 0 || len(p)/int(size) < 1000 {
			splitOf(t, GSO{Type: GSOType(kind), SegmentSize: size, NeedsChecksum: start != 0, ChecksumStart: start, ChecksumOffset: offset}, p)
		}
	})
}

// FuzzMerge joins packets cut from arbitrary octets, their checksums put right
// where fix says so, and cuts what came of it: nothing may have changed but the
// Identification of packets with DF.
func FuzzMerge(f *testing.F) {
	for _, k := range kinds {
		f.Add(uint32(0xffff), bytes.Join(framed(train(k.version, k.protocol, 3, 100)), nil))
	}
	all := samples()
	f.Add(uint32(0), bytes.Join(framed(all), nil))
	f.Fuzz(func(t *testing.T, fix uint32, b []byte) {
		var s Super
		var packets [][]byte
		for len(b) > 2 && len(packets) < 32 {
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
			p := bytes.Clone(b[2 : 2+n])
			b = b[2+n:]
			h, err := Parse(p)
			if err != nil {
				continue
			}
			p = p[:h.Length]
			plain := h.HeaderLen == 20 || h.HeaderLen == 40
			if room := h.Length - h.HeaderLen; fix>>len(packets)&1 != 0 && plain &&
				(h.Protocol == ProtocolTCP && room >= 20 || h.Protocol == ProtocolUDP && room >= 8) && p[0]&0xf*4 == byte(h.HeaderLen)%40 {
				if h.Version == 4 {
					fixIP4(p)
				}
				fixUpper(p)
			}
			if s.Segments() == 0 {
				s.Start(p, &h, everything)
			} else if !s.Add(p, &h) {
				break
			}
			packets = append(packets, p)
		}
		g, parts := s.Finish()
		if len(packets) == 0 {
			return
		}
		got, err := cut(g, joined(parts))
		if err != nil || len(got) != len(packets) {
			t.Fatalf("%d packets of %d, %v", len(got), len(packets), err)
		}
		for i := range got {
			if !bytes.Equal(normal(got[i], len(got)), normal(packets[i], len(got))) {
				t.Fatalf("packet %d\ngot  %x\nwant %x", i, got[i], packets[i])
			}
		}
	})
}

// framed puts each packet's length before it.
func framed(packets [][]byte) [][]byte {
	var all [][]byte
	for _, p := range packets {
		all = append(all, binary.BigEndian.AppendUint16(nil, uint16(len(p))), p)
	}
	return all
}

// normal returns a packet of several with what may differ made alike: the
// Identification with DF, and ffff for 0 in checksums, of which a sender should
// send only one.
func normal(p []byte, n int) []byte {
	if n == 1 {
		return p
	}
	p = bytes.Clone(p)
	if p[0]>>4 == 4 {
		if p[6]&0x40 != 0 {
			p[4], p[5] = 0, 0
		}
		fixIP4(p)
	}
	fixUpper(p)
	return p
}
