package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestOptions of RunTests. The zero value is ready to use.
type TestOptions struct {
	Options
	// Run is the pattern for -test.run in the guest; by default that of the
	// environment's ADIT_LAB_RUN.
	Run string
	// Skip lists tests ("package.TestName", with the package's import path)
	// that may skip themselves in the lab. Any other skipped test has failed:
	// the lab has all that tests need.
	Skip []string
	// Binaries are main packages to build static before the boot. The file is
	// named in the guest's environment by the key.
	Binaries map[string]string
	// Live takes the tests' output as it comes, one prefixed line at a time;
	// os.Stdout by default.
	Live io.Writer
}

// RunVariable holds the pattern of tests to run in the lab.
const RunVariable = "ADIT_LAB_RUN"

// testsAtATime is how many parallel tests of a package run in the guest at once.
const testsAtATime = 4

// RunTests compiles the tests of packages, boots once, runs them all inside and
// reports each guest test as a subtest PACKAGE/TEST of t. A test that skips
// itself, does not finish, or a package without tests counts as a failure. On
// failure the logs and captures of the guest stay in a folder that is printed.
//
// Build tags, -short and the like do not reach the guest.
func RunTests(t *testing.T, packages []string, o TestOptions) {
	t.Helper()
	if o.Run == "" {
		o.Run = os.Getenv(RunVariable)
	}
	if o.Live == nil {
		o.Live = os.Stdout
	}
	if o.Log == nil {
		o.Log = o.Live
	}
	if o.Timeout == 0 {
		o.Timeout = 25 * time.Minute
		if deadline, ok := t.Deadline(); ok {
			// Time to report, before go test ends this process.
			o.Timeout = time.Until(deadline) - 30*time.Second
		}
	}
	out, err := os.MkdirTemp("", "adit-lab-")
	if err != nil {
		t.Fatal(err)
	}
	o.Out = out
	bin := filepath.Join(out, "bin")
	defer func() {
		if e := os.RemoveAll(bin); e != nil {
			t.Error(e)
		}
		if t.Failed() {
			t.Logf("logs and captures of the lab: %s", out)
			return
		}
		if e := os.RemoveAll(out); e != nil {
			t.Error(e)
		}
	}()
	ctx := t.Context()
	built, err := buildAll(ctx, bin, packages, o)
	if err != nil {
		// What could be built still runs: more is learnt from it.
		t.Error(err)
	}
	if len(built) == 0 {
		t.Fatal("no package has tests to run in the lab")
	}
	script := filepath.Join(bin, "run.sh")
	if err = os.WriteFile(script, []byte(testScript(built, o)), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range sortedKeys(o.Binaries) {
		o.Env = append(o.Env, name+"="+filepath.Join(bin, name))
	}
	live := &liveWriter{w: o.Live}
	parser := &testParser{line: live.line}
	o.Stdout, o.Stderr = parser, &lineWriter{line: func(s string) { live.line("stderr", s) }}
	status, err := Run(ctx, o.Options, "/bin/bash", script)
	parser.Flush()
	if err != nil {
		t.Error(err)
	} else if status != 0 {
		t.Errorf("the lab's script ended with status %d", status)
	}
	report(t, packages, parser.packages, o)
}

// builtPackage is a test binary and the folder it runs in.
type builtPackage struct{ path, dir, binary string }

func buildAll(ctx context.Context, bin string, packages []string, o TestOptions) ([]builtPackage, error) {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range sortedKeys(o.Binaries) {
		if _, err := goCommand(ctx, "build", "-trimpath", "-o", filepath.Join(bin, name), o.Binaries[name]); err != nil {
			errs = append(errs, err)
		}
	}
	var built []builtPackage
	for i, pkg := range packages {
		b := builtPackage{path: pkg, binary: filepath.Join(bin, fmt.Sprintf("%d-%s.test", i, path.Base(pkg)))}
		dir, err := goCommand(ctx, "list", "-f", "{{.Dir}}", pkg)
		if err == nil {
			_, err = goCommand(ctx, "test", "-c", "-o", b.binary, pkg)
		}
		if err == nil {
			// go test -c succeeds without a file where there are no tests.
			_, err = os.Stat(b.binary)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("building the tests of %s: %w", pkg, err))
			continue
		}
		b.dir = strings.TrimSpace(dir)
		built = append(built, b)
	}
	return built, errors.Join(errs...)
}

