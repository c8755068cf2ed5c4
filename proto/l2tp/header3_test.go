package l2tp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// RFC 3931 figures 3.2.1 and 4.1.2.1.
func TestParseHeader3(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		want       Header
		payload    string
	}{
		{"control", "c803 000e 01020304 0005 0006 aabb",
			Header{Control: true, HasLength: true, HasSequence: true, Version: 3, Length: 14, TunnelID: 0x01020304, Ns: 5, Nr: 6}, "aabb"},
		{"ZLB", "c803 000c ffffffff ffff 0000",
			Header{Control: true, HasLength: true, HasSequence: true, Version: 3, Length: 12, TunnelID: 0xffffffff, Ns: 0xffff}, ""},
		{"control with more in the datagram than Length", "c803 000e 00000000 0005 0006 aabbcccc",
			Header{Control: true, HasLength: true, HasSequence: true, Version: 3, Length: 14, Ns: 5, Nr: 6}, "aabb"},
		// "All reserved bits MUST be set to 0 on outgoing messages and ignored on
		// incoming messages."
		{"control with every reserved bit, and O and P of version 2", "fff3 000c 00000001 0005 0006",
			Header{Control: true, HasLength: true, HasSequence: true, Version: 3, Length: 12, TunnelID: 1, Ns: 5, Nr: 6}, ""},
		{"data", "0003 0000 01020304 aabbcc", Header{Version: 3, SessionID: 0x01020304}, "aabbcc"},
		{"data without anything", "0003 0000 ffffffff", Header{Version: 3, SessionID: 0xffffffff}, ""},
		// "Note that the initial bits 1, 4, 6, and 7 have meaning in L2TPv2 [RFC2661],
		// and are deprecated and marked as reserved in L2TPv3."
		{"data with every reserved bit", "7ff3 ffff 00000001 aa", Header{Version: 3, SessionID: 1}, "aa"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire := octets(t, test.wire)
			h, payload, err := ParseHeader(wire)
			if err != nil || cmp.Diff(test.want, h) != "" || hex.EncodeToString(payload) != test.payload {
				t.Fatalf("%x, %v: %s", payload, err, cmp.Diff(test.want, h))
			}
			control, version, tunnelID, sessionID, ok := Peek(wire)
			if !ok || control != h.Control || version != 3 || tunnelID != h.TunnelID || sessionID != h.SessionID {
				t.Errorf("Peek: %v %d %d %d %v", control, version, tunnelID, sessionID, ok)
			}
			again, payload, err := ParseHeader(append(h.Append(nil), octets(t, test.payload)...))
			if err != nil || h != again || hex.EncodeToString(payload) != test.payload || h.Len() != len(h.Append(nil)) {
				t.Errorf("again %+v, %x, %v", again, payload, err)
			}
		})
	}
}

func TestParseHeader3Errors(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		want       error
	}{
		{"control without L", "8803 000c 00000001 0005 0006", ErrControlBits},
		{"control without S", "c003 000c 00000001 0005 0006", ErrControlBits},
		{"Length one more than there is", "c803 000d 00000001 0005 0006", ErrLengthTooLong},
		{"Length within the header", "c803 000b 00000001 0005 0006", ErrLengthTooShort},
		{"Length 0", "c803 0000 00000001 0005 0006", ErrLengthTooShort},
		{"version 4", "c804 000c 00000001 0005 0006", VersionError(4)},
	} {
		h, payload, err := ParseHeader(octets(t, test.wire))
		if !errors.Is(err, test.want) || payload != nil {
			t.Errorf("%s: %+v, %x, %v; want %v", test.name, h, payload, err, test.want)
		}
	}
	for _, whole := range []string{"c803 000c 00000001 0005 0006", "0003 0000 00000001"} {
		wire := octets(t, whole)
		for n := range wire {
			if _, _, err := ParseHeader(wire[:n:n]); !errors.Is(err, ErrShortHeader) {
				t.Errorf("%s cut at %d: %v", whole, n, err)
			}
			if _, _, _, _, ok := Peek(wire[:n:n]); ok != (n >= 8) {
				t.Errorf("%s cut at %d: Peek %v", whole, n, ok)
			}
		}
	}
}

// RFC 3931 figure 4.1.1.2, with "32 bits of zeros" before the header.
func TestControlOverIP(t *testing.T) {
	message := AppendControl3(nil, 0x01020304, 5, 6, octets(t, typeAVP(TypeHELLO)))
	want := octets(t, "c803 0014 01020304 0005 0006 8008 0000 0000 0006")
	if !bytes.Equal(message, want) {
		t.Errorf("%x", message)
	}
	packet := AppendIPControl([]byte{0xee}, message)[1:]
	if !bytes.Equal(packet, append([]byte{0, 0, 0, 0}, want...)) {
		t.Errorf("%x", packet)
	}
	if id, got, ok := PeekIP(packet); id != 0 || !bytes.Equal(got, want) || !ok {
		t.Errorf("%d, %x, %v", id, got, ok)
	}
	if id, got, ok := PeekIP(octets(t, "01020304 aabb")); id != 0x01020304 || got != nil || !ok {
		t.Errorf("%d, %x, %v", id, got, ok)
	}
	if _, _, ok := PeekIP([]byte{0, 0, 0}); ok {
		t.Error("three octets have a Session ID")
	}
}
