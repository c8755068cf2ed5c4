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
		}, func(w io.Writer, s control.Status) error { return showStatus(w, s, time.Now()) }),
	}
}

func showStatus(w io.Writer, s control.Status, now time.Time) error {
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
	if t := s.Static; t != nil {
		lines = append(lines, [2]string{"static tunnels", fmt.Sprintf("%d up, %d with a dead peer, %d down", t.Up, t.Dead, t.Down)})
	}
	for _, p := range s.Planes {
		lines = append(lines, [2]string{"profile " + clean(p.Profile), fmt.Sprintf("%s on the %s data plane: %s", p.PPP, p.DataPlane, clean(p.Reason))})
	}
	if s.LocalUsers > 0 {
		lines = append(lines, [2]string{"local users", strconv.Itoa(s.LocalUsers)})
	}
	if s.DHCP != nil {
		lines = append(lines, [2]string{"DHCP leases", strconv.Itoa(s.DHCP.Leases)})
	}
	if a := s.Accounting; a != nil {
		lines = append(lines, [2]string{"accounting", fmt.Sprintf("%s to be sent, %s open", count(int(a.Backlog), "record"), count(int(a.OpenSessions), "session"))})
	}
	if err := pairs(w, lines); err != nil {
		return err
	}
	if err := showPools(w, s.Pools); err != nil {
		return err
	}
	if err := showServers(w, s.RADIUSServers, now); err != nil {
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

func showPools(w io.Writer, pools []control.Pool) error {
	if len(pools) == 0 {
		return nil
	}
	rows := make([][]string, len(pools))
	for i, p := range pools {
		rows[i] = []string{clean(p.Name), strconv.FormatUint(p.Size, 10), strconv.Itoa(p.InUse), strconv.Itoa(p.Resting), strconv.Itoa(p.Quarantined)}
	}
	return table(w, []string{"POOL", "SIZE", "IN USE", "RESTING", "QUARANTINED"}, rows)
}

func showServers(w io.Writer, servers []control.RADIUSServer, now time.Time) error {
	if len(servers) == 0 {
		return nil
	}
	rows := make([][]string, len(servers))
	for i, s := range servers {
		rows[i] = []string{clean(s.Name), s.Service, addressPort(s.Address), serverState(s, now), strconv.FormatInt(s.Pending, 10),
			strconv.FormatInt(s.Waiting, 10), strconv.FormatUint(s.Requests, 10), strconv.FormatUint(s.Timeouts, 10)}
	}
	return table(w, []string{"RADIUS SERVER", "SERVICE", "ADDRESS", "STATE", "PENDING", "WAITING", "REQUESTS", "TIMEOUTS"}, rows)
}

// serverState is in one cell.
func serverState(s control.RADIUSServer, now time.Time) string {
	switch {
	case !s.Alive && s.DeadUntil.After(now):
		return "dead for " + span(s.DeadUntil.Sub(now))
	case !s.Alive:
		return "to be tried again"
	case s.Requests == 0:
		return "not asked yet"
	}
	return "alive"
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
