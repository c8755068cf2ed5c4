package dhcp

import (
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sirupsen/logrus"

	"adit/internal/config"
)

// RFC 2131 section 4.1: "the delay before the first retransmission SHOULD be 4
// seconds randomized by the value of a uniform random number chosen from the
// range -1 to +1. [...] The retransmission delay SHOULD be doubled with
// subsequent retransmissions up to a maximum of 64 seconds."
const (
	firstDelay   = 4 * time.Second
	longestDelay = 64 * time.Second
)

// minExtend is the least time between two requests for a lease that is held.
// RFC 2131 section 4.4.5: "the client SHOULD wait one-half of the remaining time
// until T2 (in RENEWING state) and one-half of the remaining lease time (in
// REBINDING state), down to a minimum of 60 seconds, before retransmitting the
// DHCPREQUEST message."
const minExtend = 60 * time.Second

// soon is the least time until an address is asked for again that was offered to
// two, and half of the longest.
const soon = 50 * time.Millisecond

// maxRequests is how often an offer is requested until another is looked for.
const maxRequests = 3

// discover begins the acquisition, or begins it anew.
func (t *table) discover(now time.Time, l *lease) {
	t.unclaim(l)
	t.newXID(l)
	l.state, l.sent, l.tries, l.clashed = stateSelecting, now, 0, false
	l.secs = uint16(min(now.Sub(l.begun)/time.Second, 0xffff))
	// Where a whole acquisition has less time than RFC 2131's delays were made
	// for, there are to be some tries in it yet.
	l.wait = min(firstDelay, l.group.Timeout/4)
	t.try(now, l)
}

// try sends the message of an acquisition, and sets when it is sent again.
func (t *table) try(now time.Time, l *lease) {
	l.tries++
	if l.state == stateSelecting {
		t.counts.add(countDiscovers)
		t.transmitAll(l, l.discover())
	} else {
		t.counts.add(countRequests)
		t.transmitAll(l, l.selecting())
	}
	at := now.Add(t.spread(l.wait))
	if l.wait *= 2; l.wait > longestDelay {
		l.wait = longestDelay
	}
	if end := l.begun.Add(l.group.Timeout); at.After(end) {
		at = end
	}
	t.schedule(l, at)
}

// spread is a delay give or take a quarter, and give or take a second at most.
func (t *table) spread(wait time.Duration) time.Duration {
	by := int64(min(wait/4, time.Second))
	return wait - time.Duration(by) + time.Duration(t.random(2*by+1))
}

// due is called when the deadline of the lease is reached. It always sets
// another one, or none.
func (t *table) due(now time.Time, l *lease) {
	switch l.state {
	case stateSelecting, stateRequesting:
		t.dueAcquiring(now, l)
	case stateBound:
		l.state = stateRenewing
		t.extend(now, l, true)
	case stateRenewing:
		first := !now.Before(l.held.Acquired.Add(l.held.RebindAfter))
		if first {
			l.state = stateRebinding
		}
		t.extend(now, l, first)
	case stateRebinding:
		if !now.Before(l.expires()) {
			t.counts.add(countTimeouts)
			t.lose(l, ErrExpired)
			return
		}
		t.extend(now, l, false)
	case stateNew, stateLost, stateGone:
		t.schedule(l, time.Time{}) // they have none
	}
}

func (t *table) dueAcquiring(now time.Time, l *lease) {
	switch {
	case l.clashed:
		t.end(l, ErrConflict)
	case !now.Before(l.begun.Add(l.group.Timeout)):
		t.counts.add(countTimeouts)
		t.timeouts.Log(t.entry(l), logrus.WarnLevel, "no DHCP server gave an address in time: see that the servers run and that they can reach us")
		t.end(l, ErrTimeout)
	case l.state == stateRequesting && l.tries >= maxRequests:
		t.discover(now, l)
	default:
		t.try(now, l)
	}
}

