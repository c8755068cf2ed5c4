package reliable

import (
	"encoding/binary"
	"testing"
	"time"

	"adit/proto/l2tp"
)

// explicitAck is the payload of RFC 3931 section 6.15 without a digest: the Message
// Type AVP, M set, with the value 20.
const explicitAck = "\x80\x08\x00\x00\x00\x00\x00\x14"

// dissect3 is dissect for RFC 3931 section 3.2.1: version 3, and a Control Connection
// ID of 32 bits, of which a packet has the lower half as its tunnel.
func dissect3(t testing.TB, b []byte) packet {
	t.Helper()
	if len(b) < 12 {
		t.Fatalf("packet of %d octets: % x", len(b), b)
	}
	if flags := binary.BigEndian.Uint16(b); flags != 0xc803 {
		t.Fatalf("flags %#04x, want 0xc803", flags)
	}
	if n := binary.BigEndian.Uint16(b[2:]); int(n) != len(b) {
		t.Fatalf("Length %d in a packet of %d octets", n, len(b))
	}
	return packet{
		tunnel: uint16(binary.BigEndian.Uint32(b[4:])),
		ns:     binary.BigEndian.Uint16(b[8:]),
		nr:     binary.BigEndian.Uint16(b[10:]),
		body:   string(b[12:]),
	}
}

// on collects the packets that leave at a time.
func on(c *Channel, now time.Time) (packets []string) {
	c.Transmit(now, func(b []byte) { packets = append(packets, string(b)) })
	return packets
}

// RFC 3931 section 3.2.1: T, L and S set, Ver 3, and "The Control Connection ID field
// contains the identifier for the control connection" of 32 bits.
func TestHeaderOfVersion3(t *testing.T) {
	c := New(Config{Version: l2tp.Version3})
	c.SetPeer(0x89abcdef, 0)
	mustSend(t, c, t0, "body")
	got := on(c, t0)
	want := "\xc8\x03\x00\x10\x89\xab\xcd\xef\x00\x00\x00\x00body"
	if len(got) != 1 || got[0] != want {
		t.Errorf("sent % x, want % x", got, want)
	}
}

// RFC 3931 section 6.15: "ZLB messages are only permitted when Control Message
// Authentication defined in Section 4.3 is not enabled." Section 4.2: "Ns is not
// incremented after an ACK message is sent."
func TestExplicitAcknowledgementIsSent(t *testing.T) {
	seals := 0
	c := New(Config{Version: l2tp.Version3, Ack: []byte(explicitAck), Seal: func([]byte) { seals++ }})
	for i := range uint16(3) {
		if err := c.Receive(t0, control(i, 0), []byte("x")); err != nil {
			t.Fatal(err)
		}
		want := packet{ns: 0, nr: i + 1, body: explicitAck}
		if got := on(c, t0); len(got) != 1 || dissect3(t, []byte(got[0])) != want {
			t.Fatalf("sent %q, want %v", got, want)
		}
	}
	if seals != 3 || c.Stats().SentZLB != 3 || c.Stats().Sent != 0 {
		t.Errorf("%d seals, stats %+v", seals, c.Stats())
	}
}

