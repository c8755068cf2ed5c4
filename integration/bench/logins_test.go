package main

import (
	"strings"
	"testing"

	"adit/integration/bench/logins"
)

// TestLogins: the aim is a thousand, or what FreeRADIUS can do; and the figures are
// in the file and in the table.
func TestLogins(t *testing.T) {
	row := func(ours, theirs float64) logins.Row {
		return logins.Row{Method: logins.CHAP, RADIUS: logins.Figure{Rate: ours}, FreeRADIUS: logins.Figure{Rate: theirs}, Local: logins.Figure{Rate: 2000}}
	}
	for _, c := range []struct {
		ours, theirs float64
		want         string
	}{{1000, 5000, "yes"}, {999, 5000, "NO"}, {400, 400, "yes"}, {399, 400, "NO"}} {
		if got := loginsReached(row(c.ours, c.theirs)); got != c.want {
			t.Errorf("%v of %v: %s", c.ours, c.theirs, got)
		}
	}
	r := report{logins: []logins.Row{row(1200, 4800)}}
	all := r.figures()
	if len(all) != 3 || all[0] != (figure{"logins/chap-md5", 1200, "login/s", "radclient", 0.25}) || all[1].Value != 4800 || all[2].Value != 2000 {
		t.Errorf("%+v", all)
	}
	var out strings.Builder
	printLogins(&out, r.logins)
	if s := out.String(); !strings.Contains(s, "chap-md5") || !strings.Contains(s, "25 %") || !strings.Contains(s, "yes") {
		t.Error(s)
	}
}
