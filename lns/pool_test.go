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
		addr, ok := p.take()
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
	if addr, ok := p.take(); ok {
		t.Errorf("an exhausted pool gave %v", addr)
	}
}

func TestPoolLetsAFreedAddressRest(t *testing.T) {
	p := testPool("10.0.0.1", "10.0.0.3")
	first, _ := p.take()
	p.giveBack(first)
	if again, _ := p.take(); again == first {
		t.Errorf("%v was handed out twice in a row although others were free", first)
	}
	p.take()
	if last, ok := p.take(); !ok || last != first {
		t.Errorf("the freed address did not come back: %v, %v", last, ok)
	}
}

// taken is the number of addresses in use.
func (p *pool) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.inUse)
}

// TestPoolGivesTheLongestRested: those that nobody has had come first, then the
// others in the order in which they came back; and one comes back only once.
func TestPoolGivesTheLongestRested(t *testing.T) {
	p := testPool("10.0.0.1", "10.0.0.4", "10.0.0.7", "10.0.0.7")
	at := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for range 4 {
		p.take()
	}
	for _, back := range []string{"10.0.0.3", "10.0.0.1", "10.0.0.3", "10.0.0.9"} {
		p.giveBack(at(back))
	}
	for _, want := range []string{"10.0.0.7", "10.0.0.3", "10.0.0.1"} {
		if got, ok := p.take(); !ok || got != at(want) {
			t.Errorf("%v, %v; want %s", got, ok, want)
		}
	}
	if got, ok := p.take(); ok {
		t.Errorf("gave %v, which is in use or not of the pool", got)
	}
}

// TestPoolUpToTheLastAddress: the one after 255.255.255.255 is none.
func TestPoolUpToTheLastAddress(t *testing.T) {
	p := testPool("255.255.255.254", "255.255.255.255")
	for _, want := range []bool{true, true, false} {
		if addr, ok := p.take(); ok != want {
			t.Errorf("%v, %v", addr, ok)
		}
	}
}
