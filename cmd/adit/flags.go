package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"adit/internal/config"
	"adit/internal/control"
)

// flags are those that every command takes.
type flags struct {
	config string
	socket string
	json   bool
}

func (f *flags) add(set *pflag.FlagSet) {
	set.StringVarP(&f.config, "config", "c", config.DefaultPath, "configuration `file`")
	set.StringVar(&f.socket, "socket", "", "control `socket` of the daemon (default: what the configuration says, else "+config.DefaultSocket+")")
	set.BoolVar(&f.json, "json", false, "write JSON for programs instead of text for people")
}

// socketPath is the socket to ask. Without --socket the configuration says; if
// there is none at the usual place, or this user may not read it, the usual
// socket it is.
func (f *flags) socketPath(c *cobra.Command) (string, error) {
	if f.socket != "" {
		return f.socket, nil
	}
	path, err := config.SocketOf(f.config)
	if err == nil {
		return path, nil
	}
	unreadable := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
	if unreadable && !c.Flags().Changed("config") {
		return config.DefaultSocket, nil
	}
	return "", &usageError{err}
}

// asking runs a question to the daemon and shows the answer: as JSON, or as
// show writes it.
func asking[T any](f *flags, question func(context.Context, *control.Client) (T, error), show func(io.Writer, T) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		path, err := f.socketPath(c)
		if err != nil {
			return err
		}
		client := control.NewClient(path)
		defer client.Close()
		answer, err := question(c.Context(), client)
		if err != nil {
			return err
		}
		if f.json {
			return writeJSON(c.OutOrStdout(), answer)
		}
		return show(c.OutOrStdout(), answer)
	}
}

// showProblems shows everything that is wrong with what the daemon was to take over, each
// as tell puts it. Other errors are returned as they are.
func showProblems(f *flags, c *cobra.Command, err error, tell func(control.Problem) string) error {
	var wrong *control.Error
	if !errors.As(err, &wrong) || len(wrong.Problems) == 0 {
		return err
	}
	if f.json {
		if err := writeJSON(c.OutOrStdout(), wrong); err != nil {
			return err
		}
		return &saidError{exitUsage}
	}
	for _, p := range wrong.Problems {
		fmt.Fprintln(c.ErrOrStderr(), tell(p))
	}
	fmt.Fprintf(c.ErrOrStderr(), "adit: %s\n", wrong.Message)
	return &saidError{exitUsage}
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// noArgs is for commands that take flags only.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasSubCommands() {
		return &usageError{fmt.Errorf("there is no command %q; see %s --help", args[0], c.CommandPath())}
	}
	return &usageError{fmt.Errorf("%s takes no argument, but got %q; see %s --help", c.CommandPath(), args[0], c.CommandPath())}
}
