package lcce

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/internal/kernel"
	"adit/internal/loop"
	"adit/internal/sparing"
)

// checkInterval is how often each static tunnel is compared with the configuration,
// besides what the kernel's events say.
const checkInterval = 30 * time.Second

// The pauses before a static tunnel that could not be made is tried again.
const (
	retryMin = time.Second
	retryMax = checkInterval
)

// l2tpNetlink is the kernel's L2TP, as kernel.L2TP has it.
type l2tpNetlink interface {
	CreateTunnel(kernel.L2TPTunnel) error
	DeleteTunnel(id uint32) error
	Tunnels() ([]kernel.L2TPTunnel, error)
	CreateSession(kernel.L2TPSession) (kernel.L2TPSession, error)
	DeleteSession(tunnel, id uint32) error
	Sessions() ([]kernel.L2TPSession, error)
}

// devices sets up network devices, as kernel.Links does.
type devices interface {
	// Index is that of the device of that name; kernel.ErrNoLink: there is none.
	Index(name string) (int, error)
	Name(index int) (string, error)
	State(index int) (kernel.LinkState, error)
	SetUp(index, mtu int) error
	SetDown(index int) error
	SetMAC(index int, mac net.HardwareAddr) error
	SetBridge(index int, bridge string) error
	AddAddress(index int, local netip.Prefix, peer netip.Addr) error
	AddVLAN(parent int, tag uint16, name string) (int, error)
	VLAN(index int) (parent int, tag uint16, err error)
}

// userspace opens sessions on the userspace plane, as engine.Engine does.
type userspace interface {
	open(engine.StaticSpec) (userSession, error)
	// ReserveSessionID keeps the engine from giving a Session ID of the kernel plane to
	// a session of its own.
	ReserveSessionID(id uint32) error
	FreeSessionID(id uint32)
	// ReserveTunnelID keeps the ID of a tunnel of the kernel's from the engine's.
	ReserveTunnelID(id uint32)
	FreeTunnelID(id uint32)
}

// userSession is an engine.Static.
type userSession interface {
	Close(reason string)
	Info() engine.StaticInfo
	// SetPeerActive takes the carrier of the device away, and gives it back.
	SetPeerActive(active bool)
}

// prober sends echo requests.
type prober interface {
	// send sends one; a token comes back with the answer, through Role.answered.
	send(local, peer netip.Addr, token uint32) error
}

// world is what a Role acts upon. A test has its own.
type world struct {
	l2tp     l2tpNetlink // nil: it cannot be used
	noL2TP   error       // why
	devices  devices
	user     userspace
	probes   prober
	closings []func()
}

// Role keeps the static tunnels of the configuration as they are written there. Its
// exported methods may be called from any goroutine.
type Role struct {
	log      *logrus.Entry
	circuits *Circuits
	world    world
	mail     *loop.Mailbox
	repaired sparing.Lines
	counts   counts

	started atomic.Bool
	stopped chan struct{}
	once    sync.Once

	// The loop's.
	quit      bool
	closing   int       // sessions of the userspace plane that are still ending
	tunnels   []*static // in the order of the configuration
	deadlines loop.Deadlines[*static]
	byToken   map[uint32]*static
	lastToken uint32
	seen      *kernelState // read since the loop woke up; nil: not read
	explained bool         // the choice of the plane is in the log
}

// counts are the counters of a Role.
type counts struct {
	repairs, failures, conflicts, deaths, probes, answers atomic.Uint64
}

// New makes the role; Start begins. It opens the kernel's netlink sockets, in the
// network namespace of the caller. The error says what a static tunnel needs and this
// machine has not.
func New(cfg *config.Config, e *engine.Engine, circuits *Circuits, log *logrus.Entry) (*Role, error) {
	r := newRole(circuits, log)
	w, err := openWorld(e, r)
	if err != nil {
		return nil, err
	}
	r.world = w
	if err := r.take(cfg.L2TPv3.Static); err != nil {
		r.world.close()
		return nil, err
	}
	return r, nil
}

func newRole(circuits *Circuits, log *logrus.Entry) *Role {
	return &Role{
		log: log, circuits: circuits, mail: loop.NewMailbox(), stopped: make(chan struct{}),
		byToken: make(map[uint32]*static),
	}
}

// take takes the static tunnels of a configuration as those to begin with.
func (r *Role) take(all []*config.StaticTunnel) error {
	var errs []error
	for _, cfg := range all {
		t, err := r.newStatic(cfg)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.tunnels = append(r.tunnels, t)
	}
	return errors.Join(errs...)
}

// Start has the tunnels made, by a goroutine that ends with Close.
func (r *Role) Start() {
	r.started.Store(true)
	go r.run()
}

// run is the loop.
func (r *Role) run() {
	defer close(r.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, t := range r.tunnels {
		t.begin(time.Now())
	}
	for !r.quit {
		if next := r.deadlines.Next(); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-r.mail.Ready():
			r.seen = nil
			r.mail.Run()
		case <-timer.C:
			r.seen = nil
			now := time.Now()
			for {
				t, ok := r.deadlines.Due(now)
				if !ok {
					break
				}
				t.due(now)
			}
		}
	}
	r.mail.Close()
}

// Close ends the static tunnels, but those with keep, and returns when that is done.
// Closing twice does nothing.
func (r *Role) Close() {
	r.once.Do(func() {
		r.mail.Put(func() {
			for _, t := range r.tunnels {
				t.leave()
			}
			r.quit = true
		})
		if r.started.Load() {
			<-r.stopped
		}
		r.world.close()
	})
}

