package circuit

import (
	"sync/atomic"

	"adit/internal/kernel"
)

// Device is a TUN that is written to from many goroutines. Each of them holds
// it while it has packets for it, so that nobody writes to a descriptor that is
// closed, or another's by now.
type Device struct {
	TUN  *kernel.TUN
	refs atomic.Int64
}

// NewDevice holds the TUN for the caller, whose Release is the last.
func NewDevice(tun *kernel.TUN) *Device {
	d := &Device{TUN: tun}
	d.refs.Store(1)
	return d
}

// Hold keeps the device open until Release; false: it is closed.
func (d *Device) Hold() bool {
	for {
		n := d.refs.Load()
		if n == 0 {
			return false
		}
		if d.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release undoes Hold. The last one closes the device.
func (d *Device) Release() {
	if d.refs.Add(-1) == 0 {
		d.TUN.Close()
	}
}
