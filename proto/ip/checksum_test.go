package ip

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// RFC 1071 section 3: the octets 00 01 f2 03 f4 f5 f6 f7 sum to ddf2, in
// network order, whatever way they are added.
func TestSumRFC1071(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := Fold(Sum(b, 0)); got != 0xddf2 {
		t.Errorf("sum %#x, want 0xddf2", got)
	}
	if got := Checksum(b, 0); got != 0x220d {
		t.Errorf("checksum %#x, want 0x220d", got)
	}
	if got := Fold(Sum(b[4:], Sum(b[:4], 0))); got != 0xddf2 {
		t.Errorf("sum in two parts %#x, want 0xddf2", got)
	}
}

// The header of a real packet, as tcpdump prints it.
func TestChecksumOfHeader(t *testing.T) {
	header := []byte{0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7}
	if got := Checksum(header, 0); got != 0xb861 {
		t.Errorf("checksum %#x, want 0xb861", got)
	}
}

func TestSumOfEveryLength(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 700)
	for round := range 4 {
		for i := range b {
			switch round {
			case 0:
				b[i] = 0xff // as many carries as there can be
			case 1:
				b[i] = 0
			default:
				b[i] = byte(rnd.Uint32())
			}
		}
		for start := range 9 {
			for n := 0; start+n <= len(b); n++ {
				part := b[start : start+n]
				initial := uint64(rnd.Uint32() & 0xffff)
				want := naive(part, uint32(initial))
				if got := Fold(Sum(part, initial)); got != want {
					t.Fatalf("round %d, octets %d to %d: %#x, want %#x", round, start, start+n, got, want)
				}
			}
		}
	}
}

func TestFold(t *testing.T) {
	for sum, want := range map[uint64]uint16{
		0: 0, 0xffff: 0xffff, 0x10000: 1, 0x1ffff: 1, 0xffffffff: 0xffff, 0xffffffffffffffff: 0xffff,
		0x1_0000_0000: 1, 0xffff_ffff_0000_0001: 1, 1 << 63: 0x8000,
	} {
		if got := Fold(sum); got != want {
			t.Errorf("Fold(%#x) = %#x, want %#x", sum, got, want)
		}
	}
}

// RFC 1624 section 4: "HC = DD2F, m = 5555, m' = 3285": with Eqn. 3 the new
// checksum is 0000, not the FFFF of the older equation.
func TestUpdateChecksumRFC1624(t *testing.T) {
	if got := updateChecksum(0xdd2f, 0x5555, 0x3285); got != 0 {
		t.Errorf("%#x, want 0", got)
	}
}

func TestUpdateChecksum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, 40)
	for range 2000 {
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		at := 2 * rnd.IntN(len(b)/2)
		before, after := binary.BigEndian.Uint16(b[at:]), uint16(rnd.Uint32())
		old := Checksum(b, 0)
		binary.BigEndian.PutUint16(b[at:], after)
		if got, want := updateChecksum(old, before, after), ^naive(b, 0); got != want {
			t.Fatalf("%#x, want %#x", got, want)
		}
	}
}

func TestPseudoHeader(t *testing.T) {
	for _, a := range [][2]netip.Addr{{a4, b4}, {a6, b6}} {
		ps := append(a[0].AsSlice(), a[1].AsSlice()...)
		ps = append(ps, 0, 0, 0x12, 0x34, 0, 0, 0, 58)
		if got, want := Fold(PseudoHeader(a[0], a[1], 58, 0x1234)), naive(ps, 0); got != want {
			t.Errorf("%v: %#x, want %#x", a, got, want)
		}
	}
}
