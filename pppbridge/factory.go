package pppbridge

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/kernel"
)

// Config is what a Factory needs. Poller is required.
type Config struct {
	// Poller serves the PTYs, log pipes and exits of every bridge. Somebody
	// has to be in its Run.
	Poller *kernel.Poller
	// Burst is used in the poller's goroutine only; nil: one is made.
	Burst *circuit.Burst
	// Path is pppd's; empty: "pppd" is looked for, see FindPPPD.
	Path string
	// StopTimeout is how long pppd has after SIGTERM before SIGKILL; 0: 10 s.
	StopTimeout time.Duration
	// Starts is how many pppds may be starting at one time; 0: 8. One counts as
	// starting until it says "Connect:", or its first frame, or two seconds.
	Starts int
	// MaxWaiting bounds the sessions waiting for their start; 0: 4,096.
	MaxWaiting int
	// Log is for what belongs to no session; nil: none.
	Log *logrus.Entry
}

const (
	defaultStopTimeout = 10 * time.Second
	defaultStarts      = 8
	defaultMaxWaiting  = 4096
	// settleAfter is how long after its fork a pppd counts as starting, if it
	// has not said anything on the line before.
	settleAfter = 2 * time.Second
)

// Errors of Open.
var (
	// ErrClosed says that the Factory was closed.
	ErrClosed = errors.New("the daemon is stopping")
	// ErrTooManyStarts says that too many sessions wait for their pppd.
	ErrTooManyStarts = errors.New("too many sessions are waiting for their pppd to be started")
)

// Factory opens bridges and looks after their pppds. Its methods may be called
// from any goroutine.
type Factory struct {
	cfg     Config
	starter *starter
	sup     *supervisor
	forker  *forker
	tun     *tunPlane
	kernel  *kernelPlane // with the first session on it

	mu      sync.Mutex
	closed  bool
	running int
}

// NewFactory makes a Factory and adds its deadlines to the poller.
func NewFactory(cfg Config) *Factory {
	if cfg.StopTimeout <= 0 {
		cfg.StopTimeout = defaultStopTimeout
	}
	if cfg.Starts <= 0 {
		cfg.Starts = defaultStarts
	}
	if cfg.MaxWaiting <= 0 {
		cfg.MaxWaiting = defaultMaxWaiting
	}
	if cfg.Log == nil {
		cfg.Log = discardLog()
	}
	if cfg.Path == "" {
		cfg.Path = FindPPPD()
	}
	if cfg.Burst == nil {
		cfg.Burst = circuit.NewBurst(new(kernel.SendCounts))
	}
	f := &Factory{cfg: cfg}
	f.starter = newStarter(cfg.Starts, cfg.MaxWaiting)
	f.sup = newSupervisor(cfg.Poller, cfg.StopTimeout, f.starter)
	// What adit itself inherited is not close-on-exec by itself.
	if err := kernel.SealDescriptors(); err != nil {
		cfg.Log.WithError(err).Warn("descriptors that adit inherited may leak into pppds")
	}
	f.forker = newForker(cfg.Starts)
	f.tun = newTUNPlane(f)
	cfg.Poller.AddTimed(f.sup)
	return f
}

// Open makes the bridge of a session. It returns at once: the kernel session or
// the PTY is there, so that no frame of the peer is lost, while a worker starts
// pppd. onExit is called exactly once if Open returned no error, in the
// poller's goroutine and never from inside Open or Close; after it, nothing of
// the bridge is left and Frames is not called any more.
//
// A pppd that cannot be started is not an error of Open: onExit tells it.
func (f *Factory) Open(spec Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	if spec.Log == nil {
		spec.Log = discardLog()
	}
	switch spec.Kind {
	case circuit.Discard:
		return openDiscard(f, onExit)
	case circuit.PPPDKernel:
		return openKernel(f, spec, onExit)
	case circuit.PPPDAsync, circuit.PPPDSync:
		return openPTY(f, spec, frames, onExit)
	case circuit.Builtin:
		return f.openBuiltin(spec, frames, onExit, f.tun)
	case circuit.BuiltinKernel:
		plane, err := f.kernelPlane()
		if err != nil {
			return nil, err
		}
		return f.openBuiltin(spec, frames, onExit, plane)
	case circuit.Relay:
		return f.openRelay(spec.Relay, frames, onExit)
	case circuit.EthernetTAP, circuit.EthernetKernel, circuit.IPTUN: // of pseudowires that are not PPP
	}
	return nil, fmt.Errorf("open a bridge: %v is not a kind of bridge", spec.Kind)
}

func (f *Factory) openBuiltin(spec Spec, frames circuit.Frames, onExit func(circuit.Exit), plane Plane) (circuit.Bridge, error) {
	if !f.arrive() {
		return nil, ErrClosed
	}
	b, err := NewBuiltin(spec, frames, func(e circuit.Exit) { f.gone(); onExit(e) }, plane)
	if err != nil {
		f.gone()
		return nil, err
	}
	return b, nil
}

func (f *Factory) openRelay(e *circuit.RelayEnd, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	if !f.arrive() {
		return nil, ErrClosed
	}
	b, err := circuit.OpenRelay(e, circuit.RelayOptions{
		Frames: frames, Poller: f.cfg.Poller, OnExit: func(x circuit.Exit) { f.gone(); onExit(x) },
	})
	if err != nil {
		f.gone()
	}
	return b, err
}

// kernelPlane makes the kernel plane with the first session that wants it.
func (f *Factory) kernelPlane() (*kernelPlane, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kernel != nil {
		return f.kernel, nil
	}
	k, err := newKernelPlane(f.cfg.Poller, &f.tun.table)
	if err == nil {
		f.kernel = k
	}
	return k, err
}

// Running is the number of bridges that are open, with those still stopping.
func (f *Factory) Running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// Close lets no new bridge be opened. The bridges that are open are their
// owners' to close; their exits still come.
func (f *Factory) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		f.endForker()
	}
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
	f.endForker()
}

// needPacers makes the timers of the PTYs with the first of them.
func (f *Factory) needPacers() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sup.pacer != nil || f.closed {
		return nil
	}
	pace, err := newPacer(f.cfg.Poller, syncGap, (*ptyBridge).afterGap)
	if err != nil {
		return fmt.Errorf("make a timer for terminals: %w", err)
	}
	retry, err := newPacer(f.cfg.Poller, retryGap, (*ptyBridge).tryAgain)
	if err != nil {
		pace.close()
		return fmt.Errorf("make a timer for terminals: %w", err)
	}
	f.sup.pacer, f.sup.retry = pace, retry
	return nil
}

// endForker ends the forker's thread, and the planes, with the last bridge of a closed factory,
// and not before: pppds would take it for the death of the daemon.
func (f *Factory) endForker() {
	if f.closed && f.running == 0 {
		close(f.forker.jobs)
		f.tun.close()
		if f.kernel != nil {
			f.kernel.Close()
		}
		if f.sup.pacer != nil {
			f.sup.pacer.close()
			f.sup.retry.close()
		}
	}
}
