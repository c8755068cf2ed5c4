package pseudowire

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
)

// fakeSessions makes a TAP in the place of an l2tpeth device.
type fakeSessions struct {
	mu   sync.Mutex
	made map[uint32]*kernel.TUN
	last kernel.L2TPSession
	fail error
}

func (f *fakeSessions) CreateSession(s kernel.L2TPSession) (kernel.L2TPSession, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = s
	if f.fail != nil {
		return s, f.fail
	}
	name := s.Interface
	if name == "" {
		name = "l2tpeth%d"
	}
	tap, err := kernel.OpenTAP(kernel.TAPOptions{Name: name})
	if err != nil {
		return s, err
	}
	f.made[s.ID] = tap
	s.Interface = tap.Name()
	return s, nil
}

func (f *fakeSessions) DeleteSession(_, id uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	tap := f.made[id]
	if tap == nil {
		return kernel.ErrNoEntry
	}
	tap.Close()
	delete(f.made, id)
	return nil
}

func (f *fakeSessions) Session(tunnel, id uint32) (kernel.L2TPSession, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made[id] == nil {
		return kernel.L2TPSession{}, kernel.ErrNoEntry
	}
	return kernel.L2TPSession{Tunnel: tunnel, ID: id, Stats: kernel.L2TPCounters{RxPackets: 3, RxBytes: 300, TxPackets: 5, TxBytes: 500, RxSeqDiscards: 1}}, nil
}

func (f *fakeSessions) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.made)
}

func newKernelEnd(t *testing.T) (*end, *fakeSessions) {
	t.Helper()
	f := &fakeSessions{made: make(map[uint32]*kernel.TUN)}
	return newEndIn(t, newNamespace(t), f), f
}

func kernelSpec() Spec {
	return Spec{
		Kind: circuit.EthernetKernel, Type: l2tp.PseudowireEthernetVLAN, Interface: "kpw%d", MTU: 1446,
		Addresses: prefixesOf("10.6.0.1/24", "fd06::1/64"),
		Session:   &kernel.L2TPSession{Tunnel: 7, ID: 9, Type: l2tp.PseudowireEthernetVLAN},
	}
}

func TestKernelSession(t *testing.T) {
	x, f := newKernelEnd(t)
	a := x.open(t, kernelSpec())
	if name := a.up(t); name != "kpw0" {
		t.Errorf("the interface is called %q", name)
	}
	// The kernel has but one type for both.
	if f.last.Type != l2tp.PseudowireEthernet || f.last.ID != 9 || f.last.Tunnel != 7 {
		t.Errorf("%+v", f.last)
	}
	out := x.ns.ip(t, "address", "show", "dev", "kpw0")
	for _, want := range []string{"mtu 1446", "10.6.0.1/24", "fd06::1/64", ",UP"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s: %s", want, out)
		}
	}
	s := a.Stats()
	if s.FramesIn != 3 || s.BytesOut != 500 || s.Kernel == nil || s.Kernel.RxSeqDiscards != 1 || s.Kernel.SessionID != 9 {
		t.Errorf("%+v", s)
	}
	x.ns.ip(t, "link", "set", "kpw0", "down")
	a.changed(t, false)
	x.ns.ip(t, "link", "set", "kpw0", "up")
	a.changed(t, true)
	a.Close("done")
	if e := a.wait(t); !e.Closed || e.Stats.FramesIn != 3 || f.left() != 0 {
		t.Errorf("%+v, %d left", e, f.left())
	}
	if s := a.Stats(); s.FramesIn != 3 || s.Kernel != nil {
		t.Errorf("afterwards: %+v", s)
	}
}

// While the peer's circuit is not active, the device is down and our own circuit is said
// to be nothing else than before; the addresses come back with it.
func TestKernelPeerInactive(t *testing.T) {
	x, _ := newKernelEnd(t)
	a := x.open(t, kernelSpec())
	a.up(t)
	reporter := a.Bridge.(circuit.StatusReporter)
	up := func(want bool) {
		t.Helper()
		waitFor(t, "device as it should be", func() bool {
			out := x.ns.ip(t, "address", "show", "dev", "kpw0")
			return strings.Contains(out, ",UP") == want && (!want || strings.Contains(out, "fd06::1/64"))
		})
	}
	for range 2 {
		reporter.SetPeerActive(false)
		up(false)
		reporter.SetPeerActive(true)
		up(true)
	}
	select {
	case active := <-a.status:
		t.Errorf("our own circuit is said to be active: %v", active)
	default:
	}
	// Whom somebody else had set down, stays down.
	x.ns.ip(t, "link", "set", "kpw0", "down")
	a.changed(t, false)
	reporter.SetPeerActive(false)
	reporter.SetPeerActive(true)
	waitFor(t, "quiet", func() bool {
		k := a.Bridge.(*kernelBridge)
		k.mu.Lock()
		defer k.mu.Unlock()
		return !k.busy
	})
	up(false)
	x.ns.ip(t, "link", "set", "kpw0", "up")
	a.changed(t, true)
}

// The session or its device is deleted by others, or cannot be made at all.
func TestKernelSessionOfOthers(t *testing.T) {
	x, f := newKernelEnd(t)
	a := x.open(t, kernelSpec())
	a.up(t)
	if err := f.DeleteSession(7, 9); err != nil {
		t.Fatal(err)
	}
	if e := a.wait(t); e.Closed || e.Result.Result != l2tp.CDNLossOfCarrier || !errors.Is(e.Err, kernel.ErrNoLink) {
		t.Errorf("%+v", e)
	}
	f.fail = &kernel.Error{Op: "make a session", Kind: kernel.ErrNotSupported, Err: errors.New("refused"), Advice: "load the module l2tp_eth"}
	b := x.open(t, kernelSpec())
	if e := b.wait(t); e.Result.Result != l2tp.CDNNoFacilitiesPermanent || !strings.Contains(e.Text, "l2tp_eth") || !errors.Is(e.Err, kernel.ErrNotSupported) {
		t.Errorf("%+v", e)
	}
	f.fail = nil
	s := kernelSpec()
	s.Bridge = "br9"
	if e := x.open(t, s).wait(t); !errors.Is(e.Err, kernel.ErrNoBridge) || f.left() != 0 {
		t.Errorf("%+v, %d left", e, f.left())
	}
}

// The tag is that of an interface on top of the l2tpeth device, where the kernel has such.
func TestKernelVLAN(t *testing.T) {
	x, f := newKernelEnd(t)
	s := kernelSpec()
	s.VLAN = 7
	a := x.open(t, s)
	waitFor(t, "device, or its refusal", func() bool { return len(a.exits) > 0 || isReady(a) })
	if len(a.exits) > 0 {
		e := a.wait(t)
		if !errors.Is(e.Err, kernel.ErrNotSupported) || !strings.Contains(e.Text, "8021q") || f.left() != 0 {
			t.Errorf("%+v, %d left", e, f.left())
		}
		return
	}
	if name := a.up(t); name != "kpw0" || f.last.Interface != "" {
		t.Errorf("the interface is called %q, that of the session %q", name, f.last.Interface)
	}
	out := x.ns.ip(t, "-d", "address", "show", "dev", "kpw0")
	for _, want := range []string{"kpw0@l2tpeth0", "vlan protocol 802.1Q id 7", "10.6.0.1/24", ",UP"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s: %s", want, out)
		}
	}
	a.Close("")
	a.wait(t)
	if out := x.ns.ip(t, "-o", "link"); strings.Contains(out, "kpw0") || f.left() != 0 {
		t.Errorf("left: %s", out)
	}
}
