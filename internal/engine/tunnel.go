package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/loop"
	"adit/internal/sparing"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// Tunnel is one control connection and its calls, as its shard holds it. Roles
// get it as a handle: the methods with a capital letter may be called from any
// goroutine.
type Tunnel struct {
	shard *shard
	spec  *TunnelSpec
	id    uint32
	log   *logrus.Entry

	core   *tunnel.Tunnel // nil until dialled or accepted
	slot   *tunnelSlot
	path   *Path // in use now
	kernel *kernelTunnel
	// kernelWaits are called when the kernel side that is being made is there.
	kernelWaits []func(*kernelTunnel, error)

	// version is that of the control connection or, before it is established, of the
	// spec.
	version   uint8
	origin    origin
	initiator bool // we sent the SCCRQ
	up, down  bool
	gone      bool
	released  bool        // letGo was done
	lost      atomic.Bool // the tie; the Lose may still be in the mail
	halfOpen  bool        // counted in Engine.halfOpen
	since     time.Time   // in the present state
	entered   netip.Addr  // what Engine.enter was given

	calls    map[uint32]*Call // by our Session ID
	placed   map[*Call]bool   // placed, and without a Session ID as yet
	drawn    []uint32         // Session IDs of version 3 that this Step has reserved
	reserved map[uint32]bool  // those that are reserved for calls
	bridges  int              // bridges that have not ended
	inWork   int              // what kernelWorkers have to do
	callers  sparing.Lines    // lines about calls of the peer that were never up
	deadline loop.Deadline[*Tunnel]

	// Events wait here while Step's actions are being performed, because a role
	// may answer an action with the next event.
	pending  []tunnel.Event
	stepping bool
}

// ID is our Assigned Tunnel ID.
func (t *Tunnel) ID() uint32 { return t.id }

// Name is the peer's name in the configuration.
func (t *Tunnel) Name() string { return t.spec.Name }

// Log is the tunnel's log entry, with its fields.
func (t *Tunnel) Log() *logrus.Entry { return t.log }

// Version is the L2TP version of the control connection. Only for use in a Handler's
// methods.
func (t *Tunnel) Version() uint8 { return t.version }

func (t *Tunnel) is3() bool { return t.version == l2tp.Version3 }

// Peer is the peer's address. Only for use in a Handler's methods.
func (t *Tunnel) Peer() netip.AddrPort { return t.path.Peer }

// PeerID is the peer's Assigned Tunnel ID, Local our address of the tunnel, and
// HostName what we call ourselves in it. Only for use in a Handler's methods.
func (t *Tunnel) PeerID() uint32        { return t.core.Peer().TunnelID }
func (t *Tunnel) Local() netip.AddrPort { return t.path.Local }
func (t *Tunnel) HostName() string      { return t.spec.Tunnel.HostName }

// PeerHostName is the peer's Host Name AVP. Only for use in a Handler's methods.
func (t *Tunnel) PeerHostName() string { return t.core.Peer().HostName }

// Stop ends the tunnel with a StopCCN.
func (t *Tunnel) Stop(cause tunnel.Cause) {
	t.shard.post(func() { t.step(tunnel.Stop{Cause: cause}) })
}

// PlaceCall asks the peer for a call: ICRQ or OCRQ, by call.Direction. It is for
// tunnels whose TunnelUp was told. The call's fate comes through the Handler, but
// not after Engine.Close. The call gets a serial number, if it has none.
func (t *Tunnel) PlaceCall(call tunnel.Call, spec *CallSpec) *Call {
	if call.CallSerial == 0 {
		call.CallSerial = t.shard.engine.serial.next()
	}
	spec.complete(&call)
	c := &Call{tunnel: t, spec: spec, Params: call, placed: true, since: time.Now()}
	c.log = t.log.WithField("session_name", spec.Name)
	if !t.shard.post(func() { t.place(c) }) {
		c.state = CallEnded
		spec.ended(tunnel.Cause{}, nil)
	}
	return c
}

func (t *Tunnel) place(c *Call) {
	if t.core == nil || t.down {
		t.finish(c, tunnel.Cause{Result: l2tp.ResultCode{
			Result: l2tp.CDNLossOfCarrier, Message: "the tunnel is down"}})
		return
	}
	if !t.shard.engine.takeSession() {
		t.finish(c, tunnel.Cause{Result: l2tp.ResultCode{
			Result: l2tp.CDNNoFacilitiesTemporary, Message: "limits.sessions is reached"}})
		return
	}
	c.counted = true
	t.placed[c] = true
	t.step(tunnel.PlaceCall{Ref: c, Call: c.Params})
}

// receive takes a control message that carries the tunnel's ID.
func (t *Tunnel) receive(ev tunnel.Receive, path *Path) {
	if !t.admits(path) {
		t.shard.engine.counters.inc(DropWrongPeer)
		return
	}
	if t.lost.Load() && !t.up {
		t.step(tunnel.Lose{}) // the peer's answer has overtaken it
		return
	}
	wasUp := t.core.Established()
	if !wasUp && t.initiator && !path.same(t.path) {
		t.tryPath(ev, path)
		return
	}
	t.step(ev)
}

// admits says whether a packet may have come from the tunnel's peer.
//
// RFC 2661 section 8.1: "The recipient picks a free port on its own system
// (which may or may not be 1701), and sends its reply to the initiator's UDP
// port and address, setting its own source port to the free port it found."
func (t *Tunnel) admits(path *Path) bool {
	if path.via != t.path.via {
		return false
	}
	if path.Peer == t.path.Peer {
		return true
	}
	if t.up || t.down || !t.initiator {
		return false
	}
	return path.Peer.Addr() == t.path.Peer.Addr() || t.spec.AcceptOtherAddress
}

