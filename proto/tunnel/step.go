package tunnel

import (
	"errors"
	"time"

	"adit/proto/l2tp"
	"adit/proto/reliable"
)

// What a tunnel keeps between steps for the next one.
const (
	keepPackets = 4096 // octets
	keepActions = 64
)

// Step feeds one event to the tunnel and returns what is to be done about it.
// The actions, and the bytes in them, are valid until the next Step. No order
// of events is wrong: what does not fit is answered with Drop.
func (t *Tunnel) Step(now time.Time, ev Event) []Action {
	t.begin()
	if t.state == Finished {
		t.drop(ErrClosed)
		return t.actions
	}
	switch ev := ev.(type) {
	case Receive:
		t.receive(now, ev)
	case Tick:
		// finish does all that is due.
	case PlaceCall:
		t.placeCall(now, ev)
	case AcceptCall:
		t.acceptCall(now, ev)
	case RejectCall:
		t.rejectCall(now, ev)
	case ConnectCall:
		t.connectCall(now, ev)
	case CloseCall:
		t.closeCall(now, ev)
	case SetLinkInfo:
		t.setLinkInfo(now, ev)
	case ReportWANErrors:
		t.reportWANErrors(now, ev)
	case SetCircuitStatus:
		t.setCircuitStatus(now, ev)
	case Stop:
		t.stopLocal(now, ev.Cause)
	case Lose:
		t.lose(now)
	}
	return t.finish(now)
}

// begin forgets the actions of the step before.
func (t *Tunnel) begin() {
	clear(t.actions)
	t.actions = t.actions[:0]
	if cap(t.actions) > keepActions {
		t.actions = nil
	}
	if cap(t.packets) > keepPackets {
		t.packets = nil
	}
	t.packets = t.packets[:0]
}

// finish does what time and the window allow and ends every step.
func (t *Tunnel) finish(now time.Time) []Action {
	t.expire(now)
	t.sendUnsent(now)
	t.transmit(now)
	return t.actions
}

func (t *Tunnel) emit(a Action) { t.actions = append(t.actions, a) }

func (t *Tunnel) drop(err error) { t.emit(Drop{Reason: err}) }

func (t *Tunnel) alive() bool { return t.state < Dead }

// queueFull says that only the last place in the queue is left, which is kept
// for the StopCCN.
func (t *Tunnel) queueFull() bool {
	s := t.ch.Stats()
	return s.InFlight+s.SendQueue >= t.cfg.Reliable.MaxQueue-1
}

// transmit puts on the wire what the channel has: new messages the window
// allows, retransmissions and acknowledgements that are due.
func (t *Tunnel) transmit(now time.Time) {
	if t.state == Finished {
		return
	}
	t.ch.Transmit(now, func(packet []byte) {
		start := len(t.packets)
		t.packets = append(t.packets, packet...)
		t.emit(Send{Packet: t.packets[start:len(t.packets):len(t.packets)]})
	})
	if t.ch.Err() != nil {
		t.unreachable(now)
	}
}

// unreachable obeys RFC 2661 section 5.8: "If no peer response is detected after
// several retransmissions, (a recommended default is 5, but SHOULD be
// configurable), the tunnel and all sessions within MUST be cleared."
//
// Nothing is kept, as "the state and reliable delivery mechanisms MUST be
// maintained" only "when a tunnel is being shut down for reasons other than loss
// of connectivity".
func (t *Tunnel) unreachable(now time.Time) {
	if t.alive() {
		t.down(now, Cause{
			Result: l2tp.ResultCode{
				Result:  l2tp.StopCCNGeneral,
				Message: "the peer does not acknowledge control messages" + t.suspicion(),
			},
			Err: ErrUnreachable,
		})
	}
	t.gone()
}

