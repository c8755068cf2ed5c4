package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"adit/internal/control"
)

// aaaCall is one call of a row, with what was seen of it.
type aaaCall struct {
	row          *AAARow
	name, number string
	lac          *AditDaemon
	ended        bool // by the LAC's log
	client, lns  control.Session
	up           bool // both ends have had their addresses
	pinged       bool
}

// aaaRun is the table on its way through one site.
type aaaRun struct {
	t       TB
	site    *AAASite
	rows    []AAARow
	servers *aaaServers
	lns     *AditDaemon
	first   []*aaaCall // of each row
	second  []*aaaCall // nil: the row has none
}

// AAA has the rows call, and returns what came of each, by its name. What has to
// be so whatever the table says, it looks at itself: that both ends agree on an
// address, that accounting begins and ends with what adit sessions says, that
// octets are counted, and that every address and lease is back in the end.
func AAA(t TB, site *AAASite, rows []AAARow) map[string]AAAOutcome {
	t.Helper()
	for _, ns := range []*NS{site.Net.A, site.Net.B} {
		for _, which := range []string{"all", "default"} {
			ns.Sysctl(t, "net/ipv4/conf/"+which+"/rp_filter", "0")
		}
	}
	r := &aaaRun{t: t, site: site, rows: rows, servers: site.servers(t)}
	r.lns = site.startLNS(t, r.servers)
	r.second = make([]*aaaCall, len(rows))
	var more []*aaaCall
	for i := range rows {
		row := &rows[i]
		c := &aaaCall{row: row, name: row.Name, number: row.Number}
		if c.number == "" {
			c.number = fmt.Sprintf("0301%03d", i)
		}
		r.first = append(r.first, c)
		if row.Again {
			r.second[i] = &aaaCall{row: row, name: row.Name + "-again", number: fmt.Sprintf("0302%03d", i)}
			more = append(more, r.second[i])
		}
	}
	begin := time.Now()
	said := func(what string) { t.Logf("after %v: %s", time.Since(begin).Round(100*time.Millisecond), what) }
	// Those who encrypt come when there is nobody else: a pppd that waits three
	// seconds for an answer begins MPPE anew, and that is the end of the link.
	encrypted := r.dial(0, r.calls(func(c *aaaCall) bool { return c.row.Method == "mppe" }))
	lac := r.dial(1, r.calls(func(c *aaaCall) bool { return c.row.Method != "mppe" }))
	said("the first calls are up, or refused")
	reached := r.traffic()
	said("packets have passed")
	r.ask()
	r.await("the sessions to end that are to", func() bool {
		return !slices.ContainsFunc(r.first, func(c *aaaCall) bool { return c.up && !c.ended && endsItself(c.row) })
	})
	said("those have ended whose time was over, or who were asked to")
	again := r.dial(2, more)
	said("the second calls are up, or refused")
	r.await("replaced sessions to end", func() bool {
		return !slices.ContainsFunc(r.first, func(c *aaaCall) bool { return c.up && !c.ended && c.row.Want.Cause == "Port-Preempted" })
	})
	r.hangUp()
	for _, d := range []*AditDaemon{encrypted, lac, again} {
		if d != nil {
			d.Stop(t)
		}
	}
	r.nothingLeft()
	said("all have hung up")
	return r.outcomes(reached)
}

func endsItself(row *AAARow) bool { return row.Brief || row.CoA != "" || row.Disconnect }

func (r *aaaRun) await(what string, condition func() bool) {
	r.t.Helper()
	if Eventually(r.site.Limit, func() bool { r.look(); return condition() }) {
		return
	}
	for _, c := range slices.Concat(r.first, r.second) {
		if c != nil && c.lac != nil && !c.up && !c.ended {
			r.t.Errorf("%s: neither up nor refused: at the LAC %+v, at the LNS %+v", c.name, c.client, c.lns)
		}
	}
	r.t.Fatalf("waited %v in vain for %s", r.site.Limit, what)
}

// calls are those of the first ones that are wanted.
func (r *aaaRun) calls(wanted func(c *aaaCall) bool) (some []*aaaCall) {
	for _, c := range r.first {
		if wanted(c) {
			some = append(some, c)
		}
	}
	return some
}

