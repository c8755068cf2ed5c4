package chap

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"adit/proto/ppp"
)

// Credentials is a name and password by which we show who we are. It makes the
// answers of an endpoint, by every method that proto/ppp has.
//
// The password must not be one by which the same peer shows itself to us: RFC
// 1994 warns that "This allows an attacker to replay the peer's challenge, accept
// the computed response, and use that response to authenticate."
type Credentials struct {
	Name   string
	Secret []byte // the password
}

var _ ppp.Secrets = Credentials{}

// ErrNotVerified says that a peer could not show by MS-CHAPv2 that it knows our
// password.
var ErrNotVerified = errors.New("chap: wrong authenticator response")

// ErrMethod says that there is no response by a method, or not to its challenge.
var ErrMethod = errors.New("chap: no response by this method")

// Format keeps the password out of every verb.
func (c Credentials) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "{%s (secret)}", c.Name) }

// MarshalText keeps the password out of JSON and TOML.
func (c Credentials) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", c), nil }

// Password returns the name and the password, for PAP.
func (c Credentials) Password() (name string, password []byte) { return c.Name, c.Secret }

// Respond makes a response by CHAP or MS-CHAPv2. The error is ErrMethod.
func (c Credentials) Respond(m ppp.Method, id uint8, challenge []byte, _ string) (value []byte, name string, state any, err error) {
	switch {
	case m == ppp.MethodCHAP:
		return md5Response(id, c.Secret, challenge), c.Name, nil, nil
	case m == ppp.MethodMSCHAPv2 && len(challenge) == challengeLen:
		value, proof := respondMSCHAPv2(c.Name, c.Secret, challenge, random(challengeLen))
		return value, c.Name, proof, nil
	}
	return nil, "", nil, fmt.Errorf("%w: method %d, challenge of %d octets", ErrMethod, m, len(challenge))
}

// Verify checks the Message of MS-CHAPv2's Success. The error is ErrNotVerified.
func (c Credentials) Verify(state any, message string) error {
	proof, _ := state.(string)
	if proof == "" || len(message) < len(proof) ||
		subtle.ConstantTimeCompare([]byte(proof), []byte(message[:len(proof)])) != 1 {
		return ErrNotVerified
	}
	return nil
}

// EAP answers an MD5-Challenge, and asks for one where another method was
// offered. It returns nil for what is no request.
func (c Credentials) EAP(request []byte) []byte {
	if len(request) <= eapHeaderLen || request[0] != eapRequest {
		return nil
	}
	id := request[1]
	if request[eapHeaderLen] != eapMD5Challenge {
		return eapPacket(eapResponse, id, eapNak, eapMD5Challenge)
	}
	challenge, ok := md5Value(request[eapHeaderLen+1:])
	if !ok || len(challenge) == 0 {
		return nil
	}
	value := md5Response(id, c.Secret, challenge)
	data := append([]byte{eapMD5Challenge, byte(len(value))}, value...)
	return eapPacket(eapResponse, id, append(data, c.Name...)...)
}
