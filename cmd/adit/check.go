package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"adit/internal/config"
	"adit/internal/control"
)

func checkCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and report every error in it",
		Long: `Check the configuration: every error at once, one on each line, with the line
number. The exit status is 0 if there is none, else 2.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(f.config)
			if f.json {
				return checkJSON(c.OutOrStdout(), f.config, cfg, err)
			}
			if err != nil {
				fmt.Fprintln(c.ErrOrStderr(), err)
				return &saidError{exitUsage}
			}
			for _, w := range cfg.Warnings {
				fmt.Fprintf(c.ErrOrStderr(), "warning: %v\n", w)
			}
			return checkText(c.OutOrStdout(), cfg)
		},
	}
}

// checkText says what was understood, so that a file that is well formed but
// says something else than was meant is noticed.
func checkText(w io.Writer, cfg *config.Config) error {
	parts := []string{
		count(len(cfg.Listen), "listener"),
		count(len(cfg.LNS.Peers), "LNS peer"),
		count(len(cfg.LAC.Tunnels), "LAC tunnel"),
		count(len(cfg.Profiles), "profile"),
		count(len(cfg.Pools), "pool"),
	}
	if n := len(cfg.L2TPv3.Static); n > 0 {
		parts = append(parts, count(n, "static tunnel"))
	}
	if n := len(cfg.Pseudowires); n > 0 { // also those that static sessions describe
		parts = append(parts, count(n, "pseudowire"))
	}
	_, err := fmt.Fprintf(w, "%s is good: %s\n", cfg.Path, strings.Join(parts, ", "))
	return err
}

type checkResult struct {
	File     string            `json:"file"`
	Good     bool              `json:"good"`
	Errors   []control.Problem `json:"errors"`
	Warnings []control.Problem `json:"warnings"`
}

func checkJSON(w io.Writer, path string, cfg *config.Config, loadErr error) error {
	result := checkResult{File: path, Good: loadErr == nil, Errors: []control.Problem{}, Warnings: []control.Problem{}}
	var errs config.Errors
	if errors.As(loadErr, &errs) {
		result.Errors = problems(errs)
	}
	if cfg != nil {
		result.Warnings = problems(cfg.Warnings)
	}
	if err := writeJSON(w, result); err != nil {
		return err
	}
	if loadErr != nil {
		return &saidError{exitUsage}
	}
	return nil
}

func problems(errs config.Errors) []control.Problem {
	list := make([]control.Problem, len(errs))
	for i, e := range errs {
		list[i] = control.Problem{File: e.File, Line: e.Line, Key: e.Key, Text: e.Text}
	}
	return list
}
