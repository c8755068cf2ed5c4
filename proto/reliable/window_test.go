package reliable

import (
	"fmt"
	"testing"
	"time"
)

// RFC 2661 appendix A: "CWND is initialized to one packet". "When the
// acknowledgement is received, the congestion window is incremented from one to
// two. During slow start, CWND is increased by one packet each time an ACK
// (explicit ZLB or piggybacked) is received. Increasing CWND by one on each ACK
// has the effect of doubling CWND with each round trip".
func TestSlowStartDoublesEachRoundTrip(t *testing.T) {
	c := New(Config{})
	c.SetPeer(1, 20)
	for range 200 {
		mustSend(t, c, t0, "m")
	}
	var bursts []int
	ns := uint16(0)
	for range 7 {
		burst := transmit(t, c, t0)
		bursts = append(bursts, len(burst))
		for range burst {
			ns++
			receive(t, c, t0, 0, ns, "", nil)
		}
	}
	// SSTHRESH is the advertised window of 20, and CWND never exceeds it.
	if got, want := fmt.Sprint(bursts), "[1 2 4 8 16 20 20]"; got != want {
		t.Errorf("bursts %s, want %s", got, want)
	}
}

// An acknowledgement for several messages is one ACK, and one that says nothing
// new is none.
func TestOnlyNewAcknowledgementsOpenTheWindow(t *testing.T) {
	c := New(Config{})
	openWindow(c, 4)
	c.SetPeer(1, 20)
	mustSend(t, c, t0, "a", "b", "c", "d")
	_ = transmit(t, c, t0)
	receive(t, c, t0, 0, 0, "", nil)
	if c.window.cwnd != 4 {
		t.Errorf("cwnd %d after an ACK of nothing", c.window.cwnd)
	}
	receive(t, c, t0, 0, 3, "", nil)
	receive(t, c, t0, 0, 3, "", nil)
	receive(t, c, t0, 0, 2, "", nil)
	if c.window.cwnd != 5 {
		t.Errorf("cwnd %d after one ACK of three messages, want 5", c.window.cwnd)
	}
}

// RFC 2661 appendix A: "When congestion occurs (indicated by the triggering of a
// retransmission) one half of the CWND is saved in SSTHRESH, and CWND is set to
// one. The sender then reenters the slow start phase." "During congestion
// avoidance, CWND expands more slowly. [...] CWND is increased by one packet
// after CWND new ACKs have been received."
func TestCongestionAvoidance(t *testing.T) {
	c := New(Config{})
	openWindow(c, 12)
	c.SetPeer(1, 7)
	openWindow(c, 12)
	for range 100 {
		mustSend(t, c, t0, "m")
	}
	if got := len(transmit(t, c, t0)); got != 12 {
		t.Fatalf("sent %d", got)
	}
	if got := len(transmit(t, c, at(time.Second))); got != 1 {
		t.Fatalf("retransmitted %d, want 1", got)
	}
	if c.window.ssthresh != 6 || c.window.cwnd != 1 {
		t.Fatalf("ssthresh %d cwnd %d, want 6 and 1", c.window.ssthresh, c.window.cwnd)
	}
	now := at(time.Second)
	var got []int
	for i := range uint16(50) {
		receive(t, c, now, 0, i+1, "", nil)
		got = append(got, c.window.cwnd)
		_ = transmit(t, c, now)
	}
	// Slow start to 6 with 5 ACKs, then 6 ACKs to reach 7, 7 to reach 8, 8 to
	// 9, 9 to 10, 10 to 11.
	var want []int
	for cwnd := 2; cwnd < 6; cwnd++ {
		want = append(want, cwnd)
	}
	for cwnd := 6; len(want) < 50; cwnd++ {
		for range cwnd {
			want = append(want, cwnd)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want[:50]) {
		t.Errorf("cwnd after each ACK\n%v, want\n%v", got, want[:50])
	}
}

// SSTHRESH does not fall below two, so there is a slow start to reenter.
func TestThresholdAfterLosses(t *testing.T) {
	g := newCongestion(4)
	for range 3 {
		g.lost()
		if g.cwnd != 1 || g.ssthresh != 2 {
			t.Fatalf("cwnd %d ssthresh %d", g.cwnd, g.ssthresh)
		}
	}
	// A window learned after a loss does not undo it.
	g.setWindow(64)
	if g.ssthresh != 2 {
		t.Errorf("ssthresh %d after setWindow", g.ssthresh)
	}
	g = newCongestion(4)
	g.setWindow(64)
	if g.ssthresh != 64 || g.cwnd != 1 {
		t.Errorf("ssthresh %d cwnd %d after setWindow, want 64 and 1", g.ssthresh, g.cwnd)
	}
	g.cwnd = 64
	g.setWindow(2)
	if g.cwnd != 2 {
		t.Errorf("cwnd %d exceeds the window of 2", g.cwnd)
	}
}

func TestBefore(t *testing.T) {
	tests := []struct {
		a, b uint16
		want bool
	}{
		{0, 0, false}, {0, 1, true}, {1, 0, false}, {65535, 0, true}, {0, 65535, false},
		// "if the last received sequence number was 15": 16 is expected.
		{15, 16, true}, {16, 16, false}, {32783, 16, false}, {32784, 16, true}, {65535, 16, true},
	}
	for _, test := range tests {
		if got := before(test.a, test.b); got != test.want {
			t.Errorf("before(%d, %d) = %v", test.a, test.b, got)
		}
	}
}
