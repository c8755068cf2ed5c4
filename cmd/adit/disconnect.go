package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"adit/internal/control"
)

func disconnectCommand(f *flags) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "disconnect {tunnel ID | session TUNNEL/ID | peer NAME | user NAME | all}",
		Short: "Close sessions or tunnels",
		Long: `Close one session (with a CDN), one tunnel (with a StopCCN), every tunnel of a
peer that the configuration names, every session of a user, or all. A tunnel of
[[lac.tunnels]] is dialled again after its retry time. Static tunnels have nothing to
close: see adit static remove. The exit status is 1 if there is nothing of that name or
number.`,
		Example: `  adit disconnect tunnel 4711
  adit disconnect session 4711/12 --reason maintenance
  adit disconnect peer branch-office
  adit disconnect user alice
  adit disconnect all`,
	}
	c.Flags().StringVar(&reason, "reason", "", "`text` for the peer and the log")
	c.RunE = func(c *cobra.Command, args []string) error {
		sel, err := parseSelector(args)
		if err == nil {
			sel.Reason = reason
			err = sel.Validate()
		}
		if err != nil {
			return &usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
		}
		return asking(f, func(ctx context.Context, client *control.Client) (control.Disconnected, error) {
			return client.Disconnect(ctx, sel)
		}, showDisconnected)(c, nil)
	}
	return c
}

func showDisconnected(w io.Writer, d control.Disconnected) error {
	_, err := fmt.Fprintf(w, "closing %s and %s\n", count(d.Tunnels, "tunnel"), count(d.Sessions, "session"))
	return err
}

// parseSelector reads what stands after "adit disconnect".
func parseSelector(args []string) (control.Selector, error) {
	var sel control.Selector
	if len(args) == 1 && args[0] == "all" {
		sel.All = true
		return sel, nil
	}
	if len(args) != 2 || args[0] == "all" {
		return sel, errors.New("say one of: tunnel ID, session TUNNEL/ID, peer NAME, user NAME, all")
	}
	what, which := args[0], args[1]
	var err error
	switch what {
	case "tunnel":
		sel.Tunnel, err = parseID(which)
	case "session":
		tunnel, session, ok := strings.Cut(which, "/")
		if !ok {
			return sel, fmt.Errorf("%q is not a session; write TUNNEL/ID as adit sessions shows it", which)
		}
		if sel.Tunnel, err = parseID(tunnel); err == nil {
			sel.Session, err = parseID(session)
		}
	case "peer":
		sel.Peer = which
	case "user":
		sel.User = which
	default:
		err = fmt.Errorf("%q cannot be disconnected; say one of: tunnel ID, session TUNNEL/ID, peer NAME, user NAME, all", what)
	}
	return sel, err
}

func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not an ID; write a number from 1 to 4294967295", s)
	}
	return uint32(n), nil
}
