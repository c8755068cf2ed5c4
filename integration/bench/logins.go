package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"adit/integration/bench/logins"
	"adit/integration/scenario"
)

// targetLogins are to be reached each second, or what FreeRADIUS itself can do.
const targetLogins = 1000

const (
	loginSubscribers = 2000
	loginTunnels     = 8
	loginRounds      = 3
)

// logins measures logins with RADIUS, without, and radclient; of each method the
// round in the middle, by its ratio.
func (b *bench) logins(ctx context.Context, r *report, rounds int) {
	tree, err := logins.Install(ctx, os.Stderr)
	if err != nil {
		b.Logf("bench: without logins: %v", err)
		return
	}
	o := logins.Options{Adit: b.adit, Tree: tree, Subscribers: loginSubscribers, Tunnels: loginTunnels, Limit: setupLimit}
	for _, m := range logins.Methods {
		var all []logins.Row
		for range min(rounds, loginRounds) {
			if ctx.Err() != nil {
				return
			}
			all = append(all, logins.Measure(b, o, m))
		}
		slices.SortFunc(all, func(a, b logins.Row) int { return int(a.RADIUS.Rate - b.RADIUS.Rate) })
		row := all[len(all)/2]
		b.Logf("bench: logins by %s: %.0f a second, radclient %.0f, local users %.0f", m, row.RADIUS.Rate, row.FreeRADIUS.Rate, row.Local.Rate)
		r.logins = append(r.logins, row)
	}
}

// loginFigures are those of bench.json.
func loginFigures(rows []logins.Row) (all []figure) {
	for _, w := range rows {
		name := "logins/" + string(w.Method)
		all = append(all,
			figure{name, w.RADIUS.Rate, "login/s", "radclient", w.Ratio()},
			figure{name + "/radclient", w.FreeRADIUS.Rate, "login/s", "", 0},
			figure{name + "/local", w.Local.Rate, "login/s", "", 0})
	}
	return all
}

// loginsReached: the target, or FreeRADIUS's own limit if that is lower.
func loginsReached(w logins.Row) string {
	return reached(w.RADIUS.Rate, min(targetLogins, w.FreeRADIUS.Rate))
}

func printLogins(w io.Writer, rows []logins.Row) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\nLogins a second of %d subscribers who call at once, all programs on the same processors, and processor milliseconds for each.\n"+
		"To reach: %d, or what radclient has FreeRADIUS do, if that is less.\n\n", loginSubscribers, targetLogins)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "method\tRADIUS\treached\tradclient\tof radclient\tlocal users\tLNS ms\tLAC ms\tFreeRADIUS ms\tsent again\t")
	for _, x := range rows {
		ms := func(program string) float64 { return x.RADIUS.Processor[program] * 1000 / loginSubscribers }
		fmt.Fprintf(t, "%s\t%.0f\t%s\t%.0f\t%.0f %%\t%.0f\t%.2f\t%.2f\t%.2f\t%d\t\n", x.Method, x.RADIUS.Rate, loginsReached(x),
			x.FreeRADIUS.Rate, x.Ratio()*100, x.Local.Rate, ms("lns"), ms("lac"), ms("freeradius"), x.RADIUS.Retransmitted)
	}
	_ = t.Flush() // of standard output
}

// onlyLogins is a run of nothing else.
func (o *options) onlyLogins(ctx context.Context, t scenario.TB) *report {
	r := &report{}
	begin := time.Now()
	o.prepare(ctx, t).logins(ctx, r, o.rounds)
	t.Logf("bench: logins took %s", time.Since(begin).Round(time.Second))
	return r
}
