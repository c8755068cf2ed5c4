package lcce

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// fakeDevice is a network device.
type fakeDevice struct {
	kernel.LinkState
	addresses map[netip.Prefix]bool
	parent    int
	tag       uint16
	of        sessionKey // of the kernel's
}

// fakeWorld is a kernel, and an engine, in memory. What is done to it is noted.
type fakeWorld struct {
	role *Role

	mu       sync.Mutex
	tunnels  map[uint32]kernel.L2TPTunnel
	sessions map[sessionKey]kernel.L2TPSession
	links    map[int]*fakeDevice
	last     int // index of a device
	did      []string
	refuse   map[string]error // by the beginning of what is done
	reserved map[uint32]bool
	// tunnelIDs are those that the engine is not to give away.
	tunnelIDs map[uint32]bool

	open   []*fakeSession
	probes []time.Time
	echoes bool // echo requests are answered
}

// fakeSession is a session on the userspace plane.
type fakeSession struct {
	world  *fakeWorld
	spec   engine.StaticSpec
	at     time.Time
	info   engine.StaticInfo
	active []bool
	ended  bool
	slow   bool // Close does not end it
}

func newFakeWorld() *fakeWorld {
	w := &fakeWorld{
		tunnels: make(map[uint32]kernel.L2TPTunnel), sessions: make(map[sessionKey]kernel.L2TPSession),
		links: make(map[int]*fakeDevice), refuse: make(map[string]error), reserved: make(map[uint32]bool),
		tunnelIDs: make(map[uint32]bool),
	}
	w.add("br0")
	return w
}

// do notes what is done; the error is that which the test wants.
func (w *fakeWorld) do(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	w.did = append(w.did, text)
	for prefix, err := range w.refuse {
		if strings.HasPrefix(text, prefix) {
			return err
		}
	}
	return nil
}

// done is what was done since the last call, once nothing moves.
func (w *fakeWorld) done() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.did, "\n")
	w.did = nil
	return all
}

// change is the hand of somebody else.
func (w *fakeWorld) change(f func()) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *fakeWorld) add(name string) *fakeDevice {
	w.last++
	d := &fakeDevice{LinkState: kernel.LinkState{Name: name, MTU: 1446, MAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(w.last)}}, addresses: make(map[netip.Prefix]bool)}
	w.links[w.last] = d
	return d
}

func (w *fakeWorld) index(name string) int {
	for i, d := range w.links {
		if d.Name == name {
			return i
		}
	}
	return 0
}

func (w *fakeWorld) device(name string) *fakeDevice { return w.links[w.index(name)] }

// drop removes a device, those above it, and the session that it belongs to.
func (w *fakeWorld) drop(name string) {
	i := w.index(name)
	delete(w.links, i)
	for k, d := range w.links {
		if i != 0 && d.parent == i {
			delete(w.links, k)
		}
	}
	for k, s := range w.sessions {
		if s.Interface == name {
			delete(w.sessions, k)
		}
	}
}

// dropSession ends a session and its device, whatever that is called by now.
func (w *fakeWorld) dropSession(k sessionKey) {
	delete(w.sessions, k)
	for _, d := range w.links {
		if d.of == k {
			w.drop(d.Name)
			return
		}
	}
}

func (w *fakeWorld) dropTunnel(id uint32) {
	delete(w.tunnels, id)
	for k := range w.sessions {
		if k.tunnel == id {
			w.dropSession(k)
		}
	}
}

var errNone = &kernel.Error{Op: "fake", Kind: kernel.ErrNoEntry, Err: unix.ENOENT}

func (w *fakeWorld) CreateTunnel(t kernel.L2TPTunnel) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.do("create tunnel %d", t.ID); err != nil {
		return err
	}
	if _, taken := w.tunnels[t.ID]; taken {
		return &kernel.Error{Op: "create", Kind: kernel.ErrExists, Err: unix.EEXIST}
	}
	w.tunnels[t.ID] = t
	return nil
}

func (w *fakeWorld) DeleteTunnel(id uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.do("delete tunnel %d", id)
	if _, ok := w.tunnels[id]; !ok {
		return errNone
	}
	w.dropTunnel(id)
	return nil
}

func (w *fakeWorld) Tunnels() (all []kernel.L2TPTunnel, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tunnels {
		all = append(all, t)
	}
	return all, nil
}

func (w *fakeWorld) CreateSession(s kernel.L2TPSession) (kernel.L2TPSession, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.do("create session %d/%d %s", s.Tunnel, s.ID, s.Interface); err != nil {
		return s, err
	}
	if _, ok := w.tunnels[s.Tunnel]; !ok {
		return s, errNone
	}
	if s.Interface == "" {
		s.Interface = fmt.Sprintf("l2tpeth%d", len(w.sessions))
	}
	if w.index(s.Interface) != 0 {
		return s, &kernel.Error{Op: "create", Kind: kernel.ErrExists, Err: unix.EEXIST}
	}
	w.add(s.Interface).of = sessionKey{s.Tunnel, s.ID}
	is := s
	is.Sublayer = 0 // which the kernel does not tell
	w.sessions[sessionKey{s.Tunnel, s.ID}] = is
	return s, nil
}

func (w *fakeWorld) DeleteSession(tunnel, id uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.do("delete session %d/%d", tunnel, id)
	k := sessionKey{tunnel, id}
	if _, ok := w.sessions[k]; !ok {
		return errNone
	}
	w.dropSession(k)
	return nil
}

func (w *fakeWorld) Sessions() (all []kernel.L2TPSession, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sessions {
		all = append(all, s)
	}
	return all, nil
}

var errNoLink = &kernel.Error{Op: "fake", Kind: kernel.ErrNoLink, Err: unix.ENODEV}

func (w *fakeWorld) Index(name string) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.index(name); i != 0 {
		return i, nil
	}
	return 0, errNoLink
}

// with calls f with the device of that index.
func (w *fakeWorld) with(index int, f func(*fakeDevice) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.links[index]
	if d == nil {
		return errNoLink
	}
	return f(d)
}

func (w *fakeWorld) Name(index int) (name string, err error) {
	err = w.with(index, func(d *fakeDevice) error { name = d.Name; return nil })
	return name, err
}

func (w *fakeWorld) State(index int) (s kernel.LinkState, err error) {
	err = w.with(index, func(d *fakeDevice) error { s = d.LinkState; return nil })
	return s, err
}

func (w *fakeWorld) SetUp(index, mtu int) error {
	return w.with(index, func(d *fakeDevice) error {
		d.Up, d.MTU = true, mtu
		return w.do("up %s %d", d.Name, mtu)
	})
}

func (w *fakeWorld) SetDown(index int) error {
	return w.with(index, func(d *fakeDevice) error {
		d.Up = false
		return w.do("down %s", d.Name)
	})
}

func (w *fakeWorld) SetMAC(index int, mac net.HardwareAddr) error {
	return w.with(index, func(d *fakeDevice) error {
		d.MAC = mac
		return nil
	})
}

func (w *fakeWorld) SetBridge(index int, bridge string) error {
	return w.with(index, func(d *fakeDevice) error {
		if w.index(bridge) == 0 {
			return &kernel.Error{Op: "bridge", Kind: kernel.ErrNoBridge, Err: unix.ENODEV, Advice: "make it first"}
		}
		d.Master = w.index(bridge)
		return w.do("bridge %s %s", d.Name, bridge)
	})
}

func (w *fakeWorld) AddAddress(index int, local netip.Prefix, _ netip.Addr) error {
	return w.with(index, func(d *fakeDevice) error {
		if d.addresses[local] {
			return &kernel.Error{Op: "address", Kind: kernel.ErrExists, Err: unix.EEXIST}
		}
		d.addresses[local] = true
		return w.do("address %s %v", d.Name, local)
	})
}

func (w *fakeWorld) AddVLAN(parent int, tag uint16, name string) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.add(name)
	d.parent, d.tag = parent, tag
	return w.last, w.do("vlan %s %d on %s", name, tag, w.links[parent].Name)
}

func (w *fakeWorld) VLAN(index int) (parent int, tag uint16, err error) {
	err = w.with(index, func(d *fakeDevice) error { parent, tag = d.parent, d.tag; return nil })
	return parent, tag, err
}

func (w *fakeWorld) open1(spec engine.StaticSpec) (userSession, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.do("open %d", spec.ID); err != nil {
		return nil, err
	}
	for _, s := range w.open {
		if !s.ended && s.spec.ID == spec.ID {
			return nil, engine.ErrSessionID
		}
	}
	s := &fakeSession{world: w, spec: spec, at: time.Now(), info: engine.StaticInfo{Kind: spec.Bridge.Kind}}
	if spec.Bridge.Kind == circuit.EthernetTAP {
		s.info.Bridge.Interface = spec.Bridge.Interface
		d := w.add(spec.Bridge.Interface)
		d.MTU, d.Up = max(spec.Bridge.MTU, defaultMTU), true
	}
	w.open = append(w.open, s)
	return s, nil
}

