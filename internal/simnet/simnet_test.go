package simnet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var (
	alice = netip.MustParseAddrPort("192.0.2.1:1701")
	bob   = netip.MustParseAddrPort("192.0.2.2:1701")
	nat   = netip.MustParseAddrPort("203.0.113.9:40001")
	nat2  = netip.MustParseAddrPort("203.0.113.9:40002")
)

// arrival is a packet as its node got it.
type arrival struct {
	after time.Duration
	from  Addr
	body  string
}

// listen attaches a node that notes what arrives.
func listen(n *Net, addr Addr) *[]arrival {
	var got []arrival
	n.Attach(addr, func(now time.Time, from Addr, packet []byte) {
		got = append(got, arrival{now.Sub(Start), from, string(packet)})
	})
	return &got
}

func wantArrivals(t *testing.T, got *[]arrival, want ...arrival) {
	t.Helper()
	if !slices.Equal(*got, want) {
		t.Fatalf("arrived %v, want %v", *got, want)
	}
	*got = nil
}

func TestPerfectLink(t *testing.T) {
	n := New(1, Link{Delay: 5 * time.Millisecond})
	got := listen(n, bob)
	packet := []byte("one")
	n.Send(alice, bob, packet)
	copy(packet, "two") // the network has its own copy
	n.Send(alice, bob, packet)
	if len(*got) != 0 || n.Quiet() {
		t.Fatal("arrived before its time")
	}
	if count := n.Run(Start.Add(4 * time.Millisecond)); count != 0 {
		t.Fatalf("%d events before the delay", count)
	}
	if count := n.RunFor(time.Hour); count != 2 {
		t.Fatalf("%d events", count)
	}
	wantArrivals(t, got, arrival{5 * time.Millisecond, alice, "one"}, arrival{5 * time.Millisecond, alice, "two"})
	if want := Start.Add(4*time.Millisecond + time.Hour); !n.Now().Equal(want) {
		t.Errorf("now %v, want %v", n.Now(), want)
	}
	if !n.Quiet() || n.Step() {
		t.Error("not quiet at the end")
	}
	if want := (Stats{Sent: 2, Delivered: 2}); n.Stats() != want {
		t.Errorf("stats %+v", n.Stats())
	}
}

// Events of one instant run in the order they were made, and a handler may send.
func TestOrderWithinAnInstant(t *testing.T) {
	n := New(1, Link{})
	var got []string
	n.Attach(bob, func(_ time.Time, from Addr, packet []byte) {
		got = append(got, "bob "+string(packet))
		n.Send(bob, from, []byte("echo "+string(packet)))
	})
	n.Attach(alice, func(_ time.Time, _ Addr, packet []byte) { got = append(got, "alice "+string(packet)) })
	n.Send(alice, bob, []byte("1"))
	n.At(Start, func(time.Time) { got = append(got, "timer") })
	n.At(Start.Add(-time.Hour), func(now time.Time) { got = append(got, "late timer", now.Sub(Start).String()) })
	n.Send(alice, bob, []byte("2"))
	n.Run(Start)
	want := "[bob 1 timer late timer 0s bob 2 alice echo 1 alice echo 2]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestTimers(t *testing.T) {
	n := New(1, Link{})
	var got []time.Duration
	note := func(now time.Time) { got = append(got, now.Sub(Start)) }
	stopped := n.After(time.Second, note)
	moved := n.After(time.Second, note)
	idle := n.At(time.Time{}, note)
	n.After(3*time.Second, note)
	stopped.Stop()
	moved.Reset(Start.Add(5 * time.Second))
	if stopped.Running() || idle.Running() || !moved.Running() {
		t.Error("Running is wrong")
	}
	if count := n.RunFor(2 * time.Second); count != 0 {
		t.Errorf("%d events from stopped timers", count)
	}
	n.RunFor(8 * time.Second)
	if fmt.Sprint(got) != "[3s 5s]" || moved.Running() {
		t.Errorf("went off at %v", got)
	}
	// It can be set again, also from its own handler.
	got = nil
	var again *Timer
	again = n.At(time.Time{}, func(now time.Time) {
		note(now)
		if len(got) < 3 {
			again.Reset(now.Add(time.Second))
		}
	})
	again.Reset(n.Now())
	n.RunFor(time.Hour)
	if fmt.Sprint(got) != "[10s 11s 12s]" || !n.Quiet() {
		t.Errorf("went off at %v", got)
	}
	// A stopped timer is not pending, and does not move the clock.
	before := n.Now()
	n.After(time.Hour, note).Stop()
	if !n.Quiet() || n.Step() || !n.Now().Equal(before) {
		t.Error("a stopped timer did something")
	}
}

