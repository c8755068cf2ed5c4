package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"adit/internal/control"
)

func sessionsCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "sessions",
		Short: "List the sessions",
		Long: `List the sessions. The first column is TUNNEL/SESSION, which is what
"adit disconnect session" takes.`,
		Args: noArgs,
		RunE: asking(f, func(ctx context.Context, c *control.Client) ([]control.Session, error) {
			return c.Sessions(ctx)
		}, func(w io.Writer, sessions []control.Session) error {
			return showSessions(w, sessions, time.Now())
		}),
	}
}

func showSessions(w io.Writer, sessions []control.Session, now time.Time) error {
	if len(sessions) == 0 {
		_, err := fmt.Fprintln(w, "There are no sessions.")
		return err
	}
	header := []string{"SESSION", "PEER ID", "PEER", "NAME", "ROLE", "STATE", "SINCE", "BRIDGE", "INTERFACE", "LOCAL", "REMOTE", "RX", "TX"}
	rows := make([][]string, len(sessions))
	for i, s := range sessions {
		rows[i] = []string{
			fmt.Sprintf("%d/%d", s.Tunnel, s.ID), id(s.PeerID), dash(s.TunnelPeer), dash(s.Name),
			dash(s.Role), dash(s.State), age(now, s.Since), dash(s.Bridge), dash(s.Interface),
			address(s.LocalAddress), address(s.RemoteAddress),
			octets(s.Traffic.RxBytes), octets(s.Traffic.TxBytes),
		}
	}
	return table(w, header, rows)
}
