package aaa

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"adit/integration/scenario"
)

const fewAddresses = "[pools.subscribers]\nranges = [\"10.64.1.1-10.64.1.3\"]\n"
const addresses = "[pools.subscribers]\nranges = [\"10.64.1.1-10.64.1.200\"]\n"

var byRADIUS = []string{`aaa = ["isp"]`, `pool = "subscribers"`, `failure_delay = "0s"`}

// tuns counts the LACs: each has an interface of its own, also where several are
// in one namespace.
var tuns atomic.Int32

// login is a LAC with a call for each user, which is made once.
func login(t *testing.T, n *scenario.Net, users ...string) *scenario.AditDaemon {
	t.Helper()
	name := fmt.Sprintf("[tun]\nname = \"lac%d\"\n", tuns.Add(1))
	return scenario.Adit(t, n.A, lacConfig(tunnelTo(n, "t", users, never...), name))
}

// refused waits until the calls of all these users have been cleared, with RFC
// 3145's code 16 for who may not come in. A peer of PPP has heard the message before
// that, unless the CDN, which goes another way, was faster than the refusal.
func refused(t *testing.T, lac *scenario.AditDaemon, message string, users ...string) {
	t.Helper()
	for _, user := range users {
		session := "session_name=" + user + " "
		if down := wantLine(t, lac, "session is down", session); !strings.Contains(down, "PPP disconnect code 16") {
			t.Errorf("the call of %s was cleared by %q, want code 16", user, down)
		} else if strings.Contains(down, "the peer ended it") {
			continue
		}
		if said := wantLine(t, lac, "PPP ended", session); !strings.Contains(said, message) {
			t.Errorf("%s was told %q, want %q", user, said, message)
		}
	}
}

// over ends a LAC, and sees that the LNS has nothing left of it.
func over(t *testing.T, lns, lac *scenario.AditDaemon, before int) {
	t.Helper()
	lac.Stop(t)
	awaitNothing(t, lns)
	// Sockets towards servers stay, one for each port and 256 requests.
	const slack = 8
	if !scenario.Eventually(limit, func() bool { return descriptors(t, lns.Pid()) <= before+slack }) {
		t.Errorf("the LNS had %d descriptors before the logins, and has %d after", before, descriptors(t, lns.Pid()))
	}
}

// TestServersThatAreDown: a server that is silent and one that is not there cost the
// first logins a moment and no login at all; each is a line in the log and a counter;
// and the first one is asked again when it is back.
func TestServersThatAreDown(t *testing.T) {
	t.Parallel()
	n := network(t)
	server := freeRADIUS(t, n.B, everybody)
	hole := newProxy(t, n.B, server.Auth, trouble{lose: func([]byte) bool { return true }})
	lns := scenario.Adit(t, n.B, lnsConfig(n, byRADIUS, addresses,
		radiusServer("hole", hole.Addr, server.Acct, impatient...),
		radiusServer("absent", closedPort(t, n.B), closedPort(t, n.B), impatient...),
		radiusServer("one", server.Auth, server.Acct, impatient...), radiusGroup("hole", "absent", "one")))
	before := descriptors(t, lns.Pid())
	users := names("user", 30)
	lac := login(t, n, users...)
	awaitAddresses(t, lac, len(users))
	wantLine(t, lns, "is not asked for a while", "server=hole", "for=authentication")
	wantLine(t, lns, "is not asked for a while", "server=absent", "for=authentication")
	c := counters(t, lns)
	if c["radius_dead_servers"] != 2 || c["radius_timeouts"] == 0 || c["radius_refusals"] == 0 || c["auth_radius_silent"] != 0 {
		t.Errorf("counters %v", c)
	}
	hole.set(trouble{})
	lac.Stop(t)
	scenario.WaitFor(t, limit, "the server that was silent to be asked again", func() bool {
		lac.Restart(t)
		awaitAddresses(t, lac, len(users))
		if len(lines(lns.Log(), "answers again", "server=hole")) > 0 {
			return true
		}
		lac.Stop(t)
		return false
	})
	over(t, lns, lac, before)
}

