// Command adit is an L2TP network server (LNS) and access concentrator (LAC).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // it was tried, and it failed
	exitUsage  = 2 // the command line or the configuration is wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(append([]string{}, args...)) // nil would mean the process's own
	root.SetOut(stdout)
	root.SetErr(stderr)
	stop := func() {}
	defer func() { stop() }()
	root.PersistentPreRun = func(c *cobra.Command, _ []string) {
		// A closed terminal sends SIGHUP: it ends a command in good order, all but
		// the daemon. Who uses nohup wants it ignored.
		if c.Name() != runName && !signal.Ignored(syscall.SIGHUP) {
			hctx, cancel := signal.NotifyContext(c.Context(), syscall.SIGHUP)
			stop = cancel
			c.SetContext(hctx)
		}
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var usage *usageError
	var said *saidError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "adit: %v\n", err)
		return exitUsage
	case errors.As(err, &said):
		return said.status
	}
	fmt.Fprintf(stderr, "adit: %v\n", err)
	return exitFailed
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// saidError ends a command that has already told the user why.
type saidError struct{ status int }

func (e *saidError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

func newRoot() *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:           "adit",
		Short:         "An L2TP network server (LNS) and access concentrator (LAC)",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	f.add(root.PersistentFlags())
	root.AddCommand(runCommand(f), checkCommand(f), statusCommand(f), tunnelsCommand(f),
		sessionsCommand(f), disconnectCommand(f), reloadCommand(f), demoCommand(f), versionCommand(f),
		showCommand(f), staticCommand(f))
	return root
}