// dial starts a LAC and waits until each of its calls is up or has ended. Without
// calls there is no LAC.
func (r *aaaRun) dial(round int, calls []*aaaCall) *AditDaemon {
	r.t.Helper()
	if len(calls) == 0 {
		return nil
	}
	lac := Adit(r.t, r.site.Net.A, r.site.lac(round, calls))
	for _, c := range calls {
		c.lac = lac
	}
	r.await("every call to be up or refused", func() bool {
		return !slices.ContainsFunc(calls, func(c *aaaCall) bool { return !c.up && !c.ended })
	})
	return lac
}

// look notes what both ends say of the calls, once they are up, and which of them
// have ended.
func (r *aaaRun) look() {
	r.t.Helper()
	atLNS := map[string]control.Session{}
	for _, s := range aaaSessions(r.t, r.lns) {
		atLNS[s.CallingNumber] = s
	}
	logs := map[*AditDaemon]string{}
	clients := map[*AditDaemon][]control.Session{}
	for _, c := range slices.Concat(r.first, r.second) {
		if c == nil || c.lac == nil || c.ended {
			continue
		}
		if _, ok := logs[c.lac]; !ok {
			clients[c.lac] = aaaSessions(r.t, c.lac)
			logs[c.lac] = c.lac.Log()
		}
		at := slices.IndexFunc(clients[c.lac], func(s control.Session) bool { return s.Name == c.name })
		if s, ok := atLNS[c.number]; ok && at >= 0 && !c.up && settled(s) && clients[c.lac][at].LocalAddress.IsValid() {
			c.up, c.lns, c.client = true, s, clients[c.lac][at]
		}
		c.ended = hasEnded(logs[c.lac], c.name)
	}
}

// settled: IPv4 and IPv6 are both there, as far as PPP and the AAA layer know.
func settled(s control.Session) bool {
	return s.LocalAddress.IsValid() && s.RemoteAddress.IsValid() && s.RemoteIPv6.IsValid() && !s.NetworkSince.IsZero()
}

func hasEnded(log, call string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "session is down") && strings.Contains(line, "="+call+" ") {
			return true
		}
	}
	return false
}

// aaaSessions asks a daemon without a process of its own for it, because it is asked
// all the time, also where processes are slow.
func aaaSessions(t TB, d *AditDaemon) []control.Session {
	t.Helper()
	if done, err := d.Exited(); done {
		t.Fatalf("%s has ended: %v", d.Name, err)
	}
	client := control.NewClient(d.Socket)
	defer client.Close()
	all, err := client.Sessions(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", d.Name, err)
	}
	return all
}

// ask has a RADIUS server ask for what the rows say.
func (r *aaaRun) ask() {
	r.t.Helper()
	for _, c := range r.first {
		what, attributes := "", fmt.Sprintf("User-Name = %q\nCalling-Station-Id = %q\nMessage-Authenticator = 0x00\n", c.row.Want.User, c.number)
		switch {
		case c.row.CoA != "":
			what = "coa"
			attributes += c.row.CoA + "\n"
		case c.row.Disconnect:
			what = "disconnect"
		default:
			continue
		}
		file := filepath.Join(r.t.TempDir(), c.name)
		if err := os.WriteFile(file, []byte(attributes), 0o600); err != nil {
			r.t.Fatalf("%v", err)
		}
		// The answer to a Disconnect-Request comes when all is over, and a pppd takes
		// its time.
		out, err := r.site.Net.B.Run("radclient", "-x", "-t", "3", "-r", "10", "-f", file, r.servers.coa.String(), what, aaaSecret)
		if err != nil || !strings.Contains(strings.ToLower(out), what+"-ack") {
			r.t.Errorf("%s: radclient %s: %v: %s", c.name, what, err, out)
		}
	}
}

// The packets of the test: so many for each network, and so large.
const (
	aaaPings    = 3
	aaaPingSize = 1000
)

// traffic sends from every client to the LNS, and from the LNS into the networks
// behind the clients. It returns which of them came out of the right call.
func (r *aaaRun) traffic() map[*aaaCall]string {
	r.t.Helper()
	var wg sync.WaitGroup
	atATime := make(chan struct{}, 8)
	ping := func(ns *NS, args ...string) {
		wg.Go(func() {
			atATime <- struct{}{}
			// What does not arrive is missed in what was counted.
			_, _ = ns.Run("ping", append([]string{"-n", "-q", "-c", fmt.Sprint(aaaPings), "-i", "0.2", "-W", "1", "-s", fmt.Sprint(aaaPingSize)}, args...)...)
			<-atATime
		})
	}
	for _, c := range r.first {
		if c.up && !c.row.Brief {
			c.pinged = true
			from := c.client.Interface
			if c.client.Bridge == AAABuiltin.Bridge {
				from = c.client.LocalAddress.String()
			}
			ping(r.site.Net.A, "-I", from, aaaInside)
		}
	}
	wg.Wait()
	before := r.received()
	for _, c := range r.first {
		for _, to := range r.targets(c) {
			ping(r.site.Net.B, to.String())
		}
	}
	wg.Wait()
	reached := map[*aaaCall]string{}
	Eventually(arrival, func() bool { return r.arrived(before, reached) })
	return reached
}

