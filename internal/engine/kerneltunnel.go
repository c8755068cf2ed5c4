package engine

import (
	"errors"
	"fmt"
	"time"

	"adit/internal/kernel"
	"adit/proto/l2tp"
	"adit/pseudowire"
)

// kernelTunnel is what a tunnel needs on the kernel plane: a UDP socket of its
// own, connected to the peer and bound to the address and port that the peer
// sends to, and what makes the kernel take the data messages off it: of version 2 the
// management socket, of version 3 a tunnel made by netlink. Control messages still come
// out of the UDP socket; ours go out by the shared socket, which has the same address
// and port.
//
// Over IP the kernel has a socket of its own for data, and control messages come and go
// by the shared one.
type kernelTunnel struct {
	kernelEnds
	fd         int           // of the socket that is the kernel's tunnel
	socket     *socket       // nil over IP: fd is not read
	management *kernel.PPPoX // nil in version 3
}

// kernelEnds is what the kernel is told of a tunnel. It does not change, so it may be
// used beside the shard.
type kernelEnds struct {
	l2tp       KernelL2TP // of version 3
	via        transport
	path       kernelPath
	version    uint8
	id, peerID uint32
}

// KernelL2TP makes L2TPv3 tunnels and sessions of the kernel's; kernel.L2TP does. Its
// methods may be called from any goroutine.
type KernelL2TP interface {
	pseudowire.Sessions
	CreateTunnel(t kernel.L2TPTunnel) error
	DeleteTunnel(id uint32) error
}

// errNoKernelL2TP says why a tunnel of version 3 is not on the kernel plane.
var errNoKernelL2TP = errors.New("the kernel's L2TPv3 is not there: load it by `modprobe l2tp_netlink l2tp_eth`, or set dataplane = \"userspace\"")

// errOver says why the kernel side of a tunnel is of no use to a call any more.
var errOver = errors.New("the tunnel is down")

// withKernel calls f on the shard when the tunnel's kernel side is there, made now if it
// was not, or cannot be made. Of version 2 that is at once; of version 3 the kernel has to
// be waited for.
func (t *Tunnel) withKernel(f func(*kernelTunnel, error)) {
	e := t.shard.engine
	switch {
	case t.kernel != nil:
		f(t.kernel, nil)
		return
	case len(t.kernelWaits) > 0:
		t.kernelWaits = append(t.kernelWaits, f)
		return
	case t.is3() && e.opt.L2TP == nil:
		f(nil, errNoKernelL2TP)
		return
	}
	if err := e.takePath(t); err != nil {
		f(nil, err)
		return
	}
	t.kernelWaits = append(t.kernelWaits, f)
	ends := kernelEnds{
		l2tp: e.opt.L2TP, via: t.path.via, path: t.kernelPath(), version: t.version, id: t.id, peerID: t.core.Peer().TunnelID,
	}
	if !t.is3() {
		t.kernelMade(ends.open())
		return
	}
	asked := time.Now()
	t.inKernel(func() func() {
		var k *kernelTunnel
		err := promptly(asked, func() (err error) { k, err = ends.open(); return err })
		return func() { t.kernelMade(k, err) }
	})
}

// kernelMade is the outcome. The tunnel may be down by now.
func (t *Tunnel) kernelMade(k *kernelTunnel, err error) {
	waits := t.kernelWaits
	t.kernelWaits = nil
	switch {
	case t.down:
		t.endKernel(k)
		k, err = nil, errOver
	case err != nil:
		t.shard.engine.yieldPath(t)
	default:
		t.kernel = k
	}
	for _, f := range waits {
		f(k, err)
	}
}

// closeKernel ends the tunnel in the kernel, and with it the sessions there.
func (t *Tunnel) closeKernel() {
	k := t.kernel
	t.kernel = nil
	t.endKernel(k)
}

// endKernel takes a tunnel out of the kernel, beside the shard if that may take time; nil:
// it was not there.
func (t *Tunnel) endKernel(k *kernelTunnel) {
	switch {
	case k == nil:
	case t.is3():
		t.inKernel(func() func() { k.close(); return nil })
	default:
		k.close()
	}
}

// open makes the tunnel in the kernel.
func (k kernelEnds) open() (*kernelTunnel, error) {
	switch via := k.via.(type) {
	case *socket:
		return k.openKernelUDP(via)
	case *ipSocket:
		return k.openKernelIP()
	}
	return nil, fmt.Errorf("no kernel data plane over %T", k.via)
}

func (k kernelEnds) openKernelUDP(base *socket) (*kernelTunnel, error) {
	fd, err := kernel.ConnectedUDP(k.path.local, k.path.peer)
	if err != nil {
		return nil, err
	}
	// The peer's packets come to it from now on, so it is read before the kernel is asked,
	// which may take its time.
	made := &kernelTunnel{kernelEnds: k, fd: fd}
	if made.socket, err = base.connected(fd); err != nil {
		return nil, err
	}
	if k.version == l2tp.Version3 {
		err = k.createTunnel(fd, kernel.L2TPEncapUDP)
	} else {
		made.management, err = kernel.OpenManagement(l2tp.Version, fd, k.path.peer, k.id, k.peerID)
	}
	if err != nil {
		made.socket.release()
		return nil, err
	}
	return made, nil
}

func (k kernelEnds) openKernelIP() (*kernelTunnel, error) {
	fd, err := kernel.L2TPIPSocket(k.path.local.Addr(), k.path.peer.Addr(), k.id, k.peerID)
	if err != nil {
		return nil, err
	}
	if err := k.createTunnel(fd, kernel.L2TPEncapIP); err != nil {
		closeFD(fd)
		return nil, err
	}
	return &kernelTunnel{kernelEnds: k, fd: fd}, nil
}

// createTunnel makes the tunnel of version 3 in the kernel.
func (k kernelEnds) createTunnel(fd int, encap kernel.L2TPEncap) error {
	return k.l2tp.CreateTunnel(kernel.L2TPTunnel{
		ID: k.id, PeerID: k.peerID, Version: l2tp.Version3, Encap: encap, FD: fd,
		Local: k.path.local, Peer: k.path.peer,
	})
}

// close takes the tunnel away from the kernel, and closes its socket.
func (k *kernelTunnel) close() {
	k.forget()
	if k.socket != nil {
		k.socket.release()
	} else {
		closeFD(k.fd)
	}
}

// forget takes the tunnel away from the kernel. What is not there is no matter.
func (k *kernelTunnel) forget() {
	if k.management != nil {
		_ = k.management.Close()
	}
	if k.version == l2tp.Version3 {
		_ = k.l2tp.DeleteTunnel(k.id)
	}
}
