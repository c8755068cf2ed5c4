package ip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// fragments returns the fragments of packet.
func fragments(packet []byte, mtu int) ([][]byte, error) {
	var f Fragmenter
	if err := f.Begin(packet, *mustParse(packet), mtu); err != nil {
		return nil, err
	}
	var all [][]byte
	for n := f.Next(); n > 0; n = f.Next() {
		b := make([]byte, n)
		f.Put(b)
		all = append(all, b)
	}
	return all, nil
}

// reassemble checks and joins fragments, which begin at offset octets.
func reassemble(t *testing.T, all [][]byte, mtu, offset int, more bool) []byte {
	t.Helper()
	var data []byte
	for i, p := range all {
		h := mustParse(p)
		last := i == len(all)-1
		field := binary.BigEndian.Uint16(p[6:])
		if len(p) > mtu || h.Length != len(p) || int(h.Offset) != offset+len(data) || naive(p[:h.HeaderLen], 0) != 0xffff {
			t.Errorf("fragment %d: %+v", i, h)
		}
		if (field&flagMF != 0) != (more || !last) || field&flagDF != 0 {
			t.Errorf("fragment %d: flags %#x", i, field)
		}
		if !last && (len(p)-h.HeaderLen)%8 != 0 {
			t.Errorf("fragment %d: %d octets of data", i, len(p)-h.HeaderLen)
		}
		data = append(data, p[h.HeaderLen:]...)
	}
	return data
}

func TestFragments(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 500, 1372, 1373, 3000, 65507} {
		for _, mtu := range []int{68, 576, 1006, 1400} {
			p := flowOf(4, ProtocolUDP).next(octets(size, size))
			all, err := fragments(append(bytes.Clone(p), 1, 2, 3), mtu) // with padding
			if err != nil {
				t.Fatal(err)
			}
			if len(p) <= mtu {
				if len(all) != 1 || !bytes.Equal(all[0], p) {
					t.Errorf("%d octets into %d: changed", len(p), mtu)
				}
				continue
			}
			if want := (len(p) - 20 + (mtu-20)&^7 - 1) / ((mtu - 20) &^ 7); len(all) != want {
				t.Errorf("%d octets into %d: %d fragments, want %d", len(p), mtu, len(all), want)
			}
			if got := reassemble(t, all, mtu, 0, false); !bytes.Equal(got, p[20:]) {
				t.Errorf("%d octets into %d: the data differ", len(p), mtu)
			}
		}
	}
}

// "the copied flag indicates that this option is copied into all fragments".
func TestFragmentsWithOptions(t *testing.T) {
	p := flowOf(4, ProtocolUDP).next(octets(300, 1))
	options := []byte{7, 7, 4, 0, 0, 0, 0, 0x83, 3, 4, 1, 0} // record route; loose source route, copied
	p = append(append(bytes.Clone(p[:20]), options...), p[20:]...)
	p[0] = 0x48
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	fixIP4(p)
	all, err := fragments(p, 100)
	if err != nil || len(all) != 5 {
		t.Fatalf("%d fragments, %v", len(all), err)
	}
	if got := reassemble(t, all, 100, 0, false); !bytes.Equal(got, p[32:]) {
		t.Error("the data differ")
	}
	if !bytes.Equal(all[0][20:32], options) {
		t.Errorf("first: options %x", all[0][20:32])
	}
	want := []byte{1, 1, 1, 1, 1, 1, 1, 0x83, 3, 4, 1, 0}
	for i, f := range all[1:] {
		if !bytes.Equal(f[20:32], want) {
			t.Errorf("fragment %d: options %x, want %x", i+1, f[20:32], want)
		}
	}
}

// A fragment that is cut again keeps its place in the datagram.
func TestFragmentsOfFragment(t *testing.T) {
	for _, more := range []bool{false, true} {
		p := flowOf(4, ProtocolUDP).next(octets(500, 1))
		field := uint16(1480 / 8)
		if more {
			field |= flagMF
			p = p[:20+504]
			binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		}
		binary.BigEndian.PutUint16(p[6:], field)
		fixIP4(p)
		all, err := fragments(p, 200)
		if err != nil || len(all) != 3 {
			t.Fatalf("%d fragments, %v", len(all), err)
		}
		if got := reassemble(t, all, 200, 1480, more); !bytes.Equal(got, p[20:]) {
			t.Error("the data differ")
		}
	}
}

func TestFragmentErrors(t *testing.T) {
	p := flowOf(4, ProtocolUDP).next(octets(500, 1))
	if _, err := fragments(p, 27); !errors.Is(err, ErrHeader) {
		t.Errorf("mtu 27: %v", err)
	}
	end := bytes.Clone(p)
	end[6], end[7] = 0x1f, 0xff
	if _, err := fragments(end, 100); !errors.Is(err, ErrHeader) {
		t.Errorf("beyond the end: %v", err)
	}
	p[6] = 0x40
	if _, err := fragments(p, 100); !errors.Is(err, ErrDontFragment) {
		t.Errorf("DF: %v", err)
	}
	six := flowOf(6, ProtocolUDP).next(octets(1300, 1))
	if _, err := fragments(six, 1280); !errors.Is(err, ErrDontFragment) {
		t.Errorf("IPv6: %v", err)
	}
	if all, err := fragments(six, 1348); err != nil || len(all) != 1 || !bytes.Equal(all[0], six) {
		t.Errorf("IPv6 that fits: %v", err)
	}
	var f Fragmenter
	if err := f.Begin(p[:30], *mustParse(p), 100); !errors.Is(err, ErrTruncated) {
		t.Errorf("truncated: %v", err)
	}
	if f.Next() != 0 || f.Put(make([]byte, 100)) != 0 {
		t.Error("a fragment after an error")
	}
}
