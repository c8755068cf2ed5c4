package l2tp

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseHeader(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		want       Header
		payload    string
	}{
		{"control", "c802 000e 0001 0002 0003 0004 aabb",
			Header{Control: true, HasLength: true, HasSequence: true, Version: 2, Length: 14, TunnelID: 1, SessionID: 2, Ns: 3, Nr: 4}, "aabb"},
		{"ZLB", "c802 000c 0001 0000 ffff 0000",
			Header{Control: true, HasLength: true, HasSequence: true, Version: 2, Length: 12, TunnelID: 1, Ns: 0xffff}, ""},
		{"control with more in the datagram than Length", "c802 000e 0001 0002 0003 0004 aabbcccc",
			Header{Control: true, HasLength: true, HasSequence: true, Version: 2, Length: 14, TunnelID: 1, SessionID: 2, Ns: 3, Nr: 4}, "aabb"},
		// "The P bit MUST be set to 0 for all control messages."
		{"control with P", "c902 000c 0001 0002 0003 0004",
			Header{Control: true, HasLength: true, HasSequence: true, Version: 2, Length: 12, TunnelID: 1, SessionID: 2, Ns: 3, Nr: 4}, ""},
		// "All reserved bits MUST be set to 0 on outgoing messages and ignored
		// on incoming messages."
		{"control with every reserved bit", "fcf2 000c 0001 0002 0003 0004",
			Header{Control: true, HasLength: true, HasSequence: true, Version: 2, Length: 12, TunnelID: 1, SessionID: 2, Ns: 3, Nr: 4}, ""},
		{"data, least", "0002 0001 0002 ff03",
			Header{Version: 2, TunnelID: 1, SessionID: 2}, "ff03"},
		{"data without frame", "0002 0001 0002",
			Header{Version: 2, TunnelID: 1, SessionID: 2}, ""},
		{"data with every reserved bit", "34f2 0001 0002 ff03",
			Header{Version: 2, TunnelID: 1, SessionID: 2}, "ff03"},
		{"data with length", "4002 000a 0001 0002 ff03",
			Header{HasLength: true, Version: 2, Length: 10, TunnelID: 1, SessionID: 2}, "ff03"},
		{"data with length and padding behind", "4002 000a 0001 0002 ff03 0000",
			Header{HasLength: true, Version: 2, Length: 10, TunnelID: 1, SessionID: 2}, "ff03"},
		{"data with sequence", "0802 0001 0002 0003 0004 ff03",
			Header{HasSequence: true, Version: 2, TunnelID: 1, SessionID: 2, Ns: 3, Nr: 4}, "ff03"},
		{"data with priority", "0102 0001 0002 ff03",
			Header{Priority: true, Version: 2, TunnelID: 1, SessionID: 2}, "ff03"},
		{"data with offset 0", "0202 0001 0002 0000 ff03",
			Header{HasOffset: true, Version: 2, TunnelID: 1, SessionID: 2}, "ff03"},
		// "If the offset field is present, the L2TP header ends after the last
		// octet of the offset padding."
		{"data with offset", "0202 0001 0002 0003 112233 ff03",
			Header{HasOffset: true, Version: 2, TunnelID: 1, SessionID: 2, Offset: 3}, "ff03"},
		{"data with offset up to the end", "0202 0001 0002 0003 112233",
			Header{HasOffset: true, Version: 2, TunnelID: 1, SessionID: 2, Offset: 3}, ""},
		{"data with everything", "4b02 0012 0001 0002 0003 0004 0002 1122 ff03",
			Header{
				HasLength: true, HasSequence: true, HasOffset: true, Priority: true, Version: 2,
				Length: 18, TunnelID: 1, SessionID: 2, Ns: 3, Nr: 4, Offset: 2,
			}, "ff03"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire := octets(t, test.wire)
			h, payload, err := ParseHeader(wire)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, h); diff != "" {
				t.Error(diff)
			}
			if !bytes.Equal(payload, octets(t, test.payload)) {
				t.Errorf("payload %x, want %s", payload, test.payload)
			}
			control, version, tunnelID, sessionID, ok := Peek(wire)
			if !ok || control != h.Control || version != 2 || tunnelID != 1 || sessionID != h.SessionID {
				t.Errorf("Peek: %v %d %d %d %v", control, version, tunnelID, sessionID, ok)
			}
			// Written again it is the same header, without reserved bits.
			again, payload, err := ParseHeader(append(h.Append(nil), octets(t, test.payload)...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, again); diff != "" {
				t.Error(diff)
			}
			if !bytes.Equal(payload, octets(t, test.payload)) || h.Len() != len(h.Append(nil)) {
				t.Errorf("payload %x, Len %d", payload, h.Len())
			}
		})
	}
}

