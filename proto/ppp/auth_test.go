package ppp

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"testing"
	"time"
	"unsafe"
)

// authStart is when the tests of authentication begin.
var authStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fakeHost is an endpoint that notes what its authenticator or answerer does.
type fakeHost struct {
	sent     [][]byte // since the last call of take
	proto    Protocol // of the last packet sent
	requests []Authenticate
	let      []Verdict // authenticated
	accepted int       // answered
	cause    Cause
	text     string
	failed   int
	bad      int // malformed
	number   uint32
	cfg      *Config
	refused  int
	next     byte   // random octets count up from here
	ours     []byte // outstanding
}

func (h *fakeHost) send(p Protocol, packet []byte) {
	h.proto, h.sent = p, append(h.sent, packet)
}
func (h *fakeHost) act(a Action) { h.requests = append(h.requests, a.(Authenticate)) }
func (h *fakeHost) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = h.next
		h.next++
	}
	return b
}
func (h *fakeHost) nextNumber() uint32 { h.number++; return h.number }
func (h *fakeHost) another() bool {
	h.refused++
	return h.refused < cmp.Or(h.cfg.AuthAttempts, authAttempts)
}
func (h *fakeHost) authenticated(_ time.Time, v Verdict)   { h.let = append(h.let, v) }
func (h *fakeHost) answered(time.Time)                     { h.accepted++ }
func (h *fakeHost) malformed()                             { h.bad++ }
func (h *fakeHost) outstanding(value []byte) bool          { return h.ours != nil && bytes.Equal(h.ours, value) }
func (h *fakeHost) fail(_ time.Time, c Cause, text string) { h.cause, h.text = c, text; h.failed++ }

// take returns the packets sent since it was called last.
func (h *fakeHost) take() [][]byte {
	s := h.sent
	h.sent = nil
	return s
}

// wantSent checks what was sent since the last take, in hexadecimal.
func (h *fakeHost) wantSent(t *testing.T, want ...string) {
	t.Helper()
	got := h.take()
	if len(got) != len(want) {
		t.Fatalf("sent %x, want %q", got, want)
	}
	for i, w := range want {
		if !bytes.Equal(got[i], unhex(t, w)) {
			t.Errorf("sent %x, want %s", got[i], w)
		}
	}
}

// wantFailed checks that the link was ended, once and for this cause.
func (h *fakeHost) wantFailed(t *testing.T, c Cause, text string) {
	t.Helper()
	if h.failed != 1 || h.cause != c || h.text != text {
		t.Errorf("%d failures, %d %q, want %d %q", h.failed, h.cause, h.text, c, text)
	}
}

// wantAsked checks that there are n Authenticate actions and returns the last.
func (h *fakeHost) wantAsked(t *testing.T, n int) Authenticate {
	t.Helper()
	if len(h.requests) != n {
		t.Fatalf("%d Authenticate actions, want %d", len(h.requests), n)
	}
	if n == 0 {
		return Authenticate{}
	}
	return h.requests[n-1]
}

// newTestAuthenticator returns a started authenticator. Its Identifier begins at
// 0x10 and its challenges count up.
func newTestAuthenticator(m Method, cfg *Config) (*fakeHost, *authenticator) {
	h := &fakeHost{next: 0x10, cfg: cfg}
	a := makeAuthenticator(h, cfg, m)
	a.start(authStart)
	return h, a
}

// decide gives the verdict to the last request.
func decide(h *fakeHost, a *authenticator, now time.Time, v Verdict) {
	a.verdict(now, Authenticated{Number: h.number, Verdict: v})
}

// fakeSecrets makes responses that tests can foretell.
type fakeSecrets struct {
	name, password string
	responses      int // Respond: how many were made
	err            error
	eap            func(request []byte) []byte
}

