package reliable

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// RFC 2661 section 5.8: "if the first retransmission occurred after 1 second,
// the next retransmission should occur after 2 seconds has elapsed, then 4
// seconds, etc. An implementation MAY place a cap upon the maximum interval
// between retransmissions. This cap MUST be no less than 8 seconds".
func TestRetransmitTimesAreExact(t *testing.T) {
	tests := []struct {
		name    string
		cfg     Config
		want    []time.Duration // of each transmission
		givenUp time.Duration
	}{
		{"defaults", Config{},
			[]time.Duration{0, 1, 3, 7, 15, 23}, 31},
		{"cap 16 s", Config{RetransmitCap: 16 * time.Second},
			[]time.Duration{0, 1, 3, 7, 15, 31}, 47},
		{"10 retransmissions", Config{MaxRetransmits: 10},
			[]time.Duration{0, 1, 3, 7, 15, 23, 31, 39, 47, 55, 63}, 71},
		{"once", Config{MaxRetransmits: 1, RetransmitInitial: 3 * time.Second},
			[]time.Duration{0, 3}, 9},
		{"cap that is no power of two", Config{RetransmitInitial: 3 * time.Second, RetransmitCap: 10 * time.Second, MaxRetransmits: 3},
			[]time.Duration{0, 3, 9, 19}, 29},
		{"cap below the first", Config{RetransmitInitial: 9 * time.Second, MaxRetransmits: 2},
			[]time.Duration{0, 9, 18}, 27},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := New(test.cfg)
			mustSend(t, c, t0, "SCCRQ")
			for _, s := range test.want {
				due := s * time.Second
				wantDeadline(t, c, due)
				if s > 0 {
					wantSent(t, c, at(due-1))
				}
				wantSent(t, c, at(due), packet{body: "SCCRQ"})
				wantSent(t, c, at(due))
			}
			end := test.givenUp * time.Second
			wantDeadline(t, c, end)
			wantSent(t, c, at(end-1))
			if c.Err() != nil {
				t.Fatalf("given up early: %v", c.Err())
			}
			wantSent(t, c, at(end))
			if !errors.Is(c.Err(), ErrUnreachable) {
				t.Fatalf("Err() = %v at the end", c.Err())
			}
			if got := c.RetransmissionCycle(); got != end {
				t.Errorf("RetransmissionCycle() = %v, want %v", got, end)
			}
			wantDead(t, c, at(end))
		})
	}
}

// wantDead checks that a channel whose peer was given up does nothing more.
func wantDead(t *testing.T, c *Channel, now time.Time) {
	t.Helper()
	wantNoDeadline(t, c)
	if err := c.Send(now, 0, []byte("x")); err != ErrUnreachable {
		t.Errorf("Send = %v", err)
	}
	receive(t, c, now, c.next, c.una, "y", ErrUnreachable)
	wantSent(t, c, now.Add(time.Hour))
	wantMessages(t, c)
	if !c.Idle() {
		t.Error("not idle")
	}
}

// RFC 2661 section 5.7: "The recommended time for a full retransmission cycle
// is 31 seconds (see section 5.8)."
func TestDefaultCycleIs31Seconds(t *testing.T) {
	if got := (Config{}).RetransmissionCycle(); got != 31*time.Second {
		t.Errorf("RetransmissionCycle() = %v", got)
	}
}

// A late Transmit makes one retransmission, not the ones it missed, and the next
// interval counts from it.
func TestLateTransmitDoesNotCatchUp(t *testing.T) {
	c := New(Config{})
	mustSend(t, c, t0, "a")
	wantSent(t, c, t0, packet{body: "a"})
	wantSent(t, c, at(20*time.Second), packet{body: "a"})
	wantDeadline(t, c, 22*time.Second)
}

// RFC 2661 section 5.8: "The retransmitted message contains the same Ns value,
// but the Nr value MUST be updated with the sequence number of the next
// expected message."
func TestRetransmissionHasNewestNr(t *testing.T) {
	c := New(Config{AckDelay: 100 * time.Millisecond})
	mustSend(t, c, t0, "a")
	wantSent(t, c, t0, packet{body: "a"})
	receive(t, c, at(900*time.Millisecond), 0, 0, "x", nil)
	wantMessages(t, c, "x")
	wantDeadline(t, c, time.Second) // and the ACK can ride
	wantSent(t, c, at(time.Second), packet{body: "a", nr: 1})
	wantDeadline(t, c, 3*time.Second)
	receive(t, c, at(2*time.Second), 1, 0, "y", nil)
	wantSent(t, c, at(3*time.Second), packet{body: "a", nr: 2})
}

