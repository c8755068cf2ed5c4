package ppp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"adit/internal/simnet"
)

// simPeer is an endpoint at one end of a simulated line, with an owner who
// checks what it does.
type simPeer struct {
	run      *simLink
	name     simnet.Addr
	to       simnet.Addr
	e        *Endpoint
	cfg      *Config
	timer    *simnet.Timer
	password string // that its judge wants
	user     string // who may come in
	up       [families]bool
	everUp   bool
	let      bool // an accepting verdict was given since LCP came up
	finished int
	cause    Cause
	text     string
}

type simLink struct {
	t    *testing.T
	seed uint64
	net  *simnet.Net
	rand *rand.Rand
	a, b *simPeer
}

func (l *simLink) fatalf(format string, args ...any) {
	l.t.Helper()
	l.t.Fatalf("seed %d at +%v: %s", l.seed, l.net.Now().Sub(simnet.Start), fmt.Sprintf(format, args...))
}

func newSimLink(t *testing.T, seed uint64, link simnet.Link) *simLink {
	l := &simLink{t: t, seed: seed, net: simnet.New(seed, link), rand: rand.New(rand.NewPCG(seed, 7))}
	return l
}

func (l *simLink) peer(n byte, cfg *Config, g Grant) *simPeer {
	other := 3 - n
	p := &simPeer{
		run: l, cfg: cfg, e: New(cfg, g), user: "user", password: "word",
		name: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 1701),
		to:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, other}), 1701),
	}
	cfg.Rand = seeded{l.rand}
	p.timer = l.net.At(time.Time{}, func(time.Time) { p.step(Tick{}) })
	l.net.Attach(p.name, func(_ time.Time, _ simnet.Addr, packet []byte) {
		p.step(Receive{Frame: packet})
		clear(packet) // it is not kept
	})
	return p
}

// step has something happen, and does and checks what follows.
func (p *simPeer) step(ev Event) {
	now := p.run.net.Now()
	acts := p.e.Step(now, ev)
	if len(acts) > 12 {
		p.run.fatalf("%d actions on %T", len(acts), ev)
	}
	if _, ok := ev.(Tick); ok {
		if at := p.e.Deadline(); !at.IsZero() && !at.After(now) {
			p.run.fatalf("the deadline %v is not after the Tick at %v", at, now)
		}
	}
	for _, a := range acts {
		p.perform(a)
	}
	if p.finished == 0 || len(acts) > 0 {
		p.timer.Reset(p.e.Deadline())
	}
}

func (p *simPeer) perform(a Action) {
	r := p.run
	if p.finished > 0 {
		r.fatalf("%s after Finished", show(a))
	}
	switch a := a.(type) {
	case Send:
		r.net.Send(p.name, p.to, a.Frame)
	case LinkUp:
		p.let = false
		if p.up != [families]bool{} {
			r.fatalf("LinkUp while networks are up")
		}
	case Authenticate:
		v := testJudge(a.Request, p.user, p.password)
		p.let = p.let || v.Accept
		delay := time.Duration(r.rand.IntN(300)) * time.Millisecond
		r.net.After(delay, func(time.Time) { p.step(Authenticated{Number: a.Number, Verdict: v}) })
	case NetworkUp:
		if p.up[a.Family] {
			r.fatalf("%v up twice", a.Family)
		}
		if len(p.cfg.Authenticate) > 0 && (!p.let || a.Network.User != p.user) {
			r.fatalf("%v up for %q without authentication", a.Family, a.Network.User)
		}
		p.up[a.Family], p.everUp = true, true
	case NetworkDown:
		if !p.up[a.Family] {
			r.fatalf("%v down, and was not up", a.Family)
		}
		p.up[a.Family] = false
	case Finished:
		if p.up != [families]bool{} {
			r.fatalf("finished with networks up")
		}
		p.finished++
		p.cause, p.text = a.Cause, a.Text
	}
}

