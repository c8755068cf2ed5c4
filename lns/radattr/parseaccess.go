package radattr

import (
	"fmt"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"adit/proto/ppp"
)

// ParseAccess reads an Access-Request of pppd's radius.so: who the peer says to be
// and how it shows that, by PAP, CHAP or MS-CHAPv2. The request's Name is user.
// The error is ErrCredentials.
func ParseAccess(p *radius.Packet) (user string, req ppp.AuthRequest, err error) {
	user = string(p.Get(rfc2865.UserName_Type))
	if user == "" {
		return "", ppp.AuthRequest{}, fmt.Errorf("%w: no User-Name", ErrCredentials)
	}
	req.Name = user
	if response, ok := microsoftValue(p, msCHAP2Response); ok {
		req.Method = ppp.MethodMSCHAPv2
		err = parseMSCHAP(p, response, &req)
	} else if v, ok := p.Lookup(rfc2865.CHAPPassword_Type); ok {
		req.Method = ppp.MethodCHAP
		err = parseCHAP(p, v, &req)
	} else if v, ok := p.Lookup(rfc2865.UserPassword_Type); ok {
		req.Method = ppp.MethodPAP
		if req.Password, err = radius.UserPassword(v, p.Secret, p.Authenticator[:]); err != nil {
			err = fmt.Errorf("%w: User-Password: %w", ErrCredentials, err)
		}
	} else {
		err = fmt.Errorf("%w: neither by PAP nor by CHAP nor by MS-CHAPv2", ErrCredentials)
	}
	if err != nil {
		return "", ppp.AuthRequest{}, err
	}
	return user, req, nil
}

// parseCHAP reads what writer.chap writes.
//
// RFC 2865 section 5.3: "The CHAP challenge value is found in the CHAP-Challenge
// Attribute (60) if present in the packet, otherwise in the Request Authenticator
// field."
func parseCHAP(p *radius.Packet, v []byte, req *ppp.AuthRequest) error {
	if len(v) != 1+chapValueLen {
		return fmt.Errorf("%w: CHAP-Password of %d octets", ErrCredentials, len(v))
	}
	req.ID, req.Response = v[0], append([]byte(nil), v[1:]...)
	req.Challenge = append([]byte(nil), p.Authenticator[:]...)
	if c, ok := p.Lookup(rfc2865.CHAPChallenge_Type); ok {
		if len(c) == 0 {
			return fmt.Errorf("%w: an empty CHAP-Challenge", ErrCredentials)
		}
		req.Challenge = append([]byte(nil), c...)
	}
	return nil
}

// parseMSCHAP reads what writer.mschap writes, and gives the fields their order in
// PPP back.
func parseMSCHAP(p *radius.Packet, v []byte, req *ppp.AuthRequest) error {
	c, ok := microsoftValue(p, msCHAPChallenge)
	if !ok || len(c) != challengeLen || len(v) != mschapAttributeLen {
		return fmt.Errorf("%w: MS-CHAP2-Response of %d octets, MS-CHAP-Challenge of %d", ErrCredentials, len(v), len(c))
	}
	req.ID, req.Challenge = v[0], append([]byte(nil), c...)
	req.Response = append(append(make([]byte, 0, mschapValueLen), v[2:]...), v[1])
	return nil
}