// extend asks for more time: in RENEWING the server of the lease, in REBINDING
// any. first: it is the first request of the state.
func (t *table) extend(now time.Time, l *lease, first bool) {
	if first {
		t.newXID(l)
		l.sent, l.secs = now, 0
	}
	t.counts.add(countRequests)
	end := l.held.Acquired.Add(l.held.RebindAfter)
	if l.state == stateRenewing && l.group.Mode == config.DHCPRelay {
		t.transmit(l, t.toServer(l), l.extending())
	} else {
		t.transmitAll(l, l.extending())
	}
	if l.state == stateRebinding {
		end = l.expires()
	}
	at := now.Add(max(end.Sub(now)/2, minExtend))
	if at.After(end) {
		at = end
	}
	t.schedule(l, at)
}

// receive takes what came to one of our sockets.
func (t *table) receive(now time.Time, r *reply) {
	l := t.xids[r.xid]
	switch {
	case l == nil || l.identity.hardware() != r.hardware || wayOf(l.group) != r.via:
		t.counts.add(countDroppedUnknown)
		return
	case !l.trusts(r.from):
		t.counts.add(countDroppedSource)
		return
	}
	taken := false
	switch r.kind {
	case dhcpv4.MessageTypeOffer:
		t.counts.add(countOffers)
		taken = t.offer(now, l, r)
	case dhcpv4.MessageTypeAck:
		t.counts.add(countAcks)
		taken = t.ack(l, r)
	case dhcpv4.MessageTypeNak:
		t.counts.add(countNaks)
		taken = t.nak(now, l, r)
	default: // parseReply lets no other pass
	}
	if !taken {
		t.counts.add(countDroppedState)
	}
}

// offer takes the first offer that is good. What comes later is late.
func (t *table) offer(now time.Time, l *lease, r *reply) bool {
	if l.state != stateSelecting {
		return false
	}
	if !t.claim(l, r.lease.Address) {
		if t.addresses[r.lease.Address].state == stateRequesting {
			t.askSoon(now, l)
			return true
		}
		t.conflict(now, l, r)
		return true
	}
	l.server, l.from = r.lease.Server, r.from
	l.state, l.sent, l.tries, l.clashed = stateRequesting, now, 0, false
	// The delay begins anew: it is another exchange, and the server is there.
	l.wait = min(firstDelay, l.group.Timeout/4)
	// RFC 2131 section 4.4.1: "The DHCPREQUEST message contains the same 'xid' as
	// the DHCPOFFER message.", which is ours.
	t.try(now, l)
	return true
}

// askSoon: the server offers what another of our leases is just asking for. That
// is no conflict. RFC 2131 section 3.1: "Servers need not reserve the offered
// network address", and dnsmasq does not. It knows better when the other one has
// its answer.
func (t *table) askSoon(now time.Time, l *lease) {
	l.wait = min(firstDelay, l.group.Timeout/4) // it is there, so a lost message is no sign of load
	at := now.Add(soon + time.Duration(t.random(int64(soon))))
	if end := l.begun.Add(l.group.Timeout); at.After(end) {
		at = end
	}
	t.schedule(l, at)
}

// conflict: the server offers the address of another session. RFC 2131 section
// 3.1: "If the client detects that the address is already in use [...], the
// client MUST send a DHCPDECLINE message to the server and restarts the
// configuration process. The client SHOULD wait a minimum of ten seconds before
// restarting the configuration process to avoid excessive network traffic in
// case of looping." A subscriber does not wait that long; there is no looping,
// because it is done once. After that, offers of other servers are awaited until
// the message would be sent again.
func (t *table) conflict(now time.Time, l *lease, r *reply) {
	t.counts.add(countConflicts)
	t.conflicts.Log(t.entry(l).WithFields(logrus.Fields{"address": r.lease.Address, "server": r.lease.Server}), logrus.WarnLevel,
		"a DHCP server offers an address that another session has: see that no two servers give the same addresses without knowing of each other")
	t.decline(l, r.lease.Address, r.lease.Server, r.from)
	if l.over == 0 {
		l.over++
		t.discover(now, l)
		return
	}
	l.clashed = true
}