func (s *fakeSecrets) Password() (string, []byte) { return s.name, []byte(s.password) }
func (s *fakeSecrets) Respond(m Method, id uint8, challenge []byte, _ string) ([]byte, string, any, error) {
	if s.err != nil {
		return nil, "", nil, s.err
	}
	s.responses++
	v := bytes.Repeat([]byte{id}, chapMD5Len)
	if m == MethodMSCHAPv2 {
		v = bytes.Repeat([]byte{id}, mschapResponseLen)
		v[0] = byte(s.responses) // the peer challenge differs each time
	}
	return v, s.name, s.responses, nil
}
func (s *fakeSecrets) Verify(state any, message string) error {
	if message != fakeProof(state.(int)) {
		return errors.New("wrong authenticator response")
	}
	return nil
}

// fakeProof is the authenticator response to the nth response.
func fakeProof(n int) string { return fmt.Sprintf("S=%040X", n) }

func (s *fakeSecrets) EAP(request []byte) []byte {
	if s.eap == nil {
		return nil
	}
	return s.eap(request)
}

// newTestAnswerer returns a started answerer. Its Identifiers begin at 0x10.
func newTestAnswerer(m Method, cfg *Config) (*fakeHost, *answerer) {
	h := &fakeHost{next: 0x10}
	w := makeAnswerer(h, cfg, m)
	w.start(authStart)
	return h, w
}

// The peer never says anything: exactly when is it asked again, and when given
// up?
func TestAuthenticatorTimes(t *testing.T) {
	for _, c := range []struct {
		m    Method
		cfg  Config
		want []time.Duration // of the packets after the first, then of the end
	}{
		{MethodPAP, Config{}, []time.Duration{30 * time.Second}},
		{MethodPAP, Config{AuthTimeout: 7 * time.Second}, []time.Duration{7 * time.Second}},
		{MethodCHAP, Config{RestartTimer: 10 * time.Second},
			[]time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second}},
		{MethodMSCHAPv2, Config{AuthTimeout: 8 * time.Second},
			[]time.Duration{3 * time.Second, 6 * time.Second, 8 * time.Second}},
		{MethodEAP, Config{AuthTimeout: 8 * time.Second},
			[]time.Duration{3 * time.Second, 6 * time.Second, 8 * time.Second}},
	} {
		h, a := newTestAuthenticator(c.m, &c.cfg)
		h.take()
		var got []time.Duration
		for h.failed == 0 {
			d := a.deadline()
			if d.IsZero() || len(got) > 20 {
				t.Fatalf("method %d: no end", c.m)
			}
			a.tick(d.Add(-1)) // early: nothing
			if len(h.sent) != 0 || h.failed != 0 {
				t.Errorf("method %d: something before its time %v", c.m, d)
			}
			a.tick(d)
			if len(h.take()) > 1 {
				t.Error("more than one packet at a time")
			}
			got = append(got, d.Sub(authStart))
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("method %d: %v, want %v", c.m, got, c.want)
		}
		h.wantFailed(t, CauseAuthTimeout, "the peer did not show in time who it is")
		if !a.deadline().IsZero() {
			t.Error("a deadline after the end")
		}
	}
}

