package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// oneCall sets up a tunnel and a call on it.
func oneCall(t testing.TB, lac, lns *node) *Call {
	t.Helper()
	lac.dial(t, lnsAddr, nil)
	c := lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
	synctest.Wait()
	if lac.role.got().callsUp != 1 || lns.role.got().callsUp != 1 {
		t.Fatalf("the call is not up: %+v and %+v", lac.role.got(), lns.role.got())
	}
	return c
}

// once sees that a call of each end ended once, with its spec released.
func once(t testing.TB, ends ...*node) {
	t.Helper()
	synctest.Wait()
	for _, d := range ends {
		if got := d.role.got(); got.callsDown != 1 || got.released != got.given || d.sessions.Load() != 0 {
			t.Errorf("%v: %+v, %d sessions are counted", d.addr, got, d.sessions.Load())
		}
	}
}

func TestIncomingCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		c := oneCall(t, lac, lns)
		at := lns.bridges.list()[0].spec
		if !at.LNS || lac.bridges.list()[0].spec.LNS || at.CallingNumber != "0900" || at.PeerSession != c.ID || at.LocalSession != c.PeerID {
			t.Errorf("the bridge was told %+v", at)
		}
		snap, err := lac.Snapshot(t.Context())
		if err != nil || len(snap.Tunnels) != 1 || len(snap.Calls) != 1 || snap.Calls[0].State != CallUp ||
			!snap.Calls[0].Served || snap.Calls[0].Bridge.Interface != "ppp7" || snap.Counters["calls_up"] != 1 {
			t.Errorf("snapshot: %+v, %v", snap, err)
		}
		closePair(lac, lns)
		once(t, lac, lns)
	})
}

// The kernel may take its time to say what it has counted: who asks waits, and the shard
// goes on.
func TestSnapshotDoesNotWaitForTheKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		oneCall(t, lac, lns)
		b := lns.bridges.list()[0]
		answer := make(chan struct{})
		b.mu.Lock()
		b.asked, b.count = func() { <-answer }, 7
		b.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		first, err := lns.Snapshot(ctx)
		must(t, err)
		read := make(chan error)
		go func() { read <- first.ReadStats(ctx) }()
		synctest.Wait()
		again, err := lns.Snapshot(ctx)
		if err != nil || again.Calls[0].Stats != (circuit.Stats{}) {
			t.Errorf("while the kernel thinks: %+v, %v", again, err)
		}
		close(answer)
		if err = <-read; err != nil || first.Calls[0].Stats.FramesIn != 7 {
			t.Errorf("what it said: %+v, %v", first.Calls[0].Stats, err)
		}
		cancel()
		if err = again.ReadStats(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("for nobody any more: %v", err)
		}
		closePair(lac, lns)
		once(t, lac, lns)
	})
}

// RFC 2661 section 4.4.5: "The LAC may have answered the call and negotiated LCP
// with the remote system, perhaps in order to establish the system's apparent
// identity. In this case, these AVPs may be included".
func TestProxyAVPsReachTheBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		lac.dial(t, lnsAddr, nil)
		call := incoming()
		call.ProxyLCP = &l2tp.ProxyLCP{
			InitialReceived: []byte{1, 4, 5, 220}, LastSent: []byte{3, 4, 0xc0, 0x23}, LastReceived: []byte{1, 4, 5, 120}}
		call.ProxyAuth = &l2tp.ProxyAuth{
			Type: l2tp.ProxyAuthCHAP, Name: "alice", Challenge: []byte("challenge"), ID: 7, Response: []byte("response")}
		lac.role.tunnel(0).PlaceCall(call, lac.role.newCallSpec())
		synctest.Wait()
		at := lns.bridges.list()
		if len(at) != 1 {
			t.Fatalf("%d bridges", len(at))
		}
		if diff := cmp.Diff(call.ProxyLCP, at[0].spec.ProxyLCP); diff != "" {
			t.Errorf("proxy LCP: %s", diff)
		}
		if diff := cmp.Diff(call.ProxyAuth, at[0].spec.ProxyAuth); diff != "" {
			t.Errorf("proxy authentication: %s", diff)
		}
		closePair(lac, lns)
		once(t, lac, lns)
	})
}

func TestOutgoingCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		lac.dial(t, lnsAddr, nil)
		lns.role.tunnel(0).PlaceCall(tunnel.Call{
			Direction: tunnel.Outgoing, BearerType: l2tp.BearerDigital, CalledNumber: "1", MinimumBPS: 1, MaximumBPS: 64000,
		}, lns.role.newCallSpec())
		synctest.Wait()
		if lac.role.got().callsUp != 1 || lns.role.got().callsUp != 1 || lac.bridges.list()[0].spec.LNS || !lns.bridges.list()[0].spec.LNS {
			t.Errorf("%+v and %+v", lac.role.got(), lns.role.got())
		}
		closePair(lac, lns)
		once(t, lac, lns)
	})
}

func TestRejectedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		lns.role.onCall = func(c *Call) {
			c.Reject("busy", tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNBusy, Message: "later"}})
		}
		lac.dial(t, lnsAddr, nil)
		lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		synctest.Wait()
		once(t, lac, lns)
		if c := lac.role.causes()[0]; c.Result.Result != l2tp.CDNBusy || c.Result.Message != "later" || !c.Remote {
			t.Errorf("the LAC was told %+v", c)
		}
		closePair(lac, lns)
	})
}

// TestAcceptTwiceOrLate: what is given to a call that does not want it any more
// is given back.
func TestAcceptTwiceOrLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		lns.role.onCall = func(c *Call) {
			c.Accept(lns.role.newCallSpec())
			c.Accept(lns.role.newCallSpec())
		}
		oneCall(t, lac, lns)
		if got := lns.role.got(); got.given != 2 || got.released != 1 {
			t.Errorf("while the call is up: %+v", got)
		}
		lns.role.calls[0].Close(tunnel.Cause{})
		lns.role.calls[0].Accept(lns.role.newCallSpec())
		once(t, lac, lns)
		closePair(lac, lns)
		lns.role.calls[0].Accept(lns.role.newCallSpec()) // after the engine's end
		once(t, lac, lns)
	})
}

// TestBridgeThatCannotOpen: the call was up for L2TP, so a CDN follows.
func TestBridgeThatCannotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		lns.bridges.fail = errTest
		lac.dial(t, lnsAddr, nil)
		lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		once(t, lac, lns)
		cdns := n.sentBy(lnsAddr, l2tp.TypeCDN)
		if len(cdns) != 1 || cdns[0].message(t).(*l2tp.CDN).ResultCode.Result != l2tp.CDNNoFacilitiesTemporary {
			t.Errorf("%d CDNs", len(cdns))
		}
		if lns.counter(BridgeFailed) != 1 || lns.counter(CallsUp) != 0 || lns.role.got().callsUp != 0 {
			t.Errorf("bridge_failed %d, calls_up %d, CallUp %d", lns.counter(BridgeFailed), lns.counter(CallsUp), lns.role.got().callsUp)
		}
		closePair(lac, lns)
	})
}

// TestBridgeExitTellsThePeer: the Result Code and the PPP Disconnect Cause Code
// AVP (46, RFC 3145) of how PPP ended go into the CDN.
func TestBridgeExitTellsThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		oneCall(t, lac, lns)
		lns.bridges.list()[0].exit(circuit.Exit{
			Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative, Message: "PPP authentication failed"},
			PPP:    &l2tp.PPPDisconnect{Code: l2tp.DisconnectAuthFailed, Protocol: 0xc223, Direction: l2tp.DirectionPeer},
		})
		once(t, lac, lns)
		m := n.sentBy(lnsAddr, l2tp.TypeCDN)[0].message(t).(*l2tp.CDN)
		if m.ResultCode.Result != l2tp.CDNAdministrative || m.PPPDisconnect == nil ||
			m.PPPDisconnect.Code != l2tp.DisconnectAuthFailed || m.PPPDisconnect.Protocol != 0xc223 {
			t.Errorf("CDN %+v with %+v", m, m.PPPDisconnect)
		}
		if c := lac.role.causes()[0]; c.PPP == nil || c.PPP.Code != l2tp.DisconnectAuthFailed {
			t.Errorf("the LAC's role was told %+v", c)
		}
		closePair(lac, lns)
	})
}

// TestEveryOrderOfTheEnd: CallDown and Release come once, and only when the
// bridge has ended, whichever of the bridge, the peer, the tunnel and the
// operator is first.
func TestEveryOrderOfTheEnd(t *testing.T) {
	exit := func(_ *Call, b *fakeBridge) { b.exit(circuit.Exit{}) }
	cdn := func(c *Call, _ *fakeBridge) { c.Close(tunnel.Cause{}) }
	stop := func(c *Call, _ *fakeBridge) { c.tunnel.Stop(tunnel.Cause{}) }
	for name, steps := range map[string][]func(*Call, *fakeBridge){
		"exit": {exit}, "exit, CDN": {exit, cdn}, "CDN, exit": {cdn, exit}, "stop, exit": {stop, exit},
		"exit, stop": {exit, stop}, "CDN, CDN, exit": {cdn, cdn, exit}, "CDN, stop, exit": {cdn, stop, exit},
		"stop, CDN, exit": {stop, cdn, exit}, "exit, CDN, stop": {exit, cdn, stop},
	} {
		for _, pause := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				_, lac, lns := pair(t)
				lac.bridges.stuck = true
				c := oneCall(t, lac, lns)
				b := lac.bridges.list()[0]
				for _, step := range steps {
					if got := lac.role.got(); got.callsDown != 0 && !b.ended {
						t.Errorf("%s: CallDown came while the bridge was there", name)
					}
					step(c, b)
					if pause {
						synctest.Wait()
					}
				}
				once(t, lac, lns)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := lac.Engine.sessions.Load(); got != 0 {
					t.Errorf("%s: %d sessions are counted", name, got)
				}
				closePair(lac, lns)
				once(t, lac, lns)
			})
		}
	}
}

func TestPlaceCallOnATunnelThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		lac.dial(t, lnsAddr, nil)
		up := lac.role.tunnel(0)
		up.Stop(tunnel.Cause{})
		up.PlaceCall(incoming(), lac.role.newCallSpec())
		once(t, lac)
		time.Sleep(time.Minute) // the tunnel is gone now
		up.PlaceCall(incoming(), lac.role.newCallSpec())
		synctest.Wait()
		if got := lac.role.got(); got.callsDown != 2 || got.released != 2 {
			t.Errorf("%+v", got)
		}
		lac.empty(t)
		closePair(lac, lns)
		if c := up.PlaceCall(incoming(), lac.role.newCallSpec()); c.state != CallEnded || lac.role.got().released != 3 {
			t.Errorf("after Close: %v, %+v", c.state, lac.role.got())
		}
	})
}

// TestTunnelDiesWhileTheRoleDecides: AAA may be slow.
func TestTunnelDiesWhileTheRoleDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		var waiting *Call
		lns.role.onCall = func(c *Call) { waiting = c }
		lac.dial(t, lnsAddr, nil)
		lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		synctest.Wait()
		lac.role.tunnel(0).Stop(tunnel.Cause{})
		synctest.Wait()
		waiting.Accept(lns.role.newCallSpec())
		waiting.Reject("", tunnel.Cause{})
		once(t, lac, lns)
		if lns.role.got().given != 1 {
			t.Errorf("%+v", lns.role.got())
		}
		closePair(lac, lns)
	})
}

func TestRoleThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		lns.role.onCall = func(*Call) {}
		lac.dial(t, lnsAddr, nil)
		lac.role.tunnel(0).PlaceCall(incoming(), lac.role.newCallSpec())
		time.Sleep(2 * time.Minute)
		once(t, lac, lns)
		closePair(lac, lns)
	})
}

