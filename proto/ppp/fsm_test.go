package ppp

import (
	"fmt"
	"strings"
	"testing"
)

// stateTable is the table of RFC 1661 section 4.1 as it is printed there.
const stateTable = `
      | State
      |    0         1         2         3         4         5
Events| Initial   Starting  Closed    Stopped   Closing   Stopping
------+-----------------------------------------------------------
 Up   |    2     irc,scr/6     -         -         -         -
 Down |    -         -         0       tls/1       0         1
 Open |  tls/1       1     irc,scr/6     3r        5r        5r
 Close|    0       tlf/0       2         2         4         4
      |
  TO+ |    -         -         -         -       str/4     str/5
  TO- |    -         -         -         -       tlf/2     tlf/3
      |
 RCR+ |    -         -       sta/2 irc,scr,sca/8   4         5
 RCR- |    -         -       sta/2 irc,scr,scn/6   4         5
 RCA  |    -         -       sta/2     sta/3       4         5
 RCN  |    -         -       sta/2     sta/3       4         5
      |
 RTR  |    -         -       sta/2     sta/3     sta/4     sta/5
 RTA  |    -         -         2         3       tlf/2     tlf/3
      |
 RUC  |    -         -       scj/2     scj/3     scj/4     scj/5
 RXJ+ |    -         -         2         3         4         5
 RXJ- |    -         -       tlf/2     tlf/3     tlf/2     tlf/3
      |
 RXR  |    -         -         2         3         4         5

      | State
      |    6         7         8           9
Events| Req-Sent  Ack-Rcvd  Ack-Sent    Opened
------+-----------------------------------------
 Up   |    -         -         -           -
 Down |    1         1         1         tld/1
 Open |    6         7         8           9r
 Close|irc,str/4 irc,str/4 irc,str/4 tld,irc,str/4
      |
  TO+ |  scr/6     scr/6     scr/8         -
  TO- |  tlf/3p    tlf/3p    tlf/3p        -
      |
 RCR+ |  sca/8   sca,tlu/9   sca/8   tld,scr,sca/8
 RCR- |  scn/6     scn/7     scn/6   tld,scr,scn/6
 RCA  |  irc/7     scr/6x  irc,tlu/9   tld,scr/6x
 RCN  |irc,scr/6   scr/6x  irc,scr/8   tld,scr/6x
      |
 RTR  |  sta/6     sta/6     sta/6   tld,zrc,sta/5
 RTA  |    6         6         8       tld,scr/6
      |
 RUC  |  scj/6     scj/7     scj/8       scj/9
 RXJ+ |    6         6         8           9
 RXJ- |  tlf/3     tlf/3     tlf/3   tld,irc,str/5
      |
 RXR  |    6         7         8         ser/9
`

// parseRFCTable reads the table. The letters are footnotes.
func parseRFCTable(t *testing.T) map[happening][states]cell {
	t.Helper()
	deedNames := map[string]deeds{
		"tld": tld, "irc": irc, "zrc": zrc, "scr": scr, "sca": sca, "scn": scn, "str": str,
		"sta": sta, "scj": scj, "ser": ser, "tls": tls, "tlu": tlu, "tlf": tlf,
	}
	events := map[string]happening{}
	for h := range happenings {
		events[h.String()] = h
	}
	table, first, columns := map[happening][states]cell{}, state(0), 0
	for line := range strings.Lines(stateTable) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), "|")
		name = strings.TrimSpace(name)
		cells := strings.Fields(rest)
		h, known := events[name]
		switch {
		case !ok:
			continue
		case name == "" && len(cells) > 1: // the numbers of the states
			if _, err := fmt.Sscan(cells[0], &first); err != nil {
				t.Fatal(err)
			}
			columns = len(cells)
			continue
		case !known:
			continue
		}
		if len(cells) != columns {
			t.Fatalf("%q has %d cells, the table %d columns", line, len(cells), columns)
		}
		row := table[h]
		for i, text := range cells {
			row[int(first)+i] = parseCell(t, text, deedNames)
		}
		table[h] = row
	}
	return table
}

func parseCell(t *testing.T, text string, names map[string]deeds) cell {
	t.Helper()
	if text == "-" {
		return no
	}
	var c cell
	if before, after, ok := strings.Cut(text, "/"); ok {
		for _, n := range strings.Split(before, ",") {
			if names[n] == 0 {
				t.Fatalf("action %q in cell %q", n, text)
			}
			c.do |= names[n]
		}
		text = after
	}
	if _, err := fmt.Sscan(strings.TrimRight(text, "prx"), &c.next); err != nil {
		t.Fatalf("cell %q: %v", text, err)
	}
	return c
}

// Every cell is the RFC's.
func TestTransitionTable(t *testing.T) {
	want := parseRFCTable(t)
	if len(want) != int(happenings) {
		t.Fatalf("%d events in the RFC's table, want %d", len(want), happenings)
	}
	cells := 0
	for h, row := range want {
		for s, c := range row {
			cells++
			if got := transitions[h][s]; got != c {
				t.Errorf("%v in %v: actions %b, next %v; the RFC has %b, %v",
					h, state(s), got.do, got.next, c.do, c.next)
			}
		}
	}
	if cells != int(happenings)*int(states) {
		t.Errorf("%d cells compared", cells)
	}
}

// The states in which the Restart timer runs are those of the Timeout events.
func TestTimedStates(t *testing.T) {
	for s := range states {
		if got, want := s.timed(), transitions[evTimeout][s] != no; got != want {
			t.Errorf("%v: timed %v, the table says %v", s, got, want)
		}
		if strings.Contains(s.String(), "(") {
			t.Errorf("state %d has no name", s)
		}
	}
}