// TestSlowServer: a login waits for a server as long as its time and its tries last;
// one that takes longer is refused then; and what comes later is dropped and counted.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	n := network(t)
	server := freeRADIUS(t, n.B, everybody)
	slow := newProxy(t, n.B, server.Auth, trouble{delay: func(request []byte) time.Duration {
		if bytes.Contains(request, []byte("tardy")) {
			return 20 * time.Second
		}
		return 5 * time.Second
	}})
	lns := scenario.Adit(t, n.B, lnsConfig(n, byRADIUS, addresses,
		radiusServer("slow", slow.Addr, server.Acct, `timeout = "3s"`, `retries = 2`), radiusGroup("slow")))
	before := descriptors(t, lns.Pid())
	begin := time.Now()
	lac := login(t, n, "patient", "tardy")
	awaitAddresses(t, lac, 1)
	if took := time.Since(begin); took < 5*time.Second || took > 15*time.Second {
		t.Errorf("the login took %s where the server takes 5 s", took)
	}
	refused(t, lac, "nobody can say at present who you are", "tardy")
	if took := time.Since(begin); took < 9*time.Second || took > 20*time.Second {
		t.Errorf("the other one was refused after %s, where there are three tries of 3 s", took)
	}
	wantLine(t, lns, `user \"tardy\" is refused`, "no RADIUS server answered")
	if c := counters(t, lns); c["auth_radius_silent"] != 1 || c["radius_retransmissions"] == 0 || c["radius_timeouts"] != 1 {
		t.Errorf("counters %v", c)
	}
	late := counter(t, lns, "radius_unexpected_answers")
	scenario.WaitFor(t, limit, "the answer that comes too late", func() bool {
		return counter(t, lns, "radius_unexpected_answers") > late
	})
	over(t, lns, lac, before)
}

// TestLiar: an answer of which one bit is another is dropped and counted, whatever it
// says, and the next server is asked.
func TestLiar(t *testing.T) {
	t.Parallel()
	n := network(t)
	server := freeRADIUS(t, n.B, "alice Cleartext-Password := \"right\"\n")
	flip := trouble{answer: func(answer []byte, send func([]byte)) {
		answer[4+rand.IntN(16)] ^= 1 << rand.IntN(8)
		send(answer)
	}}
	liar := newProxy(t, n.B, server.Auth, flip)
	lns := scenario.Adit(t, n.B, lnsConfig(n, byRADIUS, addresses,
		radiusServer("liar", liar.Addr, server.Acct, `timeout = "500ms"`, `retries = 0`),
		radiusServer("honest", server.Auth, server.Acct, impatient...), radiusGroup("liar", "honest")))
	before := descriptors(t, lns.Pid())
	lac := login(t, n, "alice")
	awaitAddresses(t, lac, 1)
	wantLine(t, lns, "its authenticator is wrong", "server=liar")
	if c := counters(t, lns); c["radius_bad_authenticators"] != 1 || c["radius_dead_servers"] != 1 || c["radius_accepts"] != 1 {
		t.Errorf("counters %v", c)
	}
	over(t, lns, lac, before)
}

// TestFlood: 100,000 answers that are none come from a server's own address while it
// is asked. The LNS answers its operator meanwhile, takes the one that is an answer,
// and its log stays short.
func TestFlood(t *testing.T) {
	t.Parallel()
	const garbage = 100_000
	n := network(t)
	server := freeRADIUS(t, n.B, everybody)
	var once sync.Once
	flooding, flooded := make(chan struct{}), make(chan struct{})
	source := newProxy(t, n.B, server.Auth, trouble{answer: func(answer []byte, send func([]byte)) {
		once.Do(func() {
			close(flooding)
			for i := range garbage {
				send(forgery(answer, i))
			}
			close(flooded)
		})
		send(answer)
	}})
	lns := scenario.Adit(t, n.B, lnsConfig(n, byRADIUS, addresses,
		radiusServer("one", source.Addr, server.Acct, `timeout = "5s"`), radiusGroup("one")))
	before := descriptors(t, lns.Pid())
	lac := login(t, n, names("user", 20)...)
	<-flooding
	asked, longest := 0, time.Duration(0)
	for done := false; !done; asked++ {
		begin := time.Now()
		counters(t, lns)
		longest = max(longest, time.Since(begin))
		select {
		case <-flooded:
			done = true
		default:
		}
	}
	if longest > 2*time.Second {
		t.Errorf("the LNS took %s to answer its operator", longest)
	}
	awaitAddresses(t, lac, 20)
	c := counters(t, lns)
	dropped := c["radius_malformed_answers"] + c["radius_bad_authenticators"] + c["radius_unexpected_answers"] + c["radius_unsigned_answers"]
	if dropped < garbage/100 || c["radius_malformed_answers"] == 0 || c["radius_bad_authenticators"] == 0 || c["radius_unexpected_answers"] == 0 {
		t.Errorf("%d of %d were dropped for a reason: %v", dropped, garbage, c)
	}
	t.Logf("of %d answers %d reached the LNS and were dropped; it answered its operator %d times meanwhile, within %s", garbage, dropped, asked, longest)
	const most = 40
	if got := len(lines(lns.Log(), "was dropped")); got > most || got == 0 {
		t.Errorf("%d lines of the log are about dropped answers, want at most %d", got, most)
	}
	over(t, lns, lac, before)
}

