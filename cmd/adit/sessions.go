package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"adit/internal/control"
	"adit/proto/l2tp"
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
	header := []string{"SESSION", "PEER ID", "PEER", "NAME", "USER", "ROLE", "STATE", "PHASE", "SINCE", "BRIDGE", "INTERFACE",
		"TYPE", "REMOTE END ID", "APPLICATION", "COOKIES", "SUBLAYERS", "CIRCUIT", "PEER CIRCUIT", "SEQUENCE",
		"LOCAL", "REMOTE", "REMOTE IPV6", "ROUTES", "DROPS", "RX", "TX"}
	rows := make([][]string, len(sessions))
	for i, s := range sessions {
		rows[i] = []string{
			fmt.Sprintf("%d/%d", s.Tunnel, s.ID), id(s.PeerID), dash(s.TunnelPeer), dash(s.Name), dash(s.User),
			dash(s.Role), dash(s.State), dash(s.Phase), age(now, s.Since), dash(s.Bridge), dash(s.Interface),
			dash(s.Pseudowire), dash(s.RemoteEndID), application(s.ApplicationID), cookies(s.CookieLength, s.PeerCookieLength), sublayers(s),
			dash(s.CircuitStatus), dash(s.PeerCircuitStatus), numbering(s),
			address(s.LocalAddress), address(s.RemoteAddress), address(s.RemoteIPv6), routes(s.Routes), reasons(s.Drops),
			octets(s.Traffic.RxBytes), octets(s.Traffic.TxBytes),
		}
	}
	header, rows = withoutEmpty(header, rows, "USER", "PHASE", "TYPE", "REMOTE END ID", "APPLICATION", "COOKIES", "SUBLAYERS",
		"CIRCUIT", "PEER CIRCUIT", "SEQUENCE", "REMOTE IPV6", "ROUTES", "DROPS")
	return table(w, header, rows)
}

// application is an Application ID, if there is one.
func application(id *uint16) string {
	if id == nil {
		return "-"
	}
	return strconv.FormatUint(uint64(*id), 10)
}

// sublayers are those of what comes and of what goes, of version 3.
func sublayers(s control.Session) string {
	if s.Sublayer == s.PeerSublayer {
		return dash(s.Sublayer)
	}
	return dash(s.Sublayer) + "/" + dash(s.PeerSublayer)
}

// numbering is what sequencing does and did, of a session of version 3.
func numbering(s control.Session) string {
	if s.Version != l2tp.Version3 {
		return "-"
	}
	q := s.Sequencing
	var texts []string
	if w := words("send", q.Send, "require", q.Required); w != "-" {
		texts = append(texts, w)
	}
	for _, c := range []struct {
		name string
		n    uint64
	}{
		{"reordered", q.Reordered}, {"late", q.Late}, {"duplicate", q.Duplicate}, {"lost", q.Lost}, {"overflow", q.Overflow}, {"missing", q.Missing},
	} {
		if c.n > 0 {
			texts = append(texts, fmt.Sprintf("%s=%d", c.name, c.n))
		}
	}
	return dash(strings.Join(texts, ","))
}

// routes is the networks behind a peer, in one cell.
func routes(all []netip.Prefix) string {
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = p.String()
	}
	return dash(strings.Join(texts, ","))
}

// reasons is what was dropped and why, in one cell.
func reasons(drops map[string]uint64) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(drops)) {
		texts = append(texts, fmt.Sprintf("%s=%d", name, drops[name]))
	}
	return dash(strings.Join(texts, ","))
}

// withoutEmpty takes the named columns away in which no row has anything, so
// that those who have no use for them keep their narrow table.
func withoutEmpty(header []string, rows [][]string, names ...string) ([]string, [][]string) {
	for i := len(header) - 1; i >= 0; i-- {
		used := slices.ContainsFunc(rows, func(row []string) bool { return row[i] != "-" })
		if used || !slices.Contains(names, header[i]) {
			continue
		}
		header = slices.Delete(header, i, i+1)
		for j := range rows {
			rows[j] = slices.Delete(rows[j], i, i+1)
		}
	}
	return header, rows
}
