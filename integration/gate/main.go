// Command gate is everything that must hold before a change is taken: go run
// ./integration/gate from the root of the source, or make test. With -quick it
// leaves out the fuzzing and the lab.
//
// It goes on after a failed step, so that one run shows every problem.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	var g gate
	quick := flag.Bool("quick", false, "no fuzzing and no lab")
	flag.DurationVar(&g.fuzzTime, "fuzztime", 3*time.Second, "for each fuzz target, at most")
	flag.DurationVar(&g.fuzzBudget, "fuzzbudget", 80*time.Second, "for all fuzz targets together")
	flag.DurationVar(&g.labTimeout, "labtimeout", 35*time.Minute, "for the lab")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	g.out = os.Stdout
	if err := g.run(ctx, g.steps(*quick)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// gate runs steps one after the other.
type gate struct {
	out        io.Writer
	fuzzTime   time.Duration
	fuzzBudget time.Duration
	labTimeout time.Duration
}

// step is one thing that must hold.
type step struct {
	name string
	run  func(ctx context.Context, out io.Writer) error
}

// errFailed: at least one step failed.
var errFailed = errors.New("gate: failed")

// run runs every step, with a line before and after each. Its error names the failed
// steps and repeats what their tests said.
func (g *gate) run(ctx context.Context, steps []step) error {
	begin := time.Now()
	var failed []string // of each failed step its name and what it said of it
	for i, s := range steps {
		fmt.Fprintf(g.out, "== %d/%d %s\n", i+1, len(steps), s.name)
		start := time.Now()
		var told failures
		err := s.run(ctx, io.MultiWriter(g.out, &told))
		word := "ok"
		if err != nil {
			fmt.Fprintln(g.out, err)
			word = "FAILED"
			failed = append(failed, "FAILED: "+s.name)
			failed = append(failed, told.lines...)
		}
		fmt.Fprintf(g.out, "== %d/%d %s: %s in %.1f s, %s since the start\n", i+1, len(steps), s.name, word,
			time.Since(start).Seconds(), time.Since(begin).Round(time.Second))
		if ctx.Err() != nil {
			return errors.Join(errFailed, context.Cause(ctx))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%w\n%s", errFailed, strings.Join(failed, "\n"))
	}
	return nil
}