// forgery is an answer that is none: torn, of other identifiers, or with another
// authenticator.
func forgery(answer []byte, i int) []byte {
	b := bytes.Clone(answer)
	switch i % 4 {
	case 0:
		return b[:rand.IntN(len(b))]
	case 1:
		b[1] += byte(1 + rand.IntN(255))
	case 2:
		b[4+rand.IntN(16)] ^= 0xff
	default:
		for j := range b {
			b[j] = byte(rand.Uint32())
		}
	}
	return b
}

// TestNoServerAtAll: where no server answers, a login is refused as soon as all were
// asked, with a line in the log and a counter. They are asked for the next one too,
// because there is no other, and nothing more is said about them.
func TestNoServerAtAll(t *testing.T) {
	t.Parallel()
	n := network(t)
	silent := newProxy(t, n.B, closedPort(t, n.B), trouble{lose: func([]byte) bool { return true }})
	lns := scenario.Adit(t, n.B, lnsConfig(n, append(byRADIUS, `accounting = "none"`), addresses,
		radiusServer("absent", closedPort(t, n.B), closedPort(t, n.B), `timeout = "500ms"`, `retries = 1`, `dead_time = "1h"`),
		radiusServer("silent", silent.Addr, silent.Addr, `timeout = "500ms"`, `retries = 1`, `dead_time = "1h"`),
		radiusGroup("absent", "silent")))
	before := descriptors(t, lns.Pid())
	begin := time.Now()
	lac := login(t, n, "alice")
	refused(t, lac, "nobody can say at present who you are", "alice")
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("she was refused after %s", took)
	}
	wantLine(t, lns, `user \"alice\" is refused`, "RADIUS group isp")
	wantLine(t, lns, "is not asked for a while", "server=absent")
	wantLine(t, lns, "is not asked for a while", "server=silent")
	if c := counters(t, lns); c["auth_radius_silent"] != 1 || c["auth_refused"] != 1 || c["radius_dead_servers"] != 2 {
		t.Errorf("counters %v", c)
	}
	lac.Stop(t)
	begin = time.Now()
	lac = login(t, n, "bob")
	refused(t, lac, "nobody can say at present who you are", "bob")
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("the second one was refused after %s", took)
	}
	wantLine(t, lns, `user \"bob\" is refused`, "RADIUS group isp")
	wantLine(t, lns, "is not asked for a while", "server=absent")
	wantLine(t, lns, "is not asked for a while", "server=silent")
	if c := counters(t, lns); c["auth_radius_silent"] != 2 || c["radius_dead_servers"] != 2 {
		t.Errorf("counters %v", c)
	}
	over(t, lns, lac, before)
}

