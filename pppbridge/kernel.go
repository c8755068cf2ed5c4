package pppbridge

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"adit/internal/circuit"
	"adit/internal/kernel"
)

// kernelBridge is pppd on a PPPoX socket: frames never come to us. The socket is
// opened at once, so the kernel knows the session from the moment it is up; it
// queues up to a socket buffer of frames until pppd has bound it, but a peer's
// first Configure-Request in that queue is for nobody and comes again.
//
// We keep a copy of the socket, for the counters, and close it last. It cannot
// tell us that the kernel's session has ended: Linux (6.1) leaves the socket as
// it was when the tunnel's UDP socket is closed or somebody deletes the session
// by netlink, and pppd sees nothing of it either. So whoever closes a tunnel
// closes its bridges, and should adit die, pppd gets a signal (see forker).
type kernelBridge struct {
	*pppd
	mu      sync.Mutex // of socket against Stats
	socket  *kernel.PPPoX
	last    kernel.L2TPStats // when the session was last there
	devnull int
	dropped atomic.Uint64
}

func openKernel(f *Factory, spec Spec, onExit func(circuit.Exit)) (circuit.Bridge, error) {
	devnull, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	x, err := kernel.OpenSession(max(spec.Version, 2), spec.UDP, spec.Peer, spec.LocalTunnel, spec.PeerTunnel, spec.LocalSession, spec.PeerSession)
	if err != nil {
		_ = unix.Close(devnull)
		return nil, err
	}
	k := &kernelBridge{socket: x, devnull: devnull}
	k.pppd = newPPPD(f, spec, k, onExit)
	err = k.setOptions()
	if err == nil {
		err = k.launch()
	}
	if err != nil {
		_ = x.Close()
		_ = unix.Close(devnull)
		return nil, err
	}
	return k, nil
}

// setOptions sets what pppd's plugin will set again from its own words: so that
// it holds from the first frame, and because the plugin can only turn a thing
// on.
func (k *kernelBridge) setOptions() error {
	s := &k.spec
	for _, err := range [...]error{
		k.socket.SetLNSMode(s.LNS),
		k.socket.SetSendSeq(s.SendSequence),
		k.socket.SetRecvSeq(s.RequireSequence),
		k.socket.SetReorderTimeout(s.ReorderTimeout),
	} {
		if err != nil {
			return err
		}
	}
	if s.KernelDebug != 0 {
		return k.socket.SetDebug(s.KernelDebug)
	}
	return nil
}

func (k *kernelBridge) Kind() circuit.Kind  { return circuit.PPPDKernel }
func (k *kernelBridge) SetACCM(_, _ uint32) {}
func (k *kernelBridge) Info() circuit.Info  { return k.getInfo() }
func (k *kernelBridge) Close(reason string) { k.stop(reason) }
func (k *kernelBridge) settled(_ time.Time) {}
func (k *kernelBridge) socketFD() (fd int)  { k.locked(func() { fd = k.socket.FD() }); return fd }
func (k *kernelBridge) locked(f func())     { k.mu.Lock(); defer k.mu.Unlock(); f() }
func (k *kernelBridge) childFiles() (stdin, stdout int, extra []int) {
	return k.devnull, k.devnull, []int{k.socketFD()}
}

// Deliver drops: data of a kernel session that still reached us came before the
// session was there.
func (k *kernelBridge) Deliver(*circuit.Burst, time.Time, []byte) { k.dropped.Add(1) }

func (k *kernelBridge) forked() {
	_ = unix.Close(k.devnull)
	k.devnull = -1
}

func (k *kernelBridge) ended(time.Time) circuit.Stats {
	last := k.Stats()
	k.locked(func() { _ = k.socket.Close() })
	if k.devnull >= 0 {
		_ = unix.Close(k.devnull)
		k.devnull = -1
	}
	return last
}

func (k *kernelBridge) readStats() (ok bool) {
	s, err := k.socket.Stats()
	if err == nil {
		k.last = s
	}
	return err == nil
}

func (k *kernelBridge) Stats() circuit.Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	live := k.readStats()
	s := circuit.Stats{
		FramesIn: k.last.RxPackets, BytesIn: k.last.RxBytes,
		FramesOut: k.last.TxPackets, BytesOut: k.last.TxBytes,
		DropClosed: k.dropped.Load(), LogLinesDropped: k.logDrops.Load(),
	}
	if live {
		last := k.last
		s.Kernel = &last
	}
	return s
}
