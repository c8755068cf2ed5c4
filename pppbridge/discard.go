package pppbridge

import (
	"sync/atomic"
	"time"

	"adit/internal/circuit"
	"adit/proto/l2tp"
)

// discard counts frames and throws them away.
type discard struct {
	f             *Factory
	onExit        func(circuit.Exit)
	closed        atomic.Bool
	frames, bytes atomic.Uint64
}

func openDiscard(f *Factory, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	if !f.arrive() {
		return nil, ErrClosed
	}
	return &discard{f: f, onExit: onExit}, nil
}

func (d *discard) Kind() circuit.Kind           { return circuit.Discard }
func (d *discard) SetACCM(send, receive uint32) {}
func (d *discard) Info() circuit.Info           { return circuit.Info{} }

func (d *discard) Deliver(_ *circuit.Burst, _ time.Time, frame []byte) {
	d.frames.Add(1)
	d.bytes.Add(uint64(len(frame)))
}

func (d *discard) Stats() circuit.Stats {
	return circuit.Stats{FramesIn: d.frames.Load(), BytesIn: d.bytes.Load()}
}

func (d *discard) Close(reason string) {
	if d.closed.Swap(true) {
		return
	}
	d.f.sup.poller.Post(func(time.Time) {
		d.f.gone()
		d.onExit(circuit.Exit{
			Code: -1, Closed: true, Text: reason,
			Result: l2tp.ResultCode{Result: l2tp.CDNAdministrative},
			PPP:    &l2tp.PPPDisconnect{Code: l2tp.DisconnectAdministrative},
		})
	})
}