// goCommand runs the go tool without cgo, so that what it builds is static.
func goCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	var diag bytes.Buffer
	cmd.Stderr = &diag
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, diag.Bytes())
	}
	return string(out), nil
}

func testScript(built []builtPackage, o TestOptions) string {
	var b strings.Builder
	for _, p := range built {
		args := []string{quote(p.binary), "-test.v=test2json", "-test.timeout=" + o.Timeout.String(),
			// More than the guest has processors: daemons wait more than they work.
			"-test.parallel=" + strconv.Itoa(testsAtATime)}
		if o.Run != "" {
			args = append(args, quote("-test.run="+o.Run))
		}
		// Each test package has its own folder for what outlives the guest.
		out := quote(filepath.Join(o.Out, path.Base(p.path)))
		fmt.Fprintf(&b, "printf '\\026%s%%s\\n' %s\n", beginWord, quote(p.path))
		fmt.Fprintf(&b, "mkdir -p %s && cd %s && %s=%s %s 2>&1\n", out, quote(p.dir), OutVariable, out, strings.Join(args, " "))
		fmt.Fprintf(&b, "printf '\\n\\026%s%%s\\n' $?\n", endWord)
	}
	b.WriteString("exit 0\n")
	return b.String()
}

// report makes subtests of the guest's results.
func report(t *testing.T, packages []string, results []*PackageResult, o TestOptions) {
	t.Helper()
	for _, pkg := range packages {
		i := slices.IndexFunc(results, func(r *PackageResult) bool { return r.Package == pkg })
		t.Run(strings.TrimPrefix(pkg, "adit/"), func(t *testing.T) {
			if i < 0 {
				t.Fatal("its tests did not run in the lab")
			}
			reportPackage(t, results[i], o)
		})
	}
}

func reportPackage(t *testing.T, r *PackageResult, o TestOptions) {
	t.Helper()
	for _, test := range r.Tests {
		reportTest(t, r.Package, "", test, o)
	}
	for _, problem := range r.problems(o.Run) {
		t.Error(problem)
	}
}

// problems of a package beyond its single tests.
func (r *PackageResult) problems(pattern string) []string {
	var all []string
	if len(r.Tests) == 0 && pattern == "" {
		all = append(all, "no test ran")
	}
	failed := slices.ContainsFunc(r.Tests, func(t *TestResult) bool { return t.Verdict != Passed && t.Verdict != Skipped })
	switch {
	case r.Status == -1:
		all = append(all, "the tests did not come to their end\n"+r.Output)
	case r.Status != 0 && !failed:
		all = append(all, fmt.Sprintf("the test binary ended with status %d\n%s", r.Status, r.Output))
	}
	return all
}

// reportTest makes one subtest, of the part of the name that its parent has not.
func reportTest(t *testing.T, pkg, parent string, r *TestResult, o TestOptions) {
	t.Helper()
	t.Run(strings.TrimPrefix(r.Name, parent), func(t *testing.T) {
		for _, child := range r.Children {
			reportTest(t, pkg, r.Name+"/", child, o)
		}
		problem, skipped := r.judge(pkg, o.Skip)
		switch {
		case problem != "":
			t.Error(problem)
		case skipped:
			t.Skip("skipped in the lab, as listed")
		default:
			t.Logf("passed in the lab %s", r.Elapsed)
		}
	})
}

// judge says what is wrong with a test itself, if anything is.
func (r *TestResult) judge(pkg string, mayskip []string) (problem string, skipped bool) {
	switch r.Verdict {
	case Passed:
		return "", false
	case Skipped:
		if slices.Contains(mayskip, pkg+"."+r.Name) {
			return "", true
		}
		return "it was skipped, and in the lab no test may be\n" + r.Output, false
	case Failed:
		return "failed in the lab " + r.Elapsed + "\n" + r.Output, false
	case Unfinished:
		return "it was started in the lab and did not finish\n" + r.Output, false
	}
	return fmt.Sprintf("unknown verdict %d", r.Verdict), false
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// liveWriter prints lines with the package's last element before them.
type liveWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *liveWriter) line(pkg, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Indented, lest go test's own tools take the line for one of theirs.
	fmt.Fprintf(l.w, "  %s| %s\n", path.Base(pkg), text)
}

// lineWriter cuts what is written to it into lines.
type lineWriter struct {
	line func(string)
	part []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.part = append(w.part, p...)
	for {
		line, rest, ok := bytes.Cut(w.part, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		w.line(string(line))
		w.part = bytes.Clone(rest)
	}
}
