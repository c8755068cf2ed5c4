package ppp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// captures are frames as other stacks put them on async lines, found in public
// traces, and the same without framing.
var captures = []struct {
	name, wire, frame string
	reject            bool
}{
	{"pppd to a modem", `7EFF7D23C0217D21 7D217D207D347D227D267D207D207D207D207D257D267D2E797D3A597D277D227D287D22EF3E7E`,
		`ff03c021 01010014 020600000000 05060e791a59 0702 0802`, false},
	{"pppd to a modem, refusing PAP", `7EFF7D23C0217D247D207D207D287D237D24C023F94B7E`,
		`ff03c021 04000008 0304c023`, true},
	{"a messaging gateway", `7EFF7D23C0217D217D217D207D367D217D247D25DC7D227D267D207D207D207D207D277D227D287D227D237D24C02326B47E`,
		`ff03c021 01010016 010405dc 020600000000 0702 0802 0304c023`, false},
	{"a PDSN, CHAP", `7eff7d23c0217d217d217d207d397d227d267d207d207d207d207d237d25c2237d257d257d26b97d21af7d287d277d227d287d2259a77e`,
		`ff03c021 01010019 020600000000 0305c22305 0506b901af08 0702 0802`, false},
	{"a hand-held computer", `7eff7d23c0217d217d217d207d2e7d227d267d207d207d207d207d277d227d287d2270347e`,
		`ff03c021 0101000e 020600000000 0702 0802`, false},
	{"an access server, MS-CHAP", `7EFF7D23C0217D217D237D207D397D227D267D207D2A7D207D207D237D25C223807D257D26513DEB7D327D277D227D287D2284367E`,
		`ff03c021 01030019 0206000a0000 0305c22380 0506513deb12 0702 0802`, false},
}

// decodeAll gives the decoder the stream in pieces and returns what it found.
func decodeAll(d *Decoder, pieces ...[]byte) (frames [][]byte) {
	for _, in := range pieces {
		for len(in) > 0 {
			var f []byte
			if f, in = d.Decode(in); f != nil {
				frames = append(frames, bytes.Clone(f))
			}
		}
	}
	return frames
}

