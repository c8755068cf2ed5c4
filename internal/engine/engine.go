// Package engine runs the protocol over real sockets: shards own the tunnels,
// readers move the packets, and the roles (lns, lac) decide. See
// docs/ARCHITECTURE.md for the way of a control message and of a data frame.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/internal/sparing"
	"adit/pppbridge"
	"adit/proto/sequence"
	"adit/pseudowire"
)

// Options say how an Engine is built.
type Options struct {
	// Shards is a power of two; 0 means 1. There are as many readers.
	Shards int
	Limits Limits
	Log    *logrus.Entry
	// Acceptor is asked about SCCRQs; nil refuses all.
	Acceptor Acceptor
	// PPPD says how pppds are started; the engine gives it its poller.
	PPPD pppbridge.Config
	// L2TP makes tunnels and sessions of version 3 in the kernel; nil: nobody does, and
	// they are on the userspace plane.
	L2TP KernelL2TP
	// Rand is the source of IDs, challenges and random vectors; nil:
	// crypto/rand. A test gives its own.
	Rand io.Reader
}

// Engine holds the shards, the sockets and the table between them.
type Engine struct {
	opt      Options
	log      *logrus.Entry
	shards   []*shard
	readers  []*reader
	bridging *kernel.Poller // PTYs, pppd's log lines and exits
	bridges  bridges
	// pseudowires are the bridges of sessions that are not PPP.
	pseudowires pseudowires
	kernelWork  kernelWorkers
	buffers     *sequence.Buffers
	table       table
	counters    counters
	sent        kernel.SendCounts // data messages, by all bursts
	wg          sync.WaitGroup
	nextDial    atomic.Uint32
	nextRead    atomic.Uint32
	serial      callSerial
	closing     atomic.Bool
	epoch       time.Time // what tunnelSlot.lastData counts from

	tunnels, sessions, halfOpen atomic.Int64
	strangers                   sparing.Lines // lines about peers that have no tunnel as yet
	outside                     tunnelSlot    // of the Session IDs that others have, see ReserveSessionID

	mu        sync.Mutex
	sockets   map[socketKey]*socket // the shared ones
	ipSockets map[netip.Addr]*ipSocket
	statics   map[*Static]bool
	ending    int                    // static sessions whose end is being told
	foreign   map[uint32]bool        // Tunnel IDs that others have in the kernel
	open      map[*sharedSocket]bool // all that are open, connected ones too
	perPeer   map[netip.Addr]int
	paths     map[kernelPath]*pathUse
	dials     map[*Tunnel]dialled // unanswered SCCRQs of ours, for the tie breaker
}

// reorderBuffers bounds the frames that all reorder queues hold together: at
// most 32 MiB.
const reorderBuffers = 16384

// Errors of Dial.
var (
	// ErrLimit says that limits.tunnels or limits.tunnels_per_peer is reached.
	ErrLimit = errors.New("limits.tunnels or limits.tunnels_per_peer is reached")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("the engine is shutting down")
)

// bridges is what the engine needs of a pppbridge.Factory.
type bridges interface {
	Open(spec pppbridge.Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error)
	OpenTUN(cfg pppbridge.TUNConfig) error
	TUN() (name string, queues int, fewer error)
	PlaneCounts() *pppbridge.PlaneCounts
	Running() int
	Close()
}

// pseudowires is what the engine needs of a pseudowire.Factory.
type pseudowires interface {
	Open(spec pseudowire.Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error)
	Running() int
	Close()
}

