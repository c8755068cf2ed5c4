package reliable

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// RFC 2661 appendix B.1, the lock-step establishment, with both ends.
func TestAppendixB1(t *testing.T) {
	lac, lns := New(Config{}), New(Config{})
	mustSend(t, lac, t0, "SCCRQ")
	wantSent(t, lac, t0, packet{body: "SCCRQ", ns: 0, nr: 0})
	receive(t, lns, t0, 0, 0, "SCCRQ", nil)
	wantMessages(t, lns, "SCCRQ")
	lns.SetPeer(11, 4)
	mustSend(t, lns, t0, "SCCRP")
	wantSent(t, lns, t0, packet{body: "SCCRP", tunnel: 11, ns: 0, nr: 1})
	receive(t, lac, t0, 0, 1, "SCCRP", nil)
	wantMessages(t, lac, "SCCRP")
	lac.SetPeer(22, 4)
	mustSend(t, lac, t0, "SCCCN")
	wantSent(t, lac, t0, packet{body: "SCCCN", tunnel: 22, ns: 1, nr: 1})
	receive(t, lns, t0, 1, 1, "SCCCN", nil)
	wantMessages(t, lns, "SCCCN")
	wantSent(t, lns, t0, packet{tunnel: 11, ns: 1, nr: 2})
	receive(t, lac, t0, 1, 2, "", nil)
	for _, c := range []*Channel{lac, lns} {
		wantSent(t, c, at(time.Hour))
		wantNoDeadline(t, c)
		if !c.Idle() {
			t.Error("not idle")
		}
	}
}

// RFC 2661 appendix B.2, the lost packet with retransmission. The LAC's next Ns
// is 2 and the LNS's is 1.
func TestAppendixB2(t *testing.T) {
	lac, lns := newAt(Config{}, 2, 1), newAt(Config{}, 1, 2)
	mustSend(t, lac, t0, "ICRQ")
	wantSent(t, lac, t0, packet{body: "ICRQ", nr: 1, ns: 2})
	later := at(20 * time.Millisecond)
	receive(t, lns, later, 2, 1, "ICRQ", nil)
	wantMessages(t, lns, "ICRQ")
	mustSend(t, lns, later, "ICRP")
	wantSent(t, lns, later, packet{body: "ICRP", nr: 3, ns: 1}) // lost
	// "pause; LAC's timer started first, so fires first"
	wantSent(t, lac, at(time.Second), packet{body: "ICRQ", nr: 1, ns: 2})
	// "Realizing that it has already seen this packet, the LNS discards the
	// packet and sends a ZLB"
	receive(t, lns, at(time.Second), 2, 1, "ICRQ", DropDuplicate)
	wantMessages(t, lns)
	wantSent(t, lns, at(time.Second), packet{nr: 3, ns: 2})
	receive(t, lac, at(time.Second), 2, 3, "", nil)
	// "LNS's retransmit timer fires"
	wantSent(t, lns, at(1020*time.Millisecond), packet{body: "ICRP", nr: 3, ns: 1})
	receive(t, lac, at(1020*time.Millisecond), 1, 3, "ICRP", nil)
	wantMessages(t, lac, "ICRP")
	mustSend(t, lac, at(1020*time.Millisecond), "ICCN")
	wantSent(t, lac, at(1020*time.Millisecond), packet{body: "ICCN", nr: 2, ns: 3})
	receive(t, lns, at(1040*time.Millisecond), 3, 2, "ICCN", nil)
	wantMessages(t, lns, "ICCN")
	wantSent(t, lns, at(1040*time.Millisecond), packet{nr: 4, ns: 2})
}

// RFC 2661 section 5.8: "if the last received sequence number was 15, then
// messages with sequence numbers 0 through 15, as well as 32784 through 65535,
// would be considered less than or equal. Such a message would be considered a
// duplicate".
func TestEveryNs(t *testing.T) {
	const window = 10
	for ns := range 65536 {
		c := newAt(Config{ReceiveWindow: window}, 0, 16)
		var want error = DropBeyondWindow
		switch {
		case ns <= 15 || ns >= 32784:
			want = DropDuplicate
		case ns < 16+window:
			want = nil
		}
		if err := c.Receive(t0, control(uint16(ns), 0), []byte("m")); err != want {
			t.Fatalf("Ns %d: %v, want %v", ns, err, want)
		}
		_, _, ok := c.NextMessage()
		if ok != (ns == 16) {
			t.Fatalf("Ns %d: delivered %v", ns, ok)
		}
		// Duplicates and the next in order are acknowledged; nothing is
		// acknowledged that was not received.
		var wantAck []packet
		if want == DropDuplicate {
			wantAck = []packet{{nr: 16}}
		} else if ns == 16 {
			wantAck = []packet{{nr: 17}}
		}
		if got := transmit(t, c, t0); fmt.Sprint(got) != fmt.Sprint(wantAck) {
			t.Fatalf("Ns %d: sent %v, want %v", ns, got, wantAck)
		}
	}
}