func equalFrames(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func TestCapturesOfOtherStacks(t *testing.T) {
	for _, c := range captures {
		wire, frame := unhex(t, c.wire), unhex(t, c.frame)
		if got := decodeAll(NewDecoder(0), wire); !equalFrames(got, [][]byte{frame}) {
			t.Errorf("%s: decoded %x", c.name, got)
		}
		// LCP is framed the same whatever the ACCM.
		for _, accm := range []uint32{DefaultACCM, 0, 0x000a0000} {
			var e Encoder
			e.SetACCM(accm)
			if got := e.AppendFrame(nil, frame); !bytes.Equal(got, wire) {
				t.Errorf("%s, ACCM %08x:\n%x\nwant %x", c.name, accm, got, wire)
			}
		}
	}
}

// An access server's frames from the same trace after LCP agreed on an ACCM of
// 0x000a0000, two flags between them as it sent them: nothing is escaped, and a
// receiver with the default ACCM would have thrown half of it away.
func TestCaptureWithNegotiatedACCM(t *testing.T) {
	wire := unhex(t, `7E FF03C0210201001402060000000005064228 2EC7070208025C6C 7E
		7E FF03C22301E4001508C90A0C2D14E988014E415332202020207AC4 7E`)
	d := NewDecoder(0)
	d.SetACCM(0x000a0000)
	got := decodeAll(d, wire)
	if len(got) != 2 || len(got[0]) != 24 || len(got[1]) != 25 {
		t.Fatalf("%x, %+v", got, d.Counters())
	}
	if p, ok := FrameProtocol(got[1]); !ok || p != ProtocolCHAP || !bytes.HasSuffix(got[1], []byte("NAS2    ")) {
		t.Errorf("%x", got[1])
	}
	var e Encoder
	e.SetACCM(0x000a0000)
	if again := e.AppendFrame(nil, got[1]); !bytes.Equal(again, wire[len(wire)-len(again):]) {
		t.Errorf("%x", again)
	}
	strict := NewDecoder(0)
	if got := decodeAll(strict, wire); len(got) != 0 || strict.Counters().BadFCS != 2 {
		t.Errorf("default ACCM: %x, %+v", got, strict.Counters())
	}
}

// The examples of RFC 1662 section 4.2.
func TestEscapesOfTheRFC(t *testing.T) {
	modem := func() *Encoder {
		e := &Encoder{}
		e.SetACCM(1<<0x11 | 1<<0x13)
		for _, c := range []byte{0x91, 0x93} {
			if err := e.SetEscape(c); err != nil {
				t.Fatal(err)
			}
		}
		return e
	}
	for _, c := range []struct {
		e        *Encoder
		in, want string
	}{
		{&Encoder{}, "7e", "7d5e"},
		{&Encoder{}, "7d", "7d5d"},
		{&Encoder{}, "03", "7d23"},
		{modem(), "11", "7d31"},
		{modem(), "13", "7d33"},
		{modem(), "91", "7db1"},
		{modem(), "93", "7db3"},
		{modem(), "03", "03"},
		{modem(), "7e", "7d5e"},
		{modem(), "7d", "7d5d"},
	} {
		in := append([]byte{0x41}, unhex(t, c.in)...)
		want := append([]byte{flagSequence, 0x41}, unhex(t, c.want)...)
		if got := c.e.AppendFrame(nil, in); !bytes.HasPrefix(got, want) {
			t.Errorf("%s: %x, want %s", c.in, got, c.want)
		}
	}
}

// "The transmitter MAY also send octets with values in the range 0x40 through
// 0xff (except 0x5e) in Control Escape format."
func TestSetEscape(t *testing.T) {
	for c := range 256 {
		var e Encoder
		err := e.SetEscape(byte(c))
		if bad := c >= 0x20 && c < 0x40 || c == 0x5e; bad != errors.Is(err, ErrEscape) {
			t.Errorf("0x%02x: %v", c, err)
		}
		if err != nil {
			continue
		}
		e.SetACCM(0)
		wire := e.AppendFrame(nil, []byte{0x41, byte(c), 0x42})
		if !bytes.Contains(wire, []byte{controlEscape, byte(c) ^ 0x20}) {
			t.Errorf("0x%02x is not escaped: %x", c, wire)
		}
		d := NewDecoder(0)
		d.SetACCM(0)
		if got := decodeAll(d, wire); !equalFrames(got, [][]byte{{0x41, byte(c), 0x42}}) {
			t.Errorf("0x%02x: %x", c, got)
		}
	}
}

// Every octet under several ACCMs: escaped exactly if it must be, and the same
// afterwards.
func TestEveryOctet(t *testing.T) {
	var frame []byte
	for c := range 256 {
		frame = append(frame, byte(c))
	}
	for _, accm := range []uint32{0, DefaultACCM, 0x000a0000, 1, 1 << 31} {
		var e Encoder
		e.SetACCM(accm)
		if e.ACCM() != accm {
			t.Fatalf("ACCM %08x, want %08x", e.ACCM(), accm)
		}
		for c := range 256 {
			escaped := c == 0x7d || c == 0x7e || c < 32 && accm&(1<<c) != 0
			wire := e.AppendFrame(nil, []byte{0x41, byte(c), 0x41})
			if got := wire[2] == controlEscape; got != escaped {
				t.Errorf("ACCM %08x: 0x%02x escaped: %v", accm, c, got)
			}
		}
		wire := e.AppendFrame([]byte("before"), frame)
		if len(wire) > len("before")+MaxEncodedLen(len(frame)) || !bytes.HasPrefix(wire, []byte("before\x7e")) {
			t.Errorf("ACCM %08x: %x", accm, wire)
		}
		d := NewDecoder(0)
		d.SetACCM(accm)
		if d.ACCM() != accm {
			t.Fatalf("ACCM %08x, want %08x", d.ACCM(), accm)
		}
		if got := decodeAll(d, wire[len("before"):]); !equalFrames(got, [][]byte{frame}) {
			t.Errorf("ACCM %08x: %x", accm, got)
		}
	}
	worst := bytes.Repeat([]byte{flagSequence}, 20)
	var e Encoder
	if n := len(e.AppendFrame(nil, worst)); n > MaxEncodedLen(20) || n < MaxEncodedLen(20)-2 {
		t.Errorf("%d octets for the worst frame, MaxEncodedLen %d", n, MaxEncodedLen(20))
	}
}

// "Regardless of which Configuration Options are enabled, all LCP Link
// Configuration, Link Termination, and Code-Reject packets (codes 1 through 7)
// are always sent as if no Configuration Options were negotiated."
func TestWhichFramesKeepTheDefaultACCM(t *testing.T) {
	var e Encoder
	e.SetACCM(0)
	for in, want := range map[string]bool{
		"ff03c021 01010004": true, "ff03c021 07010004": true, "c021 05010004": true,
		"ff03c021 08010004": false, "ff03c021 09010004": false, "ff03c021 00010004": false,
		"ff038021 01010004": false, "ff030021 01010004": false, "ff03c021": false, "ff03": false, "01": false,
	} {
		wire := e.AppendFrame(nil, unhex(t, in))
		frame := wire[1 : len(wire)-1-fcsLen]
		plain := slices.ContainsFunc(frame, func(c byte) bool { return c < 0x20 })
		if plain == want {
			t.Errorf("%s: %x", in, wire)
		}
	}
}

// stream is frames of many kinds with every fault between them.
func stream(t testing.TB) (wire []byte, frames [][]byte, want DecoderCounters) {
	var e Encoder
	add := func(f []byte) {
		frames = append(frames, f)
		wire = e.AppendFrame(wire, f)
	}
	add(unhex(t, "ff03c021 01010004"))
	add([]byte{0x7e, 0x7d, 0x7d, 0x7e, 0x5e, 0x5d, 0x20})
	wire = append(wire, 0x41, 0x42, 0x43, 0x44, 0x45, 0x7e) // not its FCS
	add(unhex(t, "21 45"))
	wire = append(wire, 0x7e, 0x7e, 0x7e)                   // time fill
	wire = append(wire, 0x41, 0x42, 0x43, 0x7e)             // short
	wire = append(wire, 0x41, 0x42, 0x43, 0x44, 0x7d, 0x7e) // aborted
	wire = append(wire, 0x7d, 0x7e)                         // aborted, with nothing before
	wire = append(wire, bytes.Repeat([]byte{0x44}, 50)...)  // long
	wire = append(wire, 0x7d, 0x7e)
	add(bytes.Repeat([]byte{0x7e, 0x11}, 16))
	e.SetACCM(0xffff)
	add(unhex(t, "ff030057 6000 1f 1e 20 7e"))
	return wire, frames, DecoderCounters{Frames: 5, BadFCS: 1, TooShort: 1, Aborted: 2, TooLong: 1}
}

func streamDecoder() *Decoder {
	d := NewDecoder(40)
	d.SetACCM(0xffff)
	return d
}

func TestRandomFrames(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1662))
		accm := rng.Uint32()
		var e Encoder
		e.SetACCM(accm)
		d := NewDecoder(600)
		d.SetACCM(accm & rng.Uint32()) // the sender may escape more than asked for
		var wire []byte
		var frames [][]byte
		for range 1 + rng.IntN(5) {
			f := make([]byte, 2+rng.IntN(rng.IntN(500)+1))
			for i := range f {
				f[i] = byte(rng.Uint32())
			}
			frames = append(frames, f)
			wire = e.AppendFrame(wire, f)
		}
		var pieces [][]byte
		for rest := wire; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if got := decodeAll(d, pieces...); !equalFrames(got, frames) {
			t.Fatalf("seed %d: %x\nwant %x", seed, got, frames)
		}
	}
}

