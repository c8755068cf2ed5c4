package config

import (
	"net/netip"
	"path"
	"strings"
)

// Match is the first peer, in the order of the file, that an SCCRQ from this
// address with this Host Name AVP belongs to; nil if there is none, and then
// the tunnel must be refused.
func (l *LNS) Match(from netip.Addr, hostName string) *Peer {
	for _, p := range l.Peers {
		if p.Matches(from, hostName) {
			return p
		}
	}
	return nil
}

// Matches says whether the block is meant for this address and host name. An
// IPv4 address that comes in IPv6 clothes (::ffff:a.b.c.d) counts as IPv4.
func (p *Peer) Matches(from netip.Addr, hostName string) bool {
	return matchAddress(p.Addresses, from) && MatchHostName(p.HostName, hostName)
}

func matchAddress(prefixes []netip.Prefix, from netip.Addr) bool {
	if len(prefixes) == 0 {
		return true
	}
	from = from.Unmap().WithZone("")
	for _, p := range prefixes {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// MatchHostName matches a Host Name AVP with a shell pattern (*, ?, [a-z]).
// Case counts, because the AVP is octets and not a DNS name. The empty pattern
// matches every name; a malformed one, which Load refuses, matches none.
func MatchHostName(pattern, hostName string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(noSlash(pattern), noSlash(hostName))
	return err == nil && ok
}

// noSlash takes away what is special about a slash to path.Match, where * does
// not match it: in a host name it is an octet like any other.
func noSlash(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