// TestExhaustedPool: who comes when all addresses are in use is told so, and the next
// one gets what was given back.
func TestExhaustedPool(t *testing.T) {
	t.Parallel()
	n := network(t)
	text := fewAddresses
	users := names("user", 5)
	for _, u := range append(users, "late") {
		text += localUser(u)
	}
	lns := scenario.Adit(t, n.B, lnsConfig(n, []string{`pool = "subscribers"`}, text))
	before := descriptors(t, lns.Pid())
	lac := login(t, n, users...)
	got := awaitAddresses(t, lac, 3)
	var out []string
	for _, u := range users {
		if _, in := got[u]; !in {
			out = append(out, u)
		}
	}
	refused(t, lac, "no address is free for you", out...)
	for _, u := range out {
		wantLine(t, lns, fmt.Sprintf(`user \"%s\" is refused`, u), "add a range to it")
	}
	if n := counter(t, lns, "address_exhausted"); n != 2 {
		t.Errorf("address_exhausted is %d", n)
	}
	gone := sessions(t, lns)[0]
	if out, err := lns.Command("disconnect", "session", fmt.Sprintf("%d/%d", gone.Tunnel, gone.ID)); err != nil {
		t.Fatal(err, out)
	}
	lns.WaitSessions(t, limit, 2)
	late := login(t, n, "late")
	if a := awaitAddresses(t, late, 1)["late"]; a != gone.RemoteAddress {
		t.Errorf("the next one got %s, given back was %s", a, gone.RemoteAddress)
	}
	late.Stop(t)
	over(t, lns, lac, before)
}

func localUser(name string, lines ...string) string {
	return fmt.Sprintf("[[users]]\nname = %q\npassword = \"right\"\n%s\n", name, strings.Join(lines, "\n"))
}

// The network that DHCP servers give addresses of, by way of a relay on the LNS.
var (
	relayed = netip.MustParsePrefix("10.65.0.0/16")
	relay   = netip.MustParseAddr("10.65.0.1")
)

// dhcpServer starts a server in the LAC's namespace, where it is no router of
// anything, on one link to the LNS.
func dhcpServer(t *testing.T, n *scenario.Net, at scenario.End, last string, lease time.Duration) *scenario.DHCPServer {
	t.Helper()
	trees := dhcpTrees(t, scenario.Kea)
	awaitRunning(t, at)
	return scenario.DHCPD(t, n.A, scenario.DHCPOptions{
		Kind: scenario.Kea, Trees: trees, Interface: at.Interface, Address: at.IPv4, Dir: t.TempDir(),
		Subnets: []scenario.DHCPSubnet{{Prefix: relayed, Router: relay, First: relay.Next(), Last: netip.MustParseAddr(last)}},
		Lease:   lease, Renew: lease / 2, DNS: relay, Domain: "subscribers.example",
	})
}

// relayNet is a network in which the LNS can be a relay.
func relayNet(t *testing.T) *scenario.Net {
	t.Helper()
	n := network(t)
	n.B.MustRun(t, "ip", "addr", "add", relay.String()+"/32", "dev", "lo")
	n.A.Route(t, relayed, n.AddrB())
	return n
}

func dhcpGroup(name, onLoss string, servers ...netip.Addr) string {
	var all []string
	for _, s := range servers {
		all = append(all, fmt.Sprintf("%q", s.String()))
	}
	return fmt.Sprintf("[dhcp.%s]\nservers = [%s]\nrelay = %q\non_loss = %q\ntimeout = \"5s\"\n", name, strings.Join(all, ", "), relay.String(), onLoss)
}

// TestServersThatShareARange: two DHCP servers that know nothing of each other have
// the same two addresses. Two users get one each; the third one is offered what
// another has, and is refused for that reason instead of being let in with it.
func TestServersThatShareARange(t *testing.T) {
	t.Parallel()
	n := relayNet(t)
	second := scenario.Join(t, n.A, n.B)
	one := dhcpServer(t, n, n.Links[0].Left, "10.65.0.3", time.Hour)
	two := dhcpServer(t, n, second.Left, "10.65.0.3", time.Hour)
	lns := scenario.Adit(t, n.B, lnsConfig(n, []string{`dhcp = "campus"`}, dhcpGroup("campus", "disconnect", n.AddrA(), second.Left.IPv4),
		localUser("first"), localUser("second"), localUser("third")))
	before := descriptors(t, lns.Pid())
	pair := login(t, n, "first", "second")
	for user, a := range awaitAddresses(t, pair, 2) {
		if !relayed.Contains(a) {
			t.Errorf("%s got %s", user, a)
		}
	}
	third := login(t, n, "third")
	refused(t, third, "no address is free for you", "third")
	wantLine(t, lns, `user \"third\" is refused`, "two servers may share a range")
	if c := counters(t, lns); c["dhcp_conflicts"] == 0 || c["address_conflict"]+c["address_none"] != 1 {
		t.Errorf("counters %v", c)
	}
	awaitAddresses(t, pair, 2)
	pair.Stop(t)
	over(t, lns, third, before)
	scenario.WaitFor(t, limit, "the leases to be back at the servers", func() bool { return len(one.Leases(t))+len(two.Leases(t)) == 0 })
}

