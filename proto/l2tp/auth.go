package l2tp

import (
	"crypto/md5"
	"crypto/subtle"
)

// ChallengeResponse is the value of the Challenge Response AVP in a message of
// type t (SCCRP or SCCCN) that answers challenge. RFC 2661 section 4.4.3: "For
// purposes of the ID value in the CHAP response calculation, the value of the
// Message Type AVP for this message is used (e.g. 2 for an SCCRP, and 3 for an
// SCCCN)"; RFC 1994 section 4.1: MD5 over ID, secret and challenge.
func ChallengeResponse(t MessageType, secret, challenge []byte) [16]byte {
	in := make([]byte, 0, 128)
	in = append(in, byte(t))
	in = append(in, secret...)
	in = append(in, challenge...)
	return md5.Sum(in)
}

// CheckChallengeResponse says whether response, from a message of type t, is
// the answer to challenge. It takes the same time for every wrong answer.
func CheckChallengeResponse(t MessageType, secret, challenge, response []byte) bool {
	want := ChallengeResponse(t, secret, challenge)
	return subtle.ConstantTimeCompare(want[:], response) == 1
}