// An Nr is old, acknowledges something, or acknowledges what was never sent.
func TestEveryNr(t *testing.T) {
	for _, first := range []uint16{0, 100, 32766, 65533} {
		for i := range 65536 {
			c := newAt(Config{}, first, 0)
			c.queue = make([]outgoing, 7)
			c.sent = 5
			ahead := i
			nr := first + uint16(i)
			err := c.Receive(t0, control(0, nr), nil)
			switch {
			case ahead <= 5:
				if err != nil || c.una != nr || c.sent != 5-ahead || len(c.queue) != 7-ahead {
					t.Fatalf("first %d Nr %d: %v, una %d, in flight %d", first, nr, err, c.una, c.sent)
				}
			case ahead < 32768:
				if err != DropNeverSent || c.una != first || c.sent != 5 || !c.LastReceived().IsZero() {
					t.Fatalf("first %d Nr %d: %v, una %d", first, nr, err, c.una)
				}
			default:
				if err != nil || c.una != first || c.sent != 5 {
					t.Fatalf("first %d Nr %d: %v, una %d", first, nr, err, c.una)
				}
			}
		}
	}
}

// A message whose Nr cannot be is not delivered, whatever its Ns.
func TestImpossibleNrLosesTheMessage(t *testing.T) {
	c := New(Config{})
	receive(t, c, t0, 0, 1, "x", DropNeverSent)
	wantMessages(t, c)
	wantSent(t, c, at(time.Hour))
}