// RFC 3931 section 4.2: "While the Nr in a received ACK message is used to flush
// messages from the local retransmit queue (see below), the Nr of the next message sent
// is not updated by the Ns of the ACK message."
func TestExplicitAcknowledgementIsReceived(t *testing.T) {
	for name, ack := range map[string]string{"ACK": explicitAck, "ZLB": ""} {
		c := New(Config{Version: l2tp.Version3})
		mustSend(t, c, t0, "a")
		_ = on(c, t0)
		for _, ns := range []uint16{0, 5, 60000} {
			if err := c.Receive(t0, control(ns, 1), []byte(ack)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		wantMessages(t, c)
		if !c.Idle() || c.next != 0 || len(on(c, t0)) != 0 || c.Stats().ReceivedZLB != 3 {
			t.Errorf("%s: idle %v, expected next %d, %+v", name, c.Idle(), c.next, c.Stats())
		}
	}
	// Version 2 has no such message: it is one like another.
	c := New(Config{})
	receive(t, c, t0, 0, 0, explicitAck, nil)
	wantMessages(t, c, explicitAck)
	// Nor is what only looks like one.
	for _, body := range []string{explicitAck[:7], "\x80\x08\x00\x00\x00\x01\x00\x14", "\x80\x08\x00\x00\x00\x00\x00\x06"} {
		c := New(Config{Version: l2tp.Version3})
		receive(t, c, t0, 0, 0, body, nil)
		wantMessages(t, c, body)
	}
}

// RFC 3931 section 4.2: "The retransmitted message contains the same Ns value, but the
// Nr value MUST be updated": so the digest over the header is a new one each time.
func TestSealAtEachTransmission(t *testing.T) {
	c := New(Config{Version: l2tp.Version3, Seal: func(b []byte) { copy(b[len(b)-4:], b[8:12]) }})
	mustSend(t, c, t0, "body....")
	for i, want := range []string{"body\x00\x00\x00\x00", "body\x00\x00\x00\x01", "body\x00\x00\x00\x02"} {
		got := on(c, c.Deadline())
		if len(got) != 1 || got[0][12:] != want {
			t.Fatalf("transmission %d: %q, want %q", i, got, want)
		}
		if err := c.Receive(c.now, control(uint16(i), 0), []byte("x")); err != nil {
			t.Fatal(err)
		}
		_ = on(c, c.now) // the acknowledgement
	}
}

// RFC 3931 section 4.7.3: the SCCRQ is of version 2, and what follows of that of the
// answer.
func TestSetVersion(t *testing.T) {
	for _, version := range []uint8{l2tp.Version, l2tp.Version3} {
		c := New(Config{})
		mustSend(t, c, t0, "SCCRQ")
		if got := on(c, t0); len(got) != 1 || got[0][1] != 2 {
			t.Fatalf("sent %q", got)
		}
		sealed := 0
		c.SetVersion(version, func([]byte) { sealed++ }, []byte(explicitAck))
		if err := c.Receive(t0, control(0, 1), []byte("SCCRP")); err != nil {
			t.Fatal(err)
		}
		c.SetPeer(7, 0)
		got := on(c, t0)
		if len(got) != 1 || got[0][1] != version || got[0][12:] != explicitAck || sealed != 1 {
			t.Errorf("version %d: sent %q, sealed %d", version, got, sealed)
		}
	}
}

// RFC 3931 section 4.2: "If no peer response is detected after several retransmissions (a
// recommended default is 10, but MUST be configurable)".
func TestRetransmissionsOfVersion3(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		sent int
		over time.Duration
	}{
		{Config{Version: l2tp.Version3}, 11, 71 * time.Second},
		{Config{Version: l2tp.Version3, MaxRetransmits: 2}, 3, 7 * time.Second},
		{Config{}, 6, 31 * time.Second},
	} {
		c := New(test.cfg)
		mustSend(t, c, t0, "m")
		sent := 0
		for !c.Deadline().IsZero() {
			sent += len(on(c, c.Deadline()))
		}
		if sent != test.sent || c.now.Sub(t0) != test.over || c.Err() != ErrUnreachable || c.RetransmissionCycle() != test.over {
			t.Errorf("%+v: sent %d, over after %v, cycle %v, %v", test.cfg, sent, c.now.Sub(t0), c.RetransmissionCycle(), c.Err())
		}
	}
}

// An SCCRQ that offers both versions is of version 2; once the answer has told the
// version, that one's default counts, and what was configured counts in either.
func TestRetransmissionsOfTheAnswer(t *testing.T) {
	for _, test := range []struct {
		version uint8
		max     int
		cycle   time.Duration
	}{
		{l2tp.Version, 0, 31 * time.Second},
		{l2tp.Version3, 0, 71 * time.Second},
		{l2tp.Version, 7, 47 * time.Second},
		{l2tp.Version3, 7, 47 * time.Second},
	} {
		c := New(Config{Version: l2tp.Version3, MaxRetransmits: test.max})
		c.SetVersion(l2tp.Version, nil, nil)
		if got, want := c.RetransmissionCycle(), (Config{MaxRetransmits: test.max}).RetransmissionCycle(); got != want {
			t.Errorf("before the answer: %v, want %v", got, want)
		}
		c.SetVersion(test.version, nil, nil)
		mustSend(t, c, t0, "m")
		for !c.Deadline().IsZero() {
			on(c, c.Deadline())
		}
		if over := c.now.Sub(t0); over != test.cycle || c.RetransmissionCycle() != test.cycle || c.Err() != ErrUnreachable {
			t.Errorf("%+v: over after %v, cycle %v, %v", test, over, c.RetransmissionCycle(), c.Err())
		}
	}
}

// Nothing is allocated for acknowledgements.
func TestAcknowledgementAllocatesNothing(t *testing.T) {
	c := New(Config{Version: l2tp.Version3, Ack: []byte(explicitAck)})
	send := func([]byte) {}
	c.duplicate()
	c.Transmit(t0, send)
	if n := testing.AllocsPerRun(100, func() {
		c.duplicate()
		c.Transmit(t0, send)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
