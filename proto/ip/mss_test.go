package ip

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// syn returns a SYN with these options and its header.
func syn(version int, flags uint8, options ...byte) ([]byte, Header) {
	f := flowOf(version, ProtocolTCP)
	f.flags, f.options = flags, options
	p := f.next(nil)
	return p, *mustParse(p)
}

func TestClampMSS(t *testing.T) {
	for _, c := range []struct {
		name    string
		version int
		flags   uint8
		options []byte
		mtu     int
		at      int // where in the options the value is; -1: nothing may change
		want    uint16
	}{
		{"SYN", 4, tcpSYN, []byte{2, 4, 5, 180}, 1400, 2, 1360},
		{"SYN ACK", 4, tcpSYN | tcpACK, []byte{2, 4, 5, 180}, 1400, 2, 1360},
		{"IPv6", 6, tcpSYN, []byte{2, 4, 5, 160}, 1400, 2, 1340},
		{"at an odd octet", 4, tcpSYN, []byte{1, 2, 4, 0xff, 0xfe, 1, 1, 0}, 576, 3, 536},
		{"after others", 6, tcpSYN, []byte{1, 3, 3, 7, 4, 2, 1, 2, 4, 5, 180, 0}, 1280, 9, 1220},
		{"already less", 4, tcpSYN, []byte{2, 4, 5, 0}, 1400, -1, 0},
		{"just right", 4, tcpSYN, []byte{2, 4, 1360 >> 8, 1360 & 0xff}, 1400, -1, 0},
		{"no SYN", 4, tcpACK, []byte{2, 4, 5, 180}, 1400, -1, 0},
		{"no option", 4, tcpSYN, nil, 1400, -1, 0},
		{"after the end of the list", 4, tcpSYN, []byte{0, 2, 4, 5, 180, 0, 0, 0}, 1400, -1, 0},
		{"length 3", 4, tcpSYN, []byte{2, 3, 5, 1}, 1400, -1, 0},
		{"length 0 before it", 4, tcpSYN, []byte{3, 0, 2, 4, 5, 180, 0, 0}, 1400, -1, 0},
		{"cut", 4, tcpSYN, []byte{1, 1, 2, 4}, 1400, -1, 0},
		{"kind only", 4, tcpSYN, []byte{1, 1, 1, 2}, 1400, -1, 0},
		{"malformed after it", 4, tcpSYN, []byte{2, 4, 5, 180, 9, 99, 0, 0}, 1400, -1, 0},
		{"twice", 4, tcpSYN, []byte{2, 4, 5, 180, 2, 4, 5, 180}, 1400, -1, 0},
		{"no room", 4, tcpSYN, []byte{2, 4, 5, 180}, 40, -1, 0},
	} {
		p, h := syn(c.version, c.flags, c.options...)
		want := bytes.Clone(p)
		if c.at >= 0 {
			binary.BigEndian.PutUint16(want[h.HeaderLen+tcpLen+c.at:], c.want)
			fixUpper(want)
		}
		if got := ClampMSS(p, h, c.mtu); got != (c.at >= 0) || !bytes.Equal(p, want) {
			t.Errorf("%s: %v\ngot  %x\nwant %x", c.name, got, p, want)
		}
	}
}

func TestClampMSSOnlyTCP(t *testing.T) {
	p := flowOf(4, ProtocolUDP).next([]byte{0, 0, 0, 0, 0x60, tcpSYN, 0, 0, 0, 0, 0, 0, 2, 4, 5, 180})
	want := bytes.Clone(p)
	if ClampMSS(p, *mustParse(p), 1400) || !bytes.Equal(p, want) {
		t.Error("UDP is changed")
	}
	p, _ = syn(4, tcpSYN, 2, 4, 5, 180)
	p[7] = 1 // a later fragment
	want = bytes.Clone(p)
	if ClampMSS(p, *mustParse(p), 1400) || !bytes.Equal(p, want) {
		t.Error("a later fragment is changed")
	}
}
