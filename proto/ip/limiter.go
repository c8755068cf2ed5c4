package ip

import "time"

// Limiter is a token bucket for what is sent in answer to bad packets. RFC 4443
// section 2.4 (f): "in order to limit the bandwidth and forwarding costs
// incurred by originating ICMPv6 error messages, an IPv6 node MUST limit the
// rate of ICMPv6 error messages it originates. [...] The recommended method for
// implementing the rate-limiting function is a token bucket". RFC 1812 section
// 4.3.2.8 asks the same of ICMP. It belongs to one goroutine. The zero value
// lets nothing through.
type Limiter struct {
	interval time.Duration // between tokens
	depth    time.Duration // from empty to full
	full     time.Time     // when the bucket is, or was, full again
}

// NewLimiter returns a full Limiter that lets burst messages through at once,
// and perSecond each second for long. Both are 1 at least.
func NewLimiter(perSecond, burst int) Limiter {
	interval := max(time.Second/time.Duration(max(perSecond, 1)), 1)
	return Limiter{interval: interval, depth: interval * time.Duration(max(burst, 1))}
}

// Allow takes a token at the time now, and reports whether there was one. A now
// earlier than an earlier call's finds fewer tokens, not more.
func (l *Limiter) Allow(now time.Time) bool {
	full := l.full
	if full.Before(now) {
		full = now
	}
	full = full.Add(l.interval)
	if l.depth == 0 || full.Sub(now) > l.depth {
		return false
	}
	l.full = full
	return true
}