// TestServerGivesAnothersAddress: a DHCP server gives an address that a user of ours
// has by the configuration: it is declined, and the login refused.
func TestServerGivesAnothersAddress(t *testing.T) {
	t.Parallel()
	n := relayNet(t)
	server := dhcpServer(t, n, n.Links[0].Left, "10.65.0.2", time.Hour)
	lns := scenario.Adit(t, n.B, lnsConfig(n, []string{`dhcp = "campus"`}, dhcpGroup("campus", "disconnect", n.AddrA()),
		localUser("owner", `address = "10.65.0.2"`), localUser("tenant")))
	before := descriptors(t, lns.Pid())
	owner := login(t, n, "owner")
	awaitAddresses(t, owner, 1)
	tenant := login(t, n, "tenant")
	refused(t, tenant, "no address is free for you", "tenant")
	wantLine(t, lns, `user \"tenant\" is refused`, "gave 10.65.0.2", "another session has")
	if c := counters(t, lns); c["address_conflict"] != 1 || c["dhcp_declines"] != 1 {
		t.Errorf("counters %v", c)
	}
	awaitAddresses(t, owner, 1)
	owner.Stop(t)
	over(t, lns, tenant, before)
	if left := server.Leases(t); len(left) != 0 {
		t.Errorf("leases are left: %v", left)
	}
}

// TestDHCPServerDies: when a lease runs out because its server is dead, the session
// ends, with a reason for everybody, or it goes on, as on_loss says.
func TestDHCPServerDies(t *testing.T) {
	t.Parallel()
	n := relayNet(t)
	books := freeRADIUS(t, n.B, everybody)
	server := dhcpServer(t, n, n.Links[0].Left, "10.65.0.20", 8*time.Second)
	lns := scenario.Adit(t, n.B, lnsConfig(n, []string{`dhcp = "lose"`, `aaa = ["local"]`, `accounting = "isp"`},
		profile("keeping", `local_address = "`+inner+`"`, `dhcp = "keep"`, `aaa = ["local"]`, `accounting = "isp"`),
		dhcpGroup("lose", "disconnect", n.AddrA()), dhcpGroup("keep", "keep", n.AddrA()),
		radiusServer("one", books.Auth, books.Acct), radiusGroup("one"),
		localUser("loser"), localUser("keeper", `profile = "keeping"`)))
	before := descriptors(t, lns.Pid())
	lac := login(t, n, "loser", "keeper")
	awaitAddresses(t, lac, 2)
	acks := counter(t, lns, "dhcp_acks")
	scenario.WaitFor(t, limit, "both leases to be renewed", func() bool { return counter(t, lns, "dhcp_acks") >= acks+2 })
	server.KillHard()
	line := wantLine(t, lac, "session is down", "session_name=loser ")
	if !strings.Contains(line, "the address is no longer leased") {
		t.Errorf("the call of the loser was cleared by %q", line)
	}
	wantLine(t, lns, "session is ended: the address is no longer leased", "user=loser")
	wantLine(t, lns, "the session keeps it, as on_loss says", "user=keeper")
	if c := counters(t, lns); c["address_lease_lost"] != 2 || c["dhcp_lost"] != 2 {
		t.Errorf("counters %v", c)
	}
	if a := awaitAddresses(t, lac, 1)["keeper"]; !relayed.Contains(a) {
		t.Errorf("the keeper has %s", a)
	}
	over(t, lns, lac, before)
	causes := map[string]string{}
	for _, r := range books.Records(t) {
		if r["Acct-Status-Type"] == "Stop" {
			causes[r["User-Name"]] = r["Acct-Terminate-Cause"]
		}
	}
	if causes["loser"] != "Lost-Service" || causes["keeper"] != "Lost-Carrier" {
		t.Errorf("the sessions ended by %v", causes)
	}
}