func (w *world) close() {
	for _, f := range w.closings {
		f()
	}
	w.closings = nil
}

// ask runs f in the loop and waits for it; false: the role has ended.
func (r *Role) ask(f func()) bool {
	done := make(chan struct{})
	if !r.mail.Put(func() { f(); close(done) }) {
		return false
	}
	select {
	case <-done:
		return true
	case <-r.stopped:
		return false
	}
}

// Counts are the counters by name, for people and programs.
func (r *Role) Counts() map[string]uint64 {
	return map[string]uint64{
		"static_repairs":    r.counts.repairs.Load(),
		"static_failures":   r.counts.failures.Load(),
		"static_conflicts":  r.counts.conflicts.Load(),
		"static_peers_dead": r.counts.deaths.Load(),
		"static_probes":     r.counts.probes.Load(),
		"static_probe_hits": r.counts.answers.Load(),
	}
}

// Statics are the static tunnels as they are now, in the order of the configuration.
// After Close there are none.
func (r *Role) Statics() []StaticInfo {
	var all []StaticInfo
	r.ask(func() {
		now := r.kernelNow()
		for _, t := range r.tunnels {
			all = append(all, t.info(now))
		}
	})
	return all
}

// kernelEvent has the tunnel checked that an event of the kernel's is about. Any
// goroutine.
func (r *Role) kernelEvent(e kernel.L2TPEvent) {
	id, all, deleted := e.Tunnel.ID, false, false
	switch e.Kind {
	case kernel.L2TPSessionDeleted:
		id, deleted = e.Session.Tunnel, true
	case kernel.L2TPSessionCreated, kernel.L2TPSessionModified:
		id = e.Session.Tunnel
	case kernel.L2TPTunnelDeleted:
		deleted = true
	case kernel.L2TPTunnelCreated, kernel.L2TPTunnelModified:
	case kernel.L2TPEventsLost, kernel.L2TPWatchEnded:
		all = true
	}
	if e.Kind == kernel.L2TPWatchEnded {
		r.log.WithError(e.Err).Warnf("the kernel's L2TP events are not heard any more: what others change is repaired after up to %v", checkInterval)
	}
	r.mail.Put(func() {
		for _, t := range r.tunnels {
			if t.kernelPlane() && (all || t.cfg.ID == id) {
				t.again = t.again || deleted
				t.checkSoon(time.Now())
			}
		}
	})
}

// linkEvent has the tunnel checked that a device belongs to; 0: it may be any. Any
// goroutine.
func (r *Role) linkEvent(index int) {
	r.mail.Put(func() {
		for _, t := range r.tunnels {
			if t.linkChanged(index) {
				t.checkSoon(time.Now())
			}
			for _, s := range t.sessions {
				if s.index != 0 && (index == 0 || s.index == index || s.baseIndex == index) {
					t.checkSoon(time.Now())
					break
				}
			}
		}
	})
}

// kernelState is what the kernel has of L2TP.
type kernelState struct {
	tunnels  map[uint32]kernel.L2TPTunnel
	sessions map[sessionKey]kernel.L2TPSession
	err      error
}

type sessionKey struct{ tunnel, id uint32 }

// kernelNow reads what the kernel has, once for each time that the loop wakes up.
func (r *Role) kernelNow() *kernelState {
	if r.seen != nil {
		return r.seen
	}
	s := &kernelState{tunnels: make(map[uint32]kernel.L2TPTunnel), sessions: make(map[sessionKey]kernel.L2TPSession)}
	r.seen = s
	if r.world.l2tp == nil {
		s.err = r.world.noL2TP
		return s
	}
	tunnels, err := r.world.l2tp.Tunnels()
	if err != nil {
		s.err = err
		return s
	}
	for _, t := range tunnels {
		s.tunnels[t.ID] = t
	}
	sessions, err := r.world.l2tp.Sessions()
	if err != nil {
		s.err = err
		return s
	}
	for _, one := range sessions {
		s.sessions[sessionKey{one.Tunnel, one.ID}] = one
	}
	return s
}

// choose decides on the data plane of a static tunnel, and says why, once.
func (r *Role) choose(cfg *config.StaticTunnel) (config.DataPlane, error) {
	plane := cfg.DataPlane
	for _, s := range cfg.Sessions {
		p := s.Pseudowire
		only := p.DataPlane
		if kind, _, err := r.circuits.choose(p); err == nil && !kind.KernelPlane() && kind != circuit.EthernetTAP {
			only = config.DataPlaneUserspace // the kernel does not know the kind
		}
		if only == config.DataPlaneAuto {
			continue
		}
		if plane != config.DataPlaneAuto && plane != only {
			return 0, fmt.Errorf("static tunnel %q: it is on the %v data plane, but pseudowire %q can only be on the %v data plane; all sessions of a tunnel are on one plane",
				cfg.Name, plane, p.Name, only)
		}
		plane = only
	}
	switch {
	case plane == config.DataPlaneKernel && r.world.l2tp == nil:
		return 0, fmt.Errorf("static tunnel %q: the kernel data plane cannot be used: %w", cfg.Name, r.world.noL2TP)
	case plane != config.DataPlaneAuto:
		return plane, nil
	}
	plane, reason := config.DataPlaneKernel, "the kernel has L2TPv3"
	if r.world.l2tp == nil {
		plane, reason = config.DataPlaneUserspace, fmt.Sprintf("no kernel data plane: %v", r.world.noL2TP)
	}
	if !r.explained {
		r.explained = true
		r.log.WithField("dataplane", plane.String()).Info("static tunnels whose data plane is auto: " + reason)
	}
	return plane, nil
}
