package chap

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"adit/proto/ppp"
)

// link is an LNS's endpoint and a client's, over a line that loses nothing.
type link struct {
	t        *testing.T
	ends     [2]*ppp.Endpoint
	now      time.Time
	judge    func(ppp.AuthRequest) ppp.Verdict
	finished [2]*ppp.Finished
	asked    int
}

// step gives an end an event and carries on what comes of it, in order.
func (l *link) step(i int, ev ppp.Event) {
	type given struct {
		to int
		ev ppp.Event
	}
	for queue := []given{{i, ev}}; len(queue) > 0; queue = queue[1:] {
		i := queue[0].to
		for _, a := range l.ends[i].Step(l.now, queue[0].ev) {
			switch a := a.(type) {
			case ppp.Send:
				queue = append(queue, given{1 - i, ppp.Receive(a)})
			case ppp.Authenticate:
				l.asked++
				queue = append(queue, given{i, ppp.Authenticated{Number: a.Number, Verdict: l.judge(a.Request)}})
			case ppp.Finished:
				l.finished[i] = &a
			}
		}
	}
}

// up starts both ends and waits until IPv4 is up on both, or one has ended.
func (l *link) up() bool {
	l.step(0, ppp.Start{})
	l.step(1, ppp.Start{})
	for range 200 {
		if l.ends[0].Up(ppp.IPv4) && l.ends[1].Up(ppp.IPv4) {
			return true
		}
		if l.finished[0] != nil && l.finished[1] != nil {
			return false
		}
		for i, e := range l.ends {
			if d := e.Deadline(); !d.IsZero() && d.After(l.now) {
				l.now = d
			}
			l.step(i, ppp.Tick{})
		}
	}
	l.t.Fatalf("no end: %v, %v", l.ends[0].Phase(), l.ends[1].Phase())
	return false
}

// newLink makes a link on which the client has to show who it is.
func newLink(t *testing.T, m ppp.Method, password string) *link {
	lns := &ppp.Config{Name: "lns", Authenticate: []ppp.Method{m}, IPv4: true, Rand: rand.Reader}
	client := &ppp.Config{Name: "client", Answer: []ppp.Method{m}, IPv4: true, Rand: rand.Reader,
		Secrets: Credentials{Name: "user", Secret: []byte("word")}}
	return &link{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		judge: func(r ppp.AuthRequest) ppp.Verdict { return Judge([]byte(password), r) },
		ends: [2]*ppp.Endpoint{
			ppp.New(lns, ppp.Grant{Local: netip.MustParseAddr("10.0.0.1"), Peer: netip.MustParseAddr("10.0.0.2")}),
			ppp.New(client, ppp.Grant{}),
		}}
}

// Two endpoints, by each method, with the right password and a wrong one.
func TestEndpoints(t *testing.T) {
	for _, m := range []ppp.Method{ppp.MethodPAP, ppp.MethodCHAP, ppp.MethodMSCHAPv2, ppp.MethodEAP} {
		l := newLink(t, m, "word")
		if !l.up() {
			t.Errorf("method %d: %+v, %+v", m, l.finished[0], l.finished[1])
			continue
		}
		if n := l.ends[0].Network(); n.User != "user" || n.PeerIPv4 != netip.MustParseAddr("10.0.0.2") {
			t.Errorf("method %d: %+v", m, n)
		}
		l = newLink(t, m, "another")
		if l.up() {
			t.Errorf("method %d: up with a wrong password", m)
			continue
		}
		// With MS-CHAPv2 the client, which has no other password, does not make
		// use of its further try, and ends the link itself.
		if l.finished[0].Cause != ppp.CauseAuthFailed || l.asked == 0 {
			t.Errorf("method %d: %+v after %d requests", m, l.finished[0], l.asked)
		}
		if c := l.finished[1].Cause; c != ppp.CauseOurAuthFailed {
			t.Errorf("method %d: the client's %+v", m, l.finished[1])
		}
	}
}

// A peer that lets everybody in, but cannot show by MS-CHAPv2 that it knows the
// password, is left. RFC 2759 section 5: "If the authenticator response is either
// missing or incorrect, the peer MUST end the session."
func TestEndpointsImpostor(t *testing.T) {
	l := newLink(t, ppp.MethodMSCHAPv2, "")
	l.judge = func(ppp.AuthRequest) ppp.Verdict {
		return ppp.Verdict{Accept: true, Message: "S=0000000000000000000000000000000000000000"}
	}
	if l.up() {
		t.Fatal("up with an impostor")
	}
	if f := l.finished[1]; f.Cause != ppp.CauseOurAuthFailed ||
		f.Text != "the peer does not know the password: chap: wrong authenticator response" {
		t.Errorf("%+v", f)
	}
}
