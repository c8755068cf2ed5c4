package coa

import (
	"net/netip"
	"time"
)

// How long an answer is kept for copies of its request, and how many there are at
// one time: an operator who ends all sessions of a LAC asks some hundred times a
// second, and what has an Event-Timestamp is kept for minutes.
const (
	keepAnswer = 30 * time.Second
	maxAnswers = 1 << 16
	sweepEvery = time.Second
)

// timestampWindow is how far an Event-Timestamp may be from our own clock.
//
// RFC 5176 section 6.3: "A default time window of 300 seconds should be adequate in
// many circumstances."
const timestampWindow = 300 * time.Second

// requestKey is what the copies of a request have in common.
//
// RFC 5176 section 2.3: "A Dynamic Authorization Server implementing this
// specification MUST be capable of detecting a duplicate request if it has the same
// source IP address, source UDP port, and Identifier within a short span of time."
// The authenticator stands for the rest of it, and for the secret. Where a request
// says its time, from is the zero AddrPort: two that are alike in all else are one,
// and whoever replays it may have made up the port, and the address too, where
// several share a secret.
type requestKey struct {
	from          netip.AddrPort
	id            byte
	authenticator [16]byte
}

// answer is what a request was answered with; packet is nil until it is known.
type answer struct {
	packet  []byte
	expires time.Time
}

// answers keeps answers for as long as their requests may come again.
type answers struct {
	m     map[requestKey]*answer
	swept time.Time
}

// find returns the answer to a request that was there before; nil: it was not.
func (a *answers) find(k requestKey, now time.Time) *answer {
	found := a.m[k]
	if found == nil || found.expires.Before(now) {
		return nil
	}
	return found
}

// add makes room for the answer to a new request. It says false if there is none.
func (a *answers) add(k requestKey, timestamp, now time.Time) bool {
	if len(a.m) >= maxAnswers && now.Sub(a.swept) < sweepEvery {
		return false
	}
	if now.Sub(a.swept) >= sweepEvery {
		a.swept = now
		for k, old := range a.m {
			if old.expires.Before(now) {
				delete(a.m, k)
			}
		}
		if len(a.m) >= maxAnswers {
			return false
		}
	}
	expires := now.Add(keepAnswer)
	// RFC 5176 section 6.3: "the ability to detect replay within the time window is
	// dependent on support for duplicate detection within that same window."
	if t := timestamp.Add(timestampWindow + time.Second); !timestamp.IsZero() && t.After(expires) {
		expires = t
	}
	a.m[k] = &answer{expires: expires}
	return true
}
