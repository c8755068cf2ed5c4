package ppp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"adit/internal/simnet"
)

// warden watches an endpoint that demands authentication. It knows of its own
// whether the peer has shown who it is since LCP came to its agreement, and
// nothing of what the endpoint thinks.
type warden struct {
	t         *testing.T
	e         *Endpoint
	cfg       *Config
	now       time.Time
	rand      *rand.Rand
	asked     map[uint32]bool // Authenticate actions of this agreement
	open      uint32          // the one that has no verdict yet; 0: none
	last      uint32
	let       bool   // one was accepted
	user      string // who was let in first on this link
	refused   int    // attempts of this link
	up        [families]bool
	ups, anew int // networks up, and those after a renegotiation
	dead      bool
}

func (w *warden) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("at +%v: %s", w.now.Sub(linkStart), fmt.Sprintf(format, args...))
}

// outside forgets what was shown by an agreement that is no more.
func (w *warden) outside() { w.asked, w.open, w.let = map[uint32]bool{}, 0, false }

func (w *warden) step(ev Event) {
	if v, ok := ev.(Authenticated); ok && v.Number == w.open && w.open != 0 {
		w.open = 0
		switch {
		case v.Verdict.Accept && (w.user == "" || w.user == v.Verdict.User):
			w.let, w.user = true, v.Verdict.User
		case v.Verdict.EAP == nil:
			w.refused++
		}
	}
	for _, a := range w.e.Step(w.now, ev) {
		if w.dead {
			w.fatalf("%s after Finished", show(a))
		}
		switch a := a.(type) {
		case LinkUp:
			w.outside()
		case Authenticate:
			if w.asked[a.Number] || w.open != 0 {
				w.fatalf("%s: asked before", show(a))
			}
			if w.refused >= authAttempts {
				w.fatalf("%s after %d that were refused", show(a), w.refused)
			}
			w.asked[a.Number], w.open, w.last = true, a.Number, a.Number
		case NetworkUp:
			if !w.let || a.Network.User != w.user {
				w.fatalf("%s, and the peer did not show who it is", show(a))
			}
			w.up[a.Family] = true
			w.ups++
			if w.e.Counters().Renegotiations > 0 {
				w.anew++
			}
		case NetworkDown:
			w.up[a.Family] = false
		case Finished:
			w.dead = true
		}
	}
	if w.e.lcp.state != stateOpened {
		w.outside()
		if w.up != [families]bool{} {
			w.fatalf("networks are up in LCP's state %v", w.e.lcp.state)
		}
	}
	if (w.e.Phase() == PhaseNetwork || w.e.Up(IPv4) || w.e.Up(IPv6)) && !w.let {
		w.fatalf("phase %v after %T, and the peer did not show who it is", w.e.Phase(), ev)
	}
}

func (w *warden) recv(p Protocol, c Code, id uint8, data ...byte) {
	w.step(Receive{Frame: packetFrame(p, c, id, data)})
}

// agree acknowledges the last Configure-Request of a layer, and asks for nothing
// that it would not have.
func (w *warden) agree(l layer, ask ...byte) {
	if w.rand.IntN(2) == 0 {
		w.recv(l.protocol(), ConfigureAck, l.automat().id, l.request(w.e, nil)...)
	} else {
		w.recv(l.protocol(), ConfigureRequest, byte(w.rand.Uint32()), ask...)
	}
}

// answer is what a peer says that is asked, rightly or not; the Identifier mostly
// fits.
func (w *warden) answer() {
	id := byte(w.rand.Uint32())
	if a := w.e.auth; a != nil && w.rand.IntN(4) > 0 {
		id = a.id
	}
	name := []byte([]string{"alice", "bob"}[w.rand.IntN(2)])
	kind := w.rand.IntN(5)
	if w.rand.IntN(2) == 0 && w.e.lcp.ours.Auth != 0 {
		kind = int(w.e.lcp.ours.Auth - MethodPAP)
	}
	switch kind {
	case 0:
		w.recv(ProtocolPAP, papRequest, id, append(append([]byte{byte(len(name))}, name...), 1, byte(w.rand.Uint32()))...)
	case 1:
		w.recv(ProtocolCHAP, chapResponse, id, append(append([]byte{16}, make([]byte, 16)...), name...)...)
	case 2:
		w.recv(ProtocolCHAP, chapResponse, id, append(append([]byte{49}, make([]byte, 49)...), name...)...)
	case 3:
		w.recv(ProtocolEAP, eapResponse, id, append([]byte{eapIdentity}, name...)...)
	case 4:
		w.recv(ProtocolEAP, eapResponse, id, eapMD5Challenge, 1, 2)
	}
}

