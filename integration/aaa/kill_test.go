package aaa

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"adit/integration/scenario"
)

// impatient is how the LNSs of these tests ask: what is down is found out about at
// once, and forgiven soon.
var impatient = []string{`timeout = "500ms"`, `retries = 1`, `dead_time = "1s"`}

// accounts are the sessions that a RADIUS server has records of.
type accounts struct {
	user, address map[string]string // by Acct-Session-Id, of Starts
	starts        map[string]int
	stops         map[string][]string // Acct-Terminate-Cause of each
	order         []string            // of all records: kind, or kind and cause
}

func accountsOf(t *testing.T, s *scenario.FreeRADIUSServer) *accounts {
	t.Helper()
	a := &accounts{user: map[string]string{}, address: map[string]string{}, starts: map[string]int{}, stops: map[string][]string{}}
	for _, r := range s.Records(t) {
		id, kind := r["Acct-Session-Id"], r["Acct-Status-Type"]
		switch kind {
		case "Start":
			a.starts[id]++
			a.user[id], a.address[id] = r["User-Name"], r["Framed-IP-Address"]
		case "Stop":
			kind = r["Acct-Terminate-Cause"]
			a.stops[id] = append(a.stops[id], kind)
		}
		a.order = append(a.order, kind)
	}
	return a
}

