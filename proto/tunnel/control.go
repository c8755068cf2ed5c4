package tunnel

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"time"

	"adit/proto/l2tp"
)

// hashPayload tells a retransmitted SCCRQ from another one. It is no protection
// against anybody; what hangs on it is a HELLO.
func hashPayload(payload []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(payload) // never fails
	return h.Sum64()
}

// random reads n octets from Config.Rand. Error: ErrRandom.
func (t *Tunnel) random(n int) ([]byte, error) {
	if t.cfg.Rand == nil {
		return nil, ErrRandom
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(t.cfg.Rand, b); err != nil {
		return nil, ErrRandom
	}
	return b, nil
}

// sendSCCRQ opens the tunnel from our side.
func (t *Tunnel) sendSCCRQ(now time.Time) {
	if result, err := t.prepareChallenge(); err != nil {
		t.abandon(now, result, err)
		return
	}
	m := &l2tp.SCCRQ{
		HostName:            t.cfg.HostName,
		FramingCapabilities: t.cfg.Framing,
		AssignedTunnelID:    t.cfg.LocalID,
		BearerCapabilities:  t.cfg.Bearer,
		ReceiveWindowSize:   t.ch.ReceiveWindow(),
		Challenge:           t.challenge,
		FirmwareRevision:    t.cfg.FirmwareRevision,
		VendorName:          t.cfg.VendorName,
	}
	if t.cfg.TieBreaker {
		tie, err := t.random(8)
		if err != nil {
			t.abandon(now, generalResult(l2tp.ErrorInsufficientResources, err.Error()), err)
			return
		}
		t.tie = tie
		value := binary.BigEndian.Uint64(tie)
		m.TieBreaker = &value
	}
	if err := t.send(now, 0, m); err != nil {
		t.abandon(now, generalResult(l2tp.ErrorValue, err.Error()), err)
	}
}

// recvFirstSCCRQ answers the SCCRQ that this tunnel was made from.
func (t *Tunnel) recvFirstSCCRQ(now time.Time, m *l2tp.SCCRQ) {
	t.peer = PeerInfo{
		HostName:         m.HostName,
		VendorName:       m.VendorName,
		FirmwareRevision: m.FirmwareRevision,
		TunnelID:         m.AssignedTunnelID,
		ReceiveWindow:    m.ReceiveWindowSize,
		Framing:          m.FramingCapabilities,
		Bearer:           m.BearerCapabilities,
	}
	t.ch.SetPeer(m.AssignedTunnelID, m.ReceiveWindowSize)
	response, result, err := t.respond(l2tp.TypeSCCRP, m.Challenge)
	if err == nil {
		result, err = t.prepareChallenge()
	}
	if err != nil {
		t.turnDown(now, result, err)
		return
	}
	err = t.send(now, 0, &l2tp.SCCRP{
		FramingCapabilities: t.cfg.Framing,
		HostName:            t.cfg.HostName,
		AssignedTunnelID:    t.cfg.LocalID,
		BearerCapabilities:  t.cfg.Bearer,
		FirmwareRevision:    t.cfg.FirmwareRevision,
		VendorName:          t.cfg.VendorName,
		ReceiveWindowSize:   t.ch.ReceiveWindow(),
		Challenge:           t.challenge,
		ChallengeResponse:   response,
	})
	if err != nil {
		t.turnDown(now, generalResult(l2tp.ErrorInsufficientResources, err.Error()), err)
	}
}

// controlMessage handles a message about the tunnel as a whole. The rows are
// those of RFC 2661 section 7.2.1; what has no row is "a control message that is
// received in an improper sequence", for which section 7.1 has "the control
// connection cleared to ensure recovery to a known state".
func (t *Tunnel) controlMessage(now time.Time, m l2tp.Message) {
	switch m := m.(type) {
	case *l2tp.StopCCN:
		t.recvStopCCN(now, m)
		return
	case *l2tp.HELLO:
		// It has been acknowledged, and that is its purpose.
		return
	case *l2tp.SCCRP:
		if t.state == WaitCtlReply {
			t.recvSCCRP(now, m)
			return
		}
	case *l2tp.SCCCN:
		if t.state == WaitCtlConn {
			t.recvSCCCN(now, m)
			return
		}
	}
	t.unexpected(now, m.Type())
}

// unexpected ends the tunnel, as a message came in a state without a row for it:
// "Send StopCCN, Clean up".
func (t *Tunnel) unexpected(now time.Time, m l2tp.MessageType) {
	t.fail(now, l2tp.ResultCode{
		Result:  l2tp.StopCCNFSMError,
		Message: m.String() + " in state " + t.state.String(),
	}, ErrUnexpected)
}

// recvSCCRP: "wait-ctl-reply | Receive SCCRP, acceptable | Send SCCCN, Send
// tunnel-open event to waiting sessions | established" and "not acceptable |
// Send StopCCN, Clean up | idle".
func (t *Tunnel) recvSCCRP(now time.Time, m *l2tp.SCCRP) {
	t.peer = PeerInfo{
		HostName:         m.HostName,
		VendorName:       m.VendorName,
		FirmwareRevision: m.FirmwareRevision,
		TunnelID:         m.AssignedTunnelID,
		ReceiveWindow:    m.ReceiveWindowSize,
		Framing:          m.FramingCapabilities,
		Bearer:           m.BearerCapabilities,
	}
	t.ch.SetPeer(m.AssignedTunnelID, m.ReceiveWindowSize)
	if !t.checkResponse(now, l2tp.TypeSCCRP, m.ChallengeResponse) {
		return
	}
	response, result, err := t.respond(l2tp.TypeSCCCN, m.Challenge)
	if err != nil {
		t.fail(now, result, err)
		return
	}
	if t.mustSend(now, 0, &l2tp.SCCCN{ChallengeResponse: response}) {
		t.up(now)
	}
}

// recvSCCCN: "wait-ctl-conn | Receive SCCCN, acceptable | Send tunnel-open event
// to waiting sessions | established" and "not acceptable | Send StopCCN, Clean
// up | idle".
func (t *Tunnel) recvSCCCN(now time.Time, m *l2tp.SCCCN) {
	if t.checkResponse(now, l2tp.TypeSCCCN, m.ChallengeResponse) {
		t.up(now)
	}
}

// up is the tunnel-open event; the calls that wait for it go out with finish.
func (t *Tunnel) up(now time.Time) {
	t.state = Established
	t.stats.EstablishedAt = now
	t.challenge = nil
	t.emit(TunnelUp{})
}

// recvStopCCN: "Receive StopCCN | Clean up | idle" in every state.
func (t *Tunnel) recvStopCCN(now time.Time, m *l2tp.StopCCN) {
	t.learnTunnelID(m.AssignedTunnelID)
	t.die(now, Cause{Result: m.ResultCode, Remote: true})
}

// generalResult is Result Code 2 with an Error Code, of StopCCN and CDN alike.
func generalResult(code l2tp.ErrorCode, text string) l2tp.ResultCode {
	return l2tp.ResultCode{Result: l2tp.StopCCNGeneralError, Error: code, Message: text}
}
