package pseudowire

import (
	"errors"

	"adit/internal/circuit"
	"adit/internal/kernel"
)

// build is device's.
func (t *tapBridge) build(links *kernel.Links) (index int, err error) {
	var tun *kernel.TUN
	if t.kind == circuit.IPTUN {
		tun, err = kernel.OpenTUN(kernel.TUNOptions{Name: t.spec.Interface, MTU: t.mtu()})
	} else {
		tun, err = kernel.OpenTAP(kernel.TAPOptions{Name: t.spec.Interface, MTU: t.mtu()})
	}
	if err != nil {
		return 0, err
	}
	t.setName(tun.Name())
	d := circuit.NewDevice(tun)
	if err = t.setUp(links, tun.Index()); err != nil {
		d.Release()
		return 0, err
	}
	// The poller may have frames at once, and then looks for the device.
	t.opened.Store(d)
	t.handleMu.Lock()
	defer t.handleMu.Unlock()
	if t.handle, err = t.factory.cfg.Poller.Add(tun.Queue(0).FD(), kernel.Readable, t); err != nil {
		return 0, err
	}
	return tun.Index(), nil
}

// held is device's: a TAP without a carrier is up all the same.
func (t *tapBridge) held() bool { return false }

// setPeer is device's: the device has a carrier while the peer's circuit is active.
func (t *tapBridge) setPeer(_ *kernel.Links, active bool) error {
	d := t.opened.Load()
	if d == nil {
		return nil
	}
	err := d.TUN.SetCarrier(active)
	if errors.Is(err, kernel.ErrNotSupported) {
		return nil // the frames are dropped all the same
	}
	return err
}

// detach is device's.
func (t *tapBridge) detach() {
	t.handleMu.Lock()
	defer t.handleMu.Unlock()
	t.factory.cfg.Poller.Remove(t.handle)
}

// tearDown is device's. Who writes to the device still, holds it until that is done.
func (t *tapBridge) tearDown() {
	if d := t.opened.Swap(nil); d != nil {
		d.Release()
	}
}
