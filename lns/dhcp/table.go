package dhcp

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sirupsen/logrus"

	"adit/internal/config"
	"adit/internal/loop"
	"adit/internal/sparing"
)

// maxAcquiring bounds the acquisitions under way: at a thousand a second with
// servers that do not answer, those of sixteen seconds.
const maxAcquiring = 16384

// table is all leases and what is done about them. It has no goroutine, socket
// or clock; one goroutine uses it.
type table struct {
	log    *logrus.Entry
	counts *counts

	// send sends a message of the lease; the answer comes to receive.
	send func(l *lease, to destination, m []byte)
	// random is a number in [0, n), of n > 0.
	random func(n int64) int64

	known     map[identity]*lease
	xids      map[uint32]*lease     // of those who await an answer
	addresses map[netip.Addr]*lease // offered or held
	deadlines loop.Deadlines[*lease]
	acquiring int
	held      atomic.Int64 // len(known), for other goroutines

	// Lines that servers and subscribers can cause.
	timeouts, losses, conflicts, failures sparing.Lines
}

// destination says to whom a message goes.
type destination struct {
	// Server is where a relay sends, and a client that releases.
	server netip.Addr
	// Broadcast: a client does not know to whom, or wants all to hear.
	broadcast bool
	// Of a client's unicast: its own address, and the server's on the link.
	source netip.Addr
	mac    [6]byte
}

func newTable(log *logrus.Entry, c *counts) *table {
	return &table{
		log: log, counts: c, random: randomBelow,
		known: make(map[identity]*lease), xids: make(map[uint32]*lease), addresses: make(map[netip.Addr]*lease),
	}
}

// randomBelow need not be even to the last digit: it spreads messages in time.
func randomBelow(n int64) int64 { return int64(random64() % uint64(n)) }

func random64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.BigEndian.Uint64(b[:])
}

// expire does what is due.
func (t *table) expire(now time.Time) {
	for l, ok := t.deadlines.Due(now); ok; l, ok = t.deadlines.Due(now) {
		t.due(now, l)
	}
}

// schedule sets the lease's one deadline; the zero time: none.
func (t *table) schedule(l *lease, at time.Time) { t.deadlines.Set(&l.deadline, at) }

// newXID makes the transaction ID of an exchange: RFC 2131 section 4.1, "A
// DHCP client MUST choose 'xid's in such a way as to minimize the chance of using
// an 'xid' identical to one used by another client." It is random, as nobody who
// does not see our messages is to forge an answer.
func (t *table) newXID(l *lease) {
	t.forgetXID(l)
	for l.xid == 0 || t.xids[l.xid] != nil {
		l.xid = uint32(random64())
	}
	t.xids[l.xid] = l
}

// forgetXID: no answer is awaited.
func (t *table) forgetXID(l *lease) {
	if l.xid != 0 {
		delete(t.xids, l.xid)
		l.xid = 0
	}
}

// claim closes an address to all other leases. It says whether that could be.
func (t *table) claim(l *lease, address netip.Addr) bool {
	if other := t.addresses[address]; other != nil && other != l {
		return false
	}
	t.unclaim(l)
	l.address = address
	t.addresses[address] = l
	return true
}

func (t *table) unclaim(l *lease) {
	if l.address.IsValid() {
		delete(t.addresses, l.address)
		l.address = netip.Addr{}
	}
}

// begin is an Acquire.
func (t *table) begin(now time.Time, l *lease) {
	if t.acquiring >= maxAcquiring {
		t.counts.add(countDroppedBusy)
		t.end(l, ErrBusy)
		return
	}
	slot := 0
	for l.identity = identify(l.key, slot); t.known[l.identity] != nil; l.identity = identify(l.key, slot) {
		slot++
	}
	t.known[l.identity] = l
	t.held.Store(int64(len(t.known)))
	t.acquiring++
	l.begun = now
	t.discover(now, l)
}

// end takes a lease out of the table. An error ends its acquisition.
func (t *table) end(l *lease, err error) {
	if l.state == stateSelecting || l.state == stateRequesting {
		t.acquiring--
	}
	t.schedule(l, time.Time{})
	t.forgetXID(l)
	t.unclaim(l)
	if t.known[l.identity] == l {
		delete(t.known, l.identity)
		t.held.Store(int64(len(t.known)))
	}
	l.state = stateGone
	if err != nil && l.events.Acquired != nil {
		l.events.Acquired(Lease{}, err)
	}
}

// release is a Handle's Release, and with decline its Decline.
func (t *table) release(l *lease, decline bool) {
	switch l.state {
	case stateNew, stateGone:
		return
	case stateLost:
		t.end(l, nil)
		return
	case stateSelecting:
		t.end(l, ErrReleased)
		return
	case stateRequesting, stateBound, stateRenewing, stateRebinding:
	}
	t.newXID(l) // no answer to what was asked counts any more
	if decline {
		t.decline(l, l.address, l.server, l.from)
	} else {
		t.counts.add(countReleases)
		t.transmit(l, t.toServer(l), l.releasing())
	}
	if l.state == stateRequesting {
		t.end(l, ErrReleased)
		return
	}
	t.end(l, nil)
}

// decline tells a server that an address is in use. RFC 2131 section 4.4.4: "the
// client broadcasts DHCPDECLINE messages."; a relay knows for whom it is.
func (t *table) decline(l *lease, address, server netip.Addr, from sender) {
	t.counts.add(countDeclines)
	to := destination{server: from.addr.Addr()}
	if l.group.Mode == config.DHCPClient {
		to = destination{broadcast: true}
	}
	t.transmit(l, to, l.declining(address, server))
}

// toServer is the way to the server of the lease alone.
func (t *table) toServer(l *lease) destination {
	return destination{server: l.from.addr.Addr(), source: l.address, mac: l.from.mac}
}

// transmit sends a message to one destination.
func (t *table) transmit(l *lease, to destination, m *dhcpv4.DHCPv4) { t.send(l, to, m.ToBytes()) }

// transmitAll sends a message to all servers.
func (t *table) transmitAll(l *lease, m *dhcpv4.DHCPv4) {
	b := m.ToBytes()
	if l.group.Mode == config.DHCPClient {
		t.send(l, destination{broadcast: true}, b)
		return
	}
	for _, s := range l.group.Servers {
		t.send(l, destination{server: s}, b)
	}
}

// trusts says whether an answer may come from there. A relay asks servers whom
// it knows.
func (l *lease) trusts(from sender) bool {
	if from.addr.Port() != serverPort {
		return false
	}
	return l.group.Mode == config.DHCPClient || slices.Contains(l.group.Servers, from.addr.Addr())
}

func (t *table) entry(l *lease) *logrus.Entry {
	fields := logrus.Fields{"dhcp": l.group.Name}
	if l.tunnel != 0 {
		fields["tunnel"], fields["session"] = l.tunnel, l.sess
	}
	if l.address.IsValid() {
		fields["address"] = l.address
	}
	if l.server.IsValid() {
		fields["server"] = l.server
	}
	return t.log.WithFields(fields)
}

// close ends all acquisitions, and forgets the leases.
func (t *table) close() {
	for _, l := range t.known {
		var err error
		if l.state == stateSelecting || l.state == stateRequesting {
			err = ErrClosed
		}
		t.end(l, err)
	}
}
