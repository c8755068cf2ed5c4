package ppp

import (
	"math/rand/v2"
	"testing"
)

// Rows of the table in RFC 1662 appendix C.2, by number of their first entry.
var rfcTable = map[int][8]uint16{
	0x00: {0x0000, 0x1189, 0x2312, 0x329b, 0x4624, 0x57ad, 0x6536, 0x74bf},
	0x08: {0x8c48, 0x9dc1, 0xaf5a, 0xbed3, 0xca6c, 0xdbe5, 0xe97e, 0xf8f7},
	0x10: {0x1081, 0x0108, 0x3393, 0x221a, 0x56a5, 0x472c, 0x75b7, 0x643e},
	0x40: {0x4204, 0x538d, 0x6116, 0x709f, 0x0420, 0x15a9, 0x2732, 0x36bb},
	0x80: {0x8408, 0x9581, 0xa71a, 0xb693, 0xc22c, 0xd3a5, 0xe13e, 0xf0b7},
	0xa0: {0xa50a, 0xb483, 0x8618, 0x9791, 0xe32e, 0xf2a7, 0xc03c, 0xd1b5},
	0xf0: {0xf78f, 0xe606, 0xd49d, 0xc514, 0xb1ab, 0xa022, 0x92b9, 0x8330},
	0xf8: {0x7bc7, 0x6a4e, 0x58d5, 0x495c, 0x3de3, 0x2c6a, 0x1ef1, 0x0f78},
}

func TestFCSTable(t *testing.T) {
	for at, row := range rfcTable {
		for i, want := range row {
			if got := fcsTable[0][at+i]; got != want {
				t.Errorf("entry 0x%02x: 0x%04x, want 0x%04x", at+i, got, want)
			}
		}
	}
}

// The check value of the CRC catalogues for this polynomial (CRC-16/IBM-SDLC).
func TestFCSCheckValue(t *testing.T) {
	if got := FCS16([]byte("123456789")); got != 0x906e {
		t.Errorf("0x%04x, want 0x906e", got)
	}
}

// Octet by octet, as the RFC's pppfcs16 goes, against eight at a step.
func TestFCSSlicesAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1662))
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	for n := range b {
		want := uint16(initFCS16)
		for _, c := range b[:n] {
			want = want>>8 ^ fcsTable[0][byte(want)^c]
		}
		if got := updateFCS16(initFCS16, b[:n]); got != want {
			t.Errorf("%d octets: 0x%04x, want 0x%04x", n, got, want)
		}
		// "check on input": over the FCS too, the result is the good one.
		f := FCS16(b[:n])
		if got := updateFCS16(initFCS16, append(append([]byte(nil), b[:n]...), byte(f), byte(f>>8))); got != goodFCS16 {
			t.Errorf("%d octets: with FCS 0x%04x, want 0x%04x", n, got, goodFCS16)
		}
	}
}
