package tunnel

import (
	"time"

	"adit/proto/l2tp"
)

// setVersion makes version that of our messages from now on.
func (t *Tunnel) setVersion(version uint8) {
	t.version = version
	if version != l2tp.Version3 || len(t.auth.digests) == 0 {
		t.ch.SetVersion(version, nil, nil)
		return
	}
	t.ch.SetVersion(version, t.auth.sealer(), explicitAck(t.auth.digests))
}

// explicitAck is the payload of an acknowledgement on its own. RFC 3931 section
// 6.15: "ZLB messages are only permitted when Control Message Authentication
// defined in Section 4.3 is not enabled."
func explicitAck(digests []l2tp.DigestType) []byte {
	// It cannot fail: there is nothing in it that could be wrong.
	ack, _ := l2tp.AppendMessage(nil, &l2tp.ACK{}, l2tp.AppendOptions{Version: l2tp.Version3, Digests: digests})
	return ack
}

// versionOf is the version of a message; a header made by hand may say 0 for 2.
func versionOf(h l2tp.Header) uint8 {
	if h.Version == 0 {
		return l2tp.Version
	}
	return h.Version
}

// speaks says whether a message has the version of this tunnel, or can have it.
func (t *Tunnel) speaks(ev Receive) bool {
	got := versionOf(ev.Header)
	switch {
	case t.undecided:
		return got == l2tp.Version || got == l2tp.Version3
	case got == l2tp.Version && t.version == l2tp.Version3 && ev.Header.TunnelID == 0:
		// The SCCRQ that offered both versions, once more.
		m, ok := l2tp.PeekMessageType(ev.Payload)
		return ok && m == l2tp.TypeSCCRQ
	}
	return got == t.version
}

// decide ends the time in which the tunnel may become one of either version.
//
// RFC 3931 section 4.7.3: "If the peer implementation is L2TPv3-capable, a control
// message with the Ver field set to 3 and an L2TPv3 header and message format will
// be sent in response to the SCCRQ. Operation may then continue as L2TPv3. If a
// message is received with the Ver field set to 2, it must be assumed that the peer
// implementation is L2TPv2-only, thus enabling fallback to L2TPv2 mode to safely
// occur."
func (t *Tunnel) decide(now time.Time, version uint8) {
	t.undecided = false
	t.setVersion(version)
	if version == l2tp.Version3 && t.state == Dead {
		// The StopCCN that waits for the peer's ID is one of version 2.
		if t.ch.DropWaiting() > 0 {
			t.sendStopCCN(now, t.stopped)
		}
	}
}

// offer adds to an SCCRQ what version 3 has. RFC 3931 section 4.7.3: the SCCRQ that
// offers both is one of version 2 with the AVPs of version 3, which an end that
// knows only version 2 ignores. Errors: ErrRandom, ErrNotAllowed.
func (t *Tunnel) offer(m *l2tp.SCCRQ) error {
	if t.cfg.Version != l2tp.Version3 {
		return nil
	}
	if t.undecided {
		if t.cfg.LocalID > 0xffff {
			return ErrNotAllowed // the Assigned Tunnel ID has 16 bits
		}
		m.ControlConnectionID = t.cfg.LocalID
	}
	nonce, err := t.newNonce()
	m.Nonce = nonce
	m.RouterID = t.cfg.RouterID
	m.Pseudowires = t.cfg.Pseudowires
	return err
}

// sccrqID is the ID that an SCCRQ assigns to the tunnel, as the version has it that
// the tunnel has or is to have.
func sccrqID(m *l2tp.SCCRQ, version uint8) uint32 {
	if version == l2tp.Version3 && m.ControlConnectionID != 0 {
		return m.ControlConnectionID
	}
	return m.AssignedTunnelID
}

// versionRefusal says why an SCCRQ cannot begin a tunnel of the version configured.
// got is the version of its header.
//
// RFC 3931 section 5.4.2, Result Code 5: "The protocol version of the requester is
// not supported, Error Code indicates highest version supported": here it is the one of
// the Ver field. (To a wrong Protocol Version AVP, which only version 2 has,
// l2tp.ParseMessage answers with the value of that AVP.)
func versionRefusal(want, got uint8, m *l2tp.SCCRQ) (l2tp.ResultCode, bool) {
	result := l2tp.ResultCode{Result: l2tp.StopCCNUnsupportedVersion}
	switch {
	case want == got, want == l2tp.Version3 && m.OffersV3():
		return l2tp.ResultCode{}, false
	case want == l2tp.Version3:
		result.Error = l2tp.ErrorCode(l2tp.Version3)
		result.Message = "only L2TPv3 is accepted from this peer"
	default:
		result.Error = l2tp.ErrorCode(l2tp.Version)
		result.Message = "only L2TPv2 is accepted from this peer"
	}
	return result, true
}
