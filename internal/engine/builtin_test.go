package engine

import (
	"bytes"
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/pppbridge"
	"adit/proto/ppp"
)

// builtinBridges opens the built-in endpoint on links that exist in memory only:
// there is no TUN, and a control frame is sent at once by the network's wire.
type builtinBridges struct {
	fakeBridges
	carrier *carrier
	upIPv4  int
}

func (f *builtinBridges) Open(spec pppbridge.Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	b, err := pppbridge.NewBuiltin(spec, frames, func(e circuit.Exit) {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
		onExit(e)
	}, memoryPlane{f})
	if err == nil {
		f.mu.Lock()
		f.running++
		f.mu.Unlock()
	}
	return b, err
}

func (f *builtinBridges) ups() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.upIPv4
}

// memoryPlane is a pppbridge.Plane.
type memoryPlane struct{ *builtinBridges }

func (memoryPlane) Kind() circuit.Kind { return circuit.Builtin }

func (f memoryPlane) Open(spec *pppbridge.Spec, frames circuit.Frames, events pppbridge.LinkEvents) (pppbridge.Link, error) {
	return &memoryLink{plane: f, owner: spec.Owner, frames: frames, events: events}, nil
}

// memoryLink is a pppbridge.Link.
type memoryLink struct {
	plane  memoryPlane
	owner  pppbridge.Owner
	frames circuit.Frames
	events pppbridge.LinkEvents // nil: closed
}

func (l *memoryLink) SendControl(frame []byte) { l.plane.carrier.carry(l.frames, frame) }
func (l *memoryLink) LCPUp(ppp.Link)           {}
func (l *memoryLink) Up(f ppp.Family, _ ppp.Network) {
	l.events.Up(f, pppbridge.Attachment{Interface: "memory", Send: func([]byte) {}})
	if f == ppp.IPv4 {
		l.plane.mu.Lock()
		l.plane.upIPv4++
		l.plane.mu.Unlock()
	}
}
func (l *memoryLink) Down(ppp.Family) {}
func (l *memoryLink) Deliver(_ *circuit.Burst, _ time.Time, frame []byte) {
	l.owner.Control(frame)
}
func (l *memoryLink) Idle(time.Time) (time.Duration, bool) { return 0, false }
func (l *memoryLink) Close() {
	if e := l.events; e != nil {
		l.events = nil
		go e.Closed(time.Now())
	}
}
func (l *memoryLink) Name() string         { return "" }
func (l *memoryLink) Stats() circuit.Stats { return circuit.Stats{} }

// carrier is a transport whose data messages reach the other node too.
type carrier struct {
	wire
	mu     sync.Mutex
	burst  *circuit.Burst
	packet []byte
	to     netip.AddrPort
}

func (c *carrier) room(_ *circuit.Burst, path *Path, n int) []byte {
	c.packet, c.to = make([]byte, n), path.Peer
	return c.packet
}

// carry sends one frame. It is one goroutine at a time that makes data messages,
// and one that the other end dispatches them on.
func (c *carrier) carry(frames circuit.Frames, frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	copy(frames.Room(c.burst, len(frame)), frame)
	_ = c.net.send(c.local, c.to, c.packet)
}

// password is the Secrets of a client and the Access of its LNS.
type password struct{}

func (password) Password() (string, []byte) { return "user", []byte("secret") }
func (password) Respond(ppp.Method, uint8, []byte, string) ([]byte, string, any, error) {
	return nil, "", nil, errors.New("PAP only")
}
func (password) Verify(any, string) error { return errors.New("PAP only") }
func (password) EAP([]byte) []byte        { return nil }

func (password) Routes() []netip.Prefix                                  { return nil }
func (password) NetworkUp(ppp.Family, ppp.Network, pppbridge.Attachment) {}
func (password) NetworkDown(ppp.Family)                                  {}
func (password) Packet([]byte)                                           {}

func (password) Authenticate(r ppp.AuthRequest, answer func(ppp.Verdict)) {
	answer(ppp.Verdict{Accept: r.Name == "user" && bytes.Equal(r.Password, []byte("secret"))})
}

