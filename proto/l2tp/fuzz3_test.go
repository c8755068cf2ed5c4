package l2tp

import (
	"bytes"
	"testing"
)

func FuzzParseMessage3(f *testing.F) {
	for _, s := range samples3 {
		f.Add(octets(f, s.hex))
	}
	f.Add(octets(f, hidden3))
	f.Add(octets(f, offer))
	f.Add(octets(f, icrp3+"8017 0000 003b 00"+noMD5+"8006 0000 0063"))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		checkMessageVersion(t, Version3, b)
		checkMessageVersion(t, Version, b)
		FindNonce(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the payload was changed")
		}
	})
}

func FuzzParseDataHeader3(f *testing.F) {
	for _, s := range dataSamples3 {
		f.Add(octets(f, s.wire), s.want.IP, len(s.want.Cookie), uint16(s.want.Sublayer))
	}
	f.Fuzz(func(t *testing.T, b []byte, ip bool, cookie int, sublayer uint16) {
		h, frame, err := ParseDataHeader3(b, ip, cookie, SublayerType(sublayer))
		if err != nil {
			if frame != nil {
				t.Fatalf("frame %x beside %v", frame, err)
			}
			return
		}
		if len(frame)+DataHeader3Len(&h) != len(b) {
			t.Fatalf("%d octets of %d: %+v", len(frame), len(b), h)
		}
		out := append(make([]byte, DataHeader3Len(&h)), frame...)
		if n := PutDataHeader3(out, &h); n != DataHeader3Len(&h) {
			t.Fatalf("put %d of %+v", n, h)
		}
		again, frame2, err := ParseDataHeader3(out, ip, cookie, SublayerType(sublayer))
		if err != nil || again.SessionID != h.SessionID || again.Flags != h.Flags || again.HasSequence != h.HasSequence ||
			again.Sequence != h.Sequence || !bytes.Equal(again.Cookie, h.Cookie) || !bytes.Equal(frame, frame2) {
			t.Fatalf("%+v, again %+v, %v", h, again, err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	for _, s := range []string{helloStart + helloMD5, twoStart + twoMD5 + twoNext + twoSHA1, sccrqStart + sccrqSHA1 + sccrqEnd, "c803 000c 00000001 0000 0000"} {
		f.Add(octets(f, s))
	}
	keys := [][]byte{SharedKey(secret), SharedKey(otherSecret)}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		err := Verify(b, keys, receivers, senders)
		if !bytes.Equal(b, before) {
			t.Fatal("the packet was changed")
		}
		if err == nil && !HasDigest(b) {
			t.Fatal("verified without a digest")
		}
		// What can be signed is verified by the other end, and by no third one.
		if Sign(b, keys, senders, receivers) != nil {
			return
		}
		if err := Verify(b, keys, receivers, senders); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if Verify(b, [][]byte{SharedKey(nil)}, receivers, senders) == nil {
			t.Fatalf("%x: without the secret", b)
		}
	})
}
