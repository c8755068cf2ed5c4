package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"layeh.com/radius"
	"layeh.com/radius/rfc2869"

	"adit/internal/config"
)

// Lengths of RFC 2865 section 3.
const (
	headerLen        = 20
	authenticatorLen = 16
	authenticatorAt  = 4
)

// Why an answer is dropped.
var (
	errMalformed     = errors.New("malformed")
	errAuthenticator = errors.New("bad authenticator")
	errUnsigned      = errors.New("no Message-Authenticator")
)

// sent is a packet under way, as much of it as is needed to know its answer. It
// does not change.
type sent struct {
	request       *request
	authenticator [authenticatorLen]byte
	server        *config.RADIUSServer
	requireSigned bool // the answer has to have a Message-Authenticator
}

// seal makes an octet string of an Access-Request.
//
// RFC 3579 section 3.2: "Message-Authenticator = HMAC-MD5 (Type, Identifier,
// Length, Request Authenticator, Attributes)". "When the message integrity check
// is calculated the signature string should be considered to be sixteen octets of
// zero." It is the first attribute, so that whoever forges an answer from a
// request's attributes has nothing that he knows to begin with.
func seal(p *radius.Packet) ([]byte, error) {
	p.Del(rfc2869.MessageAuthenticator_Type)
	p.Attributes = append(radius.Attributes{{
		Type: rfc2869.MessageAuthenticator_Type, Attribute: make([]byte, authenticatorLen),
	}}, p.Attributes...)
	wire, err := p.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encoding an Access-Request: %w", err)
	}
	mac := hmac.New(md5.New, p.Secret)
	mac.Write(wire)
	mac.Sum(wire[headerLen+2 : headerLen+2 : headerLen+2+authenticatorLen])
	return wire, nil
}

// encodeAccounting makes an octet string of an Accounting-Request and sets its
// Request Authenticator, RFC 2866 section 3.
func encodeAccounting(p *radius.Packet) ([]byte, error) {
	wire, err := p.Encode()
	if err != nil {
		return nil, fmt.Errorf("encoding an Accounting-Request: %w", err)
	}
	copy(p.Authenticator[:], wire[authenticatorAt:headerLen])
	return wire, nil
}

func newAuthenticator() (a [authenticatorLen]byte) {
	_, _ = rand.Read(a[:]) // never fails, says its documentation
	return a
}

// cut returns the packet of a datagram, RFC 2865 section 3: "Octets outside the
// range of the Length field MUST be treated as padding and ignored on reception.
// If the packet is shorter than the Length field indicates, it MUST be silently
// discarded. The minimum length is 20 and maximum length is 4096."
func cut(datagram []byte) ([]byte, error) {
	if len(datagram) < headerLen {
		return nil, errMalformed
	}
	n := int(binary.BigEndian.Uint16(datagram[2:4]))
	if n < headerLen || n > radius.MaxPacketLength || n > len(datagram) {
		return nil, errMalformed
	}
	return datagram[:n], nil
}

// open proves and parses an answer to a packet that was sent. wire is what cut
// returned; it is overwritten. The errors are those above.
func open(wire []byte, s *sent, kind kind, secret []byte, requireMessageAuthenticator bool) (*radius.Packet, error) {
	if !kind.answeredBy(radius.Code(wire[0])) {
		return nil, errMalformed
	}
	response := [authenticatorLen]byte(wire[authenticatorAt:headerLen])
	if !proven(wire, s.authenticator, secret) {
		return nil, errAuthenticator
	}
	if kind == authentication {
		if err := checkMessageAuthenticator(wire, secret, requireMessageAuthenticator); err != nil {
			return nil, err
		}
	}
	copy(wire[authenticatorAt:], response[:])
	p, err := radius.Parse(wire, secret)
	if err != nil {
		return nil, errMalformed
	}
	return p, nil
}

// proven checks the Response Authenticator, and leaves the Request Authenticator
// in its place.
//
// RFC 2865 section 3: "ResponseAuth =
// MD5(Code+ID+Length+RequestAuth+Attributes+Secret)".
func proven(wire []byte, request [authenticatorLen]byte, secret []byte) bool {
	response := [authenticatorLen]byte(wire[authenticatorAt:headerLen])
	copy(wire[authenticatorAt:], request[:])
	h := md5.New()
	h.Write(wire)
	h.Write(secret)
	var sum [md5.Size]byte
	return subtle.ConstantTimeCompare(h.Sum(sum[:0]), response[:]) == 1
}

// checkMessageAuthenticator looks for the attribute and checks it. In wire the
// Request Authenticator stands in the place of the answer's: RFC 3579 section 3.2,
// "For Access-Challenge, Access-Accept, and Access-Reject packets, the
// Message-Authenticator is calculated as follows, using the Request-Authenticator
// from the Access-Request this packet is in reply to".
func checkMessageAuthenticator(wire, secret []byte, required bool) error {
	at := 0
	for i := headerLen; i < len(wire); {
		if len(wire)-i < 2 || wire[i+1] < 2 || int(wire[i+1]) > len(wire)-i {
			return errMalformed
		}
		switch radius.Type(wire[i]) {
		case rfc2869.MessageAuthenticator_Type:
			if at != 0 || wire[i+1] != 2+authenticatorLen {
				return errMalformed
			}
			at = i + 2
		case rfc2869.EAPMessage_Type:
			// "Any packet that contains an EAP-Message attribute MUST also contain a
			// Message-Authenticator."
			required = true
		default: // it says nothing of who sent it
		}
		i += int(wire[i+1])
	}
	if at == 0 {
		if required {
			return errUnsigned
		}
		return nil
	}
	claimed := [authenticatorLen]byte(wire[at:])
	clear(wire[at : at+authenticatorLen])
	mac := hmac.New(md5.New, secret)
	mac.Write(wire)
	var sum [md5.Size]byte
	good := hmac.Equal(mac.Sum(sum[:0]), claimed[:])
	copy(wire[at:], claimed[:])
	if !good {
		// "A RADIUS client receiving an Access-Accept, Access-Reject or
		// Access-Challenge with a Message-Authenticator attribute present MUST
		// calculate the correct value of the Message-Authenticator and silently
		// discard the packet if it does not match the value sent."
		return errAuthenticator
	}
	return nil
}
