package engine

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"adit/internal/circuit"
	"adit/pppbridge"
)

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
	kind   circuit.Kind
	spec   pppbridge.Spec
	frames circuit.Frames
	onExit func(circuit.Exit)
	// stepper is what was opened, for a kind that speaks PPP itself.
	stepper *fakeStepper

	mu        sync.Mutex
	closed    int
	ended     bool
	keep      bool
	asked     func() // by Stats, if not nil
	delivered [][]byte
	count     int
	accm      [2]uint32
}

func (f *fakeBridges) Open(spec pppbridge.Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	b := &fakeBridge{of: f, kind: spec.Kind, spec: spec, frames: frames, onExit: onExit, keep: true}
	f.all = append(f.all, b)
	f.running++
	if spec.Kind == circuit.Builtin {
		b.stepper = &fakeStepper{fakeBridge: b}
		return b.stepper, nil
	}
	return b, nil
}

func (f *fakeBridges) Running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

func (f *fakeBridges) OpenTUN(pppbridge.TUNConfig) error   { return nil }
func (f *fakeBridges) TUN() (string, int, error)           { return "adit0", 1, nil }
func (f *fakeBridges) PlaneCounts() *pppbridge.PlaneCounts { return new(pppbridge.PlaneCounts) }

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

func (b *fakeBridge) Kind() circuit.Kind { return b.kind }
func (b *fakeBridge) Stats() circuit.Stats {
	b.mu.Lock()
	asked := b.asked
	b.mu.Unlock()
	if asked != nil {
		asked()
	}
	return circuit.Stats{FramesIn: uint64(b.received())}
}
func (b *fakeBridge) Info() circuit.Info { return circuit.Info{Interface: "ppp7"} }
func (b *fakeBridge) SetACCM(send, receive uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accm = [2]uint32{send, receive}
}

func (b *fakeBridge) Deliver(_ *circuit.Burst, _ time.Time, frame []byte) {
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
			b.exit(circuit.Exit{Code: -1, Closed: true, Text: reason})
		}()
	}
}

// exit ends the bridge, the first time that it is called.
func (b *fakeBridge) exit(e circuit.Exit) {
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
