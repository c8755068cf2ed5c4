package pppbridge

import (
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/ppp"
)

// testEvents is LinkEvents of functions; nil: nothing is done.
type testEvents struct {
	up     func(ppp.Family, Attachment)
	packet func([]byte)
	failed func(error)
	closed func()
}

func (e testEvents) Up(f ppp.Family, a Attachment) {
	if e.up != nil {
		e.up(f, a)
	}
}

func (e testEvents) Packet(packet []byte) {
	if e.packet != nil {
		e.packet(packet)
	}
}
func (e testEvents) Failed(_ time.Time, err error) { e.failed(err) }
func (e testEvents) Closed(time.Time)              { e.closed() }

// directPlane makes links that hand control frames to the other end's owner,
// with no kernel and no goroutine: the core alone, in virtual time.
type directPlane struct{}

func (directPlane) Kind() circuit.Kind { return circuit.Builtin }

func (directPlane) Open(_ *Spec, _ circuit.Frames, events LinkEvents) (Link, error) {
	return &directLink{events: events}, nil
}

type directLink struct {
	events LinkEvents
	peer   Owner // nil: nobody hears
	up     [2]bool
	closed int
}

func (l *directLink) SendControl(frame []byte) {
	if l.peer != nil && l.closed == 0 {
		l.peer.Control(frame)
	}
}
func (l *directLink) LCPUp(ppp.Link) {}
func (l *directLink) Up(f ppp.Family, _ ppp.Network) {
	l.up[f] = true
	l.events.Up(f, Attachment{Interface: "direct"})
}
func (l *directLink) Down(f ppp.Family)                         { l.up[f] = false }
func (l *directLink) Deliver(*circuit.Burst, time.Time, []byte) {}
func (l *directLink) Idle(time.Time) (d time.Duration, ok bool) { return 0, false }
func (l *directLink) Name() string                              { return "direct" }
func (l *directLink) Stats() circuit.Stats                      { return circuit.Stats{} }
func (l *directLink) Close() {
	if l.closed++; l.closed == 1 {
		l.events.Closed(time.Now())
	}
}

type directEnd struct {
	*builtin
	loop  *testLoop
	link  *directLink
	exits chan circuit.Exit
	log   *testLog
}

func newDirect(t *testing.T, s Spec) *directEnd {
	t.Helper()
	e := &directEnd{loop: newTestLoop(), exits: make(chan circuit.Exit, 2), log: newTestLog()}
	s.Owner, s.Log = e.loop, e.log.entry
	b, err := NewBuiltin(s, nil, func(x circuit.Exit) { e.exits <- x }, directPlane{})
	if err != nil {
		t.Fatal(err)
	}
	e.builtin = b.(*builtin)
	e.link = e.builtin.link.(*directLink)
	return e
}

func newDirectPair(t *testing.T, lns, client Spec) (a, b *directEnd) {
	t.Helper()
	lns.LNS = true
	a, b = newDirect(t, lns), newDirect(t, client)
	a.link.peer, b.link.peer = b.loop, a.loop
	go a.loop.run(a.builtin)
	go b.loop.run(b.builtin)
	return a, b
}

func (e *directEnd) stop() circuit.Exit {
	x := <-e.exits
	e.loop.jobs <- nil
	return x
}

func TestBuiltinInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grant := grantOf(2)
		a, b := newDirectPair(t, Spec{Endpoint: lnsConfig(), Grant: &grant, Access: testAccess{password: "secret"}},
			Spec{Endpoint: clientConfig("user", "secret")})
		synctest.Wait()
		i := a.Info()
		if i.Phase != "up" || i.User != "user" || i.LocalIP.String() != "10.9.0.1" || i.PeerIP.String() != "10.9.0.2" || !i.PeerIPv6.IsLinkLocalUnicast() {
			t.Errorf("%+v", i)
		}
		if a.link.up != [2]bool{true, true} || b.link.up != a.link.up {
			t.Errorf("up: %v %v", a.link.up, b.link.up)
		}
		b.loop.Post(func(now time.Time) { b.Terminate(now, "operator") })
		x, y := b.stop(), a.stop()
		if x.Closed || x.Text != "operator" || x.PPP.Code != l2tp.DisconnectAdministrative {
			t.Errorf("%+v", x)
		}
		if y.Closed || y.PPP.Code != l2tp.DisconnectNormal || !a.Deadline().IsZero() || a.Info().Phase != "dead" {
			t.Errorf("%+v", y)
		}
		if a.link.closed != 1 || b.link.closed != 1 {
			t.Errorf("closed %d and %d times", a.link.closed, b.link.closed)
		}
	})
}