// New makes an engine and starts its goroutines: one per shard, one per reader
// and one for the bridges, whatever the number of tunnels and sessions.
func New(opt Options) (*Engine, error) {
	e, err := newEngine(opt)
	if err != nil {
		return nil, err
	}
	if err := e.openPollers(); err != nil {
		e.closePollers()
		return nil, err
	}
	e.opt.PPPD.Poller = e.bridging
	e.opt.PPPD.Burst = circuit.NewBurst(&e.sent)
	e.bridges = pppbridge.NewFactory(e.opt.PPPD)
	frames := pseudowire.Config{Poller: e.bridging, Burst: e.opt.PPPD.Burst, Log: e.log}
	if opt.L2TP != nil {
		frames.Sessions = opt.L2TP
	}
	e.pseudowires = pseudowire.NewFactory(frames)
	e.wg.Go(func() { e.serve("bridges", e.bridging) })
	for _, r := range e.readers {
		e.wg.Go(func() { e.serve("sockets", r.poller) })
	}
	e.start()
	return e, nil
}

func (e *Engine) openPollers() (err error) {
	if e.bridging, err = kernel.NewPoller(); err != nil {
		return err
	}
	for range e.shards {
		r, err := newReader(&e.sent)
		if err != nil {
			return err
		}
		e.readers = append(e.readers, r)
	}
	return nil
}

func (e *Engine) closePollers() {
	if e.bridging != nil {
		e.bridging.Close()
	}
	for _, r := range e.readers {
		r.poller.Close()
	}
}

// newEngine makes the part of an engine that needs no system call.
func newEngine(opt Options) (*Engine, error) {
	opt.Shards = max(opt.Shards, 1)
	if opt.Shards&(opt.Shards-1) != 0 {
		return nil, fmt.Errorf("the number of shards must be a power of two, not %d", opt.Shards)
	}
	if opt.Rand == nil {
		opt.Rand = rand.Reader
	}
	if opt.Log == nil {
		discard := logrus.New()
		discard.SetOutput(io.Discard)
		discard.SetLevel(logrus.PanicLevel)
		opt.Log = logrus.NewEntry(discard)
	}
	e := &Engine{
		opt:       opt,
		log:       opt.Log,
		epoch:     time.Now(),
		sockets:   make(map[socketKey]*socket),
		ipSockets: make(map[netip.Addr]*ipSocket),
		statics:   make(map[*Static]bool),
		open:      make(map[*sharedSocket]bool),
		perPeer:   make(map[netip.Addr]int),
		paths:     make(map[kernelPath]*pathUse),
		dials:     make(map[*Tunnel]dialled),
		foreign:   make(map[uint32]bool),
		buffers:   sequence.NewBuffers(reorderBuffers),
	}
	for i := range opt.Shards {
		e.shards = append(e.shards, newShard(e, i))
	}
	return e, nil
}

// start begins the shards' loops.
func (e *Engine) start() {
	for _, s := range e.shards {
		e.wg.Go(s.run)
	}
}

// Listen opens a socket on which tunnels are accepted, and returns its address:
// with the port that the kernel chose, if addr's is 0. Errors: those of
// kernel.ListenUDP.
func (e *Engine) Listen(addr netip.AddrPort) (netip.AddrPort, error) {
	s, err := e.socketFor(addr, "")
	if err != nil {
		return netip.AddrPort{}, err
	}
	if s.accepting.Swap(true) {
		s.release() // the first time holds it
	}
	return s.local, nil
}

// OpenTUN opens the TUN that sessions of the built-in endpoint share, and logs
// what was opened. The errors are those of kernel.OpenTUN and of the calls that
// set its routes.
func (e *Engine) OpenTUN(cfg pppbridge.TUNConfig) error {
	cfg.Counts = &e.sent
	if err := e.bridges.OpenTUN(cfg); err != nil {
		return err
	}
	name, queues, fewer := e.bridges.TUN()
	log := e.log.WithFields(logrus.Fields{"interface": name, "queues": queues})
	if fewer != nil {
		log.WithError(fewer).Warn("the TUN has fewer queues than the configuration asks for")
	} else {
		log.Info("the TUN for sessions of the built-in endpoint is open")
	}
	return nil
}

// Listeners returns the addresses on which tunnels are accepted.
func (e *Engine) Listeners() []netip.AddrPort {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []netip.AddrPort
	for _, s := range e.sockets {
		if s.accepting.Load() {
			all = append(all, s.local)
		}
	}
	return all
}

