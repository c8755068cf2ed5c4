package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"adit/internal/need"
)

func TestRunGoesOnAfterAFailure(t *testing.T) {
	var out bytes.Buffer
	g := gate{out: &out}
	var ran []string
	make := func(name string, err error) step {
		return step{name, func(_ context.Context, out io.Writer) error {
			ran = append(ran, name)
			fmt.Fprintf(out, "ok  \tadit/a\t1.0s\n--- FAIL: Test%s (0.01s)\n    %s_test.go:7: too small\nFAIL\nFAIL\tadit/%s\t0.02s\n", strings.ToUpper(name), name, name)
			return err
		}}
	}
	err := g.run(t.Context(), []step{make("a", nil), make("b", errors.New("wrong thing")), make("c", nil)})
	if !errors.Is(err, errFailed) || !strings.HasSuffix(err.Error(), "\nFAILED: b\n--- FAIL: TestB (0.01s)\n    b_test.go:7: too small\nFAIL\tadit/b\t0.02s") {
		t.Errorf("error %v", err)
	}
	if !slices.Equal(ran, []string{"a", "b", "c"}) {
		t.Errorf("ran %v", ran)
	}
	for _, want := range []string{"== 1/3 a: ok in ", "wrong thing\n== 2/3 b: FAILED in ", "== 3/3 c: ok in "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if err := g.run(t.Context(), []step{make("a", nil)}); err != nil {
		t.Errorf("a gate with nothing wrong: %v", err)
	}
}

func TestFailures(t *testing.T) {
	// As go 1.26 prints them: without -v, with -v, through the lab, and without a verdict.
	const text = "ok  \tadit/a\t0.01s\n--- FAIL: TestX (0.04s)\n    --- FAIL: TestX/one (0.02s)\n        x_test.go:262: no module\nFAIL\nFAIL\tadit/x\t10.8s\n" +
		"=== RUN   TestGood\n    y_test.go:1: fine\n--- PASS: TestGood (0.24s)\n=== RUN   TestY\n    y_test.go:2: a\n    y_test.go:3: b\n    y_test.go:4: c\n    y_test.go:5: d\n--- FAIL: TestY (0.24s)\n" +
		"  bridge| === RUN   TestZ\n  bridge|     z_test.go:217: unreachable\n  bridge| --- FAIL: TestZ (0.24s)\n" +
		"WARNING: DATA RACE\nRead at 0x00c000\npanic: test timed out after 10m0s\nFAIL\tadit/z [build failed]\n"
	want := []string{
		"--- FAIL: TestX (0.04s)", "    --- FAIL: TestX/one (0.02s)", "        x_test.go:262: no module", "FAIL\tadit/x\t10.8s",
		"    y_test.go:3: b", "    y_test.go:4: c", "    y_test.go:5: d", "--- FAIL: TestY (0.24s)",
		"  bridge|     z_test.go:217: unreachable", "  bridge| --- FAIL: TestZ (0.24s)",
		"WARNING: DATA RACE", "panic: test timed out after 10m0s", "FAIL\tadit/z [build failed]",
	}
	var f failures
	for _, b := range []byte(text) {
		f.Write([]byte{b})
	}
	if !slices.Equal(f.lines, want) {
		t.Errorf("%q\nwant %q", f.lines, want)
	}
	for range 2 * maxFailureLines {
		fmt.Fprintf(&f, "--- FAIL: %s\n", strings.Repeat("x", 10*maxFailureLine))
	}
	if n := len(f.lines); n != maxFailureLines || len(f.lines[0]) > maxFailureLine+3 {
		t.Errorf("%d lines, the first of %d octets", n, len(f.lines[0]))
	}
}

func TestRunStopsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := gate{out: io.Discard}
	second := false
	err := g.run(ctx, []step{
		{"a", func(context.Context, io.Writer) error { cancel(); return nil }},
		{"b", func(context.Context, io.Writer) error { second = true; return nil }},
	})
	if err == nil || second {
		t.Errorf("error %v, second step ran: %t", err, second)
	}
}

func TestQuickHasNoFuzzAndNoLab(t *testing.T) {
	var g gate
	quick, full := g.steps(true), g.steps(false)
	if len(full) != len(quick)+3 {
		t.Errorf("%d quick steps, %d in full", len(quick), len(full))
	}
	for _, s := range quick {
		if strings.Contains(s.name, "fuzz") || strings.Contains(s.name, "lab") {
			t.Errorf("quick has the step %q", s.name)
		}
	}
}

