package ppp

// The 16-bit FCS of RFC 1662 appendix C.2.
const (
	initFCS16 = 0xffff // "Initial FCS value"
	goodFCS16 = 0xf0b8 // "Good final FCS value"
	polyFCS16 = 0x8408 // x**16 + x**12 + x**5 + 1, its lowest bit first
)

// fcsSlices is how many octets the FCS takes at a step.
const fcsSlices = 8

// fcsTable[0] is the table of RFC 1662 appendix C.2; fcsTable[k] does the same
// for an octet that has k more octets after it.
var fcsTable = makeFCSTable()

func makeFCSTable() (t [fcsSlices][256]uint16) {
	for i := range 256 {
		v := uint16(i)
		for range 8 {
			if v&1 != 0 {
				v = v>>1 ^ polyFCS16
			} else {
				v >>= 1
			}
		}
		t[0][i] = v
	}
	for k := 1; k < fcsSlices; k++ {
		for i, v := range t[k-1] {
			t[k][i] = v>>8 ^ t[0][v&0xff]
		}
	}
	return t
}

// updateFCS16 carries an FCS on over b. Begin with initFCS16. Over a frame and
// the FCS after it the result is goodFCS16.
func updateFCS16(fcs uint16, b []byte) uint16 {
	t := &fcsTable
	for len(b) >= fcsSlices {
		c := b[:fcsSlices:fcsSlices]
		fcs = t[7][c[0]^byte(fcs)] ^ t[6][c[1]^byte(fcs>>8)] ^
			t[5][c[2]] ^ t[4][c[3]] ^ t[3][c[4]] ^ t[2][c[5]] ^ t[1][c[6]] ^ t[0][c[7]]
		b = b[fcsSlices:]
	}
	for _, c := range b {
		fcs = fcs>>8 ^ t[0][byte(fcs)^c]
	}
	return fcs
}

// FCS16 returns the Frame Check Sequence of frame, which is sent "least
// significant octet first" (RFC 1662 section 3.1).
func FCS16(frame []byte) uint16 { return ^updateFCS16(initFCS16, frame) }
