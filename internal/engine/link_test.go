package engine

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/ppp"
	"adit/proto/tunnel"
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

// Terminate ends a second later, when the peer has answered.
func (f *fakeStepper) Terminate(now time.Time, reason string) {
	f.note(now, "terminate: %s", reason)
	time.AfterFunc(time.Second, func() { f.exit(circuit.Exit{Text: reason, PPP: &l2tp.PPPDisconnect{Code: 3}}) })
}

// Deliver hands the frame to the owner, as the reader's goroutine does.
func (f *fakeStepper) Deliver(_ *circuit.Burst, _ time.Time, frame []byte) {
	f.spec.Owner.Control(frame)
}

// oneStepper sets up a call whose LNS speaks PPP itself.
func oneStepper(t *testing.T) (lac, lns *node, c *Call, f *fakeStepper) {
	t.Helper()
	_, lac, lns = pair(t)
	lns.role.callSpec = func() *CallSpec { return &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Builtin}} }
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
		f.exit(circuit.Exit{Text: "over"})
		synctest.Wait()
		owner.Control([]byte("too late"))
		time.Sleep(time.Minute)
		want := []string{"0s begin", "1s first", "3s second", "6s tick", "1m4s tick", "2m3s last"}
		if got := f.lines(); !slices.Equal(got, want) {
			t.Errorf("the link was stepped\n%q, want\n%q", got, want)
		}
		lns.do(func(s *shard) {
			if s.links.Len() != 0 {
				t.Errorf("shard %d waits for %d links", s.index, s.links.Len())
			}
		})
		closePair(lac, lns)
	})
}

// TestFullPPPInboxIsCounted: a flood of control frames of one peer takes its share
// of the shard's inbox, floods of many fill it, and no more.
func TestFullPPPInboxIsCounted(t *testing.T) {
	e, err := newEngine(Options{Limits: lavish, Rand: newChance(1)}) // not started: nobody empties
	must(t, err)
	flood := func(l *link, frames int) (taken int) {
		for range frames {
			if l.Control([]byte("frame")) {
				taken++
			}
		}
		return taken
	}
	first := newLink(e.shards[0], nil)
	if taken := flood(first, 1000); taken != linkFrames || e.counters[DropPPPInbox].Load() != 1000-linkFrames {
		t.Errorf("%d frames of one peer were taken, drop_ppp_inbox is %d", taken, e.counters[DropPPPInbox].Load())
	}
	in := <-e.shards[0].frames
	in.link.receive(time.Now(), in.frame)
	if taken := flood(first, 5); taken != 1 {
		t.Errorf("%d were taken where one had gone", taken)
	}
	taken := linkFrames
	for range framesSize / linkFrames {
		taken += flood(newLink(e.shards[0], nil), linkFrames)
	}
	if taken != framesSize {
		t.Errorf("%d frames are in an inbox of %d", taken, framesSize)
	}
}

// TestLACLetsTheLNSSpeakFirst: the LAC begins with the first frame of the LNS, or
// half a second after the call is up.
func TestLACLetsTheLNSSpeakFirst(t *testing.T) {
	for _, test := range []struct {
		name  string
		frame bool
		want  []string
	}{
		{"the LNS speaks", true, []string{"0s begin", "0s frame", "3s tick"}},
		{"the LNS is silent", false, []string{"0s begin", "3s tick"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, lac, lns := pair(t)
				lac.dial(t, lnsAddr, nil)
				start := time.Now()
				c := lac.role.tunnel(0).PlaceCall(incoming(), &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Builtin}})
				synctest.Wait()
				f := lac.bridges.list()[0].stepper
				after := politeness
				if test.frame {
					after = 200 * time.Millisecond
					time.Sleep(after)
					lac.port.dispatch(time.Now(), frame(lac.role.tunnel(0).ID(), c.ID, -1, "frame"), lnsAddr, lacAddr.Addr())
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := f.lines(); !slices.Equal(got, test.want) || f.began.Sub(start) != after {
					t.Errorf("it began after %v, not %v; the link was stepped %q, want %q", f.began.Sub(start), after, got, test.want)
				}
				closePair(lac, lns)
			})
		})
	}
}