// An acknowledgement starts the count of retransmissions anew: the limit is for
// a peer that does not respond.
func TestProgressResetsTheCount(t *testing.T) {
	c := New(Config{MaxRetransmits: 2})
	now := t0
	for i := range uint16(10) {
		mustSend(t, c, now, "m")
		wantSent(t, c, now, packet{body: "m", ns: i})
		now = now.Add(time.Second)
		wantSent(t, c, now, packet{body: "m", ns: i})
		now = now.Add(2 * time.Second)
		wantSent(t, c, now, packet{body: "m", ns: i})
		now = now.Add(4*time.Second - 1)
		receive(t, c, now, 0, i+1, "", nil)
	}
	if c.Err() != nil || !c.Idle() {
		t.Fatalf("Err %v, idle %v", c.Err(), c.Idle())
	}
	wantNoDeadline(t, c)
}

// Other traffic from the peer without an acknowledgement does not: such a peer
// would keep the tunnel half dead for ever.
func TestTrafficWithoutAckDoesNotResetTheCount(t *testing.T) {
	c := New(Config{})
	mustSend(t, c, t0, "a")
	for s := range 32 {
		now := at(time.Duration(s) * time.Second)
		_ = transmit(t, c, now)
		if s < 31 {
			receive(t, c, now, uint16(s), 0, "hello", nil)
			wantMessages(t, c, "hello")
		}
	}
	if c.Err() != ErrUnreachable {
		t.Fatalf("Err() = %v", c.Err())
	}
}

// After one loss among several messages, those under way at the time are sent
// again as the acknowledgements open the window, each with its own back-off, and
// count as the same congestion.
func TestRecoveryOfABurst(t *testing.T) {
	c := New(Config{})
	openWindow(c, 8)
	c.window.ssthresh = 8
	mustSend(t, c, t0, "a", "b", "c", "d", "e", "f", "g", "h")
	if got := len(transmit(t, c, t0)); got != 8 {
		t.Fatalf("sent %d of 8", got)
	}
	// The peer keeps nothing out of order and got none of them.
	wantSent(t, c, at(time.Second), packet{body: "a"})
	if c.window.cwnd != 1 || c.window.ssthresh != 4 {
		t.Fatalf("cwnd %d ssthresh %d after loss, want 1 and 4", c.window.cwnd, c.window.ssthresh)
	}
	wantDeadline(t, c, 3*time.Second) // the rest is blocked, not due
	receive(t, c, at(1100*time.Millisecond), 0, 1, "", nil)
	wantDeadline(t, c, time.Second)
	wantSent(t, c, at(1100*time.Millisecond), packet{body: "b", ns: 1}, packet{body: "c", ns: 2})
	receive(t, c, at(1200*time.Millisecond), 0, 3, "", nil)
	if c.window.cwnd != 3 || c.window.ssthresh != 4 {
		t.Fatalf("cwnd %d ssthresh %d in recovery, want 3 and 4", c.window.cwnd, c.window.ssthresh)
	}
	wantSent(t, c, at(1200*time.Millisecond),
		packet{body: "d", ns: 3}, packet{body: "e", ns: 4}, packet{body: "f", ns: 5})
	// These get lost again: that is a new sign of congestion.
	wantDeadline(t, c, 3200*time.Millisecond)
	wantSent(t, c, at(3200*time.Millisecond), packet{body: "d", ns: 3})
	if c.window.cwnd != 1 || c.window.ssthresh != 2 {
		t.Fatalf("cwnd %d ssthresh %d after second loss, want 1 and 2", c.window.cwnd, c.window.ssthresh)
	}
	receive(t, c, at(3300*time.Millisecond), 0, 8, "", nil)
	if !c.Idle() || c.recovering {
		t.Fatalf("idle %v, recovering %v at the end", c.Idle(), c.recovering)
	}
}