// TestKeeper: a call that fails is placed again after pauses that grow, one
// that lasted after the shortest, and none after the tunnel's end. Each time it
// has another number, RFC 2661 section 4.4.4: "Call Serial Numbers should be set
// to progressively increasing values".
func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		var keeper *Keeper
		lac.role.onUp = func(tu *Tunnel) {
			call := incoming()
			call.CallSerial = 0
			keeper = KeepCalls(tu, []Wanted{{Call: call, Spec: func() (*CallSpec, error) {
				return lac.role.newCallSpec(), nil
			}}}, time.Second, 10*time.Second)
		}
		lac.role.onCallUp = func(c *Call) { keeper.Up(c) }
		lac.role.onCallDown = func(c *Call, _ tunnel.Cause) { keeper.Down(c) }
		lac.role.onTunnel = func(*Tunnel, tunnel.Cause) { keeper.Stop() }
		refuse := true
		var serial uint32
		lns.role.onCall = func(c *Call) {
			if c.Params.CallSerial <= serial {
				t.Errorf("serial number %d after %d", c.Params.CallSerial, serial)
			}
			serial = c.Params.CallSerial
			if refuse {
				c.Reject("", tunnel.Cause{})
				return
			}
			c.Accept(lns.role.newCallSpec())
		}
		start := time.Now()
		lac.dial(t, lnsAddr, nil)
		time.Sleep(34*time.Second + time.Millisecond)
		synctest.Wait()
		want := []float64{0, 1, 3, 7, 15, 25}
		if got := times(start, n.sentBy(lacAddr, l2tp.TypeICRQ)); !slices.Equal(got, want) {
			t.Errorf("ICRQ at %v, want %v", got, want)
		}
		lac.do(func(*shard) { lns.do(func(*shard) { refuse = false }) })
		time.Sleep(20 * time.Second) // up at 35 s, for longer than the longest pause
		lac.bridges.list()[0].exit(circuit.Exit{})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := times(start, n.sentBy(lacAddr, l2tp.TypeICRQ))[6:]; len(got) != 2 || got[0] != 35 || got[1] < 55 || got[1] > 55.1 {
			t.Errorf("ICRQ at %v, want 35 and 55", got)
		}
		lac.bridges.list()[1].exit(circuit.Exit{})
		synctest.Wait()
		lac.role.tunnel(0).Stop(tunnel.Cause{})
		placed := lac.role.got().given
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := lac.role.got(); got.given != placed || got.given != got.released || len(keeper.pausing) != 0 {
			t.Errorf("after the tunnel's end: %+v, %d pauses", got, len(keeper.pausing))
		}
		closePair(lac, lns)
	})
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 4: 7, 60: 7, 1 << 20: 7} {
		if got := Backoff(failures, 1, 7); got != want {
			t.Errorf("after %d failures %d, want %d", failures, got, want)
		}
	}
	if got := Backoff(3, 5, 3); got != 3 {
		t.Errorf("least above most: %d", got)
	}
}

// TestStopTunnelsAndCloseCall is what the control interface does.
func TestStopTunnelsAndCloseCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lac, lns := pair(t)
		c := oneCall(t, lac, lns)
		if found, err := lac.CloseCall(t.Context(), c.tunnel.id, c.ID+1, tunnel.Cause{}); found || err != nil {
			t.Errorf("a call that is not there: %v, %v", found, err)
		}
		if found, err := lac.CloseCall(t.Context(), c.tunnel.id, c.ID, tunnel.Cause{}); !found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		once(t, lac, lns)
		match := func(i TunnelInfo) bool { return i.ID == c.tunnel.id }
		if tunnels, calls, err := lac.StopTunnels(t.Context(), match, tunnel.Cause{}); tunnels != 1 || calls != 0 || err != nil {
			t.Errorf("stopped %d with %d calls, %v", tunnels, calls, err)
		}
		if tunnels, _, _ := lac.StopTunnels(t.Context(), match, tunnel.Cause{}); tunnels != 0 {
			t.Errorf("stopped %d again", tunnels)
		}
		if _, err := lac.Snapshot(expired(t)); err == nil {
			t.Log("the shard was faster than an expired context, which is fine")
		}
		closePair(lac, lns)
	})
}
