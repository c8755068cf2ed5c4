package chap

import "layeh.com/radius/rfc2759"

// respondMSCHAPv2 makes the Value of a Response, RFC 2759 section 4, and what the
// peer's Success has to begin with.
func respondMSCHAPv2(name string, password, challenge, peerChallenge []byte) (value []byte, proof string) {
	hash := HashNT(password)
	c := challengeHash(peerChallenge, challenge, name)
	value = make([]byte, responseLen) // Reserved and Flag are zero
	copy(value, peerChallenge)
	ntResponse := value[ntResponseAt:ntResponseEnd]
	copy(ntResponse, rfc2759.ChallengeResponse(c, hash[:]))
	return value, authenticatorResponse(hash, ntResponse, c)
}
