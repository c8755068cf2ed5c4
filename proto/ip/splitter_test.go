package ip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// superTCP is a super packet of TCP over IPv4 as a kernel gives it: nothing
// summed, header lengths of the whole, FIN, PSH and CWR set.
func superTCP(payload []byte) (GSO, []byte) {
	f := flowOf(4, ProtocolTCP)
	f.flags = tcpACK | tcpFIN | tcpPSH | tcpCWR | 0x40
	f.options = []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
	f.seq = 0xffffff00
	p := f.next(payload)
	p[36], p[37] = 0xde, 0xad // what the kernel leaves in the checksum field
	return GSO{Type: GSOTCPv4, SegmentSize: 100, HeaderLen: 999, NeedsChecksum: true, ChecksumStart: 20,
		ChecksumOffset: 16, ECN: true}, p
}

func TestSplitTCPFlags(t *testing.T) {
	payload := octets(350, 3)
	g, p := superTCP(payload)
	got, err := cut(g, p)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d packets, %v", len(got), err)
	}
	var data []byte
	for i, q := range got {
		h := mustParse(q)
		want := byte(tcpACK | 0x40)
		if i == 0 {
			want |= tcpCWR
		}
		if i == 3 {
			want |= tcpFIN | tcpPSH
		}
		if q[33] != want {
			t.Errorf("packet %d: flags %#x, want %#x", i, q[33], want)
		}
		if seq := binary.BigEndian.Uint32(q[24:]); seq != 0xffffff00+uint32(len(data)) {
			t.Errorf("packet %d: sequence %#x", i, seq)
		}
		if id := binary.BigEndian.Uint16(q[4:]); id != uint16(7+i) {
			t.Errorf("packet %d: identification %d", i, id)
		}
		fixed := bytes.Clone(q)
		fixIP4(fixed)
		fixUpper(fixed)
		if !bytes.Equal(fixed, q) || h.Length != len(q) {
			t.Errorf("packet %d: checksums or length", i)
		}
		data = append(data, q[52:]...)
	}
	if !bytes.Equal(data, payload) {
		t.Error("the data differ")
	}
}

func TestSplitOfOne(t *testing.T) {
	// A super packet of one segment, and of none: as a kernel may give them.
	for _, n := range []int{100, 99, 0} {
		g, p := superTCP(octets(n, 1))
		got, err := cut(g, p)
		if err != nil || len(got) != 1 {
			t.Fatalf("%d octets: %d packets, %v", n, len(got), err)
		}
		fixUpper(p)
		if !bytes.Equal(got[0], p) {
			t.Errorf("%d octets: differs", n)
		}
	}
}

// A single packet: as it is, or with its checksum completed.
func TestSplitSingle(t *testing.T) {
	for _, k := range kinds {
		p := train(k.version, k.protocol, 1, 333)[0]
		if got, err := cut(GSO{DataValid: true}, p); err != nil || len(got) != 1 || !bytes.Equal(got[0], p) {
			t.Errorf("%s: %v", k.name, err)
		}
		h := mustParse(p)
		field := 6
		if k.protocol == ProtocolTCP {
			field = 16
		}
		g := GSO{NeedsChecksum: true, ChecksumStart: uint16(h.HeaderLen), ChecksumOffset: uint16(field)}
		partial := bytes.Clone(p)
		sum := PseudoHeader(h.Src, h.Dst, h.Protocol, h.Length-h.HeaderLen)
		binary.BigEndian.PutUint16(partial[h.HeaderLen+field:], Fold(sum))
		if got, err := cut(g, partial); err != nil || len(got) != 1 || !bytes.Equal(got[0], p) {
			t.Errorf("%s: %v", k.name, err)
		}
	}
}

