package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"adit/internal/control"
	"adit/internal/kernel"
)

// What adit show may be asked for.
const (
	showTunnelsOnly  = "tunnels"
	showSessionsOnly = "sessions"
)

func showCommand(f *flags) *cobra.Command {
	watch := false
	c := &cobra.Command{
		Use:   "show [tunnels | sessions]",
		Short: "Show the kernel's L2TP, and what adit has beside it",
		Long: `Show the tunnels and sessions of L2TPv2 and L2TPv3 that the kernel has in this network
namespace, whoever made them, as netlink tells them. The daemon need not run. If it
does, each is named by the block of the configuration that it belongs to, and those on
the userspace data plane, of which the kernel knows nothing, are shown too. Cookies are
secrets: only their lengths in octets are shown, ours and the peer's.

With --watch, show what is made, changed and removed in the kernel from now on, one line
each, until it is interrupted.`,
		RunE: func(c *cobra.Command, args []string) error {
			only, err := parseShow(args)
			if err != nil {
				return &usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
			}
			if watch {
				return watchL2TP(c.Context(), c.OutOrStdout(), f.json, only, time.Now, listenL2TP)
			}
			return showL2TP(f, c, only)
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "show events until interrupted")
	return c
}

// parseShow reads what stands after "adit show".
func parseShow(args []string) (only string, err error) {
	switch {
	case len(args) == 0:
		return "", nil
	case len(args) == 1 && (args[0] == showTunnelsOnly || args[0] == showSessionsOnly):
		return args[0], nil
	}
	return "", errors.New("say tunnels, sessions, or nothing for both")
}

func showL2TP(f *flags, c *cobra.Command, only string) error {
	k, noKernel := readKernel()
	d, noDaemon := askDaemon(f, c)
	if noKernel != nil && noDaemon != nil {
		return noKernel
	}
	all := merge(&k, &d)
	all.restrict(only)
	if noKernel != nil {
		all.KernelProblem = noKernel.Error()
		fmt.Fprintf(c.ErrOrStderr(), "adit: the kernel's L2TP is not shown: %v\n", noKernel)
	}
	if noDaemon != nil && !nobodyThere(noDaemon) {
		fmt.Fprintf(c.ErrOrStderr(), "adit: nothing of the daemon is shown: %v\n", noDaemon)
	}
	var err error
	if f.json {
		err = writeJSON(c.OutOrStdout(), all)
	} else {
		err = all.write(c.OutOrStdout())
	}
	// A kernel that has no L2TP hides nothing.
	if err == nil && noKernel != nil && !errors.Is(noKernel, kernel.ErrNotSupported) {
		err = &saidError{exitFailed}
	}
	return err
}

// nobodyThere says that an error is that no daemon runs, which is as good as any.
func nobodyThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// kernelView is what the kernel has.
type kernelView struct {
	tunnels  []kernel.L2TPTunnel
	sessions []kernel.L2TPSession
}

func readKernel() (v kernelView, err error) {
	k, err := kernel.OpenL2TP()
	if err != nil {
		return v, err
	}
	defer func() { _ = k.Close() }()
	// Sessions first: a tunnel is made before its sessions.
	if v.sessions, err = k.Sessions(); err != nil {
		return v, err
	}
	v.tunnels, err = k.Tunnels()
	return v, err
}

// daemonView is what the daemon has.
type daemonView struct {
	tunnels  []control.Tunnel
	sessions []control.Session
	static   []control.Static
}

func askDaemon(f *flags, c *cobra.Command) (v daemonView, err error) {
	path, err := f.socketPath(c)
	if err != nil {
		return v, err
	}
	client := control.NewClient(path)
	defer client.Close()
	return v, v.ask(c.Context(), client)
}

func (v *daemonView) ask(ctx context.Context, client *control.Client) (err error) {
	if v.tunnels, err = client.Tunnels(ctx); err != nil {
		return err
	}
	if v.sessions, err = client.Sessions(ctx); err != nil {
		return err
	}
	v.static, err = client.Static(ctx)
	return err
}
