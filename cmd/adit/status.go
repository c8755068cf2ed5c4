package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"adit/internal/control"
)

func statusCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the state of the daemon",
		Args:  noArgs,
		RunE: asking(f, func(ctx context.Context, c *control.Client) (control.Status, error) {
			return c.Status(ctx)
		}, showStatus),
	}
}

func showStatus(w io.Writer, s control.Status) error {
	listeners := strings.Join(s.Listeners, ", ")
	if listeners == "" {
		listeners = "none"
	}
	lines := [][2]string{
		{"version", clean(s.Version)},
		{"host name", clean(s.HostName)},
		{"started", fmt.Sprintf("%s (%s ago)", s.Started.UTC().Format(time.RFC3339), span(time.Duration(s.UptimeSeconds)*time.Second))},
		{"listening on", listeners},
		{"tunnels", counts(s.Tunnels)},
		{"sessions", counts(s.Sessions)},
	}
	for _, p := range s.Planes {
		lines = append(lines, [2]string{"profile " + clean(p.Profile), fmt.Sprintf("%s on the %s data plane: %s", p.PPP, p.DataPlane, clean(p.Reason))})
	}
	if err := pairs(w, lines); err != nil {
		return err
	}
	var counters [][2]string
	for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
		if n := s.Counters[name]; n > 0 {
			counters = append(counters, [2]string{"  " + clean(name), strconv.FormatUint(n, 10)})
		}
	}
	if len(counters) == 0 {
		_, err := fmt.Fprintln(w, "counters: all are zero")
		return err
	}
	fmt.Fprintln(w, "counters that are not zero:")
	return pairs(w, counters)
}

func counts(c control.Counts) string {
	s := fmt.Sprintf("%d up, %d setting up", c.Up, c.SettingUp)
	if c.Closing > 0 {
		s += fmt.Sprintf(", %d closing", c.Closing)
	}
	if c.Limit > 0 {
		s += fmt.Sprintf(" (limit %d)", c.Limit)
	}
	return s
}
