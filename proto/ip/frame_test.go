package ip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
)

// The headers of links: none, Ethernet's, one with a tag, one with two.
var prefixes = []int{0, 14, 18, 22}

// link is a header of n octets that no other seed has.
func link(n, seed int) []byte { return octets(n, 1000+seed) }

// inFrames puts the same header in front of each packet.
func inFrames(header []byte, packets ...[]byte) [][]byte {
	var all [][]byte
	for _, p := range packets {
		all = append(all, append(bytes.Clone(header), p...))
	}
	return all
}

// cutFrames returns the frames of a super packet.
func cutFrames(g GSO, frame []byte, prefix int) ([][]byte, error) {
	var s Splitter
	if err := s.BeginFrame(g, frame, prefix); err != nil {
		return nil, err
	}
	var all [][]byte
	for n := s.Next(); n > 0; n = s.Next() {
		b := make([]byte, n)
		if s.Put(b) != n {
			return all, errors.New("put another number of octets than announced")
		}
		all = append(all, b)
	}
	return all, nil
}

// gatherFrames starts with the first frame and adds the others while they join.
func gatherFrames(s *Super, prefix int, frames ...[]byte) int {
	s.StartFrame(frames[0], prefix, mustParse(frames[0][prefix:]), everything)
	for _, f := range frames[1:] {
		if !s.AddFrame(f, prefix, mustParse(f[prefix:])) {
			break
		}
	}
	return s.Segments()
}

// The description counts the prefix, and but for that is what it is of the packets.
func TestFrameDescription(t *testing.T) {
	for _, k := range kinds {
		packets := train(k.version, k.protocol, 3, 1400)
		var plain Super
		gather(&plain, packets...)
		want, parts := plain.Finish()
		inside := joined(parts)
		for _, n := range prefixes {
			var s Super
			if got := gatherFrames(&s, n, inFrames(link(n, 1), packets...)...); got != 3 {
				t.Fatalf("%s, %d: %d frames", k.name, n, got)
			}
			g, parts := s.Finish()
			shifted := want
			shifted.HeaderLen += uint16(n)
			shifted.ChecksumStart += uint16(n)
			if g != shifted {
				t.Errorf("%s, %d: %+v, want %+v", k.name, n, g, shifted)
			}
			if all := joined(parts); !bytes.Equal(all, append(link(n, 1), inside...)) {
				t.Errorf("%s, %d: the super packet differs from that of the packets", k.name, n)
			}
		}
	}
}

func TestFrameRefuses(t *testing.T) {
	packets := train(4, ProtocolUDP, 2, 500)
	frames := inFrames(link(14, 1), packets...)
	for i := range 14 {
		other := bytes.Clone(frames[1])
		other[i] ^= 1
		var s Super
		if n := gatherFrames(&s, 14, frames[0], other); n != 1 {
			t.Errorf("joined though octet %d of the link's header differs", i)
		}
	}
	var s Super
	s.StartFrame(frames[0], 14, mustParse(packets[0]), everything)
	if s.AddFrame(inFrames(link(18, 1), packets[1])[0], 18, mustParse(packets[1])) {
		t.Error("joined a frame of another prefix")
	}
	if s.Add(packets[1], mustParse(packets[1])) {
		t.Error("joined a packet without a prefix")
	}
	if s.AddFrame(append(bytes.Clone(frames[1]), 0), 14, mustParse(packets[1])) {
		t.Error("joined a frame with padding")
	}
	if !s.AddFrame(frames[1], 14, mustParse(packets[1])) {
		t.Error("the frame itself does not join")
	}
	long := inFrames(link(MaxPrefix+1, 1), packets...)
	if s.StartFrame(long[0], MaxPrefix+1, mustParse(packets[0]), everything) {
		t.Error("begun with a prefix that is too long")
	}
	if _, parts := s.Finish(); !bytes.Equal(joined(parts), long[0]) {
		t.Error("a frame with a long prefix does not go as it came")
	}
	if s.StartFrame(frames[0][:10], 14, mustParse(packets[0]), everything) {
		t.Error("begun with a frame that is shorter than its prefix")
	}
}

