package ppp

import "bytes"

// minReflected is how long a challenge of ours is that we know again, in octets:
// a shorter one may come by chance. Our own have 16.
const minReflected = 8

// newAuthenticator returns what has the peer of e show who it is by a method. A
// peer that has shown it before, by an earlier agreement of LCP, has to be the
// same.
func newAuthenticator(e *Endpoint, m Method) *authenticator {
	a := makeAuthenticator(endpointHost{e}, e.cfg, m)
	a.user, a.named = e.user, e.has(flagIdentified)
	return a
}

// newAnswerer returns what shows the peer of e who we are by a method.
func newAnswerer(e *Endpoint, m Method) *answerer {
	return makeAnswerer(endpointHost{e}, e.cfg, m)
}

// endpointHost is an Endpoint as its authenticator and answerer see it.
type endpointHost struct{ *Endpoint }

var _ authHost = endpointHost{}

// nextNumber returns the number of an Authenticate action.
func (h endpointHost) nextNumber() uint32 {
	h.number++
	return h.number
}

// outstanding says whether data has in it the challenge that our authenticator
// waits to see answered.
func (h endpointHost) outstanding(data []byte) bool {
	if h.auth == nil || h.auth.x == nil {
		return false
	}
	c := h.auth.x.outstanding()
	return len(c) >= minReflected && bytes.Contains(data, c)
}
