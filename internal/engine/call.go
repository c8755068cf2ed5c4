package engine

import (
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"adit/internal/circuit"
	"adit/proto/l2tp"
	"adit/proto/tunnel"
)

// CallState is what the engine knows of a call beyond the state machine: the
// life of its bridge.
type CallState uint8

// The states of a call.
const (
	CallPending CallState = iota // requested or placed
	CallUp                       // established, bridge running
	CallClosing                  // over for L2TP, the bridge is still ending
	CallEnded                    // nothing is left
)

// String is the state's name for people.
func (s CallState) String() string {
	switch s {
	case CallPending:
		return "setting up"
	case CallUp:
		return "up"
	case CallClosing:
		return "closing"
	case CallEnded:
		return "ended"
	}
	return fmt.Sprintf("CallState(%d)", uint8(s))
}

// Call is one session of a tunnel, with what its frames go to. Roles get it
// as a handle. Its fields are for a Handler's methods only.
type Call struct {
	// ID and PeerID are the Session IDs, ours and the peer's; 0: not known yet.
	ID, PeerID uint32
	// LNS says that this end is the LNS of the call; known once it is up.
	LNS bool

	state   CallState
	placed  bool // by us
	told    bool // the Handler knows of it
	counted bool // in Engine.sessions
	waits   bool // for the kernel, in state CallUp, before it has a bridge

	// Params is what ICRQ to ICCN, or OCRQ to OCCN, said.
	Params tunnel.Call

	tunnel  *Tunnel
	spec    *CallSpec // nil until accepted
	log     *logrus.Entry
	since   time.Time // in state
	cause   tunnel.Cause
	refusal string // why we refused it, for the log
	data    *dataSession
	bridge  circuit.Bridge
	link    *link
	early   [][]byte      // LCP frames that came before the bridge was there
	held    ipTransport   // for the data of the session
	exit    *circuit.Exit // of the bridge
	ending  *tunnel.Cause // the CDN that is to follow the end of PPP
}

// Tunnel is the tunnel that the call belongs to.
func (c *Call) Tunnel() *Tunnel { return c.tunnel }

// Placed says that we placed the call, and the peer did not ask for it.
func (c *Call) Placed() bool { return c.placed }

// Spec is what the role gave in Accept or PlaceCall.
func (c *Call) Spec() *CallSpec { return c.spec }

// Bridge is what the call's frames go to; nil before Session.Established and
// after the bridge's end. For a Session's and a Handler's methods.
func (c *Call) Bridge() circuit.Bridge { return c.bridge }

// Log is the call's log entry, with its fields.
func (c *Call) Log() *logrus.Entry { return c.log }

// Accept answers CallRequested. It may be called from any goroutine.
func (c *Call) Accept(spec *CallSpec) {
	posted := c.tunnel.shard.post(func() {
		if c.state != CallPending || c.spec != nil {
			spec.ended(c.cause, nil) // it has ended meanwhile, or was accepted before
			return
		}
		c.spec = spec
		if spec.Pseudowire != nil {
			c.log = c.log.WithField("session_name", spec.Name) // the circuit that the peer asked for
		}
		answer := c.Params
		answer.SequencingRequired = spec.SequencingRequired
		answer.Local = spec.Wire
		answer.LocalStatus = 0
		spec.complete(&answer)
		c.tunnel.step(tunnel.AcceptCall{Session: c.ID, Ref: c, Connected: true, Call: answer})
	})
	if !posted {
		spec.ended(tunnel.Cause{}, nil)
	}
}

// Reject answers CallRequested with a CDN. Why is for our log, with what the
// operator can do about it. It may be called from any goroutine.
func (c *Call) Reject(why string, cause tunnel.Cause) {
	c.tunnel.shard.post(func() { c.reject(why, cause) })
}

func (c *Call) reject(why string, cause tunnel.Cause) {
	if c.state == CallPending {
		c.refusal = why
		c.tunnel.step(tunnel.RejectCall{Session: c.ID, Cause: cause})
	}
}

// Close ends the call: PPP in good order first, if it is ours to end, then the
// call with a CDN. It may be called from any goroutine.
func (c *Call) Close(cause tunnel.Cause) {
	c.tunnel.shard.post(func() { c.close(cause) })
}

func (c *Call) close(cause tunnel.Cause) {
	switch {
	case c.state == CallUp && c.ending == nil && c.link.speaks():
		c.ending = &cause
		c.link.terminate(cause.Result.Message)
	case c.state == CallUp && c.ending == nil && c.hasPPPD():
		// pppd tells its peer while there is a call to tell it by. After the CDN it
		// would wait for an answer until it is killed.
		c.ending = &cause
		c.bridge.Close(cause.Result.Message)
	case c.state == CallPending || c.state == CallUp && !c.link.speaks() && !c.hasPPPD():
		c.tunnel.step(tunnel.CloseCall{Session: c.ID, Cause: cause})
	}
}

func (c *Call) hasPPPD() bool { return c.bridge != nil && c.bridge.Kind().PPPD() }

func (c *Call) setState(s CallState) { c.state, c.since = s, time.Now() }