// TestPPPEndsBeforeTheCall: who closes a call whose PPP is ours has PPP end in
// good order first; the CDN that follows has both causes.
func TestPPPEndsBeforeTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lac, lns, _, f := oneStepper(t)
		var call *Call
		lns.do(func(s *shard) {
			for _, tu := range s.tunnels {
				for _, c := range tu.calls {
					call = c
				}
			}
		})
		call.Close(tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative, Message: "by the operator"}})
		call.Close(tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNBusy}}) // the first one counts
		time.Sleep(time.Second / 2)
		synctest.Wait()
		if got := lac.role.got(); got.callsDown != 0 {
			t.Error("the call ended before PPP")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		causes := lac.role.causes()
		if len(causes) != 1 || causes[0].Result.Result != l2tp.CDNAdministrative || causes[0].Result.Message != "by the operator" ||
			causes[0].PPP == nil || causes[0].PPP.Code != 3 {
			t.Errorf("the call ended with %+v", causes)
		}
		if got := f.lines(); !slices.Contains(got, "0s terminate: by the operator") || len(got) != 2 {
			t.Errorf("the link was stepped %q", got)
		}
		closePair(lac, lns)
	})
}

// TestPPPDEndsBeforeTheCall: the same for a pppd, which is told to end and sends
// its Terminate-Request while there is a call to send it by.
func TestPPPDEndsBeforeTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		lac.bridges.delay = 3 * time.Second
		lac.dial(t, lnsAddr, nil)
		spec := lac.role.newCallSpec()
		spec.Bridge.Kind = circuit.PPPDAsync
		call := lac.role.tunnel(0).PlaceCall(incoming(), spec)
		synctest.Wait()
		call.Close(tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative, Message: "by the operator"}})
		call.Close(tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNBusy}}) // the first one counts
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := lns.role.got(); got.callsDown != 0 || lac.bridges.list()[0].closed != 1 {
			t.Errorf("the call ended before its pppd: %+v", got)
		}
		time.Sleep(2 * time.Second)
		once(t, lac, lns)
		if c := lns.role.causes()[0]; c.Result.Message != "by the operator" || c.Result.Result != l2tp.CDNAdministrative {
			t.Errorf("the call ended with %+v", c)
		}
		closePair(lac, lns)
	})
}

// RFC 2661 section 6.14, for a LAC whose line is asynchronous, and no other.
func TestSLITellsWhatLCPAgreedOn(t *testing.T) {
	for _, framing := range []l2tp.FramingType{l2tp.FramingAsync, l2tp.FramingSync} {
		synctest.Test(t, func(t *testing.T) {
			n, lac, lns := pair(t)
			lns.role.callSpec = func() *CallSpec { return &CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Builtin}} }
			lac.dial(t, lnsAddr, nil)
			call := incoming()
			call.FramingType = framing
			lac.role.tunnel(0).PlaceCall(call, lac.role.newCallSpec())
			synctest.Wait()
			f := lns.bridges.list()[0].stepper
			f.spec.Owner.Post(func(time.Time) { f.spec.Owner.LinkUp(ppp.Link{PeerACCM: 0xa0000, LocalACCM: 7}) })
			time.Sleep(time.Second)
			synctest.Wait()
			slis := n.sentBy(lnsAddr, l2tp.TypeSLI)
			b := lac.bridges.list()[0]
			if framing == l2tp.FramingSync && len(slis) != 0 {
				t.Errorf("%d SLIs for a synchronous line", len(slis))
			}
			if framing == l2tp.FramingAsync && (len(slis) != 1 || b.accm != [2]uint32{0xa0000, 7}) {
				t.Errorf("%d SLIs; the LAC's bridge was told %x", len(slis), b.accm)
			}
			closePair(lac, lns)
		})
	}
}
