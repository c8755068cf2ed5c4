package ppp

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// linkStart is when the tests of endpoints begin.
var linkStart = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// counting is a source of octets that count up from 1.
type counting struct{ n byte }

func (c *counting) Read(b []byte) (int, error) {
	for i := range b {
		c.n++
		b[i] = c.n
	}
	return len(b), nil
}

// seeded is a source of octets from a seed.
type seeded struct{ *rand.Rand }

func (s seeded) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return len(b), nil
}

var (
	lnsAddr    = netip.MustParseAddr("10.0.0.1")
	clientAddr = netip.MustParseAddr("10.0.0.2")
	dnsAddr    = netip.MustParseAddr("10.0.0.53")
)

// bench is an endpoint on the test's table: a clock, and what it did.
type bench struct {
	t    *testing.T
	e    *Endpoint
	now  time.Time
	acts []Action
}

func newBench(t *testing.T, cfg *Config, g Grant) *bench {
	t.Helper()
	if cfg.Rand == nil {
		cfg.Rand = &counting{}
	}
	return &bench{t: t, e: New(cfg, g), now: linkStart}
}

func (b *bench) step(ev Event) {
	b.t.Helper()
	b.acts = append(b.acts, b.e.Step(b.now, ev)...)
}

// recv gives the endpoint a frame in hexadecimal; spaces are for the reader.
func (b *bench) recv(frame string) {
	b.t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(frame, " ", ""))
	if err != nil {
		b.t.Fatal(err)
	}
	b.step(Receive{Frame: raw})
}

// wait moves the clock and has the endpoint do what is due on the way.
func (b *bench) wait(d time.Duration) {
	b.t.Helper()
	end := b.now.Add(d)
	for range 1000 {
		at := b.e.Deadline()
		if at.IsZero() || at.After(end) {
			b.now = end
			return
		}
		if at.After(b.now) {
			b.now = at
		}
		b.step(Tick{})
		if next := b.e.Deadline(); !next.IsZero() && !next.After(b.now) {
			b.t.Fatalf("deadline %v is not after the Tick at %v", next, b.now)
		}
	}
	b.t.Fatal("the endpoint always wants one more Tick")
}

// show is an action in a line.
func show(a Action) string {
	switch a := a.(type) {
	case Send:
		return hex.EncodeToString(a.Frame)
	case LinkUp:
		return fmt.Sprintf("LinkUp %+v", a.Link)
	case Authenticate:
		return fmt.Sprintf("Authenticate %d name=%s proxied=%v", a.Request.Method, a.Request.Name, a.Request.Proxied)
	case NetworkUp:
		n := a.Network
		return fmt.Sprintf("NetworkUp %v %v-%v dns=%v wins=%v %x-%x user=%s",
			a.Family, n.LocalIPv4, n.PeerIPv4, n.DNS, n.WINS, n.LocalID, n.PeerID, n.User)
	case NetworkDown:
		return fmt.Sprintf("NetworkDown %v", a.Family)
	case Finished:
		return fmt.Sprintf("Finished %d: %s", a.Cause, a.Text)
	}
	return fmt.Sprintf("%T", a)
}

