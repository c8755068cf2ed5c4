package pseudowire

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// device is the interface of an attachment. All methods but detach are called in a
// worker, of one attachment in one worker at a time.
type device interface {
	// build makes the interface, sets it up and returns its index. If it fails, what it
	// has made goes with tearDown.
	build(links *kernel.Links) (index int, err error)
	// setPeer tells whether the peer's circuit is active.
	setPeer(links *kernel.Links, active bool) error
	// detach is called in the poller's goroutine: after it no frame is sent.
	detach()
	// held says that it is we who keep the interface down.
	held() bool
	// tearDown takes away everything, also what only half of was made.
	tearDown()
	Stats() circuit.Stats
}

// phase is how far an attachment has come.
type phase uint8

const (
	phaseNew phase = iota
	phaseReady
	phaseEnding    // its owner has closed it, or it failed
	phaseDetaching // the poller is to detach it
	phaseDetached
	phaseGone
)

// attachment is the life of a bridge that has an interface. The owner says what it
// wants, and a worker brings the machine there, step by step.
type attachment struct {
	factory *Factory
	spec    Spec
	device  device
	onExit  func(circuit.Exit)

	mu     sync.Mutex
	phase  phase
	busy   bool // queued, or in a worker's hands
	active bool // the peer's circuit
	news   bool // something happened to the interface
	name   string
	exit   circuit.Exit

	// The worker's own.
	index int
	told  bool // that the peer's circuit is active: what the device knows
	up    bool // the interface is up, as CircuitChanged knows
	alone bool // its bridge is gone, and the log says so
}

// start has a worker make the device.
func (a *attachment) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active, a.told, a.up = true, true, true
	a.kick()
}

// kick has a worker look at what there is to do. It is called under mu.
func (a *attachment) kick() {
	if !a.busy {
		a.busy = true
		a.factory.workers.add(a)
	}
}

// work does what there is to do.
func (a *attachment) work() {
	for {
		step := a.next()
		if step == nil {
			return
		}
		step()
	}
}

// next is what is to be done now; nil if there is nothing, and then the attachment is in
// no worker's hands any more.
func (a *attachment) next() func() {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.phase {
	case phaseNew:
		return a.build
	case phaseReady:
		if a.active != a.told {
			a.told = a.active
			return a.tellPeer(a.active)
		}
		if a.news {
			a.news = false
			return a.inspect
		}
	case phaseEnding:
		a.phase = phaseDetaching
		a.factory.cfg.Poller.Post(a.detach)
	case phaseDetached:
		a.phase = phaseGone
		return a.end
	case phaseDetaching, phaseGone:
	}
	a.busy = false
	return nil
}

