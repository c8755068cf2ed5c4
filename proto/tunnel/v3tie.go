package tunnel

import (
	"encoding/binary"
	"slices"
	"time"

	"adit/proto/l2tp"
)

// newTie makes the Session Tie Breaker of a request; nil if there is to be none, or if
// the session is for no circuit that the peer could mean too.
func (t *Tunnel) newTie(call *Call) ([]byte, error) {
	if !t.cfg.TieBreaker || len(call.RemoteEndID) == 0 {
		return nil, nil
	}
	return t.random(8)
}

// watchTie and unwatchTie keep byEnd: the calls whose request waits for its reply.
func (t *Tunnel) watchTie(s *session) {
	if end := string(s.call.RemoteEndID); t.version == l2tp.Version3 && end != "" {
		t.byEnd[end] = append(t.byEnd[end], s)
	}
}

func (t *Tunnel) unwatchTie(s *session) {
	end := string(s.call.RemoteEndID)
	waiting := t.byEnd[end]
	i := slices.Index(waiting, s)
	switch {
	case i < 0:
	case len(waiting) == 1:
		delete(t.byEnd, end)
	default:
		t.byEnd[end] = slices.Delete(waiting, i, i+1)
	}
}

// rivalOf is the call of ours that waits for its reply and is for the circuit that a
// request of the peer means; nil: none is.
//
// Two requests for one Remote End ID that have two Application IDs mean two circuits. One
// that has none may mean any of them, to an end that knows no such AVP: RFC 3931 section
// 5.4.4 has "an End ID AVP whose value matches that which was just sent" and no more.
// So both ends see the tie, or neither.
func (t *Tunnel) rivalOf(call *Call) (rival *session) {
	for _, s := range slices.Backward(t.byEnd[string(call.RemoteEndID)]) {
		ours, theirs := s.call.ApplicationID, call.ApplicationID
		switch {
		case ours == nil && theirs == nil, ours != nil && theirs != nil && *ours == *theirs:
			return s
		case rival == nil && (ours == nil || theirs == nil):
			rival = s
		}
	}
	return rival
}

// sessionTie detects and breaks a tie between a request of the peer and a call of ours
// that waits for its reply, RFC 3931 section 5.4.4: "A session-level tie is detected if
// an LCCE receives an ICRQ or OCRQ with an End ID AVP whose value matches that which was
// just sent in an outgoing ICRQ or OCRQ to the same peer." It returns false if the
// request is done with.
//
//   - We win: the one "with the lower value "wins" and MUST send a CDN with result code
//     set to 13 (as defined in Section 5.4.2) in response to the losing ICRQ or OCRQ."
//   - We lose: section 7.3.1, "wait-reply | Receive ICRQ, lose tie breaker | Process as
//     ICRQ Recipient (Section 7.3.2)". The peer has a CDN for ours on its way.
//   - Neither: section 5.4.4, "both sides MUST discard their sessions and restart session negotiation
//     with new random tie breaker values", or, "If neither side issues a tie breaker,
//     then both sides MUST tear down the session."
func (t *Tunnel) sessionTie(now time.Time, peerID uint32, call *Call, theirs *uint64) bool {
	ours := t.rivalOf(call)
	if t.version != l2tp.Version3 || len(call.RemoteEndID) == 0 || ours == nil || peerID == 0 {
		return true
	}
	var tie []byte
	if theirs != nil {
		tie = binary.BigEndian.AppendUint64(nil, *theirs)
	}
	winner := ResolveTie(ours.tie, tie)
	if winner != Ours {
		t.loseSession(now, ours)
	}
	if winner == Theirs {
		return true
	}
	text := "there is a request of this end for the same circuit, which won the tie breaker"
	if winner != Ours {
		text = "both ends asked for a session for this circuit, and no tie breaker decides"
	}
	t.refuse(now, peerID, l2tp.ResultCode{Result: l2tp.CDNTieLost, Message: text}, ErrSessionTie)
	return false
}

// loseSession ends a call of ours whose request lost the tie. Its ID does not count as
// one of late: if the peer answers the request all the same, as it had closed its own
// call before ours reached it, it is told that there is no session.
func (t *Tunnel) loseSession(now time.Time, s *session) {
	t.endCall(now, s, Cause{
		Result: l2tp.ResultCode{Result: l2tp.CDNTieLost, Message: ErrSessionTie.Error()},
		Err:    ErrSessionTie,
	})
	t.wideIDs.forget(s.id)
}