// want checks what the endpoint did since the last want. A frame is given in
// hexadecimal, anything else by the start of its line.
func (b *bench) want(lines ...string) {
	b.t.Helper()
	var got []string
	for _, a := range b.acts {
		got = append(got, show(a))
	}
	b.acts = nil
	ok := len(got) == len(lines)
	for i := 0; ok && i < len(got); i++ {
		w := lines[i]
		if packed := strings.ReplaceAll(w, " ", ""); isHex(packed) {
			ok = got[i] == packed
		} else {
			ok = strings.HasPrefix(got[i], w)
		}
	}
	if !ok {
		b.t.Fatalf("at +%v got:\n  %s\nwant:\n  %s", b.now.Sub(linkStart),
			strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && s != ""
}

// wantPhase checks the phase.
func (b *bench) wantPhase(p Phase) {
	b.t.Helper()
	if b.e.Phase() != p {
		b.t.Fatalf("phase %v, want %v", b.e.Phase(), p)
	}
}

// finished returns the Finished among the actions since the last want.
func (b *bench) finished() (Finished, bool) {
	for _, a := range b.acts {
		if f, ok := a.(Finished); ok {
			return f, true
		}
	}
	return Finished{}, false
}

// wantFinished waits until the link is over, and checks why.
func (b *bench) wantFinished(within time.Duration, c Cause) Finished {
	b.t.Helper()
	b.wait(within)
	f, ok := b.finished()
	if !ok || f.Cause != c {
		b.t.Fatalf("finished %v with %v (%q), want %v", ok, f.Cause, f.Text, c)
	}
	if b.e.Phase() != PhaseDead || !b.e.Deadline().IsZero() {
		b.t.Fatalf("after Finished: phase %v, deadline %v", b.e.Phase(), b.e.Deadline())
	}
	if acts := b.e.Step(b.now, Tick{}); acts != nil {
		b.t.Fatalf("after Finished it still did %v", acts)
	}
	return f
}

// testSecrets knows a name and a password for all methods.
type testSecrets struct{ name, password string }

func (s testSecrets) Password() (string, []byte) { return s.name, []byte(s.password) }

// Respond makes a real CHAP response, and for MS-CHAPv2 something of the right
// length that testJudge knows.
func (s testSecrets) Respond(m Method, id uint8, challenge []byte, _ string) ([]byte, string, any, error) {
	return testResponse(m, id, challenge, s.password), s.name, s.password, nil
}

func (s testSecrets) Verify(state any, message string) error {
	if !strings.HasPrefix(message, "S=") || state != s.password {
		return fmt.Errorf("message %q", message)
	}
	return nil
}

// EAP answers a request of type 4 with name and password.
func (s testSecrets) EAP(q []byte) []byte {
	if len(q) < 5 || q[4] != 4 {
		return nil
	}
	return authPacket(eapResponse, q[1], []byte{4}, []byte(s.name+"/"+s.password))
}

func testResponse(m Method, id uint8, challenge []byte, password string) []byte {
	sum := md5.Sum(append(append([]byte{id}, password...), challenge...))
	if m == MethodCHAP {
		return sum[:]
	}
	return append(sum[:], make([]byte, mschapResponseLen-len(sum))...)
}

// testJudge decides as a server would that knows password.
func testJudge(q AuthRequest, name, password string) Verdict {
	v := Verdict{Message: "welcome"}
	switch q.Method {
	case MethodPAP:
		v.Accept = q.Name == name && string(q.Password) == password
	case MethodCHAP, MethodMSCHAPv2:
		v.Accept = q.Name == name && string(q.Response) == string(testResponse(q.Method, q.ID, q.Challenge, password))
		if q.Method == MethodMSCHAPv2 && v.Accept {
			v.Message = "S=" + strings.Repeat("0A", mschapProofLen)
		}
	case MethodEAP:
		id := q.EAP[1]
		if len(q.EAP) > 4 && q.EAP[4] == 1 { // Identity
			v.EAP, v.State = authPacket(eapRequest, id+1, []byte{4, 1, 2, 3}), 1
			return v
		}
		v.Accept = string(q.EAP[5:]) == name+"/"+password
		if v.Accept {
			v.EAP = authPacket(eapSuccess, id)
			v.User = name
		} else {
			v.EAP = authPacket(eapFailure, id)
		}
	}
	return v
}

// packetFrame makes a frame of a protocol.
func packetFrame(p Protocol, c Code, id uint8, data []byte) []byte {
	return append(AppendHeader(nil, p), makePacket(c, id, data)...)
}

func packed(s string) string { return strings.ReplaceAll(s, " ", "") }

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }
