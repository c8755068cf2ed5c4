package engine

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"adit/pppbridge"
)

// fakeStepper is a bridge that speaks PPP itself, as far as its owner sees.
type fakeStepper struct {
	*fakeBridge
	began time.Time
	at    time.Time // its deadline

	mu  sync.Mutex
	log []string
}

func (f *fakeStepper) note(now time.Time, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, fmt.Sprintf("%v ", now.Sub(f.began))+fmt.Sprintf(format, args...))
}

func (f *fakeStepper) lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// Begin asks for a Tick in three seconds.
func (f *fakeStepper) Begin(now time.Time) {
	f.began, f.at = now, now.Add(3*time.Second)
	f.note(now, "begin")
}

// Control puts the Tick off.
func (f *fakeStepper) Control(now time.Time, frame []byte) {
	f.at = now.Add(3 * time.Second)
	f.note(now, "%s", frame)
}

func (f *fakeStepper) Tick(now time.Time) {
	f.at = time.Time{}
	f.note(now, "tick")
}

func (f *fakeStepper) Deadline() time.Time { return f.at }

// Deliver hands the frame to the owner, as the reader's goroutine does.
func (f *fakeStepper) Deliver(_ *pppbridge.Burst, _ time.Time, frame []byte) {
	f.spec.Owner.Control(frame)
}

// oneStepper sets up a call whose LNS speaks PPP itself.
func oneStepper(t *testing.T) (lac, lns *node, c *Call, f *fakeStepper) {
	t.Helper()
	_, lac, lns = pair(t)
	lns.role.callSpec = func() *CallSpec { return &CallSpec{Bridge: pppbridge.Spec{Kind: pppbridge.Builtin}} }
	c = oneCall(t, lac, lns)
	return lac, lns, c, lns.bridges.list()[0].stepper
}

// TestLinkIsStepped: begin, control frames from the reader, and ticks at the
// deadline, all on the shard; nothing after the exit.
func TestLinkIsStepped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lac, lns, c, f := oneStepper(t)
		to := func(text string) {
			lns.port.dispatch(time.Now(), frame(lns.role.tunnel(0).ID(), c.PeerID, -1, text), lacAddr, lnsAddr.Addr())
		}
		time.Sleep(time.Second)
		to("first")
		time.Sleep(2 * time.Second)
		to("second") // before the tick that the first one put off
		time.Sleep(time.Minute)
		f.spec.Owner.Post(func(now time.Time) { f.at = now.Add(time.Second) })
		time.Sleep(time.Minute)
		to("last")
		synctest.Wait()
		owner := f.spec.Owner
		f.exit(pppbridge.Exit{Text: "over"})
		synctest.Wait()
		owner.Control([]byte("too late"))
		time.Sleep(time.Minute)
		want := []string{"0s begin", "1s first", "3s second", "6s tick", "1m4s tick", "2m3s last"}
		if got := f.lines(); !slices.Equal(got, want) {
			t.Errorf("the link was stepped\n%q, want\n%q", got, want)
		}
		lns.do(func(s *shard) {
			if len(s.links.q) != 0 {
				t.Errorf("shard %d waits for %d links", s.index, len(s.links.q))
			}
		})
		closePair(lac, lns)
	})
}

// TestFullPPPInboxIsCounted: a flood of control frames fills the shard's inbox
// for them and no more.
func TestFullPPPInboxIsCounted(t *testing.T) {
	e, err := newEngine(Options{Limits: lavish, Rand: newChance(1)}) // not started: nobody empties
	must(t, err)
	l := newLink(e.shards[0])
	taken := 0
	for range framesSize + 5 {
		if l.Control([]byte("frame")) {
			taken++
		}
	}
	if got := e.counters[DropPPPInbox].Load(); got != 5 || taken != framesSize {
		t.Errorf("%d frames were taken, drop_ppp_inbox is %d", taken, got)
	}
}
