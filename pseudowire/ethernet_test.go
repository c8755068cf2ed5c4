package pseudowire

import (
	"bytes"
	"testing"
)

func frameOf(parts ...string) []byte {
	b := []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02")
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func TestPacketOf(t *testing.T) {
	for _, c := range []struct {
		name    string
		frame   []byte
		prefix  int
		version uint8
	}{
		{"IPv4", frameOf("\x08\x00", "E"), 14, 4},
		{"IPv6", frameOf("\x86\xdd", "`"), 14, 6},
		{"tagged", frameOf("\x81\x00\x00\x07", "\x08\x00"), 18, 4},
		{"QinQ", frameOf("\x88\xa8\x00\x07", "\x81\x00\x00\x08", "\x86\xdd"), 22, 6},
		{"three tags", frameOf("\x81\x00\x00\x07", "\x81\x00\x00\x07", "\x81\x00\x00\x08", "\x08\x00"), 0, 0},
		{"ARP", frameOf("\x08\x06"), 0, 0},
		{"802.3 length", frameOf("\x00\x30", "\xaa\xaa\x03"), 0, 0},
		{"ends in the type", frameOf("\x08"), 0, 0},
		{"ends in a tag", frameOf("\x81\x00\x00\x07", "\x08"), 0, 0},
		{"nothing", nil, 0, 0},
	} {
		if prefix, version := packetOf(c.frame); prefix != c.prefix || version != c.version {
			t.Errorf("%s: %d, IPv%d", c.name, prefix, version)
		}
	}
}

// RFC 4719 section 1.4: "Such functions may include stripping, overwriting, or adding
// VLAN tags."
func TestTags(t *testing.T) {
	plain := frameOf("\x08\x06", "payload")
	tagged := frameOf("\x81\x00\x0a\xbc", "\x08\x06", "payload")
	room := make([]byte, len(plain)+tagLen)
	copy(room[tagLen:], plain)
	pushTag(room, 0xabc)
	if !bytes.Equal(room, tagged) {
		t.Errorf("pushed: %x", room)
	}
	priority := bytes.Clone(tagged)
	priority[14] |= 0xf0 // priority and the drop eligible indicator
	for _, f := range [][]byte{bytes.Clone(tagged), priority} {
		if got, ok := popTag(f, 0xabc); !ok || !bytes.Equal(got, plain) {
			t.Errorf("popped: %x, %v", got, ok)
		}
	}
	for name, f := range map[string][]byte{
		"another VLAN": frameOf("\x81\x00\x0a\xbd", "\x08\x06"), "no tag": plain, "a service tag": frameOf("\x88\xa8\x0a\xbc", "\x08\x06"),
		"priority only": frameOf("\x81\x00\x00\x00", "\x08\x06"), "cut off": frameOf("\x81\x00\x0a\xbc", "\x08"), "empty": nil,
	} {
		before := bytes.Clone(f)
		if got, ok := popTag(f, 0xabc); ok || !bytes.Equal(f, before) {
			t.Errorf("%s: popped %x", name, got)
		}
	}
}
