package lab

import (
	"strings"
	"testing"
)

// What a test binary of Go 1.26 printed under -test.v=test2json (the marks are
// \x16), between the words of the script. TestC panicked.
const transcript = "\x16=== PACKAGE example/a\n" +
	"\x16=== RUN   TestA\n" +
	"noline\x16=== RUN   TestA/s\n" +
	"    a_test.go:3: hi\n" +
	"\x16=== RUN   TestA/s/deep\n" +
	"    a_test.go:3: no\n" +
	"\x16--- SKIP: TestA/s/deep (0.00s)\n" +
	"\x16=== NAME  TestA/s\n" +
	"\x16--- PASS: TestA/s (0.25s)\n" +
	"\x16=== NAME  TestA\n" +
	"\x16=== RUN   TestA/f\n" +
	"--- PASS: TestA/f (0.00s)\n" + // printed by the test itself
	"    a_test.go:3: bad\n" +
	"\x16--- FAIL: TestA/f (0.00s)\n" +
	"\x16=== NAME  TestA\n" +
	"\x16--- FAIL: TestA (0.26s)\n" +
	"\x16=== NAME  \n" +
	"\x16=== RUN   TestB\n" +
	"\x16=== PAUSE TestB\n" +
	"\x16=== NAME  \n" +
	"\x16=== RUN   TestC\n" +
	"panic: x\n" +
	"\n\x16=== STATUS 2\n" +
	"\x16=== PACKAGE example/b\n" +
	"\x16=== RUN   TestOne\n" +
	"\x16--- PASS: TestOne (1.00s)\n" +
	"PASS\n" +
	"\n\x16=== STATUS 0\n" +
	"\x16=== PACKAGE example/c\n" +
	"\x16=== RUN   TestHangs\n" +
	"and then the machine died"

func parseInPieces(text string, size int) (*testParser, string) {
	var live strings.Builder
	p := &testParser{line: func(pkg, line string) { live.WriteString(pkg + "|" + line + "\n") }}
	for len(text) > 0 {
		n := min(size, len(text))
		p.Write([]byte(text[:n]))
		text = text[n:]
	}
	p.Flush()
	return p, live.String()
}

func TestParserSortsResults(t *testing.T) {
	for _, size := range []int{1, 2, 7, 64, 1 << 16} {
		p, live := parseInPieces(transcript, size)
		if len(p.packages) != 3 {
			t.Fatalf("pieces of %d: %d packages", size, len(p.packages))
		}
		a := p.packages[0]
		if a.Status != 2 || len(a.Tests) != 3 {
			t.Fatalf("pieces of %d: status %d, %d tests", size, a.Status, len(a.Tests))
		}
		want := map[string]Verdict{"TestA": Failed, "TestA/s": Passed, "TestA/s/deep": Skipped, "TestA/f": Failed, "TestB": Unfinished, "TestC": Unfinished}
		var walk func(all []*TestResult)
		walk = func(all []*TestResult) {
			for _, r := range all {
				if v, ok := want[r.Name]; !ok || v != r.Verdict {
					t.Errorf("pieces of %d: %s is %s, want %s", size, r.Name, r.Verdict, v)
				}
				delete(want, r.Name)
				walk(r.Children)
			}
		}
		walk(a.Tests)
		if len(want) > 0 {
			t.Errorf("pieces of %d: missing %v", size, want)
		}
		if deep := a.Tests[0].Children[0].Children[0]; deep.Name != "TestA/s/deep" || !strings.Contains(deep.Output, "no") {
			t.Errorf("the nested test: %+v", deep)
		}
		if !strings.Contains(a.Tests[2].Output, "panic: x") {
			t.Errorf("the panic is not in the output of its test: %+v", a.Tests[2])
		}
		if b := p.packages[1]; b.Status != 0 || len(b.Tests) != 1 || b.Tests[0].Verdict != Passed || b.Tests[0].Elapsed != "(1.00s)" {
			t.Errorf("the second package: %+v", b)
		}
		if c := p.packages[2]; c.Status != -1 || c.Tests[0].Verdict != Unfinished || !strings.Contains(c.Tests[0].Output, "machine died") {
			t.Errorf("the package that did not end: %+v", c)
		}
		if strings.ContainsRune(live, mark) || !strings.Contains(live, "example/a|noline\n") {
			t.Errorf("the live output: %q", live)
		}
	}
}

func TestProblemsOfPackages(t *testing.T) {
	passed := []*TestResult{{Name: "TestA", Verdict: Passed}}
	failed := []*TestResult{{Name: "TestA", Verdict: Failed}}
	for _, c := range []struct {
		name    string
		r       PackageResult
		pattern string
		want    string // part of the only problem; "" for none
	}{
		{"good", PackageResult{Status: 0, Tests: passed}, "", ""},
		{"a failed test speaks for itself", PackageResult{Status: 1, Tests: failed}, "", ""},
		{"no tests", PackageResult{Status: 0}, "", "no test ran"},
		{"no tests of that name", PackageResult{Status: 0}, "TestX", ""},
		{"all passed and yet bad", PackageResult{Status: 2, Tests: passed, Output: "race"}, "", "status 2\nrace"},
		{"died", PackageResult{Status: -1, Tests: passed, Output: "oops"}, "", "did not come to their end\noops"},
	} {
		got := c.r.problems(c.pattern)
		if c.want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || c.want == "" || !strings.Contains(got[0], c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	list := []string{"p.TestMaySkip"}
	for _, c := range []struct {
		r       TestResult
		bad     bool
		skipped bool
	}{
		{TestResult{Name: "TestA", Verdict: Passed}, false, false},
		{TestResult{Name: "TestA", Verdict: Failed}, true, false},
		{TestResult{Name: "TestA", Verdict: Unfinished}, true, false},
		{TestResult{Name: "TestA", Verdict: Skipped}, true, false},
		{TestResult{Name: "TestMaySkip", Verdict: Skipped}, false, true},
		{TestResult{Name: "TestMaySkip", Verdict: Failed}, true, false},
		{TestResult{Name: "TestA", Verdict: Verdict(9)}, true, false},
	} {
		problem, skipped := c.r.judge("p", list)
		if (problem != "") != c.bad || skipped != c.skipped {
			t.Errorf("%s %s: %q, %t", c.r.Name, c.r.Verdict, problem, skipped)
		}
	}
}

func TestAtoi(t *testing.T) {
	for s, want := range map[string]int{"0": 0, "2": 2, "137": 137, "": -1, "-1": -1, "x": -1, "1 ": -1, "99999999999": -1} {
		if got := atoi(s); got != want {
			t.Errorf("atoi(%q) = %d, want %d", s, got, want)
		}
	}
}

func FuzzParser(f *testing.F) {
	f.Add(transcript, 3)
	f.Add("\x16=== STATUS 0\n\x16\x16--- PASS: T (0s)\n", 1)
	f.Add("\x16=== PACKAGE p\n\x16=== RUN   /\n\x16--- FAIL: //a (1s)", 2)
	f.Fuzz(func(t *testing.T, text string, size int) {
		if size < 1 || size > len(text) {
			size = len(text) + 1
		}
		p, live := parseInPieces(text, size)
		whole, wholeLive := parseInPieces(text, len(text)+1)
		if live != wholeLive || len(p.packages) != len(whole.packages) {
			t.Fatalf("the pieces' size changes the result for %q", text)
		}
	})
}