// RFC 2661 appendix A: "When congestion occurs (indicated by the triggering of a
// retransmission) one half of the CWND is saved in SSTHRESH": also when the
// same message is lost again.
func TestRepeatedLossOfOneMessage(t *testing.T) {
	c := New(Config{})
	openWindow(c, 8)
	for range 8 {
		mustSend(t, c, t0, "m")
	}
	_ = transmit(t, c, t0)
	for i, want := range []int{4, 2, 2} {
		now := at([]time.Duration{1, 3, 7}[i] * time.Second)
		wantSent(t, c, now, packet{body: "m"})
		if c.window.cwnd != 1 || c.window.ssthresh != want {
			t.Fatalf("cwnd %d ssthresh %d after loss %d, want 1 and %d", c.window.cwnd, c.window.ssthresh, i+1, want)
		}
	}
}

// A message that the peer kept out of order is not sent again once the gap is
// closed.
func TestRecoveryOfOneOfABurst(t *testing.T) {
	c := New(Config{})
	openWindow(c, 4)
	mustSend(t, c, t0, "a", "b", "c", "d", "e")
	_ = transmit(t, c, t0)
	wantSent(t, c, at(time.Second), packet{body: "a"})
	receive(t, c, at(1100*time.Millisecond), 0, 4, "", nil)
	wantSent(t, c, at(1100*time.Millisecond), packet{body: "e", ns: 4})
	if got := c.Stats().Retransmitted; got != 1 {
		t.Errorf("%d retransmissions, want 1", got)
	}
}

// RFC 2661 section 5.8: "B is now allowed to have up to N outstanding control
// messages. Once N have been sent, it must wait for an acknowledgment that
// advances the window before sending new control messages."
func TestPeerWindowIsHonoured(t *testing.T) {
	for _, window := range []int{1, 2, 3, 4, 8} {
		c := newAt(Config{}, 65530, 0)
		openWindow(c, window)
		for range 3 * window {
			mustSend(t, c, t0, "m")
		}
		if got := len(transmit(t, c, t0)); got != window {
			t.Fatalf("window %d: sent %d", window, got)
		}
		if s := c.Stats(); s.InFlight != window || s.SendQueue != 2*window || s.PeerWindow != window {
			t.Errorf("window %d: stats %+v", window, s)
		}
		// One acknowledged, one more goes.
		receive(t, c, t0, 0, 65531, "", nil)
		got := transmit(t, c, t0)
		if want := uint16(65530) + uint16(window); len(got) != 1 || got[0].ns != want {
			t.Fatalf("window %d: sent %v, want Ns %d", window, got, want)
		}
	}
}

// RFC 2661 section 4.4.3: "If absent, the peer must assume a Window Size of 4
// for its transmit window." Section 5.8: "A value of 0 for the Receive Window
// Size AVP is invalid."
func TestWindowUnknownOrZero(t *testing.T) {
	c := New(Config{})
	if got := c.Stats().PeerWindow; got != 4 {
		t.Errorf("window %d before SetPeer", got)
	}
	c.SetPeer(7, 10)
	c.SetPeer(7, 0)
	if got := c.Stats().PeerWindow; got != 4 {
		t.Errorf("window %d after SetPeer(0)", got)
	}
	c.SetPeer(7, 65535)
	if got := c.Stats().PeerWindow; got != 32767 {
		t.Errorf("window %d after SetPeer(65535)", got)
	}
}

// The peer's tunnel ID and window, once known, apply to what waits already.
func TestSetPeer(t *testing.T) {
	c := New(Config{})
	c.window.cwnd = 4
	mustSend(t, c, t0, "a", "b", "c", "d", "e", "f")
	if err := c.Send(t0, 99, []byte("g")); err != nil {
		t.Fatal(err)
	}
	got := transmit(t, c, t0)
	if len(got) != 4 || got[3].tunnel != 0 {
		t.Fatalf("sent %v before SetPeer", got)
	}
	wantDeadline(t, c, time.Second)
	c.window.cwnd = 8
	c.SetPeer(513, 7)
	if c.window.cwnd != 7 || c.window.ssthresh != 7 {
		t.Errorf("cwnd %d ssthresh %d, want 7 and 7", c.window.cwnd, c.window.ssthresh)
	}
	wantDeadline(t, c, 0)
	wantSent(t, c, t0, packet{body: "e", tunnel: 513, ns: 4}, packet{body: "f", tunnel: 513, ns: 5},
		packet{body: "g", tunnel: 513, ns: 6, session: 99})
	wantSent(t, c, at(time.Second), packet{body: "a", tunnel: 513})
}

