package engine

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
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

// node is an engine with one port and a role for both directions.
type node struct {
	*Engine
	role    *role
	bridges *fakeBridges
	frames  *fakePseudowires
	port    *port
	wire    *wire
	via     transport // wire, or what a test puts in its place
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
	d.via = d.wire
	e.bridges = d.bridges
	d.frames = &fakePseudowires{}
	e.pseudowires = d.frames
	d.port = &port{engine: e, via: d.wire, local: addr, holding: &holding{burst: circuit.NewBurst(&e.sent)}}
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
	if err := d.dialPath(Path{via: d.via, Local: d.addr, Peer: to}, spec); err != nil {
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
		if len(s.tunnels)+len(s.origins)+s.queue.Len() != 0 {
			t.Errorf("shard %d of %v: %d tunnels, %d origins, %d deadlines are left", s.index, d.addr, len(s.tunnels), len(s.origins), s.queue.Len())
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tunnels.Load() != 0 || d.sessions.Load() != 0 || d.halfOpen.Load() != 0 || len(d.perPeer) != 0 || len(d.dials) != 0 {
		t.Errorf("%v: %d tunnels, %d sessions, %d half open, %v per peer, %d dials are left",
			d.addr, d.tunnels.Load(), d.sessions.Load(), d.halfOpen.Load(), d.perPeer, len(d.dials))
	}
	if d.wire.users != 0 {
		t.Errorf("%v: the socket is still held by %d", d.addr, d.wire.users)
	}
	if n, m := d.table.connections.count(), d.table.sessions.count(); n+m != 0 {
		t.Errorf("%v: %d tunnels and %d sessions of version 3 are still in the table", d.addr, n, m)
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
	return tunnel.Call{Direction: tunnel.Incoming, TxConnectSpeed: 64000, CalledNumber: "0800", CallingNumber: "0900", CallSerial: 7}
}

// expired is a context that has ended.
func expired(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
