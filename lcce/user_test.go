package lcce

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"adit/internal/circuit"
	"adit/internal/config"
	"adit/internal/engine"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

var errNoKernel = errors.New("this kernel has no L2TP")

// lastOpen is the session that was opened last.
func (w *fakeWorld) lastOpen(t *testing.T) *fakeSession {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.open) == 0 {
		t.Fatal("no session was opened")
	}
	return w.open[len(w.open)-1]
}

// A session of the userspace plane is opened with what the configuration says.
func TestOpenedInUserspace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testTunnel()
		b := newBed(t, errNoKernel, cfg).start()
		if got := b.done(); got != "open 1" {
			t.Errorf("done: %s", got)
		}
		s := b.lastOpen(t)
		got := s.spec
		if got.Ended == nil || got.Bridge.Log == nil {
			t.Error("no end, or no log")
		}
		// One station's, administered locally, and the same when it is opened again.
		if m := got.Bridge.MAC; len(m) != 6 || m[0]&3 != 2 || b.role.circuits.mac(cfg.Sessions[0].Pseudowire.Name).String() != m.String() {
			t.Errorf("the address is %v", m)
		}
		got.Ended, got.Bridge.Log, got.Bridge.MAC = nil, nil, nil
		p := cfg.Sessions[0].Pseudowire
		want := engine.StaticSpec{
			Name: "east", Local: cfg.Local, Peer: cfg.Peer, ID: 1, PeerID: 2, Cookie: []byte("abcd"), PeerCookie: []byte("efghijkl"),
			Sublayer: l2tp.SublayerDefault, SendSequence: true, RequireSequence: true, ReorderTimeout: 20 * time.Millisecond,
		}
		want.Bridge.Kind, want.Bridge.Type = circuit.EthernetTAP, l2tp.PseudowireEthernet
		want.Bridge.Interface, want.Bridge.MTU, want.Bridge.Bridge, want.Bridge.Addresses = "lan0", 1400, "br0", p.Addresses
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
		if i := b.one(t); i.State != Up || i.Plane != config.DataPlaneUserspace || i.Sessions[0].Interface != "lan0" || i.Sessions[0].Kind != circuit.EthernetTAP {
			t.Errorf("%+v", i)
		}
		// Its device is looked after too.
		b.change(func() { b.device("lan0").Master, b.device("lan0").MTU = 1, 1400 })
		time.Sleep(checkInterval)
		b.done()
		b.change(func() { b.device("lan0").Master = 0 })
		b.role.linkEvent(b.role.tunnels[0].sessions[0].index)
		time.Sleep(eventPause)
		if got := b.done(); got != "bridge lan0 br0" {
			t.Errorf("done: %s", got)
		}
		b.role.Close()
		if got := b.done(); got != "close 1" {
			t.Errorf("at the end: %s", got)
		}
	})
}

// A session whose device somebody removes is opened again, after pauses that double if
// it goes on.
func TestOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, errNoKernel, testTunnel()).start()
		b.done()
		for n, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			b.lastOpen(t).end(circuit.Exit{Code: -1, Text: "the device was removed", Err: kernel.ErrNoLink})
			if i := b.one(t); i.State != Down || i.Sessions[0].Up || i.Sessions[0].Problem != "the device was removed" {
				t.Errorf("%d: %+v", n, i)
			}
			if b.circuits.Holder("east/lan") != "" {
				t.Error("its pseudowire is still held")
			}
			time.Sleep(pause*time.Second - time.Millisecond)
			if got := b.done(); got != "" {
				t.Errorf("%d: too early: %s", n, got)
			}
			time.Sleep(time.Millisecond)
			if got := b.done(); got != "open 1" {
				t.Errorf("%d: %s", n, got)
			}
		}
		if i := b.one(t); i.Repairs != 7 || i.State != Up {
			t.Errorf("%+v", i)
		}
		// One that lasted begins with the shortest pause.
		time.Sleep(time.Minute)
		b.done()
		b.lastOpen(t).end(circuit.Exit{Code: -1, Text: "the device was removed", Err: kernel.ErrNoLink})
		time.Sleep(time.Second)
		if got := b.done(); got != "open 1" {
			t.Errorf("after it lasted: %s", got)
		}
		b.role.Close()
	})
}

// A session whose device cannot be made is not up in between, and nobody else is said
// to have changed it.
func TestDeviceCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, errNoKernel, testTunnel()).start()
		const why = "the pseudowire's device cannot be made: no such bridge"
		b.lastOpen(t).end(circuit.Exit{Code: -1, Text: why, Err: kernel.ErrNoBridge})
		time.Sleep(time.Second)
		b.done()
		s := b.lastOpen(t)
		b.change(func() { s.info.Bridge.Interface = "" }) // it is being made
		down := func(when string) {
			t.Helper()
			if i := b.one(t); i.State != Down || i.Sessions[0].Up || i.Sessions[0].Problem != why || i.Repairs != 0 {
				t.Errorf("%s: %+v", when, i)
			}
		}
		down("opened again")
		time.Sleep(retryMin)
		down("a look later")
		b.change(func() { s.info.Bridge.Interface = "lan0" })
		time.Sleep(retryMin)
		b.done()
		if i := b.one(t); i.State != Up || !i.Sessions[0].Up || i.Sessions[0].Problem != "" || i.Repairs != 0 || b.role.Counts()["static_repairs"] != 0 {
			t.Errorf("when the device is there: %+v", i)
		}
		if log := b.log.String(); strings.Contains(log, "somebody else") || !strings.Contains(log, why) {
			t.Errorf("the log is\n%s", log)
		}
		b.role.Close()
	})
}

// The Session ID and the pseudowire of a session that a reload replaces are free only
// when its bridge has ended. That is waited for, and is nothing to complain about.
func TestReplacedInUserspace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, errNoKernel, testTunnel()).start()
		b.done()
		old := b.lastOpen(t)
		b.change(func() { old.slow = true })
		next := testTunnel()
		next.Peer = testTunnel().Local
		change, err := b.role.Reload(statics(next))
		if err != nil || !reflect.DeepEqual(change, Change{Replaced: []string{"east"}}) {
			t.Fatalf("%+v, %v", change, err)
		}
		if got := b.done(); got != "close 1" {
			t.Errorf("done: %s", got)
		}
		old.end(circuit.Exit{Closed: true})
		if got := b.done(); got != "open 1" {
			t.Errorf("done: %s", got)
		}
		if i := b.one(t); i.State != Up || i.Repairs != 0 || b.lastOpen(t).spec.Peer != next.Peer || strings.Contains(b.log.String(), "level=error") {
			t.Errorf("%+v\n%s", i, b.log)
		}
		b.role.Close()
	})
}

// statics is a configuration of static tunnels.
func statics(all ...*config.StaticTunnel) *config.Config {
	return &config.Config{L2TPv3: config.L2TPv3{Static: all}}
}
