package engine

import (
	"slices"
	"sync"

	"adit/internal/circuit"
	"adit/pseudowire"
)

// fakePseudowires opens fakeBridges for pseudowires.
type fakePseudowires struct {
	fakeBridges
	mu    sync.Mutex
	specs []pseudowire.Spec
	made  []*fakeCircuit
}

// fakeCircuit is a fakeBridge that notes the peer's status.
type fakeCircuit struct {
	*fakeBridge
	statuses []bool // under fakeBridge.mu
}

func (c *fakeCircuit) SetPeerActive(active bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses = append(c.statuses, active)
}

func (c *fakeCircuit) told() []bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.statuses)
}

func (f *fakePseudowires) Open(spec pseudowire.Spec, frames circuit.Frames, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	f.fakeBridges.mu.Lock()
	defer f.fakeBridges.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	b := &fakeBridge{of: &f.fakeBridges, kind: spec.Kind, frames: frames, onExit: onExit, keep: true}
	f.all = append(f.all, b)
	f.running++
	c := &fakeCircuit{fakeBridge: b}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.specs, f.made = append(f.specs, spec), append(f.made, c)
	return c, nil
}

// circuit returns the nth bridge that was opened, and what was asked for.
func (f *fakePseudowires) circuit(n int) (*fakeCircuit, pseudowire.Spec) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made[n], f.specs[n]
}