// share sends count packets over link and says which part of them fulfils what
// stat picks.
func share(link Link, count int, stat func(Stats) int) float64 {
	n := New(42, link)
	n.Attach(bob, func(time.Time, Addr, []byte) {})
	for range count {
		n.Send(alice, bob, []byte("x"))
	}
	n.RunFor(time.Hour)
	return float64(stat(n.Stats())) / float64(count)
}

func TestShares(t *testing.T) {
	tests := []struct {
		name     string
		link     Link
		stat     func(Stats) int
		min, max float64
	}{
		{"loss", Link{Loss: 0.2}, func(s Stats) int { return s.Lost }, 0.18, 0.22},
		{"the rest arrives", Link{Loss: 0.2}, func(s Stats) int { return s.Delivered }, 0.78, 0.82},
		{"loss of all", Link{Loss: 1}, func(s Stats) int { return s.Delivered }, 0, 0},
		{"duplicates", Link{Duplicate: 0.3}, func(s Stats) int { return s.Duplicated }, 0.28, 0.32},
		{"duplicates arrive", Link{Duplicate: 0.3}, func(s Stats) int { return s.Delivered }, 1.28, 1.32},
		{"of all", Link{Duplicate: 1}, func(s Stats) int { return s.Delivered }, 2, 2},
		{"held", Link{Reorder: 0.1, Delay: time.Second}, func(s Stats) int { return s.Held }, 0.08, 0.12},
	}
	for _, test := range tests {
		if got := share(test.link, 10000, test.stat); got < test.min || got > test.max {
			t.Errorf("%s: share %v, want %v to %v", test.name, got, test.min, test.max)
		}
	}
}

// overtaken counts packets that arrive after one that was sent later.
func overtaken(t *testing.T, link Link) int {
	t.Helper()
	n := New(7, link)
	last, count := -1, 0
	n.Attach(bob, func(now time.Time, _ Addr, packet []byte) {
		number := int(packet[0])<<8 | int(packet[1])
		if number < last {
			count++
		}
		last = max(last, number)
		if under := now.Sub(Start) - time.Duration(number)*time.Millisecond; under < link.Delay {
			t.Fatalf("packet %d was under way for %v", number, under)
		}
	})
	for i := range 2000 {
		n.At(Start.Add(time.Duration(i)*time.Millisecond), func(time.Time) {
			n.Send(alice, bob, []byte{byte(i >> 8), byte(i)})
		})
	}
	n.RunFor(time.Hour)
	return count
}

func TestOnlyReorderReorders(t *testing.T) {
	if got := overtaken(t, Link{Delay: 20 * time.Millisecond, Jitter: 200 * time.Millisecond}); got != 0 {
		t.Errorf("%d overtaken by jitter alone", got)
	}
	if got := overtaken(t, Link{Delay: 20 * time.Millisecond, Reorder: 0.1}); got < 100 || got > 300 {
		t.Errorf("%d of 2000 overtaken, want some 200", got)
	}
}

func TestSetLink(t *testing.T) {
	n := New(1, Link{Delay: time.Second})
	atBob, atAlice := listen(n, bob), listen(n, alice)
	n.SetLink(alice, bob, Link{Loss: 1})
	n.Send(alice, bob, []byte("lost"))
	n.Send(bob, alice, []byte("other direction"))
	n.SetDefaultLink(Link{})
	n.Send(bob, alice, []byte("later")) // does not overtake the first
	n.SetLink(alice, bob, Link{Delay: time.Minute})
	n.Send(alice, bob, []byte("slow"))
	n.RunFor(time.Hour)
	wantArrivals(t, atAlice, arrival{time.Second, bob, "other direction"}, arrival{time.Second, bob, "later"})
	wantArrivals(t, atBob, arrival{time.Minute, alice, "slow"})
}

