package engine

import (
	"errors"
	"time"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

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
// leaves the choice to us. While the call waits for the kernel it may end.
func (t *Tunnel) choosePlane(c *Call) {
	c.waits = true
	if !c.spec.kind().KernelPlane() {
		t.onPlane(c, plane{kind: c.spec.kind()})
		return
	}
	if t.is3() {
		if err := kernelCanCarry(&c.Params.Local, &c.Params.Peer); err != nil {
			t.planeChosen(c, nil, err)
			return
		}
	}
	t.withKernel(func(k *kernelTunnel, err error) {
		if c.waits {
			t.planeChosen(c, k, err)
		}
	})
}

// planeChosen goes on with the tunnel's kernel side, or without one, because of err.
func (t *Tunnel) planeChosen(c *Call, k *kernelTunnel, err error) {
	p := plane{kind: c.spec.kind()}
	switch {
	case err == nil:
		p.fd = k.fd
	case c.spec.Userspace != nil:
		p.kind = *c.spec.Userspace
		c.log.WithField("bridge", p.kind.String()).Warn(err.Error() + ": this session goes by userspace")
	default:
		t.cannotServe(c, err)
		return
	}
	t.onPlane(c, p)
}

// onPlane goes on with the plane of the call.
func (t *Tunnel) onPlane(c *Call, p plane) {
	e := t.shard.engine
	if !p.kind.KernelPlane() {
		e.sharePath(t)
	}
	if !t.is3() { // there, a Session ID is of one session among all
		if err := e.uniqueOnPath(t, c.ID); err != nil {
			t.cannotServe(c, err)
			return
		}
	}
	if t.is3() && p.kind.KernelPlane() && c.isPPP() {
		t.createSession(c, p)
		return
	}
	t.serve(c, p)
}

// createSession makes the session of a call in the kernel before there is a PPPoX socket
// for it, which cannot say what the data messages of version 3 look like.
func (t *Tunnel) createSession(c *Call, p plane) {
	session, l2tpSessions, asked := c.kernelSession(l2tp.PseudowirePPP), t.shard.engine.opt.L2TP, time.Now()
	t.inKernel(func() func() {
		err := promptly(asked, func() error { _, err := l2tpSessions.CreateSession(session); return err })
		return func() {
			switch {
			case !c.waits && err == nil:
				t.deleteSession(c)
			case !c.waits:
			case err != nil:
				t.cannotServe(c, err)
			default:
				t.serve(c, p)
			}
		}
	})
}

// deleteSession undoes createSession. Mostly the session has gone with its PPPoX socket,
// but not where none was ever opened.
func (t *Tunnel) deleteSession(c *Call) {
	l2tpSessions, tunnelID, id := t.shard.engine.opt.L2TP, t.id, c.ID
	t.inKernel(func() func() {
		_ = l2tpSessions.DeleteSession(tunnelID, id)
		return nil
	})
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
