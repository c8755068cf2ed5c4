package ppp

import "bytes"

// newAuthenticator returns what has the peer of e show who it is by a method.
func newAuthenticator(e *Endpoint, m Method) *authenticator {
	return makeAuthenticator(endpointHost{e}, e.cfg, m)
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

// outstanding says whether value is the challenge that our authenticator waits
// to see answered.
func (h endpointHost) outstanding(value []byte) bool {
	return h.auth != nil && h.auth.x != nil && bytes.Equal(h.auth.x.challenge, value)
}
