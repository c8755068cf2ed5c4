package scenario

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var pppdDNS = regexp.MustCompile(`msg="pppd: (?:primary|secondary) +DNS address ([0-9.]+)"`)

// grantedDNS reads the log of a LAC whose clients are pppds for the name servers
// that the client of a call was granted. A pppd of the LNS's that has one to give
// gives it twice; that is one.
func grantedDNS(log, call string) string {
	var all []string
	for line := range strings.Lines(log) {
		if m := pppdDNS.FindStringSubmatch(line); m != nil && strings.Contains(line, "session_name="+call+" ") {
			all = append(all, m[1])
		}
	}
	return strings.Join(slices.Compact(all), " ")
}

// aaaPools are the names by which an outcome speaks of what the LNS chose.
var (
	aaaDHCPRange = netip.MustParsePrefix("10.66.0.0/16")
	aaaPools     = []struct {
		name string
		of   netip.Prefix
	}{
		{"pool home", netip.MustParsePrefix("10.64.1.0/24")},
		{"pool vip", netip.MustParsePrefix("10.64.2.0/24")},
		{"dhcp", aaaDHCPRange},
		{"link", netip.MustParsePrefix("2001:db8:1000::/44")},
		{"home", netip.MustParsePrefix("2001:db8:2000::/44")},
	}
)

// nameOf is a prefix in the words of an outcome.
func nameOf(p netip.Prefix) string {
	for _, pool := range aaaPools {
		if pool.of.Contains(p.Addr()) {
			return pool.name
		}
	}
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
