package ppp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// authLink is an authenticator and an answerer at the two ends of a line that
// loses, delays, doubles and reorders packets, under a clock of its own.
type authLink struct {
	rand    *rand.Rand
	bad     float64 // chance of each mishap of a packet
	now     time.Time
	auth    *authenticator
	answer  *answerer
	hosts   [2]*fakeHost // of the authenticator, of the answerer
	flying  []flight
	wrong   bool          // the password is
	judged  int           // requests that got their verdict
	stopped bool          // the line carries nothing any more
	slow    time.Duration // the most that a packet takes besides
	// overtaken counts the challenges that arrived after a later one.
	overtaken int
	latest    uint8
}

// flight is a packet, or a verdict, under way.
type flight struct {
	at      time.Time
	to      int // index in hosts
	packet  []byte
	verdict *Authenticated
}

// newAuthLink makes a link on which a fraction bad of the packets has a mishap.
func newAuthLink(m Method, bad float64) *authLink {
	l := &authLink{rand: rand.New(rand.NewPCG(uint64(m), uint64(bad*1000))), bad: bad, now: authStart}
	cfg := &Config{Name: "lns", AuthTimeout: 2 * time.Minute}
	theirs := &Config{Name: "client", AuthTimeout: 2 * time.Minute, Secrets: &fakeSecrets{
		name: "user", password: "word",
		eap: func(q []byte) []byte { return authPacket(eapResponse, q[1], []byte{4, q[1]}) },
	}}
	l.hosts = [2]*fakeHost{{next: 0x10, cfg: cfg}, {next: 0x80, cfg: theirs}}
	l.auth, l.answer = makeAuthenticator(l.hosts[0], cfg, m), makeAnswerer(l.hosts[1], theirs, m)
	return l
}

// run starts both ends and goes on until both are content or one failed.
func (l *authLink) run(t *testing.T) {
	t.Helper()
	l.auth.start(l.now)
	l.answer.start(l.now)
	l.settle(t, func() bool { return len(l.hosts[0].let) == 1 && l.hosts[1].accepted == 1 })
}

// settle runs until done says so or an end failed.
func (l *authLink) settle(t *testing.T, done func() bool) {
	t.Helper()
	for step := 0; ; step++ {
		l.collect()
		if done() || l.hosts[0].failed+l.hosts[1].failed > 0 {
			return
		}
		next := l.next()
		if next.IsZero() || step > 5000 {
			t.Fatalf("nothing more to come after %d steps at %v: %+v, %+v", step, l.now.Sub(authStart), l.auth, l.answer)
		}
		l.advance(next)
	}
}

