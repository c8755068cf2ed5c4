package autoconf

import (
	"fmt"
	"sync/atomic"
)

// counter is something that is counted.
type counter uint8

// The counters. What was answered or sent comes first.
const (
	countInforms counter = iota
	countSolicitations
	countAdvertisements
	countDHCPv6
	countSent
	dropMalformed
	dropInvalid
	dropNotInform
	dropAddress
	dropRate
	dropQueueFull
	dropNoLink
	dropSend
	counters
)

var counterNames = [counters]string{
	countInforms:        "autoconf_dhcpinform_answered",
	countSolicitations:  "autoconf_router_solicitations",
	countAdvertisements: "autoconf_router_advertisements",
	countDHCPv6:         "autoconf_dhcpv6_answered",
	countSent:           "autoconf_packets_sent",
	dropMalformed:       "autoconf_dropped_malformed",    // lengths, checksums, options
	dropInvalid:         "autoconf_dropped_invalid",      // what an RFC has a server discard
	dropNotInform:       "autoconf_dropped_no_inform",    // DHCPv4 for an address: IPCP gives them
	dropAddress:         "autoconf_dropped_address",      // from or for an address that is not of the link
	dropRate:            "autoconf_dropped_rate",         // more than one peer may ask
	dropQueueFull:       "autoconf_dropped_queue_full",   // more than all of them may
	dropNoLink:          "autoconf_dropped_no_link",      // of a link that is not there
	dropSend:            "autoconf_dropped_send_refused", // the kernel did not take the answer
}

// String is the counter's name.
func (c counter) String() string {
	if c < counters {
		return counterNames[c]
	}
	return fmt.Sprintf("counter(%d)", uint8(c))
}

// counts are the counters.
type counts [counters]atomic.Uint64

func (c *counts) add(what counter) { c[what].Add(1) }

func (c *counts) all() map[string]uint64 {
	m := make(map[string]uint64, counters)
	for i := range c {
		m[counter(i).String()] = c[i].Load()
	}
	return m
}
