package lns

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// caller is the other end: a LAC whose events a test can wait for.
type caller struct {
	events chan any
	accept bool // calls that the LNS asks for
}

type (
	up       struct{ t *engine.Tunnel }
	down     struct{ cause tunnel.Cause }
	callUp   struct{ c *engine.Call }
	callDown struct{ cause tunnel.Cause }
)

func (c *caller) TunnelUp(t *engine.Tunnel)                       { c.events <- up{t} }
func (c *caller) TunnelDown(_ *engine.Tunnel, cause tunnel.Cause) { c.events <- down{cause} }
func (c *caller) CallUp(call *engine.Call)                        { c.events <- callUp{call} }
func (c *caller) CallDown(_ *engine.Call, cause tunnel.Cause)     { c.events <- callDown{cause} }
func (c *caller) CallRequested(call *engine.Call) {
	if c.accept {
		call.Accept(discardSpec())
		return
	}
	call.Reject("", tunnel.Cause{Result: l2tp.ResultCode{Result: l2tp.CDNBusy}})
}

func discardSpec() *engine.CallSpec {
	return &engine.CallSpec{Bridge: pppbridge.Spec{Kind: circuit.Discard}}
}

// await returns the next event, which must be of type E.
func await[E any](t *testing.T, c *caller) E {
	t.Helper()
	select {
	case e := <-c.events:
		if e, ok := e.(E); ok {
			return e
		}
		t.Fatalf("%T %+v", e, e)
	case <-time.After(20 * time.Second):
		t.Fatalf("waited for %T", *new(E))
	}
	panic("not reached")
}

// output is a log that a test may read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) has(s string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(o.b.String(), s)
}

// testConfig is two peers, of whom the first has a pool of two addresses.
func testConfig() *config.Config {
	cfg := &config.Config{HostName: "lns.test", VendorName: "adit", Pools: map[string]*config.Pool{}}
	cfg.Limits = config.Limits{Tunnels: 100, Sessions: 100, HalfOpen: 100, TunnelsPerPeer: 100, SessionsPerTunnel: 50}
	pool := &config.Pool{Name: "small", Ranges: []config.Range{{First: netip.MustParseAddr("10.0.0.2"), Last: netip.MustParseAddr("10.0.0.3")}}}
	cfg.Pools[pool.Name] = pool
	profile := &config.Profile{Name: "p", PPP: config.PPPDiscard, LocalAddress: netip.MustParseAddr("10.0.0.1"), Pool: pool, Builtin: config.Builtin{IPv4: true}}
	cfg.LNS.Peers = []*config.Peer{
		{Name: "pooled", HostName: "lac-a*", Profile: profile, MaxTunnels: 2, MaxSessions: 3, AllowIncoming: true},
		{Name: "other", Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, HostName: "lac-b",
			Profile: &config.Profile{Name: "q", PPP: config.PPPDiscard}, MaxTunnels: 100, MaxSessions: 1, AllowIncoming: true},
	}
	return cfg
}

// bed is an LNS with the role and a LAC, over loopback.
type bed struct {
	role     *Role
	lns, lac *engine.Engine
	addr     netip.AddrPort
	log      *output
	caller   *caller
}

func newBed(t *testing.T, cfg *config.Config) *bed {
	t.Helper()
	b := &bed{log: new(output), caller: &caller{events: make(chan any, 100)}}
	logger := logrus.New()
	logger.SetOutput(b.log)
	log := logrus.NewEntry(logger)
	b.role = newTestRole(t, cfg)
	limits := engine.Limits{Tunnels: 100, Sessions: 100, HalfOpen: 100, TunnelsPerPeer: 100}
	var err error
	if b.lns, err = engine.New(engine.Options{Limits: limits, Acceptor: b.role, Log: log}); err != nil {
		t.Fatal(err)
	}
	if b.lac, err = engine.New(engine.Options{Limits: limits}); err != nil {
		t.Fatal(err)
	}
	if b.addr, err = b.lns.Listen(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		b.lac.Close(ctx)
		b.lns.Close(ctx)
	})
	return b
}

func (b *bed) dial(t *testing.T, host string) {
	t.Helper()
	spec := &engine.TunnelSpec{Name: host, Handler: b.caller, Tunnel: tunnel.Config{
		HostName: host, Bearer: l2tp.BearerDigital, AllowOutgoing: true,
	}}
	if err := b.lac.Dial(netip.MustParseAddrPort("0.0.0.0:0"), b.addr, spec); err != nil {
		t.Fatal(err)
	}
}

