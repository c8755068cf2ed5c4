package ppp

import (
	"strings"
	"testing"
)

// Every phase, cause and family has words of its own; others have a number.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	check := func(s string, known bool) {
		t.Helper()
		if s == "" || seen[s] || strings.Contains(s, "(") == known {
			t.Errorf("name %q", s)
		}
		seen[s] = true
	}
	for p := PhaseDead; p <= PhaseTerminate+1; p++ {
		check(p.String(), p <= PhaseTerminate)
	}
	for c := CauseNone; c <= CauseIdleTimeout+1; c++ {
		check(c.String(), c <= CauseIdleTimeout)
	}
	for f := IPv4; f <= IPv6+1; f++ {
		check(f.String(), f <= IPv6)
	}
	for s := range states + 1 {
		check(s.String(), s < states)
	}
	for h := range happenings + 1 {
		check(h.String(), h < happenings)
	}
}
