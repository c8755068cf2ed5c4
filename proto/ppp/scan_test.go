package ppp

import "testing"

// Each octet at each place among others that are next to special.
func TestPlainLen(t *testing.T) {
	for _, filler := range []byte{0x20, 0x7c, 0x7f, 0xff, 0xfe, 0xfd, 0x80, 0x9f, 0x41} {
		for c := range 256 {
			for at := range 20 {
				b := make([]byte, 20)
				for i := range b {
					b[i] = filler
				}
				b[at] = byte(c)
				for _, controls := range []bool{false, true} {
					want := len(b)
					if c == 0x7d || c == 0x7e || controls && c < 0x20 {
						want = at
					}
					if got := plainLen(b, controls); got != want {
						t.Fatalf("%x, controls %v: %d, want %d", b, controls, got, want)
					}
				}
			}
		}
	}
}

// A borrow from one octet must not hide or invent another.
func TestPlainLenNeighbours(t *testing.T) {
	for c := range 256 {
		for d := range 256 {
			b := []byte{'a', 'b', byte(c), byte(d), 'c', 'd', 'e', 'f', 'g'}
			for _, controls := range []bool{false, true} {
				want := len(b)
				for i, o := range b {
					if o == 0x7d || o == 0x7e || controls && o < 0x20 {
						want = i
						break
					}
				}
				if got := plainLen(b, controls); got != want {
					t.Fatalf("%x, controls %v: %d, want %d", b, controls, got, want)
				}
			}
		}
	}
}