// build makes the device.
func (a *attachment) build() {
	links, err := a.factory.plane.open()
	if err == nil {
		a.index, err = a.device.build(links)
	}
	if err != nil {
		a.fail(circuit.Exit{
			Text: "the pseudowire's device cannot be made: " + err.Error(), Err: err,
			Result: l2tp.ResultCode{Result: resultOf(err)},
		})
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == phaseNew {
		a.phase = phaseReady
	}
	a.news = true // between its making and now it was not ours to hear of
	a.factory.plane.attach(a.index, a)
}

// resultOf is the CDN's Result Code for a device that cannot be made, RFC 3931 section
// 5.4.2: what an operator has to put right is permanent, the rest is not.
func resultOf(err error) uint16 {
	for _, permanent := range []error{kernel.ErrNotSupported, kernel.ErrPermission, kernel.ErrNameTaken, kernel.ErrNoBridge, kernel.ErrExists} {
		if errors.Is(err, permanent) {
			return l2tp.CDNNoFacilitiesPermanent
		}
	}
	return l2tp.CDNNoFacilitiesTemporary
}

// tellPeer has the device know whether the peer's circuit is active.
func (a *attachment) tellPeer(active bool) func() {
	return func() {
		links, err := a.factory.plane.open()
		if err == nil {
			err = a.device.setPeer(links, active)
		}
		if err != nil && !errors.Is(err, kernel.ErrNoLink) {
			a.spec.Log.WithError(err).WithField("interface", a.Name()).Warn("the device does not show whether the peer's circuit is active")
		}
		a.look()
	}
}

// inspect asks what has become of the interface.
func (a *attachment) inspect() {
	links, err := a.factory.plane.open()
	if err != nil {
		return
	}
	state, err := links.State(a.index)
	if errors.Is(err, kernel.ErrNoLink) {
		a.deleted()
		return
	}
	if err != nil {
		a.spec.Log.WithError(err).WithField("interface", a.Name()).Warn("the pseudowire's device cannot be looked at")
		return
	}
	a.setName(state.Name)
	if a.spec.Bridge != "" && state.Master == 0 {
		a.rejoin(links)
	} else if a.alone {
		a.joined()
	}
	if state.Up != a.up && !a.device.held() {
		a.up = state.Up
		if f := a.spec.CircuitChanged; f != nil {
			f(state.Up)
		}
	}
}

// rejoin makes the interface a member of its bridge again, which it is no more: somebody
// has taken it out, or deleted the bridge. Until there is one again, each change of an
// interface is a reason to look.
func (a *attachment) rejoin(links *kernel.Links) {
	plane, log := &a.factory.plane, a.spec.Log.WithField("interface", a.Name()).WithField("bridge", a.spec.Bridge)
	plane.stray(a, true) // before it is tried, so that no bridge comes unheard in between
	if err := links.SetBridge(a.index, a.spec.Bridge); err != nil {
		if !a.alone {
			log.WithError(err).Warn("the pseudowire's device is in no bridge any more; it will be a member again when there is one of that name")
		}
		a.alone = true
		return
	}
	a.joined()
	log.Warn("the pseudowire's device is in its bridge again: somebody else had deleted that, or taken the device out")
}

// joined: the interface is a member of a bridge, ours or one that somebody has chosen.
func (a *attachment) joined() {
	a.alone = false
	a.factory.plane.stray(a, false)
}

// deleted: the interface is gone, and not by us.
func (a *attachment) deleted() {
	a.fail(circuit.Exit{
		Text:   fmt.Sprintf("the pseudowire's device %s was deleted by somebody else", a.Name()),
		Err:    kernel.ErrNoLink,
		Result: l2tp.ResultCode{Result: l2tp.CDNLossOfCarrier},
	})
}

// fail ends the attachment, unless it is ending.
func (a *attachment) fail(e circuit.Exit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase < phaseEnding {
		e.Code = -1
		a.phase, a.exit = phaseEnding, e
		a.kick()
	}
}

// Close is circuit.Bridge's.
func (a *attachment) Close(reason string) {
	a.fail(circuit.Exit{Closed: true, Text: reason, Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative}})
}

// detach runs in the poller's goroutine.
func (a *attachment) detach(time.Time) {
	a.device.detach()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.phase = phaseDetached
	a.kick()
}

// end takes everything away and tells the owner.
func (a *attachment) end() {
	if a.index != 0 {
		a.factory.plane.detach(a.index, a)
	}
	a.exit.Stats = a.device.Stats()
	a.device.tearDown()
	a.factory.cfg.Poller.Post(func(time.Time) { a.onExit(a.exit) })
}

// look has a worker see what has become of the interface. Any goroutine.
func (a *attachment) look() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == phaseReady {
		a.news = true
		a.kick()
	}
}

// SetPeerActive is circuit.StatusReporter's.
func (a *attachment) SetPeerActive(active bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.active != active && a.phase < phaseEnding {
		a.active = active
		a.kick()
	}
}

// SetACCM is circuit.Bridge's, for PPP.
func (a *attachment) SetACCM(_, _ uint32) {}

// Name is the interface's; empty: it is not there yet.
func (a *attachment) Name() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.name
}

func (a *attachment) setName(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.name = name
}

// Info is circuit.Bridge's.
func (a *attachment) Info() circuit.Info { return circuit.Info{Interface: a.Name()} }

// setUp gives the interface what the Spec says and brings it up.
func (a *attachment) setUp(links *kernel.Links, index int) error {
	if len(a.spec.MAC) > 0 && a.spec.Kind != circuit.IPTUN {
		if err := links.SetMAC(index, a.spec.MAC); err != nil {
			return err
		}
	}
	if a.spec.Bridge != "" {
		if err := links.SetBridge(index, a.spec.Bridge); err != nil {
			return err
		}
		// A port of a bridge has nothing of its own to say to those behind it.
		if err := links.DisableIPv6AutoLinkLocal(index); err != nil && !errors.Is(err, kernel.ErrNotSupported) {
			return err
		}
	}
	if err := links.SetUp(index, 0); err != nil {
		return err
	}
	return a.addAddresses(links, index)
}

// addAddresses gives the interface those that it lacks.
func (a *attachment) addAddresses(links *kernel.Links, index int) error {
	for _, p := range a.spec.Addresses {
		if err := links.AddLANAddress(index, p); err != nil && !errors.Is(err, kernel.ErrExists) {
			return err
		}
	}
	return nil
}

// mtu is that of the interface, in octets.
func (a *attachment) mtu() int {
	if a.spec.MTU == 0 {
		return defaultMTU
	}
	return a.spec.MTU
}

const defaultMTU = 1500