// next returns when something happens.
func (l *authLink) next() (first time.Time) {
	times := []time.Time{l.auth.deadline(), l.answer.deadline()}
	for _, f := range l.flying {
		times = append(times, f.at)
	}
	for _, at := range times {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// advance has happen what is due.
func (l *authLink) advance(now time.Time) {
	l.now = now
	var later, due []flight
	for _, f := range l.flying {
		if f.at.After(now) {
			later = append(later, f)
		} else {
			due = append(due, f)
		}
	}
	l.flying = later
	for _, f := range due {
		switch {
		case f.verdict != nil:
			l.auth.verdict(now, *f.verdict)
		case f.to == 0:
			l.auth.receive(now, l.auth.method.protocol(), f.packet)
		default:
			if f.packet[0] == chapChallenge {
				if int8(f.packet[1]-l.latest) < 0 {
					l.overtaken++
				}
				l.latest = f.packet[1]
			}
			l.answer.receive(now, l.auth.method.protocol(), f.packet)
		}
		l.collect()
	}
	l.auth.tick(now)
	l.answer.tick(now)
}

// collect puts on the line what the ends have sent, and makes the verdicts.
func (l *authLink) collect() {
	for i, h := range l.hosts {
		for _, p := range h.take() {
			copies := 1
			if l.chance() {
				copies = 2
			}
			for range copies {
				if l.chance() || l.stopped {
					continue
				}
				delay := 10 * time.Millisecond
				if l.chance() {
					// Less than the restart timer, whose meaning it is to be longer
					// than a packet lives; a round trip may take longer.
					delay += time.Duration(l.rand.IntN(2900)) * time.Millisecond
				}
				if l.slow > 0 {
					delay += time.Duration(l.rand.Int64N(int64(l.slow)))
				}
				l.flying = append(l.flying, flight{at: l.now.Add(delay), to: 1 - i, packet: p})
			}
		}
	}
	for ; l.judged < len(l.hosts[0].requests); l.judged++ {
		r := l.hosts[0].requests[l.judged]
		delay := time.Duration(l.rand.IntN(500)) * time.Millisecond
		l.flying = append(l.flying, flight{at: l.now.Add(delay),
			verdict: &Authenticated{Number: r.Number, Verdict: l.verdict(r.Request)}})
	}
}

func (l *authLink) chance() bool { return l.rand.Float64() < l.bad }

// verdict judges what fakeSecrets says.
func (l *authLink) verdict(r AuthRequest) Verdict {
	switch r.Method {
	case MethodPAP:
		return Verdict{Accept: r.Name == "user" && string(r.Password) == "word" && !l.wrong}
	case MethodCHAP:
		return Verdict{Accept: bytes.Equal(r.Response, bytes.Repeat([]byte{r.ID}, 16)) && !l.wrong}
	case MethodMSCHAPv2:
		ok := len(r.Response) == 49 && r.Response[1] == r.ID && len(r.Challenge) == 16 && !l.wrong
		return Verdict{Accept: ok, Message: fakeProof(int(r.Response[0]))}
	case MethodEAP:
		if r.State == nil {
			return Verdict{EAP: authPacket(eapRequest, r.ID+1, []byte{4, 1, 0xaa}), State: 1}
		}
		return Verdict{Accept: bytes.Equal(r.EAP[4:], []byte{4, r.ID}) && !l.wrong}
	}
	return Verdict{}
}

// Two ends over good and bad lines: both come to the same, with the right
// password and the wrong one. A lost Success of EAP is made up for by the first
// packet of a network control protocol.
func TestAuthBackToBack(t *testing.T) {
	seeds := 60
	for m := MethodPAP; m <= MethodEAP; m++ {
		for _, bad := range []float64{0, 0.1, 0.3} {
			for seed := range seeds {
				l := newAuthLink(m, bad)
				l.rand = rand.New(rand.NewPCG(uint64(seed), uint64(m)))
				l.auth.start(l.now)
				l.answer.start(l.now)
				l.settle(t, func() bool {
					if len(l.hosts[0].let) == 1 && m == MethodEAP {
						l.answer.network(l.now)
					}
					return len(l.hosts[0].let) == 1 && l.hosts[1].accepted == 1
				})
				if l.hosts[0].failed+l.hosts[1].failed != 0 {
					t.Fatalf("method %d, %v bad, seed %d: %q %q", m, bad, seed, l.hosts[0].text, l.hosts[1].text)
				}
				if u := l.hosts[0].let[0].User; u != "user" {
					t.Fatalf("method %d: user %q", m, u)
				}

				l = newAuthLink(m, bad)
				l.rand, l.wrong = rand.New(rand.NewPCG(uint64(seed), uint64(m))), true
				l.run(t)
				if len(l.hosts[0].let)+l.hosts[1].accepted != 0 || l.hosts[0].cause != CauseAuthFailed {
					t.Fatalf("method %d, %v bad, seed %d: a wrong password: %+v", m, bad, seed, l.hosts[0])
				}
			}
		}
	}
}

// The peer is asked again while the link is up, over a bad line, many times: the
// link lives, nobody is told again, and it ends when the peer has gone.
func TestRechallenge(t *testing.T) {
	for m := MethodCHAP; m <= MethodEAP; m++ {
		for _, bad := range []float64{0, 0.15} {
			l := newAuthLink(m, bad)
			l.auth.cfg.Rechallenge = time.Minute
			l.auth.start(l.now)
			l.answer.start(l.now)
			asked := 0
			l.settle(t, func() bool {
				if len(l.hosts[0].let) == 1 {
					l.answer.network(l.now)
				}
				asked = len(l.hosts[0].requests)
				return l.now.Sub(authStart) > 30*time.Minute
			})
			if asked < 15 || l.hosts[0].failed+l.hosts[1].failed != 0 || len(l.hosts[0].let) != 1 || l.hosts[1].accepted != 1 {
				t.Fatalf("method %d, %v bad: %d requests, %q %q, %d let in", m, bad, asked,
					l.hosts[0].text, l.hosts[1].text, len(l.hosts[0].let))
			}
			// From one success to the next: a minute, when nothing is lost.
			if bad == 0 && m != MethodEAP && asked < 29 {
				t.Errorf("method %d: %d requests in 30 minutes", m, asked)
			}
			l.stopped = true
			l.settle(t, func() bool { return l.now.Sub(authStart) > time.Hour })
			if l.hosts[0].cause != CauseAuthTimeout || l.hosts[1].failed != 0 {
				t.Errorf("method %d: %q %q", m, l.hosts[0].text, l.hosts[1].text)
			}
		}
	}
}

// Under a new password, or another name, the peer does not pass a re-challenge.
func TestRechallengeRefused(t *testing.T) {
	for m := MethodCHAP; m <= MethodEAP; m++ {
		l := newAuthLink(m, 0)
		l.auth.cfg.Rechallenge = time.Minute
		l.run(t)
		l.wrong = true
		l.settle(t, func() bool { return l.now.Sub(authStart) > time.Hour })
		if l.hosts[0].cause != CauseAuthFailed {
			t.Errorf("method %d: a wrong password at a re-challenge: %+v", m, l.hosts[0])
		}

		l = newAuthLink(m, 0)
		l.auth.cfg.Rechallenge = time.Minute
		l.run(t)
		l.answer.cfg.Secrets.(*fakeSecrets).name = "somebody else"
		l.settle(t, func() bool { return l.now.Sub(authStart) > time.Hour })
		want := fmt.Sprintf("the peer failed to authenticate itself as %q", "somebody else")
		if l.hosts[0].cause != CauseAuthFailed || l.hosts[0].text[:len(want)] != want {
			t.Errorf("method %d: another name at a re-challenge: %+v", m, l.hosts[0])
		}
	}
}
