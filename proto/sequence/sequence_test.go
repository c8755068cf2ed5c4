package sequence

import (
	"sync"
	"testing"
	"time"
)

// "Ns indicates the sequence number for this data or control message, beginning
// at zero and incrementing by one (modulo 2**16) for each message sent."
func TestSenderNumbersFromZeroAndWraps(t *testing.T) {
	s := &New(Config{LNS: true, Send: true}).Sender
	for i := range 2<<16 + 3 {
		if ns, ok := s.Next(); !ok || ns != uint32(i)&0xffff {
			t.Fatalf("frame %d: Ns %d, sequenced %v", i, ns, ok)
		}
	}
}

// "The Sequence Number field contains a free-running counter of 2^24 sequence numbers.
// [...] The Sequence Number begins at zero, which is a valid sequence number."
func TestSenderOf24BitsWraps(t *testing.T) {
	s := &New(Config{Bits: Bits24, Send: true}).Sender
	for want := range uint32(3) {
		if ns, ok := s.Next(); !ok || ns != want {
			t.Fatalf("number %d, sequenced %v, want %d", ns, ok, want)
		}
	}
	s.ns.Store(1<<24 - 2)
	for _, want := range []uint32{1<<24 - 2, 1<<24 - 1, 0, 1} {
		if ns, ok := s.Next(); !ok || ns != want {
			t.Fatalf("number %d, sequenced %v, want %d", ns, ok, want)
		}
	}
}

// "Each peer maintains separate sequence numbers for [...] each individual data
// session within a tunnel."
func TestSessionsNumberApart(t *testing.T) {
	a, b := New(Config{LNS: true, Send: true}), New(Config{LNS: true, Send: true})
	a.Sender.Next()
	a.Sender.Next()
	if ns, _ := b.Sender.Next(); ns != 0 {
		t.Errorf("the second session begins at %d", ns)
	}
}

// "If the LNS enables sequencing after disabling it earlier in the session, the
// sequence number state picks up where it left off before."
func TestLNSTurnsNumberingOffAndOn(t *testing.T) {
	s := &New(Config{LNS: true, Send: true}).Sender
	for range 3 {
		s.Next()
	}
	if !s.SetActive(false) {
		t.Fatal("an LNS may not turn sequencing off")
	}
	for range 5 {
		if _, ok := s.Next(); ok {
			t.Fatal("numbered although off")
		}
	}
	if !s.SetActive(true) {
		t.Fatal("an LNS may not turn sequencing on")
	}
	if ns, ok := s.Next(); !ok || ns != 3 {
		t.Errorf("picks up at %d (%v), want 3", ns, ok)
	}
}

// "If this AVP is present during session setup, sequence numbers MUST be present
// at all times. If this AVP is not present, sequencing presence is under control
// of the LNS."
func TestWhoMayTurnNumberingOff(t *testing.T) {
	for _, c := range []struct {
		name        string
		cfg         Config
		may, before bool
	}{
		{"LNS", Config{LNS: true, Send: true}, true, true},
		{"LNS that does not", Config{LNS: true}, true, false},
		{"LNS, required", Config{LNS: true, Required: true}, false, true},
		{"LAC", Config{Send: true}, false, true},
		{"LAC that does not", Config{}, false, false},
		{"LAC, required", Config{Required: true}, false, true},
		{"L2TPv3, the peer requires them", Config{Bits: Bits24, LNS: true, Send: true}, false, true},
		{"L2TPv3, only we require them", Config{Bits: Bits24, LNS: true, Required: true}, false, false},
	} {
		s := &New(c.cfg).Sender
		if s.Active() != c.before {
			t.Errorf("%s: active %v at the start", c.name, s.Active())
		}
		if got := s.SetActive(!c.before); got != c.may {
			t.Errorf("%s: SetActive %v, want %v", c.name, got, c.may)
		}
		want := c.before != c.may
		if _, ok := s.Next(); ok != want || s.Active() != want {
			t.Errorf("%s: sequenced %v (active %v), want %v", c.name, ok, s.Active(), want)
		}
	}
}

