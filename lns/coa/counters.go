package coa

import (
	"sync/atomic"
)

// counters are what the server has seen.
type counters struct {
	requests, ack                                       atomic.Uint64
	unknownClient, malformed, badAuthenticator, stale   atomic.Uint64
	duplicates, overload, late, readErrors, sendErrors  atomic.Uint64
	unsupported, missing, mismatch, notFound, otherNAKs atomic.Uint64
}

// nak counts a refusal.
func (c *counters) nak(cause ErrorCause) {
	switch cause {
	case UnsupportedAttribute:
		c.unsupported.Add(1)
	case MissingAttribute:
		c.missing.Add(1)
	case NASIdentificationMismatch:
		c.mismatch.Add(1)
	case SessionContextNotFound:
		c.notFound.Add(1)
	default:
		c.otherNAKs.Add(1)
	}
}

// Counts returns what has happened since the start, by names as Prometheus has
// them. Any goroutine.
func (s *Server) Counts() map[string]uint64 {
	c := &s.count
	m := make(map[string]uint64)
	for name, n := range map[string]*atomic.Uint64{
		"requests": &c.requests, "acks": &c.ack,
		"naks_unsupported_attribute": &c.unsupported, "naks_missing_attribute": &c.missing,
		"naks_nas_mismatch": &c.mismatch, "naks_session_not_found": &c.notFound, "naks_other": &c.otherNAKs,
		"dropped_unknown_client": &c.unknownClient, "dropped_malformed": &c.malformed,
		"dropped_bad_authenticator": &c.badAuthenticator, "dropped_stale_timestamp": &c.stale,
		"duplicates": &c.duplicates, "naks_overload": &c.overload, "late_results": &c.late,
		"read_errors": &c.readErrors, "send_errors": &c.sendErrors,
	} {
		m["coa_"+name] = n.Load()
	}
	return m
}
