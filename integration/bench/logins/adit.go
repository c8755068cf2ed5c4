package logins

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"adit/integration/scenario"
	"adit/internal/control"
)

// look is how often the LNS is asked how many are in.
const look = 50 * time.Millisecond

// adit has all subscribers come into an LNS, once.
func (o *Options) adit(t scenario.TB, n *scenario.Net, server *scenario.FreeRADIUSServer, m Method) Figure {
	t.Helper()
	// Not TempDir: a unix socket's path must be shorter than 108 octets.
	dir, err := os.MkdirTemp("", "adit-logins-")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer os.RemoveAll(dir)
	lns, client := o.start(t, n.B, dir, "lns", o.lns(n, dir, server, m))
	defer client.Close()
	o.await(t, client, lns, func(control.Status) bool { return true })
	before := map[string]float64{"lns": seconds(t, lns.Pid())}
	if server != nil {
		before["freeradius"] = seconds(t, server.Pid())
	}

	begin := time.Now()
	lac, lacClient := o.start(t, n.A, dir, "lac", o.lac(n, dir, m))
	defer lacClient.Close()
	all := uint64(o.Subscribers)
	o.await(t, client, lns, func(s control.Status) bool {
		if server != nil && s.Counters["radius_accounting_delivered"] < all+1 { // Accounting-On too
			return false
		}
		return s.Counters["sessions_started"] == all
	})
	took := time.Since(begin).Seconds()

	f := Figure{Rate: float64(all) / took, Processor: map[string]float64{
		"lns": seconds(t, lns.Pid()) - before["lns"], "lac": seconds(t, lac.Pid()),
	}}
	if server != nil {
		f.Processor["freeradius"] = seconds(t, server.Pid()) - before["freeradius"]
	}
	// All of them are in at their own end too, and nobody was turned away.
	o.await(t, lacClient, lac, func(s control.Status) bool { return s.Sessions.Up == o.Subscribers })
	s := o.status(t, client)
	f.Retransmitted = s.Counters["radius_retransmissions"]
	if s.Sessions.Up != o.Subscribers || s.Counters["auth_refused"] != 0 {
		t.Errorf("of %d subscribers %d are in, %d were refused", all, s.Sessions.Up, s.Counters["auth_refused"])
	}
	lac.Stop(t)
	lns.Stop(t)
	return f
}

// start starts an adit.
func (o *Options) start(t scenario.TB, ns *scenario.NS, dir, what, document string) (*scenario.Process, *control.Client) {
	t.Helper()
	config, socket := filepath.Join(dir, what+".toml"), filepath.Join(dir, what+".sock")
	if err := os.WriteFile(config, []byte(document), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	p := ns.Start(t, "adit-"+what, o.Adit, "run", "-c", config, "--socket", socket)
	return p, control.NewClient(socket)
}

// await asks the daemon until a condition holds.
func (o *Options) await(t scenario.TB, client *control.Client, p *scenario.Process, condition func(control.Status) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), o.Limit)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	var last control.Status
	for {
		if s, err := client.Status(ctx); err == nil { // before it listens there is an error
			if last = s; condition(s) {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %s %d subscribers of %d are in at %s: %v", o.Limit, last.Sessions.Up, o.Subscribers, p.Name, last.Counters)
		case <-tick.C:
		}
		if done, err := p.Exited(); done {
			t.Fatalf("%s ended: %v\n%s", p.Name, err, p.Log())
		}
	}
}

func (o *Options) status(t scenario.TB, client *control.Client) control.Status {
	t.Helper()
	s, err := client.Status(context.Background())
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s
}