// send queues a message for the peer. sessionID is the peer's, or 0.
func (t *Tunnel) send(now time.Time, sessionID uint32, m l2tp.Message) error {
	opt := l2tp.AppendOptions{
		Version: t.version,
		Secret:  t.secret(),
		Hide:    t.hides(m.Type()),
		Rand:    t.cfg.Rand,
	}
	if t.version == l2tp.Version3 || m.Type() == l2tp.TypeSCCRQ {
		opt.Digests = t.auth.messageDigests()
	}
	payload, err := l2tp.AppendMessage(t.payload[:0], m, opt)
	if err != nil {
		return errors.Join(ErrEncode, err)
	}
	t.payload = payload
	if err := t.ch.Send(now, sessionID, payload); err != nil {
		if errors.Is(err, reliable.ErrQueueFull) {
			return ErrOverload
		}
		return err
	}
	return nil
}

// hides says whether the AVPs of a message of type m are hidden. RFC 2661 leaves
// the choice to the sender. Two messages go in the clear always:
//
// An SCCRQ reaches a peer that does not know yet who we are, and so which secret
// to take; xl2tpd, for one, answers "Invalid Hidden AVP". What an SCCRQ holds is
// no secret: SCCRP, ICRQ, ICCN and the others carry the numbers, names and
// passwords of callers.
//
// A StopCCN may have to say that the secrets differ, to an end that has another
// one. It could hide nothing but the Assigned Tunnel ID, which is in the SCCRQ.
func (t *Tunnel) hides(m l2tp.MessageType) bool {
	return t.cfg.HideAVPs && len(t.cfg.Secret) > 0 && m != l2tp.TypeSCCRQ && m != l2tp.TypeStopCCN
}

// secret is the one that AVPs are hidden with.
func (t *Tunnel) secret() []byte {
	if t.cfg.Version == l2tp.Version3 {
		return t.auth.secret()
	}
	return t.cfg.Secret
}

// mustSend is send for a message that the protocol cannot do without: if it
// cannot go, the tunnel ends. It reports whether the tunnel lives on.
func (t *Tunnel) mustSend(now time.Time, sessionID uint32, m l2tp.Message) bool {
	if t.queueFull() {
		t.overload(now)
		return false
	}
	err := t.send(now, sessionID, m)
	if err == nil {
		return true
	}
	t.fail(now, generalResult(l2tp.ErrorInsufficientResources, m.Type().String()+": "+err.Error()), err)
	return false
}

// overload ends a tunnel whose peer lets the queue overflow. RFC 2661 section
// 5.8: "A peer MUST NOT withhold acknowledgment of messages as a technique for
// flow controlling control messages."
func (t *Tunnel) overload(now time.Time) {
	t.fail(now, generalResult(l2tp.ErrorInsufficientResources, ErrOverload.Error()), ErrOverload)
}

// receive takes one control message from the wire.
func (t *Tunnel) receive(now time.Time, ev Receive) {
	if !t.addressed(ev.Header) {
		return
	}
	if !t.speaks(ev) {
		t.drop(ErrWrongVersion)
		return
	}
	version := versionOf(ev.Header)
	if (t.version == l2tp.Version3 || version == l2tp.Version3) && !t.believed(ev) {
		return
	}
	if ev.Header.TunnelID == 0 && !t.isOurs(now, ev) {
		return
	}
	if t.undecided {
		t.decide(now, version)
	}
	if err := t.ch.Receive(now, ev.Header, ev.Payload); err != nil {
		t.drop(err)
	}
	for {
		sessionID, payload, ok := t.ch.NextMessage()
		if !ok {
			return
		}
		if !t.alive() {
			t.recvDead(payload)
			continue
		}
		t.message(now, sessionID, payload)
	}
}

// recvDead handles a message for a dead tunnel: it has been acknowledged, and
// that is all there is to do. But if it is the answer to our SCCRQ, our StopCCN
// has been waiting for its Tunnel ID.
func (t *Tunnel) recvDead(payload []byte) {
	t.drop(ErrClosed)
	if t.peer.TunnelID != 0 {
		return
	}
	m, _ := l2tp.ParseMessage(t.version, payload, t.secret())
	switch m := m.(type) {
	case *l2tp.SCCRP:
		t.learnTunnelID(m.AssignedTunnelID)
	case *l2tp.StopCCN:
		t.learnTunnelID(m.AssignedTunnelID)
	}
}

