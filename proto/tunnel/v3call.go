package tunnel

import (
	"encoding/binary"

	"adit/proto/l2tp"
)

// What the messages of a session of version 3 say of it, RFC 3931 sections 6.6 to 6.11.

// toICRQ3 adds to an ICRQ what only version 3 has.
func (c *Call) toICRQ3(m *l2tp.ICRQ, tie []byte) {
	m.PseudowireType, m.RemoteEndID, m.ApplicationID = c.Pseudowire, c.RemoteEndID, c.ApplicationID
	m.SessionTie = tieValue(tie)
	m.Cookie, m.Sublayer, m.Sequencing = c.Local.Cookie, c.Local.Sublayer, c.Local.Sequencing
	m.CircuitStatus = c.LocalStatus
	m.TxConnectSpeed, m.RxConnectSpeed = uint64(c.TxConnectSpeed), uint64(c.RxConnectSpeed)
}

// toOCRQ3 is that for an OCRQ.
func (c *Call) toOCRQ3(m *l2tp.OCRQ, tie []byte) {
	m.PseudowireType, m.RemoteEndID, m.ApplicationID = c.Pseudowire, c.RemoteEndID, c.ApplicationID
	m.SessionTie = tieValue(tie)
	m.Cookie, m.Sublayer, m.Sequencing = c.Local.Cookie, c.Local.Sublayer, c.Local.Sequencing
	m.CircuitStatus = c.LocalStatus
	m.TxConnectSpeed, m.RxConnectSpeed = uint64(c.TxConnectSpeed), uint64(c.RxConnectSpeed)
}

func tieValue(tie []byte) *uint64 {
	if tie == nil {
		return nil
	}
	value := binary.BigEndian.Uint64(tie)
	return &value
}

// icrp3 is the ICRP of version 3.
func (c *Call) icrp3() *l2tp.ICRP {
	return &l2tp.ICRP{
		Cookie: c.Local.Cookie, Sublayer: c.Local.Sublayer, Sequencing: c.Local.Sequencing,
		CircuitStatus: c.LocalStatus, PhysicalChannelID: c.PhysicalChannelID,
	}
}

// toOCRP3 adds to an OCRP what only version 3 has.
func (c *Call) toOCRP3(m *l2tp.OCRP) {
	m.Cookie, m.Sublayer, m.Sequencing = c.Local.Cookie, c.Local.Sublayer, c.Local.Sequencing
	m.CircuitStatus = c.LocalStatus
}

// fromPeer is what a request or reply says about the peer's end.
func (c *Call) fromPeer(w Wire, status l2tp.CircuitStatus, tx, rx uint64) {
	w.CookieLength = len(w.Cookie)
	c.Peer, c.PeerStatus = w, status
	if tx != 0 {
		c.TxConnectSpeed, c.RxConnectSpeed = speed32(tx), speed32(rx)
	}
}

// addEnd3 adds what our owner, as the recipient of a request, wants with AcceptCall.
func (c *Call) addEnd3(end Call) {
	c.Local = end.Local
	if end.LocalStatus != 0 {
		c.LocalStatus = end.LocalStatus
	}
}
