package ip

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"
)

// A burst holds 64 of them.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Super{}); n > 3500 {
		t.Errorf("a Super has %d octets", n)
	}
	if n := unsafe.Sizeof(Limiter{}); n > 64 {
		t.Errorf("a Limiter has %d octets", n)
	}
}

func TestNoAllocations(t *testing.T) {
	var s Super
	var cutter Splitter
	var f Fragmenter
	dst := make([]byte, 2000)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	limiter := NewLimiter(1, 1)
	long := flowOf(4, ProtocolUDP).next(octets(3000, 1))
	echo := echo6(b6, router6, octets(64, 1))
	clamped, header := syn(4, tcpSYN, 2, 4, 0xff, 0xff)
	mtu := 65000
	runs := map[string]func(){
		"fragment": func() {
			h, _ := Parse(long)
			if f.Begin(long, h, 1400) != nil {
				t.Error("not begun")
			}
			for n := f.Next(); n > 0; n = f.Next() {
				f.Put(dst)
			}
		},
		"ICMP": func() {
			AppendUnreachable(dst[:0], long, router4, UnreachableSource)
			AppendTooBig(dst[:0], long, router4, 1400)
			AppendEchoReply(dst[:0], echo)
		},
		"MSS": func() {
			if mtu--; !ClampMSS(clamped, header, mtu) {
				t.Error("not clamped")
			}
		},
		"limiter": func() { limiter.Allow(now) },
		"addresses": func() {
			a, _ := Source(echo)
			b, _ := Destination(long)
			if a == (netip.Addr{}) || b == (netip.Addr{}) {
				t.Error("no address")
			}
		},
	}
	for _, k := range kinds {
		packets := train(k.version, k.protocol, 30, 1400)
		mergeAll(t, &s, packets)
		g, parts := s.Finish()
		all := joined(parts)
		runs["merge "+k.name] = func() { mergeAll(t, &s, packets) }
		runs["split "+k.name] = func() {
			if cutter.Begin(g, all) != nil {
				t.Error("not begun")
			}
			for n := cutter.Next(); n > 0; n = cutter.Next() {
				cutter.Put(dst)
			}
		}
	}
	for name, run := range runs {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
