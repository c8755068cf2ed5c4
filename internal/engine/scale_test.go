package engine

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestManySessions runs 100,000 sessions in 100 tunnels between two engines for
// ten minutes of the bubble's time. DESIGN section 3: "No goroutine, channel or
// time.Timer per session".
func TestManySessions(t *testing.T) {
	tunnels, perTunnel := 100, 1000
	if raceDetector || testing.Short() {
		perTunnel = 100
	}
	want := tunnels * perTunnel
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		n.keep = false
		for _, d := range []*node{lac, lns} {
			d.role.quiet = true
			d.role.tunnelSpec.Tunnel.Reliable.ReceiveWindow = 64
			d.role.tunnelSpec.Tunnel.Reliable.AckDelay = 100 * time.Millisecond
			d.role.callSpec = func() *CallSpec { return &CallSpec{Profile: "test"} }
		}
		for range tunnels {
			lac.dial(t, lnsAddr, func(s *TunnelSpec) { s.Tunnel.Reliable = lac.role.tunnelSpec.Tunnel.Reliable })
		}
		goroutines, memory := runtime.NumGoroutine(), heapInUse()
		for i := range tunnels {
			spec := &CallSpec{Profile: "test"}
			for range perTunnel {
				lac.role.tunnel(i).PlaceCall(incoming(), spec)
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if lac.role.got().callsUp != want || lns.role.got().callsUp != want || lns.sessions.Load() != int64(want) {
			t.Fatalf("%d and %d of %d calls are up", lac.role.got().callsUp, lns.role.got().callsUp, want)
		}
		// One of the runtime's own, or the end of another test's, may be among them.
		if got := runtime.NumGoroutine(); got > goroutines+10 {
			t.Errorf("%d goroutines before the sessions, %d with them", goroutines, got)
		}
		each := (heapInUse() - memory) / uint64(want)
		t.Logf("%d sessions: %d octets for both ends of one, with the fake bridge", want, each)
		if each > 6000 {
			t.Errorf("a session takes %d octets", each)
		}
		if hellos := lns.counter(ControlReceived); hellos < uint64(tunnels)*5 {
			t.Errorf("only %d control messages came", hellos)
		}
		if lac.counter(DropInboxFull)+lns.counter(DropInboxFull) > 0 {
			t.Logf("the inboxes ran over: %d and %d", lac.counter(DropInboxFull), lns.counter(DropInboxFull))
		}
		lac.close(time.Minute)
		lns.close(time.Minute)
		if got := lac.role.got(); got.callsDown != want || lac.sessions.Load() != 0 || lns.sessions.Load() != 0 {
			t.Errorf("%d calls ended, %d and %d sessions are counted", got.callsDown, lac.sessions.Load(), lns.sessions.Load())
		}
	})
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