// verdict decides: mostly about the last request, sometimes about any.
func (w *warden) verdict() {
	number := w.last
	if w.rand.IntN(4) == 0 {
		number = uint32(w.rand.IntN(int(w.last) + 3))
	}
	v := Verdict{User: []string{"alice", "alice", "alice", "bob"}[w.rand.IntN(4)]}
	switch w.rand.IntN(6) {
	case 0:
		v.Retry = true
	case 1:
		if w.rand.IntN(4) == 0 {
			v.User = ""
		} else {
			v.EAP = authPacket(eapRequest, byte(w.rand.Uint32()), []byte{eapMD5Challenge, 1, 2})
		}
	default:
		v.Accept = true
	}
	w.step(Authenticated{Number: number, Verdict: v})
}

// noise is what a peer may try to get past all this, or to get in the way of it.
func (w *warden) noise() {
	protocols := []Protocol{ProtocolLCP, ProtocolPAP, ProtocolCHAP, ProtocolEAP, ProtocolIPCP, ProtocolIPv6CP}
	p := protocols[w.rand.IntN(len(protocols))]
	switch w.rand.IntN(8) {
	case 0: // it says that we are in
		w.recv(p, Code(2+w.rand.IntN(3)), byte(w.rand.Uint32()), 0)
	case 1:
		w.recv(p, TerminateAck, w.e.lcp.id)
	case 2:
		w.recv(ProtocolIPv6CP, TerminateRequest, 1)
	case 3: // it would rather have another method
		m := MethodPAP + Method(w.rand.IntN(4))
		w.recv(ProtocolLCP, ConfigureNak, w.e.lcp.id, appendOption(nil, OptionAuth, m.option()...)...)
	case 4: // an acknowledgement of all but the authentication
		l := w.e.lcp
		l.ours.Auth = 0
		w.recv(ProtocolLCP, ConfigureAck, l.id, l.request(w.e, nil)...)
	case 5: // it asks in turn
		w.recv(ProtocolCHAP, chapChallenge, 9, append(append([]byte{16}, make([]byte, 16)...), 'x')...)
	case 6:
		w.recv(ProtocolLCP, ConfigureRequest, 9, appendOption(nil, OptionAuth, MethodCHAP.option()...)...)
	case 7:
		w.recv(ProtocolCHAP, chapSuccess, 9)
	}
}

// run has something happen: mostly what leads on from where the link is.
func (w *warden) run() {
	if w.rand.IntN(3) > 0 {
		switch w.e.Phase() {
		case PhaseEstablish:
			w.agree(&w.e.lcp)
		case PhaseAuthenticate:
			if w.open != 0 {
				w.verdict()
			} else {
				w.answer()
			}
		case PhaseNetwork:
			w.agree(&w.e.ipcp, 3, 6, 10, 0, 0, 2)
		case PhaseDead, PhaseTerminate:
			w.step(Tick{})
		}
		return
	}
	switch n := w.rand.IntN(40); {
	case n < 12:
		w.agree(&w.e.lcp)
	case n < 18:
		w.answer()
	case n < 24:
		w.verdict()
	case n < 32:
		w.agree(&w.e.ipcp, 3, 6, 10, 0, 0, 2)
	case n < 36:
		w.agree(&w.e.ipv6cp, 1, 10, 9, 9, 9, 9, 9, 9, 9, 9)
	case n < 39:
		w.noise()
	default:
		w.now = w.now.Add(time.Duration(w.rand.IntN(4000)) * time.Millisecond)
		w.step(Tick{})
	}
}

// Whatever a peer does, and in whatever order: a link that demands authentication
// has no network up before a verdict accepted a peer that LCP's present agreement
// had asked. Nor does anybody try more often than AuthAttempts, or become another.
//
// RFC 1661 section 3.5: "Advancement from the Authentication phase to the
// Network-Layer Protocol phase MUST NOT occur until authentication has completed."
func TestNoNetworkWithoutVerdict(t *testing.T) {
	methods := [][]Method{{MethodPAP}, {MethodCHAP}, {MethodMSCHAPv2}, {MethodEAP}, {MethodMSCHAPv2, MethodCHAP, MethodPAP, MethodEAP}}
	ups, anew, proxied := 0, 0, 0
	for seed := range uint64(simnet.Rounds(6000)) {
		r := rand.New(rand.NewPCG(seed, 17))
		cfg := &Config{Name: "lns", IPv4: true, IPv6: seed&1 == 0, Rand: seeded{r}, Rechallenge: time.Duration(seed&2) * 5 * time.Second,
			Authenticate: methods[seed%uint64(len(methods))]}
		if seed&4 != 0 {
			cfg.Answer, cfg.Secrets = []Method{MethodCHAP}, testSecrets{"us", "word"}
		}
		w := &warden{t: t, e: New(cfg, Grant{Local: lnsAddr, Peer: clientAddr}), cfg: cfg, now: linkStart, rand: r}
		w.outside()
		start := Start{}
		if seed&8 != 0 {
			start.Proxy = proxyOf(t)
		}
		w.step(start)
		for range 150 {
			if w.run(); w.dead {
				break
			}
		}
		ups, anew = ups+w.ups, anew+w.anew
		if start.Proxy != nil && w.ups > w.anew {
			proxied++
		}
	}
	t.Logf("%d networks up, %d after a renegotiation; %d links that a LAC began", ups, anew, proxied)
	if least := simnet.Rounds(300); ups < 3*least || anew < least || proxied < least/3 {
		t.Errorf("%d networks up, %d after a renegotiation, %d links that a LAC began: too few to tell", ups, anew, proxied)
	}
}

