package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"adit/internal/control"
)

func tunnelsCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "tunnels",
		Short: "List the tunnels",
		Args:  noArgs,
		RunE: asking(f, func(ctx context.Context, c *control.Client) ([]control.Tunnel, error) {
			return c.Tunnels(ctx)
		}, func(w io.Writer, tunnels []control.Tunnel) error {
			return showTunnels(w, tunnels, time.Now())
		}),
	}
}

func showTunnels(w io.Writer, tunnels []control.Tunnel, now time.Time) error {
	if len(tunnels) == 0 {
		_, err := fmt.Fprintln(w, "There are no tunnels.")
		return err
	}
	header := []string{"TUNNEL", "PEER ID", "PEER", "ADDRESS", "HOST NAME", "ROLE", "STATE", "SINCE", "SESSIONS", "RETRANSMITS", "DATA PLANE",
		"VERSION", "ENCAPSULATION"}
	rows := make([][]string, len(tunnels))
	for i, t := range tunnels {
		rows[i] = []string{
			id(t.ID), id(t.PeerID), dash(t.Peer), endpoint(t.PeerAddress), dash(t.PeerHostName),
			dash(t.Role), dash(t.State), age(now, t.Since), strconv.Itoa(t.Sessions),
			strconv.FormatUint(t.ControlChannel.Retransmitted, 10), dash(t.DataPlane),
			number(uint64(t.Version)), dash(t.Encapsulation),
		}
	}
	header, rows = withoutEmpty(header, rows, "VERSION", "ENCAPSULATION")
	return table(w, header, rows)
}

// id is a Tunnel or Session ID; 0 is none.
func id(n uint32) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(uint64(n), 10)
}
