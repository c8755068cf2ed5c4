package coa

import (
	"net/netip"
	"slices"
	"time"

	"adit/lns/radattr"
	"adit/lns/subscriber"
)

// Handler is who has the sessions. Its methods are called on the server's
// goroutine and must not block. Each calls done exactly once, at once or later,
// from any goroutine; a second call does nothing.
type Handler interface {
	// Disconnect ends every session that is selected, or none of them if one cannot
	// be ended. class, if it is not nil, takes the place of the Class in the
	// sessions' Stop records: RFC 5176 section 3.6, note 4.
	Disconnect(sel Selector, class [][]byte, done func(Result))
	// Change gives every session that is selected its new terms, or none of them
	// if one cannot have them.
	//
	// RFC 5176 section 3: "If all NAS identification attributes match, and more
	// than one session matches all of the session identification attributes, then a
	// CoA-Request or Disconnect-Request MUST apply to all matching sessions." A
	// Handler that would not do so says MultipleSessionsUnsupported.
	Change(sel Selector, change Change, done func(Result))
}

// Result is what became of a request.
type Result struct {
	// Sessions is how many the request was carried out for. 0 without a Cause means
	// that none was selected: SessionContextNotFound.
	Sessions int
	// Cause is why nothing was done; CauseNone: it was.
	Cause ErrorCause
}

// Change is new terms for a session. What is nil stays as it is.
type Change struct {
	// SessionTimeout is of the whole session, from its start; 0: no end.
	SessionTimeout *time.Duration
	IdleTimeout    *time.Duration // 0: none
	// InterimInterval is 0 for no interim records, and else a minute at least.
	InterimInterval *time.Duration
	// Class takes the place of all that there was.
	Class [][]byte
}

// Selector says which sessions are meant: those that have everything which is set
// in it. Something always is.
type Selector struct {
	User          string // User-Name
	SessionID     string // Acct-Session-Id
	CallingNumber string // Calling-Station-Id
	CalledNumber  string // Called-Station-Id
	NASPort       *uint32
	NASPortID     string
	Address       netip.Addr // Framed-IP-Address
	// Prefixes are Framed-IPv6-Prefix: all of them are the session's.
	Prefixes    []netip.Prefix
	InterfaceID *uint64 // Framed-Interface-Id
}

// empty says whether nothing is selected.
func (s *Selector) empty() bool {
	return s.User == "" && s.SessionID == "" && s.CallingNumber == "" && s.CalledNumber == "" &&
		s.NASPort == nil && s.NASPortID == "" && !s.Address.IsValid() && len(s.Prefixes) == 0 && s.InterfaceID == nil
}

// Matches says whether a session is among those meant. user is the name under
// which it goes on, as in its accounting records.
//
// RFC 5176 section 3: "The combination of NAS and session identification
// attributes included in a CoA-Request or Disconnect-Request packet MUST match at
// least one session in order for a Request to be successful".
func (s *Selector) Matches(line *subscriber.Line, user string, a *subscriber.Addresses) bool {
	return !s.empty() &&
		same(s.User, user) && same(s.SessionID, line.ID) &&
		same(s.CallingNumber, line.CallingNumber) && same(s.CalledNumber, line.CalledNumber) &&
		(s.NASPort == nil || *s.NASPort == radattr.NASPort(line)) &&
		(s.NASPortID == "" || s.NASPortID == radattr.NASPortID(line)) &&
		(!s.Address.IsValid() || s.Address == a.IPv4.Unmap()) &&
		(s.InterfaceID == nil || *s.InterfaceID == a.InterfaceID) &&
		!slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return !slices.Contains(a.Prefixes, p) })
}

// same says whether a value is the one that is wanted, if one is. A server knows
// no more of a long one than an attribute can hold.
func same(want, have string) bool {
	return want == "" || want == have[:min(len(have), radattr.MaxValue)]
}