func place(t *engine.Tunnel) {
	t.PlaceCall(tunnel.Call{Direction: tunnel.Incoming, TxConnectSpeed: 64000}, discardSpec())
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}

func TestWhoIsLetIn(t *testing.T) {
	b := newBed(t, testConfig())
	b.dial(t, "stranger")
	cause := await[down](t, b.caller).cause
	if !cause.Remote || cause.Result.Result != l2tp.StopCCNNotAuthorized || cause.Result.Message != "this LNS has no peer of your address and host name" {
		t.Errorf("a stranger was told %+v", cause)
	}
	if !b.log.has("no [[lns.peers]] block admits this address and host name") || !b.log.has("host_name=stranger") {
		t.Errorf("log: %s", b.log.b.String())
	}
	for host, want := range map[string]string{"lac-a1": "pooled", "lac-b": "other"} {
		b.dial(t, host)
		if got := await[up](t, b.caller).t.PeerHostName(); got != "lns.test" {
			t.Errorf("we are called %q", got)
		}
		snap, err := b.lns.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, i := range snap.Tunnels {
			found = found || i.Name == want && i.Peer.HostName == host
		}
		if !found {
			t.Errorf("%s is not %s: %+v", host, want, snap.Tunnels)
		}
	}
}

func TestMaxTunnels(t *testing.T) {
	b := newBed(t, testConfig())
	b.dial(t, "lac-a1")
	first := await[up](t, b.caller).t
	b.dial(t, "lac-a2")
	await[up](t, b.caller)
	b.dial(t, "lac-a3")
	r := await[down](t, b.caller).cause.Result
	if r.Result != l2tp.StopCCNGeneralError || r.Error != l2tp.ErrorInsufficientResources || r.Message != "no more tunnels are accepted from you at present" {
		t.Errorf("told %+v", r)
	}
	if !b.log.has("max_tunnels of this [[lns.peers]] block is reached") {
		t.Errorf("log: %s", b.log.b.String())
	}
	first.Stop(tunnel.Cause{})
	await[down](t, b.caller)
	p := b.role.peers[b.role.cfg.LNS.Peers[0]]
	eventually(t, "the tunnel to be counted out", func() bool { return p.tunnels.Load() == 1 })
	b.dial(t, "lac-a4")
	await[up](t, b.caller)
}

// TestPoolAndMaxSessions: the pool has two addresses,
// max_sessions is three; what ends gives back.
func TestPoolAndMaxSessions(t *testing.T) {
	cfg := testConfig()
	b := newBed(t, cfg)
	b.dial(t, "lac-a1")
	tu := await[up](t, b.caller).t
	place(tu)
	call := await[callUp](t, b.caller).c
	place(tu)
	await[callUp](t, b.caller)
	place(tu)
	r := await[callDown](t, b.caller).cause.Result
	if r.Result != l2tp.CDNNoFacilitiesTemporary || r.Message != "no address is free" || !b.log.has("pool small: ") {
		t.Errorf("told %+v; log %s", r, b.log.b.String())
	}
	p := b.role.peers[cfg.LNS.Peers[0]]
	if taken := b.role.taken("small"); taken != 2 {
		t.Errorf("%d addresses are taken", taken)
	}
	call.Close(tunnel.Cause{})
	await[callDown](t, b.caller)
	eventually(t, "the address to come back", func() bool { taken := b.role.taken("small"); return taken == 1 && p.sessions.Load() == 1 })
	place(tu)
	await[callUp](t, b.caller)
	tu.Stop(tunnel.Cause{})
	await[down](t, b.caller)
	await[callDown](t, b.caller) // after its bridge's end
	eventually(t, "all to come back", func() bool {
		taken := b.role.taken("small")
		return taken == 0 && p.sessions.Load() == 0 && p.tunnels.Load() == 0
	})
}

func TestMaxSessionsOfAPeer(t *testing.T) {
	b := newBed(t, testConfig())
	var tunnels []*engine.Tunnel
	for range 2 {
		b.dial(t, "lac-b")
		tunnels = append(tunnels, await[up](t, b.caller).t)
	}
	place(tunnels[0])
	await[callUp](t, b.caller)
	place(tunnels[1]) // another tunnel, the same peer
	r := await[callDown](t, b.caller).cause.Result
	if r.Result != l2tp.CDNNoFacilitiesTemporary || r.Message != "no more sessions are accepted from you at present" ||
		!b.log.has("max_sessions of this [[lns.peers]] block is reached") {
		t.Errorf("told %+v; log %s", r, b.log.b.String())
	}
}

