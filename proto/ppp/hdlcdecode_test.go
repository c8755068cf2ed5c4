package ppp

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// The stream cut at each place, at each two places, and into octets.
func TestEveryChunking(t *testing.T) {
	wire, frames, counters := stream(t)
	check := func(what string, pieces ...[]byte) {
		t.Helper()
		d := streamDecoder()
		if got := decodeAll(d, pieces...); !equalFrames(got, frames) || d.Counters() != counters {
			t.Fatalf("%s: %x\n%+v", what, got, d.Counters())
		}
	}
	check("whole", wire)
	for i := range wire {
		for j := i; j < len(wire); j++ {
			check(fmt.Sprint("cut at ", i, " and ", j), wire[:i], wire[i:j], wire[j:])
		}
	}
	for size := 1; size < 50; size++ {
		check(fmt.Sprint("pieces of ", size), slices.Collect(slices.Chunk(wire, size))...)
	}
}

// Frames may share one flag.
func TestOneFlagBetweenFrames(t *testing.T) {
	var e Encoder
	a := e.AppendFrame(nil, []byte("first"))
	b := e.AppendFrame(nil, []byte("second"))
	got := decodeAll(NewDecoder(0), append(a, b[1:]...))
	if !equalFrames(got, [][]byte{[]byte("first"), []byte("second")}) {
		t.Errorf("%q", got)
	}
}

// "prior to FCS computation, each octet with value less than hexadecimal 0x20 is
// checked. If it is flagged in the receiving ACCM, it is simply removed".
func TestSpuriousControlCharacters(t *testing.T) {
	var e Encoder
	frame := []byte("\x7e\x7d\x11 and so on")
	clean := e.AppendFrame(nil, frame)
	var noisy []byte
	for _, c := range clean {
		noisy = append(noisy, 0x11, c, 0x13) // also between 0x7d and what follows
	}
	d := NewDecoder(0)
	d.SetACCM(1<<0x11 | 1<<0x13)
	if got := decodeAll(d, noisy); !equalFrames(got, [][]byte{frame}) {
		t.Errorf("%q, %+v", got, d.Counters())
	}
	d.SetACCM(1 << 0x11)
	if got := decodeAll(d, noisy); len(got) != 0 || d.Counters().BadFCS != 1 {
		t.Errorf("0x13 is not in the map: %q, %+v", got, d.Counters())
	}
}

// "Frames which are too short (less than 4 octets when using the 16-bit FCS)
// [...] are silently discarded, and not counted as a FCS error."
func TestFrameLengths(t *testing.T) {
	const bound = 60
	for i := range 4 * bound {
		// All plain, and all escaped: the bound is on the frame, not on the line.
		n, fill := i/2, []byte{0x55, flagSequence}[i%2]
		frame := bytes.Repeat([]byte{fill}, n)
		d := NewDecoder(bound)
		var e Encoder
		wire := e.AppendFrame(nil, frame)
		got := decodeAll(d, wire, e.AppendFrame(nil, []byte("next")))
		var want [][]byte
		c := DecoderCounters{Frames: 1}
		switch {
		case n < 2:
			c.TooShort++
		case n > bound:
			c.TooLong++
		default:
			c.Frames++
			want = append(want, frame)
		}
		if want = append(want, []byte("next")); !equalFrames(got, want) || d.Counters() != c {
			t.Fatalf("%d octets: %x, %+v", n, got, d.Counters())
		}
	}
	// The longest frame, whether or not the last octet of its FCS is escaped.
	for fill := range 256 {
		frame := bytes.Repeat([]byte{byte(fill)}, bound)
		var e Encoder
		if got := decodeAll(NewDecoder(bound), e.AppendFrame(nil, frame)); !equalFrames(got, [][]byte{frame}) {
			t.Errorf("%d octets 0x%02x: %x", bound, fill, got)
		}
	}
	// The zero Decoder has the default bound.
	var d Decoder
	var e Encoder
	if got := decodeAll(&d, e.AppendFrame(nil, make([]byte, DefaultMaxFrame))); len(got) != 1 {
		t.Errorf("%+v", d.Counters())
	}
	if got := decodeAll(&d, e.AppendFrame(nil, make([]byte, DefaultMaxFrame+1))); len(got) != 0 {
		t.Errorf("%+v", d.Counters())
	}
}

// Every single-bit error in a frame is found.
func TestEveryBitError(t *testing.T) {
	var e Encoder
	e.SetACCM(0)
	frame := []byte("\xff\x03\x00\x21 some IP packet")
	wire := e.AppendFrame(nil, frame)
	for i := 1; i < len(wire)-1; i++ {
		for bit := range 8 {
			bad := bytes.Clone(wire)
			bad[i] ^= 1 << bit
			d := NewDecoder(0)
			d.SetACCM(0)
			for _, f := range decodeAll(d, bad) {
				t.Errorf("octet %d, bit %d: took %x", i, bit, f)
			}
		}
	}
}

func TestReset(t *testing.T) {
	var e Encoder
	d := NewDecoder(100)
	d.SetACCM(0)
	for _, begun := range [][]byte{[]byte("half a frame"), {0x41, 0x7d}, make([]byte, 200)} {
		if got := decodeAll(d, begun); len(got) != 0 {
			t.Fatalf("%q", got)
		}
		d.Reset()
		// Without its opening flag, so that nothing else ends what was begun.
		if got := decodeAll(d, e.AppendFrame(nil, []byte("a frame"))[1:]); !equalFrames(got, [][]byte{[]byte("a frame")}) {
			t.Errorf("after %x: %q, %+v", begun, got, d.Counters())
		}
	}
	if d.ACCM() != 0 || d.Counters().Frames != 3 {
		t.Errorf("Reset forgot the ACCM or the counters")
	}
}

// The way of a batch: each frame is built where it is to stay.
func TestSetBuffer(t *testing.T) {
	wire, frames, counters := stream(t)
	for size := 1; size < len(wire); size += 7 {
		d := streamDecoder()
		var got [][]byte
		for piece := range slices.Chunk(wire, size) {
			for len(piece) > 0 {
				d.SetBuffer(make([]byte, 9, 40+fcsLen)) // also in the middle of a frame
				var f []byte
				if f, piece = d.Decode(piece); f != nil {
					got = append(got, f)
				}
			}
		}
		if !equalFrames(got, frames) || d.Counters() != counters {
			t.Fatalf("pieces of %d: %x, %+v", size, got, d.Counters())
		}
	}
	// Into a buffer that is too small for what has come already.
	d := NewDecoder(100)
	decodeAll(d, []byte("0123456789"))
	d.SetBuffer(make([]byte, 0, 5))
	if got := decodeAll(d, []byte("\x7e")); len(got) != 0 || d.Counters().TooLong != 1 {
		t.Errorf("%q, %+v", got, d.Counters())
	}
}
