package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"adit/pppbridge"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

var (
	lacAddr = netip.MustParseAddrPort("192.0.2.1:1701")
	lnsAddr = netip.MustParseAddrPort("198.51.100.1:1701")
)

// chance is a seeded source of randomness for several shards.
type chance struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func newChance(seed byte) *chance { return &chance{r: rand.NewChaCha8([32]byte{seed})} }

func (c *chance) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.Read(b)
}

// network joins ports without a socket: a packet that is sent is dispatched at
// its destination at once, and logged with its time.
type network struct {
	mu    sync.Mutex
	ports map[netip.AddrPort]*port
	// lost decides about each packet; nil: none is.
	lost func(from, to netip.AddrPort, packet []byte) bool
	// wire is what was sent, with what was lost; kept if keep says so.
	wire []sent
	keep bool
}

type sent struct {
	at       time.Time
	from, to netip.AddrPort
	packet   []byte
}

// lose sets what is lost from now on.
func (n *network) lose(f func(from, to netip.AddrPort, packet []byte) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = f
}

// cut loses all that an address sends and is sent, as if its power had failed.
func (n *network) cut(addr netip.AddrPort) {
	n.lose(func(from, to netip.AddrPort, _ []byte) bool { return from == addr || to == addr })
}

func newNetwork() *network { return &network{ports: make(map[netip.AddrPort]*port), keep: true} }

func (n *network) send(from, to netip.AddrPort, packet []byte) error {
	n.mu.Lock()
	if n.keep {
		n.wire = append(n.wire, sent{time.Now(), from, to, bytes.Clone(packet)})
	}
	p := n.ports[to]
	if n.lost != nil && n.lost(from, to, packet) {
		p = nil
	}
	n.mu.Unlock()
	if p != nil {
		p.dispatch(time.Now(), packet, from, to.Addr())
	}
	return nil
}

// sentBy returns the messages of a kind that an address sent, with their times.
// Kind 0 stands for ZLBs.
func (n *network) sentBy(from netip.AddrPort, kind l2tp.MessageType) []sent {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []sent
	for _, s := range n.wire {
		if s.from == from && kindOf(s.packet) == kind {
			all = append(all, s)
		}
	}
	return all
}

func kindOf(packet []byte) l2tp.MessageType {
	h, payload, err := l2tp.ParseHeader(packet)
	if err != nil || !h.Control {
		return 0xffff
	}
	kind, _ := l2tp.PeekMessageType(payload)
	return kind
}

// message parses what was sent.
func (s sent) message(t testing.TB) l2tp.Message {
	t.Helper()
	_, payload, err := l2tp.ParseHeader(s.packet)
	if err != nil {
		t.Fatal(err)
	}
	m, err := l2tp.ParseMessage(payload, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// times puts the times of messages in seconds after start.
func times(start time.Time, all []sent) []float64 {
	var out []float64
	for _, s := range all {
		out = append(out, s.at.Sub(start).Seconds())
	}
	return out
}

// wire is the transport of one port of a network.
type wire struct {
	net   *network
	local netip.AddrPort
	mu    sync.Mutex
	data  [][]byte
}

func (w *wire) send(packet []byte, path *Path) error { return w.net.send(w.local, path.Peer, packet) }
func (w *wire) flush()                               {}
func (w *wire) sendData(packet []byte, _ *Path) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = append(w.data, bytes.Clone(packet))
}

// fakeBridges opens fakeBridges. A bridge that is closed ends after delay, in a
// goroutine of its own, as the contract of pppbridge wants.
type fakeBridges struct {
	mu      sync.Mutex
	fail    error
	delay   time.Duration
	stuck   bool // bridges end only when the test says so
	all     []*fakeBridge
	running int
	closed  bool
}

type fakeBridge struct {
	of     *fakeBridges
	kind   pppbridge.Kind
	spec   pppbridge.Spec
	frames pppbridge.Frames
	onExit func(pppbridge.Exit)

	mu        sync.Mutex
	closed    int
	ended     bool
	keep      bool
	delivered [][]byte
	count     int
	accm      [2]uint32
}

func (f *fakeBridges) Open(spec pppbridge.Spec, frames pppbridge.Frames, onExit func(pppbridge.Exit)) (pppbridge.Bridge, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	b := &fakeBridge{of: f, kind: spec.Kind, spec: spec, frames: frames, onExit: onExit, keep: true}
	f.all = append(f.all, b)
	f.running++
	return b, nil
}

func (f *fakeBridges) Running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

func (f *fakeBridges) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *fakeBridges) list() []*fakeBridge {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}

func (b *fakeBridge) Kind() pppbridge.Kind { return b.kind }
func (b *fakeBridge) Stats() pppbridge.Stats {
	return pppbridge.Stats{FramesIn: uint64(b.received())}
}
func (b *fakeBridge) Info() pppbridge.Info { return pppbridge.Info{Interface: "ppp7"} }
func (b *fakeBridge) SetACCM(send, receive uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accm = [2]uint32{send, receive}
}

