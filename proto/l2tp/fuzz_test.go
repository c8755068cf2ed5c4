package l2tp

import (
	"bytes"
	"testing"
)

func FuzzParseHeader(f *testing.F) {
	for _, c := range captures {
		f.Add(octets(f, c.wire))
	}
	f.Add(octets(f, "4b02 0012 0001 0002 0003 0004 0002 1122 ff03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		control, version, tunnelID, sessionID, ok := Peek(b)
		h, payload, err := ParseHeader(b)
		if err != nil {
			if payload != nil {
				t.Fatalf("payload %x beside %v", payload, err)
			}
			return
		}
		if !ok || control != h.Control || version != h.Version || tunnelID != h.TunnelID || sessionID != h.SessionID {
			t.Fatalf("Peek %v %d %d %d %v of %+v", control, version, tunnelID, sessionID, ok, h)
		}
		h2, payload2, err := ParseHeader(append(h.Append(nil), payload...))
		if err != nil || h != h2 || !bytes.Equal(payload, payload2) {
			t.Fatalf("%+v, %x; again %+v, %x, %v", h, payload, h2, payload2, err)
		}
		if h.Control {
			return
		}
		out := make([]byte, DataHeaderLen(&h), DataHeaderLen(&h)+len(payload))
		out = append(out, payload...)
		if n := PutDataHeader(out, &h); n != h.Len() {
			t.Fatalf("PutDataHeader %d, Len %d of %+v", n, h.Len(), h)
		}
		h.Nr = 0 // reserved in data messages
		if h2, payload2, err = ParseHeader(out); err != nil || h != h2 || !bytes.Equal(payload, payload2) {
			t.Fatalf("%+v, %x; put %+v, %x, %v", h, payload, h2, payload2, err)
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	for _, s := range samples() {
		f.Add(octets(f, s.hex))
	}
	for _, c := range captures {
		f.Add(octets(f, c.wire)[ControlHeaderLen:])
	}
	f.Add(octets(f, hiddenICRQ))
	f.Add(octets(f, goodICRP+"0008 0009 0001 6162"+"8006 0000 0063"))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		checkMessage(t, b)
		if !bytes.Equal(b, before) {
			t.Fatal("the payload was changed")
		}
	})
}

func FuzzHidden(f *testing.F) {
	f.Add([]byte("0123456789"), []byte("sesame"), []byte("vector"), uint16(22), uint8(3))
	f.Add([]byte{}, []byte{}, []byte{}, uint16(0), uint8(0))
	f.Add(octets(f, "88ecdb71ad372d5302f75a1f687e13b4"), []byte("sesame"), octets(f, "000102030405060708090a0b0c0d0e0f"), uint16(14), uint8(0))
	f.Fuzz(func(t *testing.T, value, secret, vector []byte, typ uint16, padding uint8) {
		// As what came over the wire: any answer, but no panic, and no more
		// octets than there were.
		if got, ok := unhide(value, AVPType(typ), secret, vector); ok && len(got) > len(value)-2 {
			t.Fatalf("%d octets out of %d", len(got), len(value))
		}
		if len(value) > maxHiddenLen {
			value = value[:maxHiddenLen]
		}
		// As what we send.
		sub := append([]byte{byte(len(value) >> 8), byte(len(value))}, value...)
		sub = append(sub, make([]byte, padding)...)
		hide(sub, AVPType(typ), secret, vector)
		got, ok := unhide(sub, AVPType(typ), secret, vector)
		if !ok || !bytes.Equal(got, value) {
			t.Fatalf("%x, %v; want %x", got, ok, value)
		}
	})
}