// simMethods are the choices of methods for a run.
var simMethods = [][]Method{
	nil, {MethodPAP}, {MethodCHAP}, {MethodMSCHAPv2}, {MethodEAP},
	{MethodMSCHAPv2, MethodCHAP}, {MethodEAP, MethodCHAP, MethodPAP}, {MethodCHAP, MethodMSCHAPv2, MethodPAP, MethodEAP},
}

// simExpect is what has to come of two configurations.
type simExpect struct {
	auth    bool // every demand for authentication can be met
	good    bool // and the passwords are right
	network bool // they have a family in common
}

// start makes two ends by chance and starts them.
func (l *simLink) start() simExpect {
	pick := func() []Method { return simMethods[l.rand.IntN(len(simMethods))] }
	ca := &Config{Name: "lns", Authenticate: pick(), MRU: uint16(1000 + l.rand.IntN(1000))}
	cb := &Config{Name: "client", Answer: pick(), RequestDNS: l.rand.IntN(2) == 0}
	if l.rand.IntN(4) == 0 {
		cb.Authenticate, ca.Answer = pick(), pick()
	}
	x := simExpect{good: true}
	for _, c := range []*Config{ca, cb} {
		c.SetupTimeout = 10 * time.Minute // loss takes its time
		c.AuthTimeout = 5 * time.Minute
		c.MaxConfigure = 100
		c.MaxSetupParts = 2000
		c.IPv4, c.IPv6 = l.rand.IntN(4) > 0, l.rand.IntN(2) > 0
		password := "word"
		if l.rand.IntN(8) == 0 {
			password = "wrong"
		}
		c.Secrets = testSecrets{"user", password}
	}
	x.auth = meets(ca, cb) && meets(cb, ca)
	x.good = (len(ca.Authenticate) == 0 || cb.Secrets.(testSecrets).password == "word") &&
		(len(cb.Authenticate) == 0 || ca.Secrets.(testSecrets).password == "word")
	x.network = ca.IPv4 && cb.IPv4 || ca.IPv6 && cb.IPv6
	l.a = l.peer(1, ca, Grant{Local: lnsAddr, Peer: clientAddr, DNS: [2]netip.Addr{dnsAddr}})
	l.b = l.peer(2, cb, Grant{})
	l.a.step(Start{})
	l.net.After(time.Duration(l.rand.IntN(2000))*time.Millisecond, func(time.Time) { l.b.step(Start{}) })
	return x
}

// meets says whether b can show who it is as a demands.
func meets(a, b *Config) bool {
	return len(a.Authenticate) == 0 || slices.ContainsFunc(a.Authenticate, func(m Method) bool {
		return slices.Contains(b.Answer, m)
	})
}

// stop closes both ends and sees that they come to an end.
func (l *simLink) stop() {
	for _, p := range []*simPeer{l.a, l.b} {
		p.step(Close{Cause: CauseAdministrative})
	}
	l.net.RunFor(time.Minute)
	for _, p := range []*simPeer{l.a, l.b} {
		if p.finished != 1 {
			l.fatalf("%v finished %d times, phase %v", p.name, p.finished, p.e.Phase())
		}
	}
}

// On a line that does nothing worse than to delay, two ends agree whenever they
// can, at once, and end with the right cause when they cannot.
func TestEndpointPairs(t *testing.T) {
	var agreed, refused, failed, lonely int
	for seed := range uint64(simnet.Rounds(3000)) {
		l := newSimLink(t, seed, simnet.Link{Delay: 20 * time.Millisecond})
		x := l.start()
		l.net.RunFor(20 * time.Second)
		causes := fmt.Sprintf("%v/%v and %v/%v", l.a.cause, l.a.text, l.b.cause, l.b.text)
		switch {
		case !x.auth:
			refused++
			if l.a.everUp || l.b.everUp || !oneOf(l, CauseAuthRefused, CauseOurAuthRefused) {
				l.fatalf("no method in common: %s", causes)
			}
		case !x.good:
			failed++
			if l.a.everUp && l.b.everUp || !oneOf(l, CauseAuthFailed) {
				l.fatalf("a wrong password: %s", causes)
			}
		case !x.network:
			lonely++
			if l.a.everUp || l.b.everUp || !oneOf(l, CauseNoNetwork) {
				l.fatalf("no network in common: %s", causes)
			}
		default:
			agreed++
			l.wantAgreement()
		}
		l.stop()
	}
	t.Logf("agreed %d, refused %d, failed %d, lonely %d", agreed, refused, failed, lonely)
	if min(agreed, refused, failed, lonely) < simnet.Rounds(150) {
		t.Errorf("agreed %d, refused %d, failed %d, lonely %d: too few of a kind", agreed, refused, failed, lonely)
	}
}

