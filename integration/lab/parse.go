package lab

import (
	"bytes"
	"regexp"
	"strings"
)

// Verdict is how a test ended.
type Verdict int

const (
	// Unfinished: it was started, but its end was never reported.
	Unfinished Verdict = iota
	Passed
	Failed
	Skipped
)

func (v Verdict) String() string {
	switch v {
	case Unfinished:
		return "UNFINISHED"
	case Passed:
		return "PASS"
	case Failed:
		return "FAIL"
	case Skipped:
		return "SKIP"
	}
	return "Verdict(?)"
}

// TestResult is one test or subtest of a guest's test binary.
type TestResult struct {
	// Name with all its parents, "TestA/b/c".
	Name    string
	Verdict Verdict
	// Elapsed as the binary printed it, "(0.12s)".
	Elapsed string
	// Output is what was printed while it ran (tests in parallel mix).
	Output string
	// Children in the order of their start.
	Children []*TestResult
}

// PackageResult is one run of a test binary.
type PackageResult struct {
	// Package is its import path.
	Package string
	// Status is the binary's exit status, -1 if it did not come to its end.
	Status int
	Tests  []*TestResult
	// Output is what belongs to no test: panics, above all.
	Output string
}

// mark is what test binaries print before their own lines under
// -test.v=test2json, so that no test can imitate or swallow one.
const mark = '\x16'

var (
	verdictLine = regexp.MustCompile(`^--- (PASS|FAIL|SKIP): (\S+) (\([0-9.]+s\))$`)
	nameLine    = regexp.MustCompile(`^=== (RUN|CONT|NAME|PAUSE)\s*(\S*)$`)
)

// Words of the guest's script around each binary.
const (
	beginWord = "=== PACKAGE "
	endWord   = "=== STATUS "
)

// testParser takes the output of the guest's script in pieces of any size and
// sorts it into results.
type testParser struct {
	packages []*PackageResult
	// line is called with each whole line, without the marks.
	line func(pkg, line string)

	part    []byte
	current *PackageResult
	byName  map[string]*TestResult
	test    *TestResult // whose output comes now; nil: none
}

// Write never fails.
func (p *testParser) Write(data []byte) (int, error) {
	for _, b := range data {
		switch {
		case b == '\n':
			p.take()
		case b == mark && len(p.part) > 0 && p.part[0] != mark:
			// What was printed without a line's end before a report.
			p.take()
			p.part = append(p.part, b)
		default:
			p.part = append(p.part, b)
		}
	}
	return len(data), nil
}

// Flush takes a last line that did not end.
func (p *testParser) Flush() {
	if len(p.part) > 0 {
		p.take()
	}
}

func (p *testParser) take() {
	raw := bytes.TrimRight(p.part, "\r")
	p.part = p.part[:0]
	text, marked := strings.CutPrefix(string(raw), string(mark))
	switch {
	case marked && strings.HasPrefix(text, beginWord):
		p.current = &PackageResult{Package: strings.TrimPrefix(text, beginWord), Status: -1}
		p.packages = append(p.packages, p.current)
		p.byName, p.test = map[string]*TestResult{}, nil
		return
	case p.current == nil:
		// The script's own complaint, before any package.
		p.emit("", text)
		return
	case marked && strings.HasPrefix(text, endWord):
		p.current.Status = atoi(strings.TrimPrefix(text, endWord))
		return
	case marked && p.report(text):
		if !strings.HasPrefix(text, "=== NAME") {
			p.emit(p.current.Package, text)
		}
		return
	}
	if p.test != nil {
		p.test.Output += text + "\n"
	} else {
		p.current.Output += text + "\n"
	}
	p.emit(p.current.Package, text)
}

// report takes a line of the test binary's own and says whether it is one.
func (p *testParser) report(text string) bool {
	if m := verdictLine.FindStringSubmatch(text); m != nil {
		test := p.find(m[2])
		test.Elapsed = m[3]
		switch m[1] {
		case "PASS":
			test.Verdict = Passed
		case "FAIL":
			test.Verdict = Failed
		case "SKIP":
			test.Verdict = Skipped
		}
		p.test = test
		return true
	}
	m := nameLine.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	p.test = nil
	if m[2] != "" && m[1] != "PAUSE" {
		p.test = p.find(m[2])
	}
	return true
}

// find returns a test by its full name and creates what is missing of it and
// its parents.
func (p *testParser) find(name string) *TestResult {
	if test := p.byName[name]; test != nil {
		return test
	}
	test := &TestResult{Name: name}
	p.byName[name] = test
	// A subtest's own name may contain slashes: its parent is the longest
	// test whose name leads to it.
	for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
		if parent := p.byName[name[:i]]; parent != nil {
			parent.Children = append(parent.Children, test)
			return test
		}
	}
	p.current.Tests = append(p.current.Tests, test)
	return test
}

func (p *testParser) emit(pkg, text string) {
	if p.line != nil {
		p.line(pkg, text)
	}
}

// atoi is -1 for what is no number.
func atoi(s string) int {
	n := 0
	if s == "" || len(s) > 9 {
		return -1
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}