// "If the computed checksum is zero, it is transmitted as all ones" (RFC 768):
// two octets of data are chosen so that the checksum comes to 0.
func TestSplitUDPZeroChecksum(t *testing.T) {
	f := flowOf(4, ProtocolUDP)
	payload := make([]byte, 10)
	p := f.next(payload)
	copy(payload[8:], p[26:28])
	f.id = 7
	p = f.next(payload)
	if p[26] != 0xff || p[27] != 0xff {
		t.Fatalf("checksum %x", p[26:28])
	}
	got, err := cut(GSO{Type: GSOUDP, SegmentSize: 10, NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 6}, p)
	if err != nil || !bytes.Equal(got[0], p) {
		t.Errorf("super packet: %v", err)
	}
	partial := bytes.Clone(p)
	binary.BigEndian.PutUint16(partial[26:], Fold(PseudoHeader(a4, b4, 17, 18)))
	got, err = cut(GSO{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 6}, partial)
	if err != nil || !bytes.Equal(got[0], p) {
		t.Errorf("single: %v", err)
	}
}

func TestBeginErrors(t *testing.T) {
	good, p := superTCP(octets(350, 1))
	with := func(change func(g *GSO)) GSO {
		g := good
		change(&g)
		return g
	}
	packet := func(change func(p []byte)) []byte {
		q := bytes.Clone(p)
		change(q)
		return q
	}
	single := GSO{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}
	six := train(6, ProtocolUDP, 1, 300)[0]
	for _, c := range []struct {
		name   string
		g      GSO
		packet []byte
		want   error
	}{
		{"nothing", GSO{}, nil, ErrTruncated},
		{"nothing to cut", good, nil, ErrTruncated},
		{"segment size 0", with(func(g *GSO) { g.SegmentSize = 0 }), p, ErrGSO},
		{"other version", with(func(g *GSO) { g.Type = GSOTCPv6 }), p, ErrGSO},
		{"other version 6", with(func(g *GSO) { g.Type = GSOTCPv4 }), six, ErrGSO},
		{"other protocol", with(func(g *GSO) { g.Type = GSOUDP }), p, ErrGSO},
		{"unknown type", with(func(g *GSO) { g.Type = 9 }), p, ErrGSO},
		{"checksum start", with(func(g *GSO) { g.ChecksumStart = 24 }), p, ErrGSO},
		{"checksum offset", with(func(g *GSO) { g.ChecksumOffset = 6 }), p, ErrGSO},
		{"data offset 4", good, packet(func(p []byte) { p[32] = 4 << 4 }), ErrGSO},
		{"data offset 0", good, packet(func(p []byte) { p[32] = 0 }), ErrGSO},
		{"fragment", good, packet(func(p []byte) { p[6] = 0x20 }), ErrGSO},
		{"truncated", good, p[:100], ErrTruncated},
		{"no TCP header", good, packet(func(p []byte) { p[2], p[3] = 0, 39 }), ErrTruncated},
		{"no options", good, packet(func(p []byte) { p[2], p[3] = 0, 51 }), ErrTruncated},
		{"IP version 5", good, packet(func(p []byte) { p[0] = 0x55 }), ErrVersion},
		{"single, start 0", GSO{NeedsChecksum: true}, p, ErrGSO},
		{"single, too short", single, p[:37], ErrGSO},
		{"single, far away", GSO{NeedsChecksum: true, ChecksumStart: 65535, ChecksumOffset: 65535}, p, ErrGSO},
	} {
		var s Splitter
		if err := s.Begin(c.g, c.packet); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		} else if n := s.Next(); n != 0 || s.Put(make([]byte, 70000)) != 0 {
			t.Errorf("%s: a segment of %d octets after the error", c.name, n)
		}
	}
}

// A caller without room for a segment goes on with the next.
func TestPutRefused(t *testing.T) {
	g, p := superTCP(octets(350, 1))
	want, err := cut(g, p)
	if err != nil {
		t.Fatal(err)
	}
	var s Splitter
	if err := s.Begin(g, p); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1500)
	if s.Put(b) != 0 {
		t.Error("put before Next")
	}
	s.Next() // skipped
	n := s.Next()
	if s.Put(b[:n-1]) != 0 {
		t.Error("put into too little")
	}
	for range 2 {
		if m := s.Put(b); m != n || !bytes.Equal(b[:m], want[1]) {
			t.Errorf("second segment: %d octets", m)
		}
	}
	s.Next()
	s.Next()
	for range 2 {
		if s.Next() != 0 || s.Put(b) != 0 {
			t.Error("more than there is")
		}
	}
}
