// Package coa listens for what RFC 5176 calls dynamic authorization: requests by
// which a RADIUS server ends sessions (Disconnect-Request) or gives them other
// terms (CoA-Request) while they live. Who sends them has to be configured, and to
// know the secret.
//
// What can be changed in a living session is its times and its Class. A request
// for more is answered with a NAK that says so, and changes nothing: RFC 5176
// section 2.3, "all attributes MUST be treated as mandatory".
package coa
