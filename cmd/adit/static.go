package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"adit/internal/control"
)

func staticCommand(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "static",
		Short: "List, add and remove static L2TPv3 tunnels",
		Long: `List the static tunnels, which have no control connection, and below them their
sessions. A tunnel is dead while its keepalive hears nothing of the peer, and down
while it is not as it should be. IDS and COOKIES, whose lengths in octets are shown, are
ours and the peer's; ANSWERED are echo requests, of those that were sent.`,
		Args: noArgs,
		RunE: asking(f, func(ctx context.Context, c *control.Client) ([]control.Static, error) {
			return c.Static(ctx)
		}, func(w io.Writer, all []control.Static) error { return showStatic(w, all, time.Now()) }),
	}
	c.AddCommand(staticAddCommand(f), staticRemoveCommand(f))
	return c
}

func showStatic(w io.Writer, all []control.Static, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "There are no static tunnels.")
		return err
	}
	rows := make([][]string, len(all))
	var sessions [][]string
	for i, t := range all {
		rows[i] = []string{
			dash(t.Name), dash(t.Origin), dash(t.State), age(now, t.Since), dash(t.DataPlane), dash(t.Encapsulation),
			endpoint(t.LocalAddress), endpoint(t.PeerAddress), ids(t.ID, t.PeerID),
			strconv.FormatUint(t.Repairs, 10), answered(t), age(now, t.LastHeard), dash(t.Problem),
		}
		for _, s := range t.Sessions {
			sessions = append(sessions, []string{
				dash(t.Name), dash(s.Name), upOrDown(s.Up), dash(s.Type), ids(s.ID, s.PeerID),
				cookies(s.CookieLength, s.PeerCookieLength), dash(s.Sublayer), dash(s.Sequencing), dash(s.Bridge), dash(s.Interface),
				octets(s.Traffic.RxBytes), octets(s.Traffic.TxBytes), number(s.Traffic.RxErrors), number(s.RxOutOfOrder), dash(s.Problem),
			})
		}
	}
	header := []string{"TUNNEL", "ORIGIN", "STATE", "SINCE", "DATA PLANE", "ENCAPSULATION", "LOCAL", "REMOTE", "IDS", "REPAIRS", "ANSWERED", "HEARD", "PROBLEM"}
	header, rows = withoutEmpty(header, rows, "ANSWERED", "HEARD", "PROBLEM")
	if err := table(w, header, rows); err != nil || len(sessions) == 0 {
		return err
	}
	fmt.Fprintln(w)
	header = []string{"TUNNEL", "SESSION", "STATE", "TYPE", "IDS", "COOKIES", "SUBLAYER", "SEQUENCING", "BRIDGE", "INTERFACE", "RX", "TX", "DROPPED", "OUT OF ORDER", "PROBLEM"}
	header, rows = withoutEmpty(header, sessions, "COOKIES", "DROPPED", "OUT OF ORDER", "PROBLEM")
	return table(w, header, rows)
}

// answered is how many of the echo requests were answered; none is sent without a
// keepalive.
func answered(t control.Static) string {
	if t.Probes == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", t.Answers, t.Probes)
}

func upOrDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

// ids is our ID and the peer's.
func ids(ours, peers uint32) string { return id(ours) + "/" + id(peers) }

// cookies are the lengths of both, in octets: in what comes, and in what goes.
func cookies(ours, peers int) string {
	if ours == 0 && peers == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", ours, peers)
}

// number is a count, of which 0 is nothing.
func number(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

func staticRemoveCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a static tunnel that was added by command",
		Long: `Remove a static tunnel that "adit static add" has added, with its sessions. One of the
configuration is taken out there, and goes with a reload. The exit status is 1 if there is
none of that name.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return &usageError{fmt.Errorf("say the name of one static tunnel; see %s --help", c.CommandPath())}
			}
			return asking(f, func(ctx context.Context, client *control.Client) (control.StaticRemoved, error) {
				return client.RemoveStatic(ctx, args[0])
			}, func(w io.Writer, r control.StaticRemoved) error {
				_, err := fmt.Fprintf(w, "removed %s with %s\n", clean(r.Name), count(r.Sessions, "session"))
				return err
			})(c, nil)
		},
	}
}

func staticAddCommand(f *flags) *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use:   "add {-f FILE | --name NAME ...}",
		Short: "Add static tunnels until the daemon ends",
		Long: `Add static tunnels: those of a file with [[l2tpv3.static]] blocks, as in the
configuration, whose sessions describe their pseudowires themselves; or one with one
session, by flags. What is added so is gone when the daemon ends; a reload does not touch
it. Where anything is wrong, nothing is added, every error is shown, and the exit status is 2.`,
		Example: `  adit static add -f branch.toml
  adit static add --name branch --local 192.0.2.1:5000 --remote 198.51.100.7:5000 \
      --tunnel-id 1 --peer-tunnel-id 2 --session-id 11 --peer-session-id 12 --interface branch0`,
		Args: noArgs,
	}
	c.Flags().StringVarP(&file, "file", "f", "", "`file` with [[l2tpv3.static]] blocks; - is standard input")
	for _, k := range staticKeys {
		c.Flags().String(k.flag(), "", k.usage)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		doc, byFlags, err := staticDocument(c, file)
		if err != nil {
			return err
		}
		err = asking(f, func(ctx context.Context, client *control.Client) (control.StaticAdded, error) {
			return client.AddStatic(ctx, doc)
		}, showAdded)(c, nil)
		tell := control.Problem.Error
		if byFlags {
			tell = flagProblem
		}
		return showProblems(f, c, err, tell)
	}
	return c
}

func showAdded(w io.Writer, a control.StaticAdded) error {
	for _, p := range a.Warnings {
		fmt.Fprintf(w, "warning: %v\n", p)
	}
	names := make([]string, len(a.Names))
	for i, n := range a.Names {
		names[i] = clean(n)
	}
	_, err := fmt.Fprintf(w, "added until the daemon ends: %s\n", strings.Join(names, ", "))
	return err
}

// staticDocument is what to ask for, and whether flags say it.
func staticDocument(c *cobra.Command, file string) (doc control.StaticDocument, byFlags bool, err error) {
	text, byFlags, err := staticFlags(c.Flags())
	usage := func(err error) error { return &usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())} }
	switch {
	case err != nil:
		return doc, byFlags, usage(err)
	case byFlags && file != "":
		return doc, byFlags, usage(errors.New("a file and flags are too much: write all of it into the file"))
	case byFlags:
		doc.Document, file = text, "flags"
	case file == "":
		return doc, byFlags, usage(errors.New("nothing is to be added: name a file with -f, or say what by flags"))
	case file == "-":
		doc.Document, err = readDocument(c.InOrStdin())
		file = "standard input"
	default:
		var f *os.File
		if f, err = os.Open(file); err == nil {
			doc.Document, err = readDocument(f)
			f.Close()
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s: there is no such file; name another with -f", file)
		}
	}
	if err != nil {
		return doc, byFlags, &usageError{err}
	}
	doc.File, err = filepath.Abs(file)
	return doc, byFlags, err
}

// readDocument reads what is asked for, less the mark that some editors begin a file
// with.
func readDocument(r io.Reader) (string, error) {
	octets, err := io.ReadAll(r)
	return strings.TrimPrefix(string(octets), "\xef\xbb\xbf"), err
}
