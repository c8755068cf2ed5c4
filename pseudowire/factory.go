package pseudowire

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/kernel"
)

// Config is what a Factory needs. Poller is required.
type Config struct {
	// Poller serves the devices. Somebody has to be in its Run.
	Poller *kernel.Poller
	// Burst is used in the poller's goroutine only; nil: one is made.
	Burst *circuit.Burst
	// Sessions makes the kernel's sessions, for Kind EthernetKernel.
	Sessions Sessions
	// Log is for what belongs to no session; nil: none.
	Log *logrus.Entry
}

// Sessions makes L2TPv3 sessions of the kernel's; kernel.L2TP does. The methods wait
// for the kernel, and may be called from any goroutine.
type Sessions interface {
	// CreateSession makes a session and returns it with the name of its interface.
	CreateSession(s kernel.L2TPSession) (kernel.L2TPSession, error)
	DeleteSession(tunnel, id uint32) error
	Session(tunnel, id uint32) (kernel.L2TPSession, error)
}

// Errors of Open.
var (
	// ErrClosed says that the Factory was closed.
	ErrClosed = errors.New("the daemon is stopping")
	// ErrNoSessions says that a session of the kernel's is wanted, and the Factory has
	// nobody to make it.
	ErrNoSessions = errors.New("open a pseudowire on the kernel plane: the kernel's L2TP netlink interface is not open; load the module l2tp_eth, or choose the userspace data plane")
)

// Factory opens the bridges of pseudowires. Its methods may be called from any
// goroutine.
type Factory struct {
	cfg     Config
	workers workers
	plane   plane
	reader  reader // the poller's

	mu      sync.Mutex
	closed  bool
	running int
}

// NewFactory makes a Factory. It starts nothing before the first device.
func NewFactory(cfg Config) *Factory {
	if cfg.Log == nil {
		cfg.Log = discardLog()
	}
	if cfg.Burst == nil {
		cfg.Burst = circuit.NewBurst(new(kernel.SendCounts))
	}
	f := &Factory{cfg: cfg}
	f.plane.poller = cfg.Poller
	f.reader.burst = cfg.Burst
	return f
}

func discardLog() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

// Open makes the bridge of a session. It returns at once: a worker makes the device,
// and frames that come before it is ready are dropped and counted. onExit is called
// exactly once if Open returned no error, in the poller's goroutine and never from
// inside Open or Close; after it, nothing of the bridge is left and Frames is not
// called any more.
//
// A device that cannot be made is not an error of Open: onExit tells it.
func (f *Factory) Open(spec Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	if spec.Log == nil {
		spec.Log = discardLog()
	}
	if !f.arrive() {
		return nil, ErrClosed
	}
	b, err := f.open(&spec, frames, func(e circuit.Exit) { f.gone(); onExit(e) })
	if err != nil {
		f.gone()
		return nil, err
	}
	return b, nil
}

func (f *Factory) open(spec *Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	switch spec.Kind {
	case circuit.Relay:
		return circuit.OpenRelay(spec.Relay, circuit.RelayOptions{
			Frames: frames, Poller: f.cfg.Poller, CircuitChanged: spec.CircuitChanged,
			OnExit: func(e circuit.Exit) {
				e.PPP = nil // there is no PPP
				onExit(e)
			},
		})
	case circuit.EthernetTAP, circuit.IPTUN:
		t := newTAPBridge(f, spec, frames, onExit)
		t.start()
		return t, nil
	case circuit.EthernetKernel:
		if f.cfg.Sessions == nil {
			return nil, ErrNoSessions
		}
		k := newKernelBridge(f, spec, onExit)
		k.start()
		return k, nil
	case circuit.Discard, circuit.PPPDKernel, circuit.PPPDAsync, circuit.PPPDSync, circuit.Builtin, circuit.BuiltinKernel:
		fallthrough
	default:
		return nil, fmt.Errorf("open a pseudowire: %v is not a kind of bridge for it", spec.Kind)
	}
}

// Running is the number of bridges that are open, with those still stopping.
func (f *Factory) Running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// Close lets no new bridge be opened. The bridges that are open are their owners' to
// close; their exits still come.
func (f *Factory) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.endPlane()
}

// arrive counts a bridge in, unless the factory is closed.
func (f *Factory) arrive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.running++
	}
	return !f.closed
}

// gone counts a bridge out.
func (f *Factory) gone() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	f.endPlane()
}

// endPlane closes what devices need with the last bridge of a closed factory.
func (f *Factory) endPlane() {
	if f.closed && f.running == 0 {
		f.plane.close()
	}
}
