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
	if t.version == l2tp.Version {
		if result, err := t.prepareChallenge(); err != nil {
			t.abandon(now, result, err)
			return
		}
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
	if err := t.offer(m); err != nil {
		t.abandon(now, generalResult(l2tp.ErrorInsufficientResources, err.Error()), err)
		return
	}
	if err := t.send(now, 0, m); err != nil {
		t.abandon(now, generalResult(l2tp.ErrorValue, err.Error()), err)
	}
}

// recvFirstSCCRQ answers the SCCRQ that this tunnel was made from; got is the
// version of its header. It is turned down for refuse, if that is not nil.
func (t *Tunnel) recvFirstSCCRQ(now time.Time, got uint8, m *l2tp.SCCRQ, refuse *l2tp.ResultCode) {
	if result, refused := versionRefusal(t.version, got, m); refused {
		t.setVersion(got)
		t.ch.SetPeer(m.AssignedTunnelID, 0)
		t.turnDown(now, result, ErrWrongVersion)
		return
	}
	t.peer = PeerInfo{
		HostName:         m.HostName,
		VendorName:       m.VendorName,
		FirmwareRevision: m.FirmwareRevision,
		TunnelID:         sccrqID(m, t.version),
		ReceiveWindow:    m.ReceiveWindowSize,
		Framing:          m.FramingCapabilities,
		Bearer:           m.BearerCapabilities,
		Version:          t.version,
	}
	if t.version == l2tp.Version3 {
		t.peer.RouterID, t.peer.Pseudowires = m.RouterID, m.Pseudowires
	}
	t.ch.SetPeer(t.peer.TunnelID, m.ReceiveWindowSize)
	reply := &l2tp.SCCRP{
		FramingCapabilities: t.cfg.Framing,
		HostName:            t.cfg.HostName,
		AssignedTunnelID:    t.cfg.LocalID,
		BearerCapabilities:  t.cfg.Bearer,
		FirmwareRevision:    t.cfg.FirmwareRevision,
		VendorName:          t.cfg.VendorName,
		ReceiveWindowSize:   t.ch.ReceiveWindow(),
	}
	result, err := t.authenticate(m, reply)
	if err == nil && refuse != nil {
		result, err = *refuse, ErrNotAllowed
	}
	if err != nil {
		t.turnDown(now, result, err)
		return
	}
	if err := t.send(now, 0, reply); err != nil {
		t.turnDown(now, generalResult(l2tp.ErrorInsufficientResources, err.Error()), err)
	}
}

// authenticate puts into our SCCRP what the authentication of the tunnel's version
// needs.
func (t *Tunnel) authenticate(m *l2tp.SCCRQ, reply *l2tp.SCCRP) (result l2tp.ResultCode, err error) {
	if t.version == l2tp.Version3 {
		reply.RouterID, reply.Pseudowires = t.cfg.RouterID, t.cfg.Pseudowires
		if result, err = t.nonceMissing(m.Type(), m.Nonce); err != nil {
			return result, err
		}
		if reply.Nonce, err = t.newNonce(); err != nil {
			return generalResult(l2tp.ErrorInsufficientResources, err.Error()), err
		}
		return l2tp.ResultCode{}, nil
	}
	reply.ChallengeResponse, result, err = t.respond(l2tp.TypeSCCRP, m.Challenge)
	if err == nil {
		result, err = t.prepareChallenge()
	}
	reply.Challenge = t.challenge
	return result, err
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
		Version:          t.version,
	}
	t.ch.SetPeer(m.AssignedTunnelID, m.ReceiveWindowSize)
	if t.version == l2tp.Version3 {
		t.recvSCCRP3(now, m)
		return
	}
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

// recvSCCRP3 is the rest of it in version 3. That the SCCCN has a right digest is what
// "acceptable" means there, and that was looked at before.
func (t *Tunnel) recvSCCRP3(now time.Time, m *l2tp.SCCRP) {
	t.peer.RouterID, t.peer.Pseudowires = m.RouterID, m.Pseudowires
	if result, err := t.nonceMissing(m.Type(), m.Nonce); err != nil {
		t.fail(now, result, err)
		return
	}
	if t.mustSend(now, 0, &l2tp.SCCCN{}) {
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
	cause := Cause{Result: m.ResultCode, Remote: true}
	if t.version == l2tp.Version3 && t.state == WaitCtlReply && t.tie != nil &&
		m.ResultCode.Result == l2tp.StopCCNAlreadyExists {
		// RFC 3931 section 5.4.3: "A StopCCN SHOULD be sent by the winner as an
		// explicit rejection for the losing SCCRQ."
		cause.Err = ErrTieLost
	}
	t.die(now, cause)
}

// generalResult is Result Code 2 with an Error Code, of StopCCN and CDN alike.
func generalResult(code l2tp.ErrorCode, text string) l2tp.ResultCode {
	return l2tp.ResultCode{Result: l2tp.StopCCNGeneralError, Error: code, Message: text}
}