func TestNoAllocationPerFrame(t *testing.T) {
	frame := benchFrame()
	var e Encoder
	wire := make([]byte, 0, MaxEncodedLen(len(frame)))
	if n := testing.AllocsPerRun(1000, func() { wire = e.AppendFrame(wire[:0], frame) }); n != 0 {
		t.Errorf("AppendFrame: %v allocations", n)
	}
	d := NewDecoder(0)
	slot := make([]byte, 2048)
	if n := testing.AllocsPerRun(1000, func() {
		d.Decode(wire[:100])
		d.SetBuffer(slot)
		if f, _ := d.Decode(wire[100:]); len(f) != len(frame) {
			t.Fatalf("%d octets", len(f))
		}
	}); n != 0 {
		t.Errorf("Decode: %v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() { IsControlFrame(frame) }); n != 0 {
		t.Errorf("IsControlFrame: %v allocations", n)
	}
}

// benchFrame is as long as an IP packet at an MTU of 1400 and as random as one
// that is encrypted.
func benchFrame() []byte {
	f := AppendHeader(nil, ProtocolIPv4)
	rng := rand.New(rand.NewPCG(7, 7))
	for range 1400 {
		f = append(f, byte(rng.Uint32()))
	}
	return f
}

func BenchmarkAppendFrame(b *testing.B) {
	frame := benchFrame()
	for name, accm := range map[string]uint32{"ACCM 0": 0, "ACCM default": DefaultACCM} {
		b.Run(name, func(b *testing.B) {
			var e Encoder
			e.SetACCM(accm)
			buf := make([]byte, 0, MaxEncodedLen(len(frame)))
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				e.AppendFrame(buf, frame)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	frame := benchFrame()
	for name, accm := range map[string]uint32{"ACCM 0": 0, "ACCM default": DefaultACCM} {
		b.Run(name, func(b *testing.B) {
			var e Encoder
			e.SetACCM(accm)
			wire := e.AppendFrame(nil, frame)
			d := NewDecoder(0)
			d.SetACCM(0)
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if f, _ := d.Decode(wire); f == nil {
					b.Fatal("no frame")
				}
			}
		})
	}
}

func BenchmarkFCS16(b *testing.B) {
	frame := benchFrame()
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		FCS16(frame)
	}
}