// callRequested begins the engine's side of a call that the peer wants.
func (t *Tunnel) callRequested(a tunnel.CallRequested) {
	c := &Call{tunnel: t, ID: a.Session, Params: a.Call, since: time.Now()}
	c.log = t.log.WithField("session", c.ID)
	t.calls[c.ID] = c
	if !t.shard.engine.takeSession() {
		c.reject("limits.sessions is reached", tunnel.Cause{Result: l2tp.ResultCode{
			Result: l2tp.CDNNoFacilitiesTemporary, Message: "no more sessions are accepted at present"}})
		return
	}
	c.counted, c.told = true, true
	t.spec.Handler.CallRequested(c)
}

// callPlaced notes the Session ID of a call of ours.
func (t *Tunnel) callPlaced(a tunnel.CallPlaced) {
	c := a.Ref.(*Call)
	delete(t.placed, c)
	c.ID = a.Session
	c.log = c.log.WithField("session", c.ID)
	t.calls[c.ID] = c
}

// callUp has a call that is established served, at once or when the kernel is ready.
func (t *Tunnel) callUp(a tunnel.CallUp) {
	c := a.Ref.(*Call)
	c.PeerID, c.LNS, c.Params = a.PeerSession, a.LNS, a.Call
	c.log = c.log.WithField("peer_session", c.PeerID)
	c.setState(CallUp)
	t.choosePlane(c)
}

// cannotServe ends a call that nobody can take the frames of.
func (t *Tunnel) cannotServe(c *Call, err error) {
	c.waits = false
	t.shard.engine.counters.inc(BridgeFailed)
	c.log.WithError(err).Error("the session cannot be served")
	t.step(tunnel.CloseCall{Session: c.ID, Cause: tunnel.Cause{Result: l2tp.ResultCode{
		Result: l2tp.CDNNoFacilitiesTemporary, Message: "the session cannot be served: see the log of the other end"}}})
}

// serve starts the bridge of a call.
func (t *Tunnel) serve(c *Call, p plane) {
	c.waits = false
	if err := t.startBridge(c, p); err != nil {
		t.cannotServe(c, err)
		return
	}
	t.shard.engine.counters.inc(CallsUp)
	c.log.WithField("bridge", c.bridge.Kind().String()).Info("session is up")
	t.spec.Handler.CallUp(c)
}

// callDown begins the end of a call: L2TP is done with it, its bridge may not be.
func (t *Tunnel) callDown(a tunnel.CallDown) {
	c, _ := a.Ref.(*Call)
	if c == nil {
		c = t.calls[a.Session]
	}
	if c == nil || c.state >= CallClosing {
		return
	}
	if c.state == CallPending {
		t.shard.engine.counters.inc(CallsFailed)
	}
	c.cause, c.waits = a.Cause, false
	t.leave(c.ID)
	c.logDown()
	if c.bridge != nil {
		c.setState(CallClosing)
		c.bridge.Close(closeReason(a.Cause))
		return
	}
	t.finish(c, a.Cause)
}

// logDown writes that the call is over for L2TP.
func (c *Call) logDown() {
	log := c.log.WithField("cause", c.tunnel.causeText(c.cause, l2tp.TypeCDN))
	switch {
	case c.placed || c.state != CallPending:
		log.Info("session is down")
	case c.refusal != "":
		c.tunnel.callers.Log(log, logrus.WarnLevel, "session refused: "+c.refusal)
	default:
		c.tunnel.callers.Log(log, logrus.InfoLevel, "session was not established")
	}
}

// bridgeEnded is told once for each bridge that was started, on the shard.
func (c *Call) bridgeEnded(exit circuit.Exit) {
	t := c.tunnel
	c.bridge, c.exit = nil, &exit
	t.bridges--
	c.refuseData()
	t.letGo()
	if c.state == CallClosing {
		t.finish(c, c.cause)
		return
	}
	if c.isPPP() {
		c.log.WithField("exit", exit.Text).Info("PPP ended")
	} else {
		c.log.WithField("exit", exit.Text).Info("the pseudowire ended")
	}
	cause := tunnel.Cause{Result: exit.Result, PPP: exit.PPP}
	if c.ending != nil {
		cause = *c.ending
		cause.PPP = exit.PPP
	}
	c.close(cause)
}

// finish is the very end of a call.
func (t *Tunnel) finish(c *Call, cause tunnel.Cause) {
	c.setState(CallEnded)
	delete(t.placed, c)
	if t.calls[c.ID] == c {
		delete(t.calls, c.ID)
	}
	if c.counted {
		c.counted = false
		t.shard.engine.giveSession()
	}
	if c.spec != nil {
		c.spec.ended(cause, c.exit)
	}
	if c.placed || c.told {
		t.spec.Handler.CallDown(c, cause)
	}
}

// linkInfo passes the ACCMs that the LNS negotiated to the bridge.
func (c *Call) linkInfo(send, recv uint32) {
	c.log.WithFields(logrus.Fields{"send_accm": fmt.Sprintf("%08x", send), "recv_accm": fmt.Sprintf("%08x", recv)}).Debug("SLI")
	if c.bridge != nil {
		c.bridge.SetACCM(send, recv)
	}
}

// wanErrors logs what the LAC says of its line. Nothing holds a peer to
// RFC 2661 section 6.13: "not more than once every 60 seconds".
func (c *Call) wanErrors(e l2tp.CallErrors) {
	c.tunnel.callers.Log(c.log.WithField("errors", fmt.Sprintf("%+v", e)), logrus.InfoLevel, "line errors reported by the LAC")
}