func (b *fakeBridge) Deliver(_ time.Time, frame []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	if b.keep {
		b.delivered = append(b.delivered, bytes.Clone(frame))
	}
}

func (b *fakeBridge) received() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

func (b *fakeBridge) Close(reason string) {
	b.mu.Lock()
	b.closed++
	first := b.closed == 1 && !b.ended
	b.mu.Unlock()
	if first && !b.of.stuck {
		go func() {
			if b.of.delay > 0 {
				time.Sleep(b.of.delay)
			}
			b.exit(pppbridge.Exit{Code: -1, Closed: true, Text: reason})
		}()
	}
}

// exit ends the bridge, the first time that it is called.
func (b *fakeBridge) exit(e pppbridge.Exit) {
	b.mu.Lock()
	ended := b.ended
	b.ended = true
	b.mu.Unlock()
	if ended {
		return
	}
	b.of.mu.Lock()
	b.of.running--
	b.of.mu.Unlock()
	b.onExit(e)
}

// role is a Handler and an Acceptor that notes what it is told and does what
// its functions say. By default it lets everybody in and accepts every call.
type role struct {
	t    testing.TB
	mu   sync.Mutex
	log  []string
	when []time.Time

	tunnels []*Tunnel
	calls   []*Call

	tunnelSpec *TunnelSpec // for accepted tunnels
	refusal    *l2tp.ResultCode
	callSpec   func() *CallSpec
	onUp       func(*Tunnel)
	onTunnel   func(*Tunnel, tunnel.Cause) // TunnelDown
	onCall     func(*Call)                 // CallRequested
	onCallUp   func(*Call)
	onCallDown func(*Call, tunnel.Cause)
	quiet      bool

	tally
	cause map[*Call]tunnel.Cause
	ends  []tunnel.Cause
}

// tally is how often a role was told what, and the calls' specs given and
// released.
type tally struct{ up, down, callsUp, callsDown, released, given int }

// got returns the tally up to now.
func (r *role) got() tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally
}

// tunnel returns the nth tunnel that came up.
func (r *role) tunnel(n int) *Tunnel {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tunnels[n]
}

// at returns when the role was first told something.
func (r *role) at(event string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.log, event)
	if i < 0 {
		return time.Time{}
	}
	return r.when[i]
}

// causes returns why the calls ended.
func (r *role) causes() []tunnel.Cause {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.cause))
}

func newRole(t testing.TB) *role { return &role{t: t, cause: make(map[*Call]tunnel.Cause)} }

func (r *role) note(format string, args ...any) {
	if !r.quiet {
		r.log = append(r.log, fmt.Sprintf(format, args...))
		r.when = append(r.when, time.Now())
	}
}

// newCallSpec is a CallSpec that counts its release.
func (r *role) newCallSpec() *CallSpec {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given++
	return &CallSpec{Name: "call", Profile: "test", Release: func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.released++
	}}
}

func (r *role) AcceptTunnel(netip.AddrPort, string) (*TunnelSpec, *l2tp.ResultCode) {
	if r.refusal != nil {
		return nil, r.refusal
	}
	spec := *r.tunnelSpec
	return &spec, nil
}

func (r *role) TunnelUp(t *Tunnel) {
	r.mu.Lock()
	r.up++
	r.tunnels = append(r.tunnels, t)
	r.note("tunnel up")
	r.mu.Unlock()
	if r.onUp != nil {
		r.onUp(t)
	}
}

func (r *role) TunnelDown(t *Tunnel, cause tunnel.Cause) {
	r.mu.Lock()
	r.down++
	r.ends = append(r.ends, cause)
	r.note("tunnel down")
	r.mu.Unlock()
	if r.onTunnel != nil {
		r.onTunnel(t, cause)
	}
}

func (r *role) CallRequested(c *Call) {
	r.mu.Lock()
	r.calls = append(r.calls, c)
	r.note("call requested")
	r.mu.Unlock()
	switch {
	case r.onCall != nil:
		r.onCall(c)
	case r.callSpec != nil:
		c.Accept(r.callSpec())
	default:
		c.Accept(r.newCallSpec())
	}
}

func (r *role) CallUp(c *Call) {
	r.mu.Lock()
	r.callsUp++
	r.note("call up")
	r.mu.Unlock()
	if r.onCallUp != nil {
		r.onCallUp(c)
	}
}

func (r *role) CallDown(c *Call, cause tunnel.Cause) {
	r.mu.Lock()
	if _, twice := r.cause[c]; twice {
		r.t.Errorf("CallDown twice for call %d", c.ID)
	}
	r.cause[c] = cause
	r.callsDown++
	r.note("call down")
	r.mu.Unlock()
	if r.onCallDown != nil {
		r.onCallDown(c, cause)
	}
}

