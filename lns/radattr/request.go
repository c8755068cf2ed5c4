package radattr

import (
	"errors"
	"fmt"
	"net/netip"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"

	"adit/lns/subscriber"
	"adit/proto/ppp"
)

// NAS is who asks: adit, as its RADIUS servers know it.
type NAS struct {
	Identifier string     // NAS-Identifier; empty: not sent
	Address    netip.Addr // NAS-IP-Address or NAS-IPv6-Address; the zero Addr: not sent
}

// ErrCredentials says that what a peer showed cannot be asked about: it is longer
// than RADIUS can say it, or not what its method has.
var ErrCredentials = errors.New("radattr: no Access-Request can say what the peer showed")

// Lengths of PPP's and of RADIUS's fields, in octets.
const (
	chapValueLen       = 16  // RFC 1994 section 4.1, with MD5
	challengeLen       = 16  // RFC 2759 section 3
	mschapValueLen     = 49  // RFC 2759 section 4
	mschapAttributeLen = 50  // RFC 2548 section 2.3.2: Ident in front of it
	maxPassword        = 128 // RFC 2865 section 5.2
)

// eapMTU is the Framed-MTU of a request with an EAP-Message: the server makes its
// EAP packets no larger. It is the least that a link may have which carries IPv6.
const eapMTU = 1280

// AccessRequest fills an Access-Request: p has its Secret and its random
// Authenticator already. user is the name to ask about, which may be the name that
// the peer told without its realm. state is that of the last Access-Challenge of
// this exchange; nil: there was none.
//
// Whether the LAC heard the peer or we did makes no difference to the server, so
// nothing is said of it. The error is ErrCredentials.
func AccessRequest(p *radius.Packet, nas NAS, line *subscriber.Line, user string, req ppp.AuthRequest, state []byte) error {
	// A name that was cut would be another's.
	if len(user) > MaxValue {
		return fmt.Errorf("%w: a name of %d octets", ErrCredentials, len(user))
	}
	w := newWriter(p)
	w.text(rfc2865.UserName_Type, user)
	if err := w.credentials(req); err != nil {
		return err
	}
	w.add(rfc2865.State_Type, state)
	w.number(rfc2865.ServiceType_Type, uint32(rfc2865.ServiceType_Value_FramedUser))
	w.number(rfc2865.FramedProtocol_Type, uint32(rfc2865.FramedProtocol_Value_PPP))
	w.nas(nas)
	// RFC 5176 section 3: "A NAS implementing this specification SHOULD send an
	// Acct-Session-Id or Acct-Multi-Session-Id Attribute within an Access-Request."
	w.text(rfc2866.AcctSessionID_Type, line.ID)
	w.line(line)
	w.access(line.Access, radius.CodeAccessRequest)
	return nil
}

// credentials adds what the peer showed.
func (w *writer) credentials(req ppp.AuthRequest) error {
	switch req.Method {
	case ppp.MethodPAP:
		return w.pap(req.Password)
	case ppp.MethodCHAP:
		return w.chap(req)
	case ppp.MethodMSCHAPv2:
		return w.mschap(req)
	case ppp.MethodEAP:
		return w.eap(req.EAP)
	}
	return fmt.Errorf("%w: method %d", ErrCredentials, req.Method)
}

// pap adds the User-Password, hidden with the secret that is shared with the
// server that is asked.
func (w *writer) pap(password []byte) error {
	if len(password) > maxPassword {
		return fmt.Errorf("%w: a password of %d octets", ErrCredentials, len(password))
	}
	hidden, err := radius.NewUserPassword(password, w.p.Secret, w.p.Authenticator[:])
	if err != nil {
		return fmt.Errorf("%w: User-Password: %w", ErrCredentials, err)
	}
	w.add(rfc2865.UserPassword_Type, hidden)
	return nil
}

// chap adds CHAP-Password and CHAP-Challenge.
//
// RFC 2865 section 5.3: "This Attribute indicates the response value provided by a
// PPP Challenge-Handshake Authentication Protocol (CHAP) user in response to the
// challenge." "The CHAP challenge value is found in the CHAP-Challenge Attribute
// (60) if present in the packet, otherwise in the Request Authenticator field."
func (w *writer) chap(req ppp.AuthRequest) error {
	if len(req.Response) != chapValueLen || len(req.Challenge) == 0 || len(req.Challenge) > MaxValue {
		return fmt.Errorf("%w: a response of %d octets to a challenge of %d", ErrCredentials, len(req.Response), len(req.Challenge))
	}
	w.add(rfc2865.CHAPPassword_Type, append([]byte{req.ID}, req.Response...))
	w.add(rfc2865.CHAPChallenge_Type, req.Challenge)
	return nil
}

// mschap adds MS-CHAP-Challenge and MS-CHAP2-Response. PPP has the Value field as
// Peer-Challenge, Reserved, Response and Flags; RADIUS has the Flags in front.
//
// RFC 2548 section 2.3.2: "The Flags field is one octet in length. It is reserved
// for future use and MUST be zero." So is Reserved.
func (w *writer) mschap(req ppp.AuthRequest) error {
	if len(req.Response) != mschapValueLen || len(req.Challenge) != challengeLen {
		return fmt.Errorf("%w: a response of %d octets to a challenge of %d", ErrCredentials, len(req.Response), len(req.Challenge))
	}
	b := make([]byte, 0, mschapAttributeLen)
	b = append(b, req.ID, 0)
	b = append(b, req.Response[:16]...)
	b = append(b, make([]byte, 8)...)
	b = append(b, req.Response[24:48]...)
	w.vendor(vendorMicrosoft, msCHAPChallenge, req.Challenge)
	w.vendor(vendorMicrosoft, msCHAP2Response, b)
	return nil
}

// eap adds an EAP packet.
//
// RFC 3579 section 3.1: "If multiple EAP-Message attributes are present in a
// packet their values should be concatenated". "they MUST be in order and they
// MUST be consecutive attributes".
func (w *writer) eap(packet []byte) error {
	if len(packet) == 0 || len(packet)+2*(len(packet)/MaxValue+1) > w.room {
		return fmt.Errorf("%w: an EAP packet of %d octets", ErrCredentials, len(packet))
	}
	for len(packet) > 0 {
		n := min(len(packet), MaxValue)
		w.add(rfc2869.EAPMessage_Type, packet[:n:n])
		packet = packet[n:]
	}
	w.number(rfc2865.FramedMTU_Type, eapMTU)
	return nil
}

// nas adds who asks.
func (w *writer) nas(n NAS) {
	w.text(rfc2865.NASIdentifier_Type, n.Identifier)
	switch a := n.Address.Unmap(); {
	case a.Is4():
		w.add(rfc2865.NASIPAddress_Type, a.AsSlice())
	case a.Is6():
		w.add(rfc3162.NASIPv6Address_Type, a.AsSlice())
	}
}