// ack takes the lease, or the time added to it.
func (t *table) ack(l *lease, r *reply) bool {
	got := &r.lease
	switch l.state {
	case stateRequesting:
		if got.Server != l.server || got.Address != l.address {
			return false
		}
		t.acquiring--
	case stateRenewing, stateRebinding:
		if got.Address != l.address {
			return false
		}
	case stateNew, stateSelecting, stateBound, stateLost, stateGone:
		return false
	}
	first := l.state == stateRequesting
	l.server, l.from = got.Server, r.from
	// RFC 2131 section 4.4.5: "the client computes the lease expiration time as
	// the sum of the time at which the client sent the DHCPREQUEST message and the
	// duration of the lease in the DHCPACK message."
	got.Acquired = l.sent
	t.times(got)
	l.state, l.held = stateBound, *got
	t.forgetXID(l)
	var at time.Time
	if got.Duration != Infinite {
		at = got.Acquired.Add(got.RenewAfter)
	}
	t.schedule(l, at)
	switch {
	case first && l.events.Acquired != nil:
		l.events.Acquired(*got, nil)
	case !first && l.events.Renewed != nil:
		l.events.Renewed(*got)
	}
	return true
}

// times sets T1 and T2. RFC 2131 section 4.4.5: "T1 defaults to
// (0.5 * duration_of_lease). T2 defaults to (0.875 * duration_of_lease). Times T1
// and T2 SHOULD be chosen with some random "fuzz" around a fixed value, to avoid
// synchronization of client reacquisition." T1 is earlier by up to a tenth, also
// where the server told it: sessions that came up together after a restart would
// renew together for ever.
func (t *table) times(l *Lease) {
	if l.Duration == Infinite {
		l.RenewAfter, l.RebindAfter = 0, 0
		return
	}
	if l.RebindAfter <= 0 || l.RebindAfter >= l.Duration {
		l.RebindAfter = l.Duration / 8 * 7
	}
	if l.RenewAfter <= 0 || l.RenewAfter >= l.RebindAfter {
		l.RenewAfter = min(l.Duration/2, l.RebindAfter/8*7)
	}
	l.RenewAfter -= time.Duration(t.random(int64(l.RenewAfter/10) + 1))
}

// nak starts an acquisition over, once, and ends a lease. RFC 2131 section 3.1:
// "If the client receives a DHCPNAK message, the client restarts the
// configuration process." In RENEWING it counts only from the lease's own
// server: what a client sends there is heard by all on the link, and a server
// that never gave the address has no say in it.
func (t *table) nak(now time.Time, l *lease, r *reply) bool {
	switch l.state {
	case stateRequesting:
		if r.lease.Server != l.server {
			return false
		}
		if l.over > 0 {
			t.end(l, ErrRefused)
			return true
		}
		l.over++
		t.discover(now, l)
		return true
	case stateRenewing:
		if r.lease.Server != l.server {
			return false
		}
		t.lose(l, ErrWithdrawn)
		return true
	case stateRebinding:
		t.lose(l, ErrWithdrawn)
		return true
	case stateNew, stateSelecting, stateBound, stateLost, stateGone:
	}
	return false
}

// lose ends a lease, but its address stays closed to others until Release.
func (t *table) lose(l *lease, err error) {
	t.counts.add(countLost)
	t.losses.Log(t.entry(l).WithError(err), logrus.WarnLevel, "the DHCP lease of a session is lost: see the log of the server for why it did not renew it")
	l.state = stateLost
	t.forgetXID(l)
	t.schedule(l, time.Time{})
	if l.events.Lost != nil {
		l.events.Lost(err)
	}
}
