package engine

import (
	"errors"
	"fmt"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
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
	fd         int           // of the socket that is the kernel's tunnel
	socket     *socket       // nil over IP: fd is not read
	management *kernel.PPPoX // nil in version 3
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

// kernelTunnel returns the tunnel's kernel side, made now if it is not there.
func (t *Tunnel) kernelTunnel() (*kernelTunnel, error) {
	if t.kernel != nil {
		return t.kernel, nil
	}
	if t.is3() && t.shard.engine.opt.L2TP == nil {
		return nil, errNoKernelL2TP
	}
	if err := t.shard.engine.takePath(t); err != nil {
		return nil, err
	}
	k, err := t.openKernel()
	if err != nil {
		t.shard.engine.yieldPath(t)
		return nil, err
	}
	t.kernel = k
	return k, nil
}

func (t *Tunnel) openKernel() (*kernelTunnel, error) {
	switch via := t.path.via.(type) {
	case *socket:
		return t.openKernelUDP(via)
	case *ipSocket:
		return t.openKernelIP()
	}
	return nil, fmt.Errorf("no kernel data plane over %T", t.path.via)
}

func (t *Tunnel) openKernelUDP(base *socket) (*kernelTunnel, error) {
	fd, err := kernel.ConnectedUDP(t.path.Local, t.path.Peer)
	if err != nil {
		return nil, err
	}
	k := &kernelTunnel{fd: fd}
	if t.is3() {
		err = t.createTunnel(fd, kernel.L2TPEncapUDP)
	} else {
		k.management, err = kernel.OpenManagement(l2tp.Version, fd, t.path.Peer, t.id, t.core.Peer().TunnelID)
	}
	if err == nil {
		k.socket, err = base.connected(fd)
	}
	if err != nil {
		t.forgetKernel(k)
		closeFD(fd)
		return nil, err
	}
	return k, nil
}

func (t *Tunnel) openKernelIP() (*kernelTunnel, error) {
	fd, err := kernel.L2TPIPSocket(t.path.Local.Addr(), t.path.Peer.Addr(), t.id, t.core.Peer().TunnelID)
	if err != nil {
		return nil, err
	}
	if err := t.createTunnel(fd, kernel.L2TPEncapIP); err != nil {
		closeFD(fd)
		return nil, err
	}
	return &kernelTunnel{fd: fd}, nil
}

// createTunnel makes the tunnel of version 3 in the kernel.
func (t *Tunnel) createTunnel(fd int, encap kernel.L2TPEncap) error {
	return t.shard.engine.opt.L2TP.CreateTunnel(kernel.L2TPTunnel{
		ID: t.id, PeerID: t.core.Peer().TunnelID, Version: l2tp.Version3, Encap: encap, FD: fd,
		Local: t.path.Local, Peer: t.path.Peer,
	})
}

// closeKernel ends the tunnel in the kernel, and with it the sessions there.
func (t *Tunnel) closeKernel() {
	k := t.kernel
	if k == nil {
		return
	}
	t.forgetKernel(k)
	if k.socket != nil {
		k.socket.release()
	} else {
		closeFD(k.fd)
	}
	t.kernel = nil
}

// forgetKernel takes the tunnel away from the kernel. What is not there is no matter.
func (t *Tunnel) forgetKernel(k *kernelTunnel) {
	if k.management != nil {
		_ = k.management.Close()
	}
	if t.is3() {
		_ = t.shard.engine.opt.L2TP.DeleteTunnel(t.id)
	}
}

// plane is what moves the data of a call.
type plane struct {
	kind circuit.Kind
	fd   int // of the kernel's tunnel; of the kernel plane only
}

// kind is where the role wants the frames to go.
func (s *CallSpec) kind() circuit.Kind {
	if s.Pseudowire != nil {
		return s.Pseudowire.Kind
	}
	return s.Bridge.Kind
}

// choosePlane gives a call of the kernel plane its tunnel's socket, or puts it on
// the userspace plane where the kernel cannot serve its tunnel and the profile
// leaves the choice to us.
func (t *Tunnel) choosePlane(c *Call) (plane, error) {
	p := plane{kind: c.spec.kind()}
	if p.kind.KernelPlane() {
		var err error
		if t.is3() {
			err = kernelCanCarry(&c.Params.Local, &c.Params.Peer)
		}
		if err == nil {
			var k *kernelTunnel
			if k, err = t.kernelTunnel(); err == nil {
				p.fd = k.fd
			}
		}
		switch {
		case err == nil:
		case c.spec.Userspace != nil:
			p.kind = *c.spec.Userspace
			c.log.WithField("bridge", p.kind.String()).Warn(err.Error() + ": this session goes by userspace")
		default:
			return p, err
		}
	}
	if !p.kind.KernelPlane() {
		t.shard.engine.sharePath(t)
	}
	if t.is3() {
		return p, nil // a Session ID is of one session among all
	}
	return p, t.shard.engine.uniqueOnPath(t, c.ID)
}

// errSublayers says why the kernel cannot carry a session.
var errSublayers = errors.New("the kernel has one L2-Specific Sublayer for both directions, default or none, and the two ends want different ones")

// errSequencing says why not either: the kernel takes a peer to whom we send numbers for
// one that numbers all of its own messages (Linux 6.1).
var errSequencing = errors.New("the kernel numbers all data messages of both ends or none")

// kernelCanCarry says whether the kernel knows data messages such as the two ends of a
// session of version 3 want. The error is errSublayers or errSequencing.
func kernelCanCarry(us, peer *tunnel.Wire) error {
	switch {
	case us.Sublayer != peer.Sublayer || us.Sublayer == l2tp.SublayerATM:
		return errSublayers
	case us.Sequencing != peer.Sequencing || us.Sequencing == l2tp.SequencingNonIP:
		return errSequencing
	}
	return nil
}

// closeReason is what the bridge's log says of the end.
func closeReason(cause tunnel.Cause) string {
	if cause.Remote {
		return "the peer cleared the call"
	}
	return "the call was cleared"
}