func TestParseHeaderErrors(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		want       error
	}{
		{"empty", "", ErrShortHeader},
		{"one octet", "c8", ErrShortHeader},
		{"control without L", "8802 0001 0002 0003 0004", ErrControlBits},
		{"control without S", "c002 0008 0001 0002", ErrControlBits},
		{"control with O", "ca02 000e 0001 0002 0003 0004 0000", ErrControlBits},
		{"Length one more than there is", "c802 000d 0001 0002 0003 0004", ErrLengthTooLong},
		{"Length within the header", "c802 000b 0001 0002 0003 0004", ErrLengthTooShort},
		{"Length 0", "c802 0000 0001 0002 0003 0004", ErrLengthTooShort},
		{"data Length within the header", "4002 0007 0001 0002 ff03", ErrLengthTooShort},
		{"data Length too long", "4002 000b 0001 0002 ff03", ErrLengthTooLong},
		{"offset past the end", "0202 0001 0002 0004 112233", ErrOffset},
		{"offset past the Length", "4202 000c 0001 0002 0003 1122 33ff03", ErrOffset},
		{"largest offset", "0202 0001 0002 ffff 112233", ErrOffset},
		{"L2F", "c801 000c 0001 0002 0003 0004", VersionError(1)},
		{"version 0", "c800 000c 0001 0002 0003 0004", VersionError(0)},
		{"version 15", "c80f 000c 0001 0002 0003 0004", VersionError(15)},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, payload, err := ParseHeader(octets(t, test.wire))
			if !errors.Is(err, test.want) || payload != nil {
				t.Errorf("%+v, %x, %v; want %v", h, payload, err, test.want)
			}
		})
	}
}

// Every kind of header, cut at every octet.
func TestParseHeaderTruncated(t *testing.T) {
	for flags := range 0x10000 {
		if flags&maskVersion != Version || flags&0x34f0 != 0 {
			continue
		}
		wire := octets(t, "0000 0010 0001 0002 0003 0004 0002 0005")
		wire[0], wire[1] = byte(flags>>8), byte(flags)
		for n := range wire {
			h, payload, err := ParseHeader(wire[:n:n])
			if err == nil && (h.HasLength || h.Len()+len(payload) != n) {
				t.Errorf("%#x cut at %d: %+v, %x", flags, n, h, payload)
			}
		}
	}
}

func TestVersionError(t *testing.T) {
	var version VersionError
	if _, _, err := ParseHeader([]byte{0, 4}); !errors.As(err, &version) || version != 4 {
		t.Errorf("%v", err)
	}
	for v, want := range map[VersionError]string{
		1: "l2tp: version 1 packet (L2F)",
		3: "l2tp: version 3 packet (L2TPv3)",
		9: "l2tp: unknown version 9",
	} {
		if v.Error() != want {
			t.Errorf("%q, want %q", v.Error(), want)
		}
	}
}

func TestAppendControl(t *testing.T) {
	b := AppendControl([]byte{0xee}, 1, 2, 3, 4, []byte{0xaa, 0xbb})
	if want := octets(t, "ee c802 000e 0001 0002 0003 0004 aabb"); !bytes.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
	zlb := AppendControl(nil, 1, 0, 3, 4, nil)
	if want := octets(t, "c802 000c 0001 0000 0003 0004"); !bytes.Equal(zlb, want) {
		t.Errorf("%x, want %x", zlb, want)
	}
}

// A control header is right whatever the fields say.
func TestAppendControlHeaderBits(t *testing.T) {
	h := Header{Control: true, HasOffset: true, Offset: 9, Priority: true, Length: 12, Ns: 7}
	if want := octets(t, "c802 000c 0000 0000 0007 0000"); !bytes.Equal(h.Append(nil), want) {
		t.Errorf("%x, want %x", h.Append(nil), want)
	}
	if h.Len() != ControlHeaderLen {
		t.Errorf("Len %d", h.Len())
	}
}