// arrival is how long a packet may be on its way, where the processor is slow.
const arrival = 5 * time.Second

// arrived notes what came out of each call since before, and reports whether it is
// what was sent there.
func (r *aaaRun) arrived(before map[*aaaCall]uint64, reached map[*aaaCall]string) bool {
	all := true
	for c, n := range r.received() {
		if len(c.row.Networks) == 0 || !c.up {
			continue
		}
		got, want := n-before[c], uint64(len(c.row.Networks)*aaaPings*aaaPingSize)
		reached[c] = strings.Join(c.row.Networks, " ")
		// What is more are headers, and what keeps a link alive.
		if got < want || got > want+want/2 {
			reached[c] = fmt.Sprintf("%d octets of %d", got, want)
			all = false
		}
	}
	return all
}

// targets are where pings into a row's networks go.
func (r *aaaRun) targets(c *aaaCall) (all []netip.Addr) {
	if !c.up {
		return nil
	}
	for _, network := range c.row.Networks {
		var chosen []netip.Prefix
		switch network {
		case "link":
			chosen = c.lns.IPv6Prefixes
		case "home":
			chosen = c.lns.DelegatedPrefixes
		default:
			all = append(all, netip.MustParseAddr(network))
		}
		for _, p := range chosen {
			all = append(all, p.Addr().Next())
		}
	}
	return all
}

// hangUp has the users end their calls.
func (r *aaaRun) hangUp() {
	r.t.Helper()
	clients := map[*AditDaemon]*control.Client{}
	for _, c := range slices.Concat(r.first, r.second) {
		if c == nil || !c.up || c.ended || c.row.Stays {
			continue
		}
		if clients[c.lac] == nil {
			clients[c.lac] = control.NewClient(c.lac.Socket)
			defer clients[c.lac].Close()
		}
		_, err := clients[c.lac].Disconnect(context.Background(), control.Selector{Tunnel: c.client.Tunnel, Session: c.client.ID, Reason: "the user hangs up"})
		if err != nil {
			r.t.Errorf("%s: %v", c.name, err)
		}
	}
	r.await("the calls to end", func() bool {
		return !slices.ContainsFunc(slices.Concat(r.first, r.second), func(c *aaaCall) bool {
			return c != nil && c.up && !c.ended && !c.row.Stays
		})
	})
}

// received counts the octets that came out of the clients' calls.
func (r *aaaRun) received() map[*aaaCall]uint64 {
	all := map[*aaaCall]uint64{}
	sessions := map[*AditDaemon][]control.Session{}
	for _, c := range r.first {
		if sessions[c.lac] == nil {
			sessions[c.lac] = aaaSessions(r.t, c.lac)
		}
		for _, s := range sessions[c.lac] {
			if s.Name == c.name {
				all[c] = s.Traffic.RxBytes
			}
		}
	}
	return all
}

// nothingLeft waits until the LNS has given back all that it had.
func (r *aaaRun) nothingLeft() {
	r.t.Helper()
	var s control.Status
	if !Eventually(r.site.Limit, func() bool {
		s = r.lns.Status(r.t)
		n := s.Sessions
		used := n.Up + n.SettingUp + n.Closing + len(r.servers.dhcp.Leases(r.t))
		for _, p := range s.Pools {
			used += p.InUse
		}
		return used == 0
	}) {
		r.t.Errorf("left at the end: %+v, pools %+v, leases %v", s.Sessions, s.Pools, r.servers.dhcp.Leases(r.t))
	}
	silent := slices.ContainsFunc(r.rows, func(row AAARow) bool { return row.Name == "no-server" })
	if silent && s.Counters["radius_timeouts"] == 0 {
		r.t.Errorf("a server did not answer, and radius_timeouts is 0: %v", s.Counters)
	}
}
