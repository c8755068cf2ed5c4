package dhcp

import "sync/atomic"

// count is what is counted.
type count int

const (
	countDiscovers count = iota
	countOffers
	countRequests
	countAcks
	countNaks
	countDeclines
	countReleases
	countTimeouts // acquisitions and leases that no server answered to in time
	countLost
	countConflicts // offers of another session's address
	countMalformed
	countDroppedUnknown // of no exchange of ours
	countDroppedSource  // from another than the servers
	countDroppedState   // late, or not what was asked for
	countDroppedQueue   // more than the loop could take
	countDroppedBusy    // acquisitions beyond the bound
	countSendErrors
	counted
)

var countNames = [counted]string{
	"dhcp_discovers", "dhcp_offers", "dhcp_requests", "dhcp_acks", "dhcp_naks", "dhcp_declines", "dhcp_releases",
	"dhcp_timeouts", "dhcp_lost", "dhcp_conflicts", "dhcp_malformed",
	"dhcp_dropped_unknown", "dhcp_dropped_source", "dhcp_dropped_state", "dhcp_dropped_queue", "dhcp_dropped_busy",
	"dhcp_send_errors",
}

func (c count) String() string { return countNames[c] }

type counts [counted]atomic.Uint64

func (c *counts) add(which count) { c[which].Add(1) }

// Counts tells how often what has happened, by the names of the metrics without
// their prefix. Any goroutine may call it.
func (c *Client) Counts() map[string]uint64 {
	all := make(map[string]uint64, counted)
	for i := range c.counts {
		all[count(i).String()] = c.counts[i].Load()
	}
	return all
}

// Held is how many leases there are, with those being acquired and those that
// were lost and are not released yet. Any goroutine may call it.
func (c *Client) Held() int { return int(c.table.held.Load()) }