func TestParseFuzz(t *testing.T) {
	// As go 1.26 prints it.
	const text = "FuzzParse\nFuzzAVPs\nok  \tadit/proto/l2tp\t0.004s\n?   \tadit/etc\t[no test files]\nok  \tadit/lns\t0.002s\nFuzzX\nok  \tadit/lac\t(cached)\n"
	want := []fuzzTarget{{"adit/proto/l2tp", "FuzzParse"}, {"adit/proto/l2tp", "FuzzAVPs"}, {"adit/lac", "FuzzX"}}
	if got := parseFuzz(text); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := parseFuzz(""); len(got) != 0 {
		t.Errorf("%v out of nothing", got)
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		most, budget time.Duration
		n            int
		want         time.Duration
	}{
		{3 * time.Second, 2 * time.Minute, 10, 3 * time.Second},
		{3 * time.Second, 2 * time.Minute, 80, 1500 * time.Millisecond},
		{3 * time.Second, 2 * time.Minute, 10_000, 500 * time.Millisecond},
	} {
		if got := share(c.most, c.budget, c.n); got != c.want {
			t.Errorf("share(%s, %s, %d) = %s, want %s", c.most, c.budget, c.n, got, c.want)
		}
	}
}

func TestOutOfTime(t *testing.T) {
	// As go 1.26 printed them.
	const harmless = "fuzz: elapsed: 0s, gathering baseline coverage: 1/1 completed, now fuzzing with 2 workers\n" +
		"fuzz: elapsed: 1s, execs: 9962 (18201/sec), new interesting: 0 (total: 1)\n" +
		"--- FAIL: FuzzGood (0.55s)\n    context deadline exceeded\nFAIL\n"
	const found = "fuzz: elapsed: 0s, minimizing\n--- FAIL: FuzzBad (0.04s)\n    --- FAIL: FuzzBad (0.00s)\n" +
		"        x_test.go:4: context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzBad/bcc7\nFAIL\n"
	for text, want := range map[string]bool{
		harmless: true,
		found:    false,
		"--- FAIL: FuzzBad (0.04s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n": false,
		harmless + "panic: runtime error\n": false,
		"":                                  false,
	} {
		if got := outOfTime(text); got != want {
			t.Errorf("%t for %q", got, text)
		}
	}
}

// A module with one good and one bad fuzz target: the bad one is found.
func TestFuzzFindsWhatIsShallow(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example\n\ngo 1.26\n",
		"x_test.go": `package example
import "testing"
func FuzzGood(f *testing.F) { f.Add([]byte("a")); f.Fuzz(func(t *testing.T, b []byte) {}) }
func FuzzBad(f *testing.F) { f.Add([]byte("a")); f.Fuzz(func(t *testing.T, b []byte) { if len(b) > 1 { t.Fatal("too long for us") } }) }
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	g := gate{fuzzTime: 20 * time.Second, fuzzBudget: time.Second}
	var out bytes.Buffer
	err := g.fuzz(t.Context(), &out)
	if err == nil || !strings.Contains(err.Error(), "example FuzzBad") || strings.Contains(err.Error(), "FuzzGood") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "2 targets, 500ms each") {
		t.Errorf("output %q", out.String())
	}
}

func TestCheckFormat(t *testing.T) {
	if _, err := exec.LookPath("gofmt"); err != nil {
		need.Lack(t, "needs gofmt: %v", err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a/good.go", "package a\n")
	write(".hidden/bad.go", "package   a")
	if err := checkFormat(t.Context(), io.Discard); err != nil {
		t.Errorf("a good file: %v", err)
	}
	write("b/c/bad.go", "package   a")
	if err := checkFormat(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "b/c/bad.go") {
		t.Errorf("a bad file: %v", err)
	}
}

func TestSecretFiles(t *testing.T) {
	const text = "[[lns.peers]]\nsecret_file = \"a.secret\"\n# secret_file = \"no\"\n  secret_file=\"b\"\nsecret_file = \"/etc/x\"\nsecret = \"x\"\npassword_file = \"c.password\"\nusers_file = \"d\"\nchap_secrets = \"e\"\n"
	if got := slices.Sorted(maps.Keys(secretFiles(text))); !slices.Equal(got, []string{"a.secret", "b", "c.password", "d", "e"}) {
		t.Errorf("%q", got)
	}
}

func TestQuietShowsOnlyFailures(t *testing.T) {
	var out bytes.Buffer
	if err := quiet("sh", "-c", "echo said")(t.Context(), &out); err != nil || out.Len() > 0 {
		t.Errorf("%v, %q", err, out.String())
	}
	if err := quiet("sh", "-c", "echo said; exit 4")(t.Context(), &out); err == nil || out.String() != "said\n" {
		t.Errorf("%v, %q", err, out.String())
	}
}