// ended returns why the tunnels ended.
func (r *role) ended() []tunnel.Cause {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ends)
}

// last is why the last tunnel ended.
func (r *role) last() tunnel.Cause {
	all := r.ended()
	if len(all) == 0 {
		return tunnel.Cause{}
	}
	return all[len(all)-1]
}

// node is an engine with one port and a role for both directions.
type node struct {
	*Engine
	role    *role
	bridges *fakeBridges
	port    *port
	wire    *wire
	addr    netip.AddrPort
}

// lavish is limits that no test reaches by accident.
var lavish = Limits{Tunnels: 60000, Sessions: 1 << 20, HalfOpen: 60000, TunnelsPerPeer: 60000}

// spec is what both roles want tunnels to be like.
func testTunnelSpec(host string, h Handler) *TunnelSpec {
	return &TunnelSpec{Name: host, Handler: h, Tunnel: tunnel.Config{
		HostName: host, Bearer: l2tp.BearerDigital, AllowIncoming: true, AllowOutgoing: true,
	}}
}

// newNode makes an engine on the network and starts it. In a bubble it is
// closed by the test, outside of one too.
func newNode(t testing.TB, n *network, addr netip.AddrPort, change func(*Options)) *node {
	t.Helper()
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	quiet.SetLevel(logrus.PanicLevel)
	r := newRole(t)
	opt := Options{Shards: 2, Limits: lavish, Acceptor: r, Rand: newChance(addr.Addr().AsSlice()[0]), Log: logrus.NewEntry(quiet)}
	r.tunnelSpec = testTunnelSpec(addr.Addr().String(), r)
	if change != nil {
		change(&opt)
	}
	e, err := newEngine(opt)
	if err != nil {
		t.Fatal(err)
	}
	d := &node{Engine: e, role: r, bridges: &fakeBridges{}, addr: addr, wire: &wire{net: n, local: addr}}
	e.bridges = d.bridges
	d.port = &port{engine: e, via: d.wire, local: addr, holding: new(holding)}
	d.port.accepting.Store(true)
	n.mu.Lock()
	n.ports[addr] = d.port
	n.mu.Unlock()
	e.start()
	return d
}

// dial begins a tunnel to another node and waits until nothing moves.
func (d *node) dial(t testing.TB, to netip.AddrPort, change func(*TunnelSpec)) {
	t.Helper()
	spec := testTunnelSpec(d.addr.Addr().String(), d.role)
	if change != nil {
		change(spec)
	}
	if err := d.dialPath(Path{via: d.wire, Local: d.addr, Peer: to}, spec); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// close ends the engine within the time given.
func (d *node) close(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	d.Close(ctx)
}

// do runs f on the shards, where the state may be read.
func (d *node) do(f func(s *shard)) {
	_ = d.ask(context.Background(), f)
}

// empty fails the test unless every count has come back to zero.
func (d *node) empty(t testing.TB) {
	t.Helper()
	d.do(func(s *shard) {
		if len(s.tunnels)+len(s.origins)+len(s.queue.q) != 0 {
			t.Errorf("shard %d of %v: %d tunnels, %d origins, %d deadlines are left", s.index, d.addr, len(s.tunnels), len(s.origins), len(s.queue.q))
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tunnels.Load() != 0 || d.sessions.Load() != 0 || d.halfOpen.Load() != 0 || len(d.perPeer) != 0 || len(d.dials) != 0 {
		t.Errorf("%v: %d tunnels, %d sessions, %d half open, %v per peer, %d dials are left",
			d.addr, d.tunnels.Load(), d.sessions.Load(), d.halfOpen.Load(), d.perPeer, len(d.dials))
	}
	for id := range d.table.tunnels {
		if d.table.tunnels[id].Load() != nil {
			t.Errorf("%v: tunnel %d is still in the table", d.addr, id)
		}
	}
}

// counter returns one of the engine's counts.
func (d *node) counter(c Counter) uint64 { return d.counters[c].Load() }

// pair is a LAC and an LNS.
func pair(t testing.TB) (n *network, lac, lns *node) {
	n = newNetwork()
	return n, newNode(t, n, lacAddr, nil), newNode(t, n, lnsAddr, nil)
}

// closePair ends both ends of a bubble.
func closePair(lac, lns *node) {
	lac.close(time.Minute)
	lns.close(time.Minute)
}

var errTest = errors.New("no such thing on this machine")

// incoming is a call as a LAC places it.
func incoming() tunnel.Call {
	return tunnel.Call{Direction: tunnel.Incoming, TxConnectSpeed: 64000, CalledNumber: "0800", CallSerial: 7}
}

// expired is a context that has ended.
func expired(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
