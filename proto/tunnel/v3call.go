package tunnel

import (
	"encoding/binary"

	"adit/proto/l2tp"
)

// What the messages of a session of version 3 say of it, RFC 3931 sections 6.6 to 6.11.

// request3 is what only version 3 has in our ICRQ or OCRQ.
func (s *session) request3() (l2tp.Request3, l2tp.Session3) {
	c := &s.call
	end := c.end3()
	end.TxConnectSpeed, end.RxConnectSpeed = uint64(c.TxConnectSpeed), uint64(c.RxConnectSpeed)
	return l2tp.Request3{
		PseudowireType: c.Pseudowire, RemoteEndID: c.RemoteEndID, ApplicationID: c.ApplicationID,
		SessionTie: tieValue(s.tie),
	}, end
}

// end3 is our end of the session, as an ICRP or OCRP tells it.
func (c *Call) end3() l2tp.Session3 {
	return l2tp.Session3{
		Cookie: c.Local.Cookie, Sublayer: c.Local.Sublayer, Sequencing: c.Local.Sequencing,
		CircuitStatus: c.LocalStatus,
	}
}

func tieValue(tie []byte) *uint64 {
	if tie == nil {
		return nil
	}
	value := binary.BigEndian.Uint64(tie)
	return &value
}

// addRequest3 adds what only version 3 has in the peer's ICRQ or OCRQ.
func (c *Call) addRequest3(r *l2tp.Request3, end *l2tp.Session3) {
	c.Pseudowire, c.RemoteEndID, c.ApplicationID = r.PseudowireType, r.RemoteEndID, r.ApplicationID
	c.addPeer3(end)
	c.addSpeeds(end.TxConnectSpeed, end.RxConnectSpeed)
}

// addPeer3 adds what a request or reply says of the peer's end.
func (c *Call) addPeer3(end *l2tp.Session3) {
	c.Peer = Wire{Cookie: end.Cookie, CookieLength: len(end.Cookie), Sublayer: end.Sublayer, Sequencing: end.Sequencing}
	c.PeerStatus = end.CircuitStatus
}

// addEnd3 adds what our owner, as the recipient of a request, wants with AcceptCall.
func (c *Call) addEnd3(end Call) {
	c.Local = end.Local
	if end.LocalStatus != 0 {
		c.LocalStatus = end.LocalStatus
	}
}
