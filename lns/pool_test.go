package lns

import (
	"net/netip"
	"testing"

	"adit/internal/config"
)

func testPool(pairs ...string) *pool {
	p := &config.Pool{Name: "test"}
	for i := 0; i < len(pairs); i += 2 {
		p.Ranges = append(p.Ranges, config.Range{First: netip.MustParseAddr(pairs[i]), Last: netip.MustParseAddr(pairs[i+1])})
	}
	return newPool(p)
}

func TestPoolHandsOutEveryAddressOnce(t *testing.T) {
	p := testPool("10.0.0.254", "10.0.1.1", "10.9.9.9", "10.9.9.9")
	got := map[netip.Addr]bool{}
	for range 5 {
		addr, ok := p.take(netip.Addr{})
		if !ok || got[addr] {
			t.Fatalf("take: %v, %v after %v", addr, ok, got)
		}
		got[addr] = true
	}
	for _, want := range []string{"10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1", "10.9.9.9"} {
		if !got[netip.MustParseAddr(want)] {
			t.Errorf("%s was never handed out", want)
		}
	}
	if addr, ok := p.take(netip.Addr{}); ok {
		t.Errorf("an exhausted pool gave %v", addr)
	}
}

func TestPoolLetsAFreedAddressRest(t *testing.T) {
	p := testPool("10.0.0.1", "10.0.0.3")
	first, _ := p.take(netip.Addr{})
	p.giveBack(first)
	if again, _ := p.take(netip.Addr{}); again == first {
		t.Errorf("%v was handed out twice in a row although others were free", first)
	}
	p.take(netip.Addr{})
	if last, ok := p.take(netip.Addr{}); !ok || last != first {
		t.Errorf("the freed address did not come back: %v, %v", last, ok)
	}
}

func TestPoolNeverHandsOutOurOwnAddress(t *testing.T) {
	p := testPool("10.0.0.1", "10.0.0.2")
	own := netip.MustParseAddr("10.0.0.1")
	if addr, ok := p.take(own); !ok || addr == own {
		t.Fatalf("take: %v, %v", addr, ok)
	}
	if addr, ok := p.take(own); ok {
		t.Errorf("gave %v, the only one left is our own", addr)
	}
	if taken, size := p.used(); taken != 1 || size != 2 {
		t.Errorf("used: %d of %d", taken, size)
	}
}
