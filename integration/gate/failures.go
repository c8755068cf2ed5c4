package main

import (
	"bytes"
	"regexp"
	"strings"
)

// failures is a writer that keeps, of the output of go test and of what the lab passes on,
// the lines that say what failed: a gate prints thousands of lines, and whoever reads it
// sees the last ones first.
type failures struct {
	partial []byte // the line that has no end yet
	places  []string
	lines   []string
}

const (
	// Of each step, at most so many lines of so many octets.
	maxFailureLines, maxFailureLine = 40, 200
	// With -v the messages come before their verdict, without it after: the last ones of
	// the running test are kept until the verdict is there.
	maxPlaces = 3
)

var (
	// The lab puts the package before each line: "  scenario| --- FAIL: ...".
	verdictLine = regexp.MustCompile(`^(\s*\w+\| )?\s*(--- FAIL: |FAIL\s+\S|panic: |fatal error: |WARNING: DATA RACE)`)
	placeLine   = regexp.MustCompile(`^(\s*\w+\| )?\s+\w+\.go:\d+: `)
	nextLine    = regexp.MustCompile(`^(\s*\w+\| )?\s*(=== RUN|--- PASS: |--- SKIP: |ok\s)`)
)

func (f *failures) Write(b []byte) (int, error) {
	f.partial = append(f.partial, b...)
	for {
		line, rest, found := bytes.Cut(f.partial, []byte("\n"))
		if !found {
			return len(b), nil
		}
		f.line(string(line))
		f.partial = rest
	}
}

func (f *failures) line(line string) {
	line = strings.TrimRight(line, " \r")
	if len(line) > maxFailureLine {
		line = line[:maxFailureLine] + "..."
	}
	switch {
	case verdictLine.MatchString(line):
		f.keep(append(f.places, line)...)
		f.places = f.places[:0]
	case placeLine.MatchString(line):
		f.places = append(f.places, line)
		if len(f.places) > maxPlaces {
			f.places = f.places[1:]
		}
	case nextLine.MatchString(line):
		f.places = f.places[:0]
	}
}

func (f *failures) keep(lines ...string) {
	f.lines = append(f.lines, lines...)
	f.lines = f.lines[max(0, len(f.lines)-maxFailureLines):]
}
