package reliable

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"adit/proto/l2tp"
)

var t0 = time.Date(2001, time.February, 3, 4, 5, 6, 0, time.UTC)

// at is d after t0.
func at(d time.Duration) time.Time { return t0.Add(d) }

// packet is a packet taken apart by hand, so that the header is checked against
// RFC 2661 section 3.1 and not against our own encoder.
type packet struct {
	tunnel, session, ns, nr uint16
	body                    string
}

func (p packet) String() string {
	kind := p.body
	if kind == "" {
		kind = "ZLB"
	}
	return fmt.Sprintf("%s Ns=%d Nr=%d to %d/%d", kind, p.ns, p.nr, p.tunnel, p.session)
}

// dissect checks the fixed part of the header: T, L and S set, version 2, and
// the true length.
func dissect(t testing.TB, b []byte) packet {
	t.Helper()
	if len(b) < 12 {
		t.Fatalf("packet of %d octets: % x", len(b), b)
	}
	if flags := binary.BigEndian.Uint16(b); flags != 0xc802 {
		t.Fatalf("flags %#04x, want 0xc802", flags)
	}
	if n := binary.BigEndian.Uint16(b[2:]); int(n) != len(b) {
		t.Fatalf("Length %d in a packet of %d octets", n, len(b))
	}
	return packet{
		tunnel:  binary.BigEndian.Uint16(b[4:]),
		session: binary.BigEndian.Uint16(b[6:]),
		ns:      binary.BigEndian.Uint16(b[8:]),
		nr:      binary.BigEndian.Uint16(b[10:]),
		body:    string(b[12:]),
	}
}

// transmit collects what c puts on the wire at now.
func transmit(t testing.TB, c *Channel, now time.Time) []packet {
	t.Helper()
	var out []packet
	c.Transmit(now, func(b []byte) { out = append(out, dissect(t, b)) })
	return out
}

// wantSent checks what c puts on the wire at now, in "body Ns Nr" form.
func wantSent(t *testing.T, c *Channel, now time.Time, want ...packet) {
	t.Helper()
	got := transmit(t, c, now)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("at %v sent %v, want %v", now.Sub(t0), got, want)
	}
}

func wantDeadline(t *testing.T, c *Channel, want time.Duration) {
	t.Helper()
	got := c.Deadline()
	if got.IsZero() {
		t.Fatalf("no deadline, want %v", want)
	}
	if got.Sub(t0) != want {
		t.Fatalf("deadline at %v, want %v", got.Sub(t0), want)
	}
}

func wantNoDeadline(t *testing.T, c *Channel) {
	t.Helper()
	if d := c.Deadline(); !d.IsZero() {
		t.Fatalf("deadline at %v, want none", d.Sub(t0))
	}
}

func control(ns, nr uint16) l2tp.Header {
	return l2tp.Header{Control: true, HasLength: true, HasSequence: true, Version: 2, Ns: ns, Nr: nr}
}

// receive gives c a message and checks what Receive says about it.
func receive(t *testing.T, c *Channel, now time.Time, ns, nr uint16, body string, want error) {
	t.Helper()
	if err := c.Receive(now, control(ns, nr), []byte(body)); err != want {
		t.Fatalf("Receive(Ns=%d Nr=%d %q) = %v, want %v", ns, nr, body, err, want)
	}
}

func mustSend(t testing.TB, c *Channel, now time.Time, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		if err := c.Send(now, 0, []byte(b)); err != nil {
			t.Fatalf("Send(%q): %v", b, err)
		}
	}
}

// messages collects all messages that can be had.
func messages(c *Channel) []string {
	var out []string
	for {
		_, payload, ok := c.NextMessage()
		if !ok {
			return out
		}
		out = append(out, string(payload))
	}
}

func wantMessages(t *testing.T, c *Channel, want ...string) {
	t.Helper()
	if got := messages(c); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("messages %q, want %q", got, want)
	}
}

// openWindow lets c send n messages at once, as it may after enough
// acknowledgements.
func openWindow(c *Channel, n int) {
	c.SetPeer(c.peerTunnel, uint16(n))
	c.window.cwnd = n
}