func (w *fakeWorld) ReserveSessionID(id uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reserved[id] {
		return engine.ErrSessionID
	}
	w.reserved[id] = true
	return nil
}

func (w *fakeWorld) FreeSessionID(id uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.reserved, id)
}

func (w *fakeWorld) ReserveTunnelID(id uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tunnelIDs[id] = true
}

func (w *fakeWorld) FreeTunnelID(id uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tunnelIDs, id)
}

// fakeEngine is the world as userspace.
type fakeEngine struct{ *fakeWorld }

func (e fakeEngine) open(spec engine.StaticSpec) (userSession, error) { return e.open1(spec) }

// end is the end of a session's bridge.
func (s *fakeSession) end(e circuit.Exit) {
	s.world.mu.Lock()
	if s.ended {
		s.world.mu.Unlock()
		return
	}
	s.ended = true
	s.world.drop(s.info.Bridge.Interface)
	s.world.mu.Unlock()
	s.spec.Ended(e)
}

func (s *fakeSession) Close(reason string) {
	s.world.mu.Lock()
	_ = s.world.do("close %d", s.spec.ID)
	slow := s.slow
	s.world.mu.Unlock()
	if !slow {
		s.end(circuit.Exit{Closed: true, Text: reason})
	}
}

func (s *fakeSession) Info() engine.StaticInfo {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return s.info
}

func (s *fakeSession) SetPeerActive(active bool) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	s.active = append(s.active, active)
}

func (w *fakeWorld) send(_, peer netip.Addr, token uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes = append(w.probes, time.Now())
	if w.echoes {
		time.AfterFunc(time.Millisecond, func() { w.role.answered(peer, token) })
	}
	return nil
}

// bed is a role in a fakeWorld.
type bed struct {
	*fakeWorld
	role     *Role
	circuits *Circuits
	log      *bytes.Buffer
	begun    time.Time
}

// newBed makes a bed, without a kernel that has L2TP if noKernel is set.
func newBed(t *testing.T, noKernel error, all ...*config.StaticTunnel) *bed {
	t.Helper()
	b := &bed{fakeWorld: newFakeWorld(), circuits: NewCircuits(noKernel), log: new(bytes.Buffer)}
	logger := logrus.New()
	logger.SetOutput(b.log)
	b.role = newRole(b.circuits, logrus.NewEntry(logger))
	b.fakeWorld.role = b.role
	b.role.world = world{devices: b.fakeWorld, user: fakeEngine{b.fakeWorld}, probes: b.fakeWorld, noL2TP: noKernel}
	if noKernel == nil {
		b.role.world.l2tp = b.fakeWorld
	}
	if err := b.role.take(all); err != nil {
		t.Fatal(err)
	}
	return b
}

// start begins and waits until all is done.
func (b *bed) start() *bed {
	b.begun = time.Now()
	b.role.Start()
	synctest.Wait()
	return b
}

// one is the state of the only tunnel.
func (b *bed) one(t *testing.T) StaticInfo {
	t.Helper()
	all := b.role.Statics()
	if len(all) != 1 {
		t.Fatalf("%d static tunnels", len(all))
	}
	return all[0]
}

// testTunnel is a tunnel of the kernel plane with one session.
func testTunnel() *config.StaticTunnel {
	return &config.StaticTunnel{
		Name: "east", Local: netip.MustParseAddrPort("192.0.2.1:5000"), Peer: netip.MustParseAddrPort("192.0.2.2:6000"),
		ID: 10, PeerID: 20, Checksum: true,
		Sessions: []*config.StaticSession{{
			Name: "lan", ID: 1, PeerID: 2, Cookie: []byte("abcd"), PeerCookie: []byte("efghijkl"),
			Pseudowire: &config.Pseudowire{
				Name: "east/lan", Type: l2tp.PseudowireEthernet, Interface: "lan0", MTU: 1400, Bridge: "br0",
				Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
				Sublayer:  l2tp.SublayerDefault, Sequencing: l2tp.SequencingAll, ReorderTimeout: 20 * time.Millisecond,
			},
		}},
	}
}

// made is what is done to make testTunnel.
const made = "create tunnel 10\ncreate session 10/1 lan0\nbridge lan0 br0\nup lan0 1400\naddress lan0 10.0.0.1/24"