func TestCallsThatAreNotAllowed(t *testing.T) {
	cfg := testConfig()
	cfg.LNS.Peers[1].AllowIncoming = false
	b := newBed(t, cfg)
	b.dial(t, "lac-b")
	place(await[up](t, b.caller).t)
	if r := await[callDown](t, b.caller).cause.Result; r.Result != l2tp.CDNAdministrative {
		t.Errorf("told %+v", r)
	}
}

// TestOutgoingCalls: on each tunnel of the peer its calls are asked for, with an
// address each, and again when they end.
func TestOutgoingCalls(t *testing.T) {
	cfg := testConfig()
	cfg.LNS.Outgoing = []*config.OutgoingCall{{
		Name: "dial-out", Peer: cfg.LNS.Peers[0], Count: 2, Profile: cfg.LNS.Peers[0].Profile,
		CalledNumber: "030", MinimumBPS: 1, MaximumBPS: 64000,
	}}
	b := newBed(t, cfg)
	b.caller.accept = true
	b.dial(t, "lac-a1")
	tu := await[up](t, b.caller).t
	call := await[callUp](t, b.caller).c
	await[callUp](t, b.caller)
	if call.LNS || call.Params.CalledNumber != "030" || call.Params.Direction != tunnel.Outgoing {
		t.Errorf("%+v", call.Params)
	}
	p := b.role.peers[cfg.LNS.Peers[0]]
	if taken := b.role.taken("small"); taken != 2 {
		t.Errorf("%d addresses are taken", taken)
	}
	call.Close(tunnel.Cause{})
	await[callDown](t, b.caller)
	await[callUp](t, b.caller) // a second later
	snap, err := b.lns.Snapshot(t.Context())
	if err != nil || len(snap.Calls) != 2 || snap.Calls[0].Name != "dial-out" || !snap.Calls[0].LNS {
		t.Errorf("%+v, %v", snap, err)
	}
	if n := p.sessions.Load(); n != 0 {
		t.Errorf("calls of ours count against max_sessions: %d", n)
	}
	tu.Stop(tunnel.Cause{})
	eventually(t, "the addresses to come back", func() bool { taken := b.role.taken("small"); return taken == 0 })
}

// TestOutgoingCallWithoutAnAddress is tried again.
func TestOutgoingCallWithoutAnAddress(t *testing.T) {
	cfg := testConfig()
	p := cfg.LNS.Peers[0]
	cfg.LNS.Outgoing = []*config.OutgoingCall{{Name: "x", Peer: p, Count: 3, Profile: p.Profile, CalledNumber: "1", MaximumBPS: 1}}
	b := newBed(t, cfg)
	b.caller.accept = true
	b.dial(t, "lac-a1")
	await[up](t, b.caller)
	await[callUp](t, b.caller)
	call := await[callUp](t, b.caller).c
	eventually(t, "the log", func() bool { return b.log.has("pool small: ") })
	call.Close(tunnel.Cause{})
	await[callDown](t, b.caller)
	await[callUp](t, b.caller)
}

// TestSpecOfAPeer puts the configuration into the state machine's words.
func TestSpecOfAPeer(t *testing.T) {
	cfg := testConfig()
	c := cfg.LNS.Peers[0]
	c.Secret, c.Challenge, c.HideAVPs, c.AllowOutgoing = config.Secret("s"), true, true, true
	c.Profile = &config.Profile{Name: "k", DataPlane: config.DataPlaneKernel}
	c.ControlChannel = config.ControlChannel{HelloInterval: 0, SetupTimeout: 7 * time.Second, MaxRetransmits: 3, ReceiveWindowSize: 9}
	r := newTestRole(t, cfg)
	s, refusal := r.AcceptTunnel(&engine.TunnelRequest{From: netip.MustParseAddrPort("192.0.2.1:1701"), HostName: "lac-a", V2: true})
	if refusal != nil {
		t.Fatal(refusal.Why)
	}
	got := fmt.Sprintf("%s %s %s %v %v %v %v %d %d %v", s.Tunnel.HostName, s.Tunnel.Secret, s.Tunnel.HelloInterval,
		s.Tunnel.Challenge, s.Tunnel.HideAVPs, s.Tunnel.AllowIncoming, s.Tunnel.AllowOutgoing, s.Tunnel.MaxSessions,
		s.Tunnel.Reliable.MaxRetransmits, s.KernelPlane)
	if want := "lns.test s -1ns true true true true 3 3 true"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
