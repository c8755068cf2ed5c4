package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// fuzzTarget is a native fuzz function.
type fuzzTarget struct{ pkg, name string }

// fuzz runs every fuzz target of the module for a short time: long enough to
// see that it works and to find what is shallow.
func (g *gate) fuzz(ctx context.Context, out io.Writer) error {
	targets, err := listFuzz(ctx)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("no fuzz target was found")
	}
	each := share(g.fuzzTime, g.fuzzBudget, len(targets))
	fmt.Fprintf(out, "%d targets, %s each\n", len(targets), each)
	bin, err := os.MkdirTemp("", "adit-fuzz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	var errs []error
	binaries := map[string]string{}
	for _, t := range targets {
		binary, built := binaries[t.pkg]
		if !built {
			binary = filepath.Join(bin, fmt.Sprintf("%d.test", len(binaries)))
			// One build for all targets of a package, with instrumentation.
			build := exec.CommandContext(ctx, "go", "test", "-c", "-fuzz=.", "-o", binary, t.pkg)
			if text, err := build.CombinedOutput(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w\n%s", strings.Join(build.Args, " "), err, text))
				binary = ""
			}
			binaries[t.pkg] = binary
		}
		if binary == "" {
			continue
		}
		if err := runFuzz(ctx, binary, t, each); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// share divides a budget among targets: none gets more than most, and all get
// at least half a second, without which nothing would be tried.
func share(most, budget time.Duration, targets int) time.Duration {
	return max(min(most, budget/time.Duration(targets)), 500*time.Millisecond).Round(100 * time.Millisecond)
}

// runFuzz runs one target in its package's folder, where its seeds are and
// where the input of a failure is written.
func runFuzz(ctx context.Context, binary string, t fuzzTarget, d time.Duration) error {
	dir, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", t.pkg).Output()
	if err != nil {
		return fmt.Errorf("go list %s: %w", t.pkg, err)
	}
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+d.String(),
		// By default most of a short run goes into making inputs smaller.
		"-test.fuzzminimizetime=1x",
		"-test.fuzzcachedir="+filepath.Join(filepath.Dir(binary), "corpus"), "-test.timeout=2m")
	cmd.Dir = string(bytes.TrimSpace(dir))
	text, err := cmd.CombinedOutput()
	if err != nil && !outOfTime(string(text)) {
		return fmt.Errorf("%s %s: %w\n%s", t.pkg, t.name, err, text)
	}
	return nil
}

// outOfTime says that a run failed for nothing but its end: go test (1.26) now
// and then takes the passing of -fuzztime for a failure, which has no input and
// says no more than this.
func outOfTime(text string) bool {
	ended := false
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case line == "context deadline exceeded":
			ended = true
		case line == "", line == "FAIL", strings.HasPrefix(line, "fuzz: elapsed:"), strings.HasPrefix(line, "--- FAIL: Fuzz"):
		default:
			return false
		}
	}
	return ended
}

// listFuzz asks every package of the module for its fuzz targets.
func listFuzz(ctx context.Context) ([]fuzzTarget, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-list", "^Fuzz", "./...").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test -list: %w\n%s", err, out)
	}
	return parseFuzz(string(out)), nil
}

// parseFuzz reads the names that stand before the line of their package:
//
//	FuzzParse
//	ok  	adit/proto/l2tp	0.004s
//	?   	adit/etc	[no test files]
func parseFuzz(text string) []fuzzTarget {
	var all []fuzzTarget
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 1 && strings.HasPrefix(words[0], "Fuzz"):
			names = append(names, words[0])
		case len(words) >= 2 && (words[0] == "ok" || words[0] == "?"):
			for _, name := range names {
				all = append(all, fuzzTarget{words[1], name})
			}
			names = nil
		}
	}
	return all
}
