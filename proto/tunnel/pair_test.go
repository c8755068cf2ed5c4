package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"adit/proto/l2tp"
	"adit/proto/reliable"
)

// RFC 2661 section 4.3: with a shared secret AVPs can be hidden. Two ends that
// hide understand each other, and the number called is not to be read on the wire.
func TestHiding(t *testing.T) {
	link := newPair(t, func(c *Config) {
		c.Secret, c.HideAVPs, c.Challenge = []byte("s3cret"), true, true
	})
	link.step(link.a, PlaceCall{Call: Call{CalledNumber: "5551234"}})
	link.settle()
	for _, packet := range link.packets {
		if bytes.Contains(packet, []byte("5551234")) {
			t.Errorf("in the clear: %q", packet)
		}
	}
	if requested := link.find(CallRequested{}).(CallRequested); requested.Call.CalledNumber != "5551234" {
		t.Errorf("called %q", requested.Call.CalledNumber)
	}
}

// What a peer has to read before it has found the secret, or though it has a
// wrong one, goes in the clear; the rest is hidden.
func TestWhatIsHidden(t *testing.T) {
	link := newPair(t, func(c *Config) {
		c.Secret, c.HideAVPs, c.Challenge = []byte("s3cret"), true, true
	})
	link.step(link.a, PlaceCall{Call: Call{CalledNumber: "5551234"}})
	link.settle()
	link.step(link.a, Stop{})
	link.settle()
	seen := map[l2tp.MessageType]bool{}
	for _, packet := range link.packets {
		_, payload, err := l2tp.ParseHeader(packet)
		if err != nil {
			t.Fatal(err)
		}
		m, ok := l2tp.PeekMessageType(payload)
		if !ok {
			continue // a ZLB
		}
		seen[m] = true
		// Of a message that has something hidden nothing can be made without
		// the secret.
		_, err = l2tp.ParseMessage(l2tp.Version, payload, nil)
		if hidden := errors.Is(err, l2tp.ErrHiddenNoSecret); hidden == (m == l2tp.TypeSCCRQ || m == l2tp.TypeStopCCN) {
			t.Errorf("%v: hidden %v", m, hidden)
		}
	}
	if len(seen) != 5 {
		t.Errorf("seen %v", seen)
	}
}

// RFC 2661 section 5.1.1: "a single shared secret MUST exist between the LAC and
// LNS".
func TestDifferentSecrets(t *testing.T) {
	n := byte(0)
	link := newPair(t, func(c *Config) {
		n++
		c.Secret, c.Challenge = []byte{n}, true
	})
	if link.a.Established() || link.b.Established() {
		t.Fatalf("established: %v, %v", link.a.State(), link.b.State())
	}
	if got := link.a.Stats().AuthFailures + link.b.Stats().AuthFailures; got == 0 {
		t.Error("no failure counted")
	}
	// The text tells an operator at either end what to look at.
	down := link.find(TunnelDown{}).(TunnelDown)
	if !strings.Contains(down.Cause.Result.Message, "secret") || down.Cause.Result.Result != l2tp.StopCCNNotAuthorized {
		t.Errorf("cause %v", down.Cause.Result)
	}
}

// pair is two tunnel ends with a perfect wire between them.
type pair struct {
	t       *testing.T
	a, b    *Tunnel
	now     time.Time
	wire    []wirePacket
	packets [][]byte // all that went over it
	actions []Action // of both ends
	trace   []string
	lose    func(sentMessage) bool
}

type wirePacket struct {
	to     **Tunnel
	packet []byte
}

// newPair makes two ends and lets them set up their tunnel.
func newPair(t *testing.T, change func(*Config)) *pair {
	l := &pair{t: t, now: epoch}
	cfg := testConfig()
	change(&cfg)
	var actions []Action
	l.a, actions = Dial(l.now, cfg)
	l.perform(l.a, actions)
	other := testConfig()
	other.LocalID = 20
	change(&other)
	h, payload, err := l2tp.ParseHeader(l.wire[0].packet)
	if err != nil {
		t.Fatal(err)
	}
	l.wire = nil
	if l.b, actions, err = AcceptPacket(l.now, other, Receive{Header: h, Payload: payload, Packet: l.packets[0]}); err != nil {
		t.Fatal(err)
	}
	l.perform(l.b, actions)
	l.settle()
	return l
}