// mschapBench is an LNS that asks for MS-CHAPv2, of which LCP is open.
func mschapBench(t *testing.T) *bench {
	t.Helper()
	b := lnsBench(t, func(c *Config) { c.Authenticate = []Method{MethodMSCHAPv2} })
	b.recv(lcpHead + "01 03 0004")
	b.openLCP()
	b.wantPhase(PhaseAuthenticate)
	return b
}

// openLCP has the peer acknowledge our Configure-Request.
func (b *bench) openLCP() {
	b.step(Receive{Frame: packetFrame(ProtocolLCP, ConfigureAck, b.e.lcp.id, b.e.lcp.request(b.e, nil))})
}

// respond is the peer's Response to the last challenge, and the verdict on it.
func (b *bench) respond(name string, v Verdict) {
	b.t.Helper()
	value := append([]byte{mschapResponseLen}, make([]byte, mschapResponseLen)...)
	b.step(Receive{Frame: packetFrame(ProtocolCHAP, chapResponse, b.e.auth.id, append(value, name...))})
	b.step(Authenticated{Number: b.e.number, Verdict: v})
}

// A peer that negotiates LCP anew after each wrong password, or after a right one,
// has no more tries than one that does not.
func TestAttemptsOfAllTheLink(t *testing.T) {
	b := mschapBench(t)
	for i := range authAttempts {
		b.wantPhase(PhaseAuthenticate)
		b.respond("eve", Verdict{Retry: true})
		if i < authAttempts-1 {
			b.recv(lcpHead + "01 04 0004")
			b.openLCP()
		}
	}
	b.wantPhase(PhaseTerminate)
	if f := b.wantFinished(6*time.Second, CauseAuthFailed); b.e.number != authAttempts {
		t.Errorf("%d requests, %q", b.e.number, f.Text)
	}

	b = mschapBench(t)
	for i := range authAttempts {
		b.wantPhase(PhaseAuthenticate)
		b.respond("eve", Verdict{Retry: true})
		if i < authAttempts-1 {
			b.respond("eve", Verdict{Accept: true})
			b.wantPhase(PhaseNetwork)
			b.recv(lcpHead + "01 04 0004")
			b.openLCP()
		}
	}
	b.wantFinished(6*time.Second, CauseAuthFailed)

	// What the LAC heard was an attempt too.
	b = proxyBench(t, func(c *Config, _ *Proxy) { c.AuthAttempts = 1 })
	b.acts = nil
	b.step(Authenticated{Number: 1})
	b.wantPhase(PhaseTerminate)
	b.wantFinished(6*time.Second, CauseAuthFailed)
}

// A peer that was refused and hangs up has failed to authenticate itself, also if
// it does so after it began LCP anew; one that was in has not.
func TestHangsUpAfterRefusal(t *testing.T) {
	const bye = lcpHead + "05 09 0007 627965"
	for _, anew := range []bool{false, true} {
		b := mschapBench(t)
		b.respond("eve", Verdict{Retry: true})
		if anew {
			b.recv(lcpHead + "01 04 0004")
		}
		b.recv(bye)
		f := b.wantFinished(4*time.Second, CauseAuthFailed)
		if want := `the peer failed to authenticate itself, and gave up; peer terminated the link: it said "bye"`; f.Text != want {
			t.Errorf("text %q", f.Text)
		}
	}
	b := mschapBench(t) // without having tried
	b.recv(bye)
	b.wantFinished(4*time.Second, CausePeerTerminated)
	b = mschapBench(t) // in at the second try
	b.respond("bob", Verdict{Retry: true})
	b.respond("bob", Verdict{Accept: true})
	b.recv(bye)
	b.wantFinished(4*time.Second, CausePeerTerminated)
}

