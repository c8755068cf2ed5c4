package ppp

import (
	"encoding/binary"
	"math/bits"
)

// eight has its argument's octet eight times over.
const eight uint64 = 0x0101010101010101

// plainLen returns how many octets at the start of b are neither Flag Sequence
// nor Control Escape nor, if controls, below 0x20. It takes eight at a step: in
// most traffic most octets are plain.
func plainLen(b []byte, controls bool) int {
	const high = eight << 7
	var less uint64 // 0: nothing is less
	if controls {
		less = eight * controlChars
	}
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		// In x-1 &^ x the top bit of an octet shows that the octet was 0, and in
		// w-k &^ w that it was less than k (k <= 0x80). A borrow may set wrong
		// ones too, but only above a right one, and the lowest is what counts.
		f, e := w^eight*flagSequence, w^eight*controlEscape
		hit := ((f-eight)&^f | (e-eight)&^e | (w-less)&^w) & high
		if hit != 0 {
			return n + bits.TrailingZeros64(hit)/8
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c == flagSequence || c == controlEscape || controls && c < controlChars {
			break
		}
	}
	return n
}