// Access is told of each network, and of its end, also when the call is cut off and
// when a network goes for a while.
func TestBuiltinTellsAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grant := grantOf(2)
		access := &tellingAccess{testAccess: testAccess{password: "secret"}}
		a, b := newDirectPair(t, Spec{Endpoint: lnsConfig(), Grant: &grant, Access: access}, Spec{Endpoint: clientConfig("user", "secret")})
		synctest.Wait()
		want := access.told()
		if got := slices.Sorted(slices.Values(want)); !slices.Equal(got, []string{"up IPv4", "up IPv6"}) {
			t.Errorf("%q", got)
		}
		// The second knows of both families.
		n := access.networks[ppp.IPv6]
		if want[1] == "up IPv4" {
			n = access.networks[ppp.IPv4]
		}
		if n.User != "user" || n.PeerIPv4 != grant.Peer || n.PeerID == 0 || len(n.Routes) != 1 || access.attached[0].Interface != "direct" {
			t.Errorf("%+v", n)
		}
		a.loop.Post(func(time.Time) {
			a.perform(ppp.NetworkDown{Family: ppp.IPv4})
			a.perform(ppp.NetworkDown{Family: ppp.IPv4})
			a.perform(ppp.NetworkUp{Family: ppp.IPv4, Network: ppp.Network{LocalIPv4: grant.Local, DNS: [2]netip.Addr{grant.Peer}}})
		})
		synctest.Wait()
		if n := access.networks[ppp.IPv4]; n.DNS[0] != grant.Peer || n.LocalIPv4 != grant.Local {
			t.Errorf("%+v", n)
		}
		a.Close("cut off")
		a.stop()
		// A link that comes up after the end is nobody's.
		(*builtinEvents)(a.builtin).Up(ppp.IPv4, Attachment{})
		want = append(want, "down IPv4", "up IPv4", "down IPv4", "down IPv6")
		if got := access.told(); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		b.Close("")
		b.stop()
	})
}

// A peer that says nothing ends a session in bounded time, begun or closed.
func TestBuiltinSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		e := newDirect(t, Spec{Endpoint: lnsConfig(), Access: testAccess{}})
		go e.loop.run(e.builtin)
		x := e.stop()
		if d := time.Since(start); d > 2*time.Minute || x.PPP.Code != l2tp.DisconnectLCPTimeout || x.PPP.Protocol != protocolLCP {
			t.Errorf("after %v: %+v %v", d, x, x.PPP)
		}
		// Closed while its owner has ended already: at once.
		e = newDirect(t, Spec{Endpoint: lnsConfig(), Access: testAccess{}})
		close(e.loop.done)
		e.Close("stopping")
		if x := <-e.exits; !x.Closed || x.Text != "stopping" {
			t.Errorf("%+v", x)
		}
	})
}

// Close is for a call that is over: nothing is said, nothing is waited for. A
// Terminate-Request that nobody answers ends after the tries of RFC 1661 section
// 4.6.
func TestBuiltinStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grant := grantOf(2)
		a, b := newDirectPair(t, Spec{Endpoint: lnsConfig(), Grant: &grant, Access: testAccess{password: "secret"}}, Spec{Endpoint: clientConfig("user", "secret")})
		synctest.Wait()
		a.link.peer, b.link.peer = nil, nil
		start := time.Now()
		a.loop.Post(func(now time.Time) { a.Terminate(now, "enough") })
		x := a.stop()
		if d := time.Since(start); d != 2*lnsConfig().RestartTimer || x.Closed || x.Text != "enough" || x.PPP.Code != l2tp.DisconnectAdministrative {
			t.Errorf("after %v: %+v %v", d, x, x.PPP)
		}
		start = time.Now()
		b.Close("the call was cleared")
		b.Close("again")
		x = b.stop()
		if d := time.Since(start); d != 0 || !x.Closed || x.Text != "the call was cleared" {
			t.Errorf("after %v: %+v", d, x)
		}
	})
}

// lateAccess answers from another goroutine, twice, after a while.
type lateAccess struct {
	testAccess
	after time.Duration
}

func (l lateAccess) Authenticate(req ppp.AuthRequest, answer func(ppp.Verdict)) {
	go func() {
		time.Sleep(l.after) // in a synctest bubble
		l.testAccess.Authenticate(req, answer)
		answer(ppp.Verdict{Accept: true})
	}()
}

func TestBuiltinLateVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			after    time.Duration
			password string
			up       bool
			code     uint16
		}{
			{5 * time.Second, "secret", true, 0},
			{5 * time.Second, "other", false, l2tp.DisconnectAuthFailed}, // the second answer does not count
			{5 * time.Minute, "secret", false, l2tp.DisconnectAuthTimeout},
		} {
			grant := grantOf(2)
			a, b := newDirectPair(t, Spec{Endpoint: lnsConfig(), Grant: &grant, Access: lateAccess{testAccess{password: c.password}, c.after}},
				Spec{Endpoint: clientConfig("user", "secret")})
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if a.link.up[ppp.IPv4] != c.up {
				t.Errorf("%+v: up is %v", c, a.link.up)
			}
			if c.up {
				a.loop.Post(func(now time.Time) { a.Terminate(now, "") })
			}
			x := a.stop()
			b.stop()
			if !c.up && (x.PPP == nil || x.PPP.Code != c.code || x.PPP.Protocol != protocolCHAP) {
				t.Errorf("%+v: %+v %v", c, x, x.PPP)
			}
			time.Sleep(10 * time.Minute) // until the last answer has come
		}
	})
}