func (l *pair) step(end *Tunnel, ev Event) { l.perform(end, end.Step(l.now, ev)) }

func (l *pair) perform(from *Tunnel, actions []Action) {
	for _, a := range actions {
		s, ok := a.(Send)
		if !ok {
			l.actions = append(l.actions, a)
			continue
		}
		to, arrow := &l.a, "<-"
		if from == l.a {
			to, arrow = &l.b, "->"
		}
		packet := bytes.Clone(s.Packet)
		h, payload, _ := l2tp.ParseHeader(packet)
		m := sentMessage{Header: h}
		name := "ZLB"
		if len(payload) > 0 {
			m.Message, _ = l2tp.ParseMessage(h.Version, payload, from.cfg.Secret)
			name = m.Message.Type().String()
		}
		l.trace = append(l.trace, fmt.Sprintf("%s %s Nr: %d, Ns: %d", arrow, name, h.Nr, h.Ns))
		l.packets = append(l.packets, packet)
		if l.lose == nil || !l.lose(m) {
			l.wire = append(l.wire, wirePacket{to, packet})
		}
	}
}

// settle delivers what is on the wire until there is nothing.
func (l *pair) settle() {
	for len(l.wire) > 0 {
		p := l.wire[0]
		l.wire = l.wire[1:]
		h, payload, err := l2tp.ParseHeader(p.packet)
		if err != nil {
			l.t.Fatal(err)
		}
		l.step(*p.to, Receive{Header: h, Payload: payload, Packet: p.packet})
	}
}

// tick lets time pass to the next deadline of either end.
func (l *pair) tick() {
	l.now = earliest(l.a.Deadline(), l.b.Deadline())
	l.step(l.a, Tick{})
	l.step(l.b, Tick{})
	l.settle()
}

func (l *pair) find(like Action) Action {
	l.t.Helper()
	for _, a := range l.actions {
		if fmt.Sprintf("%T", a) == fmt.Sprintf("%T", like) {
			return a
		}
	}
	l.t.Fatalf("no %T in %v", like, l.actions)
	return nil
}

// RFC 2661 appendix B.1 and B.2, number by number.
func TestAppendixB(t *testing.T) {
	l := newPair(t, func(c *Config) { c.Reliable = reliable.Config{} })
	wantTrace(t, l, "B.1",
		"-> SCCRQ Nr: 0, Ns: 0",
		"<- SCCRP Nr: 1, Ns: 0",
		"-> SCCCN Nr: 1, Ns: 1",
		"<- ZLB Nr: 2, Ns: 1",
	)

	// "An existing tunnel has a new session requested by the LAC. The ICRP is
	// lost and must be retransmitted by the LNS." There an acknowledgement
	// waits for the reply, so here too.
	l = newPair(t, func(c *Config) {
		c.Reliable = reliable.Config{AckDelay: 100 * time.Millisecond}
	})
	for !l.a.Acknowledged() || !l.b.Acknowledged() {
		l.tick()
	}
	l.trace, l.actions = nil, nil
	lost := false
	l.lose = func(m sentMessage) bool {
		_, is := m.Message.(*l2tp.ICRP)
		first := is && !lost
		lost = lost || is
		return first
	}
	l.step(l.a, PlaceCall{})
	l.settle()
	l.now = l.now.Add(time.Millisecond) // "LAC's timer started first, so fires first"
	l.step(l.b, AcceptCall{Session: l.find(CallRequested{}).(CallRequested).Session})
	for l.a.Stats().SessionsOpened == 0 || !l.a.Acknowledged() {
		l.tick()
	}
	wantTrace(t, l, "B.2",
		"-> ICRQ Nr: 1, Ns: 2",
		"<- ICRP Nr: 3, Ns: 1",
		"-> ICRQ Nr: 1, Ns: 2",
		"<- ZLB Nr: 3, Ns: 2",
		"<- ICRP Nr: 3, Ns: 1",
		"-> ICCN Nr: 2, Ns: 3",
		"<- ZLB Nr: 4, Ns: 2",
	)
}

func wantTrace(t *testing.T, l *pair, name string, want ...string) {
	t.Helper()
	if got := strings.Join(l.trace, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, strings.Join(want, "\n"))
	}
}