// RFC 4719 section 3.1: "the remote LCCE simply decapsulates the L2TP payload and
// sends it out on the appropriate interface without modifying the Ethernet header".
// What is not joined goes to the last octet as it came, its padding too.
func TestFrameAlone(t *testing.T) {
	var s Super
	odd := octets(61, 3)
	s.StartAlone(odd)
	if s.AddFrame(odd, 14, &Header{Length: 47}) {
		t.Error("something joined a frame that is alone")
	}
	if g, parts := s.Finish(); g != (GSO{}) || len(parts) != 1 || !bytes.Equal(parts[0], odd) {
		t.Errorf("%+v, %d parts", g, len(parts))
	}
	packet := flowOf(4, ProtocolUDP).next([]byte("tiny"))
	padded := append(inFrames(link(14, 2), packet)[0], make([]byte, 14)...)
	if s.StartFrame(padded, 14, mustParse(packet), everything) {
		t.Error("a frame with padding began a super packet")
	}
	if g, parts := s.Finish(); g != (GSO{}) || !bytes.Equal(joined(parts), padded) {
		t.Error("a frame with padding does not go as it came")
	}
}

// Exactly 65,535 octets with the prefix, and not one more.
func TestFrameLimit(t *testing.T) {
	for _, n := range prefixes {
		for _, more := range []int{0, 1} {
			f := flowOf(4, ProtocolUDP)
			frames := inFrames(link(n, 1), f.next(octets(30000, 1)), f.next(octets(30000, 2)), f.next(octets(MaxLength-28-60000-n+more, 3)))
			var s Super
			if got := gatherFrames(&s, n, frames...); got != 3-more {
				t.Errorf("prefix %d: %d frames, want %d", n, got, 3-more)
			}
		}
	}
}

// Random flows between random stations, broken packets and all: what comes out is
// what went in, in order, octet for octet.
func TestFrameMergeSplitProperty(t *testing.T) {
	for _, n := range prefixes {
		for seed := range uint64(40) {
			rnd := rand.New(rand.NewPCG(seed, uint64(n)))
			var frames [][]byte
			for _, p := range randomPackets(rnd, 120) {
				header := link(n, rnd.IntN(20)/19) // another station now and then
				frames = append(frames, append(header, p...))
			}
			checkFrames(t, n, seed, frames)
		}
	}
}

func checkFrames(t *testing.T, prefix int, seed uint64, frames [][]byte) {
	t.Helper()
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
		all, err := cutFrames(g, joined(parts), prefix)
		if err != nil {
			t.Fatalf("prefix %d, seed %d: %v", prefix, seed, err)
		}
		got = append(got, all...)
	}
	for _, f := range frames {
		h := mustParse(f[prefix:])
		if s.Segments() > 0 && s.AddFrame(f, prefix, h) {
			continue
		}
		flush()
		s.StartFrame(f, prefix, h, everything)
	}
	flush()
	if len(got) != len(frames) {
		t.Fatalf("prefix %d, seed %d: %d frames of %d", prefix, seed, len(got), len(frames))
	}
	for i := range got {
		if !bytes.Equal(got[i], frames[i]) {
			t.Fatalf("prefix %d, seed %d, frame %d:\ngot  %x\nwant %x", prefix, seed, i, got[i], frames[i])
		}
	}
	if supers == 0 {
		t.Fatalf("prefix %d, seed %d: nothing was joined", prefix, seed)
	}
}

// A super packet that the kernel made, and a single one whose checksum it left out.
func TestSplitFrame(t *testing.T) {
	g, p := superTCP(octets(350, 3))
	plain, err := cut(g, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range prefixes {
		shifted := g
		shifted.ChecksumStart += uint16(n)
		got, err := cutFrames(shifted, inFrames(link(n, 1), p)[0], n)
		if err != nil || len(got) != len(plain) {
			t.Fatalf("prefix %d: %d frames, %v", n, len(got), err)
		}
		for i, want := range inFrames(link(n, 1), plain...) {
			if !bytes.Equal(got[i], want) {
				t.Errorf("prefix %d, frame %d:\ngot  %x\nwant %x", n, i, got[i], want)
			}
		}
		whole := train(6, ProtocolTCP, 1, 333)[0]
		partial := bytes.Clone(whole)
		h := mustParse(whole)
		binary.BigEndian.PutUint16(partial[56:], Fold(PseudoHeader(h.Src, h.Dst, h.Protocol, h.Length-40)))
		single := GSO{NeedsChecksum: true, ChecksumStart: uint16(n + 40), ChecksumOffset: 16}
		got, err = cutFrames(single, inFrames(link(n, 1), partial)[0], n)
		if err != nil || len(got) != 1 || !bytes.Equal(got[0], inFrames(link(n, 1), whole)[0]) {
			t.Errorf("prefix %d: the checksum is not completed: %v", n, err)
		}
	}
}

func TestBeginFrameErrors(t *testing.T) {
	g, p := superTCP(octets(350, 1))
	frame := inFrames(link(14, 1), p)[0]
	g.ChecksumStart += 14
	for _, c := range []struct {
		name   string
		g      GSO
		frame  []byte
		prefix int
		want   error
	}{
		{"the prefix is not counted", func() GSO { h := g; h.ChecksumStart = 20; return h }(), frame, 14, ErrGSO},
		{"no packet after the prefix", g, frame[:14], 14, ErrTruncated},
		{"shorter than the prefix", g, frame[:13], 14, ErrTruncated},
		{"not IP", g, frame, 15, nil},
		{"a long prefix", g, append(make([]byte, MaxPrefix+1), p...), MaxPrefix + 1, ErrGSO},
		{"a negative prefix", g, frame, -1, ErrTruncated},
		{"single, start within the link's header", GSO{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 6}, frame, 14, ErrGSO},
	} {
		got, err := cutFrames(c.g, c.frame, c.prefix)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || len(got) != 0 {
			t.Errorf("%s: %d frames, %v, want %v", c.name, len(got), err, c.want)
		}
	}
}

// FuzzSplitFrame: whatever the kernel says of whatever frame, no panic, and frames
// that begin alike and whose packets are right.
func FuzzSplitFrame(f *testing.F) {
	g, p := superTCP(octets(350, 1))
	f.Add(uint8(g.Type), g.SegmentSize, g.ChecksumStart+14, g.ChecksumOffset, 14, inFrames(link(14, 1), p)[0])
	for _, p := range samples() {
		f.Add(uint8(GSOUDP), uint16(9), uint16(38), uint16(6), 18, inFrames(link(18, 1), p)[0])
	}
	f.Fuzz(func(t *testing.T, kind uint8, size, start, offset uint16, prefix int, b []byte) {
		if size != 0 && len(b)/int(size) > 1000 {
			return
		}
		g := GSO{Type: GSOType(kind), SegmentSize: size, NeedsChecksum: start != 0, ChecksumStart: start, ChecksumOffset: offset}
		got, err := cutFrames(g, b, prefix)
		if err != nil || g.Type == GSONone {
			return
		}
		for _, q := range got {
			if len(q) < prefix || !bytes.Equal(q[:prefix], b[:prefix]) {
				t.Fatalf("another prefix: %x", q)
			}
			if h, err := Parse(q[prefix:]); err != nil || h.Length != len(q)-prefix {
				t.Fatalf("a segment's header: %+v, %v", h, err)
			}
		}
	})
}

func TestFrameNoAllocations(t *testing.T) {
	var s Super
	var cutter Splitter
	dst := make([]byte, 2000)
	for _, k := range kinds {
		for _, n := range prefixes {
			frames := inFrames(link(n, 1), train(k.version, k.protocol, 30, 1400)...)
			headers := make([]Header, len(frames))
			merge := func() {
				for i, f := range frames {
					if headers[i].Parse(f[n:]) != nil {
						t.Fatal("not parsed")
					}
					if i == 0 {
						s.StartFrame(f, n, &headers[i], everything)
					} else if !s.AddFrame(f, n, &headers[i]) {
						t.Fatal("not added")
					}
				}
			}
			merge()
			g, parts := s.Finish()
			all := joined(parts)
			split := func() {
				if cutter.BeginFrame(g, all, n) != nil {
					t.Fatal("not begun")
				}
				for cutter.Next() > 0 {
					cutter.Put(dst)
				}
			}
			if a := testing.AllocsPerRun(50, merge) + testing.AllocsPerRun(50, split); a != 0 {
				t.Errorf("%s, prefix %d: %v allocations", k.name, n, a)
			}
		}
	}
}