// tryPath steps with a message that came another way than we sent our SCCRQ,
// and adopts that way if the message established the tunnel: only then was it
// the peer's answer.
func (t *Tunnel) tryPath(ev tunnel.Receive, path *Path) {
	old := t.path
	t.setPath(path)
	t.step(ev)
	if !t.core.Established() && !t.down {
		t.setPath(old)
	}
}

func (t *Tunnel) setPath(path *Path) {
	p := *path
	p.via.prepare(&p)
	t.path = &p
	t.slot.path.Store(&p)
}

// step gives the state machine an event and performs what it asks for.
func (t *Tunnel) step(ev tunnel.Event) {
	if t.core == nil || t.gone {
		return
	}
	t.pending = append(t.pending, ev)
	if !t.stepping {
		t.stepping = true
		t.stepPending()
	}
}

// start performs the actions that came with the state machine's birth.
func (t *Tunnel) start(actions []tunnel.Action) {
	t.stepping = true
	t.performAll(actions)
	t.stepPending()
}

func (t *Tunnel) stepPending() {
	for len(t.pending) > 0 && !t.gone {
		ev := t.pending[0]
		t.pending = t.pending[1:]
		t.performAll(t.core.Step(time.Now(), ev))
		t.settleSessionIDs()
	}
	t.pending = nil
	t.stepping = false
	t.rearm()
}

func (t *Tunnel) rearm() {
	if !t.gone {
		t.shard.queue.Set(&t.deadline, t.core.Deadline())
	}
}

func (t *Tunnel) performAll(actions []tunnel.Action) {
	for _, a := range actions {
		t.perform(a)
	}
}

func (t *Tunnel) perform(action tunnel.Action) {
	e := t.shard.engine
	switch a := action.(type) {
	case tunnel.Send:
		e.sendControl(t.path, a.Packet)
	case tunnel.TunnelUp:
		t.established()
	case tunnel.CallRequested:
		t.callRequested(a)
	case tunnel.CallPlaced:
		t.callPlaced(a)
	case tunnel.CallUp:
		t.callUp(a)
	case tunnel.CallDown:
		t.callDown(a)
	case tunnel.LinkInfo:
		if c := t.calls[a.Session]; c != nil {
			c.linkInfo(a.SendACCM, a.RecvACCM)
		}
	case tunnel.WANErrors:
		if c := t.calls[a.Session]; c != nil {
			c.wanErrors(a.Errors)
		}
	case tunnel.CircuitStatus:
		if c := t.calls[a.Session]; c != nil {
			c.circuitStatus(a.Status)
		}
	case tunnel.TunnelDown:
		t.ended(a.Cause)
	case tunnel.Gone:
		t.gone = true
		t.shard.remove(t)
	case tunnel.Drop:
		if errors.Is(a.Reason, tunnel.ErrDigest) {
			e.counters.inc(DropDigest)
		} else {
			e.counters.inc(DropControlState)
		}
		t.log.WithError(a.Reason).Debug("control message ignored")
	default:
		panic(fmt.Sprintf("engine: no way to perform %T", action))
	}
}

func (t *Tunnel) established() {
	t.up = true
	t.since = time.Now()
	t.shard.engine.settled(t)
	peer := t.core.Peer()
	if peer.Version != 0 {
		t.version = peer.Version
	}
	t.log = t.log.WithFields(logrus.Fields{"peer_tunnel": peer.TunnelID, "peer": t.path.Peer.String()})
	if t.spec.RemoteHostName != nil && !t.spec.RemoteHostName(peer.HostName) {
		t.step(tunnel.Stop{Cause: tunnel.Cause{Result: l2tp.ResultCode{
			Result: l2tp.StopCCNNotAuthorized, Message: "host name " + peer.HostName + " is not the one configured"}}})
		return
	}
	t.log.WithFields(logrus.Fields{
		"host_name": peer.HostName, "vendor": peer.VendorName, "version": t.version,
		"encapsulation": t.path.encapsulation().String(),
	}).Info("tunnel is up")
	if t.spec.KernelPlane {
		t.withKernel(func(_ *kernelTunnel, err error) {
			if err != nil && !errors.Is(err, errPathTaken) && !errors.Is(err, errOver) {
				t.log.WithError(err).Error("kernel data plane: no tunnel socket")
			}
		})
	}
	t.spec.Handler.TunnelUp(t)
}

// ended tears down what the tunnel held in the kernel. The state machine stays
// for a while to acknowledge the peer's retransmissions.
func (t *Tunnel) ended(cause tunnel.Cause) {
	e := t.shard.engine
	t.down, t.since = true, time.Now()
	if !t.up {
		e.counters.inc(TunnelsFailed)
	}
	e.settled(t)
	t.closeKernel()
	e.leavePath(t)
	log := t.log.WithField("cause", t.causeText(cause, l2tp.TypeStopCCN))
	if t.up || t.initiator {
		log.Info("tunnel is down")
	} else {
		e.strangers.Log(log, logrus.InfoLevel, "tunnel was not established")
	}
	t.spec.Handler.TunnelDown(t, cause)
}

// causeText puts a cause into the operator's words.
func (t *Tunnel) causeText(c tunnel.Cause, of l2tp.MessageType) string {
	who := "we ended it: "
	if c.Remote {
		who = "the peer ended it: "
	}
	text := who + c.Result.DescribeVersion(t.version, of)
	if c.Q931 != nil {
		text += fmt.Sprintf(", Q.931 cause %d %s", c.Q931.Cause, c.Q931.Advisory)
	}
	if c.PPP != nil {
		text += fmt.Sprintf(", PPP disconnect code %d %s", c.PPP.Code, c.PPP.Message)
	}
	return text
}
