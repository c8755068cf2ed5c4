package ppp

import (
	"bytes"
	"testing"
)

// FuzzDecode: any octets in any two pieces give the same frames as at once, all
// of them within the bound and each with a good FCS, so that it can be framed
// again and found again.
func FuzzDecode(f *testing.F) {
	for _, c := range captures {
		f.Add(unhex(f, c.wire), uint16(7), DefaultACCM)
	}
	wire, _, _ := stream(f)
	f.Add(wire, uint16(50), uint32(0xffff))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16, accm uint32) {
		const bound = 40
		whole, parts := NewDecoder(bound), NewDecoder(bound)
		whole.SetACCM(accm)
		parts.SetACCM(accm)
		at := int(cut) % (len(in) + 1)
		got := decodeAll(whole, in)
		if again := decodeAll(parts, in[:at], in[at:]); !equalFrames(got, again) || whole.Counters() != parts.Counters() {
			t.Fatalf("cut at %d: %x, %x", at, again, got)
		}
		if n := int(whole.Counters().Frames); n != len(got) {
			t.Fatalf("%d frames, counted %d", len(got), n)
		}
		for _, frame := range got {
			if len(frame) < minFrame-fcsLen || len(frame) > bound {
				t.Fatalf("a frame of %d octets", len(frame))
			}
			var e Encoder
			e.SetACCM(accm)
			parts.Reset()
			if again := decodeAll(parts, e.AppendFrame(nil, frame)); !equalFrames(again, [][]byte{frame}) {
				t.Fatalf("%x became %x", frame, again)
			}
		}
	})
}

// FuzzEncode: any frame comes back, and its framing holds no octet that it must
// not hold.
func FuzzEncode(f *testing.F) {
	f.Add([]byte{0x7e, 0x7d, 0x11, 0x5e}, DefaultACCM, byte(0x91))
	f.Add(unhex(f, "ff03c021 01010004"), uint32(0), byte(0))
	f.Fuzz(func(t *testing.T, frame []byte, accm uint32, escape byte) {
		if len(frame) < minFrame-fcsLen {
			return
		}
		var e Encoder
		e.SetACCM(accm)
		escaping := e.SetEscape(escape) == nil
		wire := e.AppendFrame(nil, frame)
		body := wire[1 : len(wire)-1]
		if len(wire) > MaxEncodedLen(len(frame)) || wire[0] != flagSequence || wire[len(wire)-1] != flagSequence {
			t.Fatalf("%x", wire)
		}
		for i, c := range body {
			after := i > 0 && body[i-1] == controlEscape
			if c == flagSequence || c < 0x20 && accm&(1<<c) != 0 || escaping && c == escape && c != controlEscape && !after {
				t.Fatalf("0x%02x in %x", c, wire)
			}
		}
		d := NewDecoder(len(frame))
		d.SetACCM(accm)
		if got := decodeAll(d, wire); !equalFrames(got, [][]byte{frame}) {
			t.Fatalf("%x became %x", frame, got)
		}
		if bytes.Count(body, []byte{controlEscape}) > len(frame)+fcsLen {
			t.Fatalf("%x", wire)
		}
	})
}