// TestManyBuiltinSessions runs 100,000 sessions of the built-in endpoint in 100
// tunnels between two engines, with PAP, IPCP, IPv6CP and echoes. DESIGN section 3: "No
// goroutine, channel or time.Timer per session".
func TestManyBuiltinSessions(t *testing.T) {
	tunnels, perTunnel := 100, 1000
	if raceDetector || testing.Short() {
		perTunnel = 50
	}
	want := tunnels * perTunnel
	synctest.Test(t, func(t *testing.T) {
		n, lac, lns := pair(t)
		n.keep = false
		lacBridges, lnsBridges := useBuiltin(lac), useBuiltin(lns)
		for _, d := range []*node{lac, lns} {
			d.role.quiet = true
			d.role.tunnelSpec.Tunnel.Reliable.ReceiveWindow = 64
			d.role.tunnelSpec.Tunnel.Reliable.AckDelay = 100 * time.Millisecond
		}
		random := newChance(9)
		lnsConfig := &ppp.Config{Authenticate: []ppp.Method{ppp.MethodPAP}, IPv4: true, IPv6: true, EchoInterval: time.Minute, EchoFailures: 3, Rand: random}
		lacConfig := &ppp.Config{Answer: []ppp.Method{ppp.MethodPAP}, Secrets: password{}, IPv4: true, IPv6: true, EchoInterval: time.Minute, EchoFailures: 3, Rand: random}
		next := netip.MustParseAddr("10.0.0.2")
		var mu sync.Mutex
		lns.role.callSpec = func() *CallSpec {
			mu.Lock()
			defer mu.Unlock()
			addr := next
			next = next.Next()
			return &CallSpec{Profile: "test", Bridge: pppbridge.Spec{Kind: circuit.Builtin, Endpoint: lnsConfig,
				Access: password{}, LocalIP: netip.MustParseAddr("10.0.0.1"), RemoteIP: addr}}
		}
		for range tunnels {
			lac.dial(t, lnsAddr, func(s *TunnelSpec) { s.Tunnel.Reliable = lac.role.tunnelSpec.Tunnel.Reliable })
		}
		goroutines, memory := runtime.NumGoroutine(), heapInUse()
		for range perTunnel {
			for i := range tunnels {
				lac.role.tunnel(i).PlaceCall(incoming(), &CallSpec{Profile: "test",
					Bridge: pppbridge.Spec{Kind: circuit.Builtin, Endpoint: lacConfig}})
			}
			time.Sleep(10 * time.Millisecond) // 10,000 calls a second
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if lacBridges.ups() != want || lnsBridges.ups() != want {
			t.Fatalf("IP is up in %d and %d of %d sessions; dropped frames %d and %d", lacBridges.ups(), lnsBridges.ups(), want,
				lac.counter(DropPPPInbox), lns.counter(DropPPPInbox))
		}
		// One of the runtime's own, or the end of another test's, may be among them.
		if got := runtime.NumGoroutine(); got > goroutines+10 {
			t.Errorf("%d goroutines before the sessions, %d with them", goroutines, got)
		}
		each := (heapInUse() - memory) / uint64(2*want)
		t.Logf("%d builtin sessions at each end: %d octets for one end of one", want, each)
		if each > 4096 {
			t.Errorf("a session takes %d octets", each)
		}
		lac.close(time.Minute)
		lns.close(time.Minute)
		if got := lac.role.got(); got.callsDown != want || lac.sessions.Load() != 0 || lns.sessions.Load() != 0 {
			t.Errorf("%d calls ended, %d and %d sessions are counted", got.callsDown, lac.sessions.Load(), lns.sessions.Load())
		}
	})
}

// useBuiltin gives a node bridges of the built-in endpoint.
func useBuiltin(d *node) *builtinBridges {
	c := &carrier{wire: wire{net: d.wire.net, local: d.addr}, burst: circuit.NewBurst(&d.sent)}
	f := &builtinBridges{carrier: c}
	d.Engine.bridges = f
	d.port.via = c
	d.via = c
	return f
}
