package config

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestPrefixes(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.7":                        "[10.0.0.7/32]",
		"10.0.0.0/31":                     "[10.0.0.0/31]",
		"10.0.0.10-10.0.0.20":             "[10.0.0.10/31 10.0.0.12/30 10.0.0.16/30 10.0.0.20/32]",
		"0.0.0.0-255.255.255.255":         "[0.0.0.0/0]",
		"255.255.255.254-255.255.255.255": "[255.255.255.254/31]",
		"10.0.0.255-10.0.1.0":             "[10.0.0.255/32 10.0.1.0/32]",
	} {
		r, problem := parseRange(in)
		if problem != "" {
			t.Fatal(in, problem)
		}
		if got := fmt.Sprint((&Pool{Ranges: []Range{r}}).Prefixes()); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

// TestPrefixesAreExact compares with each address of some ranges.
func TestPrefixesAreExact(t *testing.T) {
	for first := range uint32(40) {
		for last := first; last < 40; last++ {
			r := Range{addr4(first), addr4(last)}
			prefixes := r.prefixes()
			for n := range uint32(64) {
				holders := 0
				for _, p := range prefixes {
					if p.Contains(addr4(n)) {
						holders++
					}
				}
				if in := n >= first && n <= last; in != (holders == 1) || holders > 1 {
					t.Fatalf("%v: %v is in %d of %v", r, addr4(n), holders, prefixes)
				}
			}
		}
	}
	if p := (Range{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.254")}).prefixes(); len(p) != 14 {
		t.Errorf("%d prefixes: %v", len(p), p)
	}
}
