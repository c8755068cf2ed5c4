package engine

import (
	"fmt"
	"time"

	"adit/internal/circuit"
	"adit/internal/kernel"
	"adit/pppbridge"
	"adit/proto/sequence"
	"adit/proto/tunnel"
)

// kernelTunnel is what a tunnel needs on the kernel plane: a UDP socket of its
// own, connected to the peer and bound to the address and port that the peer
// sends to, and the management socket that makes the kernel take the data
// messages off it. Control messages still come out of the UDP socket; ours go
// out by the shared socket, which has the same address and port.
type kernelTunnel struct {
	socket     *socket
	management *kernel.PPPoX
}

// kernelTunnel returns the tunnel's kernel side, made now if it is not there.
func (t *Tunnel) kernelTunnel() (*kernelTunnel, error) {
	if t.kernel != nil {
		return t.kernel, nil
	}
	base, ok := t.path.via.(*socket)
	if !ok {
		return nil, fmt.Errorf("no kernel data plane over %T", t.path.via)
	}
	if err := t.shard.engine.takePath(t); err != nil {
		return nil, err
	}
	k, err := t.openKernel(base)
	if err != nil {
		t.shard.engine.yieldPath(t)
		return nil, err
	}
	t.kernel = k
	return k, nil
}

func (t *Tunnel) openKernel(base *socket) (*kernelTunnel, error) {
	fd, err := kernel.ConnectedUDP(t.path.Local, t.path.Peer)
	if err != nil {
		return nil, err
	}
	management, err := kernel.OpenManagement(2, fd, t.path.Peer, t.id, t.core.Peer().TunnelID)
	if err != nil {
		closeFD(fd)
		return nil, err
	}
	socket, err := base.connected(fd)
	if err != nil {
		_ = management.Close()
		closeFD(fd)
		return nil, err
	}
	return &kernelTunnel{socket: socket, management: management}, nil
}

// closeKernel ends the tunnel in the kernel, and with it the sessions there.
func (t *Tunnel) closeKernel() {
	if t.kernel == nil {
		return
	}
	_ = t.kernel.management.Close()
	t.kernel.socket.close()
	t.kernel = nil
}

// startBridge opens what the call's PPP frames go to and lets frames flow.
func (t *Tunnel) startBridge(c *Call) error {
	e := t.shard.engine
	spec := c.spec.Bridge
	spec.Log = c.log
	spec.LNS = c.LNS
	spec.LocalTunnel, spec.PeerTunnel = t.id, t.core.Peer().TunnelID
	spec.LocalSession, spec.PeerSession = c.ID, c.PeerID
	spec.Peer = t.path.Peer
	spec.CallingNumber = c.Params.CallingNumber
	spec.ProxyLCP, spec.ProxyAuth = c.Params.ProxyLCP, c.Params.ProxyAuth
	// RFC 2661 section 4.4.4: "If this AVP is present, sequence numbers MUST be
	// present at all times" (Sequencing Required), whoever sent it.
	required := c.spec.SequencingRequired || c.Params.SequencingRequired
	spec.SendSequence = c.spec.SendSequence || required
	spec.RequireSequence = required
	spec.ReorderTimeout = c.spec.ReorderTimeout
	if err := t.choosePlane(c, &spec); err != nil {
		return err
	}
	d := &dataSession{
		slot: t.slot, peerTunnel: spec.PeerTunnel, peerID: c.PeerID, counters: &e.counters, required: required,
		sequence: sequence.New(sequence.Config{
			LNS: c.LNS, Send: spec.SendSequence, Required: required,
			ReorderTimeout: spec.ReorderTimeout, Buffers: e.buffers,
		}),
	}
	d.deadline.Owner = d
	l := newLink(t.shard, c)
	spec.Owner = l
	bridge, err := e.bridges.Open(spec, d, func(exit circuit.Exit) {
		t.shard.post(func() {
			l.end()
			c.bridgeEnded(exit)
		})
	})
	if err != nil {
		return err
	}
	t.bridges++
	d.bridge, c.bridge, c.data = bridge, bridge, d
	d.kernel = bridge.Kind().KernelPlane()
	t.slot.set(c.ID, d)
	if c.spec.Session != nil {
		c.spec.Session.Established(c)
	}
	if s, ok := bridge.(pppbridge.Stepper); ok {
		c.link = l
		l.begin(s, !c.LNS)
		c.takeEarly(time.Now())
	}
	c.early = nil
	return nil
}

// choosePlane gives a call of the kernel plane its tunnel's socket, or puts it on
// the userspace plane where the kernel cannot serve its tunnel and the profile
// leaves the choice to us.
func (t *Tunnel) choosePlane(c *Call, spec *pppbridge.Spec) error {
	e := t.shard.engine
	if spec.Kind.KernelPlane() {
		k, err := t.kernelTunnel()
		switch {
		case err == nil:
			spec.UDP = k.socket.fd
		case c.spec.Userspace != nil:
			spec.Kind = *c.spec.Userspace
			c.log.WithField("bridge", spec.Kind.String()).Warn(err.Error() + ": this session goes by userspace")
		default:
			return err
		}
	}
	if !spec.Kind.KernelPlane() {
		e.sharePath(t)
	}
	return e.uniqueOnPath(t, c.ID)
}

// closeReason is what the bridge's log says of the end.
func closeReason(cause tunnel.Cause) string {
	if cause.Remote {
		return "the peer cleared the call"
	}
	return "the call was cleared"
}