// A message with an Nr lower than before, as an overtaken packet or a peer that
// does not renew it has, is delivered all the same.
func TestOldNrIsTolerated(t *testing.T) {
	c := newAt(Config{}, 65534, 65535)
	openWindow(c, 4)
	mustSend(t, c, t0, "a", "b", "c")
	_ = transmit(t, c, t0)
	receive(t, c, t0, 65535, 1, "x", nil)
	receive(t, c, t0, 0, 65534, "y", nil)
	wantMessages(t, c, "x", "y")
	if !c.Idle() {
		t.Error("the old Nr took back an acknowledgement")
	}
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var out [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			out = append(out, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return out
}

// Every order of arrival of four messages, each also with every message coming
// twice and with a window too small, at several places in the sequence.
//
// RFC 2661 section 5.8: "The reliable transport at a receiving peer is
// responsible for making sure that control messages are delivered in order and
// without duplication to the upper level."
func TestEveryPermutationOfFourArrivals(t *testing.T) {
	all := permutations(4)
	if len(all) != 24 {
		t.Fatalf("%d permutations", len(all))
	}
	for _, start := range []uint16{0, 5, 32766, 65533, 65535} {
		for _, window := range []uint16{1, 2, 3, 4, 64} {
			for _, twice := range []bool{false, true} {
				for _, order := range all {
					permutation(t, start, window, twice, order)
				}
			}
		}
	}
}

func permutation(t *testing.T, start, window uint16, twice bool, order []int) {
	t.Helper()
	name := fmt.Sprintf("start %d window %d twice %v order %v", start, window, twice, order)
	c := newAt(Config{ReceiveWindow: window}, 0, start)
	var delivered string
	have := map[int]bool{} // kept or delivered
	next := 0
	for _, i := range order {
		for range 1 + map[bool]int{true: 1}[twice] {
			var want error
			switch {
			case have[i]:
				want = DropDuplicate
			case i-next >= int(window):
				want = DropBeyondWindow
			default:
				have[i] = true
			}
			for have[next] {
				next++
			}
			body := string(rune('a' + i))
			if err := c.Receive(t0, control(start+uint16(i), 0), []byte(body)); err != want {
				t.Fatalf("%s: message %d: %v, want %v", name, i, err, want)
			}
			delivered += strings.Join(messages(c), "")
			if delivered != "abcd"[:next] {
				t.Fatalf("%s: delivered %q after message %d, want %q", name, delivered, i, "abcd"[:next])
			}
			for _, p := range transmit(t, c, t0) {
				if p.nr != start+uint16(next) {
					t.Fatalf("%s: acknowledged %d, want %d", name, p.nr, start+uint16(next))
				}
			}
		}
	}
	if window >= 4 && delivered != "abcd" {
		t.Fatalf("%s: delivered %q", name, delivered)
	}
	if window >= 4 && (c.early != nil || c.earlySize != 0) {
		t.Fatalf("%s: %d octets kept at the end", name, c.earlySize)
	}
}

// RFC 2661 section 5.8: "This acknowledgement may either piggybacked on a
// message in queue, or explicitly via a ZLB ACK."
func TestDelayedAcknowledgement(t *testing.T) {
	const delay = 100 * time.Millisecond
	c := New(Config{AckDelay: delay})
	receive(t, c, t0, 0, 0, "a", nil)
	wantMessages(t, c, "a")
	wantDeadline(t, c, delay)
	wantSent(t, c, at(delay-1))
	wantSent(t, c, at(delay), packet{nr: 1})
	wantNoDeadline(t, c)
	wantSent(t, c, at(2*delay))

	// It rides on a message that leaves meanwhile.
	receive(t, c, at(time.Second), 1, 0, "b", nil)
	mustSend(t, c, at(time.Second), "reply")
	wantSent(t, c, at(time.Second), packet{body: "reply", nr: 2})
	wantSent(t, c, at(time.Second+2*delay))
	receive(t, c, at(time.Second+2*delay), 2, 1, "", nil)

	// A second message does not wait.
	receive(t, c, at(2*time.Second), 2, 1, "c", nil)
	wantSent(t, c, at(2*time.Second))
	receive(t, c, at(2*time.Second+delay/2), 3, 1, "d", nil)
	wantDeadline(t, c, 2*time.Second+delay/2)
	wantSent(t, c, at(2*time.Second+delay/2), packet{ns: 1, nr: 4})

	// Nor does a duplicate.
	receive(t, c, at(3*time.Second), 3, 1, "d", DropDuplicate)
	wantSent(t, c, at(3*time.Second), packet{ns: 1, nr: 4})
	wantNoDeadline(t, c)

	// Nor the only message that our window lets the peer have under way.
	c = New(Config{AckDelay: delay, ReceiveWindow: 1})
	receive(t, c, t0, 0, 0, "a", nil)
	wantSent(t, c, t0, packet{nr: 1})
}

// RFC 2661 section 5.8: "A peer MUST NOT withhold acknowledgment of messages as
// a technique for flow controlling": nothing waits behind a closed window.
func TestAckDoesNotWaitForTheWindow(t *testing.T) {
	c := New(Config{})
	mustSend(t, c, t0, "a", "b")
	wantSent(t, c, t0, packet{body: "a"})
	receive(t, c, t0, 0, 0, "x", nil)
	wantSent(t, c, t0, packet{ns: 1, nr: 1})
}

// RFC 2661 section 5.8: "Ns is not incremented after a ZLB message is sent", and
// "Nr of the next message sent is not be updated by the Ns of the ZLB."
func TestZLBTakesNoSequenceNumber(t *testing.T) {
	c := New(Config{})
	for i := range uint16(3) {
		receive(t, c, t0, i, 0, "x", nil)
		wantSent(t, c, t0, packet{ns: 0, nr: i + 1})
	}
	for _, ns := range []uint16{3, 4, 100, 60000} {
		receive(t, c, t0, ns, 0, "", nil)
		wantSent(t, c, t0)
	}
	mustSend(t, c, t0, "a")
	wantSent(t, c, t0, packet{body: "a", ns: 0, nr: 3})
	if s := c.Stats(); s.SentZLB != 3 || s.ReceivedZLB != 4 || s.Sent != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestNotControl(t *testing.T) {
	c := New(Config{})
	h := control(0, 0)
	h.Control = false
	if err := c.Receive(t0, h, []byte("x")); err != DropNotControl {
		t.Errorf("data message: %v", err)
	}
	h = control(0, 0)
	h.HasSequence = false
	if err := c.Receive(t0, h, []byte("x")); err != DropNotControl {
		t.Errorf("no sequence numbers: %v", err)
	}
	wantMessages(t, c)
	if !c.LastReceived().IsZero() {
		t.Error("it counts as heard of the peer")
	}
}

// Messages that the owner leaves lying take up room in the window, so memory is
// bounded all the same.
func TestUncollectedMessagesFillTheWindow(t *testing.T) {
	c := New(Config{ReceiveWindow: 4})
	for i := range uint16(4) {
		receive(t, c, t0, i, 0, string(rune('a'+i)), nil)
	}
	receive(t, c, t0, 4, 0, "e", DropBeyondWindow)
	wantMessages(t, c, "a", "b", "c", "d")
	receive(t, c, t0, 4, 0, "e", nil)
	wantMessages(t, c, "e")
}

// A peer that sends only large early messages costs no more than maxEarly, and
// the message in order is taken whatever is kept.
func TestEarlyMessagesAreBounded(t *testing.T) {
	c := New(Config{ReceiveWindow: 32767})
	big := strings.Repeat("x", 60000)
	var refused int
	for i := uint16(1); i < 1000; i++ {
		if c.Receive(t0, control(i, 0), []byte(big)) == DropNoRoom {
			refused++
		}
		if c.earlySize > maxEarly {
			t.Fatalf("%d octets kept", c.earlySize)
		}
	}
	if refused != 997 || c.Stats().NoRoom != 997 {
		t.Errorf("refused %d, want 997", refused)
	}
	receive(t, c, t0, 0, 0, big, nil)
	if got := len(messages(c)); got != 3 {
		t.Errorf("%d messages, want 3", got)
	}
	if c.earlySize != 0 || c.early != nil || c.ready != nil {
		t.Error("something is kept at the end")
	}
}

// RFC 2661 section 5.7: "The receiver of a StopCCN MUST send a ZLB ACK to
// acknowledge receipt of the message and maintain enough control connection
// state to properly accept StopCCN retransmissions".
func TestCloseReceive(t *testing.T) {
	c := New(Config{AckDelay: 100 * time.Millisecond})
	openWindow(c, 2)
	mustSend(t, c, t0, "a", "b", "c")
	_ = transmit(t, c, t0)
	receive(t, c, t0, 2, 0, "early", nil)
	receive(t, c, t0, 0, 0, "StopCCN", nil)
	wantMessages(t, c, "StopCCN")
	c.CloseReceive()
	wantDeadline(t, c, 0)
	wantSent(t, c, t0, packet{ns: 2, nr: 1})
	wantNoDeadline(t, c)
	if !c.Idle() {
		t.Error("not idle")
	}
	if err := c.Send(t0, 0, []byte("d")); err != ErrClosed {
		t.Errorf("Send: %v", err)
	}
	for s := 1; s <= 31; s++ {
		now := at(time.Duration(s) * time.Second)
		receive(t, c, now, 0, 1, "StopCCN", DropDuplicate)
		wantSent(t, c, now, packet{ns: 2, nr: 1})
	}
	receive(t, c, at(40*time.Second), 3, 2, "early", ErrClosed)
	wantSent(t, c, at(40*time.Second))
	receive(t, c, at(40*time.Second), 1, 2, "more", ErrClosed)
	wantMessages(t, c)
	wantSent(t, c, at(40*time.Second), packet{ns: 2, nr: 2})
	wantSent(t, c, at(time.Hour))
	if c.Err() != nil {
		t.Errorf("Err() = %v", c.Err())
	}
}

// Two ends that have only acknowledgements to send fall silent, however often
// packets are doubled on the way.
func TestAcknowledgementsDoNotEcho(t *testing.T) {
	a, b := New(Config{}), New(Config{})
	mustSend(t, a, t0, "x")
	mustSend(t, b, t0, "y")
	total := 0
	for range 50 {
		for _, end := range [][2]*Channel{{a, b}, {b, a}} {
			for _, p := range transmit(t, end[0], t0) {
				total++
				for range 2 {
					err := end[1].Receive(t0, control(p.ns, p.nr), []byte(p.body))
					if err != nil && !errors.Is(err, DropDuplicate) {
						t.Fatalf("%v: %v", p, err)
					}
				}
				_ = messages(end[1])
			}
		}
	}
	if total > 4 || !a.Idle() || !b.Idle() {
		t.Errorf("%d packets, idle %v %v", total, a.Idle(), b.Idle())
	}
}

func TestDropReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for r := DropNotControl; r <= DropNoRoom; r++ {
		if s := r.String(); s == "unknown reason" || seen[s] || r.Error() != "reliable: "+s {
			t.Errorf("reason %d is %q", r, s)
		}
		seen[r.String()] = true
	}
	if DropReason(0).String() != "unknown reason" {
		t.Error("reason 0 has a name")
	}
}
