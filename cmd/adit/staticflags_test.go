package main

import (
	"testing"

	"adit/internal/control"
)

// TestFlagProblem: what is wrong is told by the flag that says it, and where none does,
// by the key of the file.
func TestFlagProblem(t *testing.T) {
	for _, c := range []struct{ key, want string }{
		{"l2tpv3.static[0].sessions[0].peer_cookie_file", "--peer-cookie-file: is wrong"},
		{"l2tpv3.static[0].sessions[0].switch", "switch: is wrong (no flag says it: write the tunnel into a file, and add that with -f)"},
		{"", "is wrong"},
	} {
		if got := flagProblem(control.Problem{File: "flags", Line: 1, Key: c.key, Text: "is wrong"}); got != c.want {
			t.Errorf("%q: %q, want %q", c.key, got, c.want)
		}
	}
}