// Whoever was let in has to show it again after LCP began anew, and has to be the
// same; meanwhile nothing flows.
func TestAuthenticatedAnew(t *testing.T) {
	for _, name := range []string{"bob", "eve"} {
		b := mschapBench(t)
		b.respond("bob", Verdict{Accept: true, Grant: Grant{Peer: dnsAddr}})
		b.recv(ipcpHead + "02 01 000a 0306 0a000001")
		b.recv(ipcpHead + "01 01 000a 0306 0a000035")
		if !b.e.Up(IPv4) {
			t.Fatal("not up")
		}
		b.recv(lcpHead + "01 04 0004")
		if b.e.Up(IPv4) || b.e.Network().User != "" {
			t.Error("up while LCP negotiates")
		}
		b.openLCP()
		b.recv(ipcpHead + "01 02 000a 0306 0a000035")
		b.wantPhase(PhaseAuthenticate)
		b.acts = nil
		b.respond(name, Verdict{Accept: true})
		if name == "eve" {
			b.wantPhase(PhaseTerminate)
			b.wantFinished(6*time.Second, CauseAuthFailed)
			continue
		}
		// The grant is that of the present verdict: the address is the link's own.
		b.recv(ipcpHead + "02 02 000a 0306 0a000001")
		b.acts = nil
		b.recv(ipcpHead + "01 03 000a 0306 0a000035")
		b.want(ipcpHead + "03 03 000a 0306 0a000002")
		b.recv(ipcpHead + "01 04 000a 0306 0a000002")
		b.want(ipcpHead+"02 04 000a 0306 0a000002", "NetworkUp IPv4 10.0.0.1-10.0.0.2")
	}
}

// The time of a session is not longer for who negotiates it anew.
func TestSessionTimeIsKept(t *testing.T) {
	b := mschapBench(t)
	login := func(session time.Duration) {
		t.Helper()
		b.respond("bob", Verdict{Accept: true, Grant: Grant{SessionTimeout: session}})
		b.step(Receive{Frame: packetFrame(ProtocolIPCP, ConfigureAck, b.e.ipcp.id, b.e.ipcp.request(b.e, nil))})
		b.recv(ipcpHead + "01 01 000a 0306 0a000002")
		if !b.e.Up(IPv4) {
			t.Fatal("not up")
		}
	}
	login(time.Hour)
	at := b.e.Deadline()
	for range 3 {
		b.wait(10 * time.Minute)
		b.recv(lcpHead + "01 04 0004")
		b.openLCP()
		login(time.Hour)
		if d := b.e.Deadline(); !d.Equal(at) {
			t.Fatalf("it ends at +%v, and was to at +%v", d.Sub(linkStart), at.Sub(linkStart))
		}
	}
	b.recv(lcpHead + "01 04 0004")
	b.openLCP()
	login(10 * time.Minute)
	if d := b.e.Deadline().Sub(b.now); d != 10*time.Minute {
		t.Errorf("it ends in %v", d)
	}
	b.wantFinished(11*time.Minute, CauseSessionTimeout)
}

// An MD5-Challenge of EAP that is our own comes back: answered, it would let the
// peer in if the secret were the same both ways.
func TestEAPReflection(t *testing.T) {
	b := newBench(t, &Config{Name: "lns", IPv4: true, Authenticate: []Method{MethodEAP},
		Answer: []Method{MethodEAP}, Secrets: testSecrets{"lns", "word"}}, Grant{Local: lnsAddr, Peer: clientAddr})
	b.step(Start{})
	b.recv(lcpHead + "01 03 0008 0304 c227")
	b.openLCP()
	b.step(Receive{Frame: packetFrame(ProtocolEAP, eapResponse, b.e.auth.id, []byte{eapIdentity, 'x'})})
	ours := authPacket(eapRequest, 77, append([]byte{eapMD5Challenge, 16}, "0123456789abcdeflns"...))
	b.step(Authenticated{Number: 1, Verdict: Verdict{EAP: ours, State: 1}})
	b.acts = nil
	theirs := authPacket(eapRequest, 77, append([]byte{eapMD5Challenge, 16}, "0123456789abcdefpeer"...))
	b.step(Receive{Frame: append(AppendHeader(nil, ProtocolEAP), theirs...)})
	b.wantPhase(PhaseTerminate)
	for _, a := range b.acts {
		if s, ok := a.(Send); ok {
			if p, _, _ := Split(s.Frame); p == ProtocolEAP {
				t.Errorf("answered %s", show(a))
			}
		}
	}
	b.wantFinished(6*time.Second, CauseOurAuthRefused)
}
