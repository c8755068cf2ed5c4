package hooks

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"adit/lns/subscriber"
)

// Facts are what a program is told of a session. A field that is nil or empty is a
// variable that is empty.
type Facts struct {
	Line         *subscriber.Line
	Service      *subscriber.Service
	Addresses    subscriber.Addresses
	LocalAddress netip.Addr // our end of the link, IPv4
	Interface    string
	// Ended is how the session ended, for SessionDown; nil: it has come up.
	Ended *Ended
}

// Ended is how a session ended.
type Ended struct {
	Duration time.Duration
	Counters subscriber.Counters
	Cause    subscriber.TerminateCause
}

// Environment returns the variables of a session, each of them always, so that a
// script may run with "set -u": those of lists have their elements apart by a
// space, but ADIT_FILTER_ID and ADIT_RATES by a newline, because a space may be in
// them. Octets that are not text are in hexadecimal digits.
//
// The peer and its RADIUS server choose much of it. What a terminal obeys is taken
// out, and a script has to quote the rest.
func Environment(f Facts) []string {
	line, service := f.Line, f.Service
	if line == nil {
		line = &subscriber.Line{}
	}
	if service == nil {
		service = &subscriber.Service{}
	}
	event := SessionUp
	if f.Ended != nil {
		event = SessionDown
	}
	e := environment{}
	e.add("EVENT", event.String())
	e.line(line)
	e.add("USER", service.User)
	e.add("PROFILE", first(service.Profile, line.Profile))
	e.add("INTERFACE", f.Interface)
	e.addresses(&f)
	e.add("ROUTES", list(service.Routes))
	e.lines("FILTER_ID", service.FilterID)
	e.lines("RATES", service.Rates)
	e.add("CLASS", hexes(service.Class))
	if f.Ended != nil {
		e.ended(f.Ended)
	}
	return e
}

// environment grows by variables.
type environment []string

// add adds a variable whose value is one line at most.
func (e *environment) add(name, value string) {
	*e = append(*e, "ADIT_"+name+"="+clean(value))
}

// lines adds a variable with a line for each value.
func (e *environment) lines(name string, values []string) {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = clean(v)
	}
	*e = append(*e, "ADIT_"+name+"="+strings.Join(all, "\n"))
}

func (e *environment) line(l *subscriber.Line) {
	e.add("SESSION", l.ID)
	e.add("TUNNEL_ID", id(l.Tunnel))
	e.add("SESSION_ID", id(l.Session))
	e.add("PEER", address(l.Peer.Addr()))
	e.add("PEER_NAME", l.PeerName)
	e.add("PEER_HOST_NAME", l.PeerHostName)
	e.add("CALLING_NUMBER", l.CallingNumber)
	e.add("CALLED_NUMBER", l.CalledNumber)
	e.add("SUB_ADDRESS", l.SubAddress)
	e.add("ENGINE", l.Engine)
}

func (e *environment) addresses(f *Facts) {
	a := f.Addresses
	e.add("ADDRESS", address(a.IPv4))
	e.add("LOCAL_ADDRESS", address(f.LocalAddress))
	e.add("INTERFACE_ID", interfaceID(a.InterfaceID))
	e.add("PREFIXES", list(a.Prefixes))
	e.add("IPV6_ADDRESS", address(a.IPv6))
	e.add("DELEGATED", list(a.Delegated))
}

func (e *environment) ended(d *Ended) {
	e.add("SECONDS", strconv.FormatInt(int64(d.Duration/time.Second), 10))
	e.add("OCTETS_IN", strconv.FormatUint(d.Counters.OctetsIn, 10))
	e.add("OCTETS_OUT", strconv.FormatUint(d.Counters.OctetsOut, 10))
	e.add("PACKETS_IN", strconv.FormatUint(d.Counters.PacketsIn, 10))
	e.add("PACKETS_OUT", strconv.FormatUint(d.Counters.PacketsOut, 10))
	e.add("CAUSE", d.Cause.String())
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// id is a Tunnel ID or Session ID; 0 is none.
func id(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

// interfaceID is as RFC 5072 has it in an address: the last 64 bits.
func interfaceID(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%x:%x:%x:%x", n>>48, n>>32&0xffff, n>>16&0xffff, n&0xffff)
}

func list(prefixes []netip.Prefix) string {
	all := make([]string, len(prefixes))
	for i, p := range prefixes {
		all[i] = p.String()
	}
	return strings.Join(all, " ")
}

func hexes(values [][]byte) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = hex.EncodeToString(v)
	}
	return strings.Join(all, " ")
}

// clean takes out of a text what a terminal or a script would obey: control
// characters, also those of U+0080 to U+009F, a newline and what turns the
// direction of writing. Octets that are no UTF-8 become a question mark.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
