package autoconf

import "time"

// RFC 4861 section 10, Router constants.
const (
	maxInitialInterval = 16 * time.Second // MAX_INITIAL_RTR_ADVERT_INTERVAL
	maxInitial         = 3                // MAX_INITIAL_RTR_ADVERTISEMENTS
	minDelayBetween    = 3 * time.Second  // MIN_DELAY_BETWEEN_RAS
	maxDelay           = 500 * time.Millisecond
)

// schedule is when a link's advertisements are due. Times are Unix nanoseconds; 0:
// none.
type schedule struct {
	next    int64 // to all nodes
	last    int64 // to all nodes, sent
	unicast int64 // to the one who solicited
	to      uint64
	initial uint8 // how many of the first few were sent
}

func (s *schedule) begin(now time.Time) {
	s.next, s.initial = now.UnixNano(), 0
	if s.last != 0 {
		s.next = max(s.next, s.last+int64(minDelayBetween))
	}
}

func (s *schedule) deadline() time.Time {
	at := s.next
	if s.unicast != 0 && (at == 0 || s.unicast < at) {
		at = s.unicast
	}
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// multicastDue says whether to advertise to all nodes now.
//
// RFC 4861 section 6.2.4: "Whenever a multicast advertisement is sent from an
// interface, the timer is reset to a uniformly distributed random value between
// the interface's configured MinRtrAdvInterval and MaxRtrAdvInterval".
func (s *schedule) multicastDue(now time.Time, sub *Subscriber, random func(time.Duration) time.Duration) bool {
	if s.next == 0 || s.next > now.UnixNano() {
		return false
	}
	interval := sub.times(MinAdvertisementInterval) + random(sub.times(MaxAdvertisementInterval-MinAdvertisementInterval))
	if s.initial < maxInitial {
		// "For the first few advertisements (up to MAX_INITIAL_RTR_ADVERTISEMENTS)
		// ... if the randomly chosen interval is greater than
		// MAX_INITIAL_RTR_ADVERT_INTERVAL, the timer SHOULD be set to
		// MAX_INITIAL_RTR_ADVERT_INTERVAL instead."
		if s.initial++; s.initial < maxInitial {
			interval = min(interval, maxInitialInterval)
		}
	}
	s.last = now.UnixNano()
	s.next = s.last + int64(interval)
	return true
}

// unicastDue says whether to advertise to the one who solicited now.
func (s *schedule) unicastDue(now time.Time) (to uint64, ok bool) {
	if s.unicast == 0 || s.unicast > now.UnixNano() {
		return 0, false
	}
	s.unicast = 0
	return s.to, true
}

// solicited: the peer wants an advertisement, at its address of the interface
// identifier; 0: it has none as yet.
//
// RFC 4861 section 6.2.6: "A router MAY choose to unicast the response directly
// to the soliciting host's address". It does so here: the first advertisement is
// sent when IPv6CP is up, which a host whose interface comes up after that does
// not hear, and a second one to all nodes would have to wait for three seconds.
func (s *schedule) solicited(now time.Time, to uint64, random func(time.Duration) time.Duration) {
	// "In all cases, Router Advertisements sent in response to a Router
	// Solicitation MUST be delayed by a random time between 0 and
	// MAX_RA_DELAY_TIME seconds. (If a single advertisement is sent in response to
	// multiple solicitations, the delay is relative to the first solicitation.)"
	delay := int64(random(maxDelay))
	at := now.UnixNano() + delay
	if to != 0 {
		if s.unicast == 0 {
			s.unicast = at
		}
		s.to = to
		return
	}
	// "consecutive Router Advertisements sent to the all-nodes multicast address
	// MUST be rate limited to no more than one advertisement every
	// MIN_DELAY_BETWEEN_RAS seconds."
	if since := now.UnixNano() - s.last; s.last != 0 && since < int64(minDelayBetween) {
		at = s.last + int64(minDelayBetween) + delay
	}
	if s.next == 0 || at < s.next {
		s.next = at
	}
}