// open are the sessions that have a Start and no Stop.
func (a *accounts) open() (ids []string) {
	for id := range a.starts {
		if len(a.stops[id]) == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// sticky: no address is of two users, whenever they had it.
func (a *accounts) sticky(t *testing.T) {
	t.Helper()
	whose := map[string]string{}
	for id, address := range a.address {
		if other, taken := whose[address]; taken && other != a.user[id] {
			t.Errorf("%s was given to %s and to %s", address, other, a.user[id])
		}
		whose[address] = a.user[id]
	}
}

// causes counts the ends of these sessions by their cause, and fails the test where
// one has not ended exactly once.
func (a *accounts) causes(t *testing.T, ids []string) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, id := range ids {
		if len(a.stops[id]) != 1 {
			t.Errorf("session %s of %s has %d Stops %v", id, a.user[id], len(a.stops[id]), a.stops[id])
			continue
		}
		all[a.stops[id][0]]++
	}
	return all
}

// awaitOpen waits until the server has so many sessions open, and returns them.
func awaitOpen(t *testing.T, s *scenario.FreeRADIUSServer, count int) []string {
	t.Helper()
	var ids []string
	scenario.WaitFor(t, limit, fmt.Sprintf("%d sessions in the books of the RADIUS server", count), func() bool {
		ids = accountsOf(t, s).open()
		return len(ids) == count
	})
	return ids
}

// TestKilledLNS: what an LNS that is killed owes to others, the next one pays.
// Every session that was open gets a Stop with the cause NAS-Reboot, and
// Accounting-On comes behind it; every user gets his old address; nobody else gets
// it, however few are left. The same goes while the RADIUS server is down: the
// records come when it is back, also those of sessions that ended before the kill,
// with their own causes.
func TestKilledLNS(t *testing.T) {
	t.Parallel()
	const tunnels, each, spare, strangers = 3, 20, 5, 10
	const count = tunnels * each
	n := network(t)
	server := freeRADIUS(t, n.B, everybody)
	lns := scenario.Adit(t, n.B, lnsConfig(n, []string{`aaa = ["isp"]`, `pool = "subscribers"`},
		fmt.Sprintf("[pools.subscribers]\nranges = [\"10.64.1.1-10.64.1.%d\"]\n", count+spare),
		radiusServer("one", server.Auth, server.Acct, impatient...), radiusGroup("one")))
	var text []string
	for i := range tunnels {
		text = append(text, tunnelTo(n, fmt.Sprintf("t%d", i), names(fmt.Sprintf("t%d-user", i), each), often...))
	}
	lac := scenario.Adit(t, n.A, lacConfig(text...))
	before := awaitAddresses(t, lac, count)
	old := awaitOpen(t, server, count)

	lns.KillHard()
	lac.KillHard()
	lns.Restart(t)
	others := scenario.Adit(t, n.A, lacConfig(tunnelTo(n, "strangers", names("stranger", strangers), never...)))
	scenario.WaitFor(t, limit, "the LNS to refuse those for whom it has no address", func() bool {
		return counter(t, lns, "address_exhausted") == strangers-spare
	})
	theirs := awaitAddresses(t, others, spare)
	taken := map[netip.Addr]string{}
	for user, a := range before {
		taken[a] = user
	}
	for user, a := range theirs {
		if taken[a] != "" {
			t.Errorf("%s got %s, which %s had when the LNS was killed", user, a, taken[a])
		}
	}
	scenario.WaitFor(t, limit, "the others to be cleared as such who may not come in", func() bool {
		return len(lines(others.Log(), "session is down", "PPP disconnect code 16")) == strangers-spare
	})
	others.Stop(t)
	lac.Restart(t)
	if after := awaitAddresses(t, lac, count); !maps.Equal(after, before) {
		t.Errorf("after the kill the users have %v, before they had %v", after, before)
	}
	now := awaitOpen(t, server, count)
	books := accountsOf(t, server)
	if c := books.causes(t, old); c["NAS-Reboot"] != count {
		t.Errorf("the sessions that were open when the LNS was killed ended by %v", c)
	}
	reboots, onAgain := 0, false
	for _, kind := range books.order[1:] { // the first one is the first Accounting-On
		switch kind {
		case "Accounting-On":
			onAgain = true
			if reboots != count {
				t.Errorf("Accounting-On came behind %d of %d Stops", reboots, count)
			}
		case "NAS-Reboot":
			reboots++
		}
	}
	if books.order[0] != "Accounting-On" || !onAgain {
		t.Errorf("no Accounting-On at a start: %v", books.order[:1])
	}
	books.sticky(t)

	killedWithoutServer(t, lns, lac, server, before, now)
}

// killedWithoutServer is the second half: the RADIUS server is down when the LNS is
// killed.
func killedWithoutServer(t *testing.T, lns, lac *scenario.AditDaemon, server *scenario.FreeRADIUSServer, before map[string]netip.Addr, open []string) {
	t.Helper()
	const ended = 5
	scenario.WaitFor(t, limit, "the RADIUS server to have all records", func() bool {
		return counter(t, lns, "radius_accounting_backlog") == 0
	})
	kept := accountsOf(t, server)
	server.KillHard()
	for _, s := range sessions(t, lns)[:ended] {
		if out, err := lns.Command("disconnect", "session", fmt.Sprintf("%d/%d", s.Tunnel, s.ID)); err != nil {
			t.Fatal(err, out)
		}
	}
	scenario.WaitFor(t, limit, "the records of the ended sessions to be on disk", func() bool {
		return counter(t, lns, "radius_accounting_backlog") == ended
	})
	lns.KillHard()
	lns.Restart(t)
	scenario.WaitFor(t, limit, "a login to be refused while the RADIUS server is down", func() bool {
		return counter(t, lns, "auth_radius_silent") > 0
	})
	server.Restart(t)
	if after := awaitAddresses(t, lac, len(before)); !maps.Equal(after, before) {
		t.Errorf("after the second kill the users have %v, before they had %v", after, before)
	}
	awaitOpen(t, server, len(before))
	books := accountsOf(t, server)
	c := books.causes(t, open)
	if c["Admin-Reset"] != ended || c["NAS-Reboot"] != len(open)-ended {
		t.Errorf("the sessions of the second run ended by %v", c)
	}
	for id := range kept.starts {
		if books.starts[id] != 1 {
			t.Errorf("session %s has %d Starts", id, books.starts[id])
		}
	}
	books.sticky(t)
	lac.Stop(t)
	awaitNothing(t, lns)
	if left := accountsOf(t, server).open(); len(left) != 0 {
		t.Errorf("sessions %v have no Stop", left)
	}
}

// TestKilledInAStorm: an LNS that is killed three times while 200 clients log in
// ends up with all of them, each with the address that he had the first time and
// that nobody else ever had; and every session that was begun was ended.
func TestKilledInAStorm(t *testing.T) {
	t.Parallel()
	const tunnels, each, count = 4, 50, 200
	n := network(t)
	server := freeRADIUS(t, n.B, everybody)
	// All of them would be in before the first kill otherwise.
	slow := newProxy(t, n.B, server.Auth, trouble{delay: func([]byte) time.Duration { return rand.N(2 * time.Second) }})
	lns := scenario.Adit(t, n.B, lnsConfig(n, []string{`aaa = ["isp"]`, `pool = "subscribers"`},
		"[pools.subscribers]\nranges = [\"10.64.1.1-10.64.4.254\"]\n",
		radiusServer("one", slow.Addr, server.Acct), radiusGroup("one")))
	var text []string
	for i := range tunnels {
		text = append(text, tunnelTo(n, fmt.Sprintf("t%d", i), names(fmt.Sprintf("t%d-user", i), each), often...))
	}
	lac := scenario.Adit(t, n.A, lacConfig(text...))
	for _, enough := range []uint64{1, 40, 100} {
		began := uint64(0)
		scenario.WaitFor(t, limit, "logins", func() bool {
			began = counter(t, lns, "sessions_started")
			return began >= enough
		})
		lns.KillHard()
		t.Logf("killed when %d of %d sessions were up", began, count)
		if began == count {
			t.Error("the storm was over before the kill")
		}
		lns.Restart(t)
	}
	got := awaitAddresses(t, lac, count)
	scenario.WaitFor(t, limit, "all sessions in the books of the RADIUS server", func() bool {
		return len(accountsOf(t, server).open()) == count
	})
	books := accountsOf(t, server)
	books.sticky(t)
	for id, user := range books.user {
		if a := got[user]; a.String() != books.address[id] {
			t.Errorf("%s has %s, and in session %s had %s", user, a, id, books.address[id])
		}
	}
	lac.Stop(t)
	awaitNothing(t, lns)
	books = accountsOf(t, server)
	if left := books.open(); len(left) != 0 {
		t.Errorf("sessions %v have no Stop", left)
	}
	// A record whose acknowledgement died with the LNS comes again.
	twice := 0
	for id, stops := range books.stops {
		if books.starts[id] == 0 {
			t.Errorf("session %s has a Stop %v and no Start", id, stops)
		}
		twice += len(stops) - 1
	}
	t.Logf("%d sessions in all, %d Stops came twice", len(books.starts), twice)
}