// Dial begins a tunnel to peer from the address local. The zero Addr and port 0
// in it are the kernel's choice; the port is then one of the spec's Name. The
// outcome comes through spec.Handler, unless Dial returns an error: ErrLimit,
// ErrClosed, or those of kernel.ListenUDP.
func (e *Engine) Dial(local, peer netip.AddrPort, spec *TunnelSpec) error {
	path, err := e.udpPath(local, peer, spec.Name)
	if err != nil {
		return err
	}
	defer path.via.release()
	return e.dialPath(path, spec)
}

// udpPath is the way from local to peer by UDP, for Dial and OpenStatic. Its socket is
// held for the caller.
func (e *Engine) udpPath(local, peer netip.AddrPort, owner string) (Path, error) {
	if !local.Addr().IsValid() {
		local = netip.AddrPortFrom(wildcard(peer.Addr()), local.Port())
	}
	// The peer's packets will come with the number, and have to look the same.
	local = netip.AddrPortFrom(kernel.WithNumericZone(local.Addr()), local.Port())
	peer = netip.AddrPortFrom(kernel.WithNumericZone(peer.Addr()), peer.Port())
	sock, err := e.socketFor(local, owner)
	if err != nil {
		return Path{}, err
	}
	return Path{via: sock, Local: netip.AddrPortFrom(local.Addr(), sock.local.Port()), Peer: peer}, nil
}

func (e *Engine) dialPath(path Path, spec *TunnelSpec) error {
	if err := e.enter(path.Peer.Addr(), false); err != nil {
		return err
	}
	s := e.shards[int(e.nextDial.Add(1))%len(e.shards)]
	path.via.hold()
	if !s.post(func() { s.dial(path, spec); path.via.release() }) {
		path.via.release()
		e.exit(path.Peer.Addr())
		return ErrClosed
	}
	return nil
}

// Close ends every tunnel with a StopCCN and every bridge, waits until the
// peers have acknowledged or ctx ends, and frees all. The bridges that have not
// ended by then are left to themselves. Closing twice does nothing.
func (e *Engine) Close(ctx context.Context) {
	if e.closing.Swap(true) {
		return
	}
	for _, s := range e.shards {
		s.post(func() { s.stopAll(shuttingDown) })
	}
	e.closeStatics("adit is shutting down")
	for !e.drained(ctx) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	for _, s := range e.shards {
		s.post(func() { s.quit = true })
	}
	e.kernelWork.close()
	e.bridges.Close()
	e.pseudowires.Close()
	if e.bridging != nil {
		e.bridging.Stop()
	}
	for _, r := range e.readers {
		r.poller.Stop()
	}
	e.wg.Wait()
	e.closeSockets()
	e.closePollers()
}

// serve is the goroutine of a poller.
func (e *Engine) serve(what string, p *kernel.Poller) {
	if err := p.Run(); err != nil {
		e.log.WithError(err).Errorf("the loop that serves %s has failed: adit must be started again", what)
	}
}

// drained says whether every tunnel has said its last word, no bridge runs, and the end
// of every static session has been told.
func (e *Engine) drained(ctx context.Context) bool {
	var busy atomic.Bool
	err := e.ask(ctx, func(s *shard) {
		if !s.quiet() {
			busy.Store(true)
		}
	})
	return err == nil && !busy.Load() && e.bridges.Running() == 0 && e.pseudowires.Running() == 0 && e.noStatics() && e.kernelWork.idle()
}

// ask runs f on every shard, one after the other, and waits for each. When it
// returns an error, that of ctx, an f may still be running.
func (e *Engine) ask(ctx context.Context, f func(*shard)) error {
	for _, s := range e.shards {
		done := make(chan struct{})
		if !s.post(func() { f(s); close(done) }) {
			continue
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// sendControl puts a control message on the wire.
func (e *Engine) sendControl(path *Path, packet []byte) {
	e.counters.inc(ControlSent)
	if err := path.via.send(packet, path); err != nil {
		e.counters.inc(SendFailed)
	}
}
