package tunnel

import (
	"time"

	"adit/proto/l2tp"
)

// fail ends the tunnel for a reason of ours: "Send StopCCN, Clean up".
func (t *Tunnel) fail(now time.Time, result l2tp.ResultCode, err error) {
	t.stop(now, Cause{Result: result, Err: err})
}

// stopLocal obeys the owner. RFC 2661 section 7.2.1: "In the event of a local
// termination, the originator MUST send a Stop-Control-Connection-Notification
// and clean up the tunnel."
func (t *Tunnel) stopLocal(now time.Time, cause Cause) {
	if !t.alive() {
		t.drop(ErrClosed)
		return
	}
	if cause.Result.Result == 0 {
		cause.Result.Result = l2tp.StopCCNGeneral
	}
	cause.Remote = false
	t.stop(now, cause)
}

// stop sends a StopCCN and goes to the dead state. RFC 2661 section 5.7: "An
// implementation may shut down an entire tunnel and all sessions on the tunnel
// by sending the StopCCN. Thus, it is not necessary to clear each session
// individually when tearing down the whole tunnel." So what waits for the
// window is forgotten, lest the StopCCN wait behind it.
func (t *Tunnel) stop(now time.Time, cause Cause) {
	if !t.alive() {
		return
	}
	t.ch.DropWaiting()
	t.stopped = cause.Result
	t.down(now, cause)
	t.sendStopCCN(now, cause.Result)
}

// sendStopCCN queues a StopCCN. RFC 2661 section 4.4.3: "In the StopCCN control
// message, the Assigned Tunnel ID AVP MUST be the same as the Assigned Tunnel ID
// AVP first sent to the receiving peer, permitting the peer to identify the
// appropriate tunnel even if a StopCCN is sent before an Assigned Tunnel ID AVP
// is received."
func (t *Tunnel) sendStopCCN(now time.Time, result l2tp.ResultCode) {
	err := t.send(now, 0, &l2tp.StopCCN{
		AssignedTunnelID: t.cfg.LocalID,
		ResultCode:       result,
	})
	if err != nil {
		// The peer finds out by itself, from the silence.
		t.drop(err)
	}
}

// die obeys a StopCCN from the peer. RFC 2661 section 7.2.1: "If the originator
// receives a Stop-Control-Connection-Notification it MUST also clean up the
// tunnel."
func (t *Tunnel) die(now time.Time, cause Cause) {
	t.ch.CloseReceive()
	t.down(now, cause)
}

// down ends every call and the tunnel, and starts the dead time. RFC 2661
// section 5.7: "The receiver of a StopCCN MUST send a ZLB ACK to acknowledge
// receipt of the message and maintain enough control connection state to
// properly accept StopCCN retransmissions over at least a full retransmission
// cycle (in case the ZLB ACK is lost)." Section 5.8 has the sender maintain
// "the state and reliable delivery mechanisms [...] for the full retransmission
// interval after the final message exchange" as well.
func (t *Tunnel) down(now time.Time, cause Cause) {
	t.endAllCalls(now, cause)
	t.state = Dead
	t.deadBy = now.Add(t.ch.RetransmissionCycle())
	t.emit(TunnelDown{Cause: cause})
}

// turnDown refuses the SCCRQ that this tunnel was made from. The StopCCN goes
// out once, and nothing is kept: the peer repeats its SCCRQ if the StopCCN is
// lost. RFC 2661 section 7.2.1: "idle | Receive SCCRQ, not acceptable | Send
// StopCCN, Clean up | idle".
//
// As there is no SCCRP, the peer has no nonce of ours to check the StopCCN by.
func (t *Tunnel) turnDown(now time.Time, result l2tp.ResultCode, err error) {
	t.auth.local = nil
	t.stop(now, Cause{Result: result, Err: err})
	t.transmit(now)
	t.gone()
}

// abandon ends a tunnel of which the peer has not heard, or must not hear.
func (t *Tunnel) abandon(now time.Time, result l2tp.ResultCode, err error) {
	t.down(now, Cause{Result: result, Err: err})
	t.gone()
}

// lose obeys the tie breaker. RFC 2661 section 4.4.3: "the "loser" MUST silently
// discard its tunnel". It is for the SCCRQ that is not answered yet.
func (t *Tunnel) lose(now time.Time) {
	if t.state != WaitCtlReply {
		t.drop(ErrWrongState)
		return
	}
	t.abandon(now, l2tp.ResultCode{
		Result:  l2tp.StopCCNAlreadyExists,
		Message: "the peer's own tunnel request won the tie breaker",
	}, ErrTieLost)
}

// gone is the end of the end.
func (t *Tunnel) gone() {
	if t.state == Finished {
		return
	}
	t.state = Finished
	t.emit(Gone{})
}