// learnTunnelID takes the peer's Assigned Tunnel ID from a message that begins no
// tunnel: the StopCCN that refuses our SCCRQ, or an SCCRP that cannot be used.
// RFC 2661 section 4.4.3: "The L2TP peer MUST place this value in the Tunnel ID
// header field of all control and data messages that it subsequently transmits
// over the associated tunnel", and that is our StopCCN or ZLB.
func (t *Tunnel) learnTunnelID(id uint32) {
	if t.peer.TunnelID == 0 && id != 0 {
		t.peer.TunnelID = id
		t.ch.SetPeer(id, 0)
	}
}

// addressed checks the Tunnel ID of the header: ours, or 0.
func (t *Tunnel) addressed(h l2tp.Header) bool {
	switch {
	case !h.Control:
		t.drop(ErrUnexpected)
		return false
	case h.TunnelID != 0 && h.TunnelID != t.cfg.LocalID:
		t.drop(ErrWrongTunnel)
		return false
	}
	return true
}

// isOurs checks a message with Tunnel ID 0. RFC 2661 section 4.4.3: "Before the
// Assigned Tunnel ID AVP is received from a peer, messages MUST be sent to that
// peer with a Tunnel ID value of 0 in the header of all control messages." So 0
// is right in an SCCRQ, and in the StopCCN of a peer that gives up before our
// SCCRP reached it; there the Assigned Tunnel ID AVP says which tunnel is meant.
func (t *Tunnel) isOurs(now time.Time, ev Receive) bool {
	version := versionOf(ev.Header)
	m, _ := l2tp.ParseMessage(version, ev.Payload, t.secret())
	switch m := m.(type) {
	case *l2tp.SCCRQ:
		if t.initiator || sccrqID(m, t.version) != t.peer.TunnelID {
			t.drop(ErrWrongTunnel)
			return false
		}
		if t.state == WaitCtlConn && version == t.version || t.Began(ev.Payload) {
			return true
		}
		t.probe(now)
		t.drop(ErrRestarted)
		return false
	case *l2tp.StopCCN:
		if t.peer.TunnelID != 0 && m.AssignedTunnelID == t.peer.TunnelID {
			return true
		}
	}
	t.drop(ErrWrongTunnel)
	return false
}

// message handles one message, in order and exactly once.
func (t *Tunnel) message(now time.Time, sessionID uint32, payload []byte) {
	m, err := l2tp.ParseMessage(t.version, payload, t.secret())
	if err != nil {
		t.badMessage(now, sessionID, err)
		return
	}
	if m.Type().SessionLevel() {
		if t.version == l2tp.Version3 {
			sessionID = remoteSessionID(m)
		}
		t.sessionMessage(now, sessionID, m)
		return
	}
	t.controlMessage(now, m)
}

// badMessage handles a message that could not be read. RFC 2661 section 4.1: "If
// the M bit is set on an unrecognized AVP within a message associated with a
// particular session, the session associated with this message MUST be
// terminated. If the M bit is set on an unrecognized AVP within a message
// associated with the overall tunnel, the entire tunnel (and all sessions
// within) MUST be terminated."
func (t *Tunnel) badMessage(now time.Time, sessionID uint32, err error) {
	var bad *l2tp.Error
	if !errors.As(err, &bad) {
		t.drop(err)
		return
	}
	// A StopCCN ends the tunnel, and a CDN its session, however badly it is
	// written; an answer would only cross with the peer's clean-up.
	switch {
	case bad.Message == l2tp.TypeStopCCN && bad.Scope != l2tp.ScopeMessage:
		t.drop(err)
		t.learnTunnelID(bad.AssignedTunnelID)
		t.die(now, Cause{Result: bad.Result, Remote: true, Err: bad})
	case bad.Scope == l2tp.ScopeMessage:
		t.drop(err)
	case bad.Scope == l2tp.ScopeSession && t.state == Established:
		if t.version == l2tp.Version3 {
			sessionID = bad.RemoteSessionID
		}
		t.badSessionMessage(now, sessionID, bad)
	default:
		t.drop(err)
		t.learnTunnelID(bad.AssignedTunnelID)
		t.fail(now, bad.Result, bad)
	}
}