func TestSendErrors(t *testing.T) {
	c := New(Config{MaxQueue: 3})
	if err := c.Send(t0, 0, nil); err != ErrEmpty {
		t.Errorf("empty: %v", err)
	}
	if err := c.Send(t0, 0, make([]byte, 65524)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	mustSend(t, c, t0, strings.Repeat("x", 65523), "b")
	if got := transmit(t, c, t0); len(got) != 1 || len(got[0].body) != 65523 {
		t.Fatalf("the longest message did not go")
	}
	mustSend(t, c, t0, "c")
	if err := c.Send(t0, 0, []byte("d")); err != ErrQueueFull {
		t.Errorf("full: %v", err)
	}
	receive(t, c, t0, 0, 1, "", nil)
	mustSend(t, c, t0, "d")
}

func TestPayloadIsCopied(t *testing.T) {
	c := New(Config{})
	buf := []byte("before")
	if err := c.Send(t0, 3, buf); err != nil {
		t.Fatal(err)
	}
	copy(buf, "after!")
	wantSent(t, c, t0, packet{body: "before", session: 3})
	copy(buf, "first.")
	if err := c.Receive(t0, control(1, 0), buf); err != nil {
		t.Fatal(err)
	}
	copy(buf, "second")
	if err := c.Receive(t0, control(0, 0), buf); err != nil {
		t.Fatal(err)
	}
	copy(buf, "xxxxxx")
	wantMessages(t, c, "second", "first.")
}

// RFC 2661 section 5.7: "it is not necessary to clear each session individually
// when tearing down the whole tunnel."
func TestDropWaiting(t *testing.T) {
	c := New(Config{MaxQueue: 4})
	mustSend(t, c, t0, "a", "b", "c", "d")
	wantSent(t, c, t0, packet{body: "a"})
	if got := c.DropWaiting(); got != 3 {
		t.Fatalf("dropped %d, want 3", got)
	}
	mustSend(t, c, t0, "StopCCN")
	receive(t, c, t0, 0, 1, "", nil)
	wantSent(t, c, t0, packet{body: "StopCCN", ns: 1})
	receive(t, c, t0, 0, 2, "", nil)
	if got := c.DropWaiting(); got != 0 || !c.Idle() {
		t.Fatalf("dropped %d, idle %v", got, c.Idle())
	}
}

func TestStats(t *testing.T) {
	c := New(Config{})
	c.SetPeer(1, 16)
	mustSend(t, c, t0, "a", "b")
	_ = transmit(t, c, t0)
	_ = transmit(t, c, at(time.Second))
	receive(t, c, at(time.Second), 1, 1, "y", nil)
	receive(t, c, at(time.Second), 0, 1, "x", nil)
	receive(t, c, at(time.Second), 0, 1, "x", DropDuplicate)
	receive(t, c, at(time.Second), 500, 1, "z", DropBeyondWindow)
	receive(t, c, at(time.Second), 2, 9, "z", DropNeverSent)
	receive(t, c, at(2*time.Second), 2, 1, "", nil)
	want := Stats{Sent: 2, Retransmitted: 1, Received: 5, Duplicates: 1, OutOfOrder: 1,
		BeyondWindow: 1, NeverSent: 1, ReceivedZLB: 1, InFlight: 0, SendQueue: 1, Window: 2, PeerWindow: 16}
	if got := c.Stats(); got != want {
		t.Errorf("stats %+v\nwant  %+v", got, want)
	}
	if got := c.LastReceived(); !got.Equal(at(2 * time.Second)) {
		t.Errorf("LastReceived %v", got)
	}
}

func TestIntervalsNeverShrink(t *testing.T) {
	cfg := Config{RetransmitInitial: 700 * time.Millisecond, RetransmitCap: 1 << 62}.withDefaults()
	var got []time.Duration
	for i := range 100 {
		got = append(got, cfg.interval(i))
	}
	if !slices.IsSorted(got) || got[0] != 700*time.Millisecond || got[99] != 1<<62 {
		t.Errorf("intervals %v", got)
	}
}
