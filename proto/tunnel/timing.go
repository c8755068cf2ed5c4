package tunnel

import (
	"time"

	"adit/proto/l2tp"
)

// Deadline is when Tick has to come, if no other event comes before: the least
// of the deadlines of the control channel, of the set-up, of the calls that
// wait, of the next HELLO and of the dead time. Zero if nothing is pending. A
// time that has passed means at once.
func (t *Tunnel) Deadline() time.Time {
	if t.state == Finished {
		return time.Time{}
	}
	d := t.ch.Deadline()
	if t.state == Dead {
		return earliest(d, t.deadBy)
	}
	if t.state != Established {
		d = earliest(d, t.setupBy)
	}
	if s := t.pending.head; s != nil {
		d = earliest(d, s.deadline)
	}
	return earliest(d, t.helloDue())
}

// earliest is the lesser of two times, of which zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// expire does what is due by now.
func (t *Tunnel) expire(now time.Time) {
	if t.state == Dead && !now.Before(t.deadBy) {
		t.gone()
	}
	if !t.alive() {
		return
	}
	if t.state != Established && due(now, t.setupBy) {
		t.fail(now, l2tp.ResultCode{
			Result:  l2tp.StopCCNGeneral,
			Message: "the tunnel was not established in time" + t.suspicion(),
		}, ErrSetupTimeout)
	}
	for s := t.pending.head; s != nil && due(now, s.deadline); s = t.pending.head {
		t.callTimeout(now, s)
	}
	if due(now, t.helloDue()) {
		t.sendHello(now)
	}
}

func due(now, deadline time.Time) bool {
	return !deadline.IsZero() && !now.Before(deadline)
}

// helloDue is when a HELLO has to go out; zero: not as things are.
//
// RFC 2661 section 6.5: "Keepalives for the tunnel MAY be implemented by sending
// a HELLO if a period of time (a recommended default is 60 seconds, but SHOULD
// be configurable) has passed without receiving any message (data or control)
// from the peer."
//
// As long as the peer has something to acknowledge no HELLO is needed, and none
// follows another that is on its way: "this keepalive function operates by
// causing the transport level to reliably deliver a message", and any message
// does that.
func (t *Tunnel) helloDue() time.Time {
	if t.state != Established || t.cfg.HelloInterval < 0 || !t.ch.Idle() {
		return time.Time{}
	}
	last := t.ch.LastReceived()
	if t.lastData.After(last) {
		last = t.lastData
	}
	return last.Add(t.cfg.HelloInterval)
}

// sendHello sends a HELLO. RFC 2661 section 6.5: "HELLO messages are global to
// the tunnel. The Session ID in a HELLO message MUST be 0."
func (t *Tunnel) sendHello(now time.Time) { t.mustSend(now, 0, &l2tp.HELLO{}) }

// probe asks the peer for a sign of life at once.
func (t *Tunnel) probe(now time.Time) {
	if t.state == Established && t.ch.Idle() {
		t.sendHello(now)
	}
}

// callTimeout ends a call that waited too long. RFC 2661 section 7.5.1, for one
// case of it: "If the call is not completed or a timer expires waiting for the
// call to complete, send a Call-Disconnect-Notify with the appropriate error
// condition set and go to idle state."
func (t *Tunnel) callTimeout(now time.Time, s *session) {
	result := l2tp.ResultCode{
		Result:  l2tp.CDNNotEstablishedInTime,
		Message: "no progress in state " + s.state.String() + " for " + t.cfg.CallTimeout.String(),
	}
	switch {
	case t.version == l2tp.Version3:
		// RFC 3931 section 5.4.2: "Finite state machine error or timeout."
		result.Result = l2tp.CDNFSMError
	case s.lns():
		// Result 10 speaks of the "time allotted by LAC"; an LNS has none.
		result.Result = l2tp.CDNNoFacilitiesTemporary
	}
	t.closeSession(now, s, Cause{Result: result, Err: ErrCallTimeout})
}

// Stats is what the control connection has done so far.
func (t *Tunnel) Stats() Stats {
	c := t.ch.Stats()
	s := t.stats
	s.Sent, s.Received = c.Sent, c.Received
	s.Retransmitted = c.Retransmitted
	s.Duplicates, s.OutOfOrder = c.Duplicates, c.OutOfOrder
	s.SendQueue, s.Window = c.SendQueue, c.Window
	s.LastReceived = t.ch.LastReceived()
	return s
}
