// Package dhcp takes IPv4 leases from DHCP servers (RFC 2131) for subscribers
// who speak PPP and not DHCP: one lease for a session, renewed while the session
// lives and released after it.
//
// One goroutine owns all leases, and one reader stands at each socket; nothing
// is started for a lease. Two ways lead to a server: as a relay agent, by
// unicast with the address of the relay in giaddr, and as a client, by broadcast
// on an interface.
package dhcp

import (
	"errors"
	"net/netip"
	"time"

	"adit/lns/subscriber"
)

// What an acquisition ends with, and why a lease is lost.
var (
	// ErrTimeout: no server gave an address within the time of the group.
	ErrTimeout = errors.New("dhcp: no server answered in time: see that the DHCP servers run and can reach the relay address")
	// ErrRefused: a server took back what it had offered, twice.
	ErrRefused = errors.New("dhcp: the server refused the address that it had offered (DHCPNAK)")
	// ErrConflict: what servers gave is the address of another session.
	ErrConflict = errors.New("dhcp: the servers give an address that another session has: two servers may share a range without knowing of each other")
	// ErrBusy: too many acquisitions are under way.
	ErrBusy = errors.New("dhcp: too many leases are being acquired")
	// ErrReleased: the handle was released before there was a lease.
	ErrReleased = errors.New("dhcp: released before a lease was acquired")
	// ErrClosed: the Client is closed.
	ErrClosed = errors.New("dhcp: closed")
	// ErrExpired: the lease ran out, for no server renewed it.
	ErrExpired = errors.New("dhcp: the lease ran out: no server answered to its renewal")
	// ErrWithdrawn: the server refused to renew the lease.
	ErrWithdrawn = errors.New("dhcp: the server refused to renew the lease (DHCPNAK)")
)

// Infinite is the Duration of a lease that never ends. RFC 2131 section 3.3: "The
// time value of 0xffffffff is reserved to represent "infinity"."
const Infinite = time.Duration(1<<32-1) * time.Second

// Request says for whom a lease is.
type Request struct {
	// Key is the same for the same user on the same line, also after a restart:
	// Client Identifier and hardware address are made from it, so that a server
	// gives the same address again. Two leases of one key at a time are two
	// clients to the server; the first one is the same each time.
	Key string
	// Line is the source of Option 82 and of log fields; it is only read. Nil:
	// neither.
	Line *subscriber.Line
	// Wanted is asked for first, RFC 2132 section 9.1; the zero Addr: no wish.
	// A server may give another.
	Wanted netip.Addr
}

// Events are called by the goroutine that owns all leases: they must not block,
// and may call a Handle. Each may be nil.
type Events struct {
	// Acquired is called exactly once: with a lease, or with one of the errors.
	Acquired func(Lease, error)
	// Renewed is called when a server extended the lease. What else it told may
	// have changed; the address did not.
	Renewed func(Lease)
	// Lost is called once at most, after Acquired had a lease, with ErrExpired
	// or ErrWithdrawn. The address stays closed to other sessions of ours until
	// Release: a session may go on with it.
	Lost func(error)
}

// Lease is what a server gave.
type Lease struct {
	Address netip.Addr
	// Prefix is the address's subnet, masked; a /32 where the server told no
	// Subnet Mask.
	Prefix netip.Prefix
	Router netip.Addr // the first one; the zero Addr: none
	DNS    []netip.Addr
	WINS   []netip.Addr
	Domain string
	Routes []Route
	// Server is the Server Identifier.
	Server netip.Addr

	// Acquired is when the request was sent from which the times below count.
	Acquired time.Time
	// Duration is the lease's; RenewAfter is T1 and RebindAfter is T2 of RFC
	// 2131 section 4.4.5. They are 0 for a lease that is Infinite.
	Duration, RenewAfter, RebindAfter time.Duration
}

// Route is a Classless Static Route, RFC 3442.
type Route struct {
	To netip.Prefix
	// Via is a router; 0.0.0.0: the destination is on the link.
	Via netip.Addr
}

// Handle is a lease that is held or being acquired. Any goroutine may use it.
type Handle struct {
	client *Client
	lease  *lease
}

// Release gives the lease back, by one DHCPRELEASE for which there is no answer.
// An acquisition under way is given up, and its Acquired has ErrReleased.
// Nothing but that is called afterwards; a second Release does nothing. It has
// to be called also for a lease that was lost.
func (h *Handle) Release() { h.client.mail.Put(func() { h.client.table.release(h.lease, false) }) }

// Decline is Release for an address that turned out to be another's: the server
// is told so (DHCPDECLINE) and keeps the address out of use for some time.
func (h *Handle) Decline() { h.client.mail.Put(func() { h.client.table.release(h.lease, true) }) }