func oneOf(l *simLink, causes ...Cause) bool {
	return slices.Contains(causes, l.a.cause) || slices.Contains(causes, l.b.cause)
}

// wantAgreement checks that both ends are up and think the same.
func (l *simLink) wantAgreement() {
	l.t.Helper()
	a, b := l.a, l.b
	na, nb := a.e.Network(), b.e.Network()
	for f := range Family(families) {
		want := a.e.enabled(f) && b.e.enabled(f)
		if a.up[f] != want || b.up[f] != want || a.e.Up(f) != want {
			l.fatalf("%v is up %v and %v, want %v; finished %d %v %q, %d %v %q", f, a.up[f], b.up[f], want,
				a.finished, a.cause, a.text, b.finished, b.cause, b.text)
		}
	}
	if a.up[IPv4] && (na.LocalIPv4 != nb.PeerIPv4 || na.PeerIPv4 != nb.LocalIPv4 ||
		na.LocalIPv4 != lnsAddr || nb.LocalIPv4 != clientAddr ||
		b.cfg.RequestDNS != (nb.DNS[0] == dnsAddr) || nb.DNS[1].IsValid()) {
		l.fatalf("networks %+v and %+v", na, nb)
	}
	if a.up[IPv6] && (na.LocalID != nb.PeerID || na.PeerID != nb.LocalID || na.LocalID == na.PeerID || na.LocalID == 0) {
		l.fatalf("identifiers %+v and %+v", na, nb)
	}
	la, lb := a.e.Link(), b.e.Link()
	if la.PeerMRU > lb.LocalMRU || lb.PeerMRU > la.LocalMRU || la.LocalMRU != a.cfg.MRU {
		l.fatalf("links %+v and %+v", la, lb)
	}
}

// On a line that loses, doubles and reorders they agree all the same, later; and
// nothing that must not happen does.
func TestEndpointLossyPairs(t *testing.T) {
	n := uint64(simnet.Rounds(3000))
	agreed, possible := 0, 0
	for seed := range n {
		r := rand.New(rand.NewPCG(seed, 11))
		l := newSimLink(t, seed, simnet.Link{
			Loss: r.Float64() * 0.3, Duplicate: r.Float64() * 0.1, Reorder: r.Float64() * 0.3,
			Delay: time.Duration(r.IntN(200)) * time.Millisecond, Jitter: time.Duration(r.IntN(200)) * time.Millisecond,
		})
		x := l.start()
		l.net.RunFor(3 * time.Minute)
		if x.auth && x.good && x.network {
			possible++
			// What is under way arrives, and nothing is lost any more.
			l.net.SetDefaultLink(simnet.Link{Delay: 20 * time.Millisecond})
			l.net.RunFor(5 * time.Minute)
			if l.a.finished+l.b.finished == 0 {
				agreed++
				l.wantAgreement()
			} else {
				t.Logf("seed %d: %v %q and %v %q", seed, l.a.cause, l.a.text, l.b.cause, l.b.text)
			}
		} else if l.net.RunFor(20 * time.Minute); (!x.auth || !x.good) && l.a.finished+l.b.finished != 2 {
			l.fatalf("it goes on: finished %d and %d", l.a.finished, l.b.finished)
		}
		l.stop()
	}
	t.Logf("%d of %d runs agreed that could", agreed, possible)
	if possible < int(n)/4 || agreed < possible*95/100 {
		t.Errorf("%d of %d runs agreed that could", agreed, possible)
	}
}