// "Thus, if the LAC receives a data message without sequence numbers present, it
// MUST stop sending sequence numbers in future data messages. If the LAC receives
// a data message with sequence numbers present, it MUST begin sending sequence
// numbers in future outgoing data messages."
func TestLACFollowsLNS(t *testing.T) {
	now := time.Unix(1000, 0)
	s := New(Config{ReorderTimeout: time.Second})
	sends := func() bool { _, ok := s.Sender.Next(); return ok }
	if sends() {
		t.Fatal("numbered before the LNS asked")
	}
	s.Receiver.Receive(now, true, 0, nil)
	if !sends() {
		t.Fatal("did not begin")
	}
	s.Receiver.Receive(now, false, 0, nil)
	if sends() {
		t.Fatal("did not stop")
	}
	if v := s.Receiver.Receive(now, true, 0, nil); v != DropDuplicate || sends() {
		t.Fatalf("%v: a duplicate from before the stop counts as a wish", v)
	}
	if v := s.Receiver.Receive(now, true, 3, nil); v != Held || !sends() {
		t.Fatalf("%v: a frame that came early does not count", v)
	}
	// The two before the stop and the one just now used up 0, 1 and ...
	if ns, ok := s.Sender.Next(); !ok || ns != 2 {
		t.Errorf("Ns %d (%v), want 2: the state picks up where it left off", ns, ok)
	}
}

func TestWhoDoesNotFollow(t *testing.T) {
	now := time.Unix(1000, 0)
	lns := New(Config{LNS: true, Send: true})
	lns.Receiver.Receive(now, false, 0, nil)
	if !lns.Sender.Active() {
		t.Error("the LNS followed the LAC in stopping")
	}
	lns.Sender.SetActive(false)
	lns.Receiver.Receive(now, true, 0, nil)
	if lns.Sender.Active() {
		t.Error("the LNS followed the LAC in beginning")
	}
	for _, sends := range []bool{false, true} {
		v3 := New(Config{Bits: Bits24, Send: sends})
		for _, numbered := range []bool{true, false} {
			v3.Receiver.Receive(now, numbered, 0, nil)
			if v3.Sender.Active() != sends {
				t.Errorf("L2TPv3: the peer's S bit %v made active %v of %v", numbered, !sends, sends)
			}
		}
	}
	lac := New(Config{Required: true})
	lac.Receiver.Receive(now, false, 0, nil)
	if !lac.Sender.Active() {
		t.Error("a LAC that required numbers stopped sending them")
	}
}

// The data path may have a queue for each processor.
func TestSenderFromManyGoroutines(t *testing.T) {
	const each, workers = 2000, 4
	s := New(Config{Send: true})
	var seen [each * workers]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				ns, _ := s.Sender.Next()
				mu.Lock()
				seen[ns]++
				mu.Unlock()
			}
		})
	}
	// The receiving half runs beside them.
	for i := range 1000 {
		s.Receiver.Receive(time.Unix(0, 0), true, uint32(i), nil)
		s.Receiver.Counters()
	}
	wg.Wait()
	for ns, n := range seen {
		if n != 1 {
			t.Fatalf("Ns %d given %d times", ns, n)
		}
	}
}

func TestConfigIsBroughtIntoRange(t *testing.T) {
	for in, want := range map[int]uint8{-1: 16, 0: 16, 8: 16, 16: 16, 24: 8, 32: 16, 99: 16} {
		if got := New(Config{Bits: in}).Receiver.shift; got != want {
			t.Errorf("%d bits are shifted by %d, want %d", in, got, want)
		}
	}
	for _, c := range []struct {
		in, want int
	}{{-1, DefaultMaxHeld}, {0, DefaultMaxHeld}, {1, 1}, {1024, 1024}, {1 << 20, 1024}} {
		if got := New(Config{MaxHeld: c.in}).Receiver.maxHeld; got != c.want {
			t.Errorf("MaxHeld %d becomes %d, want %d", c.in, got, c.want)
		}
	}
	r := &New(Config{ReorderTimeout: -time.Second}).Receiver
	if v := r.Receive(time.Unix(0, 0), true, 9, nil); v != Deliver {
		t.Errorf("a negative timeout held the frame: %v", v)
	}
}