// A link that fails ends the session with what it said.
func TestBuiltinLinkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grant := grantOf(2)
		a, b := newDirectPair(t, Spec{Endpoint: lnsConfig(), Grant: &grant, Access: testAccess{password: "secret"}}, Spec{Endpoint: clientConfig("user", "secret")})
		synctest.Wait()
		broken := errors.New("the interface is gone")
		a.loop.Post(func(now time.Time) { a.link.events.Failed(now, broken) })
		x := a.stop()
		if !errors.Is(x.Err, broken) || x.Result.Result != l2tp.CDNNoFacilitiesTemporary || x.Text != broken.Error() {
			t.Errorf("%+v", x)
		}
		b.Close("")
		b.stop()
	})
}

func TestBuiltinRefusesHalfASpec(t *testing.T) {
	for name, s := range map[string]Spec{
		"no configuration": {Owner: newTestLoop()},
		"no owner":         {Endpoint: clientConfig("a", "b")},
		"nobody":           {Endpoint: lnsConfig(), Owner: newTestLoop()},
	} {
		if _, err := NewBuiltin(s, nil, nil, directPlane{}); err == nil || !strings.Contains(err.Error(), "built-in endpoint") {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := newTestFactory(t, Config{})
	s := Spec{Kind: circuit.Builtin, Endpoint: clientConfig("a", "b"), Owner: newTestLoop()}
	if _, err := f.Open(s, nil, nil); !errors.Is(err, ErrNoTUN) || f.Running() != 0 {
		t.Errorf("%v, %d running", err, f.Running())
	}
}

// RFC 2661 section 4.4.5: what the LAC authenticated is given on, if every part
// of it is there.
func TestProxyOf(t *testing.T) {
	chap := &l2tp.ProxyAuth{Type: l2tp.ProxyAuthCHAP, Name: "u", ID: 3, Challenge: []byte("c"), Response: make([]byte, 16)}
	half := &l2tp.ProxyAuth{Type: l2tp.ProxyAuthCHAP, Name: "u", ID: 3}
	lcp := &l2tp.ProxyLCP{LastSent: []byte{1}, LastReceived: []byte{2}}
	if p := proxyOf(&Spec{}); p != nil {
		t.Errorf("%+v", p)
	}
	if p := proxyOf(&Spec{ProxyLCP: lcp, ProxyAuth: chap}); p.Method != ppp.MethodCHAP || p.Name != "u" || p.ID != 3 || len(p.Response) != 16 || p.LastReceived[0] != 2 {
		t.Errorf("%+v", p)
	}
	if p := proxyOf(&Spec{ProxyLCP: lcp, ProxyAuth: half}); p.Method != 0 || p.Name != "" || p.LastSent[0] != 1 {
		t.Errorf("%+v", p)
	}
	if p := proxyOf(&Spec{ProxyAuth: &l2tp.ProxyAuth{Type: l2tp.ProxyAuthNone}}); p.Method != 0 {
		t.Errorf("%+v", p)
	}
}

// Every cause has its row, and the rows keep to RFC 3145.
func TestCauseExits(t *testing.T) {
	for c := ppp.CauseNone; c <= ppp.CauseIdleTimeout; c++ {
		e := causeExit(c, "", ppp.ProtocolCHAP, &subject{only6: true, lns: true})
		if e.PPP == nil || e.Text == "" || e.Result.Result == 0 || e.Code != -1 {
			t.Errorf("%v: %+v", c, e)
			continue
		}
		want := uint16(0)
		switch code := e.PPP.Code; {
		case code >= 5 && code <= 12:
			want = 0xc021 // "The Control Protocol Number for these errors MUST be set to C021"
		case code == 13 || code == 16:
			want = 0xc223
		case code == 18:
			want = 0x8057
		case code >= 17:
			want = 0x8021
		}
		if e.PPP.Protocol != want {
			t.Errorf("%v: code %d with protocol %#x", c, e.PPP.Code, e.PPP.Protocol)
		}
	}
	if e := causeExit(ppp.CauseAuthFailed, "x", 0, &subject{}); e.PPP != nil {
		t.Errorf("no protocol was in use: %+v", e.PPP)
	}
	if e := causeExit(200, "x", 0, &subject{}); e.PPP.Code != 0 || e.Text != "PPP: x" {
		t.Errorf("%+v", e)
	}
}

// Memory of a session that is up, in the core and its endpoint alone.
func TestBuiltinMemory(t *testing.T) {
	const sessions = 2000
	ends := make([]*builtin, 0, sessions)
	cfg, grant := lnsConfig(), ppp.Grant{Local: netip.MustParseAddr("10.9.0.1"), Peer: netip.MustParseAddr("10.9.0.2")}
	cfg.Authenticate = nil
	owner := newTestLoop()
	exit := func(circuit.Exit) {}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range sessions {
		b, err := NewBuiltin(Spec{Endpoint: cfg, Grant: &grant, Owner: owner, LNS: true}, nil, exit, directPlane{})
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, b.(*builtin))
		ends[len(ends)-1].Begin(time.Now())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / sessions
	t.Logf("%d octets for a session that negotiates", each)
	if each > 1536 {
		t.Errorf("%d octets", each)
	}
	runtime.KeepAlive(ends)
}
