package engine

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/pppbridge"
)

const lcp = "\xff\x03\xc0\x21"

// TestEarlyFrames: "Data messages are not retransmitted when packet loss occurs" (RFC
// 2661 section 3.0), so those of LCP that overtake the ICCN are kept, a few of them,
// and the bridge gets them when it has begun. Others are dropped, and counted.
func TestEarlyFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		lns.role.callSpec = func() *CallSpec { return &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Builtin}} }
		lns.role.onCall = func(c *Call) {
			to := func(session uint32, text string) {
				lns.port.dispatch(time.Now(), frame(c.tunnel.id, session, -1, text), lacAddr, lnsAddr.Addr())
			}
			to(c.ID, "\xff\x03\x00\x21IP")
			to(c.ID, lcp+strings.Repeat("x", earlyLength))
			to(c.ID+1, lcp+"of no session")
			for _, text := range []string{"1", "2", "3", "4", "5"} {
				to(c.ID, lcp+text)
			}
			// This is the shard's goroutine, and the call is not up.
			c.tunnel.shard.drainFrames(time.Now())
			if n := c.tunnel.slot.earlyInInbox.Load(); n != 0 {
				t.Errorf("%d frames are still on their way", n)
			}
			c.Accept(lns.role.callSpec())
		}
		c := oneCall(t, lac, lns)
		lns.port.dispatch(time.Now(), frame(lns.role.tunnel(0).ID(), c.PeerID, -1, lcp+"6"), lacAddr, lnsAddr.Addr())
		synctest.Wait()
		want := []string{"0s begin"}
		for _, text := range []string{"1", "2", "3", "4", "6"} {
			want = append(want, "0s "+lcp+text)
		}
		if got := lns.bridges.list()[0].stepper.lines(); !slices.Equal(got, want) {
			t.Errorf("the link was stepped\n%q, want\n%q", got, want)
		}
		if n := lns.counters[DropUnknownSession].Load(); n != 4 {
			t.Errorf("%d frames were dropped, want 4", n)
		}
		closePair(lac, lns)
	})
}

// TestEarlyFlood: a flood of frames of no session leaves room in the shard's inbox.
func TestEarlyFlood(t *testing.T) {
	s := &shard{frames: make(chan controlFrame, framesSize)}
	slot := &tunnelSlot{owner: s}
	kept := 0
	for range 2 * earlyInInbox {
		if slot.early(frame(1, 2, -1, lcp), 1, 2) {
			kept++
		}
	}
	if kept != earlyInInbox || len(s.frames) != earlyInInbox {
		t.Errorf("%d frames are on their way, %d are in the inbox", kept, len(s.frames))
	}
}
