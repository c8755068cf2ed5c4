package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"adit/internal/demo"
)

func demoCommand(f *flags) *cobra.Command {
	var (
		o      demo.Options
		inside string
	)
	c := &cobra.Command{
		Use:   demo.Command,
		Short: "Show an LNS and a LAC at work, on this machine alone",
		Long: `Show adit at work: an LNS and a LAC client in two network namespaces of their own,
joined by a wire; a tunnel, a PPP session with MS-CHAPv2, ping and TCP both ways
through it, and how fast that was. It takes about three seconds, needs neither
PPP in the kernel nor pppd, and no root where /dev/net/tun may be opened by
everybody. Nothing is left of it.

--keep leaves it up until Ctrl-C and says how to look around.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			o.JSON, o.Stdout, o.Stderr = f.json, c.OutOrStdout(), c.ErrOrStderr()
			if o.Self, err = os.Executable(); err != nil {
				return err
			}
			if inside != "" {
				err = demo.Inside(c.Context(), o, inside)
			} else {
				err = demo.Run(c.Context(), o)
			}
			if errors.Is(err, demo.ErrFailed) {
				return &saidError{exitFailed}
			}
			return err
		},
	}
	set := c.Flags()
	set.BoolVar(&o.Keep, "keep", false, "leave it up until Ctrl-C")
	set.DurationVar(&o.Transfer, "transfer", time.Second, "how `long` to send by TCP in each direction")
	set.BoolVar(&o.UserNamespace, "user-namespace", false, "make a user namespace also as root")
	set.StringVar(&inside, demo.InsideFlag, "", "what the demo calls itself with, in its namespaces: the `folder` for its files")
	if err := set.MarkHidden(demo.InsideFlag); err != nil {
		panic(err) // the flag is one line above
	}
	return c
}