func TestDetach(t *testing.T) {
	n := New(1, Link{Delay: time.Second})
	got := listen(n, bob)
	n.Send(alice, bob, []byte("x"))
	n.Detach(bob)
	n.RunFor(time.Minute)
	wantArrivals(t, got)
	if n.Stats().Unreachable != 1 {
		t.Errorf("stats %+v", n.Stats())
	}
}

func TestRebind(t *testing.T) {
	n := New(1, Link{Delay: time.Second})
	n.SetLink(bob, alice, Link{Delay: 2 * time.Second}) // holds behind the NAT as well
	atBob, atAlice := listen(n, bob), listen(n, alice)
	n.Rebind(alice, nat)
	n.Send(alice, bob, []byte("hi"))
	n.Send(bob, nat, []byte("to the binding"))
	n.Send(bob, alice, []byte("to behind the NAT"))
	n.RunFor(10 * time.Second)
	wantArrivals(t, atBob, arrival{time.Second, nat, "hi"})
	wantArrivals(t, atAlice, arrival{2 * time.Second, bob, "to the binding"})

	// A new binding voids the old one, also for packets under way.
	n.Send(bob, nat, []byte("too late"))
	n.Rebind(alice, nat2)
	n.Send(bob, nat, []byte("old"))
	n.Send(bob, nat2, []byte("new"))
	n.Send(alice, bob, []byte("moved"))
	n.RunFor(10 * time.Second)
	wantArrivals(t, atAlice, arrival{12 * time.Second, bob, "new"})
	wantArrivals(t, atBob, arrival{11 * time.Second, nat2, "moved"})

	n.Rebind(alice, alice)
	n.Send(alice, bob, []byte("plain"))
	n.Send(bob, alice, []byte("plain"))
	n.RunFor(10 * time.Second)
	wantArrivals(t, atAlice, arrival{22 * time.Second, bob, "plain"})
	wantArrivals(t, atBob, arrival{21 * time.Second, alice, "plain"})
}

// transcript runs a chatter between two nodes and writes down all fates.
func transcript(seed uint64) string {
	n := New(seed, Link{Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond})
	var out string
	n.Tap(func(now time.Time, from, to Addr, packet []byte, fate Fate) {
		out += fmt.Sprintln(now.Sub(Start), from, to, string(packet), fate)
	})
	n.Attach(alice, func(time.Time, Addr, []byte) {})
	n.Attach(bob, func(_ time.Time, from Addr, packet []byte) { n.Send(bob, from, packet) })
	for i := range 50 {
		n.After(time.Duration(n.Rand().IntN(1000))*time.Millisecond, func(time.Time) {
			n.Send(alice, bob, fmt.Append(nil, i))
		})
	}
	n.RunFor(time.Hour)
	return out
}

func TestSameSeedSameRun(t *testing.T) {
	first := transcript(5)
	if first != transcript(5) {
		t.Error("two runs of one seed differ")
	}
	if first == transcript(6) {
		t.Error("two seeds give the same run")
	}
}

// A loop in which time stands still is found, not run for ever.
func TestTimeMustAdvance(t *testing.T) {
	n := New(1, Link{})
	var timer *Timer
	timer = n.At(Start, func(now time.Time) { timer.Reset(now) })
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	n.RunFor(time.Hour)
}

func TestFatesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for f := Sent; f <= Unreachable; f++ {
		if s := f.String(); s == "unknown" || seen[s] {
			t.Errorf("fate %d is %q", f, s)
		}
		seen[f.String()] = true
	}
	if Fate(99).String() != "unknown" {
		t.Error("fate 99 has a name")
	}
}

// The full number without the race detector, a tenth with it, and never none.
func TestRounds(t *testing.T) {
	want := 3000
	if raceDetector {
		want = 300
	}
	if got := Rounds(3000); got != want {
		t.Errorf("%d rounds of 3000, want %d", got, want)
	}
	if got := Rounds(1); got != 1 {
		t.Errorf("%d rounds of one", got)
	}
}