// The verdict never comes, comes twice, under another number, or too late.
func TestVerdicts(t *testing.T) {
	h, a := newTestAuthenticator(MethodPAP, &Config{})
	a.verdict(authStart, Authenticated{Number: 0, Verdict: Verdict{Accept: true}})
	a.receive(authStart, ProtocolPAP, unhex(t, "01 07 000a 01 41 03 616263"))
	r := h.wantAsked(t, 1)
	for _, n := range []uint32{r.Number - 1, r.Number + 1} {
		a.verdict(authStart, Authenticated{Number: n, Verdict: Verdict{Accept: true}})
	}
	if h.wantSent(t); len(h.let) != 0 {
		t.Fatal("the peer was let in by a verdict on another request")
	}
	a.verdict(authStart, Authenticated{Number: r.Number, Verdict: Verdict{Accept: true}})
	h.wantSent(t, "02 07 0005 00")
	a.verdict(authStart, Authenticated{Number: r.Number})
	a.verdict(authStart, Authenticated{Number: r.Number, Verdict: Verdict{Accept: true}})
	if h.wantSent(t); len(h.let) != 1 || h.failed != 0 {
		t.Errorf("%d times let in, %d failures", len(h.let), h.failed)
	}

	h, a = newTestAuthenticator(MethodPAP, &Config{})
	a.receive(authStart, ProtocolPAP, unhex(t, "01 07 000a 01 41 03 616263"))
	end := authStart.Add(30 * time.Second)
	if !a.deadline().Equal(end) {
		t.Errorf("deadline %v", a.deadline())
	}
	a.tick(end)
	h.wantFailed(t, CauseAuthTimeout, "it was not decided in time whether the peer may come in")
	decide(h, a, end, Verdict{Accept: true})
	a.receive(end, ProtocolPAP, unhex(t, "01 08 000a 01 41 03 616263"))
	a.tick(end.Add(time.Hour))
	if h.wantSent(t); len(h.let) != 0 || h.failed != 1 {
		t.Error("something after the end")
	}
}

// Before start nothing happens, and a second start is none.
func TestAuthenticatorStart(t *testing.T) {
	h := &fakeHost{}
	a := makeAuthenticator(h, &Config{}, MethodPAP)
	a.receive(authStart, ProtocolPAP, unhex(t, "01 07 000a 01 41 03 616263"))
	a.tick(authStart.Add(time.Hour))
	if len(h.requests) != 0 || h.failed != 0 || !a.deadline().IsZero() {
		t.Error("an authenticator that was not started does something")
	}
	a.start(authStart)
	a.start(authStart.Add(time.Minute))
	if !a.deadline().Equal(authStart.Add(30 * time.Second)) {
		t.Errorf("deadline %v", a.deadline())
	}
}

// What a link keeps of its authentication for all of its life is counted per
// session.
func TestAuthenticationIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(authenticator{}); n > 150 {
		t.Errorf("an authenticator has %d octets", n)
	}
	if n := unsafe.Sizeof(answerer{}); n > 150 {
		t.Errorf("an answerer has %d octets", n)
	}
	for m := MethodPAP; m <= MethodEAP; m++ {
		l := newAuthLink(m, 0)
		l.run(t)
		if l.auth.x != nil || l.answer.x != nil {
			t.Errorf("method %d: the buffers of the exchange are kept", m)
		}
	}
}

// Packets of other protocols and directions, and what is no packet, change
// nothing.
func TestAuthForeignPackets(t *testing.T) {
	for m := MethodPAP; m <= MethodEAP; m++ {
		cfg := &Config{Secrets: &fakeSecrets{name: "us"}}
		h, a := newTestAuthenticator(m, cfg)
		g, w := newTestAnswerer(m, cfg)
		h.take()
		g.take()
		for _, p := range []Protocol{ProtocolPAP, ProtocolCHAP, ProtocolEAP, ProtocolLCP} {
			for code := range 256 {
				b := authPacket(byte(code), a.id, []byte{1, 65, 1, 66})
				if p != m.protocol() {
					a.receive(authStart, p, b)
					w.receive(authStart, p, b)
				}
				if code == 0 || code > 4 {
					a.receive(authStart, p, b)
					w.receive(authStart, p, b)
				}
			}
		}
		for _, b := range []string{"", "01", "0110", "011000", "01100003", "01100005", "0110ffff00"} {
			a.receive(authStart, m.protocol(), unhex(t, b))
			w.receive(authStart, m.protocol(), unhex(t, b))
		}
		h.wantSent(t)
		g.wantSent(t)
		if h.bad != 7 || g.bad != 7 || len(h.requests) != 0 || h.failed+g.failed+g.accepted != 0 {
			t.Errorf("method %d: %+v %+v", m, h, g)
		}
	}
}
